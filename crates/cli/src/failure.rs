use std::fmt;
use std::io;
use std::path::Path;

use diff_core::{DeltaError, DiffError};
use publisher::{CeremonyError, PublishError, SteeringError};
use serde::Serialize;
use updater_client::{ErrorKind, UpdateError};

/// What the exit code of `satchel` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Other = 1,
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
    Space = 5,
    Busy = 6,
    TrialFailed = 7,
    Damage = 8,
    Unsupported = 9,
    Wait = 10,
    Halt = 11,
}

/// Why a verb did not do what it was asked: what a person, and a program, is told about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// A short name that stays the same.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            code,
            message: message.into(),
            remedy: None,
        }
    }

    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Failure {
        self.remedy = Some(remedy.into());
        self
    }

    /// Returns the failure of `operation` on `path`.
    pub(crate) fn io(operation: &str, path: &Path, source: &io::Error) -> Failure {
        let message = format!("cannot {operation} {}: {source}", path.display());
        if is_full(source) {
            return Failure::new(Exit::Space, "disk-full", message).with_remedy(FREE_SPACE);
        }
        Failure::new(Exit::Other, "io", message)
    }

    /// Returns what is told once the user has asked to stop.
    pub(crate) fn cancelled() -> Failure {
        Failure::new(Exit::Other, "cancelled", "cancelled")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Failure {
        let message = error.to_string();
        let told = |exit, code, remedy: &str| {
            let failure = Failure::new(exit, code, message.clone());
            if remedy.is_empty() {
                failure
            } else {
                failure.with_remedy(remedy)
            }
        };
        match &error {
            PublishError::Io {
                path,
                source,
                operation,
            } => Failure::io(operation, path, source),
            PublishError::Storage { source, .. } if is_full(source) => told(
                Exit::Space,
                "disk-full",
                "Free space on the disk, then publish again.",
            ),
            PublishError::Storage { .. } => told(Exit::Other, "storage", ""),
            PublishError::Unportable { .. } => told(
                Exit::Other,
                "unportable",
                "Rename or remove these paths; `satchel lint` shows all of them.",
            ),
            PublishError::FolderChanged { .. } => told(
                Exit::Other,
                "folder-changed",
                "Publish again when nothing writes to the folder.",
            ),
            PublishError::FolderHolds { .. } => told(
                Exit::Usage,
                "folder-holds-repository",
                "Keep the repository and the keys outside the folder that is published.",
            ),
            PublishError::Listing(_) => told(Exit::Other, "no-tree", ""),
            PublishError::Busy { .. } => told(
                Exit::Busy,
                "busy",
                "Try again when the other publisher is done.",
            ),
            PublishError::NotARepository { .. } => told(
                Exit::Unreachable,
                "not-a-repository",
                "Make one with `satchel init`, or check the path.",
            ),
            PublishError::RepositoryExists { .. } => told(
                Exit::Other,
                "repository-exists",
                "Publish to it, or choose another folder.",
            ),
            PublishError::Absent { .. } | PublishError::Damaged { .. } => told(
                Exit::Damage,
                "repository-damaged",
                "Restore the file from a copy; `satchel audit` shows every fault.",
            ),
            PublishError::LabelExists { .. } => told(
                Exit::Other,
                "label-exists",
                "Releases never change: choose another label.",
            ),
            PublishError::UnknownLabel { .. } => told(
                Exit::Other,
                "unknown-label",
                "`satchel show` lists the labels.",
            ),
            PublishError::UnknownPack { .. } => told(
                Exit::Other,
                "unknown-pack",
                "`satchel list` lists the packs.",
            ),
            PublishError::KeyMissing { role, .. }
                if release_format::TenantName::of_approval_role(role).is_some() =>
            {
                told(
                    Exit::Other,
                    "key-missing",
                    "The channel is guarded: write the change with --propose FILE, and have enough holders \
                     sign it with `satchel approval sign`.",
                )
            }
            PublishError::KeyMissing { .. } => told(
                Exit::Other,
                "key-missing",
                "Say where the keys are with --keys, or give one with --signer.",
            ),
            PublishError::KeyExposed { .. } => told(Exit::Other, "key-exposed", ""),
            PublishError::KeyLocked { .. } => told(
                Exit::Other,
                "key-locked",
                "Give the passphrase in the environment variable SATCHEL_PASSPHRASE, or with --passphrase-file.",
            ),
            PublishError::WrongPassphrase { .. } => told(
                Exit::Other,
                "wrong-passphrase",
                "Check SATCHEL_PASSPHRASE or the passphrase file.",
            ),
            PublishError::KeyMalformed { .. } => told(Exit::Other, "key-malformed", ""),
            PublishError::KeyExists { .. } => told(Exit::Other, "key-exists", ""),
            PublishError::Unrebuildable { .. } => told(
                Exit::Damage,
                "repository-damaged",
                "Restore the archives from a copy; `satchel audit` shows every fault.",
            ),
            PublishError::Refused { .. } => told(
                Exit::Refused,
                "untrusted-repository",
                "Devices would refuse this metadata too: restore it from a copy.",
            ),
            PublishError::NotesTooLong { .. } => told(Exit::Other, "notes-too-long", ""),
            PublishError::Delta { .. } => told(Exit::Other, "delta", ""),
            PublishError::Threshold { .. } => told(
                Exit::Other,
                "threshold",
                "Give more of its keys with --signer; for root and targets see `satchel root propose`.",
            ),
            PublishError::KeyNotTrusted { .. } => told(
                Exit::Other,
                "key-not-trusted",
                "Say where the repository's own keys are with --keys.",
            ),
            PublishError::Unsigned { .. } => told(Exit::Other, "unsigned", ""),
            PublishError::PublicKeyMalformed { .. } => told(
                Exit::Other,
                "public-key-malformed",
                "Take a file that `satchel keys generate` or `openssl pkey -pubout` wrote.",
            ),
            PublishError::Ceremony(refused) => {
                let (exit, code, remedy) = ceremony(refused);
                told(exit, code, remedy)
            }
            PublishError::Steering(refused) => {
                let (code, remedy) = steering(refused);
                told(Exit::Other, code, remedy)
            }
            PublishError::NoSpace { .. } => told(Exit::Space, "no-space", FREE_SPACE),
            PublishError::NewerExport { .. } => told(
                Exit::Refused,
                "newer-export",
                "Export from the repository that it came from, or to an empty folder.",
            ),
            PublishError::OtherRepository { .. } => told(
                Exit::Refused,
                "other-repository",
                "Export to another folder: each repository has one of its own.",
            ),
            PublishError::Cancelled => Failure::cancelled(),
            _ => told(Exit::Other, "publish", ""),
        }
    }
}

