use std::collections::{BTreeMap, BTreeSet};

use diff_core::Digest;
use release_format::{Catalogue, Label, LogSubject, PackName, Rollout, UtcTime};

use crate::PublishError;
use crate::key_store::KeyStore;
use crate::release::routes::{Routes, hops};
use crate::repository::Repository;
use crate::repository::location::{is_of_repository, versioned_role};
use crate::repository::record::Action;
use crate::repository::roles::{Roles, absent};
use crate::storage::Storage;
use crate::supply::references::References;

use crate::supply::selection::offered;

/// What [`Repository::prune`] may remove.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneOptions {
    /// How many releases of each pack stay beside those that are offered or needed on a way; all of
    /// them unless given.
    pub keep: Option<usize>,
    /// Whether content goes that devices may be fetching which saw the metadata before.
    pub now_too: bool,
    /// Whether nothing is written or removed.
    pub is_dry: bool,
    /// The time to sign.
    pub now: UtcTime,
}

impl PruneOptions {
    /// Returns the options that remove what nothing has referred to for a while.
    pub fn at(now: UtcTime) -> PruneOptions {
        PruneOptions {
            keep: None,
            now_too: false,
            is_dry: false,
            now,
        }
    }
}

/// What [`Repository::prune`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PruneReport {
    /// The packs that lose releases.
    pub packs: Vec<PrunedPack>,
    /// The files that are removed.
    pub removed: Vec<String>,
    /// Their bytes.
    pub freed_bytes: u64,
    /// Files that nothing refers to any more, kept for devices that saw the metadata before.
    pub waiting: Vec<String>,
    /// Their bytes.
    pub waiting_bytes: u64,
}

/// What a pack loses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrunedPack {
    /// The pack.
    pub pack: PackName,
    /// The releases that its catalogue loses, the oldest first.
    pub dropped: Vec<DroppedRelease>,
    /// Older releases that stay because a channel offers them, or a way of those that stay leads
    /// through them.
    pub needed: Vec<Label>,
}

/// What losing a release costs a device that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedRelease {
    /// The release.
    pub label: Label,
    /// The release that such a device is brought to; none when no channel offers one.
    pub to: Option<Label>,
    /// The fewest bytes by deltas so far.
    pub before_bytes: Option<u64>,
    /// The fewest bytes by deltas from now on.
    pub after_bytes: Option<u64>,
}

impl Repository {
    /// Removes what nothing refers to, and drops old releases.
    ///
    /// Catalogues without the dropped releases are signed first, and files are removed once that is
    /// durable. What devices may be fetching that saw the metadata before stays until the next time.
    ///
    /// # Errors
    /// [`PublishError`]; the repository is as valid as before then.
    pub fn prune(
        &self,
        keys: &KeyStore,
        options: &PruneOptions,
    ) -> Result<PruneReport, PublishError> {
        let _span = tracing::info_span!("prune").entered();
        let storage = self.storage();
        if !options.is_dry {
            storage.expect_removal()?;
        }
        let _lock = storage.lock()?;
        let roles = Roles::load(storage)?;
        let seen = References::current(storage, &roles)?;
        let plans = match options.keep {
            Some(keep) => plans(storage, &roles, keep)?,
            None => Vec::new(),
        };
        let (needed, kept_for_a_while) = if plans.is_empty() {
            let before = References::before(storage, snapshot_version(&roles))?;
            (seen, before)
        } else if options.is_dry {
            (References::current_with(storage, &roles, &plans)?, seen)
        } else {
            // Every key is found before anything is signed.
            for plan in &plans {
                roles.signing_content(&plan.catalogue.pack, keys)?;
            }
            for plan in &plans {
                let roles = Roles::load(storage)?;
                let signing = roles.signing_content(&plan.catalogue.pack, keys)?;
                let action = plan.action();
                roles.store_catalogue(storage, &signing, &plan.catalogue, action, options.now)?;
            }
            let roles = Roles::load(storage)?;
            (References::current(storage, &roles)?, seen)
        };
        let grace = (!options.now_too).then_some(&kept_for_a_while);
        let mut report = PruneReport {
            packs: plans.into_iter().map(|plan| plan.pruned).collect(),
            ..PruneReport::default()
        };
        let there = storage.list("")?;
        let newest = newest_metadata(&there);
        for location in there {
            let is_kept = needed.contains(&location)
                || !is_of_repository(&location)
                || newest.contains(&location)
                || location.ends_with(".root.json");
            if is_kept {
                continue;
            }
            let length = storage.length(&location)?.unwrap_or(0);
            if grace.is_some_and(|grace| grace.contains(&location)) {
                report.waiting_bytes += length;
                report.waiting.push(location);
                continue;
            }
            if !options.is_dry {
                storage.remove(&location)?;
            }
            report.freed_bytes += length;
            report.removed.push(location);
        }
        if !options.is_dry {
            storage.sync()?;
        }
        Ok(report)
    }
}

