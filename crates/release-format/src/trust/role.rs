use std::collections::{BTreeMap, BTreeSet};

use diff_core::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

use super::error::TrustError;
use super::key::{KeyId, PublicKey};
use super::pattern;
use super::signed::Keys;
use crate::UtcTime;

/// The version of the specification that our metadata follows.
pub const SPEC_VERSION: &str = "1.0.31";
/// The four roles that every repository has.
pub(crate) const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

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

/// The role that names the keys of all others, and of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The version of this file: one above the one before, always.
    pub version: u64,
    /// When it stops being current.
    pub expires: UtcTime,
    /// Whether every other file has its version or digest in its name.
    #[serde(default)]
    pub consistent_snapshot: bool,
    /// The keys that the roles refer to.
    pub keys: KeyTable,
    /// Whose signatures each of the four roles needs.
    pub roles: BTreeMap<String, RoleKeys>,
}

/// Public keys as JSON by their ids.
pub type KeyTable = BTreeMap<KeyId, Value>;

/// Whose signatures a role needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// The ids of its keys.
    pub keyids: Vec<KeyId>,
    /// How many of them have to sign.
    pub threshold: u64,
}

impl Root {
    /// Returns the first root: each role with its keys and threshold.
    pub fn first(expires: UtcTime, roles: &[(&str, &[PublicKey], u64)]) -> Root {
        let mut root = Root {
            version: 1,
            expires,
            consistent_snapshot: true,
            keys: BTreeMap::new(),
            roles: BTreeMap::new(),
        };
        for (role, keys, threshold) in roles {
            let keyids = add_keys(&mut root.keys, keys);
            root.roles.insert(
                (*role).to_owned(),
                RoleKeys {
                    keyids,
                    threshold: *threshold,
                },
            );
        }
        root
    }

    pub(crate) fn keys_of(&self, role: &str) -> Keys {
        resolve(&self.keys, self.roles.get(role))
    }
}

fn add_keys(table: &mut KeyTable, keys: &[PublicKey]) -> Vec<KeyId> {
    let mut keyids = Vec::new();
    for key in keys {
        if let (Some(id), Some(json)) = (key.id(), key.to_json()) {
            table.insert(id.clone(), json);
            keyids.push(id);
        }
    }
    keyids
}

fn resolve(table: &KeyTable, role: Option<&RoleKeys>) -> Keys {
    let Some(role) = role else {
        return Keys {
            keys: BTreeMap::new(),
            threshold: u64::MAX,
        };
    };
    let key = |id: &KeyId| Some((id.clone(), PublicKey::from_json(table.get(id)?)));
    Keys {
        keys: role.keyids.iter().filter_map(key).collect(),
        threshold: role.threshold,
    }
}

impl RoleBody for Root {
    const KIND: &'static str = "root";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> UtcTime {
        self.expires
    }

    fn check(&self, role: &str) -> Result<(), TrustError> {
        check_version(role, self.version)?;
        let names: BTreeSet<_> = self.roles.keys().map(String::as_str).collect();
        if TOP_LEVEL.iter().any(|name| !names.contains(name)) {
            let found = format!("{names:?}");
            return Err(TrustError::malformed(
                role,
                "roles",
                "all four roles",
                found,
            ));
        }
        self.roles
            .iter()
            .try_for_each(|(name, keys)| check_keys(role, name, keys, &self.keys))
    }
}

fn check_version(role: &str, version: u64) -> Result<(), TrustError> {
    if version == 0 {
        return Err(TrustError::malformed(role, "version", "1 or above", "0"));
    }
    Ok(())
}

