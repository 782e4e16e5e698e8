use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diff_core::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use publisher::PublishProgress;

/// A progress bar on stderr, where that is a terminal and the work takes long enough to wonder.
pub(crate) struct Bar {
    bar: ProgressBar,
    started: Instant,
    is_wanted: bool,
    is_shown: AtomicBool,
}

impl Bar {
    pub(super) fn new(what: &'static str, total: u64, is_wanted: bool) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        bar.set_style(style());
        bar.set_message(what);
        Bar {
            bar,
            started: Instant::now(),
            is_wanted,
            is_shown: AtomicBool::new(false),
        }
    }

    /// Says how much of how much is done, as `what`.
    pub(crate) fn set(&self, what: &str, done: u64, total: u64) {
        if self.bar.message() != what {
            self.bar.set_message(what.to_owned());
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.show();
    }

    fn show(&self) {
        if self.is_wanted
            && self.started.elapsed() >= PATIENCE
            && !self.is_shown.swap(true, Ordering::Relaxed)
        {
            // On anything but a terminal this target draws nothing.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Progress for Bar {
    fn advanced(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.show();
    }
}

impl PublishProgress for Bar {
    fn progressed(&self, stage: &str, done: u64, total: u64) {
        // Of stages that run side by side, the one that began last is shown.
        if done == 0 || self.bar.message() == stage {
            self.set(stage, done, total);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

const TEMPLATE: &str = "{msg:<12} [{bar:32}] {decimal_bytes:>10} of {decimal_total_bytes} {eta:>4}";
/// What is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(400);
