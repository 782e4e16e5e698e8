use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of all devices, from none to all, in hundredths of a percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Share(u16);

impl Share {
    /// Every device.
    pub const FULL: Share = Share(10_000);

    /// Returns the share that `text` spells, such as `5%` or `0.25%`.
    ///
    /// # Errors
    /// [`ShareError`] for anything else than 0 to 100 with up to two decimals and a percent sign.
    pub fn parse(text: &str) -> Result<Share, ShareError> {
        let refused = || ShareError {
            found: text.chars().take(80).collect(),
        };
        let number = text.strip_suffix('%').ok_or_else(refused)?;
        let (whole, decimals) = match number.split_once('.') {
            Some((whole, decimals)) if !decimals.is_empty() => (whole, decimals),
            Some(_) => return Err(refused()),
            None => (number, ""),
        };
        let is_plain =
            |digits: &str, most| digits.len() <= most && digits.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_plain(whole, 3) || !is_plain(decimals, 2) {
            return Err(refused());
        }
        // At most five digits, so the number fits.
        let basis_points: u32 = format!("{whole}{decimals:0<2}")
            .parse()
            .map_err(|_| refused())?;
        u16::try_from(basis_points)
            .ok()
            .and_then(Share::from_basis_points)
            .ok_or_else(refused)
    }

    /// Returns the share of so many hundredths of a percent, if that is at most all.
    pub const fn from_basis_points(basis_points: u16) -> Option<Share> {
        if basis_points <= Share::FULL.0 {
            Some(Share(basis_points))
        } else {
            None
        }
    }

    /// Returns the share in hundredths of a percent.
    pub const fn basis_points(self) -> u16 {
        self.0
    }
}

impl Default for Share {
    /// Returns [`Share::FULL`].
    fn default() -> Share {
        Share::FULL
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 100, self.0 % 100);
        if decimals == 0 {
            write!(f, "{whole}%")
        } else if decimals % 10 == 0 {
            write!(f, "{whole}.{}%", decimals / 10)
        } else {
            write!(f, "{whole}.{decimals:02}%")
        }
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        Share::parse(text)
    }
}

impl TryFrom<u16> for Share {
    type Error = ShareError;

    fn try_from(basis_points: u16) -> Result<Share, ShareError> {
        Share::from_basis_points(basis_points).ok_or_else(|| ShareError {
            found: format!("{basis_points} basis points"),
        })
    }
}

impl From<Share> for u16 {
    fn from(share: Share) -> u16 {
        share.0
    }
}

/// A text or number that is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a share is 0% to 100% with at most two decimals, found {found:?}")]
pub struct ShareError {
    found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_reads_as_it_is_written() {
        for basis_points in 0..=10_000 {
            let share = Share::from_basis_points(basis_points).unwrap();
            assert_eq!(Share::parse(&share.to_string()), Ok(share));
        }
        assert_eq!(Share::from_basis_points(10_001), None);
    }

    #[test]
    fn people_write_percent() {
        for (text, basis_points) in [
            ("0%", 0),
            ("5%", 500),
            ("05%", 500),
            ("0.25%", 25),
            ("12.5%", 1250),
            ("99.99%", 9999),
            ("100.00%", 10_000),
        ] {
            assert_eq!(
                Share::parse(text).unwrap().basis_points(),
                basis_points,
                "{text}"
            );
        }
        assert_eq!(Share::parse("12.50%").unwrap().to_string(), "12.5%");
        assert_eq!(Share::default().to_string(), "100%");
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in [
            "",
            "%",
            "5",
            "5 %",
            " 5%",
            "5%%",
            ".5%",
            "5.%",
            "0.125%",
            "-1%",
            "+5%",
            "1e1%",
            "100.01%",
            "101%",
            "1000%",
            "99999999999999999999%",
            "5,5%",
            "٥%",
        ] {
            assert!(
                Share::parse(text).is_err(),
                "{text:?} was taken for a share"
            );
        }
    }

    #[test]
    fn serde_writes_and_reads_basis_points() {
        assert_eq!(serde_json::to_string(&Share::FULL).unwrap(), "10000");
        assert_eq!(
            serde_json::from_str::<Share>("500").unwrap().to_string(),
            "5%"
        );
        assert!(serde_json::from_str::<Share>("10001").is_err());
        assert!(serde_json::from_str::<Share>("\"5%\"").is_err());
    }
}
