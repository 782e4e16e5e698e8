//! The seam through which the library is changed, and the durable ways to use it.
//!
//! What is assumed of a disk: bytes written are safe once their file was synced; a name created,
//! removed or renamed is safe once its folder was synced; a rename onto an existing name shows the
//! old file or the new one, never neither and never a mixture. Of anything not synced, any part in
//! any order may be lost, zeroed or torn when the power fails.

mod error;
mod file;
mod names;
mod naming;
mod patience;
mod real;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use error::{DiskError, Operation};
pub use file::{DiskFile, RawFile};
pub use names::telling_of_names;
pub(crate) use patience::patiently;
pub use real::RealDisk;

/// The file system as the library uses it.
///
/// The methods without a body are elementary: one change each, so that an implementation which
/// records, fails or cuts the power can do so between any two. The others are composed of them and
/// are not meant to be replaced.
pub trait Disk: Send + Sync {
    /// Returns the first `most` bytes of a small file, all of it where it has no more; `None` where
    /// there is no such file.
    ///
    /// # Errors
    /// [`DiskError`] for every other failure.
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, DiskError>;

    /// Opens a file to be read from its beginning.
    ///
    /// # Errors
    /// [`DiskError`], for a file that is not there as well.
    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, DiskError>;

    /// Opens a file to be read from byte `from` on; one that has no such byte is at its end.
    ///
    /// A disk that can go to a byte at once replaces this.
    ///
    /// # Errors
    /// [`DiskError`], for a file that is not there as well.
    fn open_at(&self, path: &Path, from: u64) -> Result<Box<dyn Read + Send>, DiskError> {
        let mut reader = self.open(path)?;
        io::copy(&mut reader.by_ref().take(from), &mut io::sink())
            .map_err(|failed| DiskError::new(Operation::Read, path, failed))?;
        Ok(reader)
    }

    /// Returns how many bytes a file has; `None` where there is no such file.
    ///
    /// # Errors
    /// [`DiskError`] for every other failure.
    fn length(&self, path: &Path) -> Result<Option<u64>, DiskError>;

    /// Returns what lies in a folder, in the order of the names; nothing where there is no such
    /// folder.
    ///
    /// # Errors
    /// [`DiskError`] for every other failure.
    fn list(&self, path: &Path) -> Result<Vec<FolderEntry>, DiskError>;

    /// Returns how many bytes the disk that holds `path` has free for this user.
    ///
    /// # Errors
    /// [`DiskError`] when the system does not tell.
    fn available_bytes(&self, path: &Path) -> Result<u64, DiskError>;

    /// Returns how many bytes a file below `folder` can have at most, where one of `bytes` is too long
    /// for the file system, however much is free; `None` where it is not.
    ///
    /// # Errors
    /// [`DiskError`] when that cannot be found out.
    fn file_limit(&self, folder: &Path, bytes: u64) -> Result<Option<u64>, DiskError>;

    /// Opens a file to be locked, creating it empty where it is not there.
    ///
    /// What stands in it is advice to people: it is never synced, and may be anything after a crash.
    ///
    /// # Errors
    /// [`DiskError`] when it can neither be opened nor created.
    fn open_lock(&self, path: &Path) -> Result<File, DiskError>;

    /// Replaces what stands in a lock that [`Disk::open_lock`] opened.
    ///
    /// # Errors
    /// [`DiskError`] when it cannot be written.
    fn write_lock(&self, path: &Path, file: &mut File, bytes: &[u8]) -> Result<(), DiskError>;

    /// Creates a folder; one that is there already is left as it is.
    ///
    /// # Errors
    /// [`DiskError`], also when something else has the name.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Creates a file that is not there yet.
    ///
    /// # Errors
    /// [`DiskError`], also when something has the name.
    fn create(&self, path: &Path) -> Result<DiskFile, DiskError>;

    /// Creates a file that is not there yet and that nobody but this user may read.
    ///
    /// A disk that knows of no such thing creates one as any other. On Windows a file is as private as
    /// its folder.
    ///
    /// # Errors
    /// As [`Disk::create`].
    fn create_private(&self, path: &Path) -> Result<DiskFile, DiskError> {
        self.create(path)
    }

