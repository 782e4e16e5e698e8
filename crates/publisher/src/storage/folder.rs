use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use diff_core::{ContentPath, DigestReader, FileBytes, MappedFile};
use release_format::ContentReference;

use crate::PublishError;
use crate::storage::{Source, Storage, StorageLock};

/// A repository in a folder of this machine.
pub struct FolderStorage {
    root: PathBuf,
    /// Whether the folder may vanish: then its files are read and never mapped.
    is_removable: bool,
    /// Folders whose entries changed since the last sync.
    unsynced: Mutex<BTreeSet<PathBuf>>,
    /// Numbers the files written aside.
    puts: AtomicU64,
}

impl FolderStorage {
    /// Returns the storage in the folder at `root`, which need not be there yet.
    pub fn new(root: impl Into<PathBuf>) -> FolderStorage {
        FolderStorage {
            root: root.into(),
            is_removable: false,
            unsynced: Mutex::default(),
            puts: AtomicU64::new(0),
        }
    }

    /// As [`FolderStorage::new`], for a folder on a stick or a share.
    pub fn removable(root: impl Into<PathBuf>) -> FolderStorage {
        FolderStorage {
            is_removable: true,
            ..FolderStorage::new(root)
        }
    }

    fn place(&self, location: &str) -> Result<PathBuf, PublishError> {
        let path = ContentPath::parse(location).map_err(|error| {
            let refused = io::Error::new(io::ErrorKind::InvalidInput, error);
            failed("name", location, refused)
        })?;
        Ok(path.under(&self.root))
    }

    /// Creates the folders that `place` needs, and remembers which have a new entry.
    fn prepare(&self, place: &Path) -> io::Result<()> {
        let mut changed = Vec::new();
        for folder in place.ancestors().skip(1) {
            changed.push(folder.to_owned());
            if folder.is_dir() {
                break;
            }
        }
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        self.unsynced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(changed);
        Ok(())
    }

    fn write(&self, place: &Path, source: Source<'_>) -> io::Result<()> {
        self.prepare(place)?;
        let aside = match source {
            Source::Scratch(path) => {
                // Opened for writing: Windows syncs nothing else.
                File::options().append(true).open(path)?.sync_all()?;
                path.to_owned()
            }
            Source::Bytes(bytes) => {
                let folder = self.root.join(SCRATCH);
                fs::create_dir_all(&folder)?;
                let number = self.puts.fetch_add(1, Ordering::Relaxed);
                let aside = folder.join(format!("put-{number}"));
                let mut file = File::create(&aside)?;
                file.write_all(bytes)?;
                file.sync_all()?;
                aside
            }
        };
        fs::rename(aside, place)
    }
}

impl Storage for FolderStorage {
    fn put(&self, location: &str, source: Source<'_>) -> Result<(), PublishError> {
        let place = self.place(location)?;
        self.write(&place, source)
            .map_err(|source| failed("write", location, source))
    }

    fn put_if_absent(&self, location: &str, source: Source<'_>) -> Result<bool, PublishError> {
        // No race: whoever puts holds the lock.
        let place = self.place(location)?;
        if place
            .try_exists()
            .map_err(|source| failed("look at", location, source))?
        {
            return Ok(false);
        }
        self.put(location, source).map(|()| true)
    }

