use std::collections::BTreeSet;

use diff_core::CancelToken;
use release_format::{
    Catalogue, CatalogueRelease, ChannelName, DeviceLabels, PackName, ReceiptOutcome, Rollout,
    UtcTime,
};

use super::Updater;
use super::trial::WITHDRAWN;
use super::update::{Outcome, UpdateOptions};
use crate::UpdateError;
use crate::event::Event;
use crate::library::identity::LibraryRecord;
use crate::library::lock::LibraryLock;
use crate::library::state::{Hold, InstalledRelease, StateRecord};
use crate::step::{check, flags, plan, verify};

impl Updater {
    /// Returns the channel that this updater follows.
    pub fn channel(&self) -> &ChannelName {
        let enrolled = self.record.channel().unwrap_or(&self.stable);
        self.config.channel.as_ref().unwrap_or(enrolled)
    }

    /// Returns what the device says of itself, for rollouts to choose by.
    pub fn labels(&self) -> &DeviceLabels {
        let labels = self.config.labels.as_ref();
        labels.unwrap_or_else(|| self.record.labels())
    }

    /// Changes what the device says of itself, durably, and returns all that it says.
    ///
    /// # Errors
    /// [`UpdateError::Busy`] while an updater is at work; [`UpdateError`] when the library cannot be
    /// written.
    pub fn change_labels(
        &mut self,
        change: impl FnOnce(&mut DeviceLabels),
    ) -> Result<&DeviceLabels, UpdateError> {
        let _lock = LibraryLock::acquire(self.disk(), &self.layout)?;
        let record = LibraryRecord::load(self.disk(), &self.layout)?;
        let mut labels = record.labels().clone();
        change(&mut labels);
        let record = record.with_labels(labels);
        record.store(self.disk(), &self.layout)?;
        self.record = record;
        Ok(self.record.labels())
    }

    /// Returns the names of the flags of `pack` that this device shows, as of when the repository was
    /// last asked; asks nobody.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), updater_client::UpdateError> {
    /// # let pack: updater_client::PackName = "acme/biology-101".parse().unwrap();
    /// let updater = updater_client::Updater::open("library")?;
    /// if updater.flags(&pack)?.contains("new-quiz") {
    ///     println!("the new quiz is shown");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`UpdateError::Damaged`] for what cannot be read; a host then shows none.
    pub fn flags(&self, pack: &PackName) -> Result<BTreeSet<String>, UpdateError> {
        flags::load(self.disk(), &self.layout, pack)
    }

    pub(super) fn keep_flags(&self, rollout: &Rollout) -> Result<(), UpdateError> {
        let library = (self.disk(), &self.layout);
        flags::keep(library, rollout, self.record.device())
    }

    /// Returns the methods without which there is no way to a release; none where there is one.
    pub(super) fn missing(
        &self,
        catalogue: &Catalogue,
        release: &CatalogueRelease,
        record: &StateRecord,
        by_chunks: bool,
    ) -> Vec<String> {
        let named = record.named();
        let held: Vec<_> = named.iter().map(|release| release.manifest).collect();
        if held.contains(&release.manifest.digest) || (by_chunks && !release.archives.is_empty()) {
            return Vec::new();
        }
        plan::missing_methods(catalogue, release, &held, &self.methods())
    }

    /// Returns the names of the methods that this updater applies deltas by.
    pub(super) fn methods(&self) -> Vec<&str> {
        let methods = self.config.abilities.methods.iter();
        methods.map(String::as_str).collect()
    }

    /// Returns the fallback where it is `release` and lies there.
    pub(super) fn fallback_at_hand(
        &self,
        record: &StateRecord,
        release: &CatalogueRelease,
    ) -> Result<Option<InstalledRelease>, UpdateError> {
        match record.fallback() {
            Some(fallback) if check::is_fallback(record, release) => {
                Ok(self.is_present(record, fallback)?.then(|| fallback.clone()))
            }
            _ => Ok(None),
        }
    }

    /// Leaves a withdrawn release for the one before it, unless a hold keeps the device from that.
    pub(super) fn go_back(
        &self,
        pack: &PackName,
        fallback: InstalledRelease,
        (reason, options): (&str, &UpdateOptions),
        now: UtcTime,
    ) -> Result<(Outcome, Option<Hold>), UpdateError> {
        if options.stage_only {
            return Ok((Outcome::Staged(fallback), None));
        }
        let mut held = None;
        let ending = self.ending(ReceiptOutcome::Superseded, WITHDRAWN);
        // Judged under the record's lock: a hold that was answered is kept to.
        self.end(&self.store(pack), &ending, |record| {
            held = record.held_at(now).cloned();
            match held {
                Some(_) => Ok(record.clone()),
                None => record.leave(fallback.clone(), StateRecord::OPENINGS, reason),
            }
        })?;
        Ok(match held {
            Some(held) => (Outcome::Staged(fallback), Some(held)),
            None => (Outcome::Returned(fallback), None),
        })
    }

    /// Compares a release that lies ready with its manifest, and keeps it as what is staged; it does not
    /// become active.
    pub(super) fn shadow(
        &self,
        record: &StateRecord,
        release: InstalledRelease,
        copy: u32,
        cancel: &CancelToken,
    ) -> Result<Outcome, UpdateError> {
        let is_known = record.staged().map(|staged| staged.manifest) == Some(release.manifest);
        if is_known {
            let damaged = 0;
            return Ok(Outcome::Shadowed { release, damaged });
        }
        let pack = record.pack();
        let ready = record.with_copy(&release.manifest, copy);
        let manifest = self.manifest(&ready, &release)?;
        let tree = self.tree(&ready, &release);
        let report = verify::verify(self.disk(), &tree, &manifest, self.observer(), cancel)?;
        let damaged = report.damage.len() as u64;
        if damaged == 0 {
            let staged = release.clone();
            self.store(pack)
                .change(|record| record.stage(staged, copy))?;
        }
        self.note_shadowed(pack, &release, damaged);
        self.observer().event(&Event::Shadowed {
            pack: pack.clone(),
            label: release.label.clone(),
            damaged,
        });
        Ok(Outcome::Shadowed { release, damaged })
    }
}
