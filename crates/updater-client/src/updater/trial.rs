use release_format::{PackName, ReceiptId, ReceiptOutcome};

use super::Updater;
use crate::UpdateError;
use crate::event::Event;
use crate::library::device_key;
use crate::library::outbox::Outbox;
use crate::library::state::{Change, Ending, InstalledRelease, StateRecord, StateStore};
use crate::time_floor::TimeFloor;

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
            let ending = self.ending(ReceiptOutcome::Reverted, FILES_GONE);
            self.end(&store, &ending, |record| record.fail(FILES_ARE_GONE))?;
            return Err(UpdateError::TrialFailed {
                pack: pack.clone(),
                label: active.label.clone(),
                reason: FILES_ARE_GONE.to_owned(),
            });
        }
        let ending = self.ending(ReceiptOutcome::Confirmed, "");
        self.end(&store, &ending, StateRecord::confirm)?;
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
        let ending = self.ending(ReceiptOutcome::Failed, "host");
        let record = self.end(&self.store(pack), &ending, |record| record.fail(reason))?;
        Ok(record.active().cloned())
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
        let ending = self.ending(ReceiptOutcome::Failed, "asked");
        let record = self.end(&self.store(pack), &ending, |record| record.revert(reason))?;
        Ok(record.active().cloned())
    }

    /// Changes the record as `next` says, also on a full disk; where that ends a trial, the record says
    /// so from the same write on, and a receipt is put into the outbox.
    pub(super) fn end(
        &self,
        store: &StateStore<'_>,
        ending: &Ending<'_>,
        next: impl FnOnce(&StateRecord) -> Result<StateRecord, UpdateError>,
    ) -> Result<StateRecord, UpdateError> {
        let change =
            store.change_without_space(|record| Ok(next(record)?.telling(record, ending)))?;
        let is_told = change.after.ended() != change.before.ended();
        let record = self.tell(change);
        if is_told {
            self.queue(&record);
        }
        Ok(record)
    }

    /// Puts receipts into the outbox. What cannot be put there now is put there by the next update.
    pub(super) fn queue(&self, record: &StateRecord) {
        let queued = match device_key::load(self.disk(), &self.layout) {
            // Made under the library's lock, which this call never waits for.
            Ok(None) => Ok(()),
            Ok(Some(key)) => Outbox::new(self.disk(), &self.layout).queue(&key, record),
            Err(failed) => Err(failed),
        };
        if let Err(failed) = queued {
            let reason = failed.to_string();
            self.observer().event(&Event::Unreported { reason });
        }
    }

    /// Returns what ends a trial now.
    pub(super) fn ending<'a>(&'a self, outcome: ReceiptOutcome, code: &'a str) -> Ending<'a> {
        Ending {
            outcome,
            code,
            now: self.config.clock.now(),
            floor: TimeFloor::of_build().moment(),
            channel: self.channel(),
            fresh: fresh_id(),
        }
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

/// Returns an id that nobody else has; a system without random numbers gives all the same one, and
/// their receipts count as one.
pub(super) fn fresh_id() -> ReceiptId {
    let mut bytes = [0; ReceiptId::LENGTH];
    let _ = getrandom::fill(&mut bytes);
    ReceiptId::from_bytes(bytes)
}

pub(super) const FILES_ARE_GONE: &str = "its files are gone";
pub(super) const FILES_GONE: &str = "files-gone";
pub(super) const WITHDRAWN: &str = "withdrawn";
