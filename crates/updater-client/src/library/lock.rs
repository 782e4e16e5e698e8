//! One updater at a time.

use std::fs::{File, TryLockError};

use super::disk::{Disk, DiskError, Operation};
use super::layout::LibraryLayout;
use crate::error::UpdateError;

/// Held by the one updater of a library; let go when it is dropped, and by the system when its
/// process dies.
#[derive(Debug)]
pub struct LibraryLock {
    file: File,
}

impl LibraryLock {
    /// Takes the lock of the library.
    ///
    /// # Errors
    /// [`UpdateError::Busy`] while another updater holds it, [`UpdateError::Disk`] when the file can
    /// neither be opened nor created.
    pub fn acquire(disk: &dyn Disk, layout: &LibraryLayout) -> Result<LibraryLock, UpdateError> {
        let path = layout.lock();
        let mut file = disk.open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => {
                // Advice to people: that it cannot be written keeps nobody from updating.
                let holder = format!("{}\n", std::process::id());
                let _ = disk.write_lock(&path, &mut file, holder.as_bytes());
                Ok(LibraryLock { file })
            }
            Err(TryLockError::WouldBlock) => Err(UpdateError::Busy {
                holder: holder(disk, layout),
                lock: path,
            }),
            Err(TryLockError::Error(failed)) => {
                Err(DiskError::new(Operation::Lock, path, failed).into())
            }
        }
    }
}

impl Drop for LibraryLock {
    fn drop(&mut self) {
        // Closing is not enough: a process that the host starts at this moment has the file open too,
        // until it becomes another program.
        let _ = self.file.unlock();
    }
}

/// Returns the process that wrote itself into the lock; on Windows nobody else can read it.
fn holder(disk: &dyn Disk, layout: &LibraryLayout) -> Option<u32> {
    let bytes = disk.read(&layout.lock(), MAX_HOLDER_BYTES).ok()??;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

const MAX_HOLDER_BYTES: u64 = 16;

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn a_second_updater_is_told_who_holds_the_lock_until_it_is_dropped() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        let held = LibraryLock::acquire(&disk, &layout).unwrap();
        let Err(UpdateError::Busy { holder, lock }) = LibraryLock::acquire(&disk, &layout) else {
            panic!("two updaters hold one lock");
        };
        assert_eq!(lock, layout.lock());
        if cfg!(unix) {
            assert_eq!(holder, Some(std::process::id()));
        }
        drop(held);
        LibraryLock::acquire(&disk, &layout).unwrap();
    }

    #[test]
    fn a_lock_of_a_folder_that_is_not_there_is_an_error_of_the_disk() {
        let temporary = tempfile::tempdir().unwrap();
        let layout = LibraryLayout::new(temporary.path().join("absent"));
        let failed = LibraryLock::acquire(&RealDisk::new(), &layout);
        assert!(matches!(failed, Err(UpdateError::Disk(e)) if e.is_absent()));
    }
}
