use std::sync::Arc;

use release_format::{
    Catalogue, ChannelName, DelegatedRole, LogSubject, Lookup, PackName, Rollout, Root,
    TargetEntry, Targets, UtcTime,
};

use crate::PublishError;
use crate::key_store::KeyStore;
use crate::key_store::ring::RoleSigners;
use crate::repository::record::{Action, Record};
use crate::repository::revision::{
    OPERATIONS_DAYS, ROOT_DAYS, Revision, SignedFiles, TARGETS_DAYS, Versions, no_targets,
};
use crate::repository::roles::{Roles, TIMESTAMP_LOCATION, absent, refused};
use crate::storage::{Source, Storage};

/// The keys that sign one change.
pub(crate) struct Signing {
    /// There when a catalogue changes.
    content: Option<RoleSigners>,
    /// There when rollouts change.
    operations: Option<RoleSigners>,
    snapshot: RoleSigners,
    timestamp: RoleSigners,
    /// There when the tenant is new.
    targets: Option<RoleSigners>,
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
        channel: &ChannelName,
        keys: &KeyStore,
    ) -> Result<Signing, PublishError> {
        let (content, operations) = (pack.content_role(), self.rollout_role(pack, channel));
        let is_new = self.delegation(&content).is_none();
        let snapshot = self.top_level_key("snapshot", keys)?;
        let timestamp = self.top_level_key("timestamp", keys)?;
        if !is_new {
            return Ok(Signing {
                content: Some(self.delegated_key(&content, keys)?),
                operations: Some(self.delegated_key(&operations, keys)?),
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
            let signers = RoleSigners::of(&role, vec![Arc::new(key)]);
            generated.extend(is_new.then_some(role));
            Ok::<RoleSigners, PublishError>(signers)
        };
        Ok(Signing {
            content: Some(tenant_key(content)?),
            operations: Some(tenant_key(operations)?),
            snapshot,
            timestamp,
            targets: Some(targets),
            generated,
        })
    }

    /// Loads the keys that a change of the catalogue of `pack` alone needs.
    ///
    /// # Errors
    /// As [`Roles::signing`].
    pub(crate) fn signing_content(
        &self,
        pack: &PackName,
        keys: &KeyStore,
    ) -> Result<Signing, PublishError> {
        Ok(Signing {
            snapshot: self.top_level_key("snapshot", keys)?,
            timestamp: self.top_level_key("timestamp", keys)?,
            content: Some(self.delegated_key(&pack.content_role(), keys)?),
            operations: None,
            targets: None,
            generated: Vec::new(),
        })
    }

    /// Loads the keys that a change of the rollouts that `role` signs needs: none that can sign content.
    ///
    /// # Errors
    /// As [`Roles::signing`].
    pub(crate) fn signing_rollouts(
        &self,
        role: &str,
        keys: &KeyStore,
    ) -> Result<Signing, PublishError> {
        Ok(Signing {
            snapshot: self.top_level_key("snapshot", keys)?,
            timestamp: self.top_level_key("timestamp", keys)?,
            content: None,
            operations: Some(self.delegated_key(role, keys)?),
            targets: None,
            generated: Vec::new(),
        })
    }

    /// Signs and publishes other rollouts of a pack whose catalogue stays.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is published then.
    pub(crate) fn store_rollouts(
        &self,
        storage: &dyn Storage,
        signing: &Signing,
        (role, rollouts): (&str, &[Rollout]),
        action: Action,
        now: UtcTime,
    ) -> Result<(), PublishError> {
        let Some(first) = rollouts.first() else {
            return Ok(());
        };
        let mut targets = Vec::new();
        for rollout in rollouts {
            targets.push(TargetChange {
                role: role.to_owned(),
                path: rollout.pack.rollout_target(&rollout.channel),
                bytes: rollout.encode().map_err(PublishError::Format)?,
            });
        }
        let change = Change {
            pack: &first.pack,
            targets: &targets,
            offline_grace_days: None,
            action,
        };
        let files = self.changed(storage, signing, change, now)?;
        for target in &targets {
            storage.put_if_absent(&target.location(), Source::Bytes(&target.bytes))?;
        }
        storage.sync()?;
        files.store(storage)
    }

    /// Signs and publishes another catalogue of a pack whose rollouts stay.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is published then.
    pub(crate) fn store_catalogue(
        &self,
        storage: &dyn Storage,
        signing: &Signing,
        catalogue: &Catalogue,
        action: Action,
        now: UtcTime,
    ) -> Result<(), PublishError> {
        let target = TargetChange {
            role: catalogue.pack.content_role(),
            path: catalogue.pack.catalogue_target(),
            bytes: catalogue.encode().map_err(PublishError::Format)?,
        };
        let targets = std::slice::from_ref(&target);
        let change = Change {
            pack: &catalogue.pack,
            targets,
            offline_grace_days: None,
            action,
        };
        let files = self.changed(storage, signing, change, now)?;
        storage.put_if_absent(&target.location(), Source::Bytes(&target.bytes))?;
        storage.sync()?;
        files.store(storage)
    }

    /// Returns signers that reach the threshold of one of the four roles.
    pub(crate) fn top_level_key(
        &self,
        role: &str,
        keys: &KeyStore,
    ) -> Result<RoleSigners, PublishError> {
        keys.role_signers(role, self.trusted.root().roles.get(role))
    }

    /// Begins the state of the metadata that comes next: it lists what the present one lists.
    pub(crate) fn succeeding(&self, now: UtcTime, record: Record) -> Revision<'_> {
        Revision::new(now, record, Some(&self.trusted))
    }

    /// Returns the version that the next timestamp has.
    pub(crate) fn next_timestamp(&self) -> u64 {
        let present = self.trusted.timestamp().map_or(0, |body| body.version);
        present.saturating_add(1)
    }

    /// Signs what every state ends with, the snapshot and the timestamp.
    pub(crate) fn finish(
        &self,
        revision: Revision,
        versions: &Versions,
        [snapshot, timestamp]: [&RoleSigners; 2],
    ) -> Result<SignedFiles, PublishError> {
        let next = versions.next(snapshot.role());
        revision.finish((next, snapshot), (self.next_timestamp(), timestamp))
    }

    /// Signs what every state ends with, by the keys at hand.
    pub(crate) fn finish_with(
        &self,
        revision: Revision,
        versions: &Versions,
        keys: &KeyStore,
    ) -> Result<SignedFiles, PublishError> {
        let snapshot = self.top_level_key("snapshot", keys)?;
        let timestamp = self.top_level_key("timestamp", keys)?;
        self.finish(revision, versions, [&snapshot, &timestamp])
    }

    fn delegated_key(&self, role: &str, keys: &KeyStore) -> Result<RoleSigners, PublishError> {
        let trusted = self.delegation(role).map(DelegatedRole::role_keys);
        keys.role_signers(role, trusted.as_ref())
    }
}

