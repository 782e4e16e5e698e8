use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::sync::oneshot;

/// Serves `app` until `stopped` is told, then lets running responses end for as long as `drain`.
///
/// # Errors
/// What serving ended with, where it ended by itself.
pub async fn serve_until<L>(
    listener: L,
    app: Router,
    stopped: impl Future,
    drain: Duration,
) -> io::Result<()>
where
    L: Listener,
    L::Addr: Debug,
{
    let (begin, begun) = oneshot::channel::<()>();
    let begun = async {
        let _ = begun.await;
    };
    let serving = async {
        axum::serve(listener, app)
            .with_graceful_shutdown(begun)
            .await
    };
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return result,
        _ = stopped => {}
    }
    let _ = begin.send(());
    // A client that does not read, or keeps its line open, would keep the server for ever.
    let ended = tokio::time::timeout(drain, serving).await;
    ended.unwrap_or(Ok(()))
}