impl References {
    /// Returns what the current metadata would refer to with other catalogues.
    fn current_with(
        storage: &dyn Storage,
        roles: &Roles,
        plans: &[PackPlan],
    ) -> Result<References, PublishError> {
        let mut references = References::of_roles(roles);
        for pack in roles.packs() {
            match plans.iter().find(|plan| plan.catalogue.pack == pack) {
                Some(plan) => references.add_catalogue(&plan.catalogue),
                None => {
                    let catalogue = roles.catalogue(storage, &pack)?;
                    let catalogue = catalogue.ok_or_else(|| absent(&pack.catalogue_target()))?;
                    references.add_catalogue(&catalogue);
                }
            }
        }
        Ok(references)
    }
}

/// A pack's catalogue without the releases that it loses.
struct PackPlan {
    catalogue: Catalogue,
    pruned: PrunedPack,
}

impl PackPlan {
    /// Returns what the log tells of it.
    fn action(&self) -> Action {
        let subject = LogSubject {
            pack: Some(self.catalogue.pack.clone()),
            ..LogSubject::default()
        };
        let dropped = self.pruned.dropped.iter();
        let told = dropped.map(|release| format!("{} is dropped", release.label));
        Action::new("prune", subject).told(told)
    }
}

fn plans(storage: &dyn Storage, roles: &Roles, keep: usize) -> Result<Vec<PackPlan>, PublishError> {
    let mut plans = Vec::new();
    for pack in roles.packs() {
        let catalogue = roles.catalogue(storage, &pack)?;
        let catalogue = catalogue.ok_or_else(|| absent(&pack.catalogue_target()))?;
        let rollouts = roles.rollouts(storage, &pack)?;
        plans.extend(plan(&catalogue, &rollouts, keep));
    }
    Ok(plans)
}

/// Returns the catalogue without what may go; nothing when all of it stays.
fn plan(catalogue: &Catalogue, rollouts: &[Rollout], keep: usize) -> Option<PackPlan> {
    let targets = offered(catalogue, rollouts);
    let targets: Vec<Digest> = targets
        .iter()
        .map(|release| release.manifest.digest)
        .collect();
    let releases = catalogue.releases.iter();
    let mut kept: BTreeSet<Digest> = releases
        .clone()
        .rev()
        .take(keep)
        .map(|release| release.manifest.digest)
        .collect();
    let newest = kept.clone();
    // A rollout may name a release that it offers to nobody now; it names it all the same.
    kept.extend(rollouts.iter().flat_map(Rollout::named));
    let before = hops(&catalogue.releases);
    let supported: Vec<Digest> = kept.iter().copied().collect();
    for target in &targets {
        let routes = Routes::to(*target, &before);
        kept.extend(supported.iter().flat_map(|from| routes.between(*from)));
    }
    if releases
        .clone()
        .all(|release| kept.contains(&release.manifest.digest))
    {
        return None;
    }
    let mut thinned = catalogue.clone();
    thinned
        .releases
        .retain(|release| kept.contains(&release.manifest.digest));
    for release in &mut thinned.releases {
        release
            .deltas
            .retain(|delta| delta.from.is_none_or(|from| kept.contains(&from)));
    }
    let after = hops(&thinned.releases);
    let target = targets.last().copied();
    let ways = target.map(|to| (Routes::to(to, &before), Routes::to(to, &after)));
    let to = target
        .and_then(|to| catalogue.release(&to))
        .map(|to| to.label.clone());
    let mut pruned = PrunedPack {
        pack: catalogue.pack.clone(),
        dropped: Vec::new(),
        needed: Vec::new(),
    };
    for release in releases {
        let manifest = release.manifest.digest;
        if !kept.contains(&manifest) {
            pruned.dropped.push(DroppedRelease {
                label: release.label.clone(),
                to: to.clone(),
                before_bytes: ways
                    .as_ref()
                    .and_then(|(ways, _)| ways.bytes(Some(manifest))),
                after_bytes: ways
                    .as_ref()
                    .and_then(|(_, ways)| ways.bytes(Some(manifest))),
            });
        } else if !newest.contains(&manifest) {
            pruned.needed.push(release.label.clone());
        }
    }
    Some(PackPlan {
        catalogue: thinned,
        pruned,
    })
}

fn snapshot_version(roles: &Roles) -> u64 {
    roles.trusted.snapshot().map_or(0, |body| body.version)
}

/// Returns the newest file of each role: the next version is numbered behind it, so that no name is
/// ever given to other bytes.
fn newest_metadata(there: &[String]) -> BTreeSet<String> {
    let mut newest: BTreeMap<&str, (u64, &String)> = BTreeMap::new();
    for location in there {
        let name = location.strip_prefix("metadata/");
        if let Some((version, role)) = name.and_then(versioned_role) {
            let entry = newest.entry(role).or_insert((version, location));
            *entry = (*entry).max((version, location));
        }
    }
    newest
        .into_values()
        .map(|(_, location)| location.clone())
        .collect()
}
