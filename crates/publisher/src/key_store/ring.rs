use std::sync::Arc;

use release_format::{KeyId, PublicKey, RoleBody, RoleKeys, Signer, sign};

use crate::PublishError;
use crate::key_store::{KeyStore, SharedSigner};

/// Signers that reach the threshold of a role.
#[derive(Clone)]
pub(crate) struct RoleSigners {
    role: String,
    signers: Vec<SharedSigner>,
}

impl RoleSigners {
    /// Returns signers of a role, of which the caller knows that they are enough.
    pub(crate) fn of(role: &str, signers: Vec<SharedSigner>) -> RoleSigners {
        RoleSigners {
            role: role.to_owned(),
            signers,
        }
    }

    /// Returns the role.
    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// Returns the signers.
    pub(crate) fn signers(&self) -> Vec<SharedSigner> {
        self.signers.clone()
    }

    /// Returns the public halves.
    pub(crate) fn public_keys(&self) -> Vec<PublicKey> {
        let keys = self.signers.iter();
        keys.map(|signer| signer.public_key().clone()).collect()
    }

    /// Adds `others` that are not there yet.
    pub(crate) fn join(&mut self, others: Vec<SharedSigner>) {
        for other in others {
            let is_known = |known: &SharedSigner| known.public_key() == other.public_key();
            if !self.signers.iter().any(is_known) {
                self.signers.push(other);
            }
        }
    }

    /// Returns the signed file of `body`.
    pub(crate) fn sign<T: RoleBody>(&self, body: &T) -> Result<Vec<u8>, PublishError> {
        let signers: Vec<&dyn Signer> = self
            .signers
            .iter()
            .map(|signer| -> &dyn Signer { &**signer })
            .collect();
        sign(body, &signers).map_err(|source| PublishError::Unsigned {
            key: format!("the role {}", self.role),
            source,
        })
    }
}

impl KeyStore {
    /// Returns the signers at hand whose keys are among `wanted`, in the order of the ids.
    ///
    /// # Errors
    /// [`PublishError`] for a key that is there and cannot be opened.
    pub fn at_hand(&self, wanted: &[KeyId]) -> Result<Vec<SharedSigner>, PublishError> {
        self.found(wanted, u64::MAX)
    }

    fn found(&self, wanted: &[KeyId], enough: u64) -> Result<Vec<SharedSigner>, PublishError> {
        let public_keys = self.public_keys()?;
        let mut found = Vec::new();
        for id in wanted {
            if found.len() as u64 >= enough {
                break;
            }
            let is_wanted = |key: &PublicKey| key.id().as_ref() == Some(id);
            let mut given = self.signers.iter();
            if let Some(signer) = given.find(|signer| is_wanted(signer.public_key())) {
                found.push(Arc::clone(signer));
                continue;
            }
            let mut named = public_keys.iter();
            let name = named.find(|(name, key)| is_wanted(key) && self.has(name));
            if let Some((name, _)) = name {
                let key = self.load(name)?;
                // The public half is a note that may be wrong.
                if is_wanted(key.public_key()) {
                    found.push(Arc::new(key));
                }
            }
        }
        Ok(found)
    }

    /// Returns signers that reach the threshold of `role`, by the keys that the repository trusts
    /// for it.
    ///
    /// # Errors
    /// [`PublishError::KeyMissing`] where none is at hand; [`PublishError::KeyNotTrusted`] where the
    /// key of the role's name is another; [`PublishError::Threshold`] where they are too few.
    pub(crate) fn role_signers(
        &self,
        role: &str,
        trusted: Option<&RoleKeys>,
    ) -> Result<RoleSigners, PublishError> {
        let none = RoleKeys {
            keyids: Vec::new(),
            threshold: 1,
        };
        let trusted = trusted.unwrap_or(&none);
        let mut signers = self.found(&trusted.keyids, trusted.threshold)?;
        if (signers.len() as u64) < trusted.threshold && self.has(role) {
            // Its public half may not stand beside it.
            let key = self.load(role)?;
            let is_known = |signer: &SharedSigner| signer.public_key() == key.public_key();
            let id = key.public_key().id();
            let is_trusted = id.is_some_and(|id| trusted.keyids.contains(&id));
            if is_trusted && !signers.iter().any(is_known) {
                signers.push(Arc::new(key));
            } else if signers.is_empty() {
                return Err(PublishError::KeyNotTrusted {
                    role: role.to_owned(),
                    path: key.path().to_owned(),
                });
            }
        }
        match signers.len() as u64 {
            found if found >= trusted.threshold => Ok(RoleSigners::of(role, signers)),
            0 => Err(PublishError::KeyMissing {
                role: role.to_owned(),
                path: self.path_of(role),
            }),
            found => {
                let is_found = |id: &&KeyId| {
                    let mut keys = signers.iter();
                    keys.any(|signer| signer.public_key().id().as_ref() == Some(*id))
                };
                let missing = trusted.keyids.iter().filter(|id| !is_found(id));
                Err(PublishError::Threshold {
                    role: role.to_owned(),
                    folder: self.path().to_owned(),
                    expected: trusted.threshold,
                    found,
                    missing: missing.cloned().collect(),
                })
            }
        }
    }
}
