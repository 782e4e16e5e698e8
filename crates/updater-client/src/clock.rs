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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_shows_a_time_after_this_was_written() {
        assert!(SystemClock.now() > UtcTime::parse("2026-11-01T00:00:00Z").unwrap());
    }
}
