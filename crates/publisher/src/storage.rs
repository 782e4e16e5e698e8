//! Where a repository lies: the one seam that its bytes pass.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use diff_core::FileBytes;
use release_format::{ContentReference, FormatError, Verified};

use crate::PublishError;

#[cfg(feature = "bucket")]
pub(crate) mod bucket;
pub(crate) mod folder;

/// A place that holds the files of a repository under `/`-separated locations.
///
/// Whatever is put stands there whole or not at all, and all that was put before a
/// [`Storage::sync`] survives a power cut behind it. Those two promises are what the publishing order
/// rests on.
pub trait Storage: Send + Sync {
    /// Puts a file at `location`, in the place of one that is there.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn put(&self, location: &str, source: Source<'_>) -> Result<(), PublishError>;

    /// Puts a file at `location` unless one is there, and returns whether it did.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn put_if_absent(&self, location: &str, source: Source<'_>) -> Result<bool, PublishError>;

    /// Makes durable all that was put.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn sync(&self) -> Result<(), PublishError>;

    /// Returns the file at `location`, or nothing where there is none.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn get(&self, location: &str) -> Result<Option<FileBytes>, PublishError>;

    /// Returns parts of the file at `location`, in the order asked for, where that spares most of its
    /// bytes; nothing where files are had whole at no cost, or where there is none.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn get_parts(
        &self,
        _location: &str,
        _parts: &[Range<u64>],
    ) -> Result<Option<Vec<Vec<u8>>>, PublishError> {
        Ok(None)
    }

    /// Returns the locations of all files that begin with `prefix`, in their byte order.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, PublishError>;

    /// Refuses where files cannot be removed safely, so that nothing is begun which would end in that.
    ///
    /// # Errors
    /// [`PublishError::Storage`] where they cannot.
    fn expect_removal(&self) -> Result<(), PublishError> {
        Ok(())
    }

    /// Removes the file at `location`, and returns whether there was one.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn remove(&self, location: &str) -> Result<bool, PublishError>;

    /// Returns length and digest of the file at `location`, read from its first byte to its last, or
    /// nothing where there is none.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn measure(&self, location: &str) -> Result<Option<ContentReference>, PublishError> {
        Ok(self
            .get(location)?
            .map(|bytes| ContentReference::of(&bytes)))
    }

    /// Returns how many bytes the file at `location` has, or nothing where there is none.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn length(&self, location: &str) -> Result<Option<u64>, PublishError> {
        Ok(self.get(location)?.map(|bytes| bytes.len() as u64))
    }

    /// Returns how many bytes there is room for, or nothing where nobody can tell.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn available_bytes(&self) -> Result<Option<u64>, PublishError> {
        Ok(None)
    }

    /// Takes the right to publish, which one publisher has at a time.
    ///
    /// # Errors
    /// [`PublishError::Busy`] while another has it.
    fn lock(&self) -> Result<StorageLock, PublishError>;

    /// Returns a folder for unfinished work, which is cleared with the lock.
    ///
    /// # Errors
    /// [`PublishError::Storage`].
    fn scratch(&self) -> Result<PathBuf, PublishError>;

    /// Returns what people call this place.
    fn address(&self) -> String;
}

impl dyn Storage + '_ {
    /// Returns what `decode` makes of a file under `content/`, once its digest is the one expected.
    pub(crate) fn content<T>(
        &self,
        reference: &ContentReference,
        decode: impl FnOnce(&Verified<&[u8]>) -> Result<T, FormatError>,
    ) -> Result<T, PublishError> {
        let location = reference.location();
        let Some(bytes) = self.get(&location)? else {
            return Err(PublishError::Absent { location });
        };
        Verified::new(&*bytes, reference)
            .and_then(|verified| decode(&verified))
            .map_err(|source| PublishError::Damaged { location, source })
    }

    /// Puts files where none are, several at once: a bucket is far, and a disk syncs several as quickly
    /// as one.
    pub(crate) fn put_all_absent(
        &self,
        files: &[(String, Source<'_>)],
    ) -> Result<(), PublishError> {
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            while let Some((location, source)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.put_if_absent(location, *source) {
                    // No other begins; of several that fail at once, any may be told.
                    next.store(files.len(), Ordering::Relaxed);
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..files.len().min(PUTS_AT_ONCE) {
                scope.spawn(work);
            }
            work();
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(()), Err)
    }
}

const PUTS_AT_ONCE: usize = 8;

/// What is put into a storage.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// A file in the scratch folder, which may be gone afterwards: it is moved where that is cheaper
    /// than a copy.
    Scratch(&'a Path),
}

impl Source<'_> {
    /// Returns the bytes.
    #[cfg(feature = "bucket")]
    pub(crate) fn read(self) -> Result<Vec<u8>, PublishError> {
        match self {
            Source::Bytes(bytes) => Ok(bytes.to_vec()),
            Source::Scratch(path) => {
                std::fs::read(path).map_err(|error| PublishError::io("read", path, error))
            }
        }
    }
}

/// The right to publish; given up when dropped.
pub struct StorageLock {
    _held: Box<dyn Send>,
}

impl StorageLock {
    /// Returns a lock that is given up when `held` is dropped.
    pub fn holding(held: impl Send + 'static) -> StorageLock {
        StorageLock {
            _held: Box::new(held),
        }
    }
}
