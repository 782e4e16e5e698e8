use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use updater_client::library::disk::{
    Disk, DiskError, DiskFile, FolderEntry, Link, Operation, RawFile, RealDisk,
};

/// A [`RealDisk`] that counts the calls that change something, and misbehaves at one of them.
///
/// A run without a fault tells by [`FaultyDisk::calls`] how many there are; a test then repeats it
/// with a fault at each.
pub struct FaultyDisk {
    inner: RealDisk,
    fuse: Arc<Fuse>,
}

/// What goes wrong, at the call `at` that changes something, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the calls are counted.
    Nothing,
    /// The call fails and changes nothing; those after it work.
    Once {
        /// Which call.
        at: u64,
        /// How it fails.
        kind: io::ErrorKind,
    },
    /// The call and all that change something after it fail and change nothing.
    ForGood {
        /// The first call that fails.
        at: u64,
        /// How they fail.
        kind: io::ErrorKind,
    },
    /// The power goes: the call and every one after it, reading included, fail and change nothing.
    PowerCut {
        /// The first call that fails.
        at: u64,
        /// Whether, should the call be a write, the first half of its bytes is written.
        torn: bool,
    },
}

impl FaultyDisk {
    /// Returns a disk that misbehaves as told.
    pub fn new(fault: Fault) -> FaultyDisk {
        FaultyDisk {
            inner: RealDisk::new(),
            fuse: Arc::new(Fuse {
                fault,
                calls: AtomicU64::new(0),
                has_blown: AtomicBool::new(false),
            }),
        }
    }

    /// Returns how many calls that change something were made.
    pub fn calls(&self) -> u64 {
        self.fuse.calls.load(Ordering::SeqCst)
    }

    /// Whether the fault has happened.
    pub fn has_failed(&self) -> bool {
        self.fuse.has_blown.load(Ordering::SeqCst)
    }

    fn changing<T>(
        &self,
        operation: Operation,
        path: &Path,
        work: impl FnOnce(&RealDisk) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        match self.fuse.burn() {
            Ok(()) => work(&self.inner),
            Err(failed) => Err(DiskError::new(operation, path, failed)),
        }
    }

    fn looking<T>(
        &self,
        operation: Operation,
        path: &Path,
        work: impl FnOnce(&RealDisk) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        match self.fuse.fault {
            Fault::PowerCut { .. } if self.has_failed() => {
                Err(DiskError::new(operation, path, no_power()))
            }
            _ => work(&self.inner),
        }
    }

    fn fused(&self, path: &Path, file: DiskFile) -> DiskFile {
        let fuse = Arc::clone(&self.fuse);
        DiskFile::new(path, Box::new(FaultyFile { file, fuse }))
    }
}

impl Disk for FaultyDisk {
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, DiskError> {
        self.looking(Operation::Read, path, |disk| disk.read(path, most))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, DiskError> {
        self.looking(Operation::Read, path, |disk| disk.open(path))
    }

    fn length(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        self.looking(Operation::Look, path, |disk| disk.length(path))
    }

    fn list(&self, path: &Path) -> Result<Vec<FolderEntry>, DiskError> {
        self.looking(Operation::List, path, |disk| disk.list(path))
    }

    fn available_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        self.looking(Operation::AskSpace, path, |disk| disk.available_bytes(path))
    }

    fn file_limit(&self, folder: &Path, bytes: u64) -> Result<Option<u64>, DiskError> {
        self.looking(Operation::Look, folder, |disk| {
            disk.file_limit(folder, bytes)
        })
    }

    fn open_lock(&self, path: &Path) -> Result<File, DiskError> {
        self.changing(Operation::Lock, path, |disk| disk.open_lock(path))
    }

    fn write_lock(&self, path: &Path, file: &mut File, bytes: &[u8]) -> Result<(), DiskError> {
        self.changing(Operation::Write, path, |disk| {
            disk.write_lock(path, file, bytes)
        })
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.changing(Operation::CreateDir, path, |disk| disk.create_dir(path))
    }

