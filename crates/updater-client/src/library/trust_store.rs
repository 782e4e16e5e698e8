//! The metadata that is trusted, kept so that no version ever goes back.

mod targets;

use std::collections::BTreeMap;
use std::path::PathBuf;

use diff_core::Digest;
use release_format::{MetaFile, MetadataRequest, Timestamp, TrustError, TrustLimits, TrustedSet};

use super::disk::{Disk, DiskError};
use super::trust_layout::TrustLayout;
use crate::error::UpdateError;

/// The trusted metadata on the disk.
///
/// What is stored is believed no more than what a mirror sends: it goes through the verifier when it
/// is loaded, and what does not pass counts as not there and is fetched again. Only the oldest root
/// that is intact is taken as it stands; the others are trusted by their signatures.
///
/// A file is stored as soon as it is trusted and before it is used: once something was seen, nothing
/// older is accepted, whatever crash comes between. Whoever stores holds the library's lock.
pub struct TrustStore<'a> {
    disk: &'a dyn Disk,
    layout: TrustLayout,
    limits: TrustLimits,
    /// The files that the set has, as they lie on the disk.
    held: BTreeMap<PathBuf, Digest>,
}

impl<'a> TrustStore<'a> {
    /// Returns the store of the metadata that lies as `layout` says.
    pub fn new(disk: &'a dyn Disk, layout: TrustLayout, limits: TrustLimits) -> TrustStore<'a> {
        TrustStore {
            disk,
            layout,
            limits,
            held: BTreeMap::new(),
        }
    }

    /// Pins the root that a device is enrolled with, durably.
    ///
    /// # Errors
    /// [`UpdateError::Trust`] for what is no root that has signed itself; [`UpdateError::DiskFull`],
    /// [`UpdateError::Disk`].
    pub fn pin(&mut self, root: &[u8]) -> Result<TrustedSet, UpdateError> {
        let set = TrustedSet::pinned(root, self.limits.clone())?;
        self.store(&set)?;
        Ok(set)
    }

    /// Returns the set of all that is stored and still passes the verifier: the chain of roots, the
    /// timestamp and the snapshot. Roles of targets come by [`TrustStore::stored`].
    ///
    /// # Errors
    /// [`UpdateError::Damaged`] when no root is intact; [`UpdateError::Disk`].
    pub fn load(&mut self) -> Result<TrustedSet, UpdateError> {
        let mut set = self.load_roots()?;
        self.recall(&mut set)?;
        Ok(set)
    }

    fn load_roots(&mut self) -> Result<TrustedSet, UpdateError> {
        let roots = self.layout.roots();
        let mut first_failure = None;
        let mut anchored: Option<TrustedSet> = None;
        for version in self.stored_versions()? {
            let path = self.layout.root(version);
            let Some(bytes) = self.disk.read(&path, self.limits.root_bytes + 1)? else {
                continue;
            };
            // Each root is pinned anew once the one before it has accepted it: the ceiling of
            // rotations is for what one update brings, not for a lifetime.
            let accepted = match &mut anchored {
                Some(set) => set.update_root(&bytes),
                None => Ok(()),
            };
            match accepted.and_then(|()| TrustedSet::pinned(&bytes, self.limits.clone())) {
                Ok(set) => {
                    self.held.insert(path, Digest::of(&bytes));
                    anchored = Some(set);
                }
                // What follows it cannot be reached: the mirror has all of them.
                Err(_) if anchored.is_some() => break,
                Err(damage) => first_failure = first_failure.or(Some((path, damage))),
            }
        }
        anchored.ok_or_else(|| match first_failure {
            Some((at, damage)) => UpdateError::Damaged {
                at,
                expected: "a root that has signed itself".to_owned(),
                found: damage.to_string(),
            },
            None => UpdateError::Damaged {
                at: roots,
                expected: "the root that the device was enrolled with".to_owned(),
                found: "none".to_owned(),
            },
        })
    }

    fn stored_versions(&self) -> Result<Vec<u64>, DiskError> {
        let entries = self.disk.list(&self.layout.roots())?;
        let mut versions: Vec<u64> = entries
            .iter()
            .filter_map(|entry| self.layout.root_version(entry.name.to_str()?))
            .collect();
        versions.sort_unstable();
        versions.dedup();
        Ok(versions)
    }

    /// Makes the stored timestamp and snapshot known to a set that has none, so that what comes is
    /// compared with them.
    ///
    /// [`TrustStore::load`] does so. It is worth repeating once newer roots are trusted: they may be
    /// the ones that the stored files were signed under, had a root on the disk been damaged.
    ///
    /// # Errors
    /// [`UpdateError::Disk`] alone: what does not pass counts as not there.
    pub fn recall(&mut self, set: &mut TrustedSet) -> Result<(), UpdateError> {
        if set.timestamp().is_some() {
            return Ok(());
        }
        let timestamp = self.layout.top_role("timestamp.json");
        let snapshot = self.layout.top_role("snapshot.json");
        let mut recalled = set.clone();
        let Some(bytes) = self
            .disk
            .read(&timestamp, self.limits.timestamp_bytes + 1)?
        else {
            return Ok(());
        };
        if recalled.recall_timestamp(&bytes).is_err() {
            return Ok(());
        }
        self.held.insert(timestamp.clone(), Digest::of(&bytes));
        if let Some(bytes) = self.disk.read(&snapshot, self.limits.snapshot_bytes + 1)? {
            match recalled.recall_snapshot(&bytes) {
                Ok(()) => {
                    self.held.insert(snapshot, Digest::of(&bytes));
                }
                // Its keys were rotated, and the power failed before both files were dropped: with
                // the keys goes what they signed (5.3.11).
                Err(TrustError::Signatures { .. }) if is_named(&recalled, &bytes) => {
                    self.held.remove(&timestamp);
                    return Ok(());
                }
                Err(_damaged) => {}
            }
        }
        *set = recalled;
        Ok(())
    }

    /// Returns what is stored of the role that a request asks for, if anything: it may be what the
    /// request asks for, or older, or damaged, which the set tells as for any other bytes.
    ///
    /// # Errors
    /// [`DiskError`] when there is something that cannot be read.
    pub fn stored(&self, request: &MetadataRequest) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.read(
            &self.place(&request.file_name()),
            request.limit.saturating_add(1),
        )
    }

