use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use diff_core::FileBytes;
use publisher::{FolderStorage, PublishError, Source, Storage, StorageLock};
use release_format::ContentReference;

/// The storage of somebody who dies behind so many changes: puts, syncs and removals.
pub struct Dying {
    storage: FolderStorage,
    left: AtomicUsize,
}

impl Dying {
    /// Returns the storage in a folder whose user dies behind `steps` changes.
    pub fn at(folder: impl Into<PathBuf>, steps: usize) -> Dying {
        Dying {
            storage: FolderStorage::removable(folder),
            left: AtomicUsize::new(steps),
        }
    }

    fn step(&self) -> Result<(), PublishError> {
        let order = Ordering::Relaxed;
        let left = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(order, order, left) {
            Ok(_) => Ok(()),
            Err(_) => Err(PublishError::Storage {
                operation: "write",
                location: "anything".to_owned(),
                source: io::Error::other("the stick is gone"),
            }),
        }
    }
}

impl Storage for Dying {
    fn put(&self, location: &str, source: Source<'_>) -> Result<(), PublishError> {
        self.step()?;
        self.storage.put(location, source)
    }

    fn put_if_absent(&self, location: &str, source: Source<'_>) -> Result<bool, PublishError> {
        self.step()?;
        self.storage.put_if_absent(location, source)
    }

    fn sync(&self) -> Result<(), PublishError> {
        self.step()?;
        self.storage.sync()
    }

    fn get(&self, location: &str) -> Result<Option<FileBytes>, PublishError> {
        self.storage.get(location)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PublishError> {
        self.storage.list(prefix)
    }

    fn remove(&self, location: &str) -> Result<bool, PublishError> {
        self.step()?;
        self.storage.remove(location)
    }

    fn measure(&self, location: &str) -> Result<Option<ContentReference>, PublishError> {
        self.storage.measure(location)
    }

    fn available_bytes(&self) -> Result<Option<u64>, PublishError> {
        self.storage.available_bytes()
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
