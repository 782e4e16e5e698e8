use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 digest of `bytes` in the hexadecimal digits in which metadata gives it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
