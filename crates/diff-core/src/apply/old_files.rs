use std::ops::{Deref, Range};
use std::sync::OnceLock;

use crate::delta::Span;
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

    /// Returns the bytes of `spans`, one after the other: a single span where it lies, several copied.
    pub(super) fn reference(
        &self,
        spans: &[Span],
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Result<Reference, DeltaError> {
        match spans {
            [] => Ok(Reference::Copied(Vec::new())),
            [span] => {
                let (bytes, range) = self.span(span, check)?;
                Ok(Reference::InPlace(bytes, range))
            }
            spans => {
                let mut copied = Vec::new();
                for span in spans {
                    let (bytes, range) = self.span(span, check)?;
                    copied.extend_from_slice(bytes.get(range).unwrap_or_default());
                }
                Ok(Reference::Copied(copied))
            }
        }
    }

    fn span(
        &self,
        span: &Span,
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Result<(FileBytes, Range<usize>), DeltaError> {
        let outside = || {
            let told = format!("a frame refers outside old file {}", span.index);
            DeltaError::malformed("plan", 0, told)
        };
        let entry = self.old.listing.entries().get(span.index);
        let entry = entry.ok_or_else(outside)?;
        let bytes = self.old.contents.read(span.index);
        let bytes = bytes.map_err(|source| DeltaError::Old {
            path: entry.path.clone(),
            source,
        })?;
        self.compare(span.index, entry, &bytes, check)?;
        let start = usize::try_from(span.offset).ok();
        let length = usize::try_from(span.length).ok();
        let range = start.zip(length).and_then(|(start, length)| {
            let range = start..start.checked_add(length)?;
            bytes.get(range.clone()).map(|_| range)
        });
        Ok((bytes, range.ok_or_else(outside)?))
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

/// Old bytes that a frame is coded against.
pub(super) enum Reference {
    /// A part of one file, where it lies.
    InPlace(FileBytes, Range<usize>),
    /// Parts of several files, or nothing.
    Copied(Vec<u8>),
}

impl Deref for Reference {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Reference::InPlace(bytes, range) => bytes.get(range.clone()).unwrap_or_default(),
            Reference::Copied(bytes) => bytes,
        }
    }
}

/// Digests in pieces, so that a stop is heard in time.
fn digest(bytes: &[u8], check: &dyn Fn() -> Result<(), Cancelled>) -> Result<Digest, DeltaError> {
    let mut hasher = blake3::Hasher::new();
    for piece in bytes.chunks(DIGEST_PIECE_BYTES) {
        check()?;
        hasher.update(piece);
    }
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

const DIGEST_PIECE_BYTES: usize = 4 << 20;
