use std::collections::BTreeSet;
use std::path::PathBuf;

use diff_core::{Digest, Limits};
use release_format::{Label, Manifest, PackName};

use crate::UpdateError;
use crate::library::disk::{Disk, DiskError};
use crate::library::layout::LibraryLayout;
use crate::library::lease::Gate;
use crate::library::shelf::Shelf;
use crate::library::state::{StateRecord, StateStore};

/// What pruning removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Releases that nothing needs.
    pub releases: Vec<PrunedRelease>,
    /// Releases that nothing needs but whoever has them open: they go once they are closed.
    pub in_use: Vec<PrunedRelease>,
    /// Content that an interrupted update left; its next run fetches it anew.
    pub downloads: Vec<PathBuf>,
    /// Bytes of files that this frees: what another release shares costs nothing and frees nothing.
    pub freed_bytes: u64,
}

/// A release that is not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunedRelease {
    /// The pack.
    pub pack: PackName,
    /// Its folder's name: 16 digits of the manifest digest, and a number for a tree that replaced
    /// another.
    pub folder: String,
    /// Its label, where its manifest can be read.
    pub label: Option<Label>,
}

/// Removes releases that nothing needs; the library's lock is held.
#[derive(Clone, Copy)]
pub(crate) struct Pruner<'a> {
    disk: &'a dyn Disk,
    layout: &'a LibraryLayout,
}

impl<'a> Pruner<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, layout: &'a LibraryLayout) -> Pruner<'a> {
        Pruner { disk, layout }
    }

    /// Removes the releases of a pack that the record does not need and nobody has open, but not
    /// `next`, which is about to be switched to.
    pub(crate) fn drop_releases(
        &self,
        record: &StateRecord,
        next: Option<&Digest>,
    ) -> Result<(), UpdateError> {
        for name in self.shelf().surplus(record, next)? {
            self.remove(record.pack(), &name)?;
        }
        Ok(())
    }

    /// Says what nothing needs in the whole library, and removes it unless that is only asked for.
    pub(crate) fn prune(
        &self,
        limits: &Limits,
        downloads: bool,
        dry_run: bool,
    ) -> Result<Pruned, UpdateError> {
        let mut pruned = Pruned::default();
        let mut kept = BTreeSet::new();
        // The files of each release that goes: what stays is known only once all packs were looked at.
        let mut going: Vec<Vec<(Digest, u64)>> = Vec::new();
        for pack in self.layout.packs_present(self.disk)? {
            let record = StateStore::new(self.disk, self.layout, &pack)
                .load()?
                .record;
            // Without a record nobody can tell what is needed: healing makes one of what lies there.
            let has_record = record.generation() > 0;
            let surplus = match has_record {
                true => self.shelf().surplus(&record, None)?,
                false => Vec::new(),
            };
            for folder in self.shelf().folders(&pack)? {
                let is_surplus = surplus.contains(&folder);
                let manifest = self.manifest(&pack, &folder, limits, is_surplus)?;
                let is_leased = is_surplus && self.is_leased(&folder)?;
                let entries = manifest.iter().flat_map(|of| of.listing().entries());
                if !is_surplus || is_leased {
                    kept.extend(entries.map(|entry| entry.digest));
                } else {
                    going.push(entries.map(|entry| (entry.digest, entry.length)).collect());
                }
                let release = PrunedRelease {
                    pack: pack.clone(),
                    folder,
                    label: manifest.map(|manifest| manifest.label().clone()),
                };
                match (is_surplus, is_leased) {
                    (true, true) => pruned.in_use.push(release),
                    (true, false) => pruned.releases.push(release),
                    _ => {}
                }
            }
        }
        let mut freed = Vec::new();
        for files in going {
            let files = files.into_iter();
            let alone = files.filter(|(digest, _)| kept.insert(*digest));
            freed.push(alone.map(|(_, length)| length).sum::<u64>());
        }
        pruned.freed_bytes = freed.iter().sum();
        if downloads {
            for entry in self.disk.list(&self.layout.downloads())? {
                let path = self.layout.downloads().join(entry.name);
                pruned.freed_bytes += self.disk.length(&path)?.unwrap_or(0);
                pruned.downloads.push(path);
            }
        }
        if !dry_run {
            self.carry_out(&mut pruned, &freed)?;
        }
        Ok(pruned)
    }

    /// Removes what `pruned` names, and takes out of it what is still in use.
    fn carry_out(&self, pruned: &mut Pruned, freed: &[u64]) -> Result<(), UpdateError> {
        let mut gone = Vec::new();
        for (release, freed) in pruned.releases.drain(..).zip(freed) {
            if self.remove(&release.pack, &release.folder)? {
                gone.push(release);
            } else {
                // Opened since it was looked at, or by a program that takes no lease.
                pruned.freed_bytes = pruned.freed_bytes.saturating_sub(*freed);
                pruned.in_use.push(release);
            }
        }
        pruned.releases = gone;
        for path in std::mem::take(&mut pruned.downloads) {
            let length = self.disk.length(&path)?.unwrap_or(0);
            match self.disk.remove_file(&path) {
                Err(held) if held.is_held() => {
                    pruned.freed_bytes = pruned.freed_bytes.saturating_sub(length);
                }
                outcome => {
                    outcome?;
                    pruned.downloads.push(path);
                }
            }
        }
        Ok(())
    }

    /// Returns the manifest of a release; of one that nothing needs none where another program has it
    /// open, which keeps nobody from going on with the others.
    fn manifest(
        &self,
        pack: &PackName,
        folder_name: &str,
        limits: &Limits,
        is_surplus: bool,
    ) -> Result<Option<Manifest>, DiskError> {
        match self.shelf().manifest(pack, folder_name, limits) {
            Err(held) if is_surplus && held.is_held() => Ok(None),
            outcome => outcome,
        }
    }

    fn is_leased(&self, folder_name: &str) -> Result<bool, DiskError> {
        Gate::to_remove(self.disk, self.layout)?.is_leased(folder_name)
    }

    /// Removes a release unless somebody has it open; tells whether it went.
    ///
    /// It loses its name first, in one call, so that nobody ever opens half of it, and nothing of it
    /// is removed before that is durable. Windows moves no folder in which a file is open, and removes
    /// no file that is: what is left of it then goes with the next recovery.
    pub(crate) fn remove(&self, pack: &PackName, folder_name: &str) -> Result<bool, UpdateError> {
        match self.try_remove(pack, folder_name) {
            Err(UpdateError::Disk(held)) if held.is_held() => Ok(false),
            outcome => outcome,
        }
    }

    fn try_remove(&self, pack: &PackName, folder_name: &str) -> Result<bool, UpdateError> {
        let gone = self.layout.staging().join(format!("{folder_name}.gone"));
        self.disk.remove_tree(&gone)?;
        let gate = Gate::to_remove(self.disk, self.layout)?;
        if gate.is_leased(folder_name)? {
            return Ok(false);
        }
        self.disk
            .rename(&self.shelf().folder(pack, folder_name), &gone)?;
        gate.forget(folder_name)?;
        drop(gate);
        self.layout.sync_move(self.disk, pack)?;
        LibraryLayout::remove_release(self.disk, &gone)?;
        Ok(true)
    }

    fn shelf(&self) -> Shelf<'a> {
        Shelf::new(self.disk, self.layout)
    }
}
