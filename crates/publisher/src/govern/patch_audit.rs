use std::collections::BTreeMap;

use release_format::{Patch, TargetEntry};

use crate::PublishError;
use crate::govern::audit_problem::AuditProblem;
use crate::repository::roles::Roles;
use crate::storage::Storage;

/// What was found of the patches that metadata lists.
#[derive(Default)]
pub(crate) struct PatchAudit {
    /// Where they lie.
    pub(crate) locations: Vec<String>,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Those that are not what is signed of them. A device goes on without them.
    pub(crate) problems: Vec<AuditProblem>,
}

impl PatchAudit {
    /// Compares every patch with what it leads to, as far as what it starts from is still there.
    pub(crate) fn of(storage: &dyn Storage, roles: &Roles) -> Result<PatchAudit, PublishError> {
        let mut audit = PatchAudit::default();
        let patched = roles.patched_files();
        if patched.is_empty() {
            return Ok(audit);
        }
        let starts = Starts::of(storage)?;
        for file in patched {
            let Some(new) = storage.get(&file.location)? else {
                continue;
            };
            let listed = file.patches.all().zip(file.patches.locations(&file.sha256));
            for ((start, length), location) in listed {
                let patch = storage.get(&location)?;
                audit.locations.push(location.clone());
                let found = patch.as_ref().map(|bytes| bytes.len() as u64);
                audit.bytes = audit.bytes.saturating_add(found.unwrap_or(0));
                if found != Some(length) {
                    let found = found.map_or("none".to_owned(), |found| format!("{found} bytes"));
                    audit.problem(location, format!("{length} bytes"), found);
                    continue;
                }
                let old = match start {
                    "" => Some(Vec::new()),
                    start => starts.file(storage, start)?,
                };
                let (Some(old), Some(patch)) = (old, patch) else {
                    continue;
                };
                let led = Patch::from_old(&old).apply(&patch, new.len() as u64);
                if led.as_deref() != Ok(&*new) {
                    let found = led.map_or_else(|failed| failed.to_string(), |_| "another".into());
                    let wanted = format!("what leads to {}", file.location);
                    audit.problem(location, wanted, found);
                }
            }
        }
        Ok(audit)
    }

    fn problem(&mut self, location: String, expected: String, found: String) {
        self.problems
            .push(AuditProblem::new(location, expected, found));
    }
}

/// The files that patches may start from, by the beginnings of their digests.
struct Starts(BTreeMap<String, String>);

impl Starts {
    fn of(storage: &dyn Storage) -> Result<Starts, PublishError> {
        let mut starts = BTreeMap::new();
        for location in storage.list("targets/")? {
            let name = location.rsplit('/').next().unwrap_or_default();
            if let Some((digest, _)) = name.split_once('.') {
                starts.insert(digest.to_owned(), location);
            }
        }
        for location in storage.list("metadata/")? {
            if location.ends_with(".json")
                && let Some(bytes) = storage.get(&location)?
                && let Some(digest) = TargetEntry::of(&bytes).sha256()
            {
                starts.insert(digest.to_owned(), location);
            }
        }
        Ok(Starts(starts))
    }

    fn file(&self, storage: &dyn Storage, start: &str) -> Result<Option<Vec<u8>>, PublishError> {
        let mut from = self.0.range(start.to_owned()..);
        let location = from.next().filter(|(digest, _)| digest.starts_with(start));
        let Some((_, location)) = location else {
            return Ok(None);
        };
        Ok(storage.get(location)?.map(|bytes| bytes.to_vec()))
    }
}
