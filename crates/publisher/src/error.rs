use std::io;
use std::path::{Path, PathBuf};

use diff_core::{Cancelled, ContentPath, DiffError, Digest, ListingError};
use release_format::{FormatError, KeyId, Label, PackName, SignerError, TrustError};

use crate::govern::ceremony_error::{CeremonyError, short_ids};
use crate::govern::steering_error::SteeringError;
use crate::release::problem::Problem;

/// Why nothing was published.
///
/// Whatever the reason, the repository is as valid as before: what was written already, nothing refers
/// to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A file or folder outside the repository failed.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The content folder has what cannot be installed everywhere.
    #[error("{}", told(problems))]
    Unportable {
        /// Every problem that stops the release.
        problems: Vec<Problem>,
    },
    /// A file changed while it was being published.
    #[error("{path} changed while it was being published")]
    FolderChanged {
        /// The file.
        path: ContentPath,
    },
    /// A folder that is published, content or repository, holds what must not be: the keys, or the
    /// repository.
    #[error("the folder {folder} holds {inside}, which must not be published")]
    FolderHolds {
        /// The folder.
        folder: PathBuf,
        /// What lies in it.
        inside: PathBuf,
    },
    /// The files are more or longer than a release may have.
    #[error("the folder is no tree: {0}")]
    Listing(#[from] ListingError),
    /// The place of the repository failed.
    #[error("cannot {operation} {location} in the repository: {source}")]
    Storage {
        /// What was tried.
        operation: &'static str,
        /// The location within the repository.
        location: String,
        /// What the place says.
        source: io::Error,
    },
    /// Another publisher is at work; try again when it is done.
    #[error("another publisher is at work in {repository}")]
    Busy {
        /// The repository.
        repository: String,
    },
    /// There is no repository.
    #[error("{repository} is no repository: it has no {missing}")]
    NotARepository {
        /// Where one was expected.
        repository: String,
        /// The location that is absent.
        missing: String,
    },
    /// There is a repository already.
    #[error("{repository} is a repository already")]
    RepositoryExists {
        /// The repository.
        repository: String,
    },
    /// The repository lacks a file that it refers to.
    #[error("the repository refers to {location}, which is not there")]
    Absent {
        /// The location.
        location: String,
    },
    /// A file of the repository is not what it should be.
    #[error("{location}: {source}")]
    Damaged {
        /// The location.
        location: String,
        /// What was expected and found.
        source: FormatError,
    },
    /// An earlier release does not come back from the repository's archives.
    #[error("{path} of an earlier release has the digest {expected}, its archives give {found}")]
    Unrebuildable {
        /// The file.
        path: ContentPath,
        /// The digest that its manifest gives.
        expected: Digest,
        /// The digest of what the archives hold.
        found: Digest,
    },
    /// The label names a release already; releases never change.
    #[error("{pack} has a release {label} already, the {sequence}th; choose another label")]
    LabelExists {
        /// The pack.
        pack: PackName,
        /// The label.
        label: Label,
        /// The number of the release that has it.
        sequence: u64,
    },
    /// No release has this label.
    #[error("{pack} has no release {label}")]
    UnknownLabel {
        /// The pack.
        pack: PackName,
        /// The label.
        label: Label,
    },
    /// The repository does not have this pack.
    #[error("the repository has no pack {pack}")]
    UnknownPack {
        /// The pack.
        pack: PackName,
    },
    /// What was made cannot be written as its format asks.
    #[error("the release cannot be written: {0}")]
    Format(#[source] FormatError),
    /// The notes are longer than people read.
    #[error("the notes in {path} are longer than {limit} bytes")]
    NotesTooLong {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
    },
    /// A delta could not be built, or does not give the new tree.
    #[error("the delta from {from}: {source}")]
    Delta {
        /// The label of the older release, or `nothing`.
        from: String,
        /// What went wrong.
        source: Box<DiffError>,
    },
    /// Metadata of the repository that a device would refuse.
    #[error("{location}: {source}")]
    Refused {
        /// The file.
        location: String,
        /// The rule that it breaks.
        source: TrustError,
    },
    /// A role needs more signatures than the keys at hand give.
    #[error(
        "the role {role}: expected {expected} of its keys in {folder} or given as signers, found {found}; missing: {}",
        short_ids(missing)
    )]
    Threshold {
        /// The role.
        role: String,
        /// Where keys were looked for.
        folder: PathBuf,
        /// Signatures needed.
        expected: u64,
        /// Keys at hand.
        found: u64,
        /// Its keys that are not at hand.
        missing: Vec<KeyId>,
    },
    /// A key that the role does not have, so that devices would not count its signature.
    #[error("{path} holds no key that the repository trusts for the role {role}")]
    KeyNotTrusted {
        /// The role.
        role: String,
        /// The key file.
        path: PathBuf,
    },
    /// A key that could not sign.
    #[error("{key}: {source}")]
    Unsigned {
        /// The key, by its role or by where it was looked for.
        key: String,
        /// Why.
        source: SignerError,
    },
    /// A file holds no public key.
    #[error("{path}: expected an Ed25519 public key in PEM, found: {reason}")]
    PublicKeyMalformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A step of a ceremony was refused.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// A change of a rollout was refused.
    #[error(transparent)]
    Steering(#[from] SteeringError),
    /// A key is needed that is not there.
    #[error("the key of the role {role} is needed, and {path} is not there")]
    KeyMissing {
        /// The role.
        role: String,
        /// Where its key was looked for.
        path: PathBuf,
    },
    /// Others on this machine can read a private key.
    #[error("{path} can be read by others (mode {mode:03o}); make it private with chmod 600")]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A key is encrypted and no passphrase was given.
    #[error("{path} is encrypted, and no passphrase was given")]
    KeyLocked {
        /// The key file.
        path: PathBuf,
    },
    /// The passphrase does not open the key.
    #[error("the passphrase does not open {path}")]
    WrongPassphrase {
        /// The key file.
        path: PathBuf,
    },
    /// A file holds no key that can sign.
    #[error("{path} holds no Ed25519 private key in PKCS#8 PEM: {reason}")]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key folder has a key for the role already.
    #[error("the role {role} has a key already: {path}")]
    KeyExists {
        /// The role.
        role: String,
        /// Its key file.
        path: PathBuf,
    },
    /// What would be written does not fit.
    #[error("{place} has room for {available} bytes, {needed} are needed")]
    NoSpace {
        /// Where it would be written.
        place: String,
        /// Bytes needed, what the file system rounds up included.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// A folder holds a newer export than this repository can write.
    #[error(
        "the export in {place} is newer: its {role} is version {found}, that of the repository is {expected}"
    )]
    NewerExport {
        /// The folder.
        place: String,
        /// The role that tells.
        role: &'static str,
        /// Its version there.
        found: u64,
        /// Its version in the repository.
        expected: u64,
    },
    /// A folder holds an export of a repository that begins with another root.
    #[error("{place} holds another repository: its first root is not that of this one")]
    OtherRepository {
        /// The folder.
        place: String,
    },
    /// The work was asked to stop and did.
    #[error("cancelled")]
    Cancelled,
}

impl PublishError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> PublishError {
        PublishError::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

impl PublishError {
    pub(crate) fn diff(from: &str, source: DiffError) -> PublishError {
        match source {
            DiffError::Cancelled(cancelled) => cancelled.into(),
            source => PublishError::Delta {
                from: from.to_owned(),
                source: Box::new(source),
            },
        }
    }
}

impl From<Cancelled> for PublishError {
    fn from(Cancelled: Cancelled) -> PublishError {
        PublishError::Cancelled
    }
}

fn told(problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => "1 path cannot be installed everywhere".to_owned(),
        count => format!("{count} paths cannot be installed everywhere"),
    };
    for problem in problems.iter().take(TOLD_PROBLEMS) {
        text.push_str(&format!("\n  {problem}"));
    }
    if problems.len() > TOLD_PROBLEMS {
        text.push_str(&format!("\n  and {} more", problems.len() - TOLD_PROBLEMS));
    }
    text
}

/// Problems that an error's text lists; the error itself holds all.
const TOLD_PROBLEMS: usize = 20;
