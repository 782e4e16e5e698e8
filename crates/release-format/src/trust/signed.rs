use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::{canonical, readable};
use super::canonical_form;
use super::error::TrustError;
use super::key::{KeyId, PublicKey, Signer, SignerError};
use crate::{UtcTime, json};

/// The version of the specification that our metadata follows.
pub const SPEC_VERSION: &str = "1.0.31";

/// What a role's file says, once unwrapped from its signatures.
pub trait RoleBody: Serialize + DeserializeOwned {
    /// What the member `_type` says.
    const KIND: &'static str;

    /// Returns the version of the file.
    fn version(&self) -> u64;

    /// Returns when the file stops being current.
    fn expires(&self) -> UtcTime;

    /// Refuses what the types alone do not.
    #[doc(hidden)]
    fn check(&self, role: &str) -> Result<(), TrustError>;

    /// Returns the JSON that is signed.
    fn to_json(&self) -> Value {
        let mut json = serde_json::to_value(self).expect("every key of a role is a text");
        if let Value::Object(members) = &mut json {
            members.insert("_type".to_owned(), Self::KIND.into());
            members.insert("spec_version".to_owned(), SPEC_VERSION.into());
        }
        json
    }
}

/// The keys of one role, and how many of them have to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) keys: BTreeMap<KeyId, PublicKey>,
    pub(crate) threshold: u64,
}

impl Keys {
    /// Returns what tells the usable keys apart, whatever they are called.
    pub(crate) fn material(&self) -> BTreeSet<Vec<u8>> {
        self.keys.values().filter_map(PublicKey::material).collect()
    }
}

/// A signed file: what is signed as it stands there, unknown fields too, and the signatures.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(super) message: Vec<u8>,
    pub(super) signatures: Vec<(KeyId, Vec<u8>)>,
}

impl Signed {
    /// Returns the role's body and what is needed to verify it; nothing of it is believed yet.
    pub(crate) fn parse<T: RoleBody>(
        role: &str,
        bytes: &[u8],
        limit: u64,
    ) -> Result<(T, Signed), TrustError> {
        let length = bytes.len() as u64;
        if length > limit {
            return Err(TrustError::TooLong {
                role: role.to_owned(),
                length,
                limit,
            });
        }
        let malformed = |found: String| {
            TrustError::malformed(role, "the file", "signed metadata in JSON", found)
        };
        let failed = |failed: serde_json::Error| malformed(failed.to_string());
        let no_body = || malformed("no member \"signed\"".to_owned());
        let (body, signed): (T, Signed) = match canonical_form::members(bytes) {
            // The short way: it is most files, and all large ones of ours.
            Some(members) => {
                let of = |name| members.iter().find(|(key, _)| *key == name);
                let (_, message) = of("signed").ok_or_else(no_body)?;
                let list: Option<Value> = of("signatures")
                    .map(|(_, list)| serde_json::from_slice(list))
                    .transpose()
                    .map_err(failed)?;
                let signed = Signed {
                    message: message.to_vec(),
                    signatures: signatures(role, list.as_ref())?,
                };
                if !message.starts_with(b"{") {
                    kind(role, T::KIND, &Head::default())?;
                }
                kind(
                    role,
                    T::KIND,
                    &serde_json::from_slice(message).map_err(failed)?,
                )?;
                (serde_json::from_slice(message).map_err(failed)?, signed)
            }
            None => {
                let mut file = json::strict(bytes).map_err(failed)?;
                // Moved out rather than copied.
                let body = file.get_mut("signed").map(Value::take);
                let body = body.ok_or_else(no_body)?;
                let signed = Signed {
                    message: canonical(&body),
                    signatures: signatures(role, file.get("signatures"))?,
                };
                let head = Head {
                    kind: body.get("_type").cloned(),
                    spec_version: body.get("spec_version").cloned(),
                };
                kind(role, T::KIND, &head)?;
                (serde_json::from_value(body).map_err(failed)?, signed)
            }
        };
        body.check(role)?;
        Ok((body, signed))
    }

