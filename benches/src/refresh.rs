//! What it costs a device of one tenant to refresh among many tenants, and what hash bins would change.

use std::collections::BTreeMap;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use release_format::{
    Delegations, Ed25519Signer, Lookup, MetaFile, PublicKey, RoleBody, Root, Signer, Snapshot,
    TargetEntry, Targets, Timestamp, TrustLimits, TrustedSet, UtcTime, sign,
};

use crate::Outcome;

/// The argument that asks for this measurement.
pub(crate) const REFRESH: &str = "refresh";

/// How a catalogue of packs is divided among roles.
struct Division {
    name: &'static str,
    tenants: usize,
    packs_of_each: usize,
    /// Hash bins below each role of a tenant; none where the role lists its targets itself.
    bins: usize,
}

const DIVISIONS: [Division; 7] = [
    Division {
        name: "200 tenants of 50 packs",
        tenants: 200,
        packs_of_each: 50,
        bins: 0,
    },
    Division {
        name: "the same, 16 bins in each tenant's roles",
        tenants: 200,
        packs_of_each: 50,
        bins: 16,
    },
    Division {
        name: "20 tenants of 500 packs",
        tenants: 20,
        packs_of_each: 500,
        bins: 0,
    },
    Division {
        name: "the same, 16 bins in each tenant's roles",
        tenants: 20,
        packs_of_each: 500,
        bins: 16,
    },
    Division {
        name: "1 tenant of 10,000 packs",
        tenants: 1,
        packs_of_each: 10_000,
        bins: 0,
    },
    Division {
        name: "the same, 16 bins in each of its roles",
        tenants: 1,
        packs_of_each: 10_000,
        bins: 16,
    },
    Division {
        name: "the same, 256 bins in each of its roles",
        tenants: 1,
        packs_of_each: 10_000,
        bins: 256,
    },
];

const ROUNDS: u32 = 100;
/// What a refresh of the first division may take of one core.
const LIMIT_MICROS: u128 = 5_000;

/// Prints bytes and time of a device's refreshes, for one pack of the last tenant.
///
/// *First* is everything from a pinned root; *of another* is what is fetched once somebody else has
/// published a release, *of its own* once its tenant has published one of another pack.
pub(crate) fn measure() -> Outcome<()> {
    println!(
        "| 10,000 packs | snapshot | first | after a release of another | of its own | one core |"
    );
    println!("|---|---|---|---|---|---|");
    for (number, division) in DIVISIONS.iter().enumerate() {
        let before = Files::sign(division, 1, None)?;
        let other = Files::sign(division, 2, (division.tenants > 1).then_some(0))?;
        let own = Files::sign(division, 2, Some(division.tenants - 1))?;
        let set = before.refresh()?;
        let start = Instant::now();
        for _ in 0..ROUNDS {
            before.refresh()?;
        }
        // One thread, no input and no output: time that passes is time of the processor.
        let micros = start.elapsed().as_micros() / u128::from(ROUNDS);
        let of_another = match division.tenants {
            1 => "-".to_owned(),
            _ => other.fetched(&set)?.to_string(),
        };
        println!(
            "| {} | {} | {} | {of_another} | {} | {}.{:03} ms |",
            division.name,
            before.snapshot.len(),
            before.fetched_first()?,
            own.fetched(&set)?,
            micros / 1000,
            micros % 1000
        );
        if number == 0 && micros > LIMIT_MICROS {
            return Err(format!("expected {LIMIT_MICROS} us or less, found {micros}").into());
        }
    }
    Ok(())
}

/// The signed metadata of a repository.
struct Files {
    root: Vec<u8>,
    timestamp: Vec<u8>,
    snapshot: Vec<u8>,
    roles: BTreeMap<String, Vec<u8>>,
    wanted: [String; 2],
}

impl Files {
    /// Signs the metadata of a division; `changed` has published a release of its first pack.
    fn sign(division: &Division, version: u64, changed: Option<usize>) -> Outcome<Files> {
        let public = |seed| [public_key(seed)];
        let root = Root::first(
            expires(),
            &[
                ("root", &[public_key(1), public_key(2), public_key(3)], 2),
                ("timestamp", &public(4), 1),
                ("snapshot", &public(5), 1),
                ("targets", &[public_key(6), public_key(7), public_key(8)], 2),
            ],
        );
        let mut roles = BTreeMap::new();
        let mut meta = BTreeMap::new();
        let mut delegations = Delegations::default();
        for tenant in 0..division.tenants {
            let is_changed = changed == Some(tenant);
            for (operations, what) in [("", "catalogue"), ("-operations", "rollout/stable")] {
                let role = format!("tenant-{tenant}{operations}");
                // Keys of all tenants differ, as they do: equal ones would be listed once.
                let key = key_of(tenant, operations.is_empty());
                let pattern = match what {
                    "catalogue" => format!("tenant-{tenant}/*/catalogue"),
                    _ => format!("tenant-{tenant}/*/rollout/*"),
                };
                delegations.delegate(&role, &[key.public_key().clone()], 1, &[pattern]);
                let paths = (0..division.packs_of_each)
                    .map(|pack| format!("tenant-{tenant}/p{pack}/{what}"))
                    .collect();
                let seen = if is_changed { version } else { 1 };
                for (name, body) in tenant_roles(division, &role, &key, paths, seen) {
                    let file = sign(&body, &[&key])?;
                    meta.insert(format!("{name}.json"), MetaFile::of(body.version(), &file));
                    // Those of others are listed and not fetched.
                    if tenant + 1 == division.tenants {
                        roles.insert(name, file);
                    }
                }
            }
        }
        let top = targets(1, Some(delegations), Vec::new());
        let top = sign(&top, &[&key(6), &key(7)])?;
        meta.insert("targets.json".to_owned(), MetaFile::of(1, &top));
        roles.insert("targets".to_owned(), top);
        let snapshot = Snapshot {
            version,
            expires: expires(),
            meta,
        };
        let snapshot = sign(&snapshot, &[&key(5)])?;
        let timestamp = Timestamp::of(version, expires(), MetaFile::of(version, &snapshot));
        let last = division.tenants - 1;
        Ok(Files {
            root: sign(&root, &[&key(1), &key(2)])?,
            timestamp: sign(&timestamp, &[&key(4)])?,
            snapshot,
            roles,
            wanted: [
                format!("tenant-{last}/p7/catalogue"),
                format!("tenant-{last}/p7/rollout/stable"),
            ],
        })
    }

