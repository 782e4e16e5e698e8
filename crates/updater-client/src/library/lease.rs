//! Releases that somebody has open.
//!
//! A lease is a shared lock on one file for each release that is open. The system lets go of it when
//! its holder dies, so none is ever left behind. Leases are taken, and releases that nobody has are
//! removed, under one more lock, the gate: whoever passes it finds a release either whole and leased by
//! himself, or gone.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskError, Operation};
use super::layout::LibraryLayout;

/// Keeps the tree of one release where it is, until the last clone of it is dropped or its process
/// dies.
#[derive(Debug, Clone)]
pub struct Lease {
    /// `None` on a disk that cannot be written to, from which nothing is removed either.
    _file: Option<Arc<File>>,
}

impl Lease {
    /// Whether it is held against other processes: not on a disk that cannot be written to.
    pub fn is_held(&self) -> bool {
        self._file.is_some()
    }
}

/// The door through which leases are taken and releases removed.
pub(crate) struct Gate<'a> {
    disk: &'a dyn Disk,
    layout: &'a LibraryLayout,
    lock: Option<File>,
}

impl<'a> Gate<'a> {
    /// Passes the gate beside others who take leases, and keeps out those who remove.
    pub(crate) fn to_lease(
        disk: &'a dyn Disk,
        layout: &'a LibraryLayout,
    ) -> Result<Gate<'a>, DiskError> {
        let lock = match disk.open_lock(&layout.lease_gate()) {
            Ok(file) => Some(locked(layout, file, File::lock_shared)?),
            Err(refused) if refused.is_forbidden() => None,
            Err(absent) if absent.is_absent() => {
                disk.create_dirs(layout.root(), &layout.leases())?;
                let file = disk.open_lock(&layout.lease_gate())?;
                Some(locked(layout, file, File::lock_shared)?)
            }
            Err(failed) => return Err(failed),
        };
        Ok(Gate { disk, layout, lock })
    }

    /// Passes the gate alone.
    pub(crate) fn to_remove(
        disk: &'a dyn Disk,
        layout: &'a LibraryLayout,
    ) -> Result<Gate<'a>, DiskError> {
        let file = disk.open_lock(&layout.lease_gate())?;
        let lock = Some(locked(layout, file, File::lock)?);
        Ok(Gate { disk, layout, lock })
    }

    /// Takes a lease of the release in the folder of this name.
    pub(crate) fn lease(&self, folder_name: &str) -> Result<Lease, DiskError> {
        if self.lock.is_none() {
            return Ok(Lease { _file: None });
        }
        let file = match self.disk.open_lock(&self.layout.lease(folder_name)) {
            Ok(file) => locked(self.layout, file, File::lock_shared)?,
            Err(refused) if refused.is_forbidden() => return Ok(Lease { _file: None }),
            Err(failed) => return Err(failed),
        };
        Ok(Lease {
            _file: Some(Arc::new(file)),
        })
    }

    /// Whether somebody has the release in the folder of this name open; the gate was passed alone.
    pub(crate) fn is_leased(&self, folder_name: &str) -> Result<bool, DiskError> {
        let path = self.layout.lease(folder_name);
        if self.disk.length(&path)?.is_none() {
            return Ok(false);
        }
        let file = match self.disk.open_lock(&path) {
            // Whoever looks at the lease itself has it open too: asked again the next time.
            Err(held) if held.is_held() => return Ok(true),
            outcome => outcome?,
        };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(failed)) => Err(DiskError::new(Operation::Lock, path, failed)),
        }
    }

    /// Removes the file of leases that nobody has; the gate was passed alone.
    pub(crate) fn forget(&self, folder_name: &str) -> Result<(), DiskError> {
        self.disk.remove_file(&self.layout.lease(folder_name))
    }
}

fn locked(
    layout: &LibraryLayout,
    file: File,
    lock: impl Fn(&File) -> io::Result<()>,
) -> Result<File, DiskError> {
    loop {
        match lock(&file) {
            Ok(()) => return Ok(file),
            Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
            Err(failed) => {
                return Err(DiskError::new(Operation::Lock, layout.lease_gate(), failed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn a_release_is_leased_until_the_last_clone_is_dropped() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        layout.create(&disk).unwrap();
        let leased = |name| {
            let gate = Gate::to_remove(&disk, &layout).unwrap();
            gate.is_leased(name).unwrap()
        };
        assert!(!leased("aa"));
        let first = Gate::to_lease(&disk, &layout).unwrap().lease("aa").unwrap();
        let second = Gate::to_lease(&disk, &layout).unwrap().lease("aa").unwrap();
        let clone = second.clone();
        assert!(leased("aa") && !leased("bb"));
        drop((first, second));
        assert!(leased("aa"));
        drop(clone);
        assert!(!leased("aa"));
    }

    #[test]
    fn a_library_without_its_folder_of_leases_gets_one() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        let lease = Gate::to_lease(&disk, &layout).unwrap().lease("aa").unwrap();
        assert!(lease.is_held());
        assert!(layout.lease("aa").is_file());
    }
}
