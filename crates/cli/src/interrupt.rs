use std::io;
use std::process;
use std::thread;

use diff_core::CancelToken;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::ctrl_c;

/// Returns a token that the first Ctrl-C cancels; the second one ends the program at once.
///
/// Where no handler can be installed the first one ends it, which nothing on disk minds either.
pub(crate) fn cancel_on_interrupt() -> CancelToken {
    let token = CancelToken::new();
    let cancelled = token.clone();
    thread::spawn(move || {
        let Ok(runtime) = runtime() else { return };
        runtime.block_on(async {
            if ctrl_c().await.is_ok() {
                cancelled.cancel();
                if ctrl_c().await.is_ok() {
                    process::exit(INTERRUPTED);
                }
            }
        });
    });
    token
}

/// Waits for Ctrl-C.
pub(crate) fn wait_for_interrupt() -> io::Result<()> {
    runtime()?.block_on(ctrl_c())
}

/// Waits for Ctrl-C, or for what a service is told to end by.
pub(crate) fn wait_for_end() -> io::Result<()> {
    runtime()?.block_on(async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                interrupted = ctrl_c() => interrupted,
                _ = terminate.recv() => Ok(()),
            }
        }
        #[cfg(not(unix))]
        ctrl_c().await
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().build()
}

/// What shells report of a program that an interrupt ended.
const INTERRUPTED: i32 = 130;
