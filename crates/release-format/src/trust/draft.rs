use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::canonical::{canonical, readable};
use super::error::TrustError;
use super::key::{KeyId, PublicKey, Signer, SignerError};
use super::role::{KeyTable, RoleKeys, resolve};
use super::signed::{RoleBody, Signed};

/// A role's file while its signatures are collected: nothing of it is believed yet.
///
/// It holds only what its type shows, so that nobody signs a field that no diff told of.
#[derive(Debug, Clone)]
pub struct RoleDraft<T> {
    body: T,
    signatures: BTreeMap<KeyId, Vec<u8>>,
}

impl<T: RoleBody> RoleDraft<T> {
    /// Returns the draft of `body`, which nobody has signed.
    ///
    /// # Errors
    /// [`TrustError::Malformed`] for a body that devices would refuse.
    pub fn new(body: T) -> Result<RoleDraft<T>, TrustError> {
        body.check(T::KIND)?;
        Ok(RoleDraft {
            body,
            signatures: BTreeMap::new(),
        })
    }

    /// Reads a file with any number of signatures, valid or not.
    ///
    /// # Errors
    /// [`TrustError::TooLong`] above `limit` bytes; [`TrustError::Malformed`] also for a field that
    /// this Satchel does not know.
    pub fn parse(role: &str, bytes: &[u8], limit: u64) -> Result<RoleDraft<T>, TrustError> {
        let (body, signed): (T, Signed) = Signed::parse(role, bytes, limit)?;
        if canonical(&body.to_json()) != signed.message {
            let found = "fields that it does not know, or another spelling";
            let expected = "metadata that this Satchel could have written";
            return Err(TrustError::malformed(role, "signed", expected, found));
        }
        Ok(RoleDraft {
            body,
            signatures: signed.signatures.into_iter().collect(),
        })
    }

    /// Returns what is signed.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// Returns whose signatures there are, valid or not.
    pub fn signers(&self) -> impl Iterator<Item = &KeyId> {
        self.signatures.keys()
    }

    /// Adds the signature of `signer`.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<KeyId, SignerError> {
        let id = signer.public_key().id().ok_or_else(|| SignerError {
            reason: "the key's scheme is unknown".to_owned(),
        })?;
        let signature = signer.sign(&canonical(&self.body.to_json()))?;
        self.signatures.insert(id.clone(), signature);
        Ok(id)
    }

    /// Takes over the signatures that another copy has and this one lacks.
    pub fn absorb(&mut self, other: &RoleDraft<T>) {
        for (id, signature) in &other.signatures {
            let copy = || signature.clone();
            self.signatures.entry(id.clone()).or_insert_with(copy);
        }
    }

    /// Whether `key` is known as `id` and its signature is valid.
    pub fn is_signed_by(&self, id: &KeyId, key: &PublicKey) -> bool {
        let message = canonical(&self.body.to_json());
        let signature = self.signatures.get(id);
        signature.is_some_and(|signature| key.verifies(&message, signature))
    }

    /// Returns the keys of a role whose signatures are valid, one id for each key's material.
    pub fn valid_signers(&self, role: &RoleKeys, table: &KeyTable) -> Vec<KeyId> {
        let mut material = BTreeSet::new();
        let keys = resolve(table, Some(role)).keys.into_iter();
        keys.filter(|(id, key)| self.is_signed_by(id, key))
            .filter(|(_, key)| key.material().is_some_and(|key| material.insert(key)))
            .map(|(id, _)| id)
            .collect()
    }

    /// Whether the signatures are enough for a role.
    pub fn satisfies(&self, role: &RoleKeys, table: &KeyTable) -> bool {
        self.valid_signers(role, table).len() as u64 >= role.threshold.max(1)
    }

    /// Returns the file: the same bytes as [`sign`](super::signed::sign) gives with the same keys.
    pub fn encode(&self) -> Vec<u8> {
        let signature = |(id, signature): (&KeyId, &Vec<u8>)| serde_json::json!({ "keyid": id, "sig": hex::encode(signature) });
        let signatures: Vec<Value> = self.signatures.iter().map(signature).collect();
        readable(&serde_json::json!({ "signatures": signatures, "signed": self.body.to_json() }))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::trust::key::Ed25519Signer;
    use crate::{Root, TrustLimits, TrustedSet, UtcTime, sign};

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]))
    }

    fn root() -> Root {
        let key = [
            signer(1).public_key().clone(),
            signer(2).public_key().clone(),
        ];
        let roles = ["root", "targets", "snapshot", "timestamp"].map(|role| (role, &key[..], 2));
        Root::first(UtcTime::from_seconds(4_000_000_000), &roles)
    }

    #[test]
    fn collected_signatures_give_the_bytes_of_signing_at_once() {
        let (mut first, mut second) = (
            RoleDraft::new(root()).unwrap(),
            RoleDraft::new(root()).unwrap(),
        );
        first.sign(&signer(1)).unwrap();
        second.sign(&signer(2)).unwrap();
        first.absorb(&second);
        let at_once = sign(&root(), &[&signer(1), &signer(2)]).unwrap();
        assert_eq!(first.encode(), at_once);
        assert!(TrustedSet::pinned(&at_once, TrustLimits::default()).is_ok());
        let body = root();
        assert_eq!(
            first.valid_signers(&body.roles["root"], &body.keys).len(),
            2
        );
    }

    #[test]
    fn field_that_no_diff_would_tell_of_is_refused() {
        let signed = sign(&root(), &[&signer(1)]).unwrap();
        let limit = TrustLimits::default().root_bytes;
        assert!(RoleDraft::<Root>::parse("root", &signed, limit).is_ok());
        let mut file: Value = serde_json::from_slice(&signed).unwrap();
        file["signed"]["extra"] = true.into();
        let refused = RoleDraft::<Root>::parse("root", file.to_string().as_bytes(), limit);
        assert!(
            matches!(refused, Err(TrustError::Malformed { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn signature_over_another_body_is_not_counted() {
        let signed = sign(&root(), &[&signer(1), &signer(2)]).unwrap();
        let mut file: Value = serde_json::from_slice(&signed).unwrap();
        file["signed"]["version"] = 2.into();
        let bytes = file.to_string();
        let draft: RoleDraft<Root> = RoleDraft::parse("root", bytes.as_bytes(), 1 << 20).unwrap();
        let body = root();
        assert_eq!(draft.signers().count(), 2);
        assert_eq!(draft.valid_signers(&body.roles["root"], &body.keys), []);
    }
}
