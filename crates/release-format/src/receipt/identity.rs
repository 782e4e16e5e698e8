use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// Which trial a receipt is of: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReceiptId([u8; ReceiptId::LENGTH]);

/// The public half of a device's key: what a device is known by in receipts, and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceKeyId([u8; DeviceKeyId::LENGTH]);

/// A text that names no trial or no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lowercase hexadecimal digits, found {found:?}")]
pub struct IdentityError {
    /// How many digits there should be.
    pub expected: usize,
    /// What there is.
    pub found: String,
}

impl DeviceKeyId {
    /// The length in bytes.
    pub const LENGTH: usize = 32;

    /// Whether `signature` is this device's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(message, &Signature::from_bytes(signature))
                .is_ok()
        })
    }
}

impl ReceiptId {
    /// The length in bytes.
    pub const LENGTH: usize = 16;
}

macro_rules! hexadecimal {
    ($name:ident) => {
        impl $name {
            /// Returns the one that these bytes are.
            pub const fn from_bytes(bytes: [u8; $name::LENGTH]) -> $name {
                $name(bytes)
            }

            /// Returns the bytes.
            pub const fn as_bytes(&self) -> &[u8; $name::LENGTH] {
                &self.0
            }

            /// Returns the one that `text` spells.
            ///
            /// # Errors
            /// [`IdentityError`] for anything but lowercase hexadecimal digits, two a byte.
            pub fn parse(text: &str) -> Result<$name, IdentityError> {
                let mut bytes = [0; $name::LENGTH];
                let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if is_lower => Ok($name(bytes)),
                    _ => Err(IdentityError {
                        expected: 2 * $name::LENGTH,
                        found: text.chars().take(80).collect(),
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;

            fn from_str(text: &str) -> Result<$name, IdentityError> {
                $name::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentityError;

            fn try_from(text: String) -> Result<$name, IdentityError> {
                $name::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

hexadecimal!(ReceiptId);
hexadecimal!(DeviceKeyId);

/// The key by which a device signs what it tells, wiped when it is dropped.
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// The length of a seed in bytes.
    pub const SEED_LENGTH: usize = 32;

    /// Returns the key that grows from `seed`, which the caller draws at random and keeps to itself.
    pub fn from_seed(seed: &[u8; DeviceKey::SEED_LENGTH]) -> DeviceKey {
        DeviceKey(SigningKey::from_bytes(seed))
    }

    /// Returns the public half.
    pub fn id(&self) -> DeviceKeyId {
        DeviceKeyId(self.0.verifying_key().to_bytes())
    }

    pub(super) fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.id())
    }
}
