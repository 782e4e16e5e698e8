use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::library::disk::{Disk, DiskError, EntryKind, is_aside};

/// A folder of files that a mirror keeps for its neighbours, up to so many bytes: what was asked for
/// least recently goes first.
///
/// A file has its name only once it is whole and durable, so a crash leaves nothing wrong; and each can
/// be fetched again, so a crash that takes some is no loss.
pub(crate) struct Kept {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    most_bytes: u64,
    spare_bytes: u64,
    shelf: Mutex<Shelf>,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptFile {
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    /// Whether its bytes were compared with its name since the mirror began.
    pub(crate) is_proved: bool,
}

#[derive(Default)]
struct Shelf {
    files: HashMap<String, Entry>,
    /// The files by when they were asked for last.
    by_use: BTreeMap<u64, String>,
    next_use: u64,
    bytes: u64,
}

struct Entry {
    length: u64,
    used: u64,
    is_proved: bool,
}

impl Kept {
    /// Returns the files that are kept in `folder`, which is made below `base` if it is not there.
    ///
    /// At most `most_bytes` are kept, and no more than leave `spare_bytes` of the disk free.
    ///
    /// # Errors
    /// [`DiskError`] when the folder can neither be made nor looked at.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        base: &Path,
        folder: PathBuf,
        (most_bytes, spare_bytes): (u64, u64),
    ) -> Result<Kept, DiskError> {
        disk.create_dirs(base, &folder)?;
        disk.remove_asides(&folder)?;
        let kept = Kept {
            disk,
            folder,
            most_bytes,
            spare_bytes,
            shelf: Mutex::default(),
        };
        kept.look()?;
        kept.make_room(0)?;
        Ok(kept)
    }

    /// Finds what lies in the folder, in the order in which it was used before.
    fn look(&self) -> Result<(), DiskError> {
        let mut present = BTreeMap::new();
        for entry in self.disk.list(&self.folder)? {
            let Ok(name) = entry.name.into_string() else {
                continue;
            };
            if entry.kind == EntryKind::File
                && name != USED
                && let Some(length) = self.disk.length(&self.folder.join(&name))?
            {
                present.insert(name, length);
            }
        }
        let used = self.disk.read(&self.folder.join(USED), MAX_USED_BYTES)?;
        let used = used.and_then(|bytes| String::from_utf8(bytes).ok());
        let mut shelf = self.shelf();
        // What is not on the list was kept by an update: nobody has asked for it yet.
        let listed: Vec<_> = used
            .iter()
            .flat_map(|used| used.lines())
            .filter_map(|name| present.remove_entry(name))
            .collect();
        for (name, length) in present.into_iter().chain(listed) {
            shelf.put(name, length, false);
        }
        Ok(())
    }

    /// Returns the file of this name, which is now the one that was used last.
    pub(crate) fn find(&self, name: &str) -> Option<KeptFile> {
        let mut shelf = self.shelf();
        if !shelf.files.contains_key(name) {
            // An update may have put it there since.
            let length = self.disk.length(&self.folder.join(name)).ok()??;
            shelf.put(name.to_owned(), length, false);
        }
        let (length, is_proved) = shelf.touch(name)?;
        Some(KeptFile {
            path: self.folder.join(name),
            length,
            is_proved,
        })
    }

    /// Returns the bytes of a small file.
    pub(crate) fn read(&self, name: &str, most: u64) -> Option<Vec<u8>> {
        let file = self.find(name)?;
        let bytes = self.disk.read(&file.path, most.saturating_add(1)).ok()??;
        (bytes.len() as u64 <= most).then_some(bytes)
    }

    /// Returns the names of the files, in any order, as far as somebody asked for them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.shelf().files.keys().cloned().collect()
    }

    /// Hears that the bytes of a file are what its name says.
    pub(crate) fn prove(&self, name: &str) {
        if let Some(entry) = self.shelf().files.get_mut(name) {
            entry.is_proved = true;
        }
    }

    /// Keeps a small file, durably.
    ///
    /// # Errors
    /// [`DiskError`]: it is not kept then.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let length = bytes.len() as u64;
        if !self.make_room(length)? {
            return Ok(());
        }
        self.disk.write_durably(&self.folder.join(name), bytes)?;
        self.shelf().put(name.to_owned(), length, true);
        self.remember_use()
    }

    /// Keeps the file at `from`, which is synced already and lies on the same disk. Should a crash take
    /// its new name, it has the old one, or is fetched again.
    ///
    /// # Errors
    /// [`DiskError`]: it is where it was, or is kept and not yet counted.
    pub(crate) fn take(&self, name: &str, from: &Path, length: u64) -> Result<(), DiskError> {
        let to = self.folder.join(name);
        self.disk.rename(from, &to)?;
        self.shelf().put(name.to_owned(), length, true);
        self.make_room(0)?;
        self.remember_use()
    }

    /// Removes a file whose bytes are not what its name says.
    ///
    /// # Errors
    /// [`DiskError`] when it is still there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.shelf().forget(name);
        self.disk.remove_file(&self.folder.join(name))
    }

    /// Removes what was used least recently until `bytes` more fit; tells whether they do.
    ///
    /// The file that was used last stays, however large: it was asked for a moment ago.
    ///
    /// # Errors
    /// [`DiskError`] when a file cannot be removed, or the disk does not tell what is free.
    pub(crate) fn make_room(&self, bytes: u64) -> Result<bool, DiskError> {
        let mut shelf = self.shelf();
        loop {
            let free = self.disk.available_bytes(&self.folder)?;
            let has_space = free >= self.spare_bytes.saturating_add(bytes);
            let has_room = shelf.bytes.saturating_add(bytes) <= self.most_bytes;
            let may_go = if bytes == 0 { 1 } else { 0 };
            if (has_space && has_room) || shelf.files.len() <= may_go {
                return Ok(has_space);
            }
            let Some(oldest) = shelf.by_use.values().next().cloned() else {
                return Ok(has_space);
            };
            self.disk.remove_file(&self.folder.join(&oldest))?;
            shelf.forget(&oldest);
        }
    }

    /// Writes down in which order the files were used, for the next time. Advice: it is not missed.
    fn remember_use(&self) -> Result<(), DiskError> {
        let lines: Vec<String> = {
            let shelf = self.shelf();
            shelf
                .by_use
                .values()
                .map(|name| format!("{name}\n"))
                .collect()
        };
        let path = self.folder.join(USED);
        let aside = self.disk.write_aside(&path, lines.concat().as_bytes())?;
        self.disk.replace(&aside, &path)
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn put(&mut self, name: String, length: u64, is_proved: bool) {
        self.forget(&name);
        let used = self.next_use;
        self.next_use += 1;
        self.bytes += length;
        self.by_use.insert(used, name.clone());
        let entry = Entry {
            length,
            used,
            is_proved,
        };
        self.files.insert(name, entry);
    }

    fn touch(&mut self, name: &str) -> Option<(u64, bool)> {
        let entry = self.files.get_mut(name)?;
        self.by_use.remove(&entry.used);
        entry.used = self.next_use;
        self.next_use += 1;
        self.by_use.insert(entry.used, name.to_owned());
        Some((entry.length, entry.is_proved))
    }

    fn forget(&mut self, name: &str) {
        if let Some(entry) = self.files.remove(name) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.length;
        }
    }
}