    fn create(&self, path: &Path) -> Result<DiskFile, DiskError> {
        let file = self.changing(Operation::Create, path, |disk| disk.create(path))?;
        Ok(self.fused(path, file))
    }

    fn append(&self, path: &Path) -> Result<DiskFile, DiskError> {
        let file = self.changing(Operation::Create, path, |disk| disk.append(path))?;
        Ok(self.fused(path, file))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<Option<Link>, DiskError> {
        self.changing(Operation::Link, to, |disk| disk.link(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.changing(Operation::Rename, from, |disk| disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.changing(Operation::Remove, path, |disk| disk.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.changing(Operation::Remove, path, |disk| disk.remove_dir(path))
    }

    fn set_read_only(&self, path: &Path) -> Result<(), DiskError> {
        self.changing(Operation::SetReadOnly, path, |disk| {
            disk.set_read_only(path)
        })
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.changing(Operation::SyncDir, path, |disk| disk.sync_dir(path))
    }

    fn sync_tree(&self, root: &Path, written: &[PathBuf]) -> Result<(), DiskError> {
        self.changing(Operation::SyncTree, root, |disk| {
            disk.sync_tree(root, written)
        })
    }
}

struct FaultyFile {
    file: DiskFile,
    fuse: Arc<Fuse>,
}

impl RawFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(failed) = self.fuse.burn() {
            if self.fuse.tears() {
                let (first_half, _) = bytes.split_at(bytes.len() / 2);
                self.file.write_all(first_half)?;
            }
            return Err(failed);
        }
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.fuse.burn()?;
        Ok(self.file.set_length(length)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fuse.burn()?;
        Ok(self.file.sync()?)
    }
}

/// Counts the calls of a disk and of all its files.
struct Fuse {
    fault: Fault,
    calls: AtomicU64,
    has_blown: AtomicBool,
}

impl Fuse {
    /// Counts a call that changes something, and fails when it is one that shall.
    fn burn(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let failure = match self.fault {
            Fault::Once { at, kind } if call == at => kind.into(),
            Fault::ForGood { at, kind } if call >= at => kind.into(),
            Fault::PowerCut { at, .. } if call >= at => no_power(),
            _ => return Ok(()),
        };
        self.has_blown.store(true, Ordering::SeqCst);
        Err(failure)
    }

    /// Whether the call that was counted last is the one that tears.
    fn tears(&self) -> bool {
        let calls = self.calls.load(Ordering::SeqCst);
        matches!(self.fault, Fault::PowerCut { at, torn: true } if at + 1 == calls)
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is cut")
}

#[cfg(test)]
mod tests {
    use diff_core::Digest;
    use release_format::{Label, PackName};
    use updater_client::UpdateError;
    use updater_client::library::layout::LibraryLayout;
    use updater_client::library::state::{InstalledRelease, StateRecord, StateStore};

    use super::*;

    fn release(sequence: u64) -> InstalledRelease {
        let label = format!("1.{sequence}");
        InstalledRelease {
            manifest: Digest::of(label.as_bytes()),
            label: Label::parse(&label).unwrap(),
            sequence,
            tree_bytes: 1,
        }
    }

    type Transition = fn(&StateRecord) -> Result<StateRecord, UpdateError>;

    /// The first record of a pack, one with none before the one before it, and two like any other.
    const TRANSITIONS: [Transition; 4] = [
        |record| record.activate(release(1), StateRecord::OPENINGS),
        StateRecord::confirm,
        |record| record.activate(release(2), StateRecord::OPENINGS),
        |record| Ok(record.count_opening()),
    ];

    /// Calls `attempt` with a library that has seen the first `steps` transitions.
    fn library_after(steps: usize, attempt: impl Fn(&LibraryLayout, &PackName, Transition)) {
        let temporary = tempfile::tempdir().unwrap();
        let layout = LibraryLayout::new(temporary.path().join("library"));
        let pack = PackName::parse("acme/biology-101").unwrap();
        let disk = RealDisk::new();
        layout.create(&disk).unwrap();
        for transition in &TRANSITIONS[..steps] {
            StateStore::new(&disk, &layout, &pack)
                .change(transition)
                .unwrap();
        }
        attempt(&layout, &pack, TRANSITIONS[steps]);
    }

    fn calls_of_step(steps: usize) -> u64 {
        let calls = AtomicU64::new(0);
        library_after(steps, |layout, pack, transition| {
            let disk = FaultyDisk::new(Fault::Nothing);
            StateStore::new(&disk, layout, pack)
                .change(transition)
                .unwrap();
            calls.store(disk.calls(), Ordering::SeqCst);
        });
        calls.into_inner()
    }

    /// After any fault: the record is the old or the new one, and what was asked for works now.
    fn goes_on(layout: &LibraryLayout, pack: &PackName, transition: Transition, old: &StateRecord) {
        let disk = RealDisk::new();
        let store = StateStore::new(&disk, layout, pack);
        let new = transition(old).unwrap();
        let stored = store.load().unwrap();
        assert_eq!(stored.damage, None);
        let is_old = stored.record == *old;
        let is_new = stored.record.generation() == old.generation() + 1
            && (stored.record.active(), stored.record.trial()) == (new.active(), new.trial());
        assert!(is_old || is_new, "{:?}", stored.record);
        if layout.pack(pack).is_dir() {
            assert_eq!(store.settle().unwrap(), stored);
        }
        if is_old {
            store.change(transition).unwrap();
        }
        let after = store.load().unwrap().record;
        assert_eq!((after.active(), after.trial()), (new.active(), new.trial()));
        let kept = ["state", "state.lock", "state.previous"].map(Into::into);
        for entry in disk.list(&layout.pack(pack)).unwrap() {
            assert!(kept.contains(&entry.name), "{:?} was left", entry.name);
        }
    }

    #[test]
    fn the_state_record_is_old_or_new_after_a_power_cut_at_every_call() {
        for steps in 0..TRANSITIONS.len() {
            for at in 0..calls_of_step(steps) {
                for torn in [false, true] {
                    library_after(steps, |layout, pack, transition| {
                        let old = StateStore::new(&RealDisk::new(), layout, pack)
                            .load()
                            .unwrap();
                        let disk = FaultyDisk::new(Fault::PowerCut { at, torn });
                        let cut = StateStore::new(&disk, layout, pack).change(transition);
                        assert!(matches!(cut, Err(UpdateError::Disk(_))), "call {at}");
                        goes_on(layout, pack, transition, &old.record);
                    });
                }
            }
        }
    }

    #[test]
    fn every_call_that_fails_is_reported_and_the_same_change_works_afterwards() {
        for steps in 0..TRANSITIONS.len() {
            for at in 0..calls_of_step(steps) {
                let kind = io::ErrorKind::StorageFull;
                for fault in [Fault::Once { at, kind }, Fault::ForGood { at, kind }] {
                    library_after(steps, |layout, pack, transition| {
                        let old = StateStore::new(&RealDisk::new(), layout, pack)
                            .load()
                            .unwrap();
                        let disk = FaultyDisk::new(fault);
                        let failed = StateStore::new(&disk, layout, pack).change(transition);
                        assert!(matches!(failed, Err(UpdateError::DiskFull(_))), "{fault:?}");
                        goes_on(layout, pack, transition, &old.record);
                    });
                }
            }
        }
    }

    #[test]
    fn a_torn_write_leaves_its_first_half_and_nothing_works_after_it() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("lesson");
        let disk = FaultyDisk::new(Fault::PowerCut { at: 1, torn: true });
        let mut file = disk.create(&path).unwrap();
        file.write_all(b"lesson").unwrap_err();
        file.sync().unwrap_err();
        disk.length(&path).unwrap_err();
        disk.remove_file(&path).unwrap_err();
        assert!(disk.has_failed());
        assert_eq!(std::fs::read(&path).unwrap(), b"les");
    }
}
