use std::io;

use super::{Disk, DiskError, parent_of};

/// Returns the failure to give something a name at its path; one that says so where there is room on the
/// disk and none for a name.
///
/// FAT32 has 65,536 entries to a folder, of which a long name takes several, and many file systems a
/// number of files to a disk. Most systems tell neither from a disk that is full.
pub fn telling_of_names<D: Disk + ?Sized>(disk: &D, failed: DiskError) -> DiskError {
    let is_of_folder = cfg!(windows) && failed.source.raw_os_error() == Some(CANNOT_MAKE);
    if failed.source.kind() != io::ErrorKind::StorageFull && !is_of_folder {
        return failed;
    }
    let folder = parent_of(&failed.path);
    match (disk.available_bytes(folder), disk.list(folder)) {
        (Ok(available), Ok(names)) => told(failed, names.len(), available),
        _ => failed,
    }
}

fn told(failed: DiskError, names: usize, available: u64) -> DiskError {
    match available < AMPLE_BYTES {
        true => failed,
        false => failed.of_names(names, available),
    }
}

/// What Windows says of a folder of FAT that takes no more names.
const CANNOT_MAKE: i32 = 82;
/// More than any file system takes for one more name: the largest clusters, of exFAT, have 32 MiB.
const AMPLE_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::*;
    use crate::UpdateError;

    fn refused(kind: io::ErrorKind) -> DiskError {
        DiskError::new(Operation::Create, "media/photo.jpg", kind.into())
    }

    #[test]
    fn a_folder_that_takes_no_more_names_is_told_from_a_disk_without_room() {
        for (available, code) in [
            (0, "disk-full"),
            (AMPLE_BYTES - 1, "disk-full"),
            (AMPLE_BYTES, "folder-full"),
        ] {
            let failed = told(refused(io::ErrorKind::StorageFull), 21_845, available);
            assert!(failed.is_full());
            let through = UpdateError::io(Operation::Write, "elsewhere", failed.into());
            assert_eq!(through.code(), code, "{through}");
            let text = through.to_string();
            assert!(text.contains("cannot create media/photo.jpg"), "{text}");
            assert_eq!(text.contains("21845 names"), code == "folder-full");
        }
    }

    #[test]
    fn what_fails_for_another_reason_says_what_it_said() {
        let temporary = tempfile::tempdir().unwrap();
        let disk = super::super::RealDisk::new();
        for kind in [
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::AlreadyExists,
        ] {
            let path = temporary.path().join("lesson");
            let failed = DiskError::new(Operation::Create, path, kind.into());
            let text = failed.to_string();
            assert_eq!(telling_of_names(&disk, failed).to_string(), text);
        }
    }
}
