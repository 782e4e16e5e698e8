use std::time::Duration;

use release_format::{TrustedSet, UtcTime};

/// How current the metadata is by which an answer was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// Nothing of it has expired.
    Current,
    /// It has expired, and the tenant has signed that devices may go on with it for longer: there may
    /// be something newer that does not reach this device.
    Stale {
        /// How long ago the first of it expired.
        age: Duration,
    },
    /// Nothing of it had expired at the latest moment that is proved to have passed, and the clock is
    /// behind that: it is set wrong, and how late it really is nobody can tell.
    FreshnessUnknown {
        /// What the clock shows.
        clock: UtcTime,
        /// The latest moment that is proved to have passed.
        at_least: UtcTime,
    },
}

impl Freshness {
    pub(crate) fn of(
        trusted: &TrustedSet,
        now: UtcTime,
        clock: UtcTime,
        floor: UtcTime,
    ) -> Freshness {
        if let Some(since) = trusted.stale_since(now) {
            let seconds = now.seconds().saturating_sub(since.seconds());
            let age = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            return Freshness::Stale { age };
        }
        if clock < floor {
            let at_least = floor;
            return Freshness::FreshnessUnknown { clock, at_least };
        }
        Freshness::Current
    }

    /// Returns a name of the state that stays the same across versions and languages.
    pub fn code(&self) -> &'static str {
        match self {
            Freshness::Current => "current",
            Freshness::Stale { .. } => "stale",
            Freshness::FreshnessUnknown { .. } => "unknown",
        }
    }
}
