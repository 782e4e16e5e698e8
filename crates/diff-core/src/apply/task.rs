use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stream::{Closed, Stream};
use crate::Cancelled;

/// A stream that any thread may close, once.
pub(super) struct Task(Mutex<Stage>);

enum Stage {
    Waiting(Stream),
    /// Some thread has it.
    Started,
    Done(Outcome),
}

/// What came of a task.
pub(super) enum Outcome {
    /// It was closed.
    Closed(Closed),
    /// It could not be closed aside: whose turn it is finds out why.
    Unclosed(Stream),
    /// The thread that had it is gone.
    Lost,
}

impl Task {
    /// Returns the task of closing `stream`.
    pub(super) fn new(stream: Stream) -> Task {
        Task(Mutex::new(Stage::Waiting(stream)))
    }

    /// Takes the stream, unless another thread has done so.
    pub(super) fn start(&self) -> Option<Stream> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Started) {
            Stage::Waiting(stream) => Some(stream),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Closes the stream, unless another thread has taken it, and returns how many bytes fewer are held
    /// then.
    pub(super) fn run(&self, check: &dyn Fn() -> Result<(), Cancelled>) -> u64 {
        let Some(stream) = self.start() else { return 0 };
        let mut running = Running {
            task: self,
            outcome: Some(Outcome::Lost),
        };
        let closed = stream.close_aside(check);
        let freed = closed.as_ref().map_or(0, |closed| closed.freed);
        running.outcome = Some(match closed {
            Some(closed) => {
                drop(stream);
                Outcome::Closed(closed)
            }
            None => Outcome::Unclosed(stream),
        });
        freed
    }

    /// Whether nobody has taken the stream yet.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.stage(), Stage::Waiting(_))
    }

    /// Whether the thread that took the stream is done with it.
    pub(super) fn is_done(&self) -> bool {
        matches!(*self.stage(), Stage::Done(_))
    }

    /// Takes what came of it, where that is known.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Started) {
            Stage::Done(outcome) => Some(outcome),
            other => {
                *stage = other;
                None
            }
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what came of a task even when its thread unwinds, so that nobody waits for ever.
struct Running<'t> {
    task: &'t Task,
    outcome: Option<Outcome>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            *self.task.stage() = Stage::Done(outcome);
        }
    }
}
