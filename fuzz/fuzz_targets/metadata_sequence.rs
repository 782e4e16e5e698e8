//! Files of the chain, as they are, mutated, or signed anew, in any order: no trusted version ever goes
//! back, what is refused changes nothing, and nothing panics.
#![no_main]

mod golden_chain;

use std::collections::BTreeMap;

use golden_chain::{FILES, now, pinned, signed};
use libfuzzer_sys::fuzz_target;
use release_format::{
    Lookup, MetaFile, OfflineGrace, Patches, Root, Snapshot, Targets, Timestamp, TrustedSet,
    UtcTime,
};

fuzz_target!(|bytes: &[u8]| {
    let mut set = pinned();
    for step in bytes.chunks_exact(6).take(32) {
        let step: [u8; 6] = step.try_into().expect("a chunk has six bytes");
        let before = Trusted::of(&set);
        let result = take(&mut set, step);
        let after = Trusted::of(&set);
        if !result {
            assert_eq!(after.files, before.files, "a refusal changes nothing");
        }
        after.assert_not_below(&before);
    }
});

/// Feeds one file to the set, and says whether it was accepted.
fn take(set: &mut TrustedSet, [kind, what, version, listed, how, place]: [u8; 6]) -> bool {
    let now = [now(), now().plus_days(400)][usize::from(how & 1)];
    let file = match what % 8 {
        0..=2 => mutated(listed, how, place),
        3 => signed(&root(set, version, how), &[1, 11]),
        4 => signed(&timestamp(version, listed, now), &[2, 12]),
        5 => signed(&snapshot(version, listed, how, now), &[3, 13]),
        6 => signed(&targets(version, now), &[4]),
        _ => signed(&targets(version, now), &[5]),
    };
    match kind % 11 {
        0 => set.update_root(&file).is_ok(),
        1 => set.update_timestamp(&file, now).is_ok(),
        2 => set.recall_timestamp(&file).is_ok(),
        3 => set.update_snapshot(&file, now).is_ok(),
        4 => set.recall_snapshot(&file).is_ok(),
        5 => match set.targets_request() {
            Ok(Some(request)) => set.update_targets(&request, &file, now).is_ok(),
            _ => false,
        },
        6 => match set.lookup("acme/biology-101/catalogue") {
            Ok(Lookup::Needs(request)) => set.update_targets(&request, &file, now).is_ok(),
            _ => false,
        },
        // A grace, or none: what has expired may be taken, and nothing goes back for it.
        7 => {
            set.set_grace((how & 2 == 0).then(|| OfflineGrace::of_anybody(u32::from(version))));
            true
        }
        8 => {
            let grace = set.grace_of("acme", now);
            set.set_grace(grace);
            true
        }
        9 => {
            set.judge_at(now);
            assert!(set.stale_since(now).is_none_or(|since| since <= now));
            true
        }
        // The whole chain's way: whatever the set asks for next.
        _ => match set.snapshot_request() {
            Ok(Some(_)) => set.update_snapshot(&file, now).is_ok(),
            Ok(None) => false,
            Err(_) => set.update_timestamp(&file, now).is_ok(),
        },
    }
}

/// Returns a file of the chain: as it is, with a byte changed, cut, or followed by another.
fn mutated(which: u8, how: u8, place: u8) -> Vec<u8> {
    let file = |which: u8| FILES[usize::from(which) % FILES.len()];
    let mut bytes = file(which).to_vec();
    let at = usize::from(place) * bytes.len() / 256;
    match how / 2 % 4 {
        0 | 1 => {}
        2 => bytes[at] ^= how | 1,
        _ => {
            bytes.truncate(at);
            bytes.extend_from_slice(file(how));
        }
    }
    bytes
}

/// Returns the trusted root with other keys for some roles.
fn root(set: &TrustedSet, version: u8, how: u8) -> Root {
    let mut root = set.root().clone();
    root.version = match version % 4 {
        0 => u64::from(version),
        _ => root.version + 1,
    };
    for (bit, role, seeds) in [(2, "timestamp", [2, 12]), (4, "snapshot", [3, 13])] {
        let seed = seeds[usize::from(how & bit != 0)];
        let key = golden_chain::public_key(seed);
        let id = key.id().expect("the scheme is known");
        let json = key.to_json().expect("the scheme is known");
        root.keys.insert(id.clone(), json);
        if let Some(role) = root.roles.get_mut(role) {
            role.keyids = vec![id];
        }
    }
    root
}

fn timestamp(version: u8, listed: u8, now: UtcTime) -> Timestamp {
    Timestamp {
        issued: Some(now),
        ..Timestamp::of(u64::from(version), now.plus_days(1), any(listed))
    }
}

fn snapshot(version: u8, listed: u8, how: u8, now: UtcTime) -> Snapshot {
    let mut meta = BTreeMap::from([("targets.json".to_owned(), any(listed % 16))]);
    if how & 2 == 0 {
        meta.insert("acme.json".to_owned(), any(listed / 16));
    }
    Snapshot {
        version: u64::from(version),
        expires: now.plus_days(1),
        meta,
    }
}

fn targets(version: u8, now: UtcTime) -> Targets {
    Targets {
        version: u64::from(version),
        expires: now.plus_days(1),
        targets: BTreeMap::new(),
        delegations: None,
        issued: Some(now),
        offline_grace_days: Some(u32::from(version)),
    }
}

fn any(version: u8) -> MetaFile {
    MetaFile {
        version: u64::from(version),
        length: None,
        hashes: None,
        patches: Patches::default(),
    }
}

/// What a set trusts, by version.
struct Trusted {
    root: Root,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    files: Vec<(String, Vec<u8>)>,
}

impl Trusted {
    fn of(set: &TrustedSet) -> Trusted {
        let files = set.files().map(|(name, bytes)| (name, bytes.to_vec()));
        Trusted {
            root: set.root().clone(),
            timestamp: set.timestamp().cloned(),
            snapshot: set.snapshot().cloned(),
            files: files.collect(),
        }
    }

    fn assert_not_below(&self, before: &Trusted) {
        assert!(self.root.version >= before.root.version);
        let keys = |trusted: &Trusted| {
            ["timestamp", "snapshot"].map(|role| trusted.root.roles.get(role).cloned())
        };
        if keys(self) != keys(before) {
            // With the keys goes what they signed; only a root can do that.
            assert!(self.root.version > before.root.version);
            assert!(self.timestamp.is_none() && self.snapshot.is_none());
            return;
        }
        if let Some(was) = &before.timestamp {
            let is = self.timestamp.as_ref().expect("a timestamp stays");
            assert!(is.version >= was.version);
            let named = |timestamp: &Timestamp| timestamp.snapshot().map(|file| file.version);
            assert!(named(is) >= named(was));
        }
        if let Some(was) = &before.snapshot {
            let is = self.snapshot.as_ref().expect("a snapshot stays");
            assert!(is.version >= was.version);
            for (role, file) in &was.meta {
                let listed = is.meta.get(role).expect("a role stays listed");
                assert!(listed.version >= file.version);
            }
        }
    }
}
