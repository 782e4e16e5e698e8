use std::collections::BTreeMap;

use release_format::{
    Lookup, MetaFile, PackName, PublicKey, RoleBody, RoleKeys, Root, Signer, Snapshot, TargetEntry,
    Targets, Timestamp, UtcTime, sign,
};

use crate::PublishError;
use crate::key_store::{KeyStore, RoleKey};
use crate::repository::roles::{Roles, TIMESTAMP_LOCATION, absent, refused};
use crate::storage::{Source, Storage};

/// The keys that sign one release.
pub(crate) struct Signing {
    content: RoleKey,
    operations: RoleKey,
    snapshot: RoleKey,
    timestamp: RoleKey,
    /// There when the tenant is new.
    targets: Option<RoleKey>,
    generated: Vec<String>,
}

impl Signing {
    /// Whether the tenant is new, and is delegated to.
    pub(crate) fn delegates(&self) -> bool {
        self.targets.is_some()
    }

    /// Returns the roles whose keys were made.
    pub(crate) fn generated_keys(&self) -> Vec<String> {
        self.generated.clone()
    }
}

impl Roles {
    /// Loads the keys that a release of `pack` needs, and no others.
    ///
    /// # Errors
    /// [`PublishError::KeyMissing`] and its like; [`PublishError::KeyNotTrusted`] for a key that the
    /// role does not have; [`PublishError::Threshold`] where one key is not enough.
    pub(crate) fn signing(
        &self,
        pack: &PackName,
        keys: &KeyStore,
    ) -> Result<Signing, PublishError> {
        let (content, operations) = (pack.content_role(), pack.operations_role());
        let is_new = self.delegation(&content).is_none();
        let snapshot = self.top_level_key("snapshot", keys)?;
        let timestamp = self.top_level_key("timestamp", keys)?;
        if !is_new {
            return Ok(Signing {
                content: self.delegated_key(&content, keys)?,
                operations: self.delegated_key(&operations, keys)?,
                snapshot,
                timestamp,
                targets: None,
                generated: Vec::new(),
            });
        }
        let targets = self.top_level_key("targets", keys)?;
        let mut generated = Vec::new();
        let mut tenant_key = |role: String| {
            let (key, is_new) = keys.load_or_generate(&role)?;
            generated.extend(is_new.then_some(role));
            Ok::<RoleKey, PublishError>(key)
        };
        Ok(Signing {
            content: tenant_key(content)?,
            operations: tenant_key(operations)?,
            snapshot,
            timestamp,
            targets: Some(targets),
            generated,
        })
    }

    fn top_level_key(&self, role: &str, keys: &KeyStore) -> Result<RoleKey, PublishError> {
        let trusted = self.trusted.root().roles.get(role);
        trusted_key(role, trusted, keys)
    }

    fn delegated_key(&self, role: &str, keys: &KeyStore) -> Result<RoleKey, PublishError> {
        let trusted = self.delegation(role).map(|delegated| RoleKeys {
            keyids: delegated.keyids.clone(),
            threshold: delegated.threshold,
        });
        trusted_key(role, trusted.as_ref(), keys)
    }
}

/// Loads the key of `role` and refuses one whose signature devices would not count.
fn trusted_key(
    role: &str,
    trusted: Option<&RoleKeys>,
    keys: &KeyStore,
) -> Result<RoleKey, PublishError> {
    let key = keys.load(role)?;
    let id = key.public_key().id();
    let is_listed = |trusted: &RoleKeys| {
        trusted
            .keyids
            .iter()
            .any(|listed| Some(listed) == id.as_ref())
    };
    match trusted {
        Some(trusted) if !is_listed(trusted) => Err(not_trusted(&key)),
        Some(trusted) if trusted.threshold > 1 => Err(PublishError::Threshold {
            role: role.to_owned(),
            threshold: trusted.threshold,
        }),
        Some(_) => Ok(key),
        None => Err(not_trusted(&key)),
    }
}

fn not_trusted(key: &RoleKey) -> PublishError {
    PublishError::KeyNotTrusted {
        role: key.role().to_owned(),
        path: key.path().to_owned(),
    }
}

/// A target that gets new bytes.
pub(crate) struct TargetChange {
    /// The role that signs it.
    pub(crate) role: String,
    /// Its path among the targets.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

impl TargetChange {
    /// Returns where the bytes will lie.
    pub(crate) fn location(&self) -> String {
        let entry = TargetEntry::of(&self.bytes);
        let digest = entry.sha256().unwrap_or_default();
        match self.path.rsplit_once('/') {
            Some((folder, name)) => format!("targets/{folder}/{digest}.{name}"),
            None => format!("targets/{digest}.{}", self.path),
        }
    }
}

/// Metadata that is signed and not yet published.
pub(crate) struct SignedFiles {
    /// All but the timestamp, by their locations.
    files: Vec<(String, Vec<u8>)>,
    timestamp: Vec<u8>,
}

impl SignedFiles {
    /// Publishes: the timestamp behind all that it leads to.
    pub(crate) fn store(&self, storage: &dyn Storage) -> Result<(), PublishError> {
        for (location, bytes) in &self.files {
            storage.put(location, Source::Bytes(bytes))?;
        }
        storage.sync()?;
        storage.put(TIMESTAMP_LOCATION, Source::Bytes(&self.timestamp))?;
        storage.sync()
    }

