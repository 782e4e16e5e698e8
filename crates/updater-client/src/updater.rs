mod enrolment;
mod trial;
mod update;

use std::path::PathBuf;

use diff_core::CancelToken;
use release_format::{ContentReference, Manifest, PackName, Verified};

use crate::UpdateError;
use crate::config::UpdaterBuilder;
use crate::event::Observer;
use crate::library::disk::Disk;
use crate::library::identity::LibraryRecord;
use crate::library::layout::LibraryLayout;
use crate::library::state::{InstalledRelease, StateRecord, StateStore};
use crate::step::verify::{self, VerifyReport};

pub use enrolment::enroll;
pub use trial::{OpenRelease, Trial};
pub use update::{Check, Outcome, UpdateOptions, Updated};

/// Installs, updates and opens the packs of one library.
///
/// Calls block, and may be made from any thread, from inside an async runtime too. Those that ask a
/// repository take the library's lock, and fail with [`UpdateError::Busy`] while another updater
/// holds it; all others never wait for it.
pub struct Updater {
    layout: LibraryLayout,
    record: LibraryRecord,
    config: UpdaterBuilder,
}

/// A pack as it stands on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which release is active, on trial, to fall back to, refused.
    pub record: StateRecord,
    /// The folder of the active release's course.
    pub tree: Option<PathBuf>,
    /// What is wrong with the state record, where the one before it stands in.
    pub damage: Option<String>,
}

impl Updater {
    /// Returns the updater of the library at `library`, which [`enroll`](crate::enroll) made.
    ///
    /// # Errors
    /// [`UpdateError`] when the folder is no library, or one of a newer Satchel.
    pub fn open(library: impl Into<PathBuf>) -> Result<Updater, UpdateError> {
        Updater::builder(library).build()
    }

    /// Returns a builder for what is not left to its default.
    pub fn builder(library: impl Into<PathBuf>) -> UpdaterBuilder {
        UpdaterBuilder::new(library.into())
    }

    pub(crate) fn new(
        layout: LibraryLayout,
        record: LibraryRecord,
        config: UpdaterBuilder,
    ) -> Updater {
        Updater {
            layout,
            record,
            config,
        }
    }

    /// Returns the packs that are, or once were, installed.
    ///
    /// # Errors
    /// [`UpdateError`] when the library cannot be listed.
    pub fn packs(&self) -> Result<Vec<PackName>, UpdateError> {
        Ok(self.layout.packs_present(self.disk())?)
    }

    /// Returns how `pack` stands; counts as no opening.
    ///
    /// # Errors
    /// [`UpdateError`] when the state record cannot be read.
    pub fn status(&self, pack: &PackName) -> Result<Status, UpdateError> {
        let stored = self.store(pack).load()?;
        let tree = stored
            .record
            .active()
            .map(|active| self.layout.tree(pack, &active.manifest));
        let damage = stored.damage.map(|damage| damage.to_string());
        Ok(Status {
            record: stored.record,
            tree,
            damage,
        })
    }

    /// Compares every byte of the active release of `pack` with its manifest.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::Damaged`] when the manifest itself is damaged.
    pub fn verify(
        &self,
        pack: &PackName,
        cancel: &CancelToken,
    ) -> Result<VerifyReport, UpdateError> {
        let record = self.store(pack).load()?.record;
        let Some(active) = record.active() else {
            return Err(UpdateError::NotInstalled { pack: pack.clone() });
        };
        let manifest = self.manifest(pack, active)?;
        let tree = self.layout.tree(pack, &active.manifest);
        verify::verify(self.disk(), &tree, &manifest, self.observer(), cancel)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.config.disk
    }

    fn observer(&self) -> &dyn Observer {
        &*self.config.observer
    }

    fn store<'a>(&'a self, pack: &'a PackName) -> StateStore<'a> {
        StateStore::new(self.disk(), &self.layout, pack)
    }

    /// Returns the manifest of an installed release, compared with the digest that it is known by.
    fn manifest(
        &self,
        pack: &PackName,
        release: &InstalledRelease,
    ) -> Result<Manifest, UpdateError> {
        let path = self.layout.manifest(pack, &release.manifest);
        let damaged = |found: String| UpdateError::Damaged {
            at: path.clone(),
            expected: format!("the manifest of release {}", release.label),
            found,
        };
        let bytes = self.disk().read(&path, Manifest::MAX_BYTES)?;
        let bytes = bytes.ok_or_else(|| damaged("no file".to_owned()))?;
        let expected = ContentReference {
            digest: release.manifest,
            length: bytes.len() as u64,
        };
        let verified = Verified::new(bytes, &expected).map_err(|e| damaged(e.to_string()))?;
        Ok(Manifest::decode(&verified, &self.config.limits)?)
    }

    /// Whether the files of a release are where they should be, as far as one look tells.
    fn is_present(&self, pack: &PackName, release: &InstalledRelease) -> Result<bool, UpdateError> {
        let manifest = self
            .disk()
            .length(&self.layout.manifest(pack, &release.manifest))?;
        Ok(manifest.is_some() && self.layout.tree(pack, &release.manifest).is_dir())
    }
}
