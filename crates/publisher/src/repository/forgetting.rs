//! What a catalogue forgets when a release joins it.

use std::collections::BTreeSet;

use diff_core::Digest;
use release_format::{Catalogue, Rollout};

use crate::release::routes::{self, dispensable};

/// Drops the deltas to older releases that nobody takes any more, where `rollouts` are all channels'.
pub(crate) fn forget<'a>(catalogue: &mut Catalogue, rollouts: impl Iterator<Item = &'a Rollout>) {
    let offered: BTreeSet<Digest> = rollouts
        .flat_map(|rollout| rollout.otherwise.into_iter().chain([rollout.release]))
        .collect();
    forget_first_installs(catalogue, &offered);
    forget_detours(catalogue, &offered);
}

/// Drops the deltas from nothing to releases that no channel offers any more, but for the one before the
/// newest, which a withdrawal may bring back: nobody begins with the others, and each is as long as the
/// release. Whoever has to all the same is served by chunks.
fn forget_first_installs(catalogue: &mut Catalogue, offered: &BTreeSet<Digest>) {
    for release in catalogue.releases.iter_mut().rev().skip(RECENT) {
        if !offered.contains(&release.manifest.digest) {
            release.deltas.retain(|delta| delta.from.is_some());
        }
    }
}

/// Drops those deltas to the release that has just become an older one that are on no cheapest way from any
/// release to what is offered: devices that were behind it take the newer ones' own deltas.
fn forget_detours(catalogue: &mut Catalogue, offered: &BTreeSet<Digest>) {
    let Some(release) = catalogue.releases.iter().rev().nth(RECENT) else {
        return;
    };
    if offered.contains(&release.manifest.digest) {
        return;
    }
    let hops = routes::hops(&catalogue.releases);
    let candidates = routes::hops(std::slice::from_ref(release));
    let releases = catalogue.releases.iter();
    let starts: Vec<Digest> = releases.map(|release| release.manifest.digest).collect();
    let targets: Vec<Digest> = offered.iter().copied().collect();
    let gone = dispensable(&hops, &candidates, &starts, &targets);
    if let Some(release) = catalogue.releases.iter_mut().rev().nth(RECENT) {
        let is_gone = |from| gone.iter().any(|hop| hop.from == from);
        release.deltas.retain(|delta| !is_gone(delta.from));
    }
}

/// The newest releases, which keep all of their deltas.
const RECENT: usize = 2;
