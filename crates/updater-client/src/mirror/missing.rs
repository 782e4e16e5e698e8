/// Why a mirror does not bring a file to its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// There is no such place in a repository, or this repository has no such file.
    #[error("there is no such file")]
    Absent,
    /// The device does not hold it, and what it gets its own files from is out of reach.
    #[error("it is not held, and the repository is out of reach: {reason}")]
    OutOfReach {
        /// What stood in the way.
        reason: String,
    },
    /// What came for it is another file.
    #[error("what came is refused: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: String,
    },
    /// The device has no room for it.
    #[error("no room: {reason}")]
    NoRoom {
        /// What there is.
        reason: String,
    },
    /// As many files are on their way as may be.
    #[error("too much is on its way")]
    Busy,
}
