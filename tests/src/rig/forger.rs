//! Somebody who has the keys of a repository and means harm, or only writes what our publisher would
//! not.

use std::path::{Path, PathBuf};
use std::{fs, io};

use diff_core::Digest;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use release_format::PackName;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Changes signed documents as they stand in a repository, and signs them anew down to the timestamp.
///
/// It shares no code with the publisher: metadata is taken for the JSON that it is.
pub struct Forger {
    repository: PathBuf,
    keys: PathBuf,
}

impl Forger {
    /// Returns one who writes to `repository` and has the key files in `keys`.
    pub fn new(repository: impl Into<PathBuf>, keys: impl Into<PathBuf>) -> Forger {
        Forger {
            repository: repository.into(),
            keys: keys.into(),
        }
    }

    /// Puts content under its digest, and returns the reference to it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_content(&self, bytes: &[u8]) -> io::Result<Value> {
        let digest = Digest::of(bytes).to_string();
        let folder = self.repository.join("content").join(&digest[..2]);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(&digest), bytes)?;
        Ok(json!({ "digest": digest, "length": bytes.len() }))
    }

    /// Changes the catalogue of `pack`.
    ///
    /// # Errors
    /// When something cannot be read, parsed or written.
    pub fn change_catalogue(
        &self,
        pack: &PackName,
        change: impl FnOnce(&mut Value),
    ) -> io::Result<()> {
        self.change_target(pack.tenant(), &format!("{pack}/catalogue"), change)
    }

    /// Changes the rollout of `pack` on `channel`.
    ///
    /// # Errors
    /// As [`Forger::change_catalogue`].
    pub fn change_rollout(
        &self,
        pack: &PackName,
        channel: &str,
        change: impl FnOnce(&mut Value),
    ) -> io::Result<()> {
        let role = format!("{}-operations", pack.tenant());
        self.change_target(&role, &format!("{pack}/rollout/{channel}"), change)
    }

    /// Changes the JSON document that is the target `target` of `role`.
    ///
    /// # Errors
    /// As [`Forger::change_catalogue`].
    pub fn change_target(
        &self,
        role: &str,
        target: &str,
        change: impl FnOnce(&mut Value),
    ) -> io::Result<()> {
        let (_, metadata) = self.current(role)?;
        let sha256 = metadata["signed"]["targets"][target]["hashes"]["sha256"].as_str();
        let sha256 = sha256.ok_or_else(|| io::Error::other(format!("no target {target}")))?;
        let mut document: Value = serde_json::from_slice(&fs::read(self.target(target, sha256))?)?;
        change(&mut document);
        self.put_target(role, target, &serde_json::to_vec(&document)?)
    }

    /// Puts `bytes` as the target `target` of `role`.
    ///
    /// # Errors
    /// As [`Forger::change_catalogue`].
    pub fn put_target(&self, role: &str, target: &str, bytes: &[u8]) -> io::Result<()> {
        let sha256 = hex::encode(Sha256::digest(bytes));
        let file = self.target(target, &sha256);
        fs::create_dir_all(file.parent().unwrap_or(&self.repository))?;
        fs::write(file, bytes)?;
        let blake3 = Digest::of(bytes).to_string();
        self.change_role(role, |signed| {
            signed["targets"][target] = json!({
                "length": bytes.len(),
                "hashes": { "sha256": sha256 },
                "custom": { "blake3": blake3 },
            });
        })
    }

    /// Changes the signed part of `role`, and of all that stand above it: the next version of each.
    ///
    /// # Errors
    /// As [`Forger::change_catalogue`].
    pub fn change_role(&self, role: &str, change: impl FnOnce(&mut Value)) -> io::Result<()> {
        let (_, mut metadata) = self.current(role)?;
        change(&mut metadata["signed"]);
        self.put_role(role, metadata)
    }

    fn put_role(&self, role: &str, mut metadata: Value) -> io::Result<()> {
        let (version, _) = self.current(role)?;
        if metadata["signed"]["version"] == json!(version) {
            metadata["signed"]["version"] = json!(version + 1);
        }
        let version = metadata["signed"]["version"].clone();
        let bytes = self.sign(role, metadata)?;
        let (name, above) = match role {
            "timestamp" => ("timestamp.json".to_owned(), None),
            "snapshot" => (format!("{version}.snapshot.json"), Some("timestamp")),
            role => (format!("{version}.{role}.json"), Some("snapshot")),
        };
        fs::write(self.repository.join("metadata").join(name), &bytes)?;
        let Some(above) = above else { return Ok(()) };
        let (_, mut listing) = self.current(above)?;
        listing["signed"]["meta"][format!("{role}.json")] = json!({
            "version": version,
            "length": bytes.len(),
            "hashes": { "sha256": hex::encode(Sha256::digest(&bytes)) },
        });
        self.put_role(above, listing)
    }

    /// Returns the newest version of `role` and its file.
    ///
    /// # Errors
    /// When there is none, or it is no JSON.
    pub fn current(&self, role: &str) -> io::Result<(u64, Value)> {
        let folder = self.repository.join("metadata");
        let file = match role {
            "timestamp" => folder.join("timestamp.json"),
            "snapshot" => {
                let (_, timestamp) = self.current("timestamp")?;
                folder.join(format!("{}.snapshot.json", listed(&timestamp, role)?))
            }
            role => {
                let (_, snapshot) = self.current("snapshot")?;
                folder.join(format!("{}.{role}.json", listed(&snapshot, role)?))
            }
        };
        let metadata: Value = serde_json::from_slice(&fs::read(file)?)?;
        let version = metadata["signed"]["version"].as_u64();
        Ok((
            version.ok_or_else(|| io::Error::other("no version"))?,
            metadata,
        ))
    }

    fn sign(&self, role: &str, mut metadata: Value) -> io::Result<Vec<u8>> {
        let pem = fs::read_to_string(self.keys.join(format!("{role}.pem")))?;
        let key = SigningKey::from_pkcs8_pem(&pem).map_err(io::Error::other)?;
        let canonical = serde_json::to_vec(&metadata["signed"])?;
        let signature = hex::encode(key.sign(&canonical).to_bytes());
        for entry in metadata["signatures"].as_array_mut().into_iter().flatten() {
            entry["sig"] = json!(signature);
        }
        Ok(serde_json::to_vec(&metadata)?)
    }

    fn target(&self, target: &str, sha256: &str) -> PathBuf {
        let (folder, name) = target.rsplit_once('/').unwrap_or(("", target));
        Path::new(&self.repository)
            .join("targets")
            .join(folder)
            .join(format!("{sha256}.{name}"))
    }
}

fn listed(metadata: &Value, role: &str) -> io::Result<u64> {
    let version = metadata["signed"]["meta"][format!("{role}.json")]["version"].as_u64();
    version.ok_or_else(|| io::Error::other(format!("{role} is not listed")))
}