fn ceremony(refused: &CeremonyError) -> (Exit, &'static str, &'static str) {
    match refused {
        CeremonyError::Unfit { .. } => (
            Exit::Other,
            "unfit-change",
            "`satchel keys list` lists the roles and their keys.",
        ),
        CeremonyError::Nothing => (Exit::Other, "no-change", ""),
        CeremonyError::TooFewSignatures { .. } => (
            Exit::Refused,
            "too-few-signatures",
            "Let the holders of these keys sign a copy, and merge it.",
        ),
        CeremonyError::UnknownKey { .. } => (
            Exit::Refused,
            "unknown-key",
            "`satchel root sign FILE --show` says whose signatures are needed.",
        ),
        CeremonyError::Tampered { .. } => (
            Exit::Refused,
            "tampered",
            "Do not sign. Ask for the proposal once more, by another way.",
        ),
        CeremonyError::Stale { .. } => (
            Exit::Refused,
            "stale-proposal",
            "Propose the change once more, from the repository as it is.",
        ),
        CeremonyError::Taken { .. } => (
            Exit::Refused,
            "name-taken",
            "Propose the change once more: another one was published, or begun.",
        ),
        CeremonyError::Different { .. } => (
            Exit::Refused,
            "different-proposal",
            "Merge copies of one proposal alone.",
        ),
        _ => (
            Exit::Refused,
            "bad-proposal",
            "Ask for the proposal once more.",
        ),
    }
}

