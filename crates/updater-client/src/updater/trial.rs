use release_format::PackName;

use super::Updater;
use crate::UpdateError;
use crate::event::Event;
use crate::library::state::{Change, InstalledRelease, StateRecord};

/// A release that is active and not yet confirmed.
#[must_use = "a trial that nobody confirms ends in a revert"]
pub struct Trial<'a> {
    updater: &'a Updater,
    pack: PackName,
    release: InstalledRelease,
}

impl Trial<'_> {
    /// Returns the release.
    pub fn release(&self) -> &InstalledRelease {
        &self.release
    }

    /// Ends the trial: the course opens well, and the release stays.
    ///
    /// # Errors
    /// [`UpdateError::TrialFailed`] when the release's files are gone, and the fallback is active
    /// again; [`UpdateError`] when the state record cannot be written.
    pub fn confirm(self) -> Result<(), UpdateError> {
        self.updater.confirm(&self.pack)
    }

    /// Ends the trial: the course does not open well, and the fallback is active again.
    ///
    /// # Errors
    /// [`UpdateError`] when the state record cannot be written.
    pub fn fail(self, reason: &str) -> Result<(), UpdateError> {
        self.updater.fail(&self.pack, reason).map(|_| ())
    }
}

impl Updater {
    /// Returns the trial of `pack`, while it has one.
    ///
    /// # Errors
    /// [`UpdateError`] when the state record cannot be read.
    pub fn trial(&self, pack: &PackName) -> Result<Option<Trial<'_>>, UpdateError> {
        let record = self.store(pack).load()?.record;
        let on_trial = record.trial().and(record.active());
        Ok(on_trial.map(|release| Trial {
            updater: self,
            pack: pack.clone(),
            release: release.clone(),
        }))
    }

    /// Ends the trial of `pack`: the course opens well, and the release stays.
    ///
    /// A release that is confirmed already stays so: a host that was cut off before it heard the
    /// answer asks again.
    ///
    /// # Errors
    /// As [`Trial::confirm`]; [`UpdateError::NotInstalled`].
    pub fn confirm(&self, pack: &PackName) -> Result<(), UpdateError> {
        let store = self.store(pack);
        let record = store.load()?.record;
        let Some(active) = record.active() else {
            return Err(UpdateError::NotInstalled { pack: pack.clone() });
        };
        if record.trial().is_none() {
            return Ok(store.sync()?);
        }
        if !self.is_present(&record, active)? {
            self.tell(store.change_without_space(|record| record.fail(FILES_ARE_GONE))?);
            return Err(UpdateError::TrialFailed {
                pack: pack.clone(),
                label: active.label.clone(),
                reason: FILES_ARE_GONE.to_owned(),
            });
        }
        self.tell(store.change_without_space(StateRecord::confirm)?);
        Ok(())
    }

    /// Ends the trial of `pack`: the course does not open well, and the fallback is active again.
    ///
    /// Returns what is active from now on. The release is refused until a newer one comes.
    ///
    /// # Errors
    /// [`UpdateError::NoTrial`] when nothing is on trial.
    pub fn fail(
        &self,
        pack: &PackName,
        reason: &str,
    ) -> Result<Option<InstalledRelease>, UpdateError> {
        let change = self
            .store(pack)
            .change_without_space(|record| record.fail(reason))?;
        Ok(self.tell(change).active().cloned())
    }

    /// Makes the fallback of `pack` active again; needs no network and next to no space.
    ///
    /// # Errors
    /// [`UpdateError::NoFallback`] when there is nothing to go back to.
    pub fn revert(
        &self,
        pack: &PackName,
        reason: &str,
    ) -> Result<Option<InstalledRelease>, UpdateError> {
        let change = self
            .store(pack)
            .change_without_space(|record| record.revert(reason))?;
        Ok(self.tell(change).active().cloned())
    }

    /// Tells the observer what a change means, and returns what is true now.
    pub(super) fn tell(&self, change: Change) -> StateRecord {
        let Change { before, after } = change;
        let (Some(was), is) = (before.active(), after.active()) else {
            return after;
        };
        if is != Some(was) {
            let reason = after
                .refusal_of(&was.manifest)
                .map(|refused| refused.reason.clone());
            self.observer().event(&Event::Reverted {
                pack: after.pack().clone(),
                from: was.label.clone(),
                to: is.map(|release| release.label.clone()),
                reason: reason.unwrap_or_default(),
            });
        } else if before.trial().is_some() && after.trial().is_none() {
            let (pack, label) = (after.pack().clone(), was.label.clone());
            self.observer().event(&Event::Confirmed { pack, label });
        }
        after
    }
}

pub(super) const FILES_ARE_GONE: &str = "its files are gone";
