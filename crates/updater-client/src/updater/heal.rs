use std::sync::Arc;

use diff_core::CancelToken;
use release_format::{CatalogueRelease, ChunkMap, Manifest, PackName, TrustLimits};

use super::Updater;
use crate::UpdateError;
use crate::clock::EffectiveClock;
use crate::event::Event;
use crate::library::layout::LibraryLayout;
use crate::library::lock::LibraryLock;
use crate::library::state::{InstalledRelease, StateRecord};
use crate::library::trust_store::TrustStore;
use crate::step::assemble::Assembler;
use crate::step::chunks::ChunkFetcher;
use crate::step::document::Traffic;
use crate::step::fetch::Fetcher;
use crate::step::prune::Pruner;
use crate::step::recover;
use crate::step::verify::{self, Damage, VerifyReport};

/// What bounds healing.
#[derive(Debug, Clone, Default)]
pub struct HealOptions {
    /// The most bytes of files that may be fetched for each release; `None` for as many as it takes.
    pub budget_bytes: Option<u64>,
}

/// What healing found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Healed {
    /// What was wrong with the state record, which is written anew.
    pub record: Option<String>,
    /// The releases that were damaged, and are whole again.
    pub releases: Vec<HealedRelease>,
    /// All requests and bytes, metadata included.
    pub traffic: Traffic,
}

/// A release that was damaged, and is whole again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealedRelease {
    /// The release.
    pub release: InstalledRelease,
    /// What was wrong with it; nothing where its manifest alone was.
    pub damage: Vec<Damage>,
    /// Files that were restored from other files on the device.
    pub found_files: u64,
    /// Files that were fetched.
    pub fetched_files: u64,
}

impl Updater {
    /// Compares every release of `pack` that is needed with its manifest: the active one first, then
    /// the fallback, what is staged and what is pinned.
    ///
    /// # Errors
    /// As [`Updater::verify`].
    pub fn verify_all(
        &self,
        pack: &PackName,
        cancel: &CancelToken,
    ) -> Result<Vec<(InstalledRelease, VerifyReport)>, UpdateError> {
        let record = self.store(pack).load()?.record;
        if record.active().is_none() {
            return Err(UpdateError::NotInstalled { pack: pack.clone() });
        }
        let mut reports = Vec::new();
        for release in record.named() {
            let manifest = self.manifest(&record, release)?;
            let report = self.compared(&record, release, &manifest, cancel)?;
            reports.push((release.clone(), report));
        }
        Ok(reports)
    }

    /// Restores exactly what is damaged of `pack`: its state record, from the releases that lie here
    /// when the one before it is damaged as well, and every file of a release that is needed, from any
    /// release on the device that has its content, else from the repository by the chunks needed.
    ///
    /// A healed tree takes a place of its own, and the record then says so: whoever has the damaged
    /// one open keeps it until he lets go. Nothing is asked of the network unless something is to be
    /// fetched.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`] when there is nothing of the pack; [`UpdateError::OverBudget`];
    /// whatever keeps a missing file from being fetched. What was healed before it stays healed.
    pub fn heal(
        &self,
        pack: &PackName,
        options: &HealOptions,
        cancel: &CancelToken,
    ) -> Result<Healed, UpdateError> {
        let _span = tracing::info_span!("heal", %pack).entered();
        let _lock = LibraryLock::acquire(self.disk(), &self.layout)?;
        // Asked before recovery writes the record anew from the one before it.
        let damage = self
            .store(pack)
            .load()
            .ok()
            .and_then(|stored| stored.damage);
        let mut healed = Healed {
            record: damage.map(|damage| damage.to_string()),
            ..Healed::default()
        };
        recover::recover(self.disk(), &self.layout, self.observer())?;
        let mut record = self.record_or_rebuilt(pack, &mut healed)?;
        let clock = Arc::new(EffectiveClock::new(Arc::clone(&self.config.clock)));
        let mut remote = Remote {
            updater: self,
            pack,
            clock,
            cancel,
            traffic: Traffic::default(),
        };
        for release in record.named().into_iter().cloned().collect::<Vec<_>>() {
            let done = self.heal_release(&record, &release, options, &mut remote)?;
            if let Some((done, copy)) = done {
                let manifest = release.manifest;
                let change = self.store(pack).change(|record| {
                    Ok(record.with_copy(&manifest, if record.needs(&manifest) { copy } else { 0 }))
                })?;
                record = change.after;
                healed.releases.push(done);
            }
        }
        healed.traffic = remote.traffic;
        // The healed ones are in their places: what cannot be removed now is removed by an update.
        let _ = Pruner::new(self.disk(), &self.layout).drop_releases(&record, None);
        Ok(healed)
    }

