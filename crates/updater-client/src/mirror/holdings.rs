use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use diff_core::Digest;

use crate::library::disk::Disk;
use crate::library::layout::LibraryLayout;
use crate::library::shelf::Shelf;

/// The content that a library has by itself: downloads that are whole, and manifests of its releases.
///
/// An update may remove any of it at any moment; a file that is open stays readable.
pub(crate) struct Holdings {
    disk: Arc<dyn Disk>,
    layout: LibraryLayout,
    /// Downloads that were compared with their names, by the length that they had.
    compared: Mutex<HashMap<Digest, (u64, bool)>>,
}

impl Holdings {
    pub(crate) fn new(disk: Arc<dyn Disk>, layout: LibraryLayout) -> Holdings {
        Holdings {
            disk,
            layout,
            compared: Mutex::default(),
        }
    }

    /// Returns where the content lies, and its length, if the library has all of it.
    pub(crate) fn find(&self, content: &Digest) -> Option<(PathBuf, u64)> {
        let manifest = self.manifest(content);
        let path = manifest.or_else(|| self.download(content))?;
        let length = self.disk.length(&path).ok()??;
        self.is_whole(content, &path, length)
            .then_some((path, length))
    }

    fn manifest(&self, content: &Digest) -> Option<PathBuf> {
        let shelf = Shelf::new(&*self.disk, &self.layout);
        let packs = self.layout.packs_present(&*self.disk).ok()?;
        packs.iter().find_map(|pack| {
            let copy = shelf.copies(pack, content).ok()?.first().copied()?;
            let release = self.layout.copy(pack, content, copy);
            Some(LibraryLayout::manifest_within(&release))
        })
    }

    fn download(&self, content: &Digest) -> Option<PathBuf> {
        let path = self.layout.partial(content);
        self.disk.length(&path).ok()?.is_some().then_some(path)
    }

    /// Whether the file is the content, which is found out once for each length that it has.
    fn is_whole(&self, content: &Digest, path: &Path, length: u64) -> bool {
        let known = {
            let compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
            compared.get(content).copied()
        };
        if let Some((at, is_whole)) = known
            && at == length
        {
            return is_whole;
        }
        let is_whole = is_content(&*self.disk, path, content);
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        if compared.len() >= MAX_COMPARED {
            compared.clear();
        }
        compared.insert(*content, (length, is_whole));
        is_whole
    }
}

/// Whether the file at `path` has this digest.
pub(crate) fn is_content(disk: &dyn Disk, path: &Path, content: &Digest) -> bool {
    let digest = disk.open(path).map(Digest::of_reader);
    matches!(digest, Ok(Ok(digest)) if digest == *content)
}

const MAX_COMPARED: usize = 1_024;
