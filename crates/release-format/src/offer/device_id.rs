use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a device is known by in rollouts: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId([u8; DeviceId::LENGTH]);

impl DeviceId {
    /// The length of a device id in bytes.
    pub const LENGTH: usize = 16;

    /// Returns the device id that `text` spells.
    ///
    /// # Errors
    /// [`DeviceIdError`] for anything but 32 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Result<DeviceId, DeviceIdError> {
        let refused = || DeviceIdError {
            found: text.chars().take(80).collect(),
        };
        let mut bytes = [0; DeviceId::LENGTH];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(refused());
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| refused())?;
        Ok(DeviceId(bytes))
    }

    /// Returns the device id of these bytes, which the caller draws at random.
    pub const fn from_bytes(bytes: [u8; DeviceId::LENGTH]) -> DeviceId {
        DeviceId(bytes)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; DeviceId::LENGTH] {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<DeviceId, DeviceIdError> {
        DeviceId::parse(text)
    }
}

impl TryFrom<String> for DeviceId {
    type Error = DeviceIdError;

    fn try_from(text: String) -> Result<DeviceId, DeviceIdError> {
        DeviceId::parse(&text)
    }
}

impl From<DeviceId> for String {
    fn from(device: DeviceId) -> String {
        device.to_string()
    }
}

/// A text that is no device id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a device id is 32 lowercase hexadecimal digits, found {found:?}")]
pub struct DeviceIdError {
    found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let device = DeviceId::from_bytes(*b"sixteen letters!");
        assert_eq!(device.to_string(), "7369787465656e206c65747465727321");
        assert_eq!(device.to_string().parse(), Ok(device));
        let json = serde_json::to_string(&device).unwrap();
        assert_eq!(serde_json::from_str::<DeviceId>(&json).unwrap(), device);
    }

    #[test]
    fn other_texts_are_refused() {
        let text = DeviceId::from_bytes([0xab; 16]).to_string();
        for wrong in [
            String::new(),
            text.to_uppercase(),
            text[1..].to_owned(),
            format!("{text}ab"),
            text.replace('a', "g"),
        ] {
            assert!(DeviceId::parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
