use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use super::error::TrustError;
use super::patch::Patches;
use super::sha256::sha256;

/// What one file of metadata says of another: its version, and its length and digests if it likes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// The version of the file.
    pub version: u64,
    /// How many bytes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Its digests by the names of their algorithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<BTreeMap<String, String>>,
    /// Which patches lead to it, in our repositories.
    #[serde(
        default,
        rename = "x-satchel-patches",
        skip_serializing_if = "Patches::is_empty"
    )]
    pub patches: Patches,
}

impl MetaFile {
    /// Returns what is to be said of `file`, the bytes of version `version`.
    pub fn of(version: u64, file: &[u8]) -> MetaFile {
        MetaFile {
            version,
            length: Some(file.len() as u64),
            hashes: Some(BTreeMap::from([("sha256".to_owned(), sha256(file))])),
            patches: Patches::default(),
        }
    }

    /// Returns the SHA-256 digest, which our repositories give.
    pub fn sha256(&self) -> Option<&str> {
        self.hashes.as_ref()?.get("sha256").map(String::as_str)
    }

    pub(crate) fn check(&self, role: &str, name: &str) -> Result<(), TrustError> {
        check_version(role, self.version)?;
        match &self.hashes {
            Some(hashes) => check_digests(role, name, hashes),
            None => Ok(()),
        }
    }

    pub(crate) fn compare(&self, role: &str, bytes: &[u8]) -> Result<(), TrustError> {
        if let Some(expected) = self.length
            && expected != bytes.len() as u64
        {
            let (role, found) = (role.to_owned(), bytes.len() as u64);
            return Err(TrustError::WrongLength {
                role,
                expected,
                found,
            });
        }
        match &self.hashes {
            Some(hashes) => compare_digests(role, hashes, bytes),
            None => Ok(()),
        }
    }
}

/// Refuses a version that no file has.
pub(crate) fn check_version(role: &str, version: u64) -> Result<(), TrustError> {
    if version == 0 {
        return Err(TrustError::malformed(role, "version", "1 or above", "0"));
    }
    Ok(())
}

/// Refuses digests that are none: they become parts of locations.
pub(crate) fn check_digests(
    role: &str,
    name: &str,
    hashes: &BTreeMap<String, String>,
) -> Result<(), TrustError> {
    for (algorithm, digest) in hashes {
        let digits = match algorithm.as_str() {
            "sha256" => 64,
            "sha512" => 128,
            _ => continue,
        };
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digest.len() != digits || !digest.bytes().all(is_digit) {
            let place = format!("the {algorithm} digest of {name}");
            let expected = format!("{digits} lowercase hexadecimal digits");
            return Err(TrustError::malformed(role, place, expected, digest));
        }
    }
    Ok(())
}

/// Compares every digest whose algorithm is known, of which there has to be one.
pub(crate) fn compare_digests(
    name: &str,
    hashes: &BTreeMap<String, String>,
    bytes: &[u8],
) -> Result<(), TrustError> {
    let mut compared = false;
    for (algorithm, expected) in hashes {
        let (algorithm, found) = match algorithm.as_str() {
            "sha256" => ("sha256", sha256(bytes)),
            "sha512" => ("sha512", hex::encode(Sha512::digest(bytes))),
            _ => continue,
        };
        if *expected != found {
            let (role, expected) = (name.to_owned(), expected.chars().take(128).collect());
            return Err(TrustError::WrongDigest {
                role,
                algorithm,
                expected,
                found,
            });
        }
        compared = true;
    }
    if compared {
        return Ok(());
    }
    let found = format!("{:?}", hashes.keys());
    Err(TrustError::malformed(
        name,
        "hashes",
        "sha256 or sha512",
        found,
    ))
}
