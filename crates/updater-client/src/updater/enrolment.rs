use std::path::PathBuf;

use release_format::TrustLimits;

use super::Updater;
use crate::UpdateError;
use crate::config::UpdaterBuilder;
use crate::library::device_key;
use crate::library::identity::LibraryRecord;
use crate::library::layout::LibraryLayout;
use crate::library::lock::LibraryLock;
use crate::library::reserve;
use crate::library::trust_store::TrustStore;

impl UpdaterBuilder {
    /// Returns the updater.
    ///
    /// # Errors
    /// [`UpdateError`] when the folder is no library, or one of a newer Satchel.
    pub fn build(self) -> Result<Updater, UpdateError> {
        let layout = LibraryLayout::new(&self.library);
        let record = LibraryRecord::load(&*self.disk, &layout)?;
        Ok(Updater::new(layout, record, self))
    }

    /// Makes the folder a library: of a device of its own, which trusts `root` and fetches from
    /// `repositories`, URLs or folders.
    ///
    /// # Errors
    /// [`UpdateError::AlreadyALibrary`]; [`UpdateError::Trust`] when `root` is no root that has
    /// signed itself.
    pub fn enroll(self, root: &[u8], repositories: Vec<String>) -> Result<Updater, UpdateError> {
        let layout = LibraryLayout::new(&self.library);
        let disk = &*self.disk;
        layout.create(disk)?;
        let _lock = LibraryLock::acquire(disk, &layout)?;
        match LibraryRecord::load(disk, &layout) {
            Err(UpdateError::NotALibrary { .. }) => {}
            Ok(_) => {
                return Err(UpdateError::AlreadyALibrary {
                    at: layout.root().to_owned(),
                });
            }
            Err(failed) => return Err(failed),
        }
        TrustStore::new(disk, layout.trust(), TrustLimits::standard()).pin(root)?;
        // Last of what it cannot do without: the folder is a library once it has its record, and what an enrolment that was cut
        // off left is written over by the next.
        let mut record = LibraryRecord::enroll(repositories)?;
        if let Some(labels) = &self.labels {
            record = record.with_labels(labels.clone());
        }
        if let Some(channel) = &self.channel {
            record = record.with_channel(channel.clone());
        }
        record.store(disk, &layout)?;
        reserve::keep(disk, &layout)?;
        device_key::load_or_make(disk, &layout)?;
        self.build()
    }
}

/// Makes the folder `library` a library that trusts `root` and fetches from `repositories`.
///
/// # Errors
/// As [`UpdaterBuilder::enroll`].
pub fn enroll(
    library: impl Into<PathBuf>,
    root: &[u8],
    repositories: Vec<String>,
) -> Result<Updater, UpdateError> {
    Updater::builder(library).enroll(root, repositories)
}
