use std::fmt;

use diff_core::{Digest, ListingError, PathError};

use crate::NameError;

/// Why bytes are not what they claim to be: one variant for each kind of rule that they break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Content of another length than its reference gives.
    #[error("expected {expected} bytes, found {found}")]
    WrongLength {
        /// Bytes that the reference gives.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Content of another digest than its reference gives.
    #[error("expected the digest {expected}, found {found}")]
    WrongDigest {
        /// The digest that the reference gives.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// A file of another kind: its first bytes are not those of the format.
    #[error("no {document}: it begins with the bytes {found:02x?}")]
    WrongMagic {
        /// What was expected.
        document: Document,
        /// The first bytes found, four at most.
        found: Vec<u8>,
    },
    /// A version of the format that this Satchel does not read.
    #[error("{document} of version {found}, this Satchel reads version {supported}")]
    UnsupportedVersion {
        /// What was read.
        document: Document,
        /// The version found.
        found: u64,
        /// The version that is read.
        supported: u64,
    },
    /// A claim above a ceiling, refused before anything was allocated for it.
    #[error("{document}: {claimed} {what}, the limit is {limit}")]
    Limit {
        /// What was read.
        document: Document,
        /// What there are too many of.
        what: &'static str,
        /// How many are claimed.
        claimed: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The bytes end within a value.
    #[error("{document}: ends within {place} that begins at byte {offset}")]
    Truncated {
        /// What was read.
        document: Document,
        /// The value that has no end.
        place: &'static str,
        /// Where it begins.
        offset: u64,
    },
    /// Bytes behind the end.
    #[error("{document}: {count} bytes follow its end at byte {offset}")]
    TrailingBytes {
        /// What was read.
        document: Document,
        /// Where it ends.
        offset: u64,
        /// Bytes behind that.
        count: u64,
    },
    /// A value that no writer writes, or that contradicts another.
    #[error("{document}: {place}: expected {expected}, found {found}")]
    Malformed {
        /// What was read.
        document: Document,
        /// Where: a field, an entry, an offset.
        place: String,
        /// What the format asks for there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Bytes that mean what others mean; each document has one encoding alone.
    #[error("{document}: byte {offset} is not as it is encoded")]
    NotCanonical {
        /// What was read.
        document: Document,
        /// The first byte that differs from the one encoding.
        offset: u64,
    },
    /// A text that is no name.
    #[error("{document}: {source}")]
    Name {
        /// What was read.
        document: Document,
        /// The name and what was expected.
        source: NameError,
    },
    /// A path that cannot be installed everywhere.
    #[error("{document}: {source}")]
    Path {
        /// What was read.
        document: Document,
        /// The path and the rule that it breaks.
        source: PathError,
    },
    /// Files that are no tree.
    #[error("{document}: {source}")]
    Listing {
        /// What was read.
        document: Document,
        /// The files and the rule that they break.
        source: ListingError,
    },
}

impl FormatError {
    pub(crate) fn malformed(
        document: Document,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> FormatError {
        FormatError::Malformed {
            document,
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// The kinds of file whose formats this crate owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Document {
    /// The tree of one release.
    Manifest,
    /// Where the chunks of one release lie.
    ChunkMap,
    /// A container of chunks.
    Archive,
    /// The releases of one pack.
    Catalogue,
    /// Which release a channel offers, and to whom.
    Rollout,
    /// How a trial ended on a device.
    Receipt,
    /// What leads from an older file of metadata, or an older target, to a newer one.
    Patch,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Document::Manifest => "manifest",
            Document::ChunkMap => "chunk map",
            Document::Archive => "archive",
            Document::Catalogue => "catalogue",
            Document::Rollout => "rollout",
            Document::Receipt => "receipt",
            Document::Patch => "patch",
        })
    }
}
