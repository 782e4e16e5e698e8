use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// Counts what a server sends, and can stop it in mid-sentence.
#[derive(Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    sending: Mutex<Sending>,
    ran_dry: Condvar,
}

#[derive(Default)]
struct Sending {
    sent: u64,
    /// Bytes of content that may still be sent; `None` for as many as anybody wants.
    allowance: Option<u64>,
    is_dry: bool,
}

impl Meter {
    /// Returns how many requests came.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns how many bytes of bodies were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// From now on sends `bytes` more of what lies below `content/` and then nothing of it, with
    /// connections left open.
    pub(crate) fn stall_after(&self, bytes: u64) {
        let mut sending = self.lock();
        sending.allowance = Some(bytes);
        sending.is_dry = false;
    }

    /// From now on sends whatever new requests ask for.
    pub(crate) fn flow(&self) {
        self.lock().allowance = None;
    }

    /// Waits until the allowance is spent and somebody wants more; `false` after `limit`.
    pub(crate) fn wait_until_dry(&self, limit: Duration) -> bool {
        let waited = self
            .ran_dry
            .wait_timeout_while(self.lock(), limit, |sending| !sending.is_dry);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_dry
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many of `wanted` bytes may be sent now.
    fn grant(&self, wanted: usize, is_content: bool) -> usize {
        let mut sending = self.lock();
        let granted = match &mut sending.allowance {
            Some(left) if is_content => {
                let granted = usize::try_from(*left).map_or(wanted, |left| left.min(wanted));
                *left -= granted as u64;
                granted
            }
            _ => wanted,
        };
        sending.sent += granted as u64;
        if granted == 0 && wanted > 0 {
            sending.is_dry = true;
            self.ran_dry.notify_all();
        }
        granted
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A response's body, as much of it as the meter lets through.
pub(super) struct Metered {
    body: Body,
    meter: Arc<Meter>,
    is_content: bool,
    /// What was read from the body and is not yet sent.
    held: Bytes,
}

impl Metered {
    pub(super) fn new(body: Body, meter: Arc<Meter>, is_content: bool) -> Metered {
        Metered {
            body,
            meter,
            is_content,
            held: Bytes::new(),
        }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.held.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.held = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let granted = self.meter.grant(self.held.len(), self.is_content);
        if granted == 0 && !self.held.is_empty() {
            // Nobody wakes this body again: it ends with its connection.
            return Poll::Pending;
        }
        let data = self.held.split_to(granted);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + held);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
