use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey};
use release_format::PublicKey;

use crate::PublishError;

/// Reads a public key: PEM as `satchel keys generate` and `openssl pkey -pubout` write it.
///
/// # Errors
/// [`PublishError::Io`]; [`PublishError::PublicKeyMalformed`] for anything but an Ed25519 key.
pub fn read_public_key(path: &Path) -> Result<PublicKey, PublishError> {
    let read = |error| PublishError::io("read", path, error);
    let file = File::open(path).map_err(read)?;
    let mut pem = String::new();
    file.take(MAX_PEM_BYTES)
        .read_to_string(&mut pem)
        .map_err(read)?;
    match VerifyingKey::from_public_key_pem(&pem) {
        Ok(key) => Ok(PublicKey::Ed25519(Box::new(key))),
        Err(error) => Err(PublishError::PublicKeyMalformed {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Writes the public half of a key, in the place of what is there: the private half decides.
pub(crate) fn write_public_key(path: &Path, key: &PublicKey) -> Result<(), PublishError> {
    let PublicKey::Ed25519(key) = key else {
        return Ok(());
    };
    let written = |error: io::Error| PublishError::io("write", path, error);
    let pem = key.to_public_key_pem(LineEnding::LF);
    let pem = pem.map_err(|error| written(io::Error::other(error.to_string())))?;
    fs::write(path, pem).map_err(written)
}

/// Many times what a key needs.
const MAX_PEM_BYTES: u64 = 16 << 10;
