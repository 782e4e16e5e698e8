use std::collections::BTreeMap;

use release_format::{
    KeyId, LogSubject, RoleDraft, RoleKeys, Targets, TenantName, TrustLimits, UtcTime,
};

use crate::PublishError;
use crate::govern::ceremony_error::CeremonyError;
use crate::govern::proposal::Proposal;
use crate::govern::trust_change::TrustChange;
use crate::key_store::KeyStore;
use crate::key_store::ring::RoleSigners;
use crate::repository::Repository;
use crate::repository::record::{Action, Record};
use crate::repository::revision::{
    OPERATIONS_DAYS, ROOT_DAYS, SignedFiles, TARGETS_DAYS, Versions, no_targets,
};
use crate::repository::roles::{Roles, TIMESTAMP_LOCATION, absent, refused, root_location};
use crate::storage::{Source, Storage};

/// The keys of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoleReport {
    /// The role.
    pub role: String,
    /// Its keys and threshold.
    pub keys: RoleKeys,
    /// The version of its file; none before the first.
    pub version: Option<u64>,
    /// When the file expires.
    pub expires: Option<UtcTime>,
    /// Patterns of the paths that it may sign; none for the four.
    pub paths: Vec<String>,
}

/// What [`Repository::publish_proposal`] published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Governed {
    /// The version of the newest root.
    pub root: u64,
    /// The roles whose files are new, with their versions; snapshot and timestamp among them.
    pub files: Vec<(String, u64)>,
    /// Whether devices could follow at every moment in between. They could not where old keys of
    /// online roles were not at hand: for that moment they kept what they had, and were told that
    /// signatures are missing.
    pub is_seamless: bool,
}

impl Repository {
    /// Returns the keys of every role, the four first.
    ///
    /// # Errors
    /// [`PublishError`] when the repository's metadata cannot be read.
    pub fn role_reports(&self) -> Result<Vec<RoleReport>, PublishError> {
        let roles = Roles::load(self.storage())?;
        let trusted = &roles.trusted;
        let root = trusted.root();
        let mut reports = Vec::new();
        for role in ["root", "targets", "snapshot", "timestamp"] {
            let (version, expires) = match role {
                "root" => (Some(root.version), Some(root.expires)),
                "snapshot" => of(trusted.snapshot().map(|body| (body.version, body.expires))),
                "timestamp" => of(trusted.timestamp().map(|body| (body.version, body.expires))),
                role => of(trusted
                    .targets(role)
                    .map(|body| (body.version, body.expires))),
            };
            if let Some(keys) = root.roles.get(role) {
                reports.push(RoleReport {
                    role: role.to_owned(),
                    keys: keys.clone(),
                    version,
                    expires,
                    paths: Vec::new(),
                });
            }
        }
        for delegated in roles.delegations().into_iter().flat_map(|all| &all.roles) {
            let body = trusted.targets(&delegated.name);
            reports.push(RoleReport {
                role: delegated.name.clone(),
                keys: delegated.role_keys(),
                version: body.map(|body| body.version),
                expires: body.map(|body| body.expires),
                paths: delegated.paths.clone().unwrap_or_default(),
            });
        }
        Ok(reports)
    }

