use std::path::PathBuf;

use release_format::{ContentVersion, PackName};

use super::Updater;
use crate::UpdateError;
use crate::event::Event;
use crate::library::state::{Change, InstalledRelease, StateRecord};

/// A release that is open: its tree never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRelease {
    /// The folder of the course.
    pub tree: PathBuf,
    /// What to store beside a learner's attempt.
    pub content_version: ContentVersion,
    /// Whether the release is on trial: confirm it once the course opens well.
    pub on_trial: bool,
}

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
    /// Opens the active release, and counts the opening while it is on trial.
    ///
    /// Beyond the openings that its trial allows, or when its files are gone, the fallback becomes
    /// active and is opened instead.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::TrialFailed`] when the first release that was
    /// ever installed failed and there is nothing to open.
    pub fn open_pack(&self, pack: &PackName) -> Result<OpenRelease, UpdateError> {
        let store = self.store(pack);
        let mut record = store.load()?.record;
        if record.trial().is_some() {
            record =
                self.tell(store.change(|record| Ok::<_, UpdateError>(record.count_opening()))?);
        }
        if let Some(active) = record.active().cloned()
            && !self.is_present(pack, &active)?
        {
            record = self.tell(store.change(|record| record.revert(FILES_ARE_GONE))?);
        }
        let Some(active) = record.active() else {
            return Err(match record.refused().last() {
                Some(refused) => UpdateError::TrialFailed {
                    pack: pack.clone(),
                    label: refused.label.clone(),
                    reason: refused.reason.clone(),
                },
                None => UpdateError::NotInstalled { pack: pack.clone() },
            });
        };
        Ok(OpenRelease {
            tree: self.layout.tree(pack, &active.manifest),
            content_version: ContentVersion {
                pack: pack.clone(),
                label: active.label.clone(),
                manifest: active.manifest,
            },
            on_trial: record.trial().is_some(),
        })
    }

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
        if !self.is_present(pack, active)? {
            self.tell(store.change(|record| record.fail(FILES_ARE_GONE))?);
            return Err(UpdateError::TrialFailed {
                pack: pack.clone(),
                label: active.label.clone(),
                reason: FILES_ARE_GONE.to_owned(),
            });
        }
        self.tell(store.change(StateRecord::confirm)?);
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
        let change = self.store(pack).change(|record| record.fail(reason))?;
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
        let change = self.store(pack).change(|record| record.revert(reason))?;
        Ok(self.tell(change).active().cloned())
    }

    /// Tells the observer what a change means, and returns what is true now.
    fn tell(&self, change: Change) -> StateRecord {
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

const FILES_ARE_GONE: &str = "its files are gone";