    /// Returns all that is stored of a role of targets: what a patch may start from.
    pub(crate) fn held_role(&self, request: &MetadataRequest) -> Option<Vec<u8>> {
        let place = self.place(&request.file_name());
        self.disk
            .read(&place, self.limits.targets_bytes)
            .ok()
            .flatten()
    }

    /// Stores what the set trusts and the disk does not have yet, each file durably; drops a
    /// timestamp and snapshot that the set trusts no more.
    ///
    /// To be called after each change of the set, before anything is done on the strength of it.
    ///
    /// # Errors
    /// [`UpdateError::DiskFull`], [`UpdateError::Disk`]: nothing may be done on the strength of the
    /// set.
    pub fn store(&mut self, set: &TrustedSet) -> Result<(), UpdateError> {
        let mut has_timestamp = false;
        let mut has_snapshot = false;
        for (name, bytes) in set.files() {
            has_timestamp |= name == "timestamp.json";
            has_snapshot |= name == "snapshot.json";
            let path = match name.as_str() {
                "root.json" => self.layout.root(set.root().version),
                name => self.place(name),
            };
            let digest = Digest::of(bytes);
            if self.held.get(&path) != Some(&digest) {
                self.disk.write_durably(&path, bytes)?;
                self.held.insert(path, digest);
            }
        }
        // After the root that rotates their keys is stored: were they dropped before it and the power
        // failed, an old mirror would find a device that has forgotten what it saw.
        for (name, is_there) in [
            ("timestamp.json", has_timestamp),
            ("snapshot.json", has_snapshot),
        ] {
            let path = self.layout.top_role(name);
            if !is_there && self.held.remove(&path).is_some() {
                self.disk.remove_file(&path)?;
                self.disk.sync_dir(self.layout.folder())?;
            }
        }
        Ok(())
    }

    fn place(&self, name: &str) -> PathBuf {
        match name {
            "timestamp.json" | "snapshot.json" | "targets.json" => self.layout.top_role(name),
            name => self.layout.delegated_role(name),
        }
    }