    /// Takes the road of a device that has only pinned the root.
    fn refresh(&self) -> Outcome<TrustedSet> {
        let mut set = TrustedSet::pinned(&self.root, TrustLimits::standard())?;
        self.follow(&mut set)?;
        Ok(set)
    }

    fn fetched_first(&self) -> Outcome<usize> {
        let mut set = TrustedSet::pinned(&self.root, TrustLimits::standard())?;
        Ok(self.root.len() + self.follow(&mut set)?)
    }

    /// Returns the bytes that a device fetches which has trusted `set`.
    fn fetched(&self, set: &TrustedSet) -> Outcome<usize> {
        self.follow(&mut set.clone())
    }

    fn follow(&self, set: &mut TrustedSet) -> Outcome<usize> {
        set.update_timestamp(&self.timestamp, now())?;
        let mut fetched = self.timestamp.len();
        if set.snapshot_request()?.is_some() {
            set.update_snapshot(&self.snapshot, now())?;
            fetched += self.snapshot.len();
        }
        for target in &self.wanted {
            loop {
                match set.lookup(target)? {
                    Lookup::Needs(request) => {
                        let file = self.roles.get(&request.role).ok_or("a role is missing")?;
                        set.update_targets(&request, file, now())?;
                        fetched += file.len();
                    }
                    Lookup::Found(_) => break,
                    Lookup::Absent => return Err("the target is missing".into()),
                }
            }
        }
        Ok(fetched)
    }
}

/// Returns a tenant's role and the bins below it; of these the one of the first path is of `version`.
fn tenant_roles(
    division: &Division,
    role: &str,
    key: &Ed25519Signer,
    paths: Vec<String>,
    version: u64,
) -> Vec<(String, Targets)> {
    if division.bins == 0 {
        return vec![(role.to_owned(), targets(version, None, paths))];
    }
    let digits = if division.bins == 16 { 1 } else { 2 };
    let prefix = |path: &String| -> String {
        let digest = TargetEntry::of(path.as_bytes());
        digest
            .sha256()
            .unwrap_or_default()
            .chars()
            .take(digits)
            .collect()
    };
    let changed = paths.first().map(prefix);
    let mut bins: BTreeMap<String, Vec<String>> = (0..division.bins)
        .map(|bin| (format!("{bin:0digits$x}"), Vec::new()))
        .collect();
    for path in paths {
        bins.entry(prefix(&path)).or_default().push(path);
    }
    let mut delegations = Delegations::default();
    for bin in bins.keys() {
        let name = format!("{role}.{bin}");
        delegations.delegate(&name, &[key.public_key().clone()], 1, &[]);
    }
    for (delegated, bin) in delegations.roles.iter_mut().zip(bins.keys()) {
        delegated.paths = None;
        delegated.path_hash_prefixes = Some(vec![bin.clone()]);
    }
    // The role itself stays as it is: only a bin is signed anew.
    let mut all = vec![(role.to_owned(), targets(1, Some(delegations), Vec::new()))];
    for (bin, paths) in bins {
        let version = if Some(&bin) == changed.as_ref() {
            version
        } else {
            1
        };
        all.push((format!("{role}.{bin}"), targets(version, None, paths)));
    }
    all
}

fn targets(version: u64, delegations: Option<Delegations>, paths: Vec<String>) -> Targets {
    let entry = |path: String| {
        let entry = TargetEntry::of(path.as_bytes());
        (path, entry)
    };
    Targets {
        version,
        expires: expires(),
        targets: paths.into_iter().map(entry).collect(),
        delegations,
        issued: Some(now()),
        offline_grace_days: Some(30),
    }
}

fn now() -> UtcTime {
    UtcTime::from_seconds(1_800_000_000)
}

fn expires() -> UtcTime {
    now().plus_days(30)
}

fn key(seed: u8) -> Ed25519Signer {
    Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]))
}

/// Returns a key of a tenant: of those who write, or of those who roll out.
fn key_of(tenant: usize, is_content: bool) -> Ed25519Signer {
    let mut seed = [if is_content { 200 } else { 201 }; 32];
    for (place, byte) in seed.iter_mut().zip(tenant.to_le_bytes()) {
        *place = byte;
    }
    Ed25519Signer::new(SigningKey::from_bytes(&seed))
}

fn public_key(seed: u8) -> PublicKey {
    key(seed).public_key().clone()
}
