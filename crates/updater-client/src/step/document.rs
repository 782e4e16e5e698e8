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

    /// Returns how many requests may be on their way at once.
    pub(crate) fn most_requests(&self) -> usize {
        usize::try_from(self.policy.requests_at_once).map_or(1, |most| most.max(1))
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
    /// Goes on where a line broke off if the file's name is never given to other bytes. Reads at most one byte more than `limit`, so that an endless body is found out.
    ///
    /// # Errors
    /// [`UpdateError::Transport`], [`UpdateError::Cancelled`].
    pub fn fetch(&self, location: &str, limit: u64) -> Result<Vec<u8>, UpdateError> {
        let (mut fruitless, mut may_begin_anew) = (0, true);
        let mut bytes = Vec::new();
        loop {
            self.check()?;
            let before = bytes.len();
            let Err(failed) = self.read_on(location, limit, &mut bytes) else {
                return Ok(bytes);
            };
            let is_past_end = matches!(failed, TransportError::PastEnd { .. });
            if is_past_end && before > 0 && may_begin_anew {
                // All of it had come but the word that it was all.
                may_begin_anew = false;
                bytes.clear();
                continue;
            }
            let has_more = bytes.len() >= before + LEAST_PROGRESS;
            if !is_immutable(location) {
                bytes.clear();
            } else if has_more && failed.is_retryable() {
                fruitless = 0;
                continue;
            }
            if !self.goes_on(location, &failed, &mut fruitless) {
                return Err(failed.into());
            }
            if fruitless == 0 {
                // Another mirror: what the one before brought proves nothing yet.
                bytes.clear();
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

    /// Reads on behind `bytes` up to the end of the file.
    fn read_on(
        &self,
        location: &str,
        limit: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), TransportError> {
        let pace = self.pace();
        let at_hand = bytes.len() as u64;
        let body = self.open(location, at_hand)?;
        let skip = at_hand.checked_sub(body.starts_at);
        let mut skip = skip.ok_or_else(|| TransportError::WrongRange {
            location: location.to_owned(),
            asked: at_hand,
            found: format!("bytes from {} on", body.starts_at),
        })?;
        let most = limit.saturating_add(1).saturating_sub(body.starts_at);
        let mut reader = body.reader.take(most);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut arrived = 0;
        loop {
            let count = reader
                .read(&mut buffer)
                .map_err(|source| TransportError::from_body(location, source))?;
            self.count(count);
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            arrived += piece.len() as u64;
            // A server that knows no ranges begins anew.
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= skipped as u64;
            bytes.extend_from_slice(piece.get(skipped..).unwrap_or_default());
            pace.check(location, arrived)?;
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
        Ok(())
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

/// Whether a location is never given to other bytes: its name begins with a version or a digest.
fn is_immutable(location: &str) -> bool {
    let name = location.rsplit('/').next().unwrap_or_default();
    let Some((number, _)) = name.split_once('.') else {
        return false;
    };
    let is_version = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let is_digest = number.len() >= DIGEST_DIGITS && number.bytes().all(|b| b.is_ascii_hexdigit());
    is_version || is_digest
}

const BUFFER_BYTES: usize = 16 << 10;
/// Bytes that an attempt has to bring to count as one that gets on: a mirror that sends fewer each time
/// would never be given up.
const LEAST_PROGRESS: usize = 512;
const DIGEST_DIGITS: usize = 32;

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
    fn names_with_a_version_or_a_digest_stay_what_they_are() {
        let digest = "86ae12e173d5588f402eebc26961170b4aafffccc10f2f1af08806cc5b07de46";
        for (location, expected) in [
            ("metadata/timestamp.json".to_owned(), false),
            ("metadata/snapshot.json".to_owned(), false),
            ("metadata/12.snapshot.json".to_owned(), true),
            (format!("targets/acme/x/{digest}.catalogue"), true),
            ("targets/acme/x/catalogue".to_owned(), false),
            ("targets/acme/12/catalogue.json".to_owned(), false),
            ("metadata/.json".to_owned(), false),
        ] {
            assert_eq!(is_immutable(&location), expected, "{location}");
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
