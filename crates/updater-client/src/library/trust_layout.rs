//! Where the files of trusted metadata lie.

use std::path::{Path, PathBuf};

use diff_core::Digest;

/// Where trusted metadata lies: in the folder `trust` of a library, or alone in a folder.
///
/// A library keeps every root since its enrolment, so that damage to the newest leaves one to go on
/// from, and delegated roles apart from the others. A folder of metadata alone holds one file a role,
/// as other clients keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustLayout {
    folder: PathBuf,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Library,
    Flat,
}

impl TrustLayout {
    /// Returns the layout of a library's metadata, in `folder`.
    pub fn of_library(folder: PathBuf) -> TrustLayout {
        let shape = Shape::Library;
        TrustLayout { folder, shape }
    }

    /// Returns the layout of `folder`, which holds one file a role and nothing else.
    pub fn flat(folder: impl Into<PathBuf>) -> TrustLayout {
        let shape = Shape::Flat;
        let folder = folder.into();
        TrustLayout { folder, shape }
    }

    /// Returns the folder of the trusted metadata.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder of the trusted roots.
    pub fn roots(&self) -> PathBuf {
        match self.shape {
            Shape::Library => self.folder.join("roots"),
            Shape::Flat => self.folder.clone(),
        }
    }

    /// Returns the root of a version.
    pub fn root(&self, version: u64) -> PathBuf {
        match self.shape {
            Shape::Library => self.roots().join(format!("{version}.root.json")),
            Shape::Flat => self.folder.join("root.json"),
        }
    }

    /// Returns which version the root of this name is, or `None` for what is no root; a name that
    /// bears no version counts as the first.
    pub fn root_version(&self, name: &str) -> Option<u64> {
        match self.shape {
            Shape::Library => name.strip_suffix(".root.json")?.parse().ok(),
            Shape::Flat => (name == "root.json").then_some(1),
        }
    }

    /// Returns the file of a role of the top, by the name of its file.
    pub fn top_role(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the file of a role that is delegated to, by the name of its file: in a library apart
    /// from the rest, so that no such name takes the place of another file.
    pub fn delegated_role(&self, name: &str) -> PathBuf {
        self.delegated_roles().join(name)
    }

    /// Returns the folder of the roles that are delegated to.
    pub fn delegated_roles(&self) -> PathBuf {
        match self.shape {
            Shape::Library => self.folder.join("delegated"),
            Shape::Flat => self.folder.clone(),
        }
    }

    /// Returns the folder of the catalogues and rollouts that a library has seen last, if this is one.
    pub(crate) fn targets(&self) -> Option<PathBuf> {
        match self.shape {
            Shape::Library => Some(self.folder.join("targets")),
            Shape::Flat => None,
        }
    }

    /// Returns where a library keeps what it has seen last of a target: under the digest of its path,
    /// which may be longer than a file's name, or have characters that no file's name has.
    pub(crate) fn target(&self, path: &str) -> Option<PathBuf> {
        let name = Digest::of(path.as_bytes()).to_string();
        Some(self.targets()?.join(name))
    }

    /// Returns the folder of the catalogues and rollouts that a mirror keeps, beside the trusted
    /// metadata.
    pub(crate) fn mirrored_targets(&self) -> PathBuf {
        self.folder.with_file_name("mirror").join("targets")
    }
}