fn steering(refused: &SteeringError) -> (&'static str, &'static str) {
    match refused {
        SteeringError::NoChannel { .. } => (
            "no-channel",
            "Offer a release there first, with `satchel rollout --release`.",
        ),
        SteeringError::Halted { .. } => (
            "halted",
            "Let it go on with `satchel rollout --resume`, or publish a release that does better.",
        ),
        SteeringError::Withdrawn { .. } => (
            "withdrawn",
            "Publish the content under another label, once it is put right.",
        ),
        SteeringError::NotOffered { .. } => (
            "not-offered",
            "Widen it in its channel to 100% first, or name that channel with --from.",
        ),
        SteeringError::Plan { .. } => ("bad-plan", "Put the plan right, and look at it again."),
        SteeringError::NotInPlan { .. } => (
            "not-in-plan",
            "Bring the channel to a step of the plan with `satchel rollout`, or change the plan.",
        ),
        _ => (
            "unfit-rollout",
            "`satchel show` says what the channels offer.",
        ),
    }
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Failure {
        let exit = match error.kind() {
            ErrorKind::Unreachable => Exit::Unreachable,
            ErrorKind::Refused => Exit::Refused,
            ErrorKind::Space => Exit::Space,
            ErrorKind::Busy => Exit::Busy,
            ErrorKind::TrialFailed => Exit::TrialFailed,
            ErrorKind::Damage => Exit::Damage,
            ErrorKind::Unsupported => Exit::Unsupported,
            _ => Exit::Other,
        };
        Failure::new(exit, error.code(), error.to_string()).with_remedy(error.remedy())
    }
}

impl From<DiffError> for Failure {
    fn from(error: DiffError) -> Failure {
        let message = error.to_string();
        match error {
            DiffError::Cancelled(_) => Failure::cancelled(),
            DiffError::Output(source) if is_full(&source) => {
                Failure::new(Exit::Space, "disk-full", message).with_remedy(FREE_SPACE)
            }
            DiffError::Changed { .. } => Failure::new(Exit::Other, "changed", message)
                .with_remedy("Try again when nothing writes to the files."),
            DiffError::Unproved(_) => Failure::new(Exit::Other, "unproved", message)
                .with_remedy("Nothing was written. Please report this as a fault of Satchel."),
            _ => Failure::new(Exit::Other, "diff", message),
        }
    }
}

impl From<DeltaError> for Failure {
    fn from(error: DeltaError) -> Failure {
        let message = error.to_string();
        let told = |exit, code| Failure::new(exit, code, message.clone());
        match error {
            DeltaError::Cancelled(_) => Failure::cancelled(),
            DeltaError::Output { source, .. } if is_full(&source) => {
                told(Exit::Space, "disk-full").with_remedy(FREE_SPACE)
            }
            DeltaError::Output { .. } | DeltaError::Again { .. } | DeltaError::Old { .. } => {
                told(Exit::Other, "io")
            }
            DeltaError::UnsupportedVersion { .. }
            | DeltaError::UnsupportedFlags { .. }
            | DeltaError::UnsupportedMethod { .. }
            | DeltaError::UnsupportedRecompressor { .. } => {
                told(Exit::Unsupported, "unsupported-delta").with_remedy("Install a newer Satchel.")
            }
            DeltaError::WrongOld { .. } => told(Exit::Refused, "wrong-old")
                .with_remedy("Apply the delta to exactly what it was made from."),
            DeltaError::DamagedOld { .. } => told(Exit::Damage, "damaged-old")
                .with_remedy("Restore the old files, then try again."),
            DeltaError::DamagedNew { .. } => told(Exit::Damage, "damaged-new")
                .with_remedy("Check the disk that is written to, then try again."),
            DeltaError::NotADelta { .. } => told(Exit::Refused, "not-a-delta"),
            _ => told(Exit::Refused, "bad-delta").with_remedy("Obtain the delta once more."),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

const FREE_SPACE: &str = "Free space on the disk, then try again.";
