use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use release_format::UtcTime;

/// Tells the time: a seam, so that tests and hosts with a better clock bring their own.
///
/// What a clock says is a claim like any other. The trusted time is the later of it and a floor that
/// only signed evidence moves, so a clock at 1970 weakens nothing and one at 2035 leaves nothing
/// behind.
pub trait Clock: Send + Sync {
    /// Returns the moment that the clock shows.
    fn now(&self) -> UtcTime;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UtcTime {
        let now = SystemTime::now();
        let seconds = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
        };
        UtcTime::from_seconds(seconds)
    }
}

/// A clock that shows no time before a moment which is proved to have passed.
pub(crate) struct EffectiveClock {
    clock: Arc<dyn Clock>,
    at_least: AtomicI64,
}

impl EffectiveClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> EffectiveClock {
        EffectiveClock {
            clock,
            at_least: AtomicI64::new(i64::MIN),
        }
    }

    /// Returns the moment that is proved to have passed.
    pub(crate) fn floor(&self) -> UtcTime {
        UtcTime::from_seconds(self.at_least.load(Ordering::Relaxed))
    }

    pub(crate) fn raise(&self, moment: UtcTime) {
        self.at_least.fetch_max(moment.seconds(), Ordering::Relaxed);
    }
}

impl Clock for EffectiveClock {
    fn now(&self) -> UtcTime {
        let at_least = UtcTime::from_seconds(self.at_least.load(Ordering::Relaxed));
        self.clock.now().max(at_least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stopped(&'static str);

    impl Clock for Stopped {
        fn now(&self) -> UtcTime {
            UtcTime::parse(self.0).unwrap()
        }
    }

    #[test]
    fn no_clock_shows_a_time_before_what_is_proved() {
        let proved = UtcTime::parse("2027-01-01T00:00:00Z").unwrap();
        for (shown, expected) in [
            ("1970-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2035-01-01T00:00:00Z", "2035-01-01T00:00:00Z"),
        ] {
            let clock = EffectiveClock::new(Arc::new(Stopped(shown)));
            assert_eq!(clock.now().to_string(), shown);
            clock.raise(proved);
            clock.raise(UtcTime::MIN);
            assert_eq!(clock.now().to_string(), expected);
        }
    }

    #[test]
    fn system_clock_shows_a_time_after_this_was_written() {
        assert!(SystemClock.now() > UtcTime::parse("2026-11-01T00:00:00Z").unwrap());
    }
}