    fn sync(&self) -> Result<(), PublishError> {
        let folders =
            std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        for folder in folders {
            match sync_folder(&folder) {
                // Removed since with its last file.
                Err(source) if !is_absent(&source) => {
                    return Err(failed("sync", &folder.display().to_string(), source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn get(&self, location: &str) -> Result<Option<FileBytes>, PublishError> {
        let place = self.place(location)?;
        let read = if self.is_removable {
            fs::read(&place).map(FileBytes::Owned)
        } else {
            MappedFile::open(&place).map(FileBytes::Mapped)
        };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) if is_absent(&source) => Ok(None),
            Err(source) => Err(failed("read", location, source)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PublishError> {
        let mut found = Vec::new();
        // The folder that the prefix ends in; what remains of the prefix is compared.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let place = if folder.is_empty() {
            self.root.clone()
        } else {
            self.place(folder)?
        };
        let inside = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        list_into(&place, &inside, &mut found).map_err(|source| failed("list", prefix, source))?;
        found.retain(|location| location.starts_with(prefix));
        found.sort();
        Ok(found)
    }

    fn remove(&self, location: &str) -> Result<bool, PublishError> {
        let place = self.place(location)?;
        match fs::remove_file(&place) {
            Ok(()) => {}
            Err(source) if is_absent(&source) => return Ok(false),
            Err(source) => return Err(failed("remove", location, source)),
        }
        // A folder is removed with its last file; the system refuses it before that.
        for folder in place.ancestors().skip(1) {
            let is_inside = folder != self.root && folder.starts_with(&self.root);
            if !is_inside || fs::remove_dir(folder).is_err() {
                let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
                unsynced.insert(folder.to_owned());
                break;
            }
        }
        Ok(true)
    }

    fn measure(&self, location: &str) -> Result<Option<ContentReference>, PublishError> {
        let place = self.place(location)?;
        let measured = File::open(&place).and_then(|file| {
            let mut reader = DigestReader::new(file);
            io::copy(&mut reader, &mut io::sink())?;
            Ok(ContentReference {
                digest: reader.digest(),
                length: reader.length(),
            })
        });
        match measured {
            Ok(reference) => Ok(Some(reference)),
            Err(source) if is_absent(&source) => Ok(None),
            Err(source) => Err(failed("read", location, source)),
        }
    }

    fn length(&self, location: &str) -> Result<Option<u64>, PublishError> {
        match fs::metadata(self.place(location)?) {
            Ok(found) => Ok(Some(found.len())),
            Err(source) if is_absent(&source) => Ok(None),
            Err(source) => Err(failed("look at", location, source)),
        }
    }

    fn available_bytes(&self) -> Result<Option<u64>, PublishError> {
        let there = self.root.ancestors().find(|folder| folder.is_dir());
        let folder = there.unwrap_or(Path::new("."));
        let asked = fs4::available_space(folder);
        asked
            .map(Some)
            .map_err(|source| failed("ask the room of", "", source))
    }

    fn lock(&self) -> Result<StorageLock, PublishError> {
        let in_lock = |source| failed("lock", LOCK, source);
        fs::create_dir_all(&self.root).map_err(in_lock)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join(LOCK))
            .map_err(in_lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(PublishError::Busy {
                    repository: self.address(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(in_lock(source)),
        }
        let scratch = self.root.join(SCRATCH);
        // What an interrupted publisher left; nothing refers to it.
        match fs::remove_dir_all(&scratch) {
            Err(source) if !is_absent(&source) => return Err(failed("clear", SCRATCH, source)),
            _ => {}
        }
        Ok(StorageLock::holding(Held { file, scratch }))
    }

    fn scratch(&self) -> Result<PathBuf, PublishError> {
        let scratch = self.root.join(SCRATCH);
        fs::create_dir_all(&scratch).map_err(|source| failed("create", SCRATCH, source))?;
        Ok(scratch)
    }

    fn address(&self) -> String {
        self.root.display().to_string()
    }
}

/// The lock, given up behind the scratch folder.
struct Held {
    file: File,
    scratch: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The next holder of the lock clears what stays.
        let _ = fs::remove_dir_all(&self.scratch);
        let _ = self.file.unlock();
    }
}

/// Makes the entries of a folder durable, where folders can be synced.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn list_into(folder: &Path, inside: &str, found: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{inside}{}", entry.file_name().to_string_lossy());
        if name == LOCK || name == SCRATCH {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list_into(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn failed(operation: &'static str, location: &str, source: io::Error) -> PublishError {
    PublishError::Storage {
        operation,
        location: location.to_owned(),
        source,
    }
}

/// Held by whoever publishes.
const LOCK: &str = ".lock";
/// Unfinished work, on the same file system so that a rename publishes it.
const SCRATCH: &str = ".publishing";

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(storage: &FolderStorage, location: &str) -> Option<Vec<u8>> {
        storage.get(location).unwrap().map(|bytes| bytes.to_vec())
    }

    #[test]
    fn what_is_put_is_there_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path());
        assert_eq!(bytes(&storage, "metadata/timestamp.json"), None);
        storage
            .put("metadata/timestamp.json", Source::Bytes(b"1"))
            .unwrap();
        storage
            .put("metadata/timestamp.json", Source::Bytes(b"2"))
            .unwrap();
        let aside = storage.scratch().unwrap().join("archive");
        fs::write(&aside, b"chunks").unwrap();
        assert!(
            storage
                .put_if_absent("content/ab/abcd", Source::Scratch(&aside))
                .unwrap()
        );
        storage.sync().unwrap();
        assert_eq!(bytes(&storage, "metadata/timestamp.json").unwrap(), b"2");
        assert_eq!(bytes(&storage, "content/ab/abcd").unwrap(), b"chunks");
        let all = ["content/ab/abcd", "metadata/timestamp.json"];
        assert_eq!(storage.list("").unwrap(), all);
        assert_eq!(storage.list("metadata/t").unwrap(), all[1..]);
        assert_eq!(storage.list("targets/").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_there_is_not_put_again() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path());
        storage.put("content/a", Source::Bytes(b"first")).unwrap();
        let again = storage.put_if_absent("content/a", Source::Bytes(b"second"));
        assert!(!again.unwrap());
        assert_eq!(bytes(&storage, "content/a").unwrap(), b"first");
    }

    #[test]
    fn what_is_removed_is_gone_with_the_folders_that_it_leaves_empty() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::removable(folder.path());
        for location in ["content/ab/abcd", "content/ab/abce", "content/cd/cdef"] {
            storage.put(location, Source::Bytes(b"some")).unwrap();
        }
        assert!(storage.remove("content/cd/cdef").unwrap());
        assert!(!storage.remove("content/cd/cdef").unwrap());
        assert!(storage.remove("content/ab/abcd").unwrap());
        storage.sync().unwrap();
        assert!(!folder.path().join("content/cd").exists());
        assert_eq!(storage.list("").unwrap(), ["content/ab/abce"]);
    }

    #[test]
    fn file_is_measured_without_being_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::removable(folder.path());
        storage.put("content/a", Source::Bytes(b"some")).unwrap();
        assert!(matches!(
            storage.get("content/a").unwrap(),
            Some(FileBytes::Owned(_))
        ));
        let measured = storage.measure("content/a").unwrap();
        assert_eq!(measured, Some(ContentReference::of(b"some")));
        assert_eq!(storage.measure("content/b").unwrap(), None);
    }

    #[test]
    fn second_publisher_is_told_that_the_first_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderStorage::new(folder.path());
        let second = FolderStorage::new(folder.path());
        let held = first.lock().unwrap();
        assert!(matches!(second.lock(), Err(PublishError::Busy { .. })));
        drop(held);
        assert!(second.lock().is_ok());
    }

    #[test]
    fn unfinished_work_is_cleared_with_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path());
        fs::write(storage.scratch().unwrap().join("left"), b"").unwrap();
        let held = storage.lock().unwrap();
        assert!(!folder.path().join(SCRATCH).exists());
        storage.scratch().unwrap();
        drop(held);
        assert!(!folder.path().join(SCRATCH).exists());
    }

    #[test]
    fn location_that_climbs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FolderStorage::new(folder.path());
        let refused = storage.put("../outside", Source::Bytes(b""));
        assert!(matches!(refused, Err(PublishError::Storage { .. })));
    }
}
