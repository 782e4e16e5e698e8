use std::collections::BTreeMap;

use release_format::{
    ChannelName, ContentReference, KeyId, LogSubject, PackName, RoleDraft, Rollout, Signer,
    TargetEntry, Targets, TrustError, TrustLimits, UtcTime, Verified,
};
use serde_json::{Map, Value, json};

use crate::PublishError;
use crate::govern::ceremony_error::{CeremonyError, Shortfall, short};
use crate::govern::steering::Steering;
use crate::govern::steering_words;
use crate::key_store::KeyStore;
use crate::repository::Repository;
use crate::repository::record::{Action, Record};
use crate::repository::revision::{OPERATIONS_DAYS, Versions, no_targets};
use crate::repository::roles::Roles;
use crate::repository::signing::TargetChange;
use crate::storage::Source;

/// A change of a guarded channel on its way from holder to holder: one small file that has every rollout
/// which its role would vouch for, so that whoever signs is told all of it by their own machine.
#[derive(Debug, Clone)]
pub struct Approval {
    /// What errors call it: its file, as a rule.
    place: String,
    role: String,
    /// The version of the role's file that it replaces.
    replaces: u64,
    draft: RoleDraft<Targets>,
    /// The rollouts, by their paths among the targets.
    rollouts: BTreeMap<String, Vec<u8>>,
}

impl Approval {
    /// The most bytes that an approval may have.
    pub const MAX_BYTES: u64 = 16 << 20;

    /// Reads an approval; `place` is what errors call it.
    ///
    /// # Errors
    /// [`CeremonyError::Malformed`] for what is none, and for one that vouches for more than it shows.
    pub fn parse(place: &str, bytes: &[u8]) -> Result<Approval, CeremonyError> {
        let wrong = |expected: &str, found: String| CeremonyError::Malformed {
            place: place.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let expected = format!("an approval in JSON, with schema {SCHEMA}");
        if bytes.len() as u64 > Approval::MAX_BYTES {
            return Err(wrong(&expected, format!("{} bytes", bytes.len())));
        }
        let file: Value =
            serde_json::from_slice(bytes).map_err(|error| wrong(&expected, error.to_string()))?;
        let text = |name: &str| file.get(name).and_then(Value::as_str);
        let number = |name: &str| file.get(name).and_then(Value::as_u64);
        let (Some(role), Some(draft), Some(replaces)) =
            (text("role"), text("file"), number("replaces"))
        else {
            return Err(wrong(&expected, "a field too few".to_owned()));
        };
        if number("schema") != Some(SCHEMA) {
            return Err(wrong(&expected, "another schema".to_owned()));
        }
        let listed = file.get("rollouts").and_then(Value::as_object);
        let listed = listed.into_iter().flatten();
        let listed = listed
            .filter_map(|(path, text)| Some((path.clone(), text.as_str()?.as_bytes().to_vec())));
        let limit = TrustLimits::default().targets_bytes;
        let draft = RoleDraft::parse(role, draft.as_bytes(), limit)
            .map_err(|error| wrong("metadata that devices accept", error.to_string()))?;
        let approval = Approval {
            place: place.to_owned(),
            role: role.to_owned(),
            replaces,
            draft,
            rollouts: listed.collect(),
        };
        approval.check()?;
        Ok(approval)
    }

    /// Returns the file.
    pub fn encode(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        let rollouts = self.rollouts.iter();
        let rollouts = rollouts.map(|(path, bytes)| (path.clone(), text(bytes)));
        let file = json!({
            "schema": SCHEMA,
            "role": self.role,
            "replaces": self.replaces,
            "file": text(&self.draft.encode()),
            "rollouts": Map::from_iter(rollouts),
        });
        format!("{file:#}\n").into_bytes()
    }

    /// Returns the role whose keys approve.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Returns the keys that have signed, whether or not they count.
    pub fn signers(&self) -> Vec<KeyId> {
        self.draft.signers().cloned().collect()
    }

    /// Returns in plain words all that the role would vouch for.
    pub fn describe(&self) -> Vec<String> {
        let body = self.draft.body();
        let mut told = vec![format!(
            "{} {} replaces {} {}, and expires {}",
            self.role, body.version, self.role, self.replaces, body.expires
        )];
        for bytes in self.rollouts.values() {
            if let Ok(rollout) = decode(bytes) {
                let words = steering_words::whole(&rollout).into_iter();
                told.extend(words.map(|line| format!("  {line}")));
            }
        }
        told
    }

    /// Adds the signature of `signer`.
    ///
    /// # Errors
    /// [`PublishError::Unsigned`] when it cannot sign.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<KeyId, PublishError> {
        self.draft.sign(signer).map_err(|source| {
            let id = signer.public_key().id();
            PublishError::Unsigned {
                key: id.map_or_else(|| "a key".to_owned(), |id| short(&id)),
                source,
            }
        })
    }

