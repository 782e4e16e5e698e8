use std::io;
use std::path::PathBuf;

/// Why the collector cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectorError {
    /// The database failed.
    #[error("{database}: {reason}")]
    Database {
        /// Which one, without passwords.
        database: String,
        /// What it said.
        reason: String,
    },
    /// The database was made by a newer Satchel.
    #[error("{database} has version {found}, this Satchel knows {supported}")]
    NewerDatabase {
        /// Which one.
        database: String,
        /// The version found.
        found: i64,
        /// The version that is known.
        supported: i64,
    },
    /// A file or a folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A list of devices with a line that names none.
    #[error("{}: line {line}: {reason}", path.display())]
    DeviceList {
        /// The list.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The address could not be listened on, or serving on it failed.
    #[error("cannot serve: {0}")]
    Serve(io::Error),
    /// The thread that writes has ended.
    #[error("the writer has stopped; see what it said before")]
    WriterGone,
}
