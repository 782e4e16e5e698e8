use std::path::PathBuf;

use release_format::{ContentVersion, PackName, ReceiptOutcome, VersionName};

use super::Updater;
use super::trial::{FILES_ARE_GONE, FILES_GONE};
use crate::UpdateError;
use crate::library::layout::LibraryLayout;
use crate::library::lease::{Gate, Lease};
use crate::library::state::{InstalledRelease, StateRecord};

/// A release that is open: its tree never changes, and is not removed while the lease is held.
#[derive(Debug, Clone)]
pub struct OpenRelease {
    /// The folder of the course.
    pub tree: PathBuf,
    /// What to store beside a learner's attempt.
    pub content_version: ContentVersion,
    /// Whether the release is on trial: confirm it once the course opens well.
    pub on_trial: bool,
    /// Keeps the tree where it is, across processes, until it and its clones are dropped.
    pub lease: Lease,
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
        // Passed before the record is read: what the record names cannot be removed meanwhile.
        let gate = Gate::to_lease(self.disk(), &self.layout)?;
        let store = self.store(pack);
        let mut record = store.load()?.record;
        if record.trial().is_some() {
            let ending = self.ending(ReceiptOutcome::Reverted, "openings");
            record = self.end(&store, &ending, |record| Ok(record.count_opening()))?;
        }
        if let Some(active) = record.active()
            && !self.is_present(&record, active)?
        {
            let ending = self.ending(ReceiptOutcome::Reverted, FILES_GONE);
            record = self.end(&store, &ending, |record| record.revert(FILES_ARE_GONE))?;
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
        self.opened(&gate, &record, active)
    }

    /// Opens the active release without counting it as an opening of its trial: for the other
    /// processes of a host that has opened it.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::Damaged`] when its files are gone.
    pub fn lease(&self, pack: &PackName) -> Result<OpenRelease, UpdateError> {
        let gate = Gate::to_lease(self.disk(), &self.layout)?;
        let record = self.store(pack).load()?.record;
        let Some(active) = record.active() else {
            return Err(UpdateError::NotInstalled { pack: pack.clone() });
        };
        self.opened(&gate, &record, active)
    }

    /// Opens exactly the release that a learner's attempt began on, which is here while it is active,
    /// the fallback or pinned; counts as no opening.
    ///
    /// # Errors
    /// [`UpdateError::ReleaseAbsent`]; [`UpdateError::Damaged`] when its files are gone.
    pub fn open_at(&self, version: &VersionName) -> Result<OpenRelease, UpdateError> {
        let gate = Gate::to_lease(self.disk(), &self.layout)?;
        let record = self.store(version.pack()).load()?.record;
        let named = record.named();
        let found = named
            .iter()
            .find(|release| version.is_of(&release.label, &release.manifest));
        let Some(release) = found else {
            let here = named.iter().map(|release| self.version(&record, release));
            let here: Vec<String> = here.map(|version| version.to_string()).collect();
            return Err(UpdateError::ReleaseAbsent {
                pack: version.pack().clone(),
                expected: version.to_string(),
                found: here.join(", "),
            });
        };
        self.opened(&gate, &record, release)
    }

    fn opened(
        &self,
        gate: &Gate<'_>,
        record: &StateRecord,
        release: &InstalledRelease,
    ) -> Result<OpenRelease, UpdateError> {
        let folder = self.folder(record, release);
        if !self.shelf().is_present(&folder)? {
            return Err(UpdateError::Damaged {
                at: folder,
                expected: format!("release {} with its manifest and tree", release.label),
                found: FILES_ARE_GONE.to_owned(),
            });
        }
        let copy = record.copy_of(&release.manifest);
        let lease = gate.lease(&LibraryLayout::folder_name(&release.manifest, copy))?;
        let is_active = record.active() == Some(release);
        Ok(OpenRelease {
            tree: LibraryLayout::tree_within(&folder),
            content_version: self.version(record, release),
            on_trial: is_active && record.trial().is_some(),
            lease,
        })
    }

    fn version(&self, record: &StateRecord, release: &InstalledRelease) -> ContentVersion {
        ContentVersion {
            pack: record.pack().clone(),
            label: release.label.clone(),
            manifest: release.manifest,
        }
    }
}
