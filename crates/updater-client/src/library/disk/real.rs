use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
use super::patience::uninterrupted;
use super::patience::{patiently, patiently_unnaming};
use super::{
    Disk, DiskError, DiskFile, EntryKind, FolderEntry, Link, Operation, RawFile, naming,
    telling_of_names,
};

/// The file system of the operating system.
#[derive(Debug, Default)]
pub struct RealDisk {
    /// Whether a reflink was refused once: not tried again for each of ten thousand files.
    no_reflinks: AtomicBool,
}

impl RealDisk {
    /// Returns the disk.
    pub fn new() -> RealDisk {
        RealDisk::default()
    }
}

impl Disk for RealDisk {
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(file) =
            present(patiently(|| File::open(path))).map_err(failing(Operation::Read, path))?
        else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(failing(Operation::Read, path))?;
        Ok(Some(bytes))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, DiskError> {
        let file = patiently(|| File::open(path)).map_err(failing(Operation::Read, path))?;
        Ok(Box::new(file))
    }

    fn open_at(&self, path: &Path, from: u64) -> Result<Box<dyn Read + Send>, DiskError> {
        let file = patiently(|| {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(from))?;
            Ok(file)
        });
        Ok(Box::new(file.map_err(failing(Operation::Read, path))?))
    }

    fn length(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        let metadata = present(patiently(|| fs::symlink_metadata(path)))
            .map_err(failing(Operation::Look, path))?;
        Ok(metadata.map(|metadata| metadata.len()))
    }

    fn list(&self, path: &Path) -> Result<Vec<FolderEntry>, DiskError> {
        let failed = failing(Operation::List, path);
        let Some(folder) = present(patiently(|| fs::read_dir(path))).map_err(&failed)? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for entry in folder {
            let entry = entry.map_err(&failed)?;
            let kind = entry.file_type().map_err(&failed)?;
            let kind = match (kind.is_file(), kind.is_dir()) {
                (true, _) => EntryKind::File,
                (_, true) => EntryKind::Folder,
                _ => EntryKind::Other,
            };
            let name = entry.file_name();
            entries.push(FolderEntry { name, kind });
        }
        entries.sort();
        Ok(entries)
    }

    fn available_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        fs4::available_space(short_enough(path)).map_err(failing(Operation::AskSpace, path))
    }

    fn file_limit(&self, folder: &Path, bytes: u64) -> Result<Option<u64>, DiskError> {
        if bytes <= FAT_FILE_BYTES {
            return Ok(None);
        }
        let limited = is_limited(self, folder).map_err(failing(Operation::Look, folder))?;
        Ok(limited.then_some(FAT_FILE_BYTES))
    }

    fn open_lock(&self, path: &Path) -> Result<File, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        patiently(|| options.open(path)).map_err(failing(Operation::Lock, path))
    }

    fn write_lock(&self, path: &Path, file: &mut File, bytes: &[u8]) -> Result<(), DiskError> {
        let mut write = || -> io::Result<()> {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            Write::write_all(file, bytes)
        };
        write().map_err(failing(Operation::Write, path))
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        match patiently(|| fs::create_dir(path)) {
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            outcome => outcome.map_err(naming_failed(self, Operation::CreateDir, path)),
        }
    }

    fn create(&self, path: &Path) -> Result<DiskFile, DiskError> {
        let file = patiently(|| File::create_new(path));
        let file = file.map_err(naming_failed(self, Operation::Create, path))?;
        Ok(DiskFile::new(path, Box::new(file)))
    }

    fn create_private(&self, path: &Path) -> Result<DiskFile, DiskError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = patiently(|| options.open(path));
        let file = file.map_err(naming_failed(self, Operation::Create, path))?;
        Ok(DiskFile::new(path, Box::new(file)))
    }

    fn append(&self, path: &Path) -> Result<DiskFile, DiskError> {
        // Not opened for appending: Windows changes no length through such a handle.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let open = || -> io::Result<File> {
            let mut file = options.open(path)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = patiently(open).map_err(naming_failed(self, Operation::Create, path))?;
        Ok(DiskFile::new(path, Box::new(file)))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<Option<Link>, DiskError> {
        if !self.no_reflinks.load(Ordering::Relaxed) {
            match reflink(from, to) {
                Ok(()) => return Ok(Some(Link::Reflinked)),
                Err(refused) if is_not_offered(&refused) => {
                    self.no_reflinks.store(true, Ordering::Relaxed);
                }
                Err(failed) => return Err(DiskError::new(Operation::Link, to, failed)),
            }
        }
        match patiently(|| fs::hard_link(from, to)) {
            Ok(()) => Ok(Some(Link::HardLinked)),
            Err(refused) if is_not_offered(&refused) => Ok(None),
            Err(failed) => Err(naming_failed(self, Operation::Link, to)(failed)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        naming::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        naming::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        present(patiently_unnaming(|| fs::remove_dir(path)))
            .map_err(failing(Operation::Remove, path))?;
        Ok(())
    }

    fn set_read_only(&self, path: &Path) -> Result<(), DiskError> {
        let set = || -> io::Result<()> {
            let mut permissions = fs::symlink_metadata(path)?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(path, permissions)
        };
        match patiently(set) {
            // Modes that the disk does not keep protect nobody, and are nobody's loss.
            Err(unknown) if unknown.kind() == io::ErrorKind::Unsupported => Ok(()),
            outcome => outcome.map_err(failing(Operation::SetReadOnly, path)),
        }
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        patiently(|| sync_dir(path)).map_err(failing(Operation::SyncDir, path))
    }

    fn sync_tree(&self, root: &Path, written: &[PathBuf]) -> Result<(), DiskError> {
        let by_barrier = barrier(root).map_err(failing(Operation::SyncTree, root))?;
        if by_barrier {
            return Ok(());
        }
        self.sync_one_by_one(root, written)
    }
}

impl RealDisk {
    fn sync_one_by_one(&self, root: &Path, written: &[PathBuf]) -> Result<(), DiskError> {
        for path in written {
            patiently(|| sync_file(path)).map_err(failing(Operation::Sync, path))?;
        }
        self.sync_folders(root)
    }

    fn sync_folders(&self, folder: &Path) -> Result<(), DiskError> {
        for entry in self.list(folder)? {
            if entry.kind == EntryKind::Folder {
                self.sync_folders(&folder.join(entry.name))?;
            }
        }
        self.sync_dir(folder)
    }
}

impl RawFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(|| Write::write(self, bytes))
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        patiently(|| self.set_len(length))?;
        self.seek(SeekFrom::End(0))?;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

fn failing(operation: Operation, path: &Path) -> impl Fn(io::Error) -> DiskError {
    move |source| DiskError::new(operation, path, source)
}

fn naming_failed(
    disk: &RealDisk,
    operation: Operation,
    path: &Path,
) -> impl Fn(io::Error) -> DiskError {
    move |source| telling_of_names(disk, DiskError::new(operation, path, source))
}

/// Tells what is not there apart from what cannot be had.
fn present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// Syncs the whole file system of `root`; false where that cannot be relied upon.
///
/// The kernel reports here any failure to write back that nobody was told of yet, also of files
/// that are closed since.
#[cfg(target_os = "linux")]
fn barrier(root: &Path) -> io::Result<bool> {
    let folder = File::open(root)?;
    // Of another width and sign on each architecture.
    let kind = i128::from(rustix::fs::fstatfs(&folder)?.f_type) & 0xFFFF_FFFF;
    if !*REPORTS_FAILURES || !BARRIERS.contains(&kind) {
        return Ok(false);
    }
    match uninterrupted(|| Ok(rustix::fs::syncfs(&folder)?)) {
        Ok(()) => Ok(true),
        Err(absent) if absent.raw_os_error() == Some(NO_SUCH_CALL) => Ok(false),
        Err(failed) => Err(failed),
    }
}

/// Before Linux 5.8 `syncfs` keeps silent of what could not be written back.
#[cfg(target_os = "linux")]
static REPORTS_FAILURES: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    reports_failures(&release)
});

