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

    /// Returns a small file that is a shorter way to another one, if it comes at the first attempt.
    ///
    /// # Errors
    /// [`UpdateError::Cancelled`] alone: whatever else goes wrong, there is the other way.
    pub(crate) fn attempt(
        &self,
        location: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, UpdateError> {
        self.check()?;
        let mut bytes = Vec::new();
        let read = self.read_on(location, limit, &mut bytes);
        Ok(read.is_ok().then_some(bytes))
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
        let mut transfer = self.transfer(location, bytes.len() as u64)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let left = limit.saturating_add(1).saturating_sub(bytes.len() as u64);
            let piece = transfer.read(&mut buffer, left)?;
            if piece.is_empty() {
                break;
            }
            bytes.extend_from_slice(piece);
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

    /// Begins to fetch a file from its byte `from` on.
    pub(crate) fn transfer(
        &self,
        location: &str,
        from: u64,
    ) -> Result<Transfer<'_>, TransportError> {
        let pace = self.pace();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let body = self.transport.open(location, from)?;
        let skip = from.checked_sub(body.starts_at);
        let skip = skip.ok_or_else(|| TransportError::WrongRange {
            location: location.to_owned(),
            asked: from,
            found: format!("bytes from {} on", body.starts_at),
        })?;
        Ok(Transfer {
            documents: self,
            location: location.to_owned(),
            body,
            from,
            skip,
            pace,
            arrived: 0,
        })
    }

    /// Returns the pace of a transfer that begins now.
    fn pace(&self) -> Pace {
        Pace((self.begins)())
    }

    pub(crate) fn check(&self) -> Result<(), UpdateError> {
        Ok(self.cancel.check()?)
    }

    fn count(&self, received: usize) {
        self.bytes.fetch_add(received as u64, Ordering::Relaxed);
        if let Some(throttle) = &self.throttle {
            wait(throttle.due(received, Instant::now()), self.cancel);
        }
    }
}

/// A file that arrives from one of its bytes on.
///
/// A server that knows no ranges begins anew: what was not asked for is read past.
pub(crate) struct Transfer<'a> {
    documents: &'a Documents<'a>,
    location: String,
    body: Body,
    /// The first byte that was wanted.
    from: u64,
    /// Bytes to be read past before the next that is wanted.
    skip: u64,
    pace: Pace,
    /// Bytes that have arrived at this pace.
    arrived: u64,
}

impl Transfer<'_> {
    /// Returns how many bytes the whole file has, where the server says.
    pub(crate) fn total(&self) -> Option<u64> {
        self.body.total
    }

    /// Reads past the next `bytes` bytes.
    pub(crate) fn pass(&mut self, bytes: u64) {
        self.from = self.from.saturating_add(bytes);
        self.skip = self.skip.saturating_add(bytes);
    }

    /// Begins to reckon the pace anew: whoever reads has not asked for anything since.
    pub(crate) fn go_on(&mut self) {
        self.pace = self.documents.pace();
        self.arrived = 0;
    }

    /// Returns the next bytes, at most `most` and as many as `buffer` holds; none at the end of the body,
    /// and where none are wanted.
    pub(crate) fn read<'b>(
        &mut self,
        buffer: &'b mut [u8],
        most: u64,
    ) -> Result<&'b [u8], TransportError> {
        while self.skip > 0 {
            let past = self.arrive(buffer, self.skip)?;
            if past == 0 || self.documents.cancel.is_cancelled() {
                return Err(TransportError::Interrupted {
                    location: self.location.clone(),
                    received: self.from.saturating_sub(self.skip),
                    expected: self.body.total,
                });
            }
            self.skip = self.skip.saturating_sub(past as u64);
        }
        let count = self.arrive(buffer, most)?;
        Ok(buffer.get(..count).unwrap_or_default())
    }

    fn arrive(&mut self, buffer: &mut [u8], most: u64) -> Result<usize, TransportError> {
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        let read = self.body.reader.read(room);
        let count = read.map_err(|source| TransportError::from_body(&self.location, source))?;
        self.documents.count(count);
        self.arrived += count as u64;
        self.pace.check(&self.location, self.arrived)?;
        Ok(count)
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
    use std::io::{self, Read};
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
