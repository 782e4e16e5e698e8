use std::error::Error;
use std::future::Future;
use std::io::{self, Read};
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, RANGE};
use reqwest::{Client, Response};
use rustls::AlertDescription;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::answer::{Answer, Head, Question, Sent, judge};
use crate::transport::{Body, TransportError};

/// How long a server is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) stall: Duration,
}

/// The thread on which all transfers of a transport run; it ends with the last owner.
///
/// A runtime of its own, entered by nobody else: the callers wait on plain channels, which is allowed
/// anywhere.
pub(super) struct Line {
    runtime: Handle,
    client: Client,
    patience: Patience,
    /// Never sent on: that it is dropped tells the thread to end.
    _owned: oneshot::Sender<()>,
}

impl Line {
    pub(super) fn start(client: Client, patience: Patience) -> io::Result<Arc<Line>> {
        let (owned, ended) = oneshot::channel();
        let (send, receive) = mpsc::channel();
        thread::Builder::new()
            .name("satchel-http".to_owned())
            .spawn(move || run(ended, &send))?;
        let told = receive.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(Arc::new(Line {
            runtime: told?,
            client,
            patience,
            _owned: owned,
        }))
    }

    /// Waits for the head of the answer, at most as long as patience lasts.
    pub(super) fn open(self: Arc<Line>, asked: Question) -> Result<Body, TransportError> {
        let (send, receive) = mpsc::channel();
        let demand = Arc::new(Semaphore::new(PIECES_AHEAD));
        let outlet = Outlet {
            send,
            demand: Arc::clone(&demand),
        };
        let transfer = transfer(self.client.clone(), asked.clone(), self.patience, outlet);
        let reader = LineReader {
            transfer: self.runtime.spawn(transfer).abort_handle(),
            receive,
            demand,
            location: asked.location.to_string(),
            received: 0,
            piece: Vec::new(),
            taken: 0,
            ended: None,
            _line: self,
        };
        match reader.receive.recv() {
            Ok(Message::Head(head)) => Ok(reader.into_body(head)),
            Ok(Message::Failed(failed)) => Err(failed),
            Ok(Message::Piece(_) | Message::End) | Err(_) => Err(TransportError::Unreachable {
                address: asked.mirror,
                reason: "the transfer ended without an answer".to_owned(),
            }),
        }
    }
}

fn run(ended: oneshot::Receiver<()>, started: &Sender<io::Result<Handle>>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(failed) => {
            // Nobody listens only when the starter is gone, and then nobody needs to know.
            let _ = started.send(Err(failed));
            return;
        }
    };
    if started.send(Ok(runtime.handle().clone())).is_ok() {
        // The error is the signal: the sender was dropped.
        let _ = runtime.block_on(ended);
    }
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
}

/// What a transfer tells: its head, pieces and its end; or where it failed.
enum Message {
    Head(Head),
    Piece(Vec<u8>),
    End,
    Failed(TransportError),
}

/// The sending side: a piece is sent only once there is demand for it.
struct Outlet {
    send: Sender<Message>,
    demand: Arc<Semaphore>,
}

impl Outlet {
    /// Nobody listening means that the body was dropped, and the transfer is about to be as well.
    fn tell(&self, message: Message) {
        let _ = self.send.send(message);
    }

    async fn pass(&self, piece: Vec<u8>) {
        if let Ok(permit) = self.demand.acquire().await {
            permit.forget();
            self.tell(Message::Piece(piece));
        }
    }
}

async fn transfer(client: Client, asked: Question, patience: Patience, outlet: Outlet) {
    match bring(&client, &asked, patience, &outlet).await {
        Ok(()) => outlet.tell(Message::End),
        Err(failed) => outlet.tell(Message::Failed(failed)),
    }
}

async fn bring(
    client: &Client,
    asked: &Question,
    patience: Patience,
    outlet: &Outlet,
) -> Result<(), TransportError> {
    let mut response = ask(client, asked, patience).await?;
    let head = judge(
        asked,
        &Answer {
            status: response.status(),
            headers: response.headers(),
            url: response.url(),
            length: response.content_length(),
        },
    )?;
    let (mut received, expected) = (head.starts_at, head.ends_at);
    outlet.tell(Message::Head(head));
    let interrupted = |received| TransportError::Interrupted {
        location: asked.location.to_string(),
        received,
        expected,
    };
    loop {
        let arriving = in_time(asked, received, patience.stall, response.chunk());
        let Some(piece) = arriving.await?.map_err(|_| interrupted(received))? else {
            break;
        };
        let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        received = received.saturating_add(count);
        if expected.is_some_and(|expected| received > expected) {
            return Err(TransportError::WrongRange {
                location: asked.location.to_string(),
                asked: asked.from,
                found: "more bytes than announced".to_owned(),
            });
        }
        outlet.pass(piece.into()).await;
    }
    if expected.is_some_and(|expected| received < expected) {
        return Err(interrupted(received));
    }
    Ok(())
}

