use std::path::PathBuf;
use std::{fmt, io};

use super::patience;

/// Something that the file system would not do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {}{source}", path.display(), note(source))]
pub struct DiskError {
    /// What was tried.
    pub operation: Operation,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    /// Returns the failure of `operation` on `path`.
    pub fn new(operation: Operation, path: impl Into<PathBuf>, source: io::Error) -> DiskError {
        DiskError {
            operation,
            path: path.into(),
            source,
        }
    }

    /// Returns the failure that `source` carries within, else that of `operation` on `path`.
    pub fn from_io(operation: Operation, path: impl Into<PathBuf>, source: io::Error) -> DiskError {
        match source.downcast::<DiskError>() {
            Ok(carried) => carried,
            Err(source) => DiskError::new(operation, path, source),
        }
    }

    /// Returns the failure as one for want of a name, not of bytes, in a folder that has so many.
    pub(super) fn of_names(self, names: usize, available: u64) -> DiskError {
        let no_more = NoMoreNames {
            names,
            available,
            source: self.source,
        };
        DiskError {
            source: io::Error::new(io::ErrorKind::StorageFull, no_more),
            ..self
        }
    }

    /// Whether there was no room: on the disk, or within the user's share of it.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether there was room, and none for another name: in the folder, or in all of the file system.
    pub fn is_out_of_names(&self) -> bool {
        let told = self.source.get_ref();
        told.is_some_and(|told| told.is::<NoMoreNames>())
    }

    /// Whether a file is longer than the file system can hold, however much is free.
    pub fn is_too_long(&self) -> bool {
        self.source.kind() == io::ErrorKind::FileTooLarge
    }

    /// Whether another program has the file open and does not share it, after a bounded wait: on
    /// Windows alone.
    pub fn is_held(&self) -> bool {
        patience::is_held(&self.source)
    }

    /// Whether there was nothing under the name.
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether there was something under the name.
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether this user, or anybody, may not write there.
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        )
    }
}

/// What the system says of a full disk, where it is not the bytes that ran out.
#[derive(Debug, thiserror::Error)]
#[error(
    "its folder has {names} names and takes no more, though {available} bytes are free: {source}"
)]
struct NoMoreNames {
    names: usize,
    available: u64,
    source: io::Error,
}

/// Says in our words what the system's hide.
fn note(source: &io::Error) -> &'static str {
    match patience::is_held(source) {
        true => "another program has it open: ",
        false => "",
    }
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// What was asked of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening or reading a file.
    Read,
    /// Looking at a file's or folder's properties.
    Look,
    /// Listing a folder.
    List,
    /// Asking for the free space.
    AskSpace,
    /// Opening or taking a lock.
    Lock,
    /// Creating a folder.
    CreateDir,
    /// Creating a file, or opening it for writing.
    Create,
    /// Writing.
    Write,
    /// Changing a file's length.
    SetLength,
    /// Making a file's bytes durable.
    Sync,
    /// Making a folder's names durable.
    SyncDir,
    /// Making a whole tree durable.
    SyncTree,
    /// Giving a file a second name.
    Link,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Taking the right to write.
    SetReadOnly,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Read => "read",
            Operation::Look => "look at",
            Operation::List => "list",
            Operation::AskSpace => "ask for the free space at",
            Operation::Lock => "lock",
            Operation::CreateDir | Operation::Create => "create",
            Operation::Write => "write to",
            Operation::SetLength => "change the length of",
            Operation::Sync | Operation::SyncDir | Operation::SyncTree => "sync",
            Operation::Link => "link to",
            Operation::Rename => "rename",
            Operation::Remove => "remove",
            Operation::SetReadOnly => "make read-only",
        })
    }
}
