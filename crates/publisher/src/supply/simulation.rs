use std::collections::HashMap;

use diff_core::{CancelToken, Digest};
use release_format::{Catalogue, CatalogueRelease, Label, PackName};

use crate::PublishError;
use crate::progress::PublishProgress;
use crate::release::delta_build::DeltaSettings;
use crate::release::delta_policy::{DeltaFrom, pays, spares};
use crate::release::routes::{Hop, Routes, hops};
use crate::repository::Repository;
use crate::repository::roles::Roles;
use crate::supply::fleet::Fleet;
use crate::supply::later_deltas::{Bench, destination, from_nothing_bytes, listed};

/// What [`Repository::simulate`] simulates.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimulationOptions {
    /// The pack.
    pub pack: PackName,
    /// The release that the fleet is brought to; the newest that is not withdrawn unless given.
    pub to: Option<Label>,
    /// How many bytes of download a byte of storage has to save.
    pub worth: u64,
    /// How deltas are made that are not published and have to be built to know their length.
    pub deltas: DeltaSettings,
}

impl SimulationOptions {
    /// Returns the options that bring a fleet to the newest release.
    pub fn new(pack: PackName) -> SimulationOptions {
        SimulationOptions {
            pack,
            to: None,
            worth: 10,
            deltas: DeltaSettings::default(),
        }
    }
}

/// What several policies would have cost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Simulation {
    /// The release that the fleet is brought to.
    pub to: Label,
    /// The delta from nothing to it.
    pub from_nothing_bytes: Option<u64>,
    /// How many bytes of download a byte of storage has to save.
    pub worth: u64,
    /// The older releases, the newest first.
    pub releases: Vec<SimulatedRelease>,
    /// Devices on releases that the repository does not have: they take the delta from nothing.
    pub strangers: u64,
    /// The policies, the one that stores the least first.
    pub policies: Vec<SimulatedPolicy>,
    /// The index of the policy that costs the least.
    pub recommended: usize,
}

/// An older release with its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimulatedRelease {
    /// The release.
    pub label: Label,
    /// How many devices have it.
    pub devices: u64,
    /// The delta from it; none when it would be over 1 GiB.
    pub delta_bytes: Option<u64>,
    /// Whether that delta is published, or was built to be measured and thrown away.
    pub is_published: bool,
}

/// What one policy would have cost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimulatedPolicy {
    /// The policy, as `--delta-from` spells it.
    pub policy: String,
    /// The deltas that it keeps.
    pub deltas: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// What the fleet downloads, all devices together.
    pub fleet_bytes: u64,
    /// Both in one number: downloads, and `worth` times what is stored.
    pub cost: u128,
}

impl Repository {
    /// Simulates how a fleet would have been brought to a release under several delta policies.
    ///
    /// Every delta that a policy asks for and that is not published is built to know its length, and
    /// thrown away. Nothing is published.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn simulate(
        &self,
        fleet: &Fleet,
        options: &SimulationOptions,
        progress: &dyn PublishProgress,
        cancel: &CancelToken,
    ) -> Result<Simulation, PublishError> {
        let storage = self.storage();
        let roles = Roles::load(storage)?;
        let catalogue = roles.catalogue(storage, &options.pack)?;
        let catalogue = catalogue.ok_or_else(|| PublishError::UnknownPack {
            pack: options.pack.clone(),
        })?;
        let to = destination(&catalogue, options.to.as_ref())?;
        let scratch = tempfile::tempdir()
            .map_err(|error| PublishError::io("create", &std::env::temp_dir(), error))?;
        let none = HashMap::new();
        let mut bench = None;
        let mut older = Vec::new();
        for release in older_than(&catalogue, to).rev() {
            let published = listed(to, &release.manifest.digest);
            let delta_bytes = match published {
                Some(delta) => Some(delta.content.length),
                None => {
                    let bench = match &bench {
                        Some(bench) => bench,
                        None => {
                            bench.insert(Bench::open(storage, to, scratch.path(), &none, cancel)?)
                        }
                    };
                    let built = bench.build(release, &options.deltas, progress, cancel)?;
                    built.map(|delta| delta.content.length)
                }
            };
            older.push(Older {
                manifest: release.manifest.digest,
                told: SimulatedRelease {
                    label: release.label.clone(),
                    devices: fleet.on(&release.label),
                    delta_bytes,
                    is_published: published.is_some(),
                },
            });
        }
        let known = |label: &Label| catalogue.labelled(label).is_some();
        let strangers = fleet.devices().filter(|(label, _)| !known(label));
        Ok(Judge {
            catalogue: &catalogue,
            to,
            older,
            strangers: strangers.map(|(_, devices)| devices).sum(),
            worth: options.worth,
        }
        .judge())
    }
}

