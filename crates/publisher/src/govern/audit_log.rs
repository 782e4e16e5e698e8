use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use release_format::{
    Delegations, KeyTable, LogEntry, LogHead, MetaFile, RoleDraft, RoleKeys, Root, TrustError,
    TrustLimits,
};

use crate::PublishError;
use crate::govern::audit_problem::AuditProblem;
use crate::repository::location::versioned_role;
use crate::repository::record::{is_root_in_force, numbers, parse_entry};
use crate::repository::roles::{Roles, TIMESTAMP_LOCATION};
use crate::storage::Storage;

/// The log of a repository, compared with itself and with the metadata that it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AuditLog {
    /// Every entry that could be read, in the order of the numbers.
    pub records: Vec<LogRecord>,
    /// The last entry that the timestamp names: what an auditor notes down, and compares the next time.
    pub head: Option<LogHead>,
    /// What is wrong.
    pub problems: Vec<AuditProblem>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
}

/// An entry of the log, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// The entry.
    pub entry: LogEntry,
    /// What became of it.
    pub state: LogState,
}

/// What became of an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogState {
    /// What it tells came into force.
    InForce,
    /// A publisher was interrupted or overtaken, and a later entry says so.
    GivenUp,
    /// The same, or a publisher is at work; no later entry tells.
    Unfinished,
}

impl AuditLog {
    /// Returns the entries that came into force, in the order of their numbers.
    pub fn in_force(&self) -> impl DoubleEndedIterator<Item = &LogEntry> {
        let records = self.records.iter();
        records
            .filter(|record| record.state == LogState::InForce)
            .map(|record| &record.entry)
    }

    /// Reads the log of the repository whose roles these are, and compares it with `seen`, a head of
    /// an earlier day or of another copy.
    pub(crate) fn read(
        storage: &dyn Storage,
        roles: &Roles,
        seen: Option<&LogHead>,
    ) -> Result<AuditLog, PublishError> {
        let there: BTreeSet<u64> = numbers(storage)?.into_iter().collect();
        let timestamp = roles.trusted.timestamp();
        let mut log = AuditLog {
            head: timestamp.and_then(|timestamp| timestamp.log.clone()),
            ..AuditLog::default()
        };
        let files = Files::read(storage, &there)?;
        let Some(head) = log.head.clone() else {
            match there.last() {
                None => log
                    .notes
                    .push("there is no log: it begins with the next action".to_owned()),
                Some(last) => log.problems.push(AuditProblem::new(
                    TIMESTAMP_LOCATION,
                    "a timestamp that names the last entry of the log",
                    format!("none: a publisher that keeps no log was at work behind entry {last}"),
                )),
            }
            log.records = files.records(&BTreeSet::new(), 0);
            log.compare_seen(&files, seen);
            return Ok(log);
        };
        let keys = KeyHistory::of(storage, roles)?;
        log.check_chain(&files, &head, &keys, there.last().copied());
        let mut in_force = log.follow(&files, &head);
        log.follow_tail(storage, &files, &head, &mut in_force)?;
        log.compare_seen(&files, seen);
        if log.problems.is_empty() {
            log.replay(roles, &files, &in_force, &keys, &head);
        }
        log.records = files.records(&in_force, head.number);
        Ok(log)
    }

    /// Follows the digests from the head to the first entry.
    fn check_chain(&mut self, files: &Files, head: &LogHead, keys: &KeyHistory, last: Option<u64>) {
        let known = keys.all(files);
        let mut expected = Some(head.sha256.clone());
        for number in (1..=head.number).rev() {
            let location = LogEntry::location(number);
            let Some(file) = files.0.get(&number) else {
                let is_tail = last.is_none_or(|last| last < number);
                self.problems.push(AuditProblem::new(
                    location,
                    format!("entry {number}, which the log goes on from or ends with"),
                    match last {
                        None => "none: the log was deleted".to_owned(),
                        Some(last) if is_tail => {
                            format!("none: the log's tail behind entry {last} is lost")
                        }
                        Some(_) => "none: it was deleted".to_owned(),
                    },
                ));
                expected = None;
                continue;
            };
            let is_other = expected.take().is_some_and(|digest| digest != file.sha256);
            match &file.draft {
                Err(error) => {
                    let told = format!("what is none: it was edited ({error})");
                    let wanted = format!("entry {number}");
                    self.problems
                        .push(AuditProblem::new(location, wanted, told));
                }
                Ok(draft) => {
                    let entry = draft.body();
                    expected.clone_from(&entry.previous);
                    if is_other || entry.number != number {
                        let found = told_other(draft, number, &known);
                        let wanted = match number == head.number {
                            true => format!("entry {number} as the timestamp names it"),
                            false => format!("entry {number} as entry {} follows it", number + 1),
                        };
                        self.problems
                            .push(AuditProblem::new(location, wanted, found));
                    }
                }
            }
        }
    }

