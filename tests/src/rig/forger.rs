//! Somebody who has the keys of a repository and means harm, or only writes what our publisher would
//! not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use diff_core::Digest;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
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
    /// The ids of the keys that were given to roles, where that is not the publisher's doing.
    rotated: RefCell<BTreeMap<String, String>>,
}

impl Forger {
    /// Returns one who writes to `repository` and has the key files in `keys`.
    pub fn new(repository: impl Into<PathBuf>, keys: impl Into<PathBuf>) -> Forger {
        Forger {
            repository: repository.into(),
            keys: keys.into(),
            rotated: RefCell::default(),
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

    /// Makes the next root, signed by the root's key: as it was, but for a change.
    ///
    /// # Errors
    /// As [`Forger::change_catalogue`].
    pub fn change_root(&self, change: impl FnOnce(&mut Value)) -> io::Result<()> {
        let folder = self.repository.join("metadata");
        let is_there = |version: &u64| folder.join(format!("{version}.root.json")).exists();
        let version = (1..).take_while(is_there).last().unwrap_or(0);
        let newest = fs::read(folder.join(format!("{version}.root.json")))?;
        let mut metadata: Value = serde_json::from_slice(&newest)?;
        change(&mut metadata["signed"]);
        metadata["signed"]["version"] = json!(version + 1);
        let bytes = self.sign("root", metadata)?;
        fs::write(folder.join(format!("{}.root.json", version + 1)), bytes)
    }

    /// Gives `role` a new key, and makes the next root, which names it and not the one before; what
    /// the role signs is to be signed anew.
    ///
    /// # Errors
    /// As [`Forger::change_catalogue`].
    pub fn rotate(&self, role: &str, seed: [u8; 32]) -> io::Result<()> {
        let key = SigningKey::from_bytes(&seed);
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
        fs::write(self.keys.join(format!("{role}.pem")), pem.as_bytes())?;
        let public = json!({
            "keytype": "ed25519",
            "keyval": { "public": hex::encode(key.verifying_key().as_bytes()) },
            "scheme": "ed25519",
        });
        let id = hex::encode(Sha256::digest(serde_json::to_vec(&public)?));
        self.rotated
            .borrow_mut()
            .insert(role.to_owned(), id.clone());
        self.change_root(|root| {
            root["keys"][&id] = public;
            root["roles"][role]["keyids"] = json!([id]);
        })
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
            if let Some(id) = self.rotated.borrow().get(role) {
                entry["keyid"] = json!(id);
            }
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
