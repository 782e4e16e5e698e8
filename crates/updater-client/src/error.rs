use std::path::PathBuf;

use diff_core::{Cancelled, DeltaError};
use release_format::{ChannelName, FormatError, Label, PackName, TrustError};

use crate::library::disk::{DiskError, Operation};
use crate::transport::TransportError;

/// Why the client could not do what it was asked, sorted by what the caller can do about it.
///
/// Whatever the error, the release that was active still is, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// What was asked for did not arrive.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The plan does not fit the disk; nothing was fetched.
    #[error("{needed} bytes are needed at {}, {available} are free", at.display())]
    FreeSpace {
        /// Bytes that must be free.
        needed: u64,
        /// Bytes that are.
        available: u64,
        /// Where.
        at: PathBuf,
    },
    /// The plan fetches more than the caller allows; nothing was fetched.
    #[error("{needed} bytes would be fetched, the budget is {budget}")]
    OverBudget {
        /// Bytes to fetch.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// The disk ran full on the way.
    #[error("the disk is full: {0}")]
    DiskFull(#[source] DiskError),
    /// A file is longer than the library's file system can hold; nothing of the release was written.
    #[error("{path} has {length} bytes, a file at {} can have {limit}", at.display())]
    FileTooLong {
        /// The file, within the release or the repository.
        path: String,
        /// Its bytes.
        length: u64,
        /// Bytes that the file system allows.
        limit: u64,
        /// Where.
        at: PathBuf,
    },
    /// A delta makes another release than the one that was asked for.
    #[error("release {label}: expected {expected}, the delta makes {found}")]
    WrongRelease {
        /// The release.
        label: Label,
        /// What the catalogue says of it.
        expected: String,
        /// What the delta would make.
        found: String,
    },
    /// Another updater has the library.
    #[error("{} is held by {}", lock.display(), holder.map_or("another updater".to_owned(), |id| format!("process {id}")))]
    Busy {
        /// The process that holds the lock, where it can be read.
        holder: Option<u32>,
        /// The lock.
        lock: PathBuf,
    },
    /// Metadata that is not trusted: forged, old, expired or damaged on its way.
    #[error("what the repository says is not trusted: {0}")]
    Trust(#[from] TrustError),
    /// A published document that is not what trusted metadata says.
    #[error("what was published is refused: {0}")]
    Format(#[from] FormatError),
    /// A delta that does not make what trusted metadata says.
    #[error("the delta is refused: {0}")]
    Delta(#[source] DeltaError),
    /// The release failed its trial and the pack went back; the other release is active now.
    #[error("{pack}: release {label} failed its trial and was reverted: {reason}")]
    TrialFailed {
        /// The pack.
        pack: PackName,
        /// The release that failed.
        label: Label,
        /// Why.
        reason: String,
    },
    /// Something in the library is not as it was written.
    #[error("{} is damaged: expected {expected}, found {found}", at.display())]
    Damaged {
        /// The damaged file or folder.
        at: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Something in the library was written by a newer Satchel.
    #[error("{} has format {found}, this Satchel reads up to {supported}", at.display())]
    NewerFormat {
        /// The file.
        at: PathBuf,
        /// Its format version.
        found: u64,
        /// The newest that is read.
        supported: u64,
    },
    /// No delta to the offered release can be applied by this client.
    #[error("{pack}: release {label} needs a method that this client lacks: {}", methods.join(", "))]
    NoMethod {
        /// The pack.
        pack: PackName,
        /// The release.
        label: Label,
        /// The methods that are lacking.
        methods: Vec<String>,
    },
    /// The folder is no library.
    #[error("{} is no library", at.display())]
    NotALibrary {
        /// The folder.
        at: PathBuf,
    },
    /// The folder is a library already.
    #[error("{} is a library already", at.display())]
    AlreadyALibrary {
        /// The folder.
        at: PathBuf,
    },
    /// The addresses of repositories that a library was to have.
    #[error("addresses of repositories: {refused}")]
    WrongAddress {
        /// What was expected of them, and what was found.
        refused: String,
    },
    /// The repository has no such pack.
    #[error("the repository has no pack {pack}")]
    UnknownPack {
        /// The pack.
        pack: PackName,
    },
    /// The pack has no such channel.
    #[error("the repository has no channel {channel} of {pack}")]
    UnknownChannel {
        /// The pack.
        pack: PackName,
        /// The channel.
        channel: ChannelName,
    },
    /// The pack is not installed.
    #[error("{pack} is not installed")]
    NotInstalled {
        /// The pack.
        pack: PackName,
    },
    /// The release is the active one already.
    #[error("release {label} is active already")]
    AlreadyActive {
        /// The release.
        label: Label,
    },
    /// The release failed on this device, and is refused until a newer one is confirmed.
    #[error("release {label} failed on this device and is refused until a newer one: {reason}")]
    ReleaseRefused {
        /// The release.
        label: Label,
        /// Why it failed.
        reason: String,
    },
    /// Nothing is on trial.
    #[error("{pack}: no release is on trial")]
    NoTrial {
        /// The pack.
        pack: PackName,
    },
    /// There is nothing to go back to.
    #[error("{pack}: there is no release to go back to")]
    NoFallback {
        /// The pack.
        pack: PackName,
    },
    /// The release that was asked for is not on this device, or nothing keeps it there.
    #[error("{pack}: expected release {expected} on this device, found {}", if found.is_empty() { "none" } else { found })]
    ReleaseAbsent {
        /// The pack.
        pack: PackName,
        /// The release that was asked for.
        expected: String,
        /// The releases that are here.
        found: String,
    },
    /// A device stays on its active release alone.
    #[error("a device can stay on its active release alone: expected {active}, found {label}")]
    NotActive {
        /// The release that was asked for.
        label: Label,
        /// The one that is active.
        active: Label,
    },
    /// A hold that would not end, or says nothing.
    #[error("a hold needs {expected}, found {found}")]
    WrongHold {
        /// What a hold needs.
        expected: String,
        /// What was given.
        found: String,
    },
    /// There are as many of something as there can be.
    #[error("a pack has at most {limit} {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there can be.
        limit: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The file system would not do something.
    #[error(transparent)]
    Disk(DiskError),
}

impl UpdateError {
    /// Returns the failure of `operation` on `path`.
    pub fn io(
        operation: Operation,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> UpdateError {
        DiskError::from_io(operation, path, source).into()
    }

    /// Returns what kind of answer the error calls for: a program's exit code.
    pub fn kind(&self) -> ErrorKind {
        match self {
            UpdateError::Transport(
                TransportError::TooLong { .. } | TransportError::PastEnd { .. },
            ) => ErrorKind::Refused,
            UpdateError::Transport(
                TransportError::Address { .. } | TransportError::Location(_),
            ) => ErrorKind::Other,
            UpdateError::Transport(_) => ErrorKind::Unreachable,
            UpdateError::FreeSpace { .. }
            | UpdateError::OverBudget { .. }
            | UpdateError::FileTooLong { .. }
            | UpdateError::DiskFull(_) => ErrorKind::Space,
            UpdateError::Disk(failed) if failed.is_too_long() || failed.is_out_of_names() => {
                ErrorKind::Space
            }
            UpdateError::Disk(failed) if failed.is_held() => ErrorKind::Busy,
            UpdateError::Busy { .. } => ErrorKind::Busy,
            UpdateError::Trust(TrustError::SpecVersion { .. })
            | UpdateError::Format(FormatError::UnsupportedVersion { .. }) => ErrorKind::Unsupported,
            UpdateError::Trust(_) | UpdateError::WrongRelease { .. } => ErrorKind::Refused,
            UpdateError::Delta(error) if is_unknown(error) => ErrorKind::Unsupported,
            UpdateError::Format(_) | UpdateError::Delta(_) => ErrorKind::Refused,
            UpdateError::TrialFailed { .. } => ErrorKind::TrialFailed,
            UpdateError::Damaged { .. } => ErrorKind::Damage,
            UpdateError::NewerFormat { .. } | UpdateError::NoMethod { .. } => {
                ErrorKind::Unsupported
            }
            UpdateError::NotALibrary { .. }
            | UpdateError::AlreadyALibrary { .. }
            | UpdateError::WrongAddress { .. }
            | UpdateError::UnknownPack { .. }
            | UpdateError::UnknownChannel { .. }
            | UpdateError::NotInstalled { .. }
            | UpdateError::AlreadyActive { .. }
            | UpdateError::ReleaseRefused { .. }
            | UpdateError::NoTrial { .. }
            | UpdateError::NoFallback { .. }
            | UpdateError::ReleaseAbsent { .. }
            | UpdateError::NotActive { .. }
            | UpdateError::WrongHold { .. }
            | UpdateError::TooMany { .. }
            | UpdateError::Cancelled
            | UpdateError::Disk(_) => ErrorKind::Other,
        }
    }

    /// Returns a name of the error that stays the same across versions and languages.
    pub fn code(&self) -> &'static str {
        match self {
            UpdateError::Transport(failed) => failed.code(),
            UpdateError::FreeSpace { .. } => "not-enough-space",
            UpdateError::OverBudget { .. } => "over-budget",
            UpdateError::DiskFull(_) => "disk-full",
            UpdateError::FileTooLong { .. } => "file-too-long",
            UpdateError::WrongRelease { .. } => "wrong-release",
            UpdateError::Busy { .. } => "busy",
            UpdateError::Trust(TrustError::SpecVersion { .. }) => "newer-metadata",
            UpdateError::Trust(TrustError::Expired { .. }) => "expired",
            UpdateError::Trust(TrustError::Rollback { .. }) => "rollback",
            UpdateError::Trust(_) => "not-trusted",
            UpdateError::Format(FormatError::UnsupportedVersion { .. }) => "newer-document",
            UpdateError::Format(_) => "wrong-document",
            UpdateError::Delta(error) if is_unknown(error) => "newer-delta",
            UpdateError::Delta(_) => "wrong-delta",
            UpdateError::TrialFailed { .. } => "trial-failed",
            UpdateError::Damaged { .. } => "damaged",
            UpdateError::NewerFormat { .. } => "newer-library",
            UpdateError::NoMethod { .. } => "unknown-method",
            UpdateError::NotALibrary { .. } => "not-a-library",
            UpdateError::AlreadyALibrary { .. } => "already-a-library",
            UpdateError::WrongAddress { .. } => "wrong-address",
            UpdateError::UnknownPack { .. } => "unknown-pack",
            UpdateError::UnknownChannel { .. } => "unknown-channel",
            UpdateError::NotInstalled { .. } => "not-installed",
            UpdateError::AlreadyActive { .. } => "already-active",
            UpdateError::ReleaseRefused { .. } => "release-refused",
            UpdateError::NoTrial { .. } => "no-trial",
            UpdateError::NoFallback { .. } => "no-fallback",
            UpdateError::ReleaseAbsent { .. } => "release-absent",
            UpdateError::NotActive { .. } => "not-active",
            UpdateError::WrongHold { .. } => "wrong-hold",
            UpdateError::TooMany { .. } => "too-many",
            UpdateError::Cancelled => "cancelled",
            UpdateError::Disk(failed) if failed.is_too_long() => "file-too-long",
            UpdateError::Disk(failed) if failed.is_out_of_names() => "folder-full",
            UpdateError::Disk(failed) if failed.is_held() => "file-held",
            UpdateError::Disk(failed) if failed.is_forbidden() => "not-permitted",
            UpdateError::Disk(_) => "disk-failed",
        }
    }

    /// Returns what the caller can do about it, in one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            UpdateError::Transport(failed) => failed.remedy(),
            UpdateError::FreeSpace { .. } | UpdateError::DiskFull(_) => {
                "Free space on the disk, then try again."
            }
            UpdateError::FileTooLong { .. } => FILE_TOO_LONG,
            UpdateError::Disk(failed) if failed.is_too_long() => FILE_TOO_LONG,
            UpdateError::Disk(failed) if failed.is_out_of_names() => {
                "Move the library to a disk that holds more files in a folder; FAT32 holds 65,536, and fewer with long names."
            }
            UpdateError::Disk(failed) if failed.is_held() => {
                "Close the program that has the file open, or let the virus scanner finish, then try again."
            }
            UpdateError::OverBudget { .. } => {
                "Try again with a larger budget, or where bytes cost nothing."
            }
            UpdateError::Busy { .. } => "Try again when the other updater is done.",
            UpdateError::Trust(TrustError::Expired { .. }) => {
                "Check the device's clock, and try a mirror that is up to date."
            }
            UpdateError::Trust(TrustError::SpecVersion { .. })
            | UpdateError::Format(FormatError::UnsupportedVersion { .. })
            | UpdateError::NewerFormat { .. }
            | UpdateError::NoMethod { .. } => "Install a newer Satchel.",
            UpdateError::Delta(error) if is_unknown(error) => "Install a newer Satchel.",
            UpdateError::Trust(_) | UpdateError::WrongRelease { .. } => {
                "Use another mirror; if it happens there too, tell whoever publishes the pack."
            }
            UpdateError::Format(_) | UpdateError::Delta(_) => {
                "Try another mirror; if it happens again, tell whoever publishes the pack."
            }
            UpdateError::TrialFailed { .. } => {
                "Go on with the release that is active now, and tell whoever publishes the pack."
            }
            UpdateError::Damaged { .. } => "Let Satchel heal the library, then try again.",
            UpdateError::NotALibrary { .. } => "Enrol the device, or give the library's folder.",
            UpdateError::AlreadyALibrary { .. } => "Use the library, or choose another folder.",
            UpdateError::WrongAddress { .. } => "Check the addresses and enrol again.",
            UpdateError::UnknownPack { .. } | UpdateError::UnknownChannel { .. } => {
                "Check the pack's name and the repository's address."
            }
            UpdateError::NotInstalled { .. } => "Install the pack by an update.",
            UpdateError::AlreadyActive { .. } => "Nothing has to be done.",
            UpdateError::ReleaseRefused { .. } => {
                "Wait for a newer release, or ask whoever publishes the pack for one."
            }
            UpdateError::NoTrial { .. } => "Confirm or fail a release only while it is on trial.",
            UpdateError::NoFallback { .. } => "Update to another release.",
            UpdateError::ReleaseAbsent { .. } => {
                "Pin a release while it is here, for as long as somebody needs it."
            }
            UpdateError::NotActive { .. } => "Go back to it first, or pin it to be kept only.",
            UpdateError::WrongHold { .. } => "Give a reason, and an end within the next 31 days.",
            UpdateError::TooMany { .. } => "End some that nobody needs any more.",
            UpdateError::Cancelled => "Run it again to go on where it stopped.",
            UpdateError::Disk(failed) if failed.is_forbidden() => {
                "Ask an administrator for the right to write to the library."
            }
            UpdateError::Disk(_) => "Check the disk, then try again.",
        }
    }
}

const FILE_TOO_LONG: &str =
    "Move the library to a disk that holds longer files; FAT32 holds none of 4 GiB.";

impl From<DiskError> for UpdateError {
    fn from(failed: DiskError) -> UpdateError {
        if failed.is_full() && !failed.is_out_of_names() {
            UpdateError::DiskFull(failed)
        } else {
            UpdateError::Disk(failed)
        }
    }
}

/// What a delta failed with is no longer about the delta where the disk or the caller was the cause.
impl From<DeltaError> for UpdateError {
    fn from(failed: DeltaError) -> UpdateError {
        match failed {
            DeltaError::Output { path, source } => {
                UpdateError::io(Operation::Write, path.as_str(), source)
            }
            DeltaError::Old { path, source } | DeltaError::Again { path, source } => {
                UpdateError::io(Operation::Read, path.as_str(), source)
            }
            DeltaError::DamagedOld {
                path,
                expected,
                found,
            }
            | DeltaError::DamagedNew {
                path,
                expected,
                found,
            } => UpdateError::Damaged {
                at: path.as_str().into(),
                expected: expected.to_string(),
                found: found.to_string(),
            },
            DeltaError::Cancelled(_) => UpdateError::Cancelled,
            refused => UpdateError::Delta(refused),
        }
    }
}

/// Whether a newer Satchel would know what to do with the delta.
fn is_unknown(error: &DeltaError) -> bool {
    matches!(
        error,
        DeltaError::UnsupportedVersion { .. }
            | DeltaError::UnsupportedFlags { .. }
            | DeltaError::UnsupportedMethod { .. }
            | DeltaError::UnsupportedRecompressor { .. }
    )
}

impl From<Cancelled> for UpdateError {
    fn from(_cancelled: Cancelled) -> UpdateError {
        UpdateError::Cancelled
    }
}

/// What kind of answer an [`UpdateError`] calls for; `satchel` has an exit code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No repository was reached: try again later (exit code 3).
    Unreachable,
    /// What was offered is not trusted: try another mirror, report an attack (4).
    Refused,
    /// Not enough space on the disk or in the budget (5).
    Space,
    /// Somebody else is at it (6).
    Busy,
    /// The trial failed and the pack went back (7).
    TrialFailed,
    /// Something in the library is damaged (8).
    Damage,
    /// This Satchel is too old (9).
    Unsupported,
    /// Everything else (1).
    Other,
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_one_that_fails_also_through_a_writer() {
        for (kind, code) in [
            (io::ErrorKind::StorageFull, "disk-full"),
            (io::ErrorKind::QuotaExceeded, "disk-full"),
            (io::ErrorKind::ReadOnlyFilesystem, "not-permitted"),
            (io::ErrorKind::FileTooLarge, "file-too-long"),
            (io::ErrorKind::Other, "disk-failed"),
        ] {
            let failed = DiskError::new(Operation::Write, "lesson", kind.into());
            let through = UpdateError::io(Operation::Read, "elsewhere", failed.into());
            assert_eq!(through.code(), code);
            assert!(
                through.to_string().contains("cannot write to lesson"),
                "{through}"
            );
        }
    }

    #[test]
    fn what_a_delta_failed_with_is_told_from_the_delta_itself() {
        let path = || diff_core::ContentPath::parse("unit/lesson.html").unwrap();
        let full = DiskError::new(Operation::Sync, "x", io::ErrorKind::StorageFull.into());
        for (error, kind) in [
            (
                DeltaError::Output {
                    path: path(),
                    source: full.into(),
                },
                ErrorKind::Space,
            ),
            (
                DeltaError::DamagedOld {
                    path: path(),
                    expected: diff_core::Digest::of(b"old"),
                    found: diff_core::Digest::of(b"odd"),
                },
                ErrorKind::Damage,
            ),
            (
                DeltaError::DamagedNew {
                    path: path(),
                    expected: diff_core::Digest::of(b"new"),
                    found: diff_core::Digest::of(b"odd"),
                },
                ErrorKind::Damage,
            ),
            (
                DeltaError::Again {
                    path: path(),
                    source: io::ErrorKind::NotFound.into(),
                },
                ErrorKind::Other,
            ),
            (
                DeltaError::UnsupportedMethod { id: 200 },
                ErrorKind::Unsupported,
            ),
            (DeltaError::NotADelta { found: vec![] }, ErrorKind::Refused),
            (DeltaError::Cancelled(Cancelled), ErrorKind::Other),
        ] {
            assert_eq!(UpdateError::from(error).kind(), kind);
        }
    }

    #[test]
    fn a_held_lock_names_its_holder_where_it_is_known() {
        let busy = |holder| UpdateError::Busy {
            holder,
            lock: PathBuf::from("lock"),
        };
        assert_eq!(busy(Some(7)).to_string(), "lock is held by process 7");
        assert_eq!(busy(None).to_string(), "lock is held by another updater");
        assert_eq!(busy(None).kind(), ErrorKind::Busy);
    }
}