    /// Removes what an interrupted write left, and makes durable what was read: a process that was
    /// killed between its rename and its sync leaves a file that everybody sees and a power cut takes
    /// back. The name of the outermost folder is its parent's to sync.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn settle(&self) -> Result<(), DiskError> {
        let folder = self.layout.folder();
        let outside = folder.parent().unwrap_or(folder);
        let folders = [
            folder.to_owned(),
            self.layout.roots(),
            self.layout.delegated_roles(),
        ];
        for folder in folders.into_iter().chain(self.layout.targets()) {
            if self.disk.length(&folder)?.is_none() {
                self.disk.create_dirs(outside, &folder)?;
            }
            self.disk.remove_asides(&folder)?;
            self.disk.sync_dir(&folder)?;
        }
        Ok(())
    }
}

/// Whether `bytes` are the very snapshot that the timestamp names: intact, whoever signed them.
fn is_named(set: &TrustedSet, bytes: &[u8]) -> bool {
    let named = set.timestamp().and_then(Timestamp::snapshot);
    named.is_some_and(|named| {
        named.hashes.is_none() || named.hashes == MetaFile::of(named.version, bytes).hashes
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ed25519_dalek::SigningKey;
    use release_format::{
        Ed25519Signer, MetaFile, Refreshed, Root, Signer, Snapshot, Targets, Timestamp, UtcTime,
        sign,
    };

    use super::super::disk::RealDisk;
    use super::super::layout::LibraryLayout;
    use super::*;

    const NOW: UtcTime = UtcTime::from_seconds(1_800_000_000);

    fn key(number: u8) -> Ed25519Signer {
        Ed25519Signer::new(SigningKey::from_bytes(&[number; 32]))
    }

    /// A repository with one key a role: 1 root, 2 targets, then those of timestamp and snapshot.
    struct Repository {
        timestamp: u8,
        snapshot: u8,
    }

    impl Repository {
        const FIRST: Repository = Repository {
            timestamp: 3,
            snapshot: 4,
        };

        fn root(&self, version: u64) -> Vec<u8> {
            let public = |number| [key(number).public_key().clone()];
            let root = Root::first(
                NOW.plus_days(1_000),
                &[
                    ("root", &public(1), 1),
                    ("targets", &public(2), 1),
                    ("timestamp", &public(self.timestamp), 1),
                    ("snapshot", &public(self.snapshot), 1),
                ],
            );
            sign(&Root { version, ..root }, &[&key(1)]).unwrap()
        }

        fn targets(&self, version: u64) -> Vec<u8> {
            let targets = Targets {
                version,
                expires: NOW.plus_days(500),
                targets: BTreeMap::new(),
                delegations: None,
                issued: None,
                offline_grace_days: None,
            };
            sign(&targets, &[&key(2)]).unwrap()
        }

        fn snapshot(&self, version: u64) -> Vec<u8> {
            let targets = MetaFile::of(version, &self.targets(version));
            let snapshot = Snapshot {
                version,
                expires: NOW.plus_days(60),
                meta: BTreeMap::from([("targets.json".to_owned(), targets)]),
            };
            sign(&snapshot, &[&key(self.snapshot)]).unwrap()
        }

        fn timestamp(&self, version: u64) -> Vec<u8> {
            let snapshot = MetaFile::of(version, &self.snapshot(version));
            let timestamp = Timestamp::of(version, NOW.plus_days(7), snapshot);
            sign(&timestamp, &[&key(self.timestamp)]).unwrap()
        }
    }

    struct Device {
        _temporary: tempfile::TempDir,
        disk: RealDisk,
        layout: LibraryLayout,
    }

    impl Device {
        /// Returns a device that was enrolled with root 1 and nothing more.
        fn enrolled() -> Device {
            let temporary = tempfile::tempdir().unwrap();
            let layout = LibraryLayout::new(temporary.path());
            let disk = RealDisk::new();
            layout.create(&disk).unwrap();
            let device = Device {
                _temporary: temporary,
                disk,
                layout,
            };
            device.store().pin(&Repository::FIRST.root(1)).unwrap();
            device
        }

        /// Returns a device that has seen version 5 of everything.
        fn updated() -> Device {
            let device = Device::enrolled();
            let mut store = device.store();
            let mut set = store.load().unwrap();
            update(&mut store, &mut set, &Repository::FIRST, 5).unwrap();
            device
        }

        fn store(&self) -> TrustStore<'_> {
            TrustStore::new(&self.disk, self.layout.trust(), TrustLimits::standard())
        }

        fn top(&self, name: &str) -> PathBuf {
            self.layout.trust().top_role(name)
        }
    }

    fn update(
        store: &mut TrustStore<'_>,
        set: &mut TrustedSet,
        repository: &Repository,
        version: u64,
    ) -> Result<Refreshed, UpdateError> {
        let refreshed = set.update_timestamp(&repository.timestamp(version), NOW)?;
        store.store(set)?;
        set.update_snapshot(&repository.snapshot(version), NOW)?;
        store.store(set)?;
        if let Some(request) = set.targets_request()? {
            set.update_targets(&request, &repository.targets(version), NOW)?;
            store.store(set)?;
        }
        Ok(refreshed)
    }

    fn flip_a_bit(path: &std::path::Path) {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn what_was_seen_is_known_after_a_restart_and_nothing_older_is_accepted() {
        let device = Device::updated();
        let mut store = device.store();
        let mut set = store.load().unwrap();
        assert_eq!(set.timestamp().unwrap().version, 5);
        assert_eq!(set.snapshot().unwrap().version, 5);
        let failed = update(&mut store, &mut set, &Repository::FIRST, 4);
        assert!(matches!(
            failed,
            Err(UpdateError::Trust(TrustError::Rollback {
                trusted: 5,
                found: 4,
                ..
            }))
        ));
        update(&mut store, &mut set, &Repository::FIRST, 6).unwrap();
        assert_eq!(
            device.store().load().unwrap().timestamp().unwrap().version,
            6
        );
    }

    #[test]
    fn stored_targets_serve_the_request_that_they_fit() {
        let device = Device::updated();
        let store = &mut device.store();
        let mut set = store.load().unwrap();
        let request = set.targets_request().unwrap().unwrap();
        let stored = store.stored(&request).unwrap().unwrap();
        set.update_targets(&request, &stored, NOW).unwrap();
        assert_eq!(set.targets("targets").unwrap().version, 5);
        let absent = MetadataRequest {
            role: "acme".to_owned(),
            location: "metadata/5.acme.json".to_owned(),
            ..request
        };
        assert_eq!(store.stored(&absent).unwrap(), None);
    }

    #[test]
    fn damaged_files_count_as_not_there_and_are_stored_anew() {
        for name in ["timestamp.json", "snapshot.json", "targets.json"] {
            let device = Device::updated();
            flip_a_bit(&device.top(name));
            let mut store = device.store();
            let mut set = store.load().unwrap();
            let remembered = set.timestamp().map(|timestamp| timestamp.version);
            let expected = Some(5).filter(|_| name != "timestamp.json");
            assert_eq!(remembered, expected, "{name}");
            update(&mut store, &mut set, &Repository::FIRST, 6).unwrap();
            let set = device.store().load().unwrap();
            assert_eq!(set.timestamp().unwrap().version, 6, "{name}");
            assert_eq!(set.snapshot().unwrap().version, 6, "{name}");
        }
    }

    #[test]
    fn the_chain_of_roots_is_followed_to_its_first_damaged_link_and_goes_on_from_there() {
        let device = Device::enrolled();
        let mut store = device.store();
        let mut set = store.load().unwrap();
        for version in 2..=4 {
            set.update_root(&Repository::FIRST.root(version)).unwrap();
            store.store(&set).unwrap();
        }
        update(&mut store, &mut set, &Repository::FIRST, 5).unwrap();
        assert_eq!(device.store().load().unwrap().root().version, 4);

        flip_a_bit(&device.layout.trust().root(3));
        let mut store = device.store();
        let mut set = store.load().unwrap();
        assert_eq!(set.root().version, 2);
        assert_eq!(set.root_request().version, 3);
        set.update_root(&Repository::FIRST.root(3)).unwrap();
        store.store(&set).unwrap();
        assert_eq!(device.store().load().unwrap().root().version, 4);
    }

    #[test]
    fn a_root_that_nobody_signed_for_is_not_followed() {
        let device = Device::enrolled();
        let mut forged = String::from_utf8(Repository::FIRST.root(2)).unwrap();
        forged = forged.replace("\"version\":2", "\"version\":3");
        std::fs::write(device.layout.trust().root(2), &forged).unwrap();
        assert_eq!(device.store().load().unwrap().root().version, 1);
        std::fs::remove_file(device.layout.trust().root(1)).unwrap();
        let failed = device.store().load();
        let at = device.layout.trust().root(2);
        assert!(matches!(failed, Err(UpdateError::Damaged { at: found, .. }) if found == at));
        std::fs::remove_file(at).unwrap();
        let failed = device.store().load();
        let roots = device.layout.trust().roots();
        assert!(matches!(failed, Err(UpdateError::Damaged { at, .. }) if at == roots));
    }

    #[test]
    fn what_rotated_keys_signed_is_dropped_also_when_the_power_fails_in_between() {
        for rotated in [
            Repository {
                timestamp: 5,
                snapshot: 4,
            },
            Repository {
                timestamp: 3,
                snapshot: 5,
            },
        ] {
            for power_fails in [false, true] {
                let device = Device::updated();
                let mut store = device.store();
                let mut set = store.load().unwrap();
                set.update_root(&rotated.root(2)).unwrap();
                if power_fails {
                    device
                        .disk
                        .write_durably(&device.layout.trust().root(2), &rotated.root(2))
                        .unwrap();
                } else {
                    store.store(&set).unwrap();
                    assert!(!device.top("timestamp.json").exists());
                    assert!(!device.top("snapshot.json").exists());
                }
                let mut store = device.store();
                let mut set = store.load().unwrap();
                assert_eq!(set.root().version, 2);
                assert_eq!(set.timestamp(), None);
                let refreshed = update(&mut store, &mut set, &rotated, 1).unwrap();
                assert_eq!(refreshed, Refreshed::Newer);
                assert_eq!(
                    device.store().load().unwrap().snapshot().unwrap().version,
                    1
                );
            }
        }
    }

    #[test]
    fn what_no_root_on_the_disk_vouches_for_is_recalled_once_the_newer_roots_are_back() {
        let device = Device::enrolled();
        let rotated = Repository {
            timestamp: 5,
            snapshot: 6,
        };
        let mut store = device.store();
        let mut set = store.load().unwrap();
        set.update_root(&rotated.root(2)).unwrap();
        store.store(&set).unwrap();
        update(&mut store, &mut set, &rotated, 5).unwrap();
        flip_a_bit(&device.layout.trust().root(2));

        let mut store = device.store();
        let mut set = store.load().unwrap();
        assert_eq!((set.root().version, set.timestamp()), (1, None));
        set.update_root(&rotated.root(2)).unwrap();
        store.store(&set).unwrap();
        store.recall(&mut set).unwrap();
        let failed = update(&mut store, &mut set, &rotated, 4);
        assert!(matches!(
            failed,
            Err(UpdateError::Trust(TrustError::Rollback {
                trusted: 5,
                found: 4,
                ..
            }))
        ));
    }

    #[test]
    fn settling_removes_what_was_interrupted_and_makes_lost_folders() {
        let device = Device::updated();
        device
            .disk
            .write_aside(&device.top("timestamp.json"), b"half")
            .unwrap();
        std::fs::remove_dir(device.layout.trust().delegated_roles()).unwrap();
        device.store().settle().unwrap();
        assert!(device.layout.trust().delegated_roles().is_dir());
        let names = device.disk.list(device.layout.trust().folder()).unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|entry| entry.name.to_str().unwrap())
            .collect();
        let expected = [
            "delegated",
            "roots",
            "snapshot.json",
            "targets",
            "targets.json",
            "timestamp.json",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn nothing_is_pinned_that_has_not_signed_itself() {
        let device = Device::enrolled();
        let failed = device.store().pin(b"{}");
        assert!(matches!(
            failed,
            Err(UpdateError::Trust(TrustError::Malformed { .. }))
        ));
    }
}
