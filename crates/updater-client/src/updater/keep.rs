use release_format::{Label, PackName, UtcTime};

use super::Updater;
use crate::UpdateError;
use crate::library::lease::Gate;
use crate::library::lock::LibraryLock;
use crate::library::state::StateRecord;
use crate::step::prune::{Pruned, Pruner};
use crate::step::recover;

/// What a pin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinFor {
    /// The device stays on the release, whatever is offered.
    Device,
    /// The release is kept for attempts that began on it, and the device goes on.
    Attempts,
}

/// What to prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneOptions {
    /// Whether to remove content as well that an interrupted update left, and would go on from.
    pub downloads: bool,
    /// Whether to say only what would be removed.
    pub dry_run: bool,
}

impl Updater {
    /// Lets no other release of `pack` become active until `until`: for assessments. An update goes on
    /// up to the switch, and the first one after the hold is over switches without fetching again.
    ///
    /// There can be several holds, each with a reason of its own; one for the same reason is replaced.
    /// To fail or revert a release is not held.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::WrongHold`] for one without a reason or that does
    /// not end within 31 days; [`UpdateError::TooMany`].
    pub fn hold(&self, pack: &PackName, reason: &str, until: UtcTime) -> Result<(), UpdateError> {
        let now = self.config.clock.now();
        self.change_installed(pack, |record| record.hold(reason, now, until))
    }

    /// Ends the hold that has this reason, or all of them; none is no failure.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`].
    pub fn unhold(&self, pack: &PackName, reason: Option<&str>) -> Result<(), UpdateError> {
        self.change_installed(pack, |record| Ok(record.unhold(reason)))
    }

    /// Keeps the release called `label`, the active one without a label, until it is unpinned.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::ReleaseAbsent`]; [`UpdateError::NotActive`] when a
    /// device is to stay on another release than the active one; [`UpdateError::TooMany`].
    pub fn pin(
        &self,
        pack: &PackName,
        label: Option<&Label>,
        pin_for: PinFor,
    ) -> Result<(), UpdateError> {
        self.change_installed(pack, |record| record.pin(label, pin_for == PinFor::Device))
    }

    /// Ends the pin of the release called `label`, or all pins of `pack`.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::ReleaseAbsent`] when it is not pinned.
    pub fn unpin(&self, pack: &PackName, label: Option<&Label>) -> Result<(), UpdateError> {
        self.change_installed(pack, |record| record.unpin(label))
    }

    /// Removes the releases of all packs that are not active, the fallback, staged, pinned or open.
    ///
    /// Every update does so for its own pack; what was open then is left for this, or the next one.
    ///
    /// # Errors
    /// [`UpdateError::Busy`] while an updater is at work; [`UpdateError::Damaged`] when a state record
    /// cannot be read: nobody can tell then what is needed.
    pub fn prune(&self, options: PruneOptions) -> Result<Pruned, UpdateError> {
        let _lock = LibraryLock::acquire(self.disk(), &self.layout)?;
        if !options.dry_run {
            recover::recover(self.disk(), &self.layout, self.observer())?;
        }
        let pruner = Pruner::new(self.disk(), &self.layout);
        pruner.prune(&self.config.limits, options.downloads, options.dry_run)
    }

    /// Returns the names of the folders of a pack's releases that somebody has open.
    pub(super) fn leased(&self, pack: &PackName) -> Result<Vec<String>, UpdateError> {
        let mut folders = Vec::new();
        for name in self.shelf().folders(pack)? {
            // Looked at before the gate is passed: most often there is nothing to look at closer.
            if self.disk().length(&self.layout.lease(&name))?.is_some() {
                folders.push(name);
            }
        }
        if folders.is_empty() {
            return Ok(folders);
        }
        let gate = match Gate::to_remove(self.disk(), &self.layout) {
            Ok(gate) => gate,
            // Not to be told by whoever may not write; nothing is removed by him either.
            Err(refused) if refused.is_forbidden() => return Ok(Vec::new()),
            Err(failed) => return Err(failed.into()),
        };
        let mut leased = Vec::new();
        for name in folders {
            if gate.is_leased(&name)? {
                leased.push(name);
            }
        }
        Ok(leased)
    }

    fn change_installed(
        &self,
        pack: &PackName,
        next: impl FnOnce(&StateRecord) -> Result<StateRecord, UpdateError>,
    ) -> Result<(), UpdateError> {
        let store = self.store(pack);
        if store.load()?.record.active().is_none() {
            return Err(UpdateError::NotInstalled { pack: pack.clone() });
        }
        store.change(next).map(drop)
    }
}
