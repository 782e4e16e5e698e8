use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diff_core::CancelToken;

use crate::transport::{TransportError, doubled, jittered};

/// How content is fetched over a line that is bad, or not for this alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPolicy {
    /// How often in a row a mirror may fail without bringing a byte before the next one is asked, or
    /// fetching gives up.
    pub attempts: u32,
    /// How long to wait before the second attempt; each further wait is twice as long. All waits are
    /// shortened at random, by up to a quarter.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// The most requests that are on their way at once: more than one where chunks are fetched from
    /// several places.
    pub requests_at_once: u32,
    /// The most bytes to receive in a second; `None` for as many as come.
    pub bytes_per_second: Option<u64>,
}

impl Default for FetchPolicy {
    /// Returns four attempts over three to four seconds, four requests at once, and no throttle.
    fn default() -> FetchPolicy {
        FetchPolicy {
            attempts: 4,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            requests_at_once: 4,
            bytes_per_second: None,
        }
    }
}

impl FetchPolicy {
    /// Returns whether to ask the same mirror again after `fruitless` attempts in a row that failed
    /// with the likes of `failed`, and after which wait.
    pub(crate) fn again(&self, failed: &TransportError, fruitless: u32) -> Option<Duration> {
        // Most often there is no network, and nobody wants to be told so late.
        let is_out_of_reach = matches!(failed, TransportError::Unreachable { .. });
        let most = if is_out_of_reach {
            self.attempts.min(2)
        } else {
            self.attempts
        };
        if !failed.is_retryable() || fruitless >= most {
            return None;
        }
        if is_out_of_reach {
            return Some(Duration::ZERO);
        }
        let times = fruitless.saturating_sub(1);
        Some(jittered(doubled(self.first_wait, times, self.longest_wait)))
    }
}

/// Waits, but not beyond what `cancel` says.
pub(crate) fn wait(mut left: Duration, cancel: &CancelToken) {
    while !left.is_zero() && !cancel.is_cancelled() {
        let slice = left.min(SLICE);
        thread::sleep(slice);
        left -= slice;
    }
}

/// Holds a line back to so many bytes a second, with a second's worth at once at most.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    /// When it was last looked at, and the bytes that might have come then: fewer than none where more
    /// came than should have.
    account: Mutex<(Instant, f64)>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: u64, now: Instant) -> Throttle {
        Throttle {
            bytes_per_second: bytes_per_second.max(1),
            account: Mutex::new((now, 0.0)),
        }
    }

    /// Returns how long to wait after `received` more bytes.
    pub(crate) fn due(&self, received: usize, now: Instant) -> Duration {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, credit) = *account;
        // Both are far from where a float loses whole bytes.
        #[expect(clippy::cast_precision_loss)]
        let (rate, received) = (self.bytes_per_second as f64, received as f64);
        let earned = now.saturating_duration_since(before).as_secs_f64() * rate;
        let credit = (credit + earned).min(rate) - received;
        *account = (now, credit);
        Duration::try_from_secs_f64(-credit / rate).unwrap_or(Duration::ZERO)
    }
}

/// How fast a transfer goes.
///
/// A stall is told by the transport; a mirror that sends a byte every now and then never stalls, and
/// would hold the library's lock for years.
pub(crate) struct Pace(pub(crate) Instant);

impl Pace {
    pub(crate) fn check(&self, location: &str, received: u64) -> Result<(), TransportError> {
        let after = self.0.elapsed();
        if is_too_slow(after, received) {
            let location = location.to_owned();
            return Err(TransportError::TooSlow {
                location,
                received,
                after,
            });
        }
        Ok(())
    }
}

fn is_too_slow(after: Duration, received: u64) -> bool {
    let due = after.saturating_sub(PATIENCE).as_secs();
    received < due.saturating_mul(LEAST_BYTES_A_SECOND)
}

/// How soon a wait hears that it is cancelled.
const SLICE: Duration = Duration::from_millis(50);
/// How long a transfer may take however little arrives.
const PATIENCE: Duration = Duration::from_secs(120);
/// A tenth of what the slowest modems bring.
const LEAST_BYTES_A_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_too_slow_once_the_patience_is_over() {
        for (seconds, received, expected) in [
            (0, 0, false),
            (120, 0, false),
            (121, 99, true),
            (121, 100, false),
            (220, 9_999, true),
            (220, 10_000, false),
            (u64::MAX, u64::MAX - 1, true),
        ] {
            let found = is_too_slow(Duration::from_secs(seconds), received);
            assert_eq!(found, expected, "{received} bytes in {seconds} s");
        }
    }

    #[test]
    fn attempts_are_spaced_further_and_further_and_end() {
        let policy = FetchPolicy::default();
        let busy = TransportError::Status {
            location: String::new(),
            status: 503,
        };
        let waits: Vec<_> = (1..=5).map(|of| policy.again(&busy, of)).collect();
        for (wait, most) in waits.iter().zip([500, 1_000, 2_000]) {
            let most = Duration::from_millis(most);
            let wait = wait.unwrap();
            assert!(wait <= most && wait >= most.mul_f64(0.75), "{wait:?}");
        }
        assert_eq!(waits[3..], [None, None]);
        let away = TransportError::Unreachable {
            address: String::new(),
            reason: String::new(),
        };
        let waits: Vec<_> = (1..=3).map(|of| policy.again(&away, of)).collect();
        assert_eq!(waits, [Some(Duration::ZERO), None, None]);
        let absent = TransportError::Absent {
            location: String::new(),
        };
        assert_eq!(policy.again(&absent, 1), None);
    }

    #[test]
    fn a_throttle_lets_through_what_it_says_and_saves_up_no_more_than_a_second() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let throttle = Throttle::new(1_000, start);
        for (received, seconds, expected) in [
            (500, 0, 500),
            (500, 1, 0),
            (1_000, 1, 1_000),
            (0, 100, 0),
            (3_000, 100, 2_000),
        ] {
            let wait = throttle.due(received, at(seconds));
            assert_eq!(wait.as_millis(), expected, "{received} at {seconds} s");
        }
    }

    #[test]
    fn a_wait_ends_when_it_is_cancelled() {
        let cancel = CancelToken::new();
        cancel.cancel();
        wait(Duration::from_secs(86_400), &cancel);
    }
}
