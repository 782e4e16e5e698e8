use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::TrustError;
use super::key::{KeyId, PublicKey};
use super::log_head::LogHead;
use super::meta_file::{MetaFile, check_version};
use super::signed::{Keys, RoleBody};
use crate::UtcTime;

/// The four roles that every repository has.
pub(crate) const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

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
    /// When it was signed, in our repositories: proof to a device whose clock is dead that it is at
    /// least so late.
    #[serde(
        default,
        rename = "x-satchel-issued",
        skip_serializing_if = "Option::is_none"
    )]
    pub issued: Option<UtcTime>,
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
            issued: None,
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

pub(crate) fn add_keys(table: &mut KeyTable, keys: &[PublicKey]) -> Vec<KeyId> {
    let mut keyids = Vec::new();
    for key in keys {
        if let (Some(id), Some(json)) = (key.id(), key.to_json()) {
            table.insert(id.clone(), json);
            keyids.push(id);
        }
    }
    keyids
}

pub(crate) fn resolve(table: &KeyTable, role: Option<&RoleKeys>) -> Keys {
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
        check_issued(role, self.issued, self.expires)?;
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

/// Refuses what says that it was signed after it expired.
pub(crate) fn check_issued(
    role: &str,
    issued: Option<UtcTime>,
    expires: UtcTime,
) -> Result<(), TrustError> {
    match issued {
        Some(issued) if issued >= expires => {
            let expected = format!("a time before {expires}");
            let found = issued.to_string();
            Err(TrustError::malformed(
                role,
                "x-satchel-issued",
                expected,
                found,
            ))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_keys(
    role: &str,
    name: &str,
    keys: &RoleKeys,
    table: &KeyTable,
) -> Result<(), TrustError> {
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

/// The role that says which snapshot is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// The version of this file.
    pub version: u64,
    /// When it stops being current.
    pub expires: UtcTime,
    /// `snapshot.json` and nothing else.
    pub meta: BTreeMap<String, MetaFile>,
    /// When it was signed, in our repositories: proof to a device whose clock is dead that it is at
    /// least so late.
    #[serde(
        default,
        rename = "x-satchel-issued",
        skip_serializing_if = "Option::is_none"
    )]
    pub issued: Option<UtcTime>,
    /// The last entry of the repository's log, in ours: devices pass over it, auditors do not.
    #[serde(
        default,
        rename = "x-satchel-log",
        skip_serializing_if = "Option::is_none"
    )]
    pub log: Option<LogHead>,
}

impl Timestamp {
    /// Returns the timestamp of a snapshot.
    pub fn of(version: u64, expires: UtcTime, snapshot: MetaFile) -> Timestamp {
        let meta = BTreeMap::from([("snapshot.json".to_owned(), snapshot)]);
        Timestamp {
            version,
            expires,
            meta,
            issued: None,
            log: None,
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
        check_issued(role, self.issued, self.expires)?;
        if let Some(head) = &self.log {
            head.check(role)?;
        }
        match self.meta.get("snapshot.json") {
            Some(file) if self.meta.len() == 1 => file.check(role, "snapshot.json"),
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
            .iter()
            .try_for_each(|(name, file)| file.check(role, name))
    }
}
