use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use release_format::{Receipted, SignedReceipt, UtcTime, receipts_of};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::devices::Devices;
use crate::drain::serve_until;
use crate::error::CollectorError;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::writer::{NotWritten, Writer};

/// A running collector, on threads of its own, until it is stopped or dropped.
pub struct Collector {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), CollectorError>>>,
}

/// What a collector is started with.
pub struct CollectorOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which devices may send.
    pub devices: Devices,
    /// What senders have to show, where anything: a bearer's token.
    pub token: Option<String>,
    /// Hears of a database that fails.
    pub failing: Box<dyn Fn(&CollectorError) + Send>,
}

impl Collector {
    /// Starts a collector over `store`.
    ///
    /// # Errors
    /// [`CollectorError::Serve`] when the address cannot be listened on; [`CollectorError::Database`].
    pub fn start(
        mut store: Box<dyn Store>,
        options: CollectorOptions,
    ) -> Result<Collector, CollectorError> {
        let metrics = Arc::new(Metrics::default());
        metrics.begin(&store.tally(None, None)?);
        let mut devices = options.devices;
        devices.remember(store.devices()?);
        let listener = TcpListener::bind(options.listen).map_err(CollectorError::Serve)?;
        listener
            .set_nonblocking(true)
            .map_err(CollectorError::Serve)?;
        let address = listener.local_addr().map_err(CollectorError::Serve)?;
        let writer = Writer::start(store, Arc::clone(&metrics), options.failing)?;
        let service = Arc::new(Service {
            writer,
            metrics,
            devices: Mutex::new(devices),
            token: options.token.map(|token| blake3::hash(token.as_bytes())),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(4)
            .enable_all()
            .build()
            .map_err(CollectorError::Serve)?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let served = runtime.block_on(serve(listener, Arc::clone(&service), stopped));
            runtime.shutdown_timeout(DRAIN);
            // With the last hold on it the writer writes what waits, and ends.
            drop(service);
            served.map_err(CollectorError::Serve)
        });
        Ok(Collector {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets running requests end, for a few seconds, writes what they brought, and stops.
    ///
    /// # Errors
    /// [`CollectorError::Serve`] when serving had failed.
    pub fn stop(mut self) -> Result<(), CollectorError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), CollectorError> {
        // It may have ended by itself, with an error that joining brings.
        let _ = self.stop.take().map(|stop| stop.send(()));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(served)) => served,
            Some(Err(_panic)) => Err(CollectorError::WriterGone),
            None => Ok(()),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

struct Service {
    writer: Writer,
    metrics: Arc<Metrics>,
    devices: Mutex<Devices>,
    token: Option<blake3::Hash>,
}

async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stopped: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/v1/receipts", post(receive))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .layer(DefaultBodyLimit::max(Receipted::MAX_REQUEST_BYTES))
        .with_state(service);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    serve_until(listener, app, stopped, DRAIN).await
}

async fn receive(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = taken(&service, &headers, body).await;
    let response = match answer {
        Ok(answer) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (json, answer.encode()).into_response()
        }
        Err(StatusCode::SERVICE_UNAVAILABLE) => {
            let later = [(header::RETRY_AFTER, "5")];
            (StatusCode::SERVICE_UNAVAILABLE, later).into_response()
        }
        Err(status) => status.into_response(),
    };
    service.metrics.answer(response.status().as_u16());
    response
}

async fn taken(
    service: &Arc<Service>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Receipted, StatusCode> {
    if !service.is_allowed(headers) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    // Signatures take their time: not on the threads that answer.
    let verifying = spawn_blocking(move || receipts_of(&body));
    let (receipts, mut answer) = verifying
        .await
        .map_err(|_panicked| StatusCode::INTERNAL_SERVER_ERROR)?;
    for refused in &answer.refused {
        service.metrics.refuse(refused.reason);
    }
    let receipts = service.admitted(receipts, &mut answer);
    let names: Vec<String> = receipts.iter().map(SignedReceipt::name).collect();
    let written = match receipts.is_empty() {
        true => Ok(()),
        false => service.writer.write(receipts, now()).await,
    };
    match written {
        Ok(()) => {
            answer.accepted = names;
            Ok(answer)
        }
        Err(NotWritten::Busy | NotWritten::Failed) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

impl Service {
    /// Compared by digests, so that how long it takes tells nothing of the token.
    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.token else {
            return true;
        };
        let shown = headers.get(header::AUTHORIZATION);
        let shown = shown.and_then(|shown| shown.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|shown| blake3::hash(shown.as_bytes()) == *expected)
    }

    fn admitted(&self, receipts: Vec<SignedReceipt>, answer: &mut Receipted) -> Vec<SignedReceipt> {
        let now = Instant::now();
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admitted = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            match devices.admit(&receipt.receipt().device, now) {
                None => admitted.push(receipt),
                Some(reason) => {
                    self.metrics.refuse(reason);
                    answer.refuse(receipt.name(), reason);
                }
            }
        }
        admitted
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let devices = {
        let devices = service.devices.lock();
        devices.unwrap_or_else(PoisonError::into_inner).count()
    };
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, service.metrics.text(devices)).into_response()
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    if service.writer.is_alive() {
        (json, "{\"schema\":1,\"status\":\"ok\"}\n").into_response()
    } else {
        let told = "{\"schema\":1,\"status\":\"no writer\"}\n";
        (StatusCode::SERVICE_UNAVAILABLE, json, told).into_response()
    }
}

fn now() -> UtcTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    UtcTime::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

const DRAIN: Duration = Duration::from_secs(3);
