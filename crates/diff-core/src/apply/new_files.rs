use std::sync::OnceLock;

use super::old_files::digest;
use super::sink::Sink;
use crate::delta::PlannedFile;
use crate::error::DeltaError;
use crate::{Cancelled, Digest, FileBytes};

/// The files that groups make, for those that refer to them later.
pub(super) struct NewFiles<'a> {
    files: &'a [PlannedFile],
    sink: &'a dyn Sink,
    /// The digest that each was made with.
    made: Vec<OnceLock<Digest>>,
    /// The digest that each was found to have, once it was read again.
    found: Vec<OnceLock<Digest>>,
}

impl<'a> NewFiles<'a> {
    /// Returns the files of a plan, none of them made.
    pub(super) fn new(files: &'a [PlannedFile], sink: &'a dyn Sink) -> NewFiles<'a> {
        let unknown = || std::iter::repeat_with(OnceLock::new).take(files.len());
        NewFiles {
            files,
            sink,
            made: unknown().collect(),
            found: unknown().collect(),
        }
    }

    /// Takes note of a file that is made.
    pub(super) fn note(&self, index: usize, digest: Digest) {
        if let Some(slot) = self.made.get(index) {
            slot.get_or_init(|| digest);
        }
    }

    /// Returns the digests of all files that are made.
    pub(super) fn into_digests(self) -> Vec<Option<Digest>> {
        self.made.into_iter().map(OnceLock::into_inner).collect()
    }

    /// Returns the bytes of a file that is made, which are those that were written.
    pub(super) fn read(
        &self,
        index: usize,
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Result<FileBytes, DeltaError> {
        let made = self.made.get(index).and_then(OnceLock::get).copied();
        let found = self.found.get(index).zip(self.files.get(index));
        let (Some(expected), Some((found, file))) = (made, found) else {
            let told = format!("it refers to new file {index}, which is not made yet");
            return Err(DeltaError::malformed("plan", 0, told));
        };
        let bytes = self.sink.read(index, file);
        let bytes = bytes.map_err(|source| DeltaError::Again {
            path: file.path.clone(),
            source,
        })?;
        let found = match found.get() {
            // A file that changed since then shows in the digests of what is made of it.
            Some(found) if bytes.len() as u64 == file.length => *found,
            _ => {
                let now = digest(&bytes, check)?;
                *found.get_or_init(|| now)
            }
        };
        if found != expected {
            return Err(DeltaError::DamagedNew {
                path: file.path.clone(),
                expected,
                found,
            });
        }
        Ok(bytes)
    }
}