fn check_keys(role: &str, name: &str, keys: &RoleKeys, table: &KeyTable) -> Result<(), TrustError> {
    let malformed = |expected: &str, found: String| {
        TrustError::malformed(role, format!("the keys of {name}"), expected, found)
    };
    if keys.threshold == 0 {
        return Err(malformed("a threshold of 1 or above", "0".to_owned()));
    }
    let mut seen = BTreeSet::new();
    for id in &keys.keyids {
        if !seen.insert(id) {
            return Err(malformed("each key once", format!("{id} twice")));
        }
        if !table.contains_key(id) {
            return Err(malformed(
                "keys that are listed",
                format!("{id}, which is not"),
            ));
        }
    }
    Ok(())
}

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
}

impl MetaFile {
    /// Returns what is to be said of `file`, the bytes of version `version`.
    pub fn of(version: u64, file: &[u8]) -> MetaFile {
        MetaFile {
            version,
            length: Some(file.len() as u64),
            hashes: Some(BTreeMap::from([("sha256".to_owned(), sha256(file))])),
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

/// Compares every digest whose algorithm is known, of which there has to be one.
fn compare_digests(
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

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The role that says which snapshot is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// The version of this file.
    pub version: u64,
    /// When it stops being current.
    pub expires: UtcTime,
    /// `snapshot.json` and nothing else.
    pub meta: BTreeMap<String, MetaFile>,
}

impl Timestamp {
    /// Returns the timestamp of a snapshot.
    pub fn of(version: u64, expires: UtcTime, snapshot: MetaFile) -> Timestamp {
        let meta = BTreeMap::from([("snapshot.json".to_owned(), snapshot)]);
        Timestamp {
            version,
            expires,
            meta,
        }
    }

    /// Returns what it says of the snapshot.
    pub fn snapshot(&self) -> Option<&MetaFile> {
        self.meta.get("snapshot.json")
    }
}

impl RoleBody for Timestamp {
    const KIND: &'static str = "timestamp";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> UtcTime {
        self.expires
    }

    fn check(&self, role: &str) -> Result<(), TrustError> {
        check_version(role, self.version)?;
        match self.meta.get("snapshot.json") {
            Some(file) if self.meta.len() == 1 => check_version(role, file.version),
            _ => {
                let found = format!("{:?}", self.meta.keys());
                Err(TrustError::malformed(
                    role,
                    "meta",
                    "snapshot.json alone",
                    found,
                ))
            }
        }
    }
}

/// The role that says which version of every targets role is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of this file.
    pub version: u64,
    /// When it stops being current.
    pub expires: UtcTime,
    /// Every targets role by the name of its file, such as `targets.json`.
    pub meta: BTreeMap<String, MetaFile>,
}

impl Snapshot {
    /// Returns what it says of a targets role.
    pub fn role(&self, role: &str) -> Option<&MetaFile> {
        self.meta.get(&format!("{role}.json"))
    }
}

impl RoleBody for Snapshot {
    const KIND: &'static str = "snapshot";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> UtcTime {
        self.expires
    }

    fn check(&self, role: &str) -> Result<(), TrustError> {
        check_version(role, self.version)?;
        if !self.meta.contains_key("targets.json") {
            return Err(TrustError::malformed(
                role,
                "meta",
                "targets.json",
                "no such member",
            ));
        }
        self.meta
            .values()
            .try_for_each(|file| check_version(role, file.version))
    }
}

/// A role that vouches for targets, and may delegate part of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// The version of this file.
    pub version: u64,
    /// When it stops being current.
    pub expires: UtcTime,
    /// What it vouches for, by path.
    pub targets: BTreeMap<String, TargetEntry>,
    /// What others may vouch for in its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

/// What a targets role says of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetEntry {
    /// How many bytes the target has.
    pub length: u64,
    /// Its digests by the names of their algorithms.
    pub hashes: BTreeMap<String, String>,
    /// What else the publisher says of it; ours is the BLAKE3 digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

impl TargetEntry {
    /// Returns what is to be said of a target of these bytes.
    pub fn of(target: &[u8]) -> TargetEntry {
        let blake3 = Digest::of(target).to_string();
        TargetEntry {
            length: target.len() as u64,
            hashes: BTreeMap::from([("sha256".to_owned(), sha256(target))]),
            custom: Some(serde_json::json!({ "blake3": blake3 })),
        }
    }

