use std::path::PathBuf;

use release_format::{CatalogueRelease, Manifest};

use super::Updater;
use crate::UpdateError;
use crate::step::fetch::Fetcher;
use crate::step::plan::Route;

/// A file that an update needs and that the library's file system cannot hold, however much is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongFile {
    /// The file, within the release or the repository.
    pub path: String,
    /// Its bytes.
    pub length: u64,
    /// Bytes that the file system allows.
    pub limit: u64,
    /// Where.
    pub at: PathBuf,
}

impl From<LongFile> for UpdateError {
    fn from(long: LongFile) -> UpdateError {
        UpdateError::FileTooLong {
            path: long.path,
            length: long.length,
            limit: long.limit,
            at: long.at,
        }
    }
}

impl Updater {
    /// Returns a file of `release` that cannot lie here, before anything of it is fetched but the
    /// manifest, which says so.
    pub(super) fn long_file(
        &self,
        release: &CatalogueRelease,
        fetcher: &Fetcher<'_>,
    ) -> Result<Option<LongFile>, UpdateError> {
        let at = self.layout.root();
        let Some(limit) = self.disk().file_limit(at, release.tree_bytes)? else {
            return Ok(None);
        };
        let bytes = fetcher.content(&release.manifest)?;
        let manifest = Manifest::decode(&bytes, &self.config.limits)?;
        drop(bytes);
        let partial = self.layout.partial(&release.manifest.digest);
        self.disk().remove_file(&partial)?;
        let mut entries = manifest.listing().entries().iter();
        let long = entries.find(|entry| entry.length > limit);
        Ok(long.map(|entry| LongFile {
            path: entry.path.to_string(),
            length: entry.length,
            limit,
            at: at.to_owned(),
        }))
    }

    /// Returns a delta of `route` that cannot lie here.
    pub(super) fn long_delta(&self, route: &Route) -> Result<Option<LongFile>, UpdateError> {
        let at = self.layout.root();
        for hop in &route.hops {
            let length = hop.delta.length;
            if let Some(limit) = self.disk().file_limit(at, length)? {
                return Ok(Some(LongFile {
                    path: hop.delta.location(),
                    length,
                    limit,
                    at: at.to_owned(),
                }));
            }
        }
        Ok(None)
    }
}