    /// Counts the distinct keys of the role whose signatures are valid: the one place where a
    /// threshold is judged.
    ///
    /// It counts key material, so that one key under two ids counts once.
    pub(crate) fn verify(
        &self,
        role: &str,
        delegator: &str,
        keys: &Keys,
    ) -> Result<(), TrustError> {
        let mut signers = BTreeSet::new();
        for (id, signature) in &self.signatures {
            if let Some(key) = keys.keys.get(id)
                && key.verifies(&self.message, signature)
            {
                signers.extend(key.material());
            }
        }
        let (valid, threshold) = (signers.len(), keys.threshold);
        // A threshold of none would be met by nobody.
        if threshold >= 1 && valid as u64 >= threshold {
            return Ok(());
        }
        Err(TrustError::Signatures {
            role: role.to_owned(),
            delegator: delegator.to_owned(),
            valid,
            threshold,
        })
    }
}

/// What every role says, whichever it is.
#[derive(Default, Deserialize)]
struct Head {
    #[serde(rename = "_type")]
    kind: Option<Value>,
    spec_version: Option<Value>,
}

fn kind(role: &str, expected: &str, head: &Head) -> Result<(), TrustError> {
    let text =
        |value: &'_ Option<Value>| -> Option<String> { Some(value.as_ref()?.as_str()?.to_owned()) };
    let found = text(&head.kind).unwrap_or_else(|| "nothing".to_owned());
    if found != expected {
        return Err(TrustError::malformed(role, "_type", expected, found));
    }
    let version = text(&head.spec_version).unwrap_or_default();
    let mut parts = version.split('.');
    let is_one = parts.next() == Some("1");
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let rest: Vec<_> = parts.collect();
    if !is_one || !(1..=2).contains(&rest.len()) || !rest.into_iter().all(is_number) {
        let found = version.chars().take(80).collect();
        return Err(TrustError::SpecVersion {
            role: role.to_owned(),
            found,
        });
    }
    Ok(())
}

fn signatures(role: &str, list: Option<&Value>) -> Result<Vec<(KeyId, Vec<u8>)>, TrustError> {
    let malformed = |found: &str| {
        TrustError::malformed(role, "signatures", "a list of one signature a key", found)
    };
    let list = list
        .and_then(Value::as_array)
        .ok_or_else(|| malformed("no list"))?;
    let mut signatures = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in list {
        let id = entry
            .get("keyid")
            .cloned()
            .and_then(|id| serde_json::from_value(id).ok());
        let id: KeyId = id.ok_or_else(|| malformed("a signature without a keyid"))?;
        let Some(signature) = entry.get("sig").and_then(Value::as_str) else {
            return Err(malformed("a signature without a sig"));
        };
        if !seen.insert(id.clone()) {
            return Err(malformed("two signatures of one keyid"));
        }
        // What is no hexadecimal text is no valid signature; the others may still reach the
        // threshold.
        if let Ok(signature) = hex::decode(signature) {
            signatures.push((id, signature));
        }
    }
    Ok(signatures)
}

/// Returns the signed file of `body`: JSON in one form alone, the signatures in the order of their key
/// ids.
///
/// # Errors
/// [`SignerError`] when a key cannot be used.
pub fn sign<T: RoleBody>(body: &T, signers: &[&dyn Signer]) -> Result<Vec<u8>, SignerError> {
    let value = body.to_json();
    let message = canonical(&value);
    let mut signatures = BTreeMap::new();
    for signer in signers {
        let unknown = || SignerError {
            reason: "the key's scheme is unknown".to_owned(),
        };
        let id = signer.public_key().id().ok_or_else(unknown)?;
        signatures.insert(id, hex::encode(signer.sign(&message)?));
    }
    let signatures: Vec<Value> = signatures
        .into_iter()
        .map(|(id, signature)| serde_json::json!({ "keyid": id, "sig": signature }))
        .collect();
    Ok(readable(
        &serde_json::json!({ "signatures": signatures, "signed": value }),
    ))
}