/// What is changed of a pack.
pub(crate) struct Change<'a> {
    /// The pack.
    pub(crate) pack: &'a PackName,
    /// The targets that get new bytes.
    pub(crate) targets: &'a [TargetChange],
    /// The tenant's grace; as it was where none is given.
    pub(crate) offline_grace_days: Option<u32>,
    /// What the log tells of it.
    pub(crate) action: Action,
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

impl Roles {
    /// Makes the first metadata of a repository, and the keys that `keys` lacks, whose roles are
    /// returned.
    pub(crate) fn first(
        storage: &dyn Storage,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<(SignedFiles, Vec<String>), PublishError> {
        let mut generated = Vec::new();
        let mut key = |role: &str| {
            let (key, is_new) = keys.load_or_generate(role)?;
            generated.extend(is_new.then(|| role.to_owned()));
            Ok::<RoleSigners, PublishError>(RoleSigners::of(role, vec![Arc::new(key)]))
        };
        let root_key = key("root")?;
        let targets_key = key("targets")?;
        let snapshot_key = key("snapshot")?;
        let timestamp_key = key("timestamp")?;
        let mut root = Root::first(
            now.plus_days(ROOT_DAYS),
            &[
                ("root", &root_key.public_keys(), 1),
                ("targets", &targets_key.public_keys(), 1),
                ("snapshot", &snapshot_key.public_keys(), 1),
                ("timestamp", &timestamp_key.public_keys(), 1),
            ],
        );
        root.issued = Some(now);
        let action = Action::new("init", LogSubject::default());
        let mut files = Revision::new(now, Record::begin(storage, None, action)?, None);
        files.add_root(root.version, root_key.sign(&root)?);
        files.sign_targets(
            &Targets {
                issued: Some(now),
                ..no_targets(1, now.plus_days(TARGETS_DAYS))
            },
            &targets_key,
        )?;
        let files = files.finish((1, &snapshot_key), (1, &timestamp_key))?;
        Ok((files, generated))
    }

    /// Signs the metadata that makes a change, and the entry of the log that tells of it, and reads it as a device would at the
    /// time `now`.
    ///
    /// # Errors
    /// [`PublishError::Refused`] when a device would refuse it, as when the root has expired.
    pub(crate) fn changed(
        &self,
        storage: &dyn Storage,
        signing: &Signing,
        change: Change<'_>,
        now: UtcTime,
    ) -> Result<SignedFiles, PublishError> {
        let Change {
            pack,
            targets,
            offline_grace_days,
            action,
        } = change;
        let versions = Versions::taken(storage)?;
        let mut record = Record::begin(storage, Some(self), action)?;
        for target in targets {
            record.add_target(&target.path, &target.bytes);
        }
        let mut revision = self.succeeding(now, record);
        if let Some(key) = &signing.targets {
            let body = self.delegating(pack, signing, versions.next("targets"), now);
            revision.sign_targets(&body, key)?;
        }
        let content = signing.content.as_ref().map(|key| (key, TARGETS_DAYS));
        let operations = signing.operations.as_ref();
        let operations = operations.map(|key| (key, OPERATIONS_DAYS));
        for (key, days) in content.into_iter().chain(operations) {
            let role = key.role();
            let (version, expires) = (versions.next(role), now.plus_days(days));
            let mut body = no_targets(version, expires);
            body.issued = Some(now);
            if let Some(current) = self.trusted.targets(role) {
                body.targets = current.targets.clone();
                body.delegations = current.delegations.clone();
                body.offline_grace_days = current.offline_grace_days;
            }
            if content.is_some_and(|(content, _)| content.role() == role) {
                body.offline_grace_days = offline_grace_days.or(body.offline_grace_days);
            }
            for target in targets.iter().filter(|target| target.role == role) {
                let held = self.held_of(storage, &target.path)?;
                let held = held.iter().map(Vec::as_slice);
                let patches = revision.patching.lead_to(&target.bytes, held)?;
                let entry = TargetEntry::of(&target.bytes).with_patches(&patches);
                body.targets.insert(target.path.clone(), entry);
            }
            revision.sign_targets(&body, key)?;
        }
        let online = [&signing.snapshot, &signing.timestamp];
        let files = self.finish(revision, &versions, online)?;
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
        let signers = signing.content.iter().chain(&signing.operations);
        for (signers, (role, paths)) in signers.zip(pack.tenant_name().roles()) {
            delegations.delegate(&role, &signers.public_keys(), 1, &[paths]);
        }
        body
    }

    /// Takes the road of a device that has trusted the metadata so far, over the new files.
    pub(crate) fn rehearse(
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
