use std::fs::File;
use std::io;
use std::path::Path;

use release_format::{PackName, UtcTime};
use tracing::info;

use super::StateRecord;
use crate::error::UpdateError;
use crate::library::disk::{Disk, DiskError, Operation};
use crate::library::history::{History, HistoryEvent};
use crate::library::layout::LibraryLayout;
use crate::library::record::RecordError;
use crate::library::reserve;

/// Where the state record of a pack lies, and the one way to change it.
///
/// Anybody reads at any time. Whoever changes holds the pack's own lock for the few calls that it
/// takes, not the library's: a host that opens a course counts the opening while an updater fetches.
#[derive(Clone, Copy)]
pub struct StateStore<'a> {
    disk: &'a dyn Disk,
    layout: &'a LibraryLayout,
    pack: &'a PackName,
    /// What the clock shows; without it nothing new enters the history.
    now: Option<UtcTime>,
}

/// A state record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record: the current one, else the one before it; an empty one where neither is there.
    pub record: StateRecord,
    /// What is wrong with the current one, when the one before it stands in.
    pub damage: Option<RecordError>,
}

/// A change of the state record that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was true before.
    pub before: StateRecord,
    /// What is true now.
    pub after: StateRecord,
}

impl<'a> StateStore<'a> {
    /// Returns the store of a pack's record.
    pub fn new(
        disk: &'a dyn Disk,
        layout: &'a LibraryLayout,
        pack: &'a PackName,
    ) -> StateStore<'a> {
        StateStore {
            disk,
            layout,
            pack,
            now: None,
        }
    }

    /// Returns the store of a device whose clock shows this: what changes enters the history.
    #[must_use]
    pub fn at(self, now: UtcTime) -> StateStore<'a> {
        StateStore {
            now: Some(now),
            ..self
        }
    }

    /// Returns what became of the pack, the oldest first.
    ///
    /// # Errors
    /// As [`StateStore::load`]; [`UpdateError::Damaged`] for a history that is.
    pub fn history(&self) -> Result<Vec<HistoryEvent>, UpdateError> {
        let record = self.load()?.record;
        let path = self.layout.history(self.pack);
        let history = self.read_history()?.map_err(|damage| damage.at(&path))?;
        Ok(history.settled(&record).events())
    }

    fn read_history(&self) -> Result<Result<History, RecordError>, DiskError> {
        let path = self.layout.history(self.pack);
        let bytes = self.disk.read(&path, History::MAX_BYTES)?;
        Ok(match bytes {
            Some(bytes) => History::decode(&bytes, self.pack),
            None => Ok(History::default()),
        })
    }

    /// Writes what the change from `before` to `after` means, before it is true.
    ///
    /// Whatever stands in the way of it stands in the way of no lesson: a history that is damaged
    /// begins anew, and one that finds no room misses an event.
    fn note(
        &self,
        before: &StateRecord,
        after: &StateRecord,
    ) -> Result<Option<HistoryEvent>, DiskError> {
        let event = self
            .now
            .and_then(|now| HistoryEvent::of(before, after, now));
        let (history, is_sound) = match self.read_history()? {
            Ok(history) => (history, true),
            // What a newer Satchel tells is not taken from it.
            Err(RecordError::NewerFormat { .. }) => return Ok(event),
            Err(RecordError::Damaged { .. }) => (History::default(), false),
        };
        let settled = history.clone().settled(before);
        let next = match &event {
            Some(event) => settled.with(event.clone()),
            None => settled,
        };
        if !is_sound || next != history {
            self.write_history(&next)?;
        } else if event.is_some() {
            // A process that was killed in this second wrote the same, and may have synced nothing.
            self.sync()?;
        }
        Ok(event)
    }

    fn write_history(&self, history: &History) -> Result<(), DiskError> {
        let path = self.layout.history(self.pack);
        let written = self
            .disk
            .write_aside(&path, &history.encode(self.pack))
            .and_then(|aside| self.disk.replace(&aside, &path));
        match written {
            Err(full) if full.is_full() => {
                tracing::warn!(pack = %self.pack, reason = %full, "history.full");
                Ok(())
            }
            // In place for good before the record is: renames may reach the disk in any order.
            written => written.and_then(|()| self.sync()),
        }
    }

    /// Returns the record as it stands; an empty one for a pack that was never installed.
    ///
    /// # Errors
    /// [`UpdateError::Damaged`] when the record and the one before it are both damaged,
    /// [`UpdateError::NewerFormat`] for one that a newer Satchel wrote, [`UpdateError::Disk`].
    pub fn load(&self) -> Result<Stored, UpdateError> {
        let path = self.layout.state(self.pack);
        let damage = match self.read(&path)? {
            Some(Ok(record)) => {
                return Ok(Stored {
                    record,
                    damage: None,
                });
            }
            Some(Err(newer @ RecordError::NewerFormat { .. })) => {
                return Err(newer.at(&path));
            }
            Some(Err(damage)) => Some(damage),
            None => None,
        };
        let previous = self.layout.previous_state(self.pack);
        match (self.read(&previous)?, damage) {
            (Some(Ok(record)), damage) => {
                let absent = || RecordError::damaged("a state record", "no file");
                let damage = Some(damage.unwrap_or_else(absent));
                Ok(Stored { record, damage })
            }
            (Some(Err(newer @ RecordError::NewerFormat { .. })), _) => Err(newer.at(&previous)),
            (None, None) => Ok(Stored {
                record: StateRecord::empty(self.pack.clone()),
                damage: None,
            }),
            (_, Some(damage)) => Err(damage.at(&path)),
            (Some(Err(damage)), None) => Err(damage.at(&previous)),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Result<StateRecord, RecordError>>, DiskError> {
        let bytes = self.disk.read(path, StateRecord::MAX_BYTES + 1)?;
        Ok(bytes.map(|bytes| {
            let record = StateRecord::decode(&bytes)?;
            if record.pack() != self.pack {
                return Err(RecordError::damaged(self.pack, record.pack()));
            }
            Ok(record)
        }))
    }

    /// Replaces the record by what `next` makes of it, durably; only syncs it when that is the same.
    ///
    /// When it returns, the change outlives any crash; when it fails, the record is the old one or,
    /// where only the very last sync failed, the new one.
    ///
    /// # Errors
    /// What `next` fails with; as [`StateStore::load`]; [`UpdateError::DiskFull`].
    pub fn change(
        &self,
        next: impl FnOnce(&StateRecord) -> Result<StateRecord, UpdateError>,
    ) -> Result<Change, UpdateError> {
        self.change_by(next, |before, after| self.write(before, after))
    }

    /// Does as [`StateStore::change`], also on a disk that is full: the reserve is given up for it.
    ///
    /// For confirming and for going back, which must work without any space; what goes on has to find
    /// some.
    ///
    /// # Errors
    /// As [`StateStore::change`].
    pub fn change_without_space(
        &self,
        next: impl FnOnce(&StateRecord) -> Result<StateRecord, UpdateError>,
    ) -> Result<Change, UpdateError> {
        self.change_by(next, |before, after| {
            self.write_without_space(before, after)
        })
    }

    fn change_by(
        &self,
        next: impl FnOnce(&StateRecord) -> Result<StateRecord, UpdateError>,
        commit: impl FnOnce(&StateRecord, &StateRecord) -> Result<(), DiskError>,
    ) -> Result<Change, UpdateError> {
        // A record is written only into folders that are durable: where there is one, they are.
        if self.disk.length(&self.layout.state(self.pack))?.is_none() {
            self.disk
                .create_dirs(self.layout.root(), &self.layout.pack(self.pack))?;
        }
        let _lock = self.lock()?;
        let Stored {
            record: before,
            damage,
        } = self.load()?;
        let mut after = next(&before)?;
        if after == before && damage.is_none() {
            // Whoever changed it so may have been killed before it was durable.
            self.sync()?;
            return Ok(Change { before, after });
        }
        after.generation = before.generation.saturating_add(1);
        let event = self.note(&before, &after)?;
        commit(&before, &after)?;
        if let Some(event) = event {
            info!(pack = %self.pack, release = %event.release.label, reason = event.reason, "{}", event.kind.code());
        }
        Ok(Change { before, after })
    }

    /// Makes durable what [`StateStore::load`] shows: a process that was killed between its rename and
    /// its sync leaves a record that everybody sees and a power cut takes back.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn sync(&self) -> Result<(), DiskError> {
        self.disk.sync_dir(&self.layout.pack(self.pack))
    }

    /// Removes what an interrupted change left, writes a damaged record anew from the one before it,
    /// and makes durable what was read, as [`StateStore::sync`] does.
    ///
    /// # Errors
    /// As [`StateStore::load`].
    pub fn settle(&self) -> Result<Stored, UpdateError> {
        let folder = self.layout.pack(self.pack);
        let _lock = self.lock()?;
        self.disk.remove_asides(&folder)?;
        let stored = self.load()?;
        if stored.damage.is_some() {
            let mut after = stored.record.clone();
            after.generation = after.generation.saturating_add(1);
            self.write_without_space(&stored.record, &after)?;
        } else {
            self.sync()?;
        }
        Ok(stored)
    }

    /// Writes the first record of a pack whose records are both lost, unless somebody did meanwhile;
    /// returns what is true then.
    ///
    /// # Errors
    /// [`UpdateError::DiskFull`], [`UpdateError::Disk`], [`UpdateError::NewerFormat`].
    pub fn restore(&self, mut record: StateRecord) -> Result<StateRecord, UpdateError> {
        let _lock = self.lock()?;
        match self.load() {
            Ok(stored) if stored.record.generation() > 0 => return Ok(stored.record),
            Ok(_) | Err(UpdateError::Damaged { .. }) => {}
            Err(failed) => return Err(failed),
        }
        record.generation = 1;
        if let Ok(history) = self.read_history()? {
            self.write_history(&history.of_lost_records())?;
        }
        self.write(&StateRecord::empty(self.pack.clone()), &record)?;
        Ok(record)
    }

    /// Writes `after` as the record and `before` as the one before it.
    ///
    /// Both are written aside and synced, then renamed into place, then the folder is synced. Until
    /// the second rename the record is `before`, from it on it is `after`; both files were whole on
    /// the disk before either got its name, so whichever renames a crash keeps, and in whichever
    /// order, the record is one of the two and intact. There is no moment without a record. `before`
    /// comes from memory: where the record was damaged and the one before it stood in, the damage is
    /// not copied over the last intact one. Should a crash keep the second rename alone, the file
    /// before is one generation older than it might be, and still whole.
    fn write(&self, before: &StateRecord, after: &StateRecord) -> Result<(), DiskError> {
        let state = self.layout.state(self.pack);
        let previous = self.layout.previous_state(self.pack);
        let previous_aside = match before.generation() {
            0 => None,
            _ => Some(self.disk.write_aside(&previous, &before.encode())?),
        };
        let aside = self
            .disk
            .write_aside(&state, &after.encode())
            .inspect_err(|_| self.tidy(previous_aside.as_deref()))?;
        if let Some(previous_aside) = previous_aside {
            self.disk
                .replace(&previous_aside, &previous)
                .inspect_err(|_| self.tidy(Some(&aside)))?;
        }
        self.disk.replace(&aside, &state)?;
        self.disk.sync_dir(&self.layout.pack(self.pack))
    }

    /// Does as [`StateStore::write`], also on a disk that is full.
    fn write_without_space(
        &self,
        before: &StateRecord,
        after: &StateRecord,
    ) -> Result<(), DiskError> {
        match self.write(before, after) {
            Err(full) if full.is_full() && reserve::give_up(self.disk, self.layout)? => {
                self.write(before, after)
            }
            outcome => outcome,
        }
    }

    /// Removes what a failed write leaves, if it can: [`StateStore::settle`] does so otherwise.
    fn tidy(&self, aside: Option<&Path>) {
        if let Some(aside) = aside {
            let _ = self.disk.remove_file(aside);
        }
    }

    /// Waits for the pack's lock, which nobody holds for longer than a change takes.
    fn lock(&self) -> Result<File, DiskError> {
        let path = self.layout.state_lock(self.pack);
        let file = self.disk.open_lock(&path)?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(file),
                Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
                Err(failed) => return Err(DiskError::new(Operation::Lock, path, failed)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use diff_core::Digest;
    use release_format::Label;

    use super::*;
    use crate::library::disk::RealDisk;
    use crate::library::state::InstalledRelease;

    struct Device {
        _temporary: tempfile::TempDir,
        disk: RealDisk,
        layout: LibraryLayout,
        pack: PackName,
    }

    impl Device {
        fn new() -> Device {
            let temporary = tempfile::tempdir().unwrap();
            let layout = LibraryLayout::new(temporary.path());
            let disk = RealDisk::new();
            layout.create(&disk).unwrap();
            Device {
                _temporary: temporary,
                disk,
                layout,
                pack: PackName::parse("acme/biology-101").unwrap(),
            }
        }

        /// Returns a device with one release confirmed and a second on trial: generation 3.
        fn on_trial() -> Device {
            let device = Device::new();
            device.activate("1.0", 1);
            device.store().change(StateRecord::confirm).unwrap();
            device.activate("1.1", 2);
            device
        }

        fn activate(&self, label: &str, sequence: u64) {
            let release = InstalledRelease {
                label: Label::parse(label).unwrap(),
                sequence,
                manifest: Digest::of(label.as_bytes()),
                tree_bytes: 1,
            };
            let activate = |record: &StateRecord| record.activate(release, StateRecord::OPENINGS);
            self.store().change(activate).unwrap();
        }

        fn store(&self) -> StateStore<'_> {
            StateStore::new(&self.disk, &self.layout, &self.pack)
        }

        fn state(&self) -> std::path::PathBuf {
            self.layout.state(&self.pack)
        }

        fn previous(&self) -> std::path::PathBuf {
            self.layout.previous_state(&self.pack)
        }
    }

    #[test]
    fn a_pack_that_was_never_installed_has_an_empty_record() {
        let device = Device::new();
        let stored = device.store().load().unwrap();
        assert_eq!(stored.record, StateRecord::empty(device.pack.clone()));
        assert_eq!(stored.damage, None);
    }

    #[test]
    fn every_change_is_one_generation_and_the_one_before_is_kept() {
        let device = Device::on_trial();
        let before = device.store().load().unwrap().record;
        let change = device
            .store()
            .change(|record| Ok(record.count_opening()))
            .unwrap();
        assert_eq!(change.before, before);
        assert_eq!(
            (change.before.generation(), change.after.generation()),
            (3, 4)
        );
        assert_eq!(device.store().load().unwrap().record, change.after);
        let previous = std::fs::read(device.previous()).unwrap();
        assert_eq!(StateRecord::decode(&previous), Ok(before));
    }

    #[test]
    fn a_change_that_changes_nothing_writes_nothing() {
        let device = Device::on_trial();
        let change = device.store().change(|record| Ok(record.clone())).unwrap();
        assert_eq!(change.before, change.after);
        assert_eq!(device.store().load().unwrap().record.generation(), 3);
    }

    #[test]
    fn a_damaged_or_lost_record_is_stood_in_for_and_never_copied_over_the_intact_one() {
        for damage in [Some("{}"), Some(""), None] {
            let device = Device::on_trial();
            match damage {
                Some(text) => std::fs::write(device.state(), text).unwrap(),
                None => std::fs::remove_file(device.state()).unwrap(),
            }
            let stored = device.store().load().unwrap();
            assert_eq!(stored.record.generation(), 2);
            assert!(matches!(stored.damage, Some(RecordError::Damaged { .. })));
            let change = device.store().change(|record| record.revert("no"));
            assert!(matches!(change, Err(UpdateError::NoFallback { .. })));
            device.activate("1.2", 3);
            let previous = std::fs::read(device.previous()).unwrap();
            assert_eq!(StateRecord::decode(&previous), Ok(stored.record));
            assert_eq!(device.store().load().unwrap().damage, None);
        }
    }

    #[test]
    fn settling_heals_the_record_and_removes_what_was_interrupted() {
        let device = Device::on_trial();
        device.disk.write_aside(&device.state(), b"half").unwrap();
        std::fs::write(device.state(), "{}").unwrap();
        let settled = device.store().settle().unwrap();
        assert!(settled.damage.is_some());
        let stored = device.store().load().unwrap();
        assert_eq!((stored.record.generation(), stored.damage), (3, None));
        let names = device.disk.list(&device.layout.pack(&device.pack)).unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|entry| entry.name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["state", "state.lock", "state.previous"]);
    }

    #[test]
    fn damage_on_both_sides_is_an_error_and_a_newer_record_is_not_gone_behind() {
        let device = Device::on_trial();
        std::fs::write(device.previous(), "{}").unwrap();
        assert_eq!(device.store().load().unwrap().damage, None);
        std::fs::write(device.state(), "{}").unwrap();
        let failed = device.store().load();
        assert!(matches!(failed, Err(UpdateError::Damaged { at, .. }) if at == device.state()));

        let device = Device::on_trial();
        let newer = "{\"format\": 4}\n";
        let newer = format!("{newer}digest {}\n", Digest::of(newer.as_bytes()));
        std::fs::write(device.state(), newer).unwrap();
        let failed = device.store().load();
        assert!(matches!(
            failed,
            Err(UpdateError::NewerFormat { found: 4, .. })
        ));
    }

    #[test]
    fn the_record_of_another_pack_is_damage() {
        let device = Device::on_trial();
        let other = PackName::parse("acme/art").unwrap();
        device
            .disk
            .create_dirs(device.layout.root(), &device.layout.pack(&other))
            .unwrap();
        std::fs::copy(device.state(), device.layout.state(&other)).unwrap();
        let failed = StateStore::new(&device.disk, &device.layout, &other).load();
        assert!(
            matches!(failed, Err(UpdateError::Damaged { expected, .. }) if expected == "acme/art")
        );
    }

    #[test]
    fn changes_from_many_threads_are_all_counted() {
        let device = Device::new();
        let release = InstalledRelease {
            label: Label::parse("1.0").unwrap(),
            sequence: 1,
            manifest: Digest::of(b"1.0"),
            tree_bytes: 1,
        };
        device
            .store()
            .change(|record| record.activate(release, 100))
            .unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        device
                            .store()
                            .change(|record| Ok(record.count_opening()))
                            .unwrap();
                    }
                });
            }
        });
        let record = device.store().load().unwrap().record;
        assert_eq!(record.trial().unwrap().openings, 40);
    }
}
