use std::fmt;

use diff_core::Digest;
use serde::{Deserialize, Serialize};

/// What a trusted document says of a file under `content/`: its digest, which is also its name, and
/// its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentReference {
    /// The BLAKE3 digest of the file.
    pub digest: Digest,
    /// How many bytes the file has.
    pub length: u64,
}

impl ContentReference {
    /// The longest file under `content/`: what every file system of a stick can hold.
    pub const MAX_LENGTH: u64 = 1 << 30;

    /// Returns the reference to a file of these `bytes`.
    pub fn of(bytes: &[u8]) -> ContentReference {
        ContentReference {
            digest: Digest::of(bytes),
            length: bytes.len() as u64,
        }
    }

    /// Returns where the file lies in a repository, such as `content/ab/abcd...`.
    ///
    /// ```
    /// let reference = release_format::ContentReference::of(b"");
    /// assert!(reference.location().starts_with("content/af/af1349b9"));
    /// ```
    pub fn location(&self) -> String {
        let digest = self.digest.to_string();
        let folder: String = digest.chars().take(2).collect();
        format!("content/{folder}/{digest}")
    }
}

impl fmt::Display for ContentReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.digest, self.length)
    }
}