    /// Returns the numbers of the entries that came into force, up to the head.
    fn follow(&mut self, files: &Files, head: &LogHead) -> BTreeSet<u64> {
        let mut in_force = BTreeSet::new();
        let mut next = Some(head.number);
        while let Some(number) = next {
            in_force.insert(number);
            // What is not there is a problem of its own; the way goes on in front of it.
            let Some(entry) = files.entry(number) else {
                next = number.checked_sub(1).filter(|number| *number > 0);
                continue;
            };
            next = entry.base.filter(|base| *base < number);
            if next.is_none() && entry.baseline.is_some() {
                if number > 1 {
                    self.notes.push(format!(
                        "the log begins anew with entry {number}: a publisher that keeps no log was \
                         at work before it"
                    ));
                    next = number.checked_sub(1);
                } else {
                    let time = entry.time;
                    self.notes.push(format!(
                        "the log begins on {time}, in a repository that was there before"
                    ));
                }
            }
        }
        in_force
    }

    /// Looks at what lies behind the head: roots that came into force by themselves, and what was begun.
    fn follow_tail(
        &mut self,
        storage: &dyn Storage,
        files: &Files,
        head: &LogHead,
        in_force: &mut BTreeSet<u64>,
    ) -> Result<(), PublishError> {
        let mut base = head.number;
        for (number, file) in files.0.range(head.number.saturating_add(1)..) {
            let number = *number;
            let before = files.0.get(&(number - 1)).map(|file| &file.sha256);
            if let Ok(draft) = &file.draft {
                let entry = draft.body();
                let follows = entry.base == Some(base) && entry.previous.as_ref() == before;
                if follows && is_root_in_force(storage, entry)? {
                    in_force.insert(number);
                    base = number;
                    continue;
                }
            }
            self.notes.push(format!(
                "entry {number} was begun and is not in force: a publisher was interrupted, or is at \
                 work"
            ));
        }
        Ok(())
    }

    fn compare_seen(&mut self, files: &Files, seen: Option<&LogHead>) {
        let Some(seen) = seen else { return };
        let location = LogEntry::location(seen.number);
        let expected = format!("entry {} as it was seen, {}", seen.number, seen.sha256);
        match files.0.get(&seen.number) {
            None => {
                let found = "none: what was seen is lost";
                self.problems
                    .push(AuditProblem::new(location, expected, found));
            }
            Some(file) if file.sha256 != seen.sha256 => {
                let found = format!("{}: the log was forked", file.sha256);
                self.problems
                    .push(AuditProblem::new(location, expected, found));
            }
            Some(_) => {}
        }
    }

    /// Does in thought what the entries tell, and compares signatures on the way and the metadata at
    /// the end.
    fn replay(
        &mut self,
        roles: &Roles,
        files: &Files,
        in_force: &BTreeSet<u64>,
        keys: &KeyHistory,
        head: &LogHead,
    ) {
        let mut state: BTreeMap<String, MetaFile> = BTreeMap::new();
        let mut told_roots: BTreeMap<u64, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut trust = Trust::default();
        let mut claims = Vec::new();
        for (number, draft) in files.drafts(in_force) {
            let entry = draft.body();
            let before = trust.clone();
            if let Some(baseline) = &entry.baseline {
                state.clone_from(&baseline.files);
                trust.begin(baseline.delegations.as_ref());
            }
            let baseline = entry.baseline.iter().flat_map(|baseline| &baseline.files);
            for (role, file) in baseline.chain(&entry.changes) {
                if role == "root" {
                    let digest = keys.roots.get(&file.version).map(|root| &root.file);
                    if digest == Some(file) {
                        trust.root = Some(file.version);
                    }
                    let told = told_roots.entry(file.version).or_default();
                    told.insert(digest_of(file));
                }
            }
            for (role, file) in entry.changes.iter().filter(|(role, _)| *role != "root") {
                let old = state.insert(role.clone(), file.clone());
                if old.is_some_and(|old| old.version >= file.version && old != *file) {
                    let location = LogEntry::location(number);
                    let wanted = format!("a version of {role} above the one before");
                    self.problems
                        .push(AuditProblem::new(location, wanted, file.version));
                }
            }
            trust.change(entry);
            if entry.recorded_by.is_empty() && entry.timestamp.is_some() {
                let location = LogEntry::location(number);
                let wanted = "the signature of a role that acts";
                self.problems
                    .push(AuditProblem::new(location, wanted, "none"));
            }
            for role in &entry.recorded_by {
                let ways = [&before, &trust];
                let ways = ways.iter().filter_map(|trust| trust.keys_of(role, keys));
                claims.push((number, role, draft, ways.collect::<Vec<_>>()));
            }
        }
        let unsigned = claims.par_iter().filter(|(_, _, draft, ways)| {
            !ways
                .iter()
                .any(|(role, table)| draft.satisfies(role, table))
        });
        let unsigned: Vec<(u64, &String)> = unsigned.map(|(n, role, ..)| (*n, *role)).collect();
        for (number, role) in unsigned {
            let location = LogEntry::location(number);
            let wanted = format!("an entry that the keys of {role} have signed");
            let found = "too few valid signatures: it was edited, or others signed it";
            self.problems
                .push(AuditProblem::new(location, wanted, found));
        }
        self.compare_metadata(roles, &state, files, head);
        self.compare_roots(&told_roots, keys);
    }

