mod chunked;
mod enrolment;
mod heal;
mod install;
mod keep;
mod long_file;
mod notes;
mod offered;
mod open;
mod report;
mod trial;
mod update;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use diff_core::CancelToken;
use release_format::{ChannelName, ContentReference, Manifest, PackName, Verified};

use crate::UpdateError;
use crate::config::UpdaterBuilder;
use crate::event::Observer;
use crate::library::disk::Disk;
use crate::library::history::HistoryEvent;
use crate::library::identity::LibraryRecord;
use crate::library::layout::LibraryLayout;
use crate::library::shelf::Shelf;
use crate::library::state::{Hold, InstalledRelease, StateRecord, StateStore};
use crate::step::verify::{self, VerifyReport};

pub use enrolment::enroll;
pub use heal::{HealOptions, Healed, HealedRelease};
pub use keep::{PinFor, PruneOptions};
pub use long_file::LongFile;
pub use open::OpenRelease;
pub use report::Reported;
pub use trial::Trial;
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
    /// The channel that is followed where nobody says another.
    stable: ChannelName,
    /// When the courier found nobody last.
    unreported: Mutex<Option<Instant>>,
}

/// A pack as it stands on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which release is active, on trial, to fall back to, refused.
    pub record: StateRecord,
    /// The folder of the active release's course.
    pub tree: Option<PathBuf>,
    /// The hold that keeps other releases from becoming active, if there is one now.
    pub held: Option<Hold>,
    /// The folders' names of the releases that somebody has open, in this process or another.
    pub leased: Vec<String>,
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
            stable: ChannelName::default(),
            unreported: Mutex::new(None),
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
        let record = stored.record;
        let tree = record.active().map(|active| self.tree(&record, active));
        let damage = stored.damage.map(|damage| damage.to_string());
        Ok(Status {
            held: record.held_at(self.config.clock.now()).cloned(),
            leased: self.leased(pack)?,
            record,
            tree,
            damage,
        })
    }

    /// Returns what became of `pack` on this device, the oldest first: at most the last 1,000
    /// activations, confirmations and ways back.
    ///
    /// # Errors
    /// [`UpdateError`] when the state record or the history cannot be read.
    pub fn history(&self, pack: &PackName) -> Result<Vec<HistoryEvent>, UpdateError> {
        self.store(pack).history()
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
        let manifest = self.manifest(&record, active)?;
        let tree = self.tree(&record, active);
        verify::verify(self.disk(), &tree, &manifest, self.observer(), cancel)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.config.disk
    }

    fn observer(&self) -> &dyn Observer {
        &*self.config.observer
    }

    fn store<'a>(&'a self, pack: &'a PackName) -> StateStore<'a> {
        StateStore::new(self.disk(), &self.layout, pack).at(self.config.clock.now())
    }

    /// Returns the folder of an installed release.
    fn folder(&self, record: &StateRecord, release: &InstalledRelease) -> PathBuf {
        let copy = record.copy_of(&release.manifest);
        self.layout.copy(record.pack(), &release.manifest, copy)
    }

    /// Returns the folder of the course of an installed release.
    fn tree(&self, record: &StateRecord, release: &InstalledRelease) -> PathBuf {
        LibraryLayout::tree_within(&self.folder(record, release))
    }

    /// Returns the manifest of an installed release, compared with the digest that it is known by.
    fn manifest(
        &self,
        record: &StateRecord,
        release: &InstalledRelease,
    ) -> Result<Manifest, UpdateError> {
        let path = LibraryLayout::manifest_within(&self.folder(record, release));
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
    fn is_present(
        &self,
        record: &StateRecord,
        release: &InstalledRelease,
    ) -> Result<bool, UpdateError> {
        Ok(self.shelf().is_present(&self.folder(record, release))?)
    }

    fn shelf(&self) -> Shelf<'_> {
        Shelf::new(self.disk(), &self.layout)
    }
}