#[cfg(target_os = "linux")]
fn reports_failures(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next(), numbers.next());
    version >= (Some(5), Some(8))
}

/// File systems on which one `syncfs` does all that an `fsync` of each file and folder would: ext2 to
/// ext4, XFS, Btrfs, F2FS, bcachefs, tmpfs and what lies over one of them. Through FUSE nothing
/// reaches the other side, and FAT does not flush the disk's own memory.
#[cfg(target_os = "linux")]
const BARRIERS: &[i128] = &[
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0xF2F5_2010,
    0xCA45_1A4E,
    0x0102_1994,
    0x794C_7630,
];
#[cfg(target_os = "linux")]
const NO_SUCH_CALL: i32 = 38;

#[cfg(not(target_os = "linux"))]
fn barrier(_root: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Windows flushes only through a handle that may write; elsewhere a read-only file syncs as well.
fn sync_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(cfg!(windows));
    options.open(path)?.sync_all()
}

#[cfg(unix)]
fn sync_dir(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // File systems that sync no folders (some network shares, some through FUSE) say so.
        Err(refused)
            if matches!(
                refused.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

/// Windows syncs no folders: NTFS keeps its names in a journal, in the order of the changes.
#[cfg(not(unix))]
fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn reflink(from: &Path, to: &Path) -> io::Result<()> {
    reflink_copy::reflink(from, to)
}

/// The crate calls its own Windows side untested, and only ReFS would gain by it.
#[cfg(not(unix))]
fn reflink(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a way to link was refused for what it is, so that another way is worth trying; not for a
/// disk that is full or failing.
fn is_not_offered(refused: &io::Error) -> bool {
    use io::ErrorKind;
    let by_kind = matches!(
        refused.kind(),
        ErrorKind::Unsupported
            | ErrorKind::CrossesDevices
            | ErrorKind::TooManyLinks
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidInput
    );
    by_kind
        || refused
            .raw_os_error()
            .is_some_and(|code| NOT_OFFERED.contains(&code))
}

/// ENOTTY and ETXTBSY from file systems that do not know the request to share bytes.
#[cfg(unix)]
const NOT_OFFERED: &[i32] = &[25, 26];
/// FAT has no such function; a call that is not supported; too many links (NTFS: 1,023).
#[cfg(not(unix))]
const NOT_OFFERED: &[i32] = &[1, 50, 1142];

/// Returns the folder nearest to `path` whose disk can be asked about: Windows takes no long path here.
fn short_enough(path: &Path) -> &Path {
    const MAX_CHARACTERS: usize = 240;
    if !cfg!(windows) {
        return path;
    }
    let mut folders = path.ancestors();
    let short = folders.find(|folder| folder.as_os_str().len() <= MAX_CHARACTERS);
    short.unwrap_or(path)
}

/// The longest file of FAT32; other file systems in use have no limit that a disk would not meet first.
const FAT_FILE_BYTES: u64 = u32::MAX as u64;

/// Whether the file system of `folder` is FAT.
#[cfg(target_os = "linux")]
fn is_limited(_disk: &RealDisk, folder: &Path) -> io::Result<bool> {
    const MSDOS: i128 = 0x4D44;
    let kind = rustix::fs::fstatfs(&File::open(folder)?)?.f_type;
    Ok(i128::from(kind) == MSDOS)
}

/// Whether the file system of `folder` holds no file of 4 GiB, by asking for one.
#[cfg(not(target_os = "linux"))]
fn is_limited(disk: &RealDisk, folder: &Path) -> io::Result<bool> {
    refuses_length(disk, folder, FAT_FILE_BYTES + 1)
}

/// Whether a file in `folder` cannot be made so long, though there is room for it.
#[cfg(any(not(target_os = "linux"), test))]
fn refuses_length(disk: &RealDisk, folder: &Path, bytes: u64) -> io::Result<bool> {
    let path = folder.join("length.0.aside");
    let outcome = File::create(&path)?.set_len(bytes);
    disk.remove_file(&path)?;
    match outcome {
        Ok(()) => Ok(false),
        Err(refused) if refused.kind() == io::ErrorKind::FileTooLarge => Ok(true),
        // Windows says of FAT that the disk is full.
        Err(full) if full.kind() == io::ErrorKind::StorageFull => {
            Ok(disk.available_bytes(folder)? > bytes)
        }
        Err(failed) => Err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_sync_one_by_one_where_there_is_no_barrier() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, root) = (RealDisk::new(), temporary.path().join("release"));
        disk.create_dirs(temporary.path(), &root.join("a/b"))
            .unwrap();
        let lesson = root.join("a/b/lesson");
        disk.create(&lesson).unwrap().write_all(b"lesson").unwrap();
        disk.sync_one_by_one(&root, std::slice::from_ref(&lesson))
            .unwrap();
        let absent = root.join("absent");
        let failed = disk
            .sync_one_by_one(&root, std::slice::from_ref(&absent))
            .unwrap_err();
        assert_eq!((failed.operation, failed.path), (Operation::Sync, absent));
    }

    /// A device that takes all bytes and keeps none says that it cannot sync: whoever hears nothing of it
    /// has not asked.
    #[cfg(unix)]
    #[test]
    fn the_system_is_asked_to_sync_each_file_and_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, keeps_none) = (RealDisk::new(), PathBuf::from("/dev/null"));
        let failed = disk.append(&keeps_none).unwrap().sync().unwrap_err();
        assert_eq!(failed.operation, Operation::Sync);
        let failed = disk
            .sync_one_by_one(temporary.path(), std::slice::from_ref(&keeps_none))
            .unwrap_err();
        assert_eq!(failed.operation, Operation::Sync);
        let absent = temporary.path().join("absent");
        for failed in [disk.sync_dir(&absent), disk.sync_one_by_one(&absent, &[])] {
            let failed = failed.unwrap_err();
            assert_eq!(
                (failed.operation, &failed.path),
                (Operation::SyncDir, &absent)
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_barrier_is_relied_upon_from_the_kernel_on_that_tells_of_failures() {
        for (release, expected) in [
            ("5.7.19-generic", false),
            ("4.19.0", false),
            ("5.8.0-rc1", true),
            ("5.10.0\n", true),
            ("6.1.0-arm64", true),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(reports_failures(release), expected, "{release}");
        }
    }

    #[test]
    fn a_disk_that_holds_long_files_is_asked_for_one_and_keeps_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, folder) = (RealDisk::new(), temporary.path());
        assert_eq!(disk.file_limit(folder, 1 << 20).unwrap(), None);
        if disk.available_bytes(folder).unwrap() > 5 << 30 {
            assert!(!refuses_length(&disk, folder, FAT_FILE_BYTES + 1).unwrap());
            assert_eq!(disk.file_limit(folder, 5 << 30).unwrap(), None);
        }
        assert_eq!(disk.list(folder).unwrap(), []);
    }

    #[test]
    fn a_disk_that_offers_no_links_is_told_from_one_that_fails() {
        for code in NOT_OFFERED {
            assert!(is_not_offered(&io::Error::from_raw_os_error(*code)));
        }
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::NotFound,
            io::ErrorKind::Other,
        ] {
            assert!(!is_not_offered(&kind.into()));
        }
    }
}
