use std::io::{self, Write};

use crate::FileBytes;
use crate::delta::PlannedFile;

/// Takes the files that applying a delta makes, and gives them back.
pub trait Sink: Sync {
    /// Returns a writer for the built file with this index in the plan; it gets exactly as many bytes
    /// as the file has, then a flush, and is dropped. Called from several threads.
    ///
    /// # Errors
    /// Whatever making the file fails with; applying then ends with [`DeltaError::Output`].
    fn create(&self, index: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>>;

    /// Returns the bytes of such a file once its writer is dropped: others are made of it. Called from several
    /// threads.
    ///
    /// # Errors
    /// Whatever reading the file fails with; applying then ends with [`DeltaError::Again`].
    fn read(&self, index: usize, file: &PlannedFile) -> io::Result<FileBytes>;
}
