//! An HTTP server over a folder, or over what a mirror has: ranges, caching as the layout of a
//! repository allows, bounds on who is connected, and a meter that a caller can read and shut.

mod door;
mod meter;
pub(crate) mod neighbours;
mod range;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use collector::serve_until;
use tokio::sync::oneshot;
use tower_http::services::ServeDir;

use door::Door;
pub(crate) use meter::Meter;
use meter::Metered;

/// A server on a thread of its own, until it is stopped or dropped.
pub(crate) struct Server {
    address: SocketAddr,
    meter: Arc<Meter>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Serves what lies below `root` at `listen`; on port 0 at a free one.
    ///
    /// `observe` hears of each request: its path and the status of its response.
    pub(crate) fn start(
        root: &Path,
        listen: SocketAddr,
        observe: impl Fn(&str, u16) + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let files = ServeDir::new(root).append_index_html_on_directories(false);
        Server::over(Router::new().fallback_service(files), listen, observe)
    }

    /// Serves what `files` answers with at `listen`, as [`Server::start`] serves a folder.
    pub(crate) fn over(
        files: Router,
        listen: SocketAddr,
        observe: impl Fn(&str, u16) + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let meter = Arc::new(Meter::default());
        let watch = Watch {
            meter: Arc::clone(&meter),
            observe: Arc::new(observe),
        };
        let app = files.layer(middleware::from_fn_with_state(watch, answer));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || runtime.block_on(serve(listener, app, stopped)));
        Ok(Server {
            address,
            meter,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the address as a client writes it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the meter of what is sent.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Lets running responses end, for a few seconds, and stops.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        // The thread may have ended by itself, with an error that joining it brings.
        let _ = self.stop.take().map(|stop| stop.send(()));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_panic)) => Err(io::Error::other("the server's thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Hears of a request's path and of the status of its response.
type Observe = dyn Fn(&str, u16) + Send + Sync;

#[derive(Clone)]
struct Watch {
    meter: Arc<Meter>,
    observe: Arc<Observe>,
}

async fn serve(
    listener: TcpListener,
    app: Router,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = Door::new(tokio::net::TcpListener::from_std(listener)?);
    serve_until(listener, app, stopped, DRAIN_TIME).await
}

async fn answer(State(watch): State<Watch>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = if is_hidden(&path) {
        StatusCode::NOT_FOUND.into_response()
    } else if head_bytes(&request) > MAX_HEAD_BYTES {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
    } else {
        next.run(request).await
    };
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        let caching = HeaderValue::from_static(cache_control(&path));
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, caching);
    }
    watch.meter.count_request();
    (watch.observe)(&path, response.status().as_u16());
    let is_content = path.starts_with("/content/");
    response.map(|body| Body::new(Metered::new(body, watch.meter, is_content)))
}

/// Everything in a repository is named by content or version, but for one file.
fn cache_control(path: &str) -> &'static str {
    if path.ends_with("/timestamp.json") {
        "public, max-age=60"
    } else {
        "public, max-age=31536000, immutable"
    }
}

/// What a publisher keeps for itself in a repository, its lock and what it is writing, has a dot
/// before its name.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|component| {
        component.starts_with('.') || component.starts_with("%2e") || component.starts_with("%2E")
    })
}

fn head_bytes(request: &Request) -> usize {
    let headers = request.headers().iter();
    let headers: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    headers + request.uri().path().len()
}

/// No client of ours sends a tenth of it.
const MAX_HEAD_BYTES: usize = 16 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
