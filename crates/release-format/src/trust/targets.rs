use std::collections::{BTreeMap, BTreeSet};

use diff_core::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::TrustError;
use super::key::{KeyId, PublicKey};
use super::meta_file::{check_digests, check_version, compare_digests};
use super::patch::Patches;
use super::pattern;
use super::request::{MAX_FILE_NAME_BYTES, file_name};
use super::role::{KeyTable, RoleKeys, TOP_LEVEL, add_keys, check_issued, check_keys, resolve};
use super::sha256::sha256;
use super::signed::{Keys, RoleBody};
use crate::UtcTime;

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
    /// When it was signed, in our repositories: proof to a device whose clock is dead that it is at
    /// least so late.
    #[serde(
        default,
        rename = "x-satchel-issued",
        skip_serializing_if = "Option::is_none"
    )]
    pub issued: Option<UtcTime>,
    /// For how many days devices may go on with the tenant's packs once what online keys sign has
    /// expired.
    #[serde(
        default,
        rename = "x-satchel-offline-grace-days",
        skip_serializing_if = "Option::is_none"
    )]
    pub offline_grace_days: Option<u32>,
}

/// What a targets role says of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetEntry {
    /// How many bytes the target has.
    pub length: u64,
    /// Its digests by the names of their algorithms.
    pub hashes: BTreeMap<String, String>,
    /// What else the publisher says of it; ours are the BLAKE3 digest and the patches.
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

    /// Returns the entry with the patches that lead to the target.
    #[must_use]
    pub fn with_patches(mut self, patches: &Patches) -> TargetEntry {
        if !patches.is_empty()
            && let Some(Value::Object(custom)) = &mut self.custom
        {
            custom.insert(PATCHES.to_owned(), serde_json::json!(patches));
        }
        self
    }

    /// Returns the patches that lead to the target.
    pub fn patches(&self) -> Patches {
        let listed = self.custom.as_ref().and_then(|custom| custom.get(PATCHES));
        listed.cloned().map(Patches::of_value).unwrap_or_default()
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
    /// Returns whose signatures the role needs.
    pub fn role_keys(&self) -> RoleKeys {
        RoleKeys {
            keyids: self.keyids.clone(),
            threshold: self.threshold,
        }
    }

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
    /// Returns the delegation to the role `name`.
    pub fn role(&self, name: &str) -> Option<&DelegatedRole> {
        self.roles.iter().find(|role| role.name == name)
    }

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

    /// Does as [`Delegations::delegate`], and has the role asked before the one called `before`.
    pub fn delegate_before(
        &mut self,
        before: &str,
        (name, keys, threshold): (&str, &[PublicKey], u64),
        paths: &[String],
    ) {
        self.delegate(name, keys, threshold, paths);
        let place = self.roles.iter().position(|role| role.name == before);
        if let Some(place) = place {
            self.roles
                .get_mut(place..)
                .unwrap_or_default()
                .rotate_right(1);
        }
    }

    pub(crate) fn keys_of(&self, role: &DelegatedRole) -> Keys {
        resolve(&self.keys, Some(&role.role_keys()))
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
        check_issued(role, self.issued, self.expires)?;
        for (path, entry) in &self.targets {
            check_digests(role, path, &entry.hashes)?;
        }
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
            if file_name(name).len() > MAX_FILE_NAME_BYTES {
                return Err(malformed("a name that fits into a file's"));
            }
            if !names.insert(name) {
                return Err(malformed("each name once"));
            }
            if delegated.paths.is_some() == delegated.path_hash_prefixes.is_some() {
                return Err(malformed("either paths or path_hash_prefixes"));
            }
            check_keys(role, name, &delegated.role_keys(), &delegations.keys)?;
        }
        Ok(())
    }
}

const PATCHES: &str = "patches";
