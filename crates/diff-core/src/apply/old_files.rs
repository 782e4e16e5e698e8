use std::sync::OnceLock;

use crate::error::DeltaError;
use crate::{Cancelled, Digest, Entry, FileBytes, Tree};

/// The old files that frames refer to; none is used before its digest was compared, once.
pub(super) struct OldFiles<'a> {
    old: Tree<'a>,
    /// The digest that each file was found to have, once it was read.
    found: Vec<OnceLock<Digest>>,
}

impl<'a> OldFiles<'a> {
    /// Returns the files of `old`, none of them read.
    pub(super) fn new(old: Tree<'a>) -> OldFiles<'a> {
        let count = old.listing.entries().len();
        OldFiles {
            old,
            found: std::iter::repeat_with(OnceLock::new).take(count).collect(),
        }
    }

    /// Returns the bytes of an old file, which are what its listing says.
    pub(super) fn read(
        &self,
        index: usize,
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Result<FileBytes, DeltaError> {
        let entry = self.old.listing.entries().get(index);
        let entry = entry.ok_or_else(|| outside(index))?;
        let bytes = self.old.contents.read(index);
        let bytes = bytes.map_err(|source| DeltaError::Old {
            path: entry.path.clone(),
            source,
        })?;
        self.compare(index, entry, &bytes, check)?;
        Ok(bytes)
    }

    fn compare(
        &self,
        index: usize,
        entry: &Entry,
        bytes: &[u8],
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Result<(), DeltaError> {
        let slot = self.found.get(index);
        let known = slot.and_then(OnceLock::get).copied();
        let found = match known {
            // A file that changed since then shows in the digests of what is made of it.
            Some(found) if bytes.len() as u64 == entry.length => found,
            _ => digest(bytes, check)?,
        };
        if let Some(slot) = slot {
            slot.get_or_init(|| found);
        }
        if found != entry.digest {
            return Err(DeltaError::DamagedOld {
                path: entry.path.clone(),
                expected: entry.digest,
                found,
            });
        }
        Ok(())
    }
}

fn outside(index: usize) -> DeltaError {
    DeltaError::malformed(
        "plan",
        0,
        format!("it refers to old file {index}, which is none"),
    )
}

/// Digests in pieces, so that a stop is heard in time.
pub(super) fn digest(
    bytes: &[u8],
    check: &dyn Fn() -> Result<(), Cancelled>,
) -> Result<Digest, DeltaError> {
    let mut hasher = blake3::Hasher::new();
    for piece in bytes.chunks(DIGEST_PIECE_BYTES) {
        check()?;
        hasher.update(piece);
    }
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

const DIGEST_PIECE_BYTES: usize = 4 << 20;