    /// Returns the proposal of a change: what has to be signed, and by whom.
    ///
    /// # Errors
    /// [`CeremonyError::Unfit`] and [`CeremonyError::Nothing`].
    pub fn propose(&self, change: &TrustChange, now: UtcTime) -> Result<Proposal, PublishError> {
        let storage = self.storage();
        let roles = Roles::load(storage)?;
        let trusted = &roles.trusted;
        let old_root = trusted.root();
        let expires = now.plus_days(ROOT_DAYS);
        let changed = change.apply(old_root, roles.delegations(), now, expires)?;
        let root = changed.root.as_ref().unwrap_or(old_root);
        let versions = Versions::taken(storage)?;

        let mut proposed = Vec::new();
        let outdated = !is_signed(&roles, "targets", root.roles.get("targets"), &root.keys);
        if changed.delegations.is_some() || outdated {
            let mut body = renewed(&roles, "targets", &versions, now, TARGETS_DAYS);
            if changed.delegations.is_some() {
                body.delegations.clone_from(&changed.delegations);
            }
            proposed.push(role_file(&roles, "targets", body));
        }
        for delegated in changed.delegations.iter().flat_map(|all| &all.roles) {
            let role = delegated.name.as_str();
            let keys = delegated.role_keys();
            let table = changed.delegations.as_ref().map(|all| &all.keys);
            let is_there = trusted.targets(role).is_some();
            if is_there && table.is_some_and(|table| !is_signed(&roles, role, Some(&keys), table)) {
                let signs_rollouts = |(_, is_operations): (_, bool)| is_operations;
                let days = if TenantName::of_approval_role(role).is_some()
                    || TenantName::of_role(role).is_some_and(signs_rollouts)
                {
                    OPERATIONS_DAYS
                } else {
                    TARGETS_DAYS
                };
                proposed.push(role_file(
                    &roles,
                    role,
                    renewed(&roles, role, &versions, now, days),
                ));
            }
        }
        let previous = trusted.file("root").unwrap_or_default();
        let place = storage.address();
        Ok(Proposal::new(&place, previous, changed.root, proposed)?)
    }

