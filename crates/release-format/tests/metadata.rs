//! The signed chain that `fixtures/metadata-v1` keeps was written and signed by python-tuf, once and
//! never again: what it means may not change, and we sign it byte for byte alike.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fixture that is refused fails its test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use release_format::{
    Catalogue, Ed25519Signer, Lookup, Refreshed, RoleBody, Signer, TargetFile, TrustError,
    TrustLimits, TrustedSet, UtcTime, sign,
};

const TARGET: &str = "acme/biology-101/catalogue";

/// A moment at which both generations of the chain are current.
const NOW: &str = "2026-09-02T00:00:00Z";

#[test]
fn chain_is_trusted_from_the_first_root_to_the_last_target() {
    let mut set = TrustedSet::pinned(&read("1.root.json"), TrustLimits::standard()).unwrap();
    let first = refresh(&mut set, "1.timestamp.json");
    set.verify_target(&first, b"{}").unwrap();

    let request = set.root_request();
    assert_eq!(request.location, "metadata/2.root.json");
    set.update_root(&read("2.root.json")).unwrap();
    let second = refresh(&mut set, "timestamp.json");
    let catalogue = fs::read(folder().join("../catalogue-v1.json")).unwrap();
    let verified = set.verify_target(&second, catalogue).unwrap();
    assert_eq!(
        second.location,
        "targets/acme/biology-101/\
         d5469c94560228e61855cfc5bc2429917aca0f385af0c62d28da955e24ffc24a.catalogue"
    );
    Catalogue::decode(&verified).unwrap();

    let old = set.update_timestamp(&read("1.timestamp.json"), now());
    let role = "timestamp".to_owned();
    let (trusted, found) = (2, 1);
    let rollback = TrustError::Rollback {
        role,
        trusted,
        found,
    };
    assert_eq!(old, Err(rollback));
}

#[test]
fn no_file_of_the_chain_goes_unread() {
    let files = fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let found: BTreeSet<_> = files
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    let known = SIGNED.map(|(name, _)| name.to_owned());
    assert_eq!(found, known.into());
}

#[test]
fn chain_is_what_we_would_sign() {
    let mut set = TrustedSet::pinned(&read("1.root.json"), TrustLimits::standard()).unwrap();
    let mut written = BTreeSet::new();
    for generation in 1..=2 {
        if generation == 2 {
            set.update_root(&read("2.root.json")).unwrap();
        }
        let timestamp = ["1.timestamp.json", "timestamp.json"][generation - 1];
        refresh(&mut set, timestamp);
        let (root, snapshot) = (set.root(), set.snapshot().unwrap());
        let (targets, acme) = (
            set.targets("targets").unwrap(),
            set.targets("acme").unwrap(),
        );
        let role = |role: &str, version: u64| format!("{version}.{role}.json");
        same(root, &role("root", root.version), &mut written);
        same(set.timestamp().unwrap(), timestamp, &mut written);
        same(snapshot, &role("snapshot", snapshot.version), &mut written);
        same(targets, &role("targets", targets.version), &mut written);
        same(acme, &role("acme", acme.version), &mut written);
    }
    assert_eq!(written.len(), SIGNED.len());
}

/// The files, with the seeds of the keys that signed each: 32 times the same byte.
const SIGNED: [(&str, &[u8]); 9] = [
    ("1.acme.json", &[5]),
    ("1.root.json", &[1]),
    ("1.snapshot.json", &[3]),
    ("1.targets.json", &[4]),
    ("1.timestamp.json", &[2]),
    ("2.acme.json", &[5]),
    ("2.root.json", &[1, 11]),
    ("2.snapshot.json", &[3]),
    ("timestamp.json", &[2]),
];

fn same(body: &impl RoleBody, name: &str, written: &mut BTreeSet<String>) {
    let (_, seeds) = SIGNED.iter().find(|(file, _)| *file == name).unwrap();
    let signer = |seed: &u8| Ed25519Signer::new(SigningKey::from_bytes(&[*seed; 32]));
    let signers: Vec<_> = seeds.iter().map(signer).collect();
    let signers: Vec<&dyn Signer> = signers.iter().map(|signer| signer as _).collect();
    let file = sign(body, &signers).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!(text(file), text(read(name)), "{name}");
    written.insert(name.to_owned());
}

/// Trusts a timestamp and all that follows from it, up to the target.
fn refresh(set: &mut TrustedSet, timestamp: &str) -> TargetFile {
    let updated = set.update_timestamp(&read(timestamp), now());
    assert_eq!(updated, Ok(Refreshed::Newer));
    let request = set.snapshot_request().unwrap().unwrap();
    set.update_snapshot(&located(&request.location), now())
        .unwrap();
    loop {
        match set.lookup(TARGET).unwrap() {
            Lookup::Needs(request) => {
                let file = located(&request.location);
                set.update_targets(&request, &file, now()).unwrap();
            }
            Lookup::Found(target) => {
                assert_eq!(target.role, "acme");
                return target;
            }
            Lookup::Absent => panic!("{TARGET} is vouched for"),
        }
    }
}

fn located(location: &str) -> Vec<u8> {
    read(location.strip_prefix("metadata/").unwrap())
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/metadata-v1")
}

fn now() -> UtcTime {
    UtcTime::parse(NOW).unwrap()
}
