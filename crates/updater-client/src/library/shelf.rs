//! The releases that lie on the device, whether a state record names them or not.

use std::path::PathBuf;

use diff_core::{Digest, Limits};
use release_format::{ContentReference, Manifest, PackName, Verified};

use super::disk::{Disk, DiskError, EntryKind};
use super::layout::LibraryLayout;
use super::state::StateRecord;

/// The folders of releases, as they lie below the packs of a library.
#[derive(Clone, Copy)]
pub(crate) struct Shelf<'a> {
    disk: &'a dyn Disk,
    layout: &'a LibraryLayout,
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, layout: &'a LibraryLayout) -> Shelf<'a> {
        Shelf { disk, layout }
    }

    /// Returns the names of the folders of a pack's releases, in their order.
    pub(crate) fn folders(&self, pack: &PackName) -> Result<Vec<String>, DiskError> {
        let entries = self.disk.list(&self.layout.releases(pack))?;
        let folders = entries
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::Folder);
        Ok(folders
            .filter_map(|folder| folder.name.into_string().ok())
            .collect())
    }

    /// Returns the names of those folders that the record does not need, nor whoever is about to
    /// switch to `next`.
    pub(crate) fn surplus(
        &self,
        record: &StateRecord,
        next: Option<&Digest>,
    ) -> Result<Vec<String>, DiskError> {
        let named = record.named().into_iter().map(|release| {
            LibraryLayout::folder_name(&release.manifest, record.copy_of(&release.manifest))
        });
        let needed: Vec<String> = named.collect();
        let is_next =
            |name: &str| next.is_some_and(|next| LibraryLayout::copy_number(name, next).is_some());
        let mut folders = self.folders(record.pack())?;
        folders.retain(|name| !needed.contains(name) && !is_next(name));
        Ok(folders)
    }

    /// Returns the numbers of the trees of a release that are here, the newest first.
    pub(crate) fn copies(&self, pack: &PackName, manifest: &Digest) -> Result<Vec<u32>, DiskError> {
        let folders = self.folders(pack)?;
        let mut copies: Vec<u32> = folders
            .iter()
            .filter_map(|name| LibraryLayout::copy_number(name, manifest))
            .collect();
        copies.sort_unstable_by(|a, b| b.cmp(a));
        Ok(copies)
    }

    /// Whether the folder has what a release consists of, as far as one look tells.
    pub(crate) fn is_present(&self, folder: &std::path::Path) -> Result<bool, DiskError> {
        let manifest = LibraryLayout::manifest_within(folder);
        let tree = LibraryLayout::tree_within(folder);
        Ok(self.disk.length(&manifest)?.is_some() && self.disk.length(&tree)?.is_some())
    }

    /// Returns the manifest in a folder, if it is the one that the folder's name tells of.
    pub(crate) fn manifest(
        &self,
        pack: &PackName,
        folder_name: &str,
        limits: &Limits,
    ) -> Result<Option<Manifest>, DiskError> {
        let folder = self.folder(pack, folder_name);
        let path = LibraryLayout::manifest_within(&folder);
        let Some(bytes) = self.disk.read(&path, Manifest::MAX_BYTES)? else {
            return Ok(None);
        };
        let reference = ContentReference::of(&bytes);
        let is_it = LibraryLayout::copy_number(folder_name, &reference.digest).is_some();
        let verified = Verified::new(bytes, &reference).ok().filter(|_| is_it);
        let manifest = verified.and_then(|bytes| Manifest::decode(&bytes, limits).ok());
        Ok(manifest.filter(|manifest| manifest.pack() == pack))
    }

    /// Returns where a folder of a release lies.
    pub(crate) fn folder(&self, pack: &PackName, folder_name: &str) -> PathBuf {
        self.layout.releases(pack).join(folder_name)
    }
}
