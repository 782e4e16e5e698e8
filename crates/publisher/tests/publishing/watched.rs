//! A folder's storage that tests watch, stop, or fill.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use diff_core::FileBytes;
use publisher::{FolderStorage, PublishError, Repository, Source, Storage, StorageLock};
use release_format::ContentReference;

/// A storage that tells what is done to it, and is for the rest the folder's.
pub(crate) struct Watched {
    pub(crate) storage: FolderStorage,
    /// Hears of each change before it is made, and may refuse it.
    pub(crate) changing: Box<dyn Fn() -> Result<(), PublishError> + Send + Sync>,
    /// Hears of what is listed.
    pub(crate) listing: Box<dyn Fn(&str) + Send + Sync>,
    /// The bytes that there is room for, if anybody can tell.
    pub(crate) room: Option<u64>,
}

impl Watched {
    /// Returns a storage that nobody watches.
    pub(crate) fn new(storage: FolderStorage) -> Watched {
        Watched {
            storage,
            changing: Box::new(|| Ok(())),
            listing: Box::new(|_| {}),
            room: None,
        }
    }

    /// Returns a storage whose publisher dies behind so many changes.
    pub(crate) fn dying(path: impl Into<PathBuf>, steps: usize) -> Watched {
        let left = AtomicUsize::new(steps);
        let changing = move || {
            let step = |left: usize| left.checked_sub(1);
            let order = Ordering::Relaxed;
            match left.fetch_update(order, order, step) {
                Ok(_) => Ok(()),
                Err(_) => Err(PublishError::Storage {
                    operation: "write",
                    location: "anything".to_owned(),
                    source: io::Error::other("the power is gone"),
                }),
            }
        };
        Watched {
            changing: Box::new(changing),
            ..Watched::new(FolderStorage::new(path))
        }
    }

    /// Returns the repository that lies in it.
    pub(crate) fn repository(self) -> Repository {
        Repository::open_in(Box::new(self)).unwrap()
    }
}

impl Storage for Watched {
    fn put(&self, location: &str, source: Source<'_>) -> Result<(), PublishError> {
        (self.changing)()?;
        self.storage.put(location, source)
    }

    fn put_if_absent(&self, location: &str, source: Source<'_>) -> Result<bool, PublishError> {
        (self.changing)()?;
        self.storage.put_if_absent(location, source)
    }

    fn sync(&self) -> Result<(), PublishError> {
        (self.changing)()?;
        self.storage.sync()
    }

    fn get(&self, location: &str) -> Result<Option<FileBytes>, PublishError> {
        self.storage.get(location)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PublishError> {
        (self.listing)(prefix);
        self.storage.list(prefix)
    }

    fn remove(&self, location: &str) -> Result<bool, PublishError> {
        (self.changing)()?;
        self.storage.remove(location)
    }

    fn measure(&self, location: &str) -> Result<Option<ContentReference>, PublishError> {
        self.storage.measure(location)
    }

    fn available_bytes(&self) -> Result<Option<u64>, PublishError> {
        Ok(self.room)
    }

    fn lock(&self) -> Result<StorageLock, PublishError> {
        self.storage.lock()
    }

    fn scratch(&self) -> Result<PathBuf, PublishError> {
        self.storage.scratch()
    }

    fn address(&self) -> String {
        self.storage.address()
    }
}
