//! Every role's file is read without panic, and what is read and signed anew means the same.
#![no_main]

mod golden_chain;

use std::collections::BTreeMap;

use golden_chain::{TARGETS, now, pinned, signed};
use libfuzzer_sys::fuzz_target;
use release_format::{
    Lookup, MetaFile, Patches, Root, Snapshot, Targets, Timestamp, TrustLimits, TrustedSet,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, file)) = bytes.split_first() else {
        return;
    };
    match choice % 8 {
        0 => as_root(file),
        1 => as_timestamp(file),
        2 => as_snapshot(file),
        3 => as_targets(file),
        // The same, signed by the right keys: what the role says is judged, and not its signature.
        4 => resigned(file, as_root, |root: &Root| signed(root, &[1])),
        5 => resigned(file, as_timestamp, |timestamp: &Timestamp| {
            signed(timestamp, &[2])
        }),
        6 => resigned(file, as_snapshot, |snapshot: &Snapshot| {
            signed(snapshot, &[3])
        }),
        _ => resigned(file, as_targets, |targets: &Targets| signed(targets, &[4])),
    }
});

fn resigned<T: serde::de::DeserializeOwned>(
    body: &[u8],
    judge: fn(&[u8]),
    sign: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(body) = serde_json::from_slice(body) {
        judge(&sign(&body));
    }
}

fn as_root(file: &[u8]) {
    if let Ok(set) = TrustedSet::pinned(file, TrustLimits::standard()) {
        let again = signed(set.root(), &[1]);
        if let Ok(again) = TrustedSet::pinned(&again, TrustLimits::standard()) {
            assert_eq!(again.root(), set.root());
        }
        assert!(set.root_request().version > set.root().version);
    }
    let mut set = pinned();
    let _ = set.update_root(file);
    assert!((1..=2).contains(&set.root().version));
}

fn as_timestamp(file: &[u8]) {
    let mut set = pinned();
    let _ = set.recall_timestamp(file);
    if set.update_timestamp(file, now()).is_ok() {
        let timestamp = set.timestamp().expect("it is trusted");
        assert!(timestamp.expires > now());
        let again = signed(timestamp, &[2]);
        let mut other = pinned();
        other
            .update_timestamp(&again, now())
            .expect("it means the same");
        assert_eq!(other.timestamp(), set.timestamp());
        let request = set.snapshot_request().expect("there is a timestamp");
        contained(&request.expect("there is no snapshot").location);
    }
}

fn as_snapshot(file: &[u8]) {
    let version = serde_json::from_slice::<serde_json::Value>(file).ok();
    let version = version.and_then(|file| file["signed"]["version"].as_u64());
    let mut set = pinned();
    naming(&mut set, version.unwrap_or(1).clamp(1, 1 << 50));
    if set.update_snapshot(file, now()).is_ok() {
        let snapshot = set.snapshot().expect("it is trusted");
        assert!(snapshot.expires > now());
        if let Ok(Some(request)) = set.targets_request() {
            contained(&request.location);
        }
    }
}

fn as_targets(file: &[u8]) {
    let version = serde_json::from_slice::<serde_json::Value>(file).ok();
    let version = version.and_then(|file| file["signed"]["version"].as_u64());
    let any = |version| MetaFile {
        version,
        length: None,
        hashes: None,
        patches: Patches::default(),
    };
    let snapshot = Snapshot {
        version: 1,
        expires: now().plus_days(1),
        meta: BTreeMap::from([
            ("targets.json".to_owned(), any(version.unwrap_or(1).max(1))),
            ("acme.json".to_owned(), any(1)),
        ]),
    };
    let mut set = pinned();
    naming(&mut set, 1);
    if set
        .update_snapshot(&signed(&snapshot, &[3]), now())
        .is_err()
    {
        return;
    }
    let request = set.targets_request().expect("there is a snapshot");
    let request = request.expect("nothing is trusted yet");
    if set.update_targets(&request, file, now()).is_err() {
        return;
    }
    let targets = set.targets("targets").expect("it is trusted");
    let mut paths: Vec<_> = targets.targets.keys().cloned().collect();
    paths.push("acme/biology-101/catalogue".to_owned());
    for path in paths {
        match set.lookup(&path) {
            Ok(Lookup::Found(found)) => {
                let _ = set.verify_target(&found, TARGETS);
            }
            Ok(Lookup::Needs(request)) => {
                contained(&request.location);
                let _ = set.clone().update_targets(&request, file, now());
            }
            Ok(Lookup::Absent) | Err(_) => {}
        }
    }
}

/// Trusts a timestamp of a snapshot of any bytes.
fn naming(set: &mut TrustedSet, version: u64) {
    let snapshot = MetaFile {
        version,
        length: None,
        hashes: None,
        patches: Patches::default(),
    };
    let timestamp = Timestamp::of(1, now().plus_days(1), snapshot);
    set.update_timestamp(&signed(&timestamp, &[2]), now())
        .expect("the right key has signed it");
}

/// Asserts that a location is one file of the folder of metadata.
fn contained(location: &str) {
    let name = location.strip_prefix("metadata/").expect("it is metadata");
    assert!(name.ends_with(".json") && name.len() < 256);
    assert!(!name.contains(|c: char| matches!(c, '/' | '\\' | '\0' | ':' | '?' | '#')));
}
