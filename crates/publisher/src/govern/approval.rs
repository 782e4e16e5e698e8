use std::collections::BTreeMap;

use release_format::{
    ContentReference, KeyId, LogSubject, RoleDraft, Rollout, Signer, TargetEntry, Targets,
    TrustError, TrustLimits, Verified,
};
use serde_json::{Map, Value, json};

use crate::PublishError;
use crate::govern::ceremony_error::{CeremonyError, short};
use crate::govern::guard::ChannelGuard;
use crate::govern::steering_words;
use crate::repository::record::Action;

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
    /// The guard that this is the first file of.
    guard: Option<ChannelGuard>,
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
        let expected = format!("an approval in JSON, with schema {SCHEMA} or {GUARD_SCHEMA}");
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
        let guard = match (number("schema"), file.get("guard")) {
            (Some(SCHEMA), None) => None,
            (Some(GUARD_SCHEMA), Some(guard)) => Some(
                ChannelGuard::from_json(guard)
                    .ok_or_else(|| wrong("whom a channel is given to", guard.to_string()))?,
            ),
            _ => return Err(wrong(&expected, "another schema".to_owned())),
        };
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
            guard,
        };
        approval.check()?;
        Ok(approval)
    }

    /// Returns the file.
    pub fn encode(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        let rollouts = self.rollouts.iter();
        let rollouts = rollouts.map(|(path, bytes)| (path.clone(), text(bytes)));
        let mut file = json!({
            "schema": SCHEMA,
            "role": self.role,
            "replaces": self.replaces,
            "file": text(&self.draft.encode()),
            "rollouts": Map::from_iter(rollouts),
        });
        if let Some(guard) = &self.guard {
            file["schema"] = Value::from(GUARD_SCHEMA);
            file["guard"] = guard.to_json();
        }
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
        let mut told: Vec<String> = self.guard.iter().map(ChannelGuard::told).collect();
        told.push(format!(
            "{} {} replaces {} {}, and expires {}",
            self.role, body.version, self.role, self.replaces, body.expires
        ));
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
            && self.guard == other.guard
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

    /// Returns the approval of what `draft` vouches for, the rollouts, in a role whose file has the
    /// version `replaces`.
    ///
    /// # Errors
    /// As [`Approval::parse`].
    pub(crate) fn new(
        place: String,
        (role, replaces): (String, u64),
        body: Targets,
        rollouts: BTreeMap<String, Vec<u8>>,
        guard: Option<ChannelGuard>,
    ) -> Result<Approval, CeremonyError> {
        let draft = RoleDraft::new(body).map_err(|error: TrustError| CeremonyError::Malformed {
            place: place.clone(),
            expected: "metadata that devices accept".to_owned(),
            found: error.to_string(),
        })?;
        let approval = Approval {
            place,
            role,
            replaces,
            draft,
            rollouts,
            guard,
        };
        approval.check()?;
        Ok(approval)
    }

    /// Returns what errors call it.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Returns the version of the role's file that it replaces.
    pub(crate) fn replaces(&self) -> u64 {
        self.replaces
    }

    /// Returns the role's file as far as it is signed.
    pub(crate) fn draft(&self) -> &RoleDraft<Targets> {
        &self.draft
    }

    /// Returns the rollouts, by their paths among the targets.
    pub(crate) fn rollouts(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.rollouts
    }

    /// Returns the guard that this is the first file of.
    pub(crate) fn guard(&self) -> Option<&ChannelGuard> {
        self.guard.as_ref()
    }

    /// Returns what the log tells of it.
    pub(crate) fn action(&self) -> Action {
        if let Some(guard) = &self.guard {
            return guard.action();
        }
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
        if let Some(guard) = &self.guard {
            guard.check_threshold()?;
            if guard.role() != self.role {
                return Err(malformed(&guard.role(), &self.role));
            }
        }
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

/// Returns the rollout that `bytes` are.
pub(crate) fn decode(bytes: &[u8]) -> Result<Rollout, release_format::FormatError> {
    Rollout::decode(&Verified::new(bytes, &ContentReference::of(bytes))?)
}

/// The version of the file.
const SCHEMA: u64 = 1;
/// The version of the file that begins a guard, which an older Satchel would take for less.
const GUARD_SCHEMA: u64 = 2;
