use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::{self, DateTime};
use serde::{Deserialize, Serialize};

/// A moment in UTC, to the second; written as RFC 3339 text that ends in `Z`.
///
/// It reaches from the first second of the year 1 to the last of the year 9999, and has one spelling
/// alone, so that equal times are equal bytes in what is signed.
///
/// ```
/// use release_format::UtcTime;
/// let issued = UtcTime::parse("2026-11-21T00:00:00Z")?;
/// assert_eq!(issued.plus_days(7).to_string(), "2026-11-28T00:00:00Z");
/// # Ok::<(), release_format::UtcTimeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UtcTime(i64);

impl UtcTime {
    /// The first moment that can be written: the year 1.
    pub const MIN: UtcTime = UtcTime(-62_135_596_800);
    /// The last moment that can be written: the end of the year 9999.
    pub const MAX: UtcTime = UtcTime(253_402_300_799);

    /// Returns the moment that `text` spells, such as `2026-11-21T00:00:00Z`.
    ///
    /// # Errors
    /// [`UtcTimeError`] for other spellings: offsets, fractions, lowercase, leap seconds, dates that
    /// do not exist.
    pub fn parse(text: &str) -> Result<UtcTime, UtcTimeError> {
        let refused = || UtcTimeError {
            found: text.chars().take(80).collect(),
        };
        let civil = text.strip_suffix('Z').ok_or_else(refused)?;
        let time: DateTime = civil.parse().map_err(|_| refused())?;
        let seconds = time.duration_since(EPOCH).as_secs();
        let time = UtcTime::from_seconds(seconds);
        // The parser takes more spellings than the one that is ours.
        if time.to_string() == text {
            Ok(time)
        } else {
            Err(refused())
        }
    }

    /// Returns the moment `seconds` after the start of 1970, moved into [`UtcTime::MIN`] to
    /// [`UtcTime::MAX`] where it lies outside: a clock may say anything.
    pub const fn from_seconds(seconds: i64) -> UtcTime {
        if seconds < UtcTime::MIN.0 {
            UtcTime::MIN
        } else if seconds > UtcTime::MAX.0 {
            UtcTime::MAX
        } else {
            UtcTime(seconds)
        }
    }

    /// Returns the seconds since the start of 1970, negative before it.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Returns the moment `days` days of 24 hours later, at most [`UtcTime::MAX`].
    pub const fn plus_days(self, days: u32) -> UtcTime {
        UtcTime::from_seconds(self.0.saturating_add(days as i64 * SECONDS_A_DAY))
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = EPOCH
            .checked_add(SignedDuration::from_secs(self.0))
            .map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }
}

impl fmt::Debug for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UtcTime {
    type Err = UtcTimeError;

    fn from_str(text: &str) -> Result<UtcTime, UtcTimeError> {
        UtcTime::parse(text)
    }
}

impl TryFrom<String> for UtcTime {
    type Error = UtcTimeError;

    fn try_from(text: String) -> Result<UtcTime, UtcTimeError> {
        UtcTime::parse(&text)
    }
}

impl From<UtcTime> for String {
    fn from(time: UtcTime) -> String {
        time.to_string()
    }
}

/// A text that is not a moment as Satchel writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like 2026-11-21T00:00:00Z, found {found:?}")]
pub struct UtcTimeError {
    found: String,
}

const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);
const SECONDS_A_DAY: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_seconds_agree() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2026-11-21T00:00:00Z", 1_795_219_200),
            ("2038-01-19T03:14:08Z", 1 << 31),
            ("0001-01-01T00:00:00Z", UtcTime::MIN.seconds()),
            ("9999-12-31T23:59:59Z", UtcTime::MAX.seconds()),
        ] {
            assert_eq!(
                UtcTime::parse(text),
                Ok(UtcTime::from_seconds(seconds)),
                "{text}"
            );
            assert_eq!(UtcTime::from_seconds(seconds).to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "Z",
            "2026-11-21T00:00:00",
            "2026-11-21T00:00:00z",
            "2026-11-21t00:00:00Z",
            "2026-11-21 00:00:00Z",
            "2026-11-21T00:00:00.0Z",
            "2026-11-21T00:00:00+00:00",
            "2026-11-21T00:00:00+00:00Z",
            "2026-11-21T00:00Z",
            "2026-11-21Z",
            "20261121T000000Z",
            "2026-02-30T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "0000-01-01T00:00:00Z",
            "-000001-01-01T00:00:00Z",
            "+002026-11-21T00:00:00Z",
            "10000-01-01T00:00:00Z",
            " 2026-11-21T00:00:00Z",
            "2026-11-21T00:00:00Z ",
        ] {
            assert!(UtcTime::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn what_lies_outside_is_moved_inside() {
        assert_eq!(UtcTime::from_seconds(i64::MAX), UtcTime::MAX);
        assert_eq!(UtcTime::from_seconds(i64::MIN), UtcTime::MIN);
        assert_eq!(UtcTime::MAX.plus_days(u32::MAX), UtcTime::MAX);
    }

    #[test]
    fn serde_writes_and_reads_the_text() {
        let time = UtcTime::from_seconds(0);
        assert_eq!(
            serde_json::to_string(&time).unwrap(),
            "\"1970-01-01T00:00:00Z\""
        );
        assert_eq!(
            serde_json::from_str::<UtcTime>("\"1970-01-01T00:00:00Z\"").unwrap(),
            time
        );
        assert!(serde_json::from_str::<UtcTime>("\"1970-01-01\"").is_err());
    }
}
