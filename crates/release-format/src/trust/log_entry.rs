use std::collections::BTreeMap;

use diff_core::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::TrustError;
use super::key::KeyId;
use super::meta_file::{MetaFile, check_version};
use super::sha256::sha256;
use super::signed::RoleBody;
use super::targets::{Delegations, TargetEntry};
use crate::{ChannelName, Label, PackName, UtcTime};

/// One entry of a repository's log: what was done, by whom, and what it changed.
///
/// Entries are numbered files that name each other by digest, and the timestamp names the last: who
/// has one timestamp that is trusted has the whole history, or sees what is missing of it.
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/audit-log.md")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its number: 1 for the first, and one more for each that follows.
    pub number: u64,
    /// The SHA-256 digest of the file of the entry before; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The last entry before this one that came into force: those in between were begun and given up.
    /// None where the log begins, or begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// When it was signed.
    pub time: UtcTime,
    /// What was done, such as `publish`.
    pub action: String,
    /// To what.
    #[serde(default, skip_serializing_if = "LogSubject::is_empty")]
    pub subject: LogSubject,
    /// The keys that signed each role that changed.
    pub by: BTreeMap<String, Vec<KeyId>>,
    /// The roles whose keys signed this entry; none where nobody but the signers of a root acted.
    pub recorded_by: Vec<String>,
    /// The version of the timestamp that puts it into force; none where a root does so by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// The files of metadata that are new, by their roles.
    pub changes: BTreeMap<String, MetaFile>,
    /// The targets that are new, by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, LogTarget>,
    /// The delegations that are new or other than before, with their keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated: Option<Delegations>,
    /// The roles that are delegated to no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undelegated: Vec<String>,
    /// What was there when the log began in a repository that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<LogBaseline>,
    /// What changed, in plain words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
}

/// What an entry of the log is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogSubject {
    /// The pack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackName>,
    /// The release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Label>,
    /// The release's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// The channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// Why, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LogSubject {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        *self == LogSubject::default()
    }
}

/// What an entry says of a target that is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    /// Its length and digests, as its role lists them.
    pub entry: TargetEntry,
    /// The rollout itself, if it is one: it tells who was offered what when its file is long gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Value>,
}

impl LogTarget {
    /// Returns what is to be said of a target of these bytes at `path`.
    pub fn of(path: &str, bytes: &[u8]) -> LogTarget {
        let is_rollout = path.split('/').nth(2) == Some("rollout");
        let parsed = || serde_json::from_slice(bytes).ok();
        LogTarget {
            entry: TargetEntry::of(bytes),
            rollout: is_rollout.then(parsed).flatten(),
        }
    }

    /// Returns the bytes of the rollout, if what the entry holds is what its digest says.
    pub fn rollout_bytes(&self) -> Option<Vec<u8>> {
        let mut value = self.rollout.clone()?;
        value.sort_all_objects();
        let bytes = serde_json::to_vec(&value).ok()?;
        (self.entry.sha256() == Some(&*sha256(&bytes))).then_some(bytes)
    }
}

/// What a repository held when its log began.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogBaseline {
    /// The files of metadata, by their roles.
    pub files: BTreeMap<String, MetaFile>,
    /// The rollouts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, LogTarget>,
    /// The delegations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

impl LogEntry {
    /// The longest entry, in bytes.
    pub const MAX_BYTES: u64 = 4 << 20;

    /// Returns where the entry of a number lies.
    pub fn location(number: u64) -> String {
        format!("audit/{number}.json")
    }
}

impl RoleBody for LogEntry {
    const KIND: &'static str = "log-entry";

    fn version(&self) -> u64 {
        self.number
    }

    /// What happened has happened.
    fn expires(&self) -> UtcTime {
        UtcTime::MAX
    }

    fn check(&self, role: &str) -> Result<(), TrustError> {
        check_version(role, self.number)?;
        if self.previous.is_some() == (self.number == 1) {
            let expected = "the digest of the entry before, and none in the first";
            return Err(TrustError::malformed(role, "previous", expected, "other"));
        }
        if let Some(base) = self.base.filter(|base| *base >= self.number || *base == 0) {
            let expected = format!("a number below {}", self.number);
            return Err(TrustError::malformed(
                role,
                "base",
                expected,
                base.to_string(),
            ));
        }
        let mut texts = self.told.iter().chain(&self.subject.reason);
        if texts.any(|text| text.chars().any(char::is_control)) {
            let found = "control characters";
            return Err(TrustError::malformed(role, "told", "lines of text", found));
        }
        let files = self.changes.iter();
        let baseline = self.baseline.iter().flat_map(|baseline| &baseline.files);
        files
            .chain(baseline)
            .try_for_each(|(name, file)| file.check(role, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RoleDraft, worked_example};

    fn parse(bytes: &[u8]) -> Result<RoleDraft<LogEntry>, TrustError> {
        RoleDraft::parse("audit/2.json", bytes, LogEntry::MAX_BYTES)
    }

    fn documented() -> String {
        let document = include_str!("../../../../docs/src/formats/audit-log.md");
        worked_example::json(document).to_owned()
    }

    #[test]
    fn documented_example_is_an_entry_that_verifies() {
        let text = documented();
        let draft = parse(text.as_bytes()).unwrap();
        let entry = draft.body();
        assert_eq!((entry.number, entry.base), (2, Some(1)));
        let delegated = entry.delegated.as_ref().unwrap();
        for role in ["acme", "acme-operations"] {
            let keys = delegated.role(role).unwrap().role_keys();
            assert!(draft.satisfies(&keys, &delegated.keys), "{role}");
        }
        let rollout = &entry.targets["acme/biology-101/rollout/stable"];
        assert!(rollout.rollout_bytes().is_some());
    }

    #[test]
    fn rollout_that_is_not_the_one_of_its_digest_is_none() {
        let draft = parse(documented().as_bytes()).unwrap();
        let mut target = draft.body().targets["acme/biology-101/rollout/stable"].clone();
        let rollout = target.rollout.as_mut().unwrap();
        rollout["share"] = 1.into();
        assert_eq!(target.rollout_bytes(), None);
    }

    #[test]
    fn entry_that_follows_nothing_or_itself_is_refused() {
        let draft = parse(documented().as_bytes()).unwrap();
        let refused = |change: fn(&mut LogEntry), place: &str| {
            let mut entry = draft.body().clone();
            change(&mut entry);
            match RoleDraft::new(entry) {
                Err(TrustError::Malformed { place: found, .. }) => assert_eq!(found, place),
                other => panic!("{place}: {other:?}"),
            }
        };
        refused(|entry| entry.previous = None, "previous");
        refused(|entry| entry.number = 1, "previous");
        refused(|entry| entry.base = Some(2), "base");
        refused(|entry| entry.told = vec!["two\nlines".to_owned()], "told");
    }
}