    /// Returns the file at a location.
    pub(crate) fn file(&self, location: &str) -> Option<&[u8]> {
        let (_, bytes) = self.files.iter().find(|(name, _)| name == location)?;
        Some(bytes)
    }
}

impl Roles {
    /// Makes the first metadata of a repository, and the keys that `keys` lacks, whose roles are
    /// returned.
    pub(crate) fn first(
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<(SignedFiles, Vec<String>), PublishError> {
        let mut generated = Vec::new();
        let mut key = |role: &str| {
            let (key, is_new) = keys.load_or_generate(role)?;
            generated.extend(is_new.then(|| role.to_owned()));
            Ok::<RoleKey, PublishError>(key)
        };
        let root_key = key("root")?;
        let targets_key = key("targets")?;
        let snapshot_key = key("snapshot")?;
        let timestamp_key = key("timestamp")?;
        let public = |key: &RoleKey| [key.public_key().clone()];
        let mut root = Root::first(
            now.plus_days(ROOT_DAYS),
            &[
                ("root", &public(&root_key), 1),
                ("targets", &public(&targets_key), 1),
                ("snapshot", &public(&snapshot_key), 1),
                ("timestamp", &public(&timestamp_key), 1),
            ],
        );
        root.issued = Some(now);
        let mut files = Revision::new(now);
        files.sign_root(&root, &root_key)?;
        files.sign_targets(
            "targets",
            &Targets {
                issued: Some(now),
                ..no_targets(1, now.plus_days(TARGETS_DAYS))
            },
            &targets_key,
        )?;
        let files = files.finish((1, &snapshot_key), (1, &timestamp_key))?;
        Ok((files, generated))
    }

    /// Signs the metadata that gives `targets` their new bytes, and reads it as a device would at the
    /// time `now`.
    ///
    /// # Errors
    /// [`PublishError::Refused`] when a device would refuse it, as when the root has expired.
    pub(crate) fn changed(
        &self,
        storage: &dyn Storage,
        signing: &Signing,
        pack: &PackName,
        targets: &[TargetChange],
        offline_grace_days: Option<u32>,
        now: UtcTime,
    ) -> Result<SignedFiles, PublishError> {
        let versions = Versions::taken(storage)?;
        let mut revision = Revision::new(now);
        if let Some(snapshot) = self.trusted.snapshot() {
            revision.meta = snapshot.meta.clone();
        }
        if let Some(key) = &signing.targets {
            let body = self.delegating(pack, signing, versions.next("targets"), now);
            revision.sign_targets("targets", &body, key)?;
        }
        for (key, days) in [
            (&signing.content, TARGETS_DAYS),
            (&signing.operations, OPERATIONS_DAYS),
        ] {
            let role = key.role();
            let (version, expires) = (versions.next(role), now.plus_days(days));
            let mut body = no_targets(version, expires);
            body.issued = Some(now);
            if let Some(current) = self.trusted.targets(role) {
                body.targets = current.targets.clone();
                body.offline_grace_days = current.offline_grace_days;
            }
            if role == signing.content.role() {
                body.offline_grace_days = offline_grace_days.or(body.offline_grace_days);
            }
            for target in targets.iter().filter(|target| target.role == role) {
                let entry = TargetEntry::of(&target.bytes);
                body.targets.insert(target.path.clone(), entry);
            }
            revision.sign_targets(role, &body, key)?;
        }
        let timestamp = self.trusted.timestamp().map_or(0, |body| body.version);
        let files = revision.finish(
            (versions.next("snapshot"), &signing.snapshot),
            (timestamp.saturating_add(1), &signing.timestamp),
        )?;
        self.rehearse(&files, targets, now)?;
        Ok(files)
    }

    /// Returns the targets role with the delegations to the tenant of `pack`.
    fn delegating(
        &self,
        pack: &PackName,
        signing: &Signing,
        version: u64,
        now: UtcTime,
    ) -> Targets {
        let mut body = no_targets(version, now.plus_days(TARGETS_DAYS));
        body.issued = Some(now);
        if let Some(current) = self.trusted.targets("targets") {
            body.targets = current.targets.clone();
            body.delegations = current.delegations.clone();
        }
        let delegations = body.delegations.get_or_insert_default();
        let tenant = pack.tenant();
        for (key, paths) in [
            (&signing.content, format!("{tenant}/*/catalogue")),
            (&signing.operations, format!("{tenant}/*/rollout/*")),
        ] {
            let public: [PublicKey; 1] = [key.public_key().clone()];
            delegations.delegate(key.role(), &public, 1, &[paths]);
        }
        body
    }

    /// Takes the road of a device that has trusted the metadata so far, over the new files.
    fn rehearse(
        &self,
        files: &SignedFiles,
        targets: &[TargetChange],
        now: UtcTime,
    ) -> Result<(), PublishError> {
        let mut device = self.trusted.clone();
        device
            .update_timestamp(&files.timestamp, now)
            .map_err(refused(TIMESTAMP_LOCATION))?;
        let get = |location: &str| files.file(location).ok_or_else(|| absent(location));
        let in_snapshot = refused("metadata/snapshot.json");
        if let Some(request) = device.snapshot_request().map_err(in_snapshot)? {
            let updated = device.update_snapshot(get(&request.location)?, now);
            updated.map_err(refused(&request.location))?;
        }
        for target in targets {
            loop {
                let request = match device.lookup(&target.path).map_err(refused(&target.path))? {
                    Lookup::Needs(request) => request,
                    Lookup::Found(file) => {
                        let verified = device.verify_target(&file, &target.bytes);
                        verified.map_err(refused(&file.location))?;
                        break;
                    }
                    Lookup::Absent => return Err(absent(&target.path)),
                };
                let updated = device.update_targets(&request, get(&request.location)?, now);
                updated.map_err(refused(&request.location))?;
            }
        }
        Ok(())
    }
}

/// The next state of the metadata while it is being signed.
struct Revision {
    now: UtcTime,
    meta: BTreeMap<String, MetaFile>,
    files: Vec<(String, Vec<u8>)>,
}

impl Revision {
    fn new(now: UtcTime) -> Revision {
        Revision {
            now,
            meta: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    fn sign_root(&mut self, body: &Root, key: &RoleKey) -> Result<(), PublishError> {
        let bytes = signed(body, key)?;
        let location = format!("metadata/{}.root.json", body.version);
        self.files.push((location, bytes));
        Ok(())
    }

    fn sign_targets(
        &mut self,
        role: &str,
        body: &Targets,
        key: &RoleKey,
    ) -> Result<(), PublishError> {
        let bytes = signed(body, key)?;
        let file = MetaFile::of(body.version, &bytes);
        self.meta.insert(format!("{role}.json"), file);
        let location = format!("metadata/{}.{role}.json", body.version);
        self.files.push((location, bytes));
        Ok(())
    }

    /// Signs snapshot and timestamp, each of the version beside its key.
    fn finish(
        mut self,
        (version, snapshot_key): (u64, &RoleKey),
        (timestamp_version, timestamp_key): (u64, &RoleKey),
    ) -> Result<SignedFiles, PublishError> {
        let snapshot = Snapshot {
            version,
            expires: self.now.plus_days(SNAPSHOT_DAYS),
            meta: self.meta,
        };
        let bytes = signed(&snapshot, snapshot_key)?;
        let file = MetaFile::of(version, &bytes);
        let location = format!("metadata/{version}.snapshot.json");
        self.files.push((location, bytes));
        let expires = self.now.plus_days(TIMESTAMP_DAYS);
        let timestamp = Timestamp {
            issued: Some(self.now),
            ..Timestamp::of(timestamp_version, expires, file)
        };
        Ok(SignedFiles {
            files: self.files,
            timestamp: signed(&timestamp, timestamp_key)?,
        })
    }
}

/// The versions whose names are taken, by files that are trusted or that an interrupted publisher left:
/// a name is never given to other bytes.
struct Versions(BTreeMap<String, u64>);

impl Versions {
    fn taken(storage: &dyn Storage) -> Result<Versions, PublishError> {
        let mut newest = BTreeMap::new();
        for location in storage.list("metadata/")? {
            let name = location.strip_prefix("metadata/").unwrap_or(&location);
            let parts = name
                .strip_suffix(".json")
                .and_then(|name| name.split_once('.'));
            if let Some((version, role)) = parts
                && let Ok(version) = version.parse::<u64>()
            {
                let newest = newest.entry(role.to_owned()).or_insert(version);
                *newest = version.max(*newest);
            }
        }
        Ok(Versions(newest))
    }

    fn next(&self, role: &str) -> u64 {
        self.0
            .get(role)
            .map_or(1, |newest| newest.saturating_add(1))
    }
}

fn no_targets(version: u64, expires: UtcTime) -> Targets {
    Targets {
        version,
        expires,
        targets: BTreeMap::new(),
        delegations: None,
        issued: None,
        offline_grace_days: None,
    }
}

fn signed<T: RoleBody>(body: &T, key: &RoleKey) -> Result<Vec<u8>, PublishError> {
    sign(body, &[key]).map_err(|source| PublishError::Unsigned {
        role: key.role().to_owned(),
        path: key.path().to_owned(),
        source,
    })
}

const ROOT_DAYS: u32 = 3 * 365;
const TARGETS_DAYS: u32 = 548;
const OPERATIONS_DAYS: u32 = 90;
const SNAPSHOT_DAYS: u32 = 60;
const TIMESTAMP_DAYS: u32 = 7;
