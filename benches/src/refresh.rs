//! What it costs a device of one tenant to verify a full refresh, among 200 tenants.

use std::collections::BTreeMap;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use release_format::{
    Delegations, Ed25519Signer, Lookup, MetaFile, PublicKey, Root, Signer, Snapshot, TargetEntry,
    Targets, Timestamp, TrustLimits, TrustedSet, UtcTime, sign,
};

use crate::Outcome;

/// The argument that asks for this measurement.
pub(crate) const REFRESH: &str = "refresh";

const TENANTS: usize = 200;
const PACKS: usize = 50;
const ROUNDS: u32 = 200;

/// Prints the time of one refresh: root, timestamp, snapshot, targets, and the two roles of a tenant.
pub(crate) fn measure() -> Outcome<()> {
    let files = Files::sign()?;
    files.refresh()?;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        files.refresh()?;
    }
    // One thread, no input and no output: time that passes is time of the processor.
    let micros = start.elapsed().as_micros() / u128::from(ROUNDS);
    println!("| a full refresh, verified | {TENANTS} tenants of {PACKS} packs |");
    println!("|---|---|");
    println!(
        "| time of one core | {}.{:03} ms |",
        micros / 1000,
        micros % 1000
    );
    println!("| bytes of metadata | {} |", files.bytes());
    Ok(())
}

struct Files {
    root: Vec<u8>,
    timestamp: Vec<u8>,
    snapshot: Vec<u8>,
    roles: BTreeMap<String, Vec<u8>>,
}

impl Files {
    fn sign() -> Outcome<Files> {
        let expires = now().plus_days(30);
        let public = |seed| [public_key(seed)];
        let root = Root::first(
            expires,
            &[
                ("root", &[public_key(1), public_key(2), public_key(3)], 2),
                ("timestamp", &public(4), 1),
                ("snapshot", &public(5), 1),
                ("targets", &[public_key(6), public_key(7), public_key(8)], 2),
            ],
        );
        let mut delegations = Delegations::default();
        for tenant in 0..TENANTS {
            let seed = u8::try_from(10 + tenant)?;
            let paths = [format!("tenant-{tenant}/*/catalogue")];
            delegations.delegate(&format!("tenant-{tenant}"), &public(seed), 1, &paths);
            let paths = [format!("tenant-{tenant}/*/rollout/*")];
            let operations = format!("tenant-{tenant}-operations");
            delegations.delegate(&operations, &public(seed), 1, &paths);
        }
        let mut roles = BTreeMap::new();
        let top = targets(expires, Some(delegations), Vec::new());
        roles.insert("targets".to_owned(), sign(&top, &[&key(6), &key(7)])?);
        let last = TENANTS - 1;
        let seed = u8::try_from(10 + last)?;
        let packs = 0..PACKS;
        let catalogues = packs
            .clone()
            .map(|pack| format!("tenant-{last}/p{pack}/catalogue"));
        let content = targets(expires, None, catalogues.collect());
        roles.insert(format!("tenant-{last}"), sign(&content, &[&key(seed)])?);
        let rollouts = packs.map(|pack| format!("tenant-{last}/p{pack}/rollout/stable"));
        let operations = targets(expires, None, rollouts.collect());
        let operations = sign(&operations, &[&key(seed)])?;
        roles.insert(format!("tenant-{last}-operations"), operations);
        let mut meta = BTreeMap::new();
        for tenant in 0..TENANTS {
            for role in [
                format!("tenant-{tenant}"),
                format!("tenant-{tenant}-operations"),
            ] {
                let file = roles.get(&role).map_or(&b""[..], Vec::as_slice);
                meta.insert(format!("{role}.json"), MetaFile::of(1, file));
            }
        }
        let listed = roles.get("targets").map_or(&b""[..], Vec::as_slice);
        meta.insert("targets.json".to_owned(), MetaFile::of(1, listed));
        let snapshot = Snapshot {
            version: 1,
            expires,
            meta,
        };
        let snapshot = sign(&snapshot, &[&key(5)])?;
        let timestamp = Timestamp::of(1, expires, MetaFile::of(1, &snapshot));
        Ok(Files {
            root: sign(&root, &[&key(1), &key(2)])?,
            timestamp: sign(&timestamp, &[&key(4)])?,
            snapshot,
            roles,
        })
    }

    fn refresh(&self) -> Outcome<()> {
        let mut set = TrustedSet::pinned(&self.root, TrustLimits::standard())?;
        set.update_timestamp(&self.timestamp, now())?;
        set.update_snapshot(&self.snapshot, now())?;
        let last = TENANTS - 1;
        for target in [
            format!("tenant-{last}/p7/catalogue"),
            format!("tenant-{last}/p7/rollout/stable"),
        ] {
            loop {
                match set.lookup(&target)? {
                    Lookup::Needs(request) => {
                        let file = self.roles.get(&request.role).ok_or("a role is missing")?;
                        set.update_targets(&request, file, now())?;
                    }
                    Lookup::Found(_) => break,
                    Lookup::Absent => return Err("the target is missing".into()),
                }
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let roles: usize = self.roles.values().map(Vec::len).sum();
        self.root.len() + self.timestamp.len() + self.snapshot.len() + roles
    }
}

fn targets(expires: UtcTime, delegations: Option<Delegations>, paths: Vec<String>) -> Targets {
    let entry = |path: String| (path.clone(), TargetEntry::of(path.as_bytes()));
    Targets {
        version: 1,
        expires,
        targets: paths.into_iter().map(entry).collect(),
        delegations,
        issued: Some(now()),
        offline_grace_days: Some(30),
    }
}

fn now() -> UtcTime {
    UtcTime::from_seconds(1_800_000_000)
}

fn key(seed: u8) -> Ed25519Signer {
    Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]))
}

fn public_key(seed: u8) -> PublicKey {
    key(seed).public_key().clone()
}