/// Whether a file of this name can be kept: one that every disk tells apart from the others.
pub(crate) fn is_keepable(name: &str) -> bool {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    name != USED && name.bytes().all(is_plain) && !is_aside(name.as_ref())
}

const USED: &str = "used";
/// Names of files; a mirror keeps some hundreds.
const MAX_USED_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::disk::RealDisk;

    struct Rig(tempfile::TempDir);

    impl Rig {
        fn kept(&self, most_bytes: u64, spare_bytes: u64) -> Kept {
            let folder = self.0.path().join("mirror/content");
            let room = (most_bytes, spare_bytes);
            Kept::open(Arc::new(RealDisk::new()), self.0.path(), folder, room).unwrap()
        }
    }

    fn names(kept: &Kept) -> Vec<String> {
        let entries = std::fs::read_dir(kept.folder()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != USED)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_asked_for_least_recently_goes_first() {
        let rig = Rig(tempfile::tempdir().unwrap());
        let kept = rig.kept(30, 0);
        for name in ["a", "b", "c"] {
            kept.put(name, &[7; 10]).unwrap();
        }
        assert!(kept.find("a").is_some_and(|file| file.is_proved));
        kept.put("d", &[7; 10]).unwrap();
        assert_eq!(names(&kept), ["a", "c", "d"]);
        // The order outlives the process, the proofs do not.
        drop(kept);
        let kept = rig.kept(20, 0);
        assert_eq!(names(&kept), ["a", "d"]);
        assert!(kept.find("a").is_some_and(|file| !file.is_proved));
        kept.prove("a");
        assert!(kept.find("a").is_some_and(|file| file.is_proved));
    }

    #[test]
    fn a_file_that_is_larger_than_all_room_is_kept_alone_until_the_next_comes() {
        let rig = Rig(tempfile::tempdir().unwrap());
        let kept = rig.kept(30, 0);
        kept.put("a", &[7; 10]).unwrap();
        let large = rig.0.path().join("large");
        std::fs::write(&large, [7; 100]).unwrap();
        kept.take("large", &large, 100).unwrap();
        assert_eq!(names(&kept), ["large"]);
        kept.put("b", &[7; 10]).unwrap();
        assert_eq!(names(&kept), ["b"]);
    }

    #[test]
    fn nothing_is_kept_where_the_disk_is_nearly_full() {
        let rig = Rig(tempfile::tempdir().unwrap());
        let kept = rig.kept(1_000, u64::MAX);
        assert!(!kept.make_room(10).unwrap());
        kept.put("a", &[7; 10]).unwrap();
        assert_eq!(names(&kept), [] as [&str; 0]);
    }

    #[test]
    fn what_an_update_puts_there_is_found_and_what_broke_off_is_not() {
        let rig = Rig(tempfile::tempdir().unwrap());
        let kept = rig.kept(1_000, 0);
        std::fs::write(kept.folder().join("later"), b"catalogue").unwrap();
        assert_eq!(kept.read("later", 100).unwrap(), b"catalogue");
        assert_eq!(kept.read("later", 3), None);
        assert_eq!(kept.find("never"), None);
        std::fs::write(kept.folder().join("half.0.aside"), b"ha").unwrap();
        drop(kept);
        assert_eq!(names(&rig.kept(1_000, 0)), ["later"]);
    }

    #[test]
    fn names_that_some_disk_cannot_tell_apart_are_not_kept() {
        for (name, expected) in [
            ("7.snapshot.json", true),
            ("7.acme-operations.json", true),
            ("7.Acme.json", false),
            ("7.%2Fetc.json", false),
            ("7.json.0.aside", false),
            ("used", false),
        ] {
            assert_eq!(is_keepable(name), expected, "{name}");
        }
    }
}