    /// Publishes what was proposed and signed, with a snapshot and a timestamp by keys at hand where
    /// new ones are needed.
    ///
    /// An interruption is finished by publishing the same proposal again.
    ///
    /// # Errors
    /// [`CeremonyError::TooFewSignatures`] below any threshold, old or new;
    /// [`CeremonyError::Stale`] when the repository has gone on since; [`PublishError::Refused`] when
    /// devices would refuse the outcome. Nothing is published then.
    pub fn publish_proposal(
        &self,
        proposal: &Proposal,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<Governed, PublishError> {
        let _span = tracing::info_span!("keys.publish").entered();
        let storage = self.storage();
        let _lock = storage.lock()?;
        proposal.expect_complete()?;
        // Where an interrupted run has published the root already, nothing under it is signed yet.
        let roles = Roles::load(storage)
            .or_else(|_| Roles::load_under(storage, proposal.old_root().version))?;
        expect_current(&roles, proposal)?;
        let root = proposal.root_file().map(|bytes| {
            let location = root_location(proposal.new_root().version);
            (location, bytes)
        });
        if let Some((location, bytes)) = &root {
            expect_free(storage, location, bytes)?;
        }

        let action = Action::new("keys", LogSubject::default()).told(proposal.describe());
        let mut record = Record::begin(storage, Some(&roles), action)?;
        if let Some((_, bytes)) = &root {
            record.add_file("root", proposal.new_root().version, bytes);
        }
        let online = Online::of(&roles, proposal, keys)?;
        let Some(online) = online else {
            return self.publish_root(proposal, record, keys, &roles, now);
        };
        let mut revision = roles.succeeding(now, record);
        for (role, version, _, bytes) in proposal.target_files() {
            expect_free(storage, &format!("metadata/{version}.{role}.json"), &bytes)?;
            revision.add_targets(role, version, bytes)?;
        }
        let version = Versions::taken(storage)?.next("snapshot");
        let next = roles.next_timestamp();
        let is_seamless = online.is_seamless && proposal.satisfies_old_root();
        let files = revision.finish((version, &online.snapshot), (next, &online.timestamp))?;
        rehearse(
            storage,
            &roles,
            root.as_ref().map(|(_, bytes)| &**bytes),
            Some(&files),
            now,
        )?;

        let put_root = || match &root {
            Some((location, bytes)) => {
                storage.put(location, Source::Bytes(bytes))?;
                storage.sync()
            }
            None => Ok(()),
        };
        if is_seamless {
            // Signed by old and new keys alike, the timestamp leads devices under either root.
            files.store(storage)?;
            put_root()?;
        } else {
            files.store_versioned(storage)?;
            put_root()?;
            files.store(storage)?;
        }
        let mut published = proposal.files();
        published.push(("snapshot".to_owned(), version));
        published.push(("timestamp".to_owned(), next));
        Ok(Governed {
            root: proposal.new_root().version,
            files: published,
            is_seamless,
        })
    }

    /// Publishes a root under which all that is signed stays as it is: the root itself puts its entry
    /// of the log into force, which the keys of online roles sign where they are at hand.
    fn publish_root(
        &self,
        proposal: &Proposal,
        mut record: Record,
        keys: &KeyStore,
        roles: &Roles,
        now: UtcTime,
    ) -> Result<Governed, PublishError> {
        let storage = self.storage();
        let new = proposal.new_root();
        let root = proposal.root_file();
        rehearse(storage, roles, root.as_deref(), None, now)?;
        if let Some(bytes) = root {
            for role in ["snapshot", "timestamp"] {
                if let Ok(signers) = keys.role_signers(role, new.roles.get(role)) {
                    record.add_acting(&signers);
                }
            }
            let (location, entry, _) = record.finish(now, None)?;
            storage.put(&location, Source::Bytes(&entry))?;
            storage.sync()?;
            storage.put(&root_location(new.version), Source::Bytes(&bytes))?;
            storage.sync()?;
        }
        Ok(Governed {
            root: new.version,
            files: proposal.files(),
            is_seamless: true,
        })
    }

    /// Proposes a change, signs it with every key at hand, and publishes it.
    ///
    /// # Errors
    /// As [`Repository::propose`] and [`Repository::publish_proposal`].
    pub fn change_trust(
        &self,
        change: &TrustChange,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<Governed, PublishError> {
        let mut proposal = self.propose(change, now)?;
        proposal.sign_with(keys)?;
        self.publish_proposal(&proposal, keys, now)
    }
}

fn of<A, B>(pair: Option<(A, B)>) -> (Option<A>, Option<B>) {
    pair.map_or((None, None), |(one, other)| (Some(one), Some(other)))
}

/// Whether the trusted file of a role satisfies `keys`.
fn is_signed(
    roles: &Roles,
    role: &str,
    keys: Option<&RoleKeys>,
    table: &BTreeMap<KeyId, serde_json::Value>,
) -> bool {
    let limit = TrustLimits::default().targets_bytes;
    let Some((file, keys)) = roles.trusted.file(role).zip(keys) else {
        return false;
    };
    let satisfied = match role {
        "timestamp" => RoleDraft::<release_format::Timestamp>::parse(role, file, limit)
            .map(|draft| draft.satisfies(keys, table)),
        "snapshot" => RoleDraft::<release_format::Snapshot>::parse(role, file, limit)
            .map(|draft| draft.satisfies(keys, table)),
        _ => {
            RoleDraft::<Targets>::parse(role, file, limit).map(|draft| draft.satisfies(keys, table))
        }
    };
    satisfied.unwrap_or(false)
}

/// Returns the next file of a role, which says what it said.
fn renewed(roles: &Roles, role: &str, versions: &Versions, now: UtcTime, days: u32) -> Targets {
    let (version, expires) = (versions.next(role), now.plus_days(days));
    let fresh = no_targets(version, expires);
    Targets {
        version,
        expires,
        issued: Some(now),
        ..roles.trusted.targets(role).cloned().unwrap_or(fresh)
    }
}

fn role_file(roles: &Roles, role: &str, body: Targets) -> (String, Option<Vec<u8>>, Targets) {
    let previous = roles.trusted.file(role).map(<[u8]>::to_vec);
    (role.to_owned(), previous, body)
}

/// Refuses a proposal that was made from other files than the repository has.
fn expect_current(roles: &Roles, proposal: &Proposal) -> Result<(), CeremonyError> {
    let stale = |role: &str, expected: String, found: String| CeremonyError::Stale {
        place: proposal.place().to_owned(),
        expected: format!("{role} {expected}"),
        found: format!("{role} {found}"),
    };
    let root = roles.trusted.root();
    if roles.trusted.file("root") != Some(proposal.previous_root()) {
        let (expected, found) = (root.version, proposal.old_root().version);
        let other = if expected == found {
            ", another one"
        } else {
            ""
        };
        return Err(stale(
            "root",
            expected.to_string(),
            format!("{found}{other}"),
        ));
    }
    for (role, version, previous, proposed) in proposal.target_files() {
        let file = roles.trusted.file(role);
        // An interrupted run may have published it already.
        if file != previous && file != Some(&*proposed) {
            let current = roles.trusted.targets(role);
            let expected = current.map_or("none".to_owned(), |body| body.version.to_string());
            return Err(stale(role, expected, format!("one before {version}")));
        }
    }
    Ok(())
}

/// Refuses to give a name to other bytes.
fn expect_free(storage: &dyn Storage, location: &str, bytes: &[u8]) -> Result<(), PublishError> {
    match storage.get(location)? {
        Some(there) if *there != *bytes => Err(CeremonyError::Taken {
            location: location.to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// The keys that sign snapshot and timestamp along with a change.
struct Online {
    snapshot: RoleSigners,
    timestamp: RoleSigners,
    is_seamless: bool,
}

impl Online {
    /// Returns the signers under the new root, and those under the old one that are at hand; nothing
    /// where the files may stay as they are.
    fn of(
        roles: &Roles,
        proposal: &Proposal,
        keys: &KeyStore,
    ) -> Result<Option<Online>, PublishError> {
        let (old, new) = (proposal.old_root(), proposal.new_root());
        let stays = |role: &str| is_signed(roles, role, new.roles.get(role), &new.keys);
        let has_files = proposal.target_files().next().is_some();
        if !has_files && stays("snapshot") && stays("timestamp") {
            return Ok(None);
        }
        let mut is_seamless = true;
        let mut signers = |role: &str| {
            let mut signers = keys.role_signers(role, new.roles.get(role))?;
            if let Some(before) = old.roles.get(role) {
                // A key that was lost, or whose passphrase was, is not needed.
                let at_hand = keys.at_hand(&before.keyids).unwrap_or_default();
                signers.join(at_hand);
                let public: Vec<_> = signers
                    .public_keys()
                    .iter()
                    .filter_map(|key| key.id())
                    .collect();
                let signing = before.keyids.iter().filter(|id| public.contains(id));
                is_seamless &= signing.count() as u64 >= before.threshold;
            }
            Ok::<RoleSigners, PublishError>(signers)
        };
        Ok(Some(Online {
            snapshot: signers("snapshot")?,
            timestamp: signers("timestamp")?,
            is_seamless,
        }))
    }
}

/// Takes the road of a device that has trusted everything so far, over the new files, to every role.
fn rehearse(
    storage: &dyn Storage,
    roles: &Roles,
    root: Option<&[u8]>,
    files: Option<&SignedFiles>,
    now: UtcTime,
) -> Result<(), PublishError> {
    let mut device = roles.trusted.clone();
    if let Some(root) = root {
        device.update_root(root).map_err(refused("the new root"))?;
    }
    let stored = |location: &str| match files.and_then(|files| files.file(location)) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => match storage.get(location)? {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(absent(location)),
        },
    };
    // What stays as it is may have expired: that is another matter than who may sign.
    let now = if files.is_some() { now } else { UtcTime::MIN };
    let timestamp = match files {
        Some(files) => files.timestamp.clone(),
        None => stored(TIMESTAMP_LOCATION)?,
    };
    let updated = device.update_timestamp(&timestamp, now);
    updated.map_err(refused(TIMESTAMP_LOCATION))?;
    if let Some(request) = device.snapshot_request().map_err(refused("the snapshot"))? {
        let updated = device.update_snapshot(&stored(&request.location)?, now);
        updated.map_err(refused(&request.location))?;
    }
    if let Some(request) = device.targets_request().map_err(refused("targets"))? {
        // Renewed by whom it concerns: an expired role does not stand in the way of others' keys.
        let updated = device.update_targets(&request, &stored(&request.location)?, now);
        updated.map_err(refused(&request.location))?;
    }
    device.judge_at(UtcTime::MIN);
    let after = Roles::of_set(device);
    for role in after.delegated_and_listed() {
        let request = after.delegated_request(&role)?;
        let mut device = after.trusted.clone();
        let updated = device.update_targets(&request, &stored(&request.location)?, UtcTime::MIN);
        updated.map_err(refused(&request.location))?;
    }
    Ok(())
}
