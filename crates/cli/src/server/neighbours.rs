//! What a mirror has, over HTTP.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body::Frame;
use release_format::Receipted;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::spawn_blocking;
use updater_client::{Mirror, Missing, Served};

use super::range::Part;

/// Returns what answers for `mirror`.
pub(crate) fn router(mirror: Arc<Mirror>) -> Router {
    Router::new()
        .route(RECEIPTS, post(take).fallback(answer))
        .layer(DefaultBodyLimit::max(Receipted::MAX_REQUEST_BYTES))
        .fallback(answer)
        .with_state(mirror)
}

async fn answer(State(mirror): State<Arc<Mirror>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    let Some(location) = location(request.uri().path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = tag(&location);
    let range = range(request.headers(), tag.as_ref());
    let from = range.map_or(0, Part::first);
    let opened = spawn_blocking(move || {
        let served = mirror.open_at(&location, from)?;
        let length = served.length()?;
        Ok((served, length))
    });
    match opened.await {
        Ok(Ok((served, length))) => {
            let is_head = request.method() == Method::HEAD;
            respond(served, length, range, tag, is_head)
        }
        Ok(Err(why)) => status_of(&why).into_response(),
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Takes receipts of a neighbour, to hand them on.
async fn take(State(mirror): State<Arc<Mirror>>, body: Bytes) -> Response {
    match spawn_blocking(move || mirror.take_receipts(&body)).await {
        Ok(Ok(answer)) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (json, answer.encode()).into_response()
        }
        Ok(Err(_unkept)) => StatusCode::INSUFFICIENT_STORAGE.into_response(),
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const RECEIPTS: &str = "/v1/receipts";

fn respond(
    served: Served,
    length: Option<u64>,
    range: Option<&str>,
    tag: Option<HeaderValue>,
    is_head: bool,
) -> Response {
    let part = length.map_or(Part::Whole, |length| Part::of(range, length));
    // A part of what was asked for may be all that is here.
    let part = match (part, served.ends_at()) {
        (Part::Bytes { from, to }, Some(end)) => Part::Bytes {
            from,
            to: to.min(end),
        },
        (part, _) => part,
    };
    let mut response = Response::new(Body::empty());
    let (from, to) = match (part, length) {
        (Part::PastEnd, length) => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let range = format!("bytes */{}", length.unwrap_or(0));
            set(&mut response, header::CONTENT_RANGE, &range);
            return response;
        }
        (Part::Whole, length) => (0, length),
        (Part::Bytes { from, to }, length) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!(
                "bytes {from}-{}/{}",
                to.saturating_sub(1),
                length.unwrap_or(to)
            );
            set(&mut response, header::CONTENT_RANGE, &range);
            (from, Some(to))
        }
    };
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(
        &mut response,
        header::CONTENT_TYPE,
        "application/octet-stream",
    );
    if let Some(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if let Some(to) = to {
        set(
            &mut response,
            header::CONTENT_LENGTH,
            &(to - from).to_string(),
        );
    }
    if !is_head {
        *response.body_mut() = Body::new(Reading::start(served, from, to));
    }
    response
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Returns which part of the file is asked for, unless another file is meant.
fn range<'h>(headers: &'h HeaderMap, tag: Option<&HeaderValue>) -> Option<&'h str> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    is_same(headers, tag).then_some(range)
}

/// Whether the file is the one of which a client has a part already, as far as it says so.
fn is_same(headers: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    let condition = headers.get(header::IF_RANGE);
    condition.is_none_or(|condition| Some(condition) == tag)
}

/// Returns the tag of a file, which its name is; the timestamp has none.
fn tag(location: &str) -> Option<HeaderValue> {
    let name = location.rsplit('/').next()?;
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if name == "timestamp.json" || !is_plain {
        return None;
    }
    HeaderValue::from_str(&format!("\"{name}\"")).ok()
}

fn status_of(why: &Missing) -> StatusCode {
    match why {
        Missing::Absent => StatusCode::NOT_FOUND,
        Missing::Refused { .. } => StatusCode::BAD_GATEWAY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Returns the location that a path spells, or `None` for one that spells none.
fn location(path: &str) -> Option<String> {
    let mut bytes = path.strip_prefix('/')?.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// A body that is read on a thread where it may wait.
struct Reading(Receiver<io::Result<Bytes>>);

impl Reading {
    fn start(served: Served, from: u64, to: Option<u64>) -> Reading {
        let (pieces, reading) = mpsc::channel(PIECES_AHEAD);
        spawn_blocking(move || {
            if let Err(failed) = read(served, (from, to), &pieces) {
                // Nobody may be left to hear it.
                let _ = pieces.blocking_send(Err(failed));
            }
        });
        Reading(reading)
    }
}

fn read(
    served: Served,
    (from, to): (u64, Option<u64>),
    pieces: &Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let most = to.map_or(u64::MAX, |to| to - from);
    let mut reader = served.reader(from)?.take(most);
    let mut sent = 0;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let count = match reader.read(&mut piece) {
            Err(again) if again.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            break;
        }
        sent += count as u64;
        piece.truncate(count);
        if pieces.blocking_send(Ok(piece.into())).is_err() {
            // The client has left.
            return Ok(());
        }
    }
    match to {
        Some(_) if sent < most => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

const PIECES_AHEAD: usize = 2;
const PIECE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_spells_one_location_or_none() {
        for (path, expected) in [
            ("/metadata/timestamp.json", Some("metadata/timestamp.json")),
            ("/metadata/1.a%252Fb.json", Some("metadata/1.a%2Fb.json")),
            ("/%2e%2E/library.json", Some("../library.json")),
            ("/", Some("")),
            ("metadata", None),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
            ("/%ff", None),
        ] {
            assert_eq!(location(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn only_what_never_changes_has_a_tag() {
        assert_eq!(tag("metadata/timestamp.json"), None);
        let tag = tag("metadata/7.snapshot.json").unwrap();
        assert_eq!(tag, "\"7.snapshot.json\"");
        let mut headers = HeaderMap::new();
        assert!(is_same(&headers, Some(&tag)));
        headers.insert(
            header::IF_RANGE,
            HeaderValue::from_static("\"6.snapshot.json\""),
        );
        assert!(!is_same(&headers, Some(&tag)));
        headers.insert(header::IF_RANGE, tag.clone());
        assert!(is_same(&headers, Some(&tag)));
    }
}
