use std::io::{self, Write};

use crate::apply::{Applier, Sink};
use crate::delta::{Delta, PlannedFile};
use crate::error::{DeltaError, DiffError};
use crate::{CancelToken, Limits, Progress, Tree};

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
            .apply(&Nowhere)?;
        Ok(())
    };
    proved().map_err(|error| match error {
        DeltaError::Cancelled(cancelled) => DiffError::Cancelled(cancelled),
        DeltaError::Old { path, source } => DiffError::Io { path, source },
        error => DiffError::Unproved(error),
    })
}

struct Nowhere;

impl Sink for Nowhere {
    fn create(&self, _index: usize, _file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(io::sink()))
    }
}