    /// Takes over the signatures of another copy of the same approval.
    ///
    /// # Errors
    /// [`CeremonyError::Different`] when it is not the same.
    pub fn merge(&mut self, other: &Approval) -> Result<(), CeremonyError> {
        let is_same = self.role == other.role
            && self.replaces == other.replaces
            && self.rollouts == other.rollouts
            && self.draft.body() == other.draft.body();
        if !is_same {
            return Err(CeremonyError::Different {
                place: other.place.clone(),
                first: self.place.clone(),
            });
        }
        self.draft.absorb(&other.draft);
        Ok(())
    }

    /// Returns what the log tells of it.
    fn action(&self) -> Action {
        let rollouts = self
            .rollouts
            .values()
            .filter_map(|bytes| decode(bytes).ok());
        let one: Vec<Rollout> = rollouts.collect();
        let one = match &one[..] {
            [one] => Some(one),
            _ => None,
        };
        let subject = LogSubject {
            pack: one.map(|rollout| rollout.pack.clone()),
            release: one.map(|rollout| rollout.label.clone()),
            channel: one.map(|rollout| rollout.channel.clone()),
            ..LogSubject::default()
        };
        Action::new("approve", subject).told(self.describe())
    }

    /// Refuses what vouches for more than it shows, so that nobody is asked to sign it.
    fn check(&self) -> Result<(), CeremonyError> {
        let malformed = |expected: &str, found: &str| CeremonyError::Malformed {
            place: self.place.clone(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        };
        let body = self.draft.body();
        if body.delegations.is_some() || body.offline_grace_days.is_some() {
            return Err(malformed("rollouts alone", "delegations, or a grace"));
        }
        let shown: Vec<&String> = self.rollouts.keys().collect();
        if body.targets.keys().collect::<Vec<_>>() != shown {
            return Err(malformed(
                "the text of every target",
                "more targets, or fewer",
            ));
        }
        for (path, bytes) in &self.rollouts {
            if body.targets.get(path) != Some(&TargetEntry::of(bytes)) {
                return Err(malformed(path, "another text"));
            }
            let rollout = decode(bytes).map_err(|error| malformed(path, &error.to_string()))?;
            if rollout.pack.rollout_target(&rollout.channel) != *path {
                return Err(malformed(path, "the rollout of another channel"));
            }
        }
        Ok(())
    }
}

impl Repository {
    /// Returns what the holders of a guarded channel's keys have to sign for a change.
    ///
    /// # Errors
    /// As [`Repository::steer`]; [`CeremonyError::Nothing`] where nothing would change.
    pub fn propose_steering(
        &self,
        pack: &PackName,
        channel: &ChannelName,
        now: UtcTime,
        change: &Steering,
    ) -> Result<Approval, PublishError> {
        let storage = self.storage();
        let roles = Roles::load(storage)?;
        let steered = self.steered(&roles, pack, channel, now, change)?;
        if !steered.is_changed() {
            return Err(CeremonyError::Nothing.into());
        }
        let role = roles.rollout_role(pack, channel);
        let current = roles.trusted.targets(&role);
        let mut body = no_targets(
            Versions::taken(storage)?.next(&role),
            now.plus_days(OPERATIONS_DAYS),
        );
        body.issued = Some(now);
        let mut rollouts = BTreeMap::new();
        for path in current.iter().flat_map(|body| body.targets.keys()) {
            let file = roles.file_of_target(path)?;
            // What another role vouches for by now is none of its business.
            if let Some(file) = file.filter(|file| file.role == role)
                && let Some(bytes) = storage.get(&file.location)?
            {
                rollouts.insert(path.clone(), bytes.to_vec());
            }
        }
        let bytes = steered.after.encode().map_err(PublishError::Format)?;
        rollouts.insert(pack.rollout_target(channel), bytes);
        let entries = rollouts.iter();
        body.targets = entries
            .map(|(path, bytes)| (path.clone(), TargetEntry::of(bytes)))
            .collect();
        let place = storage.address();
        let malformed = |error: TrustError| CeremonyError::Malformed {
            place: place.clone(),
            expected: "metadata that devices accept".to_owned(),
            found: error.to_string(),
        };
        let approval = Approval {
            replaces: current.map_or(0, |body| body.version),
            draft: RoleDraft::new(body).map_err(malformed)?,
            role,
            rollouts,
            place: place.clone(),
        };
        approval.check()?;
        Ok(approval)
    }

