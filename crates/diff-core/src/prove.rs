use std::io::{self, Write};

use crate::apply::{Applier, Sink};
use crate::delta::{Delta, PlannedFile};
use crate::error::{DeltaError, DiffError};
use crate::{CancelToken, FileBytes, Limits, Progress, Tree};

/// Applies `delta` to `old` as a device would, in bounded memory and keeping nothing, and compares
/// every file with the listing of the new tree.
///
/// # Errors
/// [`DiffError::Unproved`] with what a device would have met; [`DiffError::Cancelled`].
pub fn prove(
    old: Tree<'_>,
    new: Tree<'_>,
    delta: &[u8],
    limits: &Limits,
    progress: &dyn Progress,
    cancel: &CancelToken,
) -> Result<(), DiffError> {
    let proved = || -> Result<(), DeltaError> {
        let delta = Delta::parse(delta, limits)?;
        let plan = delta.plan(old.listing)?;
        Applier::new(&delta, &plan, old)
            .expecting(new.listing)
            .limits(limits.clone())
            .progress(progress)
            .cancel(cancel)
            .apply(&Nowhere { new })?;
        Ok(())
    };
    proved().map_err(|error| match error {
        DeltaError::Cancelled(cancelled) => DiffError::Cancelled(cancelled),
        DeltaError::Old { path, source } | DeltaError::Again { path, source } => {
            DiffError::Io { path, source }
        }
        error => DiffError::Unproved(error),
    })
}

/// Keeps nothing: what was made is the same as the new tree has, or was refused.
struct Nowhere<'a> {
    new: Tree<'a>,
}

impl Sink for Nowhere<'_> {
    fn create(&self, _index: usize, _file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(io::sink()))
    }

    fn read(&self, index: usize, _file: &PlannedFile) -> io::Result<FileBytes> {
        self.new.contents.read(index)
    }
}
