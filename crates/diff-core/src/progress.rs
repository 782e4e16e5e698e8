use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Hears how far a long piece of work has come; called from any thread.
pub trait Progress: Sync {
    /// `bytes` more of the announced total are done.
    fn advanced(&self, bytes: u64);
}

/// Hears of bytes that are done, and says whether to go on.
pub(crate) type Advanced<'a> = dyn FnMut(u64) -> Result<(), Cancelled> + Send + 'a;

/// A [`Progress`] that listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn advanced(&self, _bytes: u64) {}
}

/// Asks a piece of work to stop; clones share the request.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Returns a token that nobody has cancelled.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Asks every holder of a clone to stop at its next step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns an error once a stop was asked for, so that work can leave by `?`.
    ///
    /// # Errors
    /// [`Cancelled`] after [`CancelToken::cancel`].
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }
}

/// The work was asked to stop and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;
