//! A repository made in memory, and one table of claims for each step of the workflow: what a step
//! takes, and every way in which it refuses.

mod delegation;
mod document;
mod file;
mod grace;
mod root;
mod snapshot;
mod targets;
mod timestamp;

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use serde_json::Value;

use super::canonical::{canonical, readable};
use super::error::TrustError;
use super::key::{Ed25519Signer, PublicKey, Signer};
use super::limits::TrustLimits;
use super::meta_file::MetaFile;
use super::role::{Root, Snapshot, Timestamp};
use super::search::Lookup;
use super::signed::{RoleBody, sign};
use super::targets::{DelegatedRole, Delegations, TargetEntry, Targets};
use super::trusted::TrustedSet;
use crate::UtcTime;

// The seeds of the keys, by their roles. A fresh repository uses these.
const ROOT: u8 = 1;
const TIMESTAMP: u8 = 2;
const SNAPSHOT: u8 = 3;
const TARGETS: u8 = 4;
const ACME: u8 = 5;
const OTHER: u8 = 6;
/// The key of nobody.
const STRANGER: u8 = 99;

fn now() -> UtcTime {
    UtcTime::parse("2026-12-01T00:00:00Z").unwrap()
}

/// When all that is current stops being so.
fn expires() -> UtcTime {
    now().plus_days(30)
}

/// When all that is current has stopped being so.
fn afterwards() -> UtcTime {
    now().plus_days(31)
}

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]))
}

fn key(seed: u8) -> PublicKey {
    signer(seed).public_key().clone()
}

fn keys(seeds: &[u8]) -> Vec<PublicKey> {
    seeds.iter().map(|seed| key(*seed)).collect()
}

fn signed(body: &impl RoleBody, seeds: &[u8]) -> Vec<u8> {
    let signers: Vec<_> = seeds.iter().map(|seed| signer(*seed)).collect();
    let signers: Vec<&dyn Signer> = signers.iter().map(|signer| signer as _).collect();
    sign(body, &signers).unwrap()
}

/// Signs JSON that no publisher would.
fn signed_json(body: &Value, seeds: &[u8]) -> Vec<u8> {
    let signature = |seed: &u8| {
        let signature = signer(*seed).sign(&canonical(body)).unwrap();
        serde_json::json!({ "keyid": key(*seed).id(), "sig": hex::encode(signature) })
    };
    let signatures: Vec<_> = seeds.iter().map(signature).collect();
    readable(&serde_json::json!({ "signatures": signatures, "signed": body }))
}

/// A root that gives each role its own keys, and a threshold of all of them.
fn root(version: u64, roles: [(&str, &[u8]); 4]) -> Root {
    let roles = roles.map(|(role, seeds)| (role, keys(seeds), seeds.len() as u64));
    let roles: Vec<_> = roles
        .iter()
        .map(|(role, keys, threshold)| (*role, keys.as_slice(), *threshold))
        .collect();
    Root {
        version,
        ..Root::first(expires(), &roles)
    }
}

fn first_root() -> Root {
    root(
        1,
        [
            ("root", &[ROOT]),
            ("timestamp", &[TIMESTAMP]),
            ("snapshot", &[SNAPSHOT]),
            ("targets", &[TARGETS]),
        ],
    )
}

/// What a publisher would keep: changed freely, signed when a file is asked for.
struct Repository {
    root: Root,
    timestamp_version: u64,
    snapshot_version: u64,
    /// The targets roles, with the seeds of the keys that sign each.
    roles: BTreeMap<String, (Targets, Vec<u8>)>,
}

impl Repository {
    /// Returns a repository without targets.
    fn new() -> Repository {
        let mut repository = Repository {
            root: first_root(),
            timestamp_version: 1,
            snapshot_version: 1,
            roles: BTreeMap::new(),
        };
        repository.add_role("targets", &[TARGETS]);
        repository
    }

    /// Returns a repository whose targets role delegates to two tenants, each with a catalogue.
    fn of_two_tenants() -> Repository {
        let mut repository = Repository::new();
        for (tenant, seed) in [("acme", ACME), ("other", OTHER)] {
            let pattern = format!("{tenant}/*/catalogue");
            repository.delegate("targets", tenant, &[seed], &[&pattern], true);
            repository.add_target(tenant, &format!("{tenant}/biology/catalogue"), b"catalogue");
        }
        repository
    }

    fn add_role(&mut self, role: &str, seeds: &[u8]) {
        let targets = Targets {
            version: 1,
            expires: expires(),
            targets: BTreeMap::new(),
            delegations: None,
            issued: None,
            offline_grace_days: None,
        };
        self.roles
            .insert(role.to_owned(), (targets, seeds.to_vec()));
    }

    fn role(&mut self, role: &str) -> &mut Targets {
        &mut self.roles.get_mut(role).unwrap().0
    }

