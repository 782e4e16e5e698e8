use std::io;
use std::path::{Path, PathBuf};

use diff_core::{
    CancelToken, ContentPath, Contents, Digest, Entry, FileBytes, FolderContents, Limits, Listing,
    MappedFile,
};
use publisher::ContentFolder;

use crate::failure::Failure;
use crate::output::Output;

/// One side of a diff: a folder, or a file as a tree of its own.
///
/// Its files are mapped: the person who gave them keeps them as they are meanwhile.
pub(super) struct Side {
    root: PathBuf,
    listing: Listing,
    is_folder: bool,
}

/// The contents of a [`Side`].
pub(super) enum SideContents<'a> {
    Folder(FolderContents<'a>),
    File(&'a Path),
}

impl Side {
    /// Digests what lies at `path`.
    pub(super) fn read(path: &Path, output: Output, cancel: &CancelToken) -> Result<Side, Failure> {
        if path.is_dir() {
            let folder = ContentFolder::scan(path)?;
            let bar = output.bar("reading", folder.report().bytes);
            let listing = folder.listing(&Limits::standard(), &bar, cancel)?;
            return Ok(Side {
                root: path.to_path_buf(),
                listing,
                is_folder: true,
            });
        }
        let failed = |error: io::Error| Failure::io("read", path, &error);
        let bytes = MappedFile::open(path).map_err(failed)?;
        let entry = Entry {
            path: ContentPath::parse(ONE_FILE).map_err(|error| failed(io::Error::other(error)))?,
            length: bytes.len() as u64,
            digest: Digest::of(&bytes),
        };
        let listing = Listing::new(vec![entry], &Limits::standard())
            .map_err(|error| failed(io::Error::other(error)))?;
        Ok(Side {
            root: path.to_path_buf(),
            listing,
            is_folder: false,
        })
    }

    pub(super) fn is_folder(&self) -> bool {
        self.is_folder
    }

    pub(super) fn listing(&self) -> &Listing {
        &self.listing
    }

    pub(super) fn contents(&self) -> SideContents<'_> {
        if self.is_folder {
            SideContents::Folder(FolderContents::new(&self.root, &self.listing))
        } else {
            SideContents::File(&self.root)
        }
    }

    /// Returns where the file at `index` of the listing lies.
    pub(super) fn path_of(&self, index: usize) -> Option<PathBuf> {
        let entry = self.listing.entries().get(index)?;
        Some(if self.is_folder {
            entry.path.under(&self.root)
        } else {
            self.root.clone()
        })
    }
}

impl Contents for SideContents<'_> {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        match self {
            SideContents::Folder(folder) => folder.read(index),
            SideContents::File(path) => MappedFile::open(path).map(FileBytes::Mapped),
        }
    }
}

/// What a file is called in the tree that it makes by itself, whatever its name: deltas between files
/// are used under other names than they were made with.
const ONE_FILE: &str = "file";
