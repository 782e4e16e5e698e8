use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::canonical::canonical;
#[cfg(feature = "ecdsa-rsa")]
use super::pem_key::PemKey;

/// The name by which metadata refers to a key.
///
/// Ours is the SHA-256 of the key's canonical JSON, as is customary; other publishers may choose
/// another, so it is a name and never proof of anything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A public key as metadata lists it, by its scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKey {
    /// Ed25519, RFC 8032, verified strictly.
    Ed25519(Box<VerifyingKey>),
    /// ECDSA on P-256 or RSA-PSS, in the repositories of other publishers.
    #[cfg(feature = "ecdsa-rsa")]
    Pem(Box<PemKey>),
    /// A scheme that this Satchel does not know, or a key that is none: it verifies nothing.
    Unknown {
        /// What the metadata calls the scheme.
        scheme: String,
    },
}

impl PublicKey {
    /// Returns the key that a member of a `keys` object describes.
    ///
    /// What is not understood becomes [`PublicKey::Unknown`]: a repository may list keys for newer
    /// clients, and whoever needs only the others is served.
    pub fn from_json(key: &Value) -> PublicKey {
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, scheme) = (text(key.get("keytype")), text(key.get("scheme")));
        let public = text(key.get("keyval").and_then(|value| value.get("public")));
        if kind == "ed25519"
            && scheme == "ed25519"
            && let Ok(bytes) = hex::decode(&public)
            && let Ok(bytes) = <[u8; 32]>::try_from(bytes)
            && let Ok(key) = VerifyingKey::from_bytes(&bytes)
        {
            return PublicKey::Ed25519(Box::new(key));
        }
        #[cfg(feature = "ecdsa-rsa")]
        if let Some(key) = PemKey::parse(&kind, &scheme, &public) {
            return PublicKey::Pem(Box::new(key));
        }
        PublicKey::Unknown { scheme }
    }

    /// Returns the key as a member of a `keys` object; `None` for one that is not understood.
    pub fn to_json(&self) -> Option<Value> {
        match self {
            PublicKey::Ed25519(key) => Some(serde_json::json!({
                "keytype": "ed25519",
                "keyval": { "public": hex::encode(key.as_bytes()) },
                "scheme": "ed25519",
            })),
            #[cfg(feature = "ecdsa-rsa")]
            PublicKey::Pem(key) => key.to_json(),
            PublicKey::Unknown { .. } => None,
        }
    }

    /// Returns the id that we give the key; `None` for one that is not understood.
    pub fn id(&self) -> Option<KeyId> {
        let json = self.to_json()?;
        Some(KeyId(hex::encode(Sha256::digest(canonical(&json)))))
    }

    /// Returns what tells two keys apart whatever their ids are; `None` for one that verifies
    /// nothing.
    pub(crate) fn material(&self) -> Option<Vec<u8>> {
        match self {
            PublicKey::Ed25519(key) => Some(key.as_bytes().to_vec()),
            #[cfg(feature = "ecdsa-rsa")]
            PublicKey::Pem(key) => Some(key.material()),
            PublicKey::Unknown { .. } => None,
        }
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            PublicKey::Ed25519(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            #[cfg(feature = "ecdsa-rsa")]
            PublicKey::Pem(key) => key.verifies(message, signature),
            PublicKey::Unknown { .. } => false,
        }
    }
}

/// Signs for a role: a key in memory, in a file, or in hardware that never hands it out.
pub trait Signer {
    /// Returns the public half.
    fn public_key(&self) -> &PublicKey;

    /// Returns the signature over `message`.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// A key that could not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: {reason}")]
pub struct SignerError {
    /// Why.
    pub reason: String,
}

/// An Ed25519 key in memory, wiped when it is dropped.
pub struct Ed25519Signer {
    secret: SigningKey,
    public: PublicKey,
}

impl Ed25519Signer {
    /// Returns the signer of a secret key.
    pub fn new(secret: SigningKey) -> Ed25519Signer {
        let public = PublicKey::Ed25519(Box::new(secret.verifying_key()));
        Ed25519Signer { secret, public }
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match self.secret.try_sign(message) {
            Ok(signature) => Ok(signature.to_bytes().to_vec()),
            Err(failed) => Err(SignerError {
                reason: failed.to_string(),
            }),
        }
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Ed25519Signer {
        Ed25519Signer::new(SigningKey::from_bytes(&[7; 32]))
    }

    #[test]
    fn key_verifies_its_own_signature_and_no_other() {
        let signer = signer();
        let signature = signer.sign(b"lesson").unwrap();
        assert!(signer.public_key().verifies(b"lesson", &signature));
        assert!(!signer.public_key().verifies(b"lessoN", &signature));
        assert!(!signer.public_key().verifies(b"lesson", &signature[1..]));
    }

    #[test]
    fn key_survives_its_json() {
        let key = signer().public_key().clone();
        assert_eq!(PublicKey::from_json(&key.to_json().unwrap()), key);
    }

    #[test]
    fn key_of_an_unknown_scheme_verifies_nothing() {
        let mut json = signer().public_key().to_json().unwrap();
        json["scheme"] = "ed448".into();
        let key = PublicKey::from_json(&json);
        assert_eq!(
            key,
            PublicKey::Unknown {
                scheme: "ed448".to_owned()
            }
        );
        assert!(!key.verifies(b"lesson", &signer().sign(b"lesson").unwrap()));
        assert_eq!((key.id(), key.material()), (None, None));
    }
}