    /// Delegates from one role to another, which is added unless it is there.
    fn delegate(&mut self, from: &str, to: &str, seeds: &[u8], paths: &[&str], terminating: bool) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.delegate_as(
            from,
            seeds,
            DelegatedRole {
                name: to.to_owned(),
                keyids: seeds.iter().map(|seed| key(*seed).id().unwrap()).collect(),
                threshold: seeds.len() as u64,
                terminating,
                paths: Some(paths),
                path_hash_prefixes: None,
            },
        );
    }

    fn delegate_as(&mut self, from: &str, seeds: &[u8], delegated: DelegatedRole) {
        if !self.roles.contains_key(&delegated.name) {
            self.add_role(&delegated.name, seeds);
        }
        let delegations = self
            .role(from)
            .delegations
            .get_or_insert_with(Delegations::default);
        for seed in seeds {
            let key = key(*seed);
            delegations
                .keys
                .insert(key.id().unwrap(), key.to_json().unwrap());
        }
        delegations.roles.push(delegated);
    }

    fn add_target(&mut self, role: &str, path: &str, bytes: &[u8]) {
        let entry = TargetEntry::of(bytes);
        self.role(role).targets.insert(path.to_owned(), entry);
    }

    fn root_file(&self) -> Vec<u8> {
        signed(&self.root, &[ROOT])
    }

    fn role_file(&self, role: &str) -> Vec<u8> {
        let (targets, seeds) = self.roles.get(role).unwrap();
        signed(targets, seeds)
    }

    /// Returns a snapshot of the roles as they are.
    fn snapshot(&self) -> Snapshot {
        let meta = self.roles.iter().map(|(role, (targets, _))| {
            let file = MetaFile::of(targets.version, &self.role_file(role));
            (format!("{role}.json"), file)
        });
        Snapshot {
            version: self.snapshot_version,
            expires: expires(),
            meta: meta.collect(),
        }
    }

    fn snapshot_file(&self) -> Vec<u8> {
        signed(&self.snapshot(), &[SNAPSHOT])
    }

    /// Returns the timestamp of a snapshot.
    fn timestamp_of(&self, snapshot: &[u8]) -> Timestamp {
        let file = MetaFile::of(self.snapshot_version, snapshot);
        Timestamp::of(self.timestamp_version, expires(), file)
    }

    fn timestamp_file(&self) -> Vec<u8> {
        signed(&self.timestamp_of(&self.snapshot_file()), &[TIMESTAMP])
    }

    /// Makes the next timestamp and snapshot newer than the ones before.
    fn renew(&mut self) {
        self.timestamp_version += 1;
        self.snapshot_version += 1;
    }

    /// Returns the set that trusts the root alone.
    fn pinned(&self) -> TrustedSet {
        TrustedSet::pinned(&self.root_file(), TrustLimits::standard()).unwrap()
    }

    /// Returns the set that trusts the timestamp too.
    fn with_timestamp(&self) -> TrustedSet {
        let mut set = self.pinned();
        set.update_timestamp(&self.timestamp_file(), now()).unwrap();
        set
    }

    /// Returns the set that trusts the snapshot too.
    fn with_snapshot(&self) -> TrustedSet {
        let mut set = self.with_timestamp();
        set.update_snapshot(&self.snapshot_file(), now()).unwrap();
        set
    }

    /// Returns the set that trusts `targets` too.
    fn refreshed(&self) -> TrustedSet {
        let mut set = self.with_snapshot();
        let request = set.targets_request().unwrap().unwrap();
        set.update_targets(&request, &self.role_file("targets"), now())
            .unwrap();
        set
    }

    /// Searches for a target, and returns where that ends with the roles that it asked for.
    fn find(
        &self,
        set: &mut TrustedSet,
        target: &str,
    ) -> Result<(Lookup, Vec<String>), TrustError> {
        let mut asked = Vec::new();
        loop {
            assert!(asked.len() < 100, "the search does not end: {asked:?}");
            match set.lookup(target)? {
                Lookup::Needs(request) => {
                    set.update_targets(&request, &self.role_file(&request.role), now())?;
                    asked.push(request.role);
                }
                end => return Ok((end, asked)),
            }
        }
    }

    /// Searches for a target as a device that comes for the first time.
    fn search(&self, target: &str) -> Result<(Lookup, Vec<String>), TrustError> {
        self.find(&mut self.refreshed(), target)
    }
}

/// Returns who vouches for the target that a search found.
fn voucher(found: &Lookup) -> &str {
    match found {
        Lookup::Found(target) => &target.role,
        other => panic!("expected a target, found {other:?}"),
    }
}

fn rollback(role: &str, trusted: u64, found: u64) -> TrustError {
    TrustError::Rollback {
        role: role.to_owned(),
        trusted,
        found,
    }
}

fn wrong_version(role: &str, expected: u64, found: u64) -> TrustError {
    TrustError::WrongVersion {
        role: role.to_owned(),
        expected,
        found,
    }
}

fn unsigned(role: &str, delegator: &str, valid: usize, threshold: u64) -> TrustError {
    TrustError::Signatures {
        role: role.to_owned(),
        delegator: delegator.to_owned(),
        valid,
        threshold,
    }
}

fn expired(role: &str, now: UtcTime) -> TrustError {
    TrustError::Expired {
        role: role.to_owned(),
        expires: expires(),
        now,
    }
}

fn out_of_order(role: &str, needed: &'static str) -> TrustError {
    TrustError::OutOfOrder {
        role: role.to_owned(),
        needed,
    }
}

#[track_caller]
fn assert_malformed<T: std::fmt::Debug>(result: Result<T, TrustError>, at: &str) {
    match result {
        Err(TrustError::Malformed { place, .. }) => assert_eq!(place, at),
        other => panic!("expected malformed {at}, found {other:?}"),
    }
}
