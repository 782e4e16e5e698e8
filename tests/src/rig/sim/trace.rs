use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use updater_client::library::disk::Operation;

/// What a [`SimDisk`](super::SimDisk) was asked, and what it changed.
#[derive(Debug, Default, Clone)]
pub struct Trace {
    /// Every call, those that only look included, in their order.
    pub calls: Vec<Call>,
    /// What changed, in its order.
    pub steps: Vec<Step>,
}

/// One call of a disk or of one of its files.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// Of what.
    pub path: PathBuf,
    /// What came of it, where it was made to fail.
    pub failure: Option<io::ErrorKind>,
}

/// One change of a folder, or a promise about earlier ones. Files that are open go by a number, since
/// their names may change meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A folder was created.
    CreateDir(PathBuf),
    /// An empty file was created and is open.
    Create(PathBuf, usize),
    /// A file that was there is open.
    Open(PathBuf, usize),
    /// Bytes were written.
    Write {
        /// The open file.
        file: usize,
        /// Where.
        offset: usize,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The length was changed.
    SetLength(usize, usize),
    /// A file has a second name.
    Link(PathBuf, PathBuf),
    /// A name was given to something that had another.
    Rename(PathBuf, PathBuf),
    /// A name was removed.
    Remove(PathBuf),
    /// Nobody may write to a file any more.
    SetReadOnly(PathBuf),
    /// A file was synced.
    Sync(usize),
    /// A file's sync failed: the system has dropped what it covered, and will not say so again.
    SyncFailed(usize),
    /// A folder was synced.
    SyncDir(PathBuf),
    /// A tree was synced, with the files that were told.
    SyncTree(PathBuf, Vec<PathBuf>),
    /// A tree's sync failed, with the same consequence for each of its files.
    SyncTreeFailed(Vec<PathBuf>),
}
