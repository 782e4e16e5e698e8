use std::io;

use crate::{Cancelled, ContentPath, Digest, ListingError};

/// Why no delta came of two trees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// A file of the old or the new tree could not be read.
    #[error("reading {path}: {source}")]
    Io {
        /// The file.
        path: ContentPath,
        /// What reading it failed with.
        source: io::Error,
    },
    /// A file no longer has the length that its listing gives.
    #[error("{path} changed while it was read: listed with {expected} bytes, found {found}")]
    Changed {
        /// The file.
        path: ContentPath,
        /// The length that the listing gives.
        expected: u64,
        /// The length that was read.
        found: u64,
    },
    /// The delta could not be written.
    #[error("writing the delta: {0}")]
    Output(#[source] io::Error),
    /// A method's encoder failed.
    #[error("method {method} failed: {problem}")]
    Encoder {
        /// The name of the method.
        method: &'static str,
        /// What the encoder told.
        problem: String,
    },
    /// The trees differ by more than one delta may hold.
    #[error("{what} is {claimed}, a delta may have {limit}")]
    Limit {
        /// What is too much.
        what: &'static str,
        /// How much there is.
        claimed: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The files are no tree.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The delta does not make the new tree of the old one.
    #[error("the delta does not make the new tree: {0}")]
    Unproved(#[source] DeltaError),
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Why a delta was refused, or could not be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The bytes do not start as a delta does.
    #[error("this is not a delta: it starts with {found:02x?}, expected the bytes of \"SDLT\"")]
    NotADelta {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// The delta has a format that this program does not know.
    #[error("the delta has format version {found}, this program knows version {known}")]
    UnsupportedVersion {
        /// The delta's version.
        found: u8,
        /// The newest version that is known.
        known: u8,
    },
    /// The delta has a feature that this program does not know.
    #[error("the delta has the flags {found:#010b}, this program knows {known:#010b}")]
    UnsupportedFlags {
        /// The delta's flags.
        found: u8,
        /// The flags that are known.
        known: u8,
    },
    /// The delta was made by a method that this program does not have.
    #[error("the delta needs method {id}, which this program does not have")]
    UnsupportedMethod {
        /// The method's number.
        id: u8,
    },
    /// The delta needs streams rebuilt in a way that this program does not have.
    #[error("the delta needs recompressor {id}, which this program does not have")]
    UnsupportedRecompressor {
        /// The recompressor's number.
        id: u32,
    },
    /// The delta starts from another tree than the one at hand.
    #[error("the delta starts from tree {expected}, this tree is {found}")]
    WrongOld {
        /// The first 16 hexadecimal digits of the digest of the tree that the delta starts from.
        expected: String,
        /// Those of the tree at hand.
        found: String,
    },
    /// An old file that the delta refers to is not what its listing says.
    #[error("{path} is damaged: expected digest {expected}, found {found}")]
    DamagedOld {
        /// The file.
        path: ContentPath,
        /// The digest in the old listing.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },
    /// The delta claims more than a limit allows.
    #[error("the delta claims {claimed} for {what}, the limit is {limit}")]
    Limit {
        /// The resource.
        what: &'static str,
        /// What the delta claims.
        claimed: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The delta breaks a rule of its format.
    #[error("the delta's {place} is malformed at byte {offset}: {problem}")]
    Malformed {
        /// The part of the delta.
        place: &'static str,
        /// Where in that part: for frames and trailer from the delta's start, for the plan from the
        /// start of the decompressed plan.
        offset: u64,
        /// Which rule is broken.
        problem: String,
    },
    /// The new tree that the delta describes could not be installed everywhere.
    #[error("the delta's new tree is refused: {0}")]
    Listing(#[from] ListingError),
    /// The delta makes another file than the expected listing has, or leaves one out.
    #[error("{path}: the delta makes {found:?} bytes, expected {expected:?} (None: no such file)")]
    UnexpectedFile {
        /// The file.
        path: ContentPath,
        /// Its length in the expected listing, if it has the file.
        expected: Option<u64>,
        /// Its length by the delta, if it makes the file.
        found: Option<u64>,
    },
    /// A file came out with another digest than the expected listing has.
    #[error("{path} came out with digest {found}, expected {expected}")]
    WrongDigest {
        /// The file.
        path: ContentPath,
        /// The expected digest.
        expected: Digest,
        /// The digest of what was written.
        found: Digest,
    },
    /// The whole tree came out with another digest than the delta promised.
    #[error("the new tree came out with digest {found}, expected {expected}")]
    WrongTree {
        /// The digest that the delta carries.
        expected: Digest,
        /// The digest of the tree that was made.
        found: Digest,
    },
    /// A new file could not be written.
    #[error("writing {path}: {source}")]
    Output {
        /// The file.
        path: ContentPath,
        /// What writing it failed with.
        source: io::Error,
    },
    /// A new file of which others are made is not as it was written.
    #[error("{path} was written with digest {expected}, and has {found} now")]
    DamagedNew {
        /// The file.
        path: ContentPath,
        /// The digest of what was written.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },
    /// A new file of which others are made could not be read again.
    #[error("reading {path} again: {source}")]
    Again {
        /// The file.
        path: ContentPath,
        /// What reading it failed with.
        source: io::Error,
    },
    /// An old file could not be read.
    #[error("reading {path}: {source}")]
    Old {
        /// The file.
        path: ContentPath,
        /// What reading it failed with.
        source: io::Error,
    },
    /// The work was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl DeltaError {
    /// Returns the error of a broken rule at `offset` of `place`.
    pub(crate) fn malformed(
        place: &'static str,
        offset: usize,
        problem: impl Into<String>,
    ) -> DeltaError {
        DeltaError::Malformed {
            place,
            offset: offset as u64,
            problem: problem.into(),
        }
    }

    /// Returns an error when `claimed` is above `limit`.
    pub(crate) fn check_limit(
        what: &'static str,
        claimed: u64,
        limit: u64,
    ) -> Result<(), DeltaError> {
        if claimed > limit {
            return Err(DeltaError::Limit {
                what,
                claimed,
                limit,
            });
        }
        Ok(())
    }
}