    /// Opens a file to be written behind its last byte, creating it where it is not there.
    ///
    /// # Errors
    /// [`DiskError`] when it can neither be opened nor created.
    fn append(&self, path: &Path) -> Result<DiskFile, DiskError>;

    /// Gives a file a second name without copying its bytes; `None` where the file system, or the
    /// two places, allow neither way.
    ///
    /// # Errors
    /// [`DiskError`] for failures that copying would not avoid.
    fn link(&self, from: &Path, to: &Path) -> Result<Option<Link>, DiskError>;

    /// Renames a file or folder within the library; a file at `to` is replaced.
    ///
    /// # Errors
    /// [`DiskError`], after a bounded wait on Windows for whoever has a file open; it then names that
    /// file.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file; one that is not there is no failure.
    ///
    /// # Errors
    /// [`DiskError`] when it is still there.
    fn remove_file(&self, path: &Path) -> Result<(), DiskError>;

    /// Removes an empty folder; one that is not there is no failure.
    ///
    /// # Errors
    /// [`DiskError`] when it is still there.
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Lets nobody write to a file through this name or another.
    ///
    /// Not durable by itself, and losing it harms nothing. Windows syncs no file that is read-only:
    /// sync first.
    ///
    /// # Errors
    /// [`DiskError`] when the attribute cannot be set.
    fn set_read_only(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes the names in a folder durable. Windows offers no such call, and keeps them in a journal.
    ///
    /// # Errors
    /// [`DiskError`]: what changed in the folder may then be lost.
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes everything below the folder `root` durable, in one barrier where the system has one.
    ///
    /// `written` are the files whose bytes are new: those written, copied or reflinked. Where there
    /// is no barrier they are synced one by one and the folders after them, innermost first. The name
    /// of `root` itself is its parent's to sync.
    ///
    /// # Errors
    /// [`DiskError`]: nothing below `root` may then be trusted.
    fn sync_tree(&self, root: &Path, written: &[PathBuf]) -> Result<(), DiskError>;

    /// Creates the folders that lead from `base` to `path`, and makes each of their names durable.
    ///
    /// # Errors
    /// [`DiskError`]; [`io::ErrorKind::InvalidInput`] when `path` does not lie below `base`.
    fn create_dirs(&self, base: &Path, path: &Path) -> Result<(), DiskError> {
        let below = path.strip_prefix(base).map_err(|_| {
            let outside =
                io::Error::new(io::ErrorKind::InvalidInput, "it leads out of the library");
            DiskError::new(Operation::CreateDir, path, outside)
        })?;
        let mut folder = base.to_owned();
        for name in below.components() {
            let parent = folder.clone();
            folder.push(name);
            self.create_dir(&folder)?;
            // Also where the folder was there: whoever made it may have been killed before the sync.
            self.sync_dir(&parent)?;
        }
        Ok(())
    }

    /// Puts `bytes` at `path` so that a crash at any moment leaves the old file or the new one, whole.
    ///
    /// # Errors
    /// [`DiskError`]: the old file is intact, except when the last call, the sync of the folder, is
    /// what failed; then either may be there after a crash.
    fn write_durably(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let aside = self.write_aside(path, bytes)?;
        self.replace(&aside, path)?;
        self.sync_dir(parent_of(path))
    }

    /// Does as [`Disk::write_durably`] with a file that nobody but this user may read.
    ///
    /// # Errors
    /// As [`Disk::write_durably`].
    fn write_privately(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let created = create_aside(path, |aside| self.create_private(aside))?;
        let aside = fill(self, created, bytes)?;
        self.replace(&aside, path)?;
        self.sync_dir(parent_of(path))
    }

    /// Writes and syncs `bytes` in a new file in the folder of `path`, whose name [`is_aside`]
    /// recognises, and returns where.
    ///
    /// # Errors
    /// [`DiskError`]: there is no such file, unless tidying failed as well.
    fn write_aside(&self, path: &Path, bytes: &[u8]) -> Result<PathBuf, DiskError> {
        let created = create_aside(path, |aside| self.create(aside))?;
        fill(self, created, bytes)
    }

    /// Renames what [`Disk::write_aside`] wrote onto `path`; durable once the folder is synced.
    ///
    /// # Errors
    /// [`DiskError`]: the old file is intact.
    fn replace(&self, aside: &Path, path: &Path) -> Result<(), DiskError> {
        self.rename(aside, path).inspect_err(|_| tidy(self, aside))
    }

    /// Removes the files that interrupted calls of [`Disk::write_aside`] left in a folder.
    ///
    /// # Errors
    /// [`DiskError`] when one is still there, unless another program holds it.
    fn remove_asides(&self, folder: &Path) -> Result<(), DiskError> {
        for entry in self.list(folder)? {
            if entry.kind == EntryKind::File && is_aside(&entry.name) {
                match self.remove_file(&folder.join(entry.name)) {
                    // In nobody's way: the next one takes another name.
                    Err(held) if held.is_held() => {}
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// Gives the file at `from` the name `to` as well: by reflink, else hard link, else copy.
    ///
    /// Nothing is durable yet: unless it tells of a hard link, `to` belongs to the files that
    /// [`Disk::sync_tree`] is told of.
    ///
    /// # Errors
    /// [`DiskError`] when no way works.
    fn link_or_copy(&self, from: &Path, to: &Path) -> Result<Link, DiskError> {
        if let Some(link) = self.link(from, to)? {
            return Ok(link);
        }
        let mut reader = self.open(from)?;
        let mut file = self.create(to)?;
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(Link::Copied),
                Ok(count) => count,
                Err(again) if again.kind() == io::ErrorKind::Interrupted => continue,
                Err(failed) => return Err(DiskError::new(Operation::Read, from, failed)),
            };
            file.write_all(buffer.get(..count).unwrap_or_default())?;
        }
    }

    /// Removes a folder and all that is in it; one that is not there is no failure.
    ///
    /// # Errors
    /// [`DiskError`]: part of it may be gone.
    fn remove_tree(&self, path: &Path) -> Result<(), DiskError> {
        for entry in self.list(path)? {
            let inner = path.join(entry.name);
            match entry.kind {
                EntryKind::Folder => self.remove_tree(&inner)?,
                EntryKind::File | EntryKind::Other => self.remove_file(&inner)?,
            }
        }
        self.remove_dir(path)
    }
}

/// Whether `name` is one that [`Disk::write_aside`] gives: such a file is of no use after a crash.
pub fn is_aside(name: &OsStr) -> bool {
    Path::new(name).extension() == Some(OsStr::new(ASIDE_EXTENSION))
}

/// How a file came by a second name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A file of its own that shares its bytes until one of the two is written to.
    Reflinked,
    /// One file with two names: what happens to one happens to the other.
    HardLinked,
    /// A copy, which costs its length.
    Copied,
}

impl Link {
    /// Whether the new name belongs to a new file, which has to be synced.
    pub fn needs_sync(self) -> bool {
        self != Link::HardLinked
    }
}

/// Something that lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    /// Its name.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// Anything else, a symbolic link too; the library makes none.
    Other,
}

/// Returns the folder that holds `path`.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Creates a file beside `path` under a name that nothing else has.
fn create_aside(
    path: &Path,
    create: impl Fn(&Path) -> Result<DiskFile, DiskError>,
) -> Result<(PathBuf, DiskFile), DiskError> {
    let mut attempt = 0;
    loop {
        let aside = aside_name(path, attempt);
        match create(&aside) {
            Ok(file) => return Ok((aside, file)),
            // Left by a crash, or another thread's: neither is ours to take.
            Err(taken) if taken.is_taken() && attempt < MAX_ASIDES => attempt += 1,
            Err(failed) => return Err(failed),
        }
    }
}

/// Writes and syncs the file that was created at a path, and returns the path.
fn fill<D: Disk + ?Sized>(
    disk: &D,
    (aside, mut file): (PathBuf, DiskFile),
    bytes: &[u8],
) -> Result<PathBuf, DiskError> {
    let written = file.write_all(bytes).and_then(|()| file.sync());
    // Windows renames no file that is open for writing.
    drop(file);
    if let Err(failed) = written {
        tidy(disk, &aside);
        return Err(failed);
    }
    Ok(aside)
}

/// Removes what is of no use any more, if it can: the next recovery does so otherwise.
fn tidy<D: Disk + ?Sized>(disk: &D, aside: &Path) {
    let _ = disk.remove_file(aside);
}

/// Numbered, not random: the same run makes the same calls, which tests rely on.
fn aside_name(path: &Path, attempt: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{attempt}.{ASIDE_EXTENSION}"));
    path.with_file_name(name)
}

const ASIDE_EXTENSION: &str = "aside";
/// More than a library collects between two recoveries.
const MAX_ASIDES: u32 = 10_000;
const COPY_BUFFER_BYTES: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_write_replaces_and_leaves_nothing_beside() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, path) = (RealDisk::new(), temporary.path().join("record"));
        for bytes in [&b"first"[..], b"second", b""] {
            disk.write_durably(&path, bytes).unwrap();
            assert_eq!(disk.read(&path, 100).unwrap().unwrap(), bytes);
        }
        assert_eq!(disk.list(temporary.path()).unwrap().len(), 1);
    }

    #[test]
    fn what_an_interrupted_write_left_is_stepped_around_and_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, path) = (RealDisk::new(), temporary.path().join("record"));
        let left = disk.write_aside(&path, b"half").unwrap();
        assert!(is_aside(left.file_name().unwrap()));
        disk.write_durably(&path, b"whole").unwrap();
        assert_eq!(disk.length(&left).unwrap(), Some(4));
        disk.remove_asides(temporary.path()).unwrap();
        let names = disk.list(temporary.path()).unwrap();
        assert_eq!(names.len(), 1);
        assert_eq!(disk.read(&path, 3).unwrap().unwrap(), b"who");
    }

    #[test]
    fn a_link_has_the_bytes_whichever_way_it_was_made() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, from) = (RealDisk::new(), temporary.path().join("from"));
        let bytes = vec![7; 300_000];
        disk.write_durably(&from, &bytes).unwrap();
        for name in ["a", "b"] {
            let to = temporary.path().join(name);
            disk.link_or_copy(&from, &to).unwrap();
            assert_eq!(disk.read(&to, u64::MAX).unwrap().unwrap(), bytes);
            let taken = disk.link_or_copy(&from, &to).unwrap_err();
            assert!(taken.is_taken(), "{taken}");
        }
    }

    #[test]
    fn appending_goes_on_behind_the_last_byte_and_behind_a_new_length() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, path) = (RealDisk::new(), temporary.path().join("partial"));
        disk.append(&path).unwrap().write_all(b"first").unwrap();
        let mut file = disk.append(&path).unwrap();
        file.write_all(b"second").unwrap();
        file.set_length(7).unwrap();
        file.write_all(b"!").unwrap();
        assert_eq!(disk.read(&path, 100).unwrap().unwrap(), b"firstse!");
    }

    #[test]
    fn a_tree_goes_with_its_read_only_files_and_twice() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, root) = (RealDisk::new(), temporary.path().join("release"));
        let inner = root.join("tree/chapter");
        disk.create_dirs(temporary.path(), &inner).unwrap();
        let lesson = inner.join("lesson");
        disk.write_durably(&lesson, b"lesson").unwrap();
        disk.sync_tree(&root, std::slice::from_ref(&lesson))
            .unwrap();
        disk.set_read_only(&lesson).unwrap();
        assert!(std::fs::metadata(&lesson).unwrap().permissions().readonly());
        disk.remove_tree(&root).unwrap();
        disk.remove_tree(&root).unwrap();
        assert_eq!(disk.list(temporary.path()).unwrap(), []);
    }

    #[test]
    fn folders_are_created_only_below_their_base() {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path().join("library");
        let failed = RealDisk::new()
            .create_dirs(&base, temporary.path())
            .unwrap_err();
        assert_eq!(failed.source.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_not_there_is_no_failure_to_look_at_or_remove() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, absent) = (RealDisk::new(), temporary.path().join("absent"));
        assert_eq!(disk.read(&absent, 1).unwrap(), None);
        assert_eq!(disk.length(&absent).unwrap(), None);
        assert_eq!(disk.list(&absent).unwrap(), []);
        disk.remove_file(&absent).unwrap();
        disk.remove_dir(&absent).unwrap();
        assert!(disk.open(&absent).err().unwrap().is_absent());
        assert!(disk.available_bytes(temporary.path()).unwrap() > 0);
    }
}