    /// Publishes a change that enough holders have signed, with a snapshot and a timestamp by keys at
    /// hand.
    ///
    /// # Errors
    /// [`CeremonyError::TooFewSignatures`]; [`CeremonyError::Stale`] when the channel has changed since;
    /// [`PublishError::Refused`] when devices would refuse the outcome. Nothing is published then.
    pub fn publish_approval(
        &self,
        approval: &Approval,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<(), PublishError> {
        let storage = self.storage();
        let _lock = storage.lock()?;
        let roles = Roles::load(storage)?;
        expect_approved(&roles, approval)?;
        let role = approval.role.as_str();
        let version = approval.draft.body().version;
        let current = roles.trusted.targets(role).map_or(0, |body| body.version);
        if current != approval.replaces || version <= current {
            return Err(CeremonyError::Stale {
                place: approval.place.clone(),
                expected: format!("{role} {current}"),
                found: format!("{role} {}", approval.replaces),
            }
            .into());
        }
        let rollouts = approval.rollouts.iter();
        let targets: Vec<TargetChange> = rollouts
            .map(|(path, bytes)| TargetChange {
                role: role.to_owned(),
                path: path.clone(),
                bytes: bytes.clone(),
            })
            .collect();
        let versions = Versions::taken(storage)?;
        let mut record = Record::begin(storage, Some(&roles), approval.action())?;
        for target in &targets {
            let current = roles.file_of_target(&target.path)?;
            if current.is_none_or(|file| file.location != target.location()) {
                record.add_target(&target.path, &target.bytes);
            }
        }
        let mut revision = roles.succeeding(now, record);
        revision.add_targets(role, version, approval.draft.encode());
        let files = roles.finish_with(revision, &versions, keys)?;
        roles.rehearse(&files, &targets, now)?;
        for target in &targets {
            storage.put_if_absent(&target.location(), Source::Bytes(&target.bytes))?;
        }
        storage.sync()?;
        files.store(storage)
    }

    /// Returns what a change lacks until devices would follow: nothing when it can be published.
    ///
    /// # Errors
    /// [`PublishError`] when the repository's metadata cannot be read.
    pub fn approval_shortfall(
        &self,
        approval: &Approval,
    ) -> Result<Option<Shortfall>, PublishError> {
        let roles = Roles::load(self.storage())?;
        Ok(match expect_approved(&roles, approval) {
            Err(CeremonyError::TooFewSignatures { mut shortfalls, .. }) => shortfalls.pop(),
            outcome => outcome.map(|()| None)?,
        })
    }
}

fn expect_approved(roles: &Roles, approval: &Approval) -> Result<(), CeremonyError> {
    let role = approval.role.as_str();
    let Some((delegation, delegations)) = roles.delegation(role).zip(roles.delegations()) else {
        return Err(CeremonyError::Unfit {
            role: role.to_owned(),
            expected: "a role that signs rollouts".to_owned(),
            found: "no such role".to_owned(),
        });
    };
    let keys = delegation.role_keys();
    let signed = approval.draft.valid_signers(&keys, &delegations.keys);
    if signed.len() as u64 >= keys.threshold.max(1) {
        return Ok(());
    }
    let missing = keys.keyids.iter().filter(|id| !signed.contains(id));
    let shortfall = Shortfall {
        file: format!("{role} {}", approval.draft.body().version),
        judge: "the targets role".to_owned(),
        expected: keys.threshold,
        found: signed.len() as u64,
        missing: missing.cloned().collect(),
    };
    Err(CeremonyError::TooFewSignatures {
        place: approval.place.clone(),
        shortfalls: vec![shortfall],
    })
}

fn decode(bytes: &[u8]) -> Result<Rollout, release_format::FormatError> {
    Rollout::decode(&Verified::new(bytes, &ContentReference::of(bytes))?)
}

/// The version of the file.
const SCHEMA: u64 = 1;