    fn compare_metadata(
        &mut self,
        roles: &Roles,
        state: &BTreeMap<String, MetaFile>,
        files: &Files,
        head: &LogHead,
    ) {
        for location in roles.locations() {
            let name = location.strip_prefix("metadata/").and_then(versioned_role);
            let Some((version, role)) = name.filter(|(_, role)| *role != "root") else {
                continue;
            };
            // The name of a file quotes what the name of a role need not.
            let told = state.get(role).or_else(|| {
                let mut all = state.iter();
                all.find(|(name, _)| quoted(name) == role)
                    .map(|(_, file)| file)
            });
            let bytes = roles.trusted.file(role);
            let found = bytes.map(|bytes| MetaFile::of(version, bytes));
            if found.is_some() && told != found.as_ref() {
                let wanted = match told {
                    Some(told) => format!("version {} as the log tells", told.version),
                    None => "a file that the log tells of".to_owned(),
                };
                let found = format!("version {version}, which no entry tells of");
                self.problems
                    .push(AuditProblem::new(location, wanted, found));
            }
        }
        let told = files.entry(head.number).and_then(|entry| entry.timestamp);
        let found = roles.trusted.timestamp().map(|body| body.version);
        if told.is_some() && told != found {
            let wanted = format!("version {} as the log tells", told.unwrap_or(0));
            let found = format!("version {}", found.unwrap_or(0));
            self.problems
                .push(AuditProblem::new(TIMESTAMP_LOCATION, wanted, found));
        }
    }

    /// Every root that is there since the log began has to be told of.
    fn compare_roots(&mut self, told: &BTreeMap<u64, BTreeSet<Vec<u8>>>, keys: &KeyHistory) {
        let first = told.keys().next().copied().unwrap_or(u64::MAX);
        for (version, root) in keys.roots.range(first..) {
            let is_told = told
                .get(version)
                .is_some_and(|digests| digests.contains(&digest_of(&root.file)));
            if !is_told {
                let location = format!("metadata/{version}.root.json");
                let found =
                    "one that no entry tells of: the log's tail is lost, or nobody wrote it";
                self.problems.push(AuditProblem::new(
                    location,
                    "a root that the log tells of",
                    found,
                ));
            }
        }
        for version in told.keys().filter(|told| !keys.roots.contains_key(told)) {
            self.notes.push(format!(
                "root {version} was begun and is not there: publish the same proposal again"
            ));
        }
    }
}

/// The files of a log, by their numbers.
struct Files(BTreeMap<u64, EntryFile>);

struct EntryFile {
    sha256: String,
    draft: Result<RoleDraft<LogEntry>, TrustError>,
}

impl Files {
    fn read(storage: &dyn Storage, there: &BTreeSet<u64>) -> Result<Files, PublishError> {
        let read = there.par_iter().map(|number| {
            let bytes = storage.get(&LogEntry::location(*number))?;
            Ok(bytes.map(|bytes| {
                let file = EntryFile {
                    sha256: LogHead::of(*number, &bytes).sha256,
                    draft: parse_entry(*number, &bytes),
                };
                (*number, file)
            }))
        });
        let files = read.collect::<Result<Vec<_>, PublishError>>()?;
        Ok(Files(files.into_iter().flatten().collect()))
    }

    fn entry(&self, number: u64) -> Option<&LogEntry> {
        Some(self.0.get(&number)?.draft.as_ref().ok()?.body())
    }