    /// Sees to it that trusted metadata can be read; tells whether it was pinned anew to `root`.
    ///
    /// All but the oldest intact root is fetched anew by the next check when it is damaged. When no
    /// root is intact, the device has to be given one by a way that is trusted already, as when it was
    /// enrolled.
    ///
    /// # Errors
    /// [`UpdateError::Damaged`] when no root is intact and none was given; [`UpdateError::Trust`] when
    /// `root` is none that has signed itself.
    pub fn heal_trust(&self, root: Option<&[u8]>) -> Result<bool, UpdateError> {
        let _lock = LibraryLock::acquire(self.disk(), &self.layout)?;
        recover::recover(self.disk(), &self.layout, self.observer())?;
        let store = || TrustStore::new(self.disk(), self.layout.trust(), TrustLimits::standard());
        match (store().load(), root) {
            (Ok(_), _) => Ok(false),
            (Err(UpdateError::Damaged { .. }), Some(root)) => {
                store().pin(root)?;
                Ok(true)
            }
            (Err(failed), _) => Err(failed),
        }
    }

    fn compared(
        &self,
        record: &StateRecord,
        release: &InstalledRelease,
        manifest: &Manifest,
        cancel: &CancelToken,
    ) -> Result<VerifyReport, UpdateError> {
        let tree = self.tree(record, release);
        verify::verify(self.disk(), &tree, manifest, self.observer(), cancel)
    }

    /// Returns the state record; where both of its files are lost, one that is made of the releases
    /// that lie here: the newest is active, on trial if there is one to go back to.
    fn record_or_rebuilt(
        &self,
        pack: &PackName,
        healed: &mut Healed,
    ) -> Result<StateRecord, UpdateError> {
        let lost = match self.store(pack).load() {
            Ok(stored) if stored.record.generation() > 0 => return Ok(stored.record),
            Ok(_) => UpdateError::NotInstalled { pack: pack.clone() },
            Err(damaged @ UpdateError::Damaged { .. }) => damaged,
            Err(failed) => return Err(failed),
        };
        let mut here: Vec<(InstalledRelease, u32)> = Vec::new();
        for folder in self.shelf().folders(pack)? {
            let manifest = self.shelf().manifest(pack, &folder, &self.config.limits)?;
            let Some(manifest) = manifest else {
                continue;
            };
            let digest = manifest.digest();
            let copy = LibraryLayout::copy_number(&folder, &digest).unwrap_or(0);
            // The newest tree of a release is the one that was healed last.
            here.retain(|(known, of)| known.manifest != digest || *of > copy);
            if !here.iter().any(|(known, _)| known.manifest == digest) {
                let release = InstalledRelease {
                    label: manifest.label().clone(),
                    sequence: manifest.sequence(),
                    manifest: digest,
                    tree_bytes: manifest.listing().total_bytes(),
                };
                here.push((release, copy));
            }
        }
        here.sort_by_key(|(release, _)| std::cmp::Reverse(release.sequence));
        let mut newest = here.into_iter().take(2).collect::<Vec<_>>();
        newest.reverse();
        let mut record = StateRecord::empty(pack.clone());
        for (release, copy) in newest {
            if record.active().is_some() {
                record = record.confirm()?;
            }
            let (manifest, openings) = (release.manifest, StateRecord::OPENINGS);
            record = record
                .activate(release, openings)?
                .with_copy(&manifest, copy);
        }
        if record.active().is_none() {
            return Err(lost);
        }
        if record.fallback().is_none() {
            // There is nothing to go back to: a trial could only end with nothing.
            record = record.confirm()?;
        }
        let told = match &lost {
            UpdateError::NotInstalled { .. } => "it was not there".to_owned(),
            damaged => damaged.to_string(),
        };
        let what = format!("the state record of {pack} is made anew of its releases: {told}");
        let record = self.store(pack).restore(record)?;
        self.observer().event(&Event::Recovered { what });
        healed.record = Some(told);
        Ok(record)
    }

