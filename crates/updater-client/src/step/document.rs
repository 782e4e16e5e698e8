use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use diff_core::CancelToken;

use crate::UpdateError;
use crate::transport::{Body, Transport, TransportError};

/// Fetches small files whole from one mirror, and counts what goes over the line.
pub struct Documents<'a> {
    transport: &'a dyn Transport,
    cancel: &'a CancelToken,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// What went over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests sent, those for absent files among them.
    pub requests: u64,
    /// Bytes of bodies received.
    pub bytes: u64,
}

/// How often in a row a line may drop without yielding a byte before fetching gives up.
pub(crate) const FRUITLESS_ATTEMPTS: u32 = 2;

impl<'a> Documents<'a> {
    /// Returns what fetches over `transport` until `cancel` says to stop.
    pub fn new(transport: &'a dyn Transport, cancel: &'a CancelToken) -> Documents<'a> {
        let (requests, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Documents {
            transport,
            cancel,
            requests,
            bytes,
        }
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
        let mut attempts = 0;
        loop {
            self.check()?;
            attempts += 1;
            match self.read(location, limit) {
                Err(failed) if failed.is_retryable() && attempts < FRUITLESS_ATTEMPTS => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    fn read(&self, location: &str, limit: u64) -> Result<Vec<u8>, TransportError> {
        let body = self.open(location, 0)?;
        let mut bytes = Vec::new();
        let outcome = body
            .reader
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes);
        self.count(bytes.len());
        outcome.map_err(|source| TransportError::from_body(location, source))?;
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

    pub(crate) fn check(&self) -> Result<(), UpdateError> {
        Ok(self.cancel.check()?)
    }

    pub(crate) fn count(&self, received: usize) {
        self.bytes.fetch_add(received as u64, Ordering::Relaxed);
    }
}