    /// Returns the SHA-256 digest, which our repositories name targets by.
    pub fn sha256(&self) -> Option<&str> {
        self.hashes.get("sha256").map(String::as_str)
    }

    pub(crate) fn compare(&self, target: &str, bytes: &[u8]) -> Result<(), TrustError> {
        let found = bytes.len() as u64;
        if found != self.length {
            let (role, expected) = (target.to_owned(), self.length);
            return Err(TrustError::WrongLength {
                role,
                expected,
                found,
            });
        }
        compare_digests(target, &self.hashes, bytes)
    }
}

/// Which roles a role delegates to, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delegations {
    /// The keys that the roles refer to.
    pub keys: KeyTable,
    /// The roles.
    pub roles: Vec<DelegatedRole>,
}

/// A role that is delegated to, and for which paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// Its name.
    pub name: String,
    /// The ids of its keys.
    pub keyids: Vec<KeyId>,
    /// How many of them have to sign.
    pub threshold: u64,
    /// Whether nobody behind it is asked for what it is asked for.
    pub terminating: bool,
    /// Shell patterns of the paths that it may vouch for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Beginnings of the SHA-256 digests of such paths: hash bins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
}

impl DelegatedRole {
    /// Whether the role may vouch for `target`.
    pub fn may_sign(&self, target: &str) -> bool {
        let by_pattern = |patterns: &Vec<String>| {
            patterns
                .iter()
                .any(|pattern| pattern::matches(pattern, target))
        };
        let by_digest = |prefixes: &Vec<String>| {
            let digest = sha256(target.as_bytes());
            prefixes
                .iter()
                .any(|prefix| digest.starts_with(prefix.as_str()))
        };
        self.paths.as_ref().is_some_and(by_pattern)
            || self.path_hash_prefixes.as_ref().is_some_and(by_digest)
    }
}

impl Delegations {
    /// Adds a terminating role for the paths that match `paths`, or replaces the one of its name.
    pub fn delegate(&mut self, name: &str, keys: &[PublicKey], threshold: u64, paths: &[String]) {
        let keyids = add_keys(&mut self.keys, keys);
        self.roles.retain(|role| role.name != name);
        self.roles.push(DelegatedRole {
            name: name.to_owned(),
            keyids,
            threshold,
            terminating: true,
            paths: Some(paths.to_vec()),
            path_hash_prefixes: None,
        });
    }

    pub(crate) fn keys_of(&self, role: &DelegatedRole) -> Keys {
        let keys = RoleKeys {
            keyids: role.keyids.clone(),
            threshold: role.threshold,
        };
        resolve(&self.keys, Some(&keys))
    }
}

impl RoleBody for Targets {
    const KIND: &'static str = "targets";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> UtcTime {
        self.expires
    }

    fn check(&self, role: &str) -> Result<(), TrustError> {
        check_version(role, self.version)?;
        let Some(delegations) = &self.delegations else {
            return Ok(());
        };
        let mut names = BTreeSet::new();
        for delegated in &delegations.roles {
            let name = delegated.name.as_str();
            let malformed = |expected: &str| {
                TrustError::malformed(role, format!("the delegation to {name:?}"), expected, "it")
            };
            if name.is_empty() || TOP_LEVEL.contains(&name) {
                return Err(malformed("a name that is none of the four roles'"));
            }
            if !names.insert(name) {
                return Err(malformed("each name once"));
            }
            if delegated.paths.is_some() == delegated.path_hash_prefixes.is_some() {
                return Err(malformed("either paths or path_hash_prefixes"));
            }
            let keyids = delegated.keyids.clone();
            let keys = RoleKeys {
                keyids,
                threshold: delegated.threshold,
            };
            check_keys(role, name, &keys, &delegations.keys)?;
        }
        Ok(())
    }
}