    /// Heals one release; returns what was wrong and the number of its new tree.
    fn heal_release(
        &self,
        record: &StateRecord,
        release: &InstalledRelease,
        options: &HealOptions,
        remote: &mut Remote<'_>,
    ) -> Result<Option<(HealedRelease, u32)>, UpdateError> {
        let manifest = match self.manifest(record, release) {
            Ok(manifest) => Ok(manifest),
            Err(damaged @ UpdateError::Damaged { .. }) => Err(damaged),
            Err(failed) => return Err(failed),
        };
        let lacks_manifest = manifest.is_err();
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(_damaged) => match self.manifest_of_another_copy(record, release)? {
                Some(manifest) => manifest,
                None => remote.manifest(release)?,
            },
        };
        let report = self.compared(record, release, &manifest, remote.cancel)?;
        if report.is_sound() && !lacks_manifest {
            return Ok(None);
        }
        let assembler = Assembler {
            disk: self.disk(),
            layout: &self.layout,
            held: self.held(),
            observer: self.observer(),
            cancel: remote.cancel,
            told: |done, total| Event::Healing { done, total },
        };
        let lacking = report.damage.iter().map(|of| of.path.as_str()).collect();
        let tree = self.tree(record, release);
        let outcome = (|| {
            let mut rebuilt = assembler.begin(&manifest, &tree, &lacking)?;
            let fetched_files = rebuilt.missing.len() as u64;
            let found_files = rebuilt.found;
            if fetched_files > 0 {
                remote.fetch(release, |published, fetcher| {
                    let map = fetcher.content(&published.chunk_map)?;
                    let map = ChunkMap::decode(&map, &self.config.limits)?;
                    let held =
                        self.held_chunks(&manifest, &map, &rebuilt.missing, remote.cancel)?;
                    let documents = fetcher.documents();
                    let mut chunks = ChunkFetcher::new(documents, manifest.listing(), &map, &held)?;
                    let needed = chunks.cost(&rebuilt.missing).bytes;
                    if let Some(budget) = options.budget_bytes
                        && needed > budget
                    {
                        return Err(UpdateError::OverBudget { needed, budget });
                    }
                    assembler.fetch(&manifest, &mut rebuilt, &mut chunks)
                })?;
            }
            let copy = assembler.finish(remote.pack, &manifest, rebuilt)?;
            let done = HealedRelease {
                release: release.clone(),
                damage: report.damage.clone(),
                found_files,
                fetched_files,
            };
            Ok((done, copy))
        })();
        if outcome.is_err() {
            // Only tidiness: whatever stays is removed by the next recovery.
            let _ = self
                .disk()
                .remove_tree(&self.layout.staged(&release.manifest));
        }
        outcome.map(Some)
    }

    fn manifest_of_another_copy(
        &self,
        record: &StateRecord,
        release: &InstalledRelease,
    ) -> Result<Option<Manifest>, UpdateError> {
        let pack = record.pack();
        for copy in self.shelf().copies(pack, &release.manifest)? {
            let folder = LibraryLayout::folder_name(&release.manifest, copy);
            let manifest = self.shelf().manifest(pack, &folder, &self.config.limits)?;
            if let Some(manifest) = manifest.filter(|of| of.digest() == release.manifest) {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }
}

/// The repository, asked only when something has to be fetched.
struct Remote<'a> {
    updater: &'a Updater,
    pack: &'a PackName,
    clock: Arc<EffectiveClock>,
    cancel: &'a CancelToken,
    traffic: Traffic,
}

impl Remote<'_> {
    /// Returns the manifest of a release, as it was published.
    fn manifest(&mut self, release: &InstalledRelease) -> Result<Manifest, UpdateError> {
        let limits = &self.updater.config.limits;
        self.fetch(release, |published, fetcher| {
            let bytes = fetcher.content(&published.manifest)?;
            Ok(Manifest::decode(&bytes, limits)?)
        })
    }

    /// Does `work` with what the repository publishes of a release, and drops what was downloaded.
    fn fetch<T>(
        &mut self,
        release: &InstalledRelease,
        work: impl FnOnce(&CatalogueRelease, &Fetcher<'_>) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        let updater = self.updater;
        let (transport, _) = updater.transport(&self.clock)?;
        let fetcher = updater.fetcher(&*transport, self.cancel);
        let answer = updater.ask(self.pack, &fetcher, &self.clock)?;
        let Some(published) = answer.catalogue.release(&release.manifest) else {
            return Err(UpdateError::Damaged {
                at: updater.layout.release(self.pack, &release.manifest),
                expected: format!(
                    "release {} in the catalogue, to heal it from",
                    release.label
                ),
                found: "none".to_owned(),
            });
        };
        let outcome = work(published, &fetcher);
        let traffic = fetcher.traffic();
        self.traffic.requests += traffic.requests;
        self.traffic.bytes += traffic.bytes;
        if outcome.is_ok() {
            for content in [&published.manifest, &published.chunk_map] {
                let path = updater.layout.partial(&content.digest);
                updater.disk().remove_file(&path)?;
            }
        }
        outcome
    }
}
