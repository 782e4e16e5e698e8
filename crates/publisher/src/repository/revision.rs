use std::collections::BTreeMap;

use release_format::{MetaFile, Snapshot, Targets, Timestamp, TrustedSet, UtcTime};

use crate::PublishError;
use crate::key_store::ring::RoleSigners;
use crate::repository::location::versioned_role;
use crate::repository::patching::Patching;
use crate::repository::record::Record;
use crate::repository::roles::{TIMESTAMP_LOCATION, root_location};
use crate::storage::{Source, Storage};

/// Metadata that is signed and not yet published.
pub(crate) struct SignedFiles {
    /// All but the timestamp, by their locations; the entry of the log behind what it tells of.
    files: Vec<(String, Vec<u8>)>,
    patching: Patching,
    pub(crate) timestamp: Vec<u8>,
}

impl SignedFiles {
    /// Publishes: the timestamp behind all that it leads to.
    pub(crate) fn store(&self, storage: &dyn Storage) -> Result<(), PublishError> {
        self.store_versioned(storage)?;
        storage.put(TIMESTAMP_LOCATION, Source::Bytes(&self.timestamp))?;
        storage.sync()
    }

    /// Puts all but the timestamp, to which nothing leads yet.
    pub(crate) fn store_versioned(&self, storage: &dyn Storage) -> Result<(), PublishError> {
        self.patching.store(storage)?;
        for (location, bytes) in &self.files {
            storage.put(location, Source::Bytes(bytes))?;
        }
        storage.sync()
    }

    /// Returns the file at a location.
    pub(crate) fn file(&self, location: &str) -> Option<&[u8]> {
        let (_, bytes) = self.files.iter().find(|(name, _)| name == location)?;
        Some(bytes)
    }
}

/// The next state of the metadata while it is being signed, with the entry of the log that tells of it.
pub(crate) struct Revision<'a> {
    now: UtcTime,
    record: Record,
    /// What devices hold that saw the metadata before.
    before: Option<&'a TrustedSet>,
    /// What leads to the new files.
    pub(crate) patching: Patching,
    /// What the snapshot will list: all that it lists already, to begin with.
    pub(crate) meta: BTreeMap<String, MetaFile>,
    files: Vec<(String, Vec<u8>)>,
}

impl<'a> Revision<'a> {
    /// Returns what goes on from the metadata `before`; a new repository has none.
    pub(crate) fn new(
        now: UtcTime,
        record: Record,
        before: Option<&'a TrustedSet>,
    ) -> Revision<'a> {
        let snapshot = before.and_then(TrustedSet::snapshot);
        Revision {
            now,
            record,
            before,
            patching: Patching::default(),
            meta: snapshot.map_or_else(BTreeMap::new, |snapshot| snapshot.meta.clone()),
            files: Vec::new(),
        }
    }

    /// Adds the file of a root.
    pub(crate) fn add_root(&mut self, version: u64, bytes: Vec<u8>) {
        self.record.add_file("root", version, &bytes);
        self.files.push((root_location(version), bytes));
    }

    /// Adds the file of a targets role, and lists it.
    pub(crate) fn add_targets(
        &mut self,
        role: &str,
        version: u64,
        bytes: Vec<u8>,
    ) -> Result<(), PublishError> {
        let mut file = MetaFile::of(version, &bytes);
        file.patches = self.patching.lead_to_role(self.before, (role, &bytes))?;
        self.record.add_file(role, version, &bytes);
        self.meta.insert(format!("{role}.json"), file);
        let location = format!("metadata/{version}.{role}.json");
        self.files.push((location, bytes));
        Ok(())
    }

    /// Signs a targets role.
    pub(crate) fn sign_targets(
        &mut self,
        body: &Targets,
        signers: &RoleSigners,
    ) -> Result<(), PublishError> {
        let bytes = signers.sign(body)?;
        self.record.add_acting(signers);
        self.add_targets(signers.role(), body.version, bytes)
    }

    /// Signs snapshot, the entry of the log and the timestamp, which names both; each of the version
    /// beside its keys.
    pub(crate) fn finish(
        mut self,
        (version, snapshot_signers): (u64, &RoleSigners),
        (timestamp_version, timestamp_signers): (u64, &RoleSigners),
    ) -> Result<SignedFiles, PublishError> {
        let snapshot = Snapshot {
            version,
            expires: self.now.plus_days(SNAPSHOT_DAYS),
            meta: self.meta,
        };
        let bytes = snapshot_signers.sign(&snapshot)?;
        let mut file = MetaFile::of(version, &bytes);
        let before = ("snapshot", &*bytes);
        file.patches = self.patching.lead_to_role(self.before, before)?;
        let location = format!("metadata/{version}.snapshot.json");
        self.record.add_file("snapshot", version, &bytes);
        self.files.push((location, bytes));
        // What others signed beforehand, as in a ceremony, is told of by those who publish it.
        if !self.record.has_acting() {
            self.record.add_acting(snapshot_signers);
            self.record.add_acting(timestamp_signers);
        }
        let (location, bytes, head) = self.record.finish(self.now, Some(timestamp_version))?;
        self.files.push((location, bytes));
        let expires = self.now.plus_days(TIMESTAMP_DAYS);
        let timestamp = Timestamp {
            issued: Some(self.now),
            log: Some(head),
            ..Timestamp::of(timestamp_version, expires, file)
        };
        Ok(SignedFiles {
            files: self.files,
            patching: self.patching,
            timestamp: timestamp_signers.sign(&timestamp)?,
        })
    }
}

/// The versions whose names are taken, by files that are trusted or that an interrupted publisher left:
/// a name is never given to other bytes.
pub(crate) struct Versions(BTreeMap<String, u64>);

impl Versions {
    pub(crate) fn taken(storage: &dyn Storage) -> Result<Versions, PublishError> {
        let mut newest = BTreeMap::new();
        for location in storage.list("metadata/")? {
            let name = location.strip_prefix("metadata/").unwrap_or(&location);
            if let Some((version, role)) = versioned_role(name) {
                let newest = newest.entry(role.to_owned()).or_insert(version);
                *newest = version.max(*newest);
            }
        }
        Ok(Versions(newest))
    }

    pub(crate) fn next(&self, role: &str) -> u64 {
        self.0
            .get(role)
            .map_or(1, |newest| newest.saturating_add(1))
    }
}

/// Returns a targets role that vouches for nothing yet.
pub(crate) fn no_targets(version: u64, expires: UtcTime) -> Targets {
    Targets {
        version,
        expires,
        targets: BTreeMap::new(),
        delegations: None,
        issued: None,
        offline_grace_days: None,
    }
}

pub(crate) const ROOT_DAYS: u32 = 3 * 365;
pub(crate) const TARGETS_DAYS: u32 = 548;
pub(crate) const OPERATIONS_DAYS: u32 = 90;
const SNAPSHOT_DAYS: u32 = 60;
const TIMESTAMP_DAYS: u32 = 7;
