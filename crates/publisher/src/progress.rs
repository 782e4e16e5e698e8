use std::sync::atomic::{AtomicU64, Ordering};

use diff_core::Progress;

/// Hears how far publishing has come; called from any thread.
pub trait PublishProgress: Sync {
    /// Of the `total` bytes of `stage`, `done` are done; a stage begins with none of them.
    ///
    /// The stages are, in this order: `digests`, `archives`, then for `nothing` and for each older release
    /// a `delta from ...` and a `proof of the delta from ...`; deltas may be built side by side.
    fn progressed(&self, stage: &str, done: u64, total: u64);
}

/// A [`PublishProgress`] that listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl PublishProgress for Quiet {
    fn progressed(&self, _stage: &str, _done: u64, _total: u64) {}
}

/// One stage of publishing, counted for its listener.
pub(crate) struct Stage<'a> {
    name: String,
    total: u64,
    done: AtomicU64,
    listener: &'a dyn PublishProgress,
}

impl<'a> Stage<'a> {
    /// Begins a stage of `total` bytes.
    pub(crate) fn begin(
        listener: &'a dyn PublishProgress,
        name: impl Into<String>,
        total: u64,
    ) -> Stage<'a> {
        let name = name.into();
        listener.progressed(&name, 0, total);
        Stage {
            name,
            total,
            done: AtomicU64::new(0),
            listener,
        }
    }
}

impl Progress for Stage<'_> {
    fn advanced(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let done = before.saturating_add(bytes).min(self.total);
        self.listener.progressed(&self.name, done, self.total);
    }
}
