use std::collections::BTreeMap;

use release_format::{
    Delegations, KeyId, LogBaseline, LogEntry, LogHead, LogSubject, LogTarget, MetaFile, RoleBody,
    RoleDraft, Root, Snapshot, Targets, TrustError, TrustLimits, UtcTime,
};

use tracing::info;

use crate::PublishError;
use crate::key_store::ring::RoleSigners;
use crate::repository::location::versioned_role;
use crate::repository::roles::{Roles, TargetKind, absent, root_location};
use crate::storage::Storage;

/// What is done to a repository, as its log will tell.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    /// One word, as a rule the verb of the command.
    pub(crate) name: &'static str,
    /// To what.
    pub(crate) subject: LogSubject,
    /// What changes, in plain words, a line each.
    pub(crate) told: Vec<String>,
}

impl Action {
    /// Returns the action of a name that is done to `subject`.
    pub(crate) fn new(name: &'static str, subject: LogSubject) -> Action {
        Action {
            name,
            subject,
            told: Vec::new(),
        }
    }

    /// Returns the action with what it changes in plain words.
    pub(crate) fn told(self, lines: impl IntoIterator<Item = String>) -> Action {
        let plain = |line: String| line.replace(char::is_control, " ");
        Action {
            told: lines.into_iter().map(plain).take(MAX_LINES).collect(),
            ..self
        }
    }
}

/// The entry of the log that is being written: nothing is signed for a repository without one.
///
/// It is numbered behind every entry that lies there, so that of two publishers at once one finds its
/// name taken, and follows the last of them, so that what an interrupted publisher began stays in the
/// chain. Which of them are in force it says by its `base`.
pub(crate) struct Record {
    action: Action,
    tail: Tail,
    baseline: Option<LogBaseline>,
    /// Before the action.
    delegations: Option<Delegations>,
    changes: BTreeMap<String, MetaFile>,
    by: BTreeMap<String, Vec<KeyId>>,
    targets: BTreeMap<String, LogTarget>,
    /// After the action, where it changes them.
    delegates: Option<Option<Delegations>>,
    acting: Vec<RoleSigners>,
}

impl Record {
    /// Begins the entry of an action on the repository whose roles these are; none are of a new one.
    pub(crate) fn begin(
        storage: &dyn Storage,
        roles: Option<&Roles>,
        action: Action,
    ) -> Result<Record, PublishError> {
        let tail = Tail::of(storage, roles)?;
        let baseline = match roles {
            Some(roles) if tail.base.is_none() => Some(baseline(storage, roles)?),
            _ => None,
        };
        Ok(Record {
            action,
            tail,
            baseline,
            delegations: roles.and_then(|roles| roles.delegations().cloned()),
            changes: BTreeMap::new(),
            by: BTreeMap::new(),
            targets: BTreeMap::new(),
            delegates: None,
            acting: Vec::new(),
        })
    }

    /// Takes note of a file of metadata that is new.
    pub(crate) fn add_file(&mut self, role: &str, version: u64, bytes: &[u8]) {
        let limits = TrustLimits::default();
        let signers = match role {
            "root" => signers(RoleDraft::<Root>::parse(role, bytes, limits.root_bytes)),
            "snapshot" => signers(RoleDraft::<Snapshot>::parse(
                role,
                bytes,
                limits.snapshot_bytes,
            )),
            _ => {
                let draft = RoleDraft::<Targets>::parse(role, bytes, limits.targets_bytes);
                if role == "targets" {
                    let draft = draft.as_ref().ok();
                    self.delegates = draft.map(|draft| draft.body().delegations.clone());
                }
                signers(draft)
            }
        };
        self.by.insert(role.to_owned(), signers);
        let file = MetaFile::of(version, bytes);
        self.changes.insert(role.to_owned(), file);
    }

    /// Takes note of a target that is new.
    pub(crate) fn add_target(&mut self, path: &str, bytes: &[u8]) {
        let target = LogTarget::of(path, bytes);
        self.targets.insert(path.to_owned(), target);
    }

    /// Takes note of who acts, and therefore signs the entry.
    pub(crate) fn add_acting(&mut self, signers: &RoleSigners) {
        if !self.acting.iter().any(|one| one.role() == signers.role()) {
            self.acting.push(signers.clone());
        }
    }

    /// Whether anybody who acts has signed yet.
    pub(crate) fn has_acting(&self) -> bool {
        !self.acting.is_empty()
    }

    /// Signs the entry that comes into force with a version of the timestamp, or with the root that is
    /// new; returns where it lies, its bytes, and what the timestamp says of it.
    pub(crate) fn finish(
        self,
        now: UtcTime,
        timestamp: Option<u64>,
    ) -> Result<(String, Vec<u8>, LogHead), PublishError> {
        let (delegated, undelegated) = match &self.delegates {
            Some(after) => changed_delegations(self.delegations.as_ref(), after.as_ref()),
            None => (None, Vec::new()),
        };
        let number = self.tail.last.saturating_add(1);
        let entry = LogEntry {
            number,
            previous: self.tail.previous,
            base: self.tail.base,
            time: now,
            action: self.action.name.to_owned(),
            subject: self.action.subject,
            by: self.by,
            recorded_by: self
                .acting
                .iter()
                .map(|one| one.role().to_owned())
                .collect(),
            timestamp,
            changes: self.changes,
            targets: self.targets,
            delegated,
            undelegated,
            baseline: self.baseline,
            told: self.action.told,
        };
        let mut all = RoleSigners::of("log", Vec::new());
        for signers in &self.acting {
            all.join(signers.signers());
        }
        let bytes = all.sign(&entry)?;
        let head = LogHead::of(number, &bytes);
        info!(number, action = self.action.name, "log.entry");
        Ok((LogEntry::location(number), bytes, head))
    }
}

