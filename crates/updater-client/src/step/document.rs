use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use diff_core::CancelToken;

use crate::UpdateError;
use crate::step::pace::{FetchPolicy, Pace, Throttle, wait};
use crate::transport::{Body, Transport, TransportError};

/// Fetches small files whole, and counts what goes over the line.
pub struct Documents<'a> {
    transport: &'a dyn Transport,
    cancel: &'a CancelToken,
    requests: AtomicU64,
    bytes: AtomicU64,
    policy: FetchPolicy,
    throttle: Option<Throttle>,
    /// When a transfer that begins now began.
    begins: fn() -> Instant,
}

/// What went over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests sent, those for absent files among them.
    pub requests: u64,
    /// Bytes of bodies received.
    pub bytes: u64,
}

impl<'a> Documents<'a> {
    /// Returns what fetches over `transport` until `cancel` says to stop.
    pub fn new(transport: &'a dyn Transport, cancel: &'a CancelToken) -> Documents<'a> {
        let (requests, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Documents {
            transport,
            cancel,
            requests,
            bytes,
            policy: FetchPolicy::default(),
            throttle: None,
            begins: Instant::now,
        }
    }

    /// Fetches as `policy` says rather than by the standard one.
    #[must_use]
    pub fn policy(mut self, policy: &FetchPolicy) -> Documents<'a> {
        self.throttle = policy
            .bytes_per_second
            .map(|rate| Throttle::new(rate, Instant::now()));
        self.policy = policy.clone();
        self
    }

    /// Returns what was sent and received so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Returns a small file whole: metadata, or a target that trusted metadata names.
    ///
    /// Reads at most one byte more than `limit`, so that an endless body is found out.
    ///
    /// # Errors
    /// [`UpdateError::Transport`], [`UpdateError::Cancelled`].
    pub fn fetch(&self, location: &str, limit: u64) -> Result<Vec<u8>, UpdateError> {
        let mut fruitless = 0;
        loop {
            self.check()?;
            match self.read(location, limit) {
                Err(failed) if self.goes_on(location, &failed, &mut fruitless) => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Whether to ask for `location` again after `failed`, the last of so many attempts that brought
    /// nothing: of the same mirror after a wait, then of another.
    pub(crate) fn goes_on(
        &self,
        location: &str,
        failed: &TransportError,
        fruitless: &mut u32,
    ) -> bool {
        *fruitless += 1;
        if let Some(pause) = self.policy.again(failed, *fruitless) {
            wait(pause, self.cancel);
            return true;
        }
        let is_of_the_mirror =
            failed.is_retryable() || matches!(failed, TransportError::TooSlow { .. });
        let has_another = is_of_the_mirror && self.pass_over(location);
        if has_another {
            *fruitless = 0;
        }
        has_another
    }

    /// Hears that what came of `location` was of no use; returns whether another mirror may do better.
    pub(crate) fn pass_over(&self, location: &str) -> bool {
        self.transport.pass_over(location)
    }

    fn read(&self, location: &str, limit: u64) -> Result<Vec<u8>, TransportError> {
        let pace = self.pace();
        let mut reader = self.open(location, 0)?.reader.take(limit.saturating_add(1));
        let mut bytes = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = reader
                .read(&mut buffer)
                .map_err(|source| TransportError::from_body(location, source))?;
            self.count(count);
            match buffer.get(..count) {
                Some(piece) if !piece.is_empty() => bytes.extend_from_slice(piece),
                _ => break,
            }
            pace.check(location, bytes.len() as u64)?;
        }
        if bytes.len() as u64 > limit {
            if bytes.trim_ascii_start().starts_with(b"<") {
                return Err(self.captive_portal(location));
            }
            return Err(TransportError::TooLong {
                location: location.to_owned(),
                limit,
            });
        }
        Ok(bytes)
    }

    /// Returns the error for a web page in the place of a file.
    pub(crate) fn captive_portal(&self, location: &str) -> TransportError {
        TransportError::CaptivePortal {
            location: location.to_owned(),
            page: self.transport.address(),
        }
    }

    pub(crate) fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.transport.open(location, from)
    }

    /// Returns the pace of a transfer that begins now.
    pub(crate) fn pace(&self) -> Pace {
        Pace((self.begins)())
    }

    pub(crate) fn check(&self) -> Result<(), UpdateError> {
        Ok(self.cancel.check()?)
    }

    pub(crate) fn count(&self, received: usize) {
        self.bytes.fetch_add(received as u64, Ordering::Relaxed);
        if let Some(throttle) = &self.throttle {
            wait(throttle.due(received, Instant::now()), self.cancel);
        }
    }
}

const BUFFER_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;

    /// Sends a byte at a time, for ever, and counts how often it was asked.
    struct Drip;

    impl Transport for Drip {
        fn open(&self, _: &str, from: u64) -> Result<Body, TransportError> {
            Ok(Body {
                reader: Box::new(Drop::default()),
                starts_at: from,
                total: None,
                content_type: None,
            })
        }

        fn address(&self) -> String {
            "drip".to_owned()
        }
    }

    #[derive(Default)]
    struct Drop(u32);

    impl Read for Drop {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            assert!(self.0 <= 2, "it was asked again and again");
            buffer[0] = b' ';
            Ok(1)
        }
    }

    #[test]
    fn a_mirror_that_drips_is_given_up_at_once_where_that_has_gone_on_for_long() {
        let cancel = CancelToken::new();
        let mut documents = Documents::new(&Drip, &cancel);
        documents.begins = || {
            let now = Instant::now();
            now.checked_sub(Duration::from_secs(3_600)).unwrap_or(now)
        };
        match documents.fetch("metadata/timestamp.json", 1 << 20) {
            Err(UpdateError::Transport(failed @ TransportError::TooSlow { received: 1, .. })) => {
                assert!(!failed.is_retryable() && failed.is_unreachable());
            }
            other => panic!("expected to be too slow, found {other:?}"),
        }
    }
}