fn older_than<'a>(
    catalogue: &'a Catalogue,
    to: &'a CatalogueRelease,
) -> impl DoubleEndedIterator<Item = &'a CatalogueRelease> {
    let releases = catalogue.releases.iter();
    releases.filter(|release| release.sequence < to.sequence)
}

struct Older {
    manifest: Digest,
    told: SimulatedRelease,
}

/// Compares policies; nothing is built any more.
struct Judge<'a> {
    catalogue: &'a Catalogue,
    to: &'a CatalogueRelease,
    older: Vec<Older>,
    strangers: u64,
    worth: u64,
}

impl Judge<'_> {
    fn judge(self) -> Simulation {
        let from_nothing_bytes = from_nothing_bytes(self.to);
        let mut policies: Vec<SimulatedPolicy> = Vec::new();
        for (from, margin_bytes) in self.candidates(from_nothing_bytes) {
            let policy = self.simulate(&from, margin_bytes, from_nothing_bytes);
            // What keeps the same deltas costs the same; the first one says it most simply.
            let is_known = policies.iter().any(|known| {
                (known.deltas, known.stored_bytes, known.fleet_bytes)
                    == (policy.deltas, policy.stored_bytes, policy.fleet_bytes)
            });
            if !is_known {
                policies.push(policy);
            }
        }
        policies.sort_by_key(|policy| (policy.stored_bytes, policy.fleet_bytes));
        let cheapest = policies
            .iter()
            .enumerate()
            .min_by_key(|(_, policy)| policy.cost);
        Simulation {
            to: self.to.label.clone(),
            from_nothing_bytes,
            worth: self.worth,
            recommended: cheapest.map_or(0, |(index, _)| index),
            releases: self.older.into_iter().map(|older| older.told).collect(),
            strangers: self.strangers,
            policies,
        }
    }

    /// Returns the policies that are worth a look, each with what a delta has to save.
    fn candidates(&self, from_nothing_bytes: Option<u64>) -> Vec<(DeltaFrom, u64)> {
        let mut candidates = vec![(DeltaFrom::Last(0), 0)];
        let mut count = 1;
        while count < self.older.len() {
            candidates.push((DeltaFrom::Last(count), 0));
            count *= 2;
        }
        candidates.push((DeltaFrom::All, 0));
        let nothing = from_nothing_bytes.unwrap_or(u64::MAX);
        for part in [2, 10] {
            candidates.push((DeltaFrom::All, nothing / part));
        }
        let mut crowded: Vec<&SimulatedRelease> = self.older.iter().map(|one| &one.told).collect();
        crowded.sort_by_key(|release| std::cmp::Reverse(release.devices));
        for most in 1..=MOST_BASELINES {
            let baselines = crowded
                .iter()
                .take(most)
                .filter(|release| release.devices > 0);
            let labels: Vec<Label> = baselines.map(|release| release.label.clone()).collect();
            for count in [1, 2, 4] {
                let baselines = DeltaFrom::Labels(labels.clone());
                let both = DeltaFrom::Several(vec![DeltaFrom::Last(count), baselines]);
                candidates.push((both, 0));
            }
        }
        let earns = |release: &&&SimulatedRelease| {
            release.delta_bytes.is_some_and(|bytes| {
                let saved = u128::from(release.devices) * u128::from(nothing.saturating_sub(bytes));
                saved > u128::from(self.worth) * u128::from(bytes)
            })
        };
        let labels = crowded
            .iter()
            .filter(earns)
            .map(|release| release.label.clone());
        candidates.push((DeltaFrom::Labels(labels.collect()), 0));
        candidates
    }

    fn simulate(
        &self,
        from: &DeltaFrom,
        margin_bytes: u64,
        from_nothing_bytes: Option<u64>,
    ) -> SimulatedPolicy {
        let mut older = self.catalogue.clone();
        older
            .releases
            .retain(|release| release.sequence < self.to.sequence);
        // Labels come from this very catalogue.
        let chosen = from.choose(&older.pack, Some(&older)).unwrap_or_default();
        let mut ways = hops(&older.releases);
        ways.extend(from_nothing_bytes.map(|bytes| Hop {
            from: None,
            to: self.to.manifest.digest,
            bytes,
        }));
        let (mut deltas, mut stored_bytes) = (0, 0_u64);
        for release in chosen {
            let manifest = release.manifest.digest;
            let found = self.older.iter().find(|older| older.manifest == manifest);
            let bytes = found.and_then(|older| older.told.delta_bytes);
            let is_kept = |bytes: &u64| {
                let by_others = || Routes::to(self.to.manifest.digest, &ways).bytes(Some(manifest));
                pays(*bytes, from_nothing_bytes, margin_bytes)
                    && (from.names(&release.label) || spares(*bytes, by_others()))
            };
            if let Some(bytes) = bytes.filter(is_kept) {
                deltas += 1;
                stored_bytes = stored_bytes.saturating_add(bytes);
                ways.push(Hop {
                    from: Some(manifest),
                    to: self.to.manifest.digest,
                    bytes,
                });
            }
        }
        let routes = Routes::to(self.to.manifest.digest, &ways);
        // Without any way by deltas a device takes the files' own bytes, chunk by chunk.
        let cost_of = |from| routes.bytes(from).unwrap_or(self.to.tree_bytes);
        let mut fleet_bytes = u128::from(self.strangers) * u128::from(cost_of(None));
        for older in &self.older {
            let bytes = cost_of(Some(older.manifest));
            fleet_bytes += u128::from(older.told.devices) * u128::from(bytes);
        }
        SimulatedPolicy {
            policy: spelled(from, margin_bytes),
            deltas,
            stored_bytes,
            fleet_bytes: u64::try_from(fleet_bytes).unwrap_or(u64::MAX),
            cost: fleet_bytes + u128::from(self.worth) * u128::from(stored_bytes),
        }
    }
}

/// Returns a policy as `--delta-from` reads it.
fn spelled(from: &DeltaFrom, margin_bytes: u64) -> String {
    let mut text = match from {
        DeltaFrom::Last(count) => format!("last:{count}"),
        DeltaFrom::All => "all".to_owned(),
        DeltaFrom::Labels(labels) if labels.is_empty() => "last:0".to_owned(),
        DeltaFrom::Labels(labels) => {
            let labels: Vec<_> = labels
                .iter()
                .map(|label| format!("baseline:{label}"))
                .collect();
            labels.join(",")
        }
        DeltaFrom::Several(all) => {
            let all: Vec<_> = all.iter().map(|one| spelled(one, 0)).collect();
            all.join(",")
        }
    };
    if margin_bytes > 0 {
        text.push_str(&format!(",pays:{margin_bytes}"));
    }
    text
}

/// How many of the releases with the most devices are tried as baselines.
const MOST_BASELINES: usize = 3;
