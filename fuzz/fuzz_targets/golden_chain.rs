//! The signed chain of the metadata fixtures, and the keys that signed it.
#![allow(dead_code, reason = "each target that shares it uses its own part")]

use ed25519_dalek::SigningKey;
use release_format::{
    Ed25519Signer, PublicKey, RoleBody, Signer, TrustLimits, TrustedSet, UtcTime, sign,
};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            "../../crates/release-format/fixtures/metadata-v1/",
            $name
        ))
    };
}

/// Every file of the chain.
pub const FILES: [&[u8]; 9] = [
    ROOT,
    fixture!("2.root.json"),
    fixture!("1.timestamp.json"),
    fixture!("timestamp.json"),
    fixture!("1.snapshot.json"),
    fixture!("2.snapshot.json"),
    TARGETS,
    fixture!("1.acme.json"),
    fixture!("2.acme.json"),
];

/// The root that devices pin.
pub const ROOT: &[u8] = fixture!("1.root.json");

/// The only version of the targets role.
pub const TARGETS: &[u8] = fixture!("1.targets.json");

/// Returns the set that trusts the root alone.
pub fn pinned() -> TrustedSet {
    TrustedSet::pinned(ROOT, TrustLimits::standard()).expect("the fixture signs itself")
}

/// Returns a time at which the whole chain is current.
pub fn now() -> UtcTime {
    UtcTime::parse("2026-09-02T00:00:00Z").expect("this is a time")
}

/// Signs with keys whose secret bytes are all the same: 1 root, 2 timestamp, 3 snapshot, 4 targets,
/// 5 acme, 11 the second root.
pub fn signed(body: &impl RoleBody, seeds: &[u8]) -> Vec<u8> {
    let signers: Vec<_> = seeds.iter().map(|seed| signer(*seed)).collect();
    let signers: Vec<&dyn Signer> = signers.iter().map(|signer| signer as _).collect();
    sign(body, &signers).expect("keys in memory sign")
}

/// Returns the public half of a key.
pub fn public_key(seed: u8) -> PublicKey {
    signer(seed).public_key().clone()
}

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]))
}
