use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::TrustError;
use super::meta_file::{check_digests, check_version};
use super::sha256::sha256;

/// The last entry of a log, as a timestamp names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Its number.
    pub number: u64,
    /// The SHA-256 digest of its file.
    pub sha256: String,
}

impl LogHead {
    /// Returns the head of a log whose last entry is the file of these bytes.
    pub fn of(number: u64, file: &[u8]) -> LogHead {
        LogHead {
            number,
            sha256: sha256(file),
        }
    }

    pub(crate) fn check(&self, role: &str) -> Result<(), TrustError> {
        check_version(role, self.number)?;
        let digest = BTreeMap::from([("sha256".to_owned(), self.sha256.clone())]);
        check_digests(role, "the log", &digest)
    }
}