/// Where a log ends.
struct Tail {
    /// The number of the last entry that lies there; 0 where there is none.
    last: u64,
    /// The digest of its file.
    previous: Option<String>,
    /// The last one that is in force.
    base: Option<u64>,
}

impl Tail {
    fn of(storage: &dyn Storage, roles: Option<&Roles>) -> Result<Tail, PublishError> {
        let timestamp = roles.and_then(|roles| roles.trusted.timestamp());
        let mut tail = match timestamp.and_then(|timestamp| timestamp.log.clone()) {
            Some(head) => Tail {
                last: head.number,
                previous: Some(head.sha256),
                base: Some(head.number),
            },
            // What an interrupted `init` left, or publishers that kept no log.
            None => match numbers(storage)?.into_iter().max() {
                None => Tail {
                    last: 0,
                    previous: None,
                    base: None,
                },
                Some(last) => {
                    let location = LogEntry::location(last);
                    let bytes = storage.get(&location)?.ok_or_else(|| absent(&location))?;
                    Tail {
                        last,
                        previous: Some(LogHead::of(last, &bytes).sha256),
                        base: None,
                    }
                }
            },
        };
        while let Some(bytes) = storage.get(&LogEntry::location(tail.last.saturating_add(1)))? {
            tail.last = tail.last.saturating_add(1);
            tail.previous = Some(LogHead::of(tail.last, &bytes).sha256);
            if let Ok(draft) = parse_entry(tail.last, &bytes)
                && tail.base.is_some()
                && draft.body().base == tail.base
                && is_root_in_force(storage, draft.body())?
            {
                tail.base = Some(tail.last);
            }
        }
        Ok(tail)
    }
}

/// Returns the numbers of the entries that lie in a repository.
pub(crate) fn numbers(storage: &dyn Storage) -> Result<Vec<u64>, PublishError> {
    let number = |location: &String| {
        let name = location.strip_prefix("audit/")?;
        let number = name.strip_suffix(".json")?.parse().ok()?;
        (LogEntry::location(number) == *location).then_some(number)
    };
    Ok(storage.list("audit/")?.iter().filter_map(number).collect())
}

/// Reads the entry of a number; nothing of it is believed yet.
pub(crate) fn parse_entry(number: u64, bytes: &[u8]) -> Result<RoleDraft<LogEntry>, TrustError> {
    let location = LogEntry::location(number);
    RoleDraft::<LogEntry>::parse(&location, bytes, LogEntry::MAX_BYTES)
}

/// Whether an entry changes nothing but the root, and that root is there: no timestamp was needed.
pub(crate) fn is_root_in_force(
    storage: &dyn Storage,
    entry: &LogEntry,
) -> Result<bool, PublishError> {
    let (None, 1, Some(root)) = (
        entry.timestamp,
        entry.changes.len(),
        entry.changes.get("root"),
    ) else {
        return Ok(false);
    };
    let there = storage.get(&root_location(root.version))?;
    Ok(there.is_some_and(|bytes| MetaFile::of(root.version, &bytes) == *root))
}

fn baseline(storage: &dyn Storage, roles: &Roles) -> Result<LogBaseline, PublishError> {
    let mut baseline = LogBaseline {
        delegations: roles.delegations().cloned(),
        ..LogBaseline::default()
    };
    for location in roles.locations() {
        let name = location.strip_prefix("metadata/").and_then(versioned_role);
        if let Some((version, role)) = name
            && let Some(bytes) = roles.trusted.file(role)
        {
            let file = MetaFile::of(version, bytes);
            let newest = baseline
                .files
                .entry(role.to_owned())
                .or_insert(file.clone());
            if newest.version < version {
                *newest = file;
            }
        }
    }
    for target in roles.targets() {
        if let (TargetKind::Rollout(..), Some(location)) = (target.kind, target.location)
            && let Some(bytes) = storage.get(&location)?
        {
            let told = LogTarget::of(&target.path, &bytes);
            baseline.targets.insert(target.path, told);
        }
    }
    Ok(baseline)
}

fn signers<T: RoleBody>(draft: Result<RoleDraft<T>, TrustError>) -> Vec<KeyId> {
    match draft {
        Ok(draft) => draft.signers().cloned().collect(),
        // Whoever signs it refuses it too.
        Err(_) => Vec::new(),
    }
}

/// Returns the delegations that are new or other than before, and the roles that are gone.
fn changed_delegations(
    before: Option<&Delegations>,
    after: Option<&Delegations>,
) -> (Option<Delegations>, Vec<String>) {
    let none = Delegations::default();
    let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
    let mut changed = Delegations::default();
    for role in &after.roles {
        if before.role(&role.name) == Some(role) {
            continue;
        }
        for id in &role.keyids {
            if let Some(key) = after.keys.get(id) {
                changed.keys.insert(id.clone(), key.clone());
            }
        }
        changed.roles.push(role.clone());
    }
    let names = before.roles.iter().map(|role| &role.name);
    let gone = names.filter(|name| after.role(name).is_none()).cloned();
    let changed = (!changed.roles.is_empty()).then_some(changed);
    (changed, gone.collect())
}

/// A change of many keys is told in so many lines at the most.
const MAX_LINES: usize = 200;
