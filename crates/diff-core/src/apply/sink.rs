use std::io::{self, Write};

use crate::delta::PlannedFile;

/// Takes the files that applying a delta makes.
pub trait Sink: Sync {
    /// Returns a writer for the built file with this index in the plan; it gets exactly as many bytes
    /// as the file has, then a flush, and is dropped. Called from several threads.
    ///
    /// # Errors
    /// Whatever making the file fails with; applying then ends with [`DeltaError::Output`].
    fn create(&self, index: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>>;
}