    fn drafts<'a>(
        &'a self,
        numbers: &'a BTreeSet<u64>,
    ) -> impl Iterator<Item = (u64, &'a RoleDraft<LogEntry>)> {
        numbers.iter().filter_map(|number| {
            let draft = self.0.get(number)?.draft.as_ref().ok()?;
            Some((*number, draft))
        })
    }

    fn records(&self, in_force: &BTreeSet<u64>, head: u64) -> Vec<LogRecord> {
        let records = self.0.iter().filter_map(|(number, file)| {
            let entry = file.draft.as_ref().ok()?.body().clone();
            let state = match number {
                number if in_force.contains(number) => LogState::InForce,
                number if *number < head => LogState::GivenUp,
                _ => LogState::Unfinished,
            };
            Some(LogRecord { entry, state })
        });
        records.collect()
    }
}

/// Every root that the repository keeps, which is all of them.
struct KeyHistory {
    roots: BTreeMap<u64, KeptRoot>,
}

struct KeptRoot {
    body: Root,
    file: MetaFile,
}

impl KeyHistory {
    fn of(storage: &dyn Storage, roles: &Roles) -> Result<KeyHistory, PublishError> {
        let mut roots = BTreeMap::new();
        for location in roles.locations() {
            let name = location.strip_prefix("metadata/").and_then(versioned_role);
            if let Some((version, "root")) = name
                && let Some(bytes) = storage.get(&location)?
            {
                let limit = TrustLimits::default().root_bytes;
                if let Ok(draft) = RoleDraft::<Root>::parse("root", &bytes, limit) {
                    let root = KeptRoot {
                        body: draft.body().clone(),
                        file: MetaFile::of(version, &bytes),
                    };
                    roots.insert(version, root);
                }
            }
        }
        Ok(KeyHistory { roots })
    }

    /// Returns every key that anybody ever had: good for telling a fork from an edit, and no more.
    fn all(&self, files: &Files) -> KeyTable {
        let mut table = KeyTable::new();
        for root in self.roots.values() {
            table.extend(root.body.keys.clone());
        }
        for file in files.0.values() {
            if let Ok(draft) = &file.draft {
                let entry = draft.body();
                let baseline = entry.baseline.as_ref();
                let before = baseline.and_then(|baseline| baseline.delegations.as_ref());
                for delegations in entry.delegated.iter().chain(before) {
                    table.extend(delegations.keys.clone());
                }
            }
        }
        table
    }
}

/// Who may sign what, at one moment of the history.
#[derive(Clone, Default)]
struct Trust {
    root: Option<u64>,
    delegated: BTreeMap<String, (RoleKeys, KeyTable)>,
}

impl Trust {
    fn begin(&mut self, delegations: Option<&Delegations>) {
        self.delegated.clear();
        self.delegate(delegations);
    }

    fn change(&mut self, entry: &LogEntry) {
        self.delegate(entry.delegated.as_ref());
        for role in &entry.undelegated {
            self.delegated.remove(role);
        }
    }

    fn delegate(&mut self, delegations: Option<&Delegations>) {
        let Some(delegations) = delegations else {
            return;
        };
        for role in &delegations.roles {
            let keys = role.keyids.iter();
            let keys = keys.filter_map(|id| Some((id.clone(), delegations.keys.get(id)?.clone())));
            let trusted = (role.role_keys(), keys.collect());
            self.delegated.insert(role.name.clone(), trusted);
        }
    }

    fn keys_of(&self, role: &str, history: &KeyHistory) -> Option<(RoleKeys, KeyTable)> {
        if let Some(trusted) = self.delegated.get(role) {
            return Some(trusted.clone());
        }
        let root = &history.roots.get(&self.root?)?.body;
        let keys = root.roles.get(role)?.clone();
        Some((keys, root.keys.clone()))
    }
}

/// Tells how the file of an entry is another one than the one expected.
fn told_other(draft: &RoleDraft<LogEntry>, number: u64, known: &KeyTable) -> String {
    let entry = draft.body();
    if entry.number != number {
        let other = entry.number;
        return format!("entry {other}: the entries were reordered, or renamed");
    }
    let all = RoleKeys {
        keyids: known.keys().cloned().collect(),
        threshold: 1,
    };
    let signed = draft.signers().count();
    if signed > 0 && draft.valid_signers(&all, known).len() == signed {
        "another entry of that number, signed by keys of the repository: the log was forked"
            .to_owned()
    } else {
        "an entry whose signatures are not valid: it was edited".to_owned()
    }
}

fn digest_of(file: &MetaFile) -> Vec<u8> {
    let digests = file.hashes.iter().flatten();
    digests.flat_map(|(_, digest)| digest.bytes()).collect()
}

fn quoted(role: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let quote = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    role.bytes().map(quote).collect()
}