/// Sends the request, follows redirects, and returns the answer.
async fn ask(
    client: &Client,
    asked: &Question,
    patience: Patience,
) -> Result<Response, TransportError> {
    // Encoded on the way, a range would be one of other bytes.
    let mut request = match &asked.sent {
        None => client.get(asked.url.clone()),
        Some(Sent {
            content_type,
            token,
            body,
        }) => {
            let post = client.post(asked.url.clone()).body(body.clone());
            let post = post.header(CONTENT_TYPE, *content_type);
            match token {
                Some(token) => post.bearer_auth(token),
                None => post,
            }
        }
    };
    request = request.header(ACCEPT_ENCODING, "identity");
    if asked.from > 0 {
        request = request.header(RANGE, format!("bytes={}-", asked.from));
    }
    // Connecting has its own timeout within, which leaves the server as long as any piece has.
    let within = patience.connect.saturating_add(patience.stall);
    let answered = in_time(asked, asked.from, within, request.send()).await?;
    answered.map_err(|failed| unreached(asked, patience, &failed))
}

async fn in_time<T>(
    asked: &Question,
    received: u64,
    after: Duration,
    arriving: impl Future<Output = T>,
) -> Result<T, TransportError> {
    timeout(after, arriving)
        .await
        .map_err(|_elapsed| TransportError::Timeout {
            location: asked.location.to_string(),
            received,
            after,
        })
}

/// Sorts what stood between the request and the head of its answer.
fn unreached(asked: &Question, patience: Patience, failed: &reqwest::Error) -> TransportError {
    let address = asked.mirror.clone();
    let refused = causes(failed).find_map(|cause| match cause.downcast_ref()? {
        rustls::Error::InvalidCertificate(refused) => Some(refused.to_string()),
        // The server's word on the certificate that this device has shown, or has not.
        rustls::Error::AlertReceived(alert) if is_of_certificates(*alert) => {
            Some(format!("the server answers with the alert {alert:?}"))
        }
        _ => None,
    });
    if let Some(reason) = refused {
        return TransportError::Certificate { address, reason };
    }
    // The type of this error is private to the HTTP library.
    if causes(failed).any(|cause| cause.to_string().contains("proxy authorization required")) {
        return TransportError::ProxyLogin { address };
    }
    let reason = if failed.is_connect() && failed.is_timeout() {
        format!("no connection within {} s", patience.connect.as_secs_f32())
    } else {
        causes(failed)
            .last()
            .map_or(String::new(), ToString::to_string)
    };
    TransportError::Unreachable { address, reason }
}

fn is_of_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

/// Returns an error and what caused it, down to the bottom; an I/O error hides the one that it wraps
/// from [`Error::source`].
fn causes<'a>(
    failed: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(failed), |&cause| {
        match cause.downcast_ref().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        }
    })
}

/// Reads what a transfer passes on, and ends it when dropped.
struct LineReader {
    transfer: AbortHandle,
    receive: Receiver<Message>,
    demand: Arc<Semaphore>,
    location: String,
    received: u64,
    piece: Vec<u8>,
    taken: usize,
    ended: Option<Result<(), TransportError>>,
    _line: Arc<Line>,
}

impl LineReader {
    fn into_body(mut self, head: Head) -> Body {
        self.received = head.starts_at;
        Body {
            reader: Box::new(self),
            starts_at: head.starts_at,
            total: head.total,
            content_type: head.content_type,
        }
    }

    /// Waits for the next piece; an end, and a failure, stay what they are.
    fn next_piece(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        if let Some(ended) = &self.ended {
            return ended.clone().map(|()| None);
        }
        let ended = match self.receive.recv() {
            Ok(Message::Piece(piece)) => {
                self.demand.add_permits(1);
                return Ok(Some(piece));
            }
            Ok(Message::End) => Ok(()),
            Ok(Message::Failed(failed)) => Err(failed),
            Ok(Message::Head(_)) | Err(_) => Err(TransportError::Interrupted {
                location: self.location.clone(),
                received: self.received,
                expected: None,
            }),
        };
        self.ended = Some(ended.clone());
        ended.map(|()| None)
    }
}

impl Read for LineReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.taken == self.piece.len() {
            match self.next_piece()? {
                Some(piece) => (self.piece, self.taken) = (piece, 0),
                None => return Ok(0),
            }
        }
        let rest = self.piece.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        self.received += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}

impl Drop for LineReader {
    fn drop(&mut self) {
        self.transfer.abort();
    }
}

/// How many pieces may wait for a slow reader, each at most as long as the HTTP library's buffer
/// (some 400 KiB).
const PIECES_AHEAD: usize = 2;
