use std::collections::BTreeMap;

use release_format::{Patch, Patches, TargetEntry, TrustedSet};

use crate::PublishError;
use crate::repository::roles::Roles;
use crate::storage::{Source, Storage};

/// Patches that lead to the files of one publication, until these are published.
#[derive(Default)]
pub(crate) struct Patching {
    /// By their locations.
    files: BTreeMap<String, Vec<u8>>,
}

impl Patching {
    /// Makes the patches that lead to `new` from nothing and from what devices may hold of it, the
    /// newest first; returns what is to be signed of them.
    pub(crate) fn lead_to<'a>(
        &mut self,
        new: &[u8],
        olds: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Patches, PublishError> {
        let mut patches = Patches::default();
        let mut made = Vec::new();
        let whole = Patch::FROM_NOTHING
            .make(new)
            .map_err(PublishError::Format)?;
        let from_nothing = is_worth(&whole, new.len());
        let without = if from_nothing { whole.len() } else { new.len() };
        for old in olds {
            let patch = Patch::from_old(old);
            let bytes = patch.make(new).map_err(PublishError::Format)?;
            if old != new && is_worth(&bytes, without) {
                patches.add(&patch, bytes.len() as u64);
                made.push(bytes);
            }
        }
        if from_nothing {
            patches.add(&Patch::FROM_NOTHING, whole.len() as u64);
            made.push(whole);
        }
        let entry = TargetEntry::of(new);
        let locations = patches.locations(entry.sha256().unwrap_or_default());
        self.files.extend(locations.zip(made));
        Ok(patches)
    }

    /// Makes the patches that lead to a role of targets or the snapshot.
    pub(crate) fn lead_to_role(
        &mut self,
        before: Option<&TrustedSet>,
        (role, new): (&str, &[u8]),
    ) -> Result<Patches, PublishError> {
        self.lead_to(new, before.and_then(|before| before.file(role)))
    }

    /// Puts the patches where devices will look for them.
    pub(crate) fn store(&self, storage: &dyn Storage) -> Result<(), PublishError> {
        let files = self.files.iter();
        let files = files.map(|(location, bytes)| (location.clone(), Source::Bytes(bytes)));
        storage.put_all_absent(&files.collect::<Vec<_>>())
    }
}

impl Roles {
    /// Returns what devices may hold of a target, the newest first: what it is now, and what that had
    /// patches from, as far as the repository still has it.
    pub(crate) fn held_of(
        &self,
        storage: &dyn Storage,
        path: &str,
    ) -> Result<Vec<Vec<u8>>, PublishError> {
        let mut held = Vec::new();
        let Some(current) = self.file_of_target(path)? else {
            return Ok(held);
        };
        let most = if path.ends_with("/catalogue") {
            CATALOGUES
        } else {
            1
        };
        held.extend(storage.get(&current.location)?.map(|bytes| bytes.to_vec()));
        let (Some((folder, _)), Some((_, name))) = (
            current.location.rsplit_once('/'),
            current.location.rsplit_once('.'),
        ) else {
            return Ok(held);
        };
        let patches = current.entry.patches();
        let starts: Vec<&str> = patches.starts().take(most.saturating_sub(1)).collect();
        if starts.is_empty() {
            return Ok(held);
        }
        // A bucket answers for a folder as a whole, whatever the names begin with.
        let there = storage.list(&format!("{folder}/"))?;
        for start in starts {
            let (begins, ends) = (format!("{folder}/{start}"), format!(".{name}"));
            let is_it = |at: &&String| at.starts_with(&begins) && at.ends_with(&ends);
            if let Some(location) = there.iter().find(is_it) {
                held.extend(storage.get(location)?.map(|bytes| bytes.to_vec()));
            }
        }
        Ok(held)
    }
}

/// Whether a patch of these bytes spares enough beside what a device fetches without it: each is a file
/// of its own, and is listed in what every device fetches.
fn is_worth(patch: &[u8], without: usize) -> bool {
    patch.len().saturating_add(LEAST_SPARED) <= without
}

/// Catalogues that patches start from: they change with each release, and most of one is what the one
/// before was. Of other files most is signatures and digests, which are new each time.
const CATALOGUES: usize = 8;
const LEAST_SPARED: usize = 128;
