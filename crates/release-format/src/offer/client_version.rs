use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of the client that a device runs: `major.minor.patch`, compared number by number.
///
/// ```
/// use release_format::ClientVersion;
/// let version = ClientVersion::parse("0.10.0")?;
/// assert!(version > ClientVersion::parse("0.9.2")?);
/// # Ok::<(), release_format::ClientVersionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl ClientVersion {
    /// Returns the version of these numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> ClientVersion {
        ClientVersion {
            major,
            minor,
            patch,
        }
    }

    /// Returns the version that `text` spells; a part that is left out at the end is 0.
    ///
    /// # Errors
    /// [`ClientVersionError`] for anything but one to three numbers below 2^32 with dots between.
    pub fn parse(text: &str) -> Result<ClientVersion, ClientVersionError> {
        let refused = || ClientVersionError {
            found: text.chars().take(80).collect(),
        };
        let mut numbers = [0_u32; 3];
        let mut parts = text.split('.');
        for (index, number) in numbers.iter_mut().enumerate() {
            let Some(part) = parts.next() else {
                if index == 0 {
                    return Err(refused());
                }
                break;
            };
            let is_plain = !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_digit())
                && (part == "0" || !part.starts_with('0'));
            *number = part.parse().ok().filter(|_| is_plain).ok_or_else(refused)?;
        }
        if parts.next().is_some() {
            return Err(refused());
        }
        let [major, minor, patch] = numbers;
        Ok(ClientVersion::new(major, minor, patch))
    }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for ClientVersion {
    type Err = ClientVersionError;

    fn from_str(text: &str) -> Result<ClientVersion, ClientVersionError> {
        ClientVersion::parse(text)
    }
}

impl TryFrom<String> for ClientVersion {
    type Error = ClientVersionError;

    fn try_from(text: String) -> Result<ClientVersion, ClientVersionError> {
        ClientVersion::parse(&text)
    }
}

impl From<ClientVersion> for String {
    fn from(version: ClientVersion) -> String {
        version.to_string()
    }
}

/// A text that is no version of a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a client's version is written like 0.2.0, found {found:?}")]
pub struct ClientVersionError {
    found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let versions = ["0.1.0", "0.2", "0.9.12", "0.10.0", "1", "1.0.1", "10.0.0"];
        let parsed = versions.map(|text| ClientVersion::parse(text).unwrap());
        assert!(parsed.is_sorted());
        assert_eq!(parsed[1].to_string(), "0.2.0");
        for version in parsed {
            assert_eq!(ClientVersion::parse(&version.to_string()), Ok(version));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".1",
            "1.2.3.4",
            "01.2.3",
            "1.2.3-rc1",
            "v1.2.3",
            "1.-2.3",
            "+1.0.0",
            "4294967296.0.0",
            " 1.0.0",
        ] {
            assert!(ClientVersion::parse(text).is_err(), "{text:?}");
        }
    }
}
