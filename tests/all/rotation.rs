//! Keys that are lost, stolen and replaced, over twenty roots: every device follows.

use std::path::PathBuf;
use std::sync::Arc;

use publisher::{KeyStore, Repository, RoleKey, TrustChange};
use release_format::{PublicKey, Signer, TrustError};
use satchel_tests::rig::sim::{Script, SimDisk, Step};
use satchel_tests::rig::world::{Device, World, first_course, second_course};
use updater_client::UpdateError;

/// Roots from the first to the newest.
const ROOTS: u64 = 20;

const ROLES: [&str; 6] = [
    "root",
    "timestamp",
    "snapshot",
    "targets",
    "acme",
    "acme-operations",
];

/// The keys that were made so far, and those that somebody still has.
struct Custody {
    world: World,
    made: std::cell::Cell<u32>,
}

impl Custody {
    fn new(world: World) -> Custody {
        Custody {
            world,
            made: std::cell::Cell::new(0),
        }
    }

    fn repository(&self) -> Repository {
        Repository::open(self.world.repository()).unwrap()
    }

    /// Makes a key in the operator's folder.
    fn new_key(&self, role: &str) -> RoleKey {
        self.made.set(self.made.get() + 1);
        let name = format!("{role}-key-{}", self.made.get());
        self.world.keys().generate(&name).unwrap()
    }

    fn ids(&self, role: &str) -> Vec<String> {
        let reports = self.repository().role_reports().unwrap();
        let report = reports.into_iter().find(|report| report.role == role);
        let keys = report.unwrap().keys.keyids;
        keys.iter().map(ToString::to_string).collect()
    }

    /// Gives a role as many new keys as it has, none of which it had.
    fn replaced(&self, role: &str) -> TrustChange {
        let old = self.ids(role);
        let new = old.iter().map(|_| public(&self.new_key(role)));
        TrustChange {
            add: new.map(|key| (role.to_owned(), key)).collect(),
            remove: old.into_iter().map(|id| (role.to_owned(), id)).collect(),
            ..TrustChange::default()
        }
    }

    fn change(&self, change: &TrustChange) -> u64 {
        let (keys, now) = (self.world.keys(), clock(&self.world));
        let governed = self.repository().change_trust(change, &keys, now).unwrap();
        governed.root
    }

    /// Loses the private halves of a role's keys but for the last ones.
    fn lose(&self, ids: &[String]) {
        let keys: KeyStore = self.world.keys();
        for (name, key) in keys.public_keys().unwrap() {
            let id = key.id().unwrap().to_string();
            if ids.contains(&id) {
                std::fs::remove_file(keys.path_of(&name)).unwrap();
            }
        }
    }
}

fn public(key: &RoleKey) -> PublicKey {
    key.public_key().clone()
}

fn clock(world: &World) -> release_format::UtcTime {
    updater_client::Clock::now(&**world.clock())
}

/// Enrols a device that pins the newest root of the repository.
fn pinned(world: &World, version: u64, library: PathBuf) -> Device {
    let location = format!("metadata/{version}.root.json");
    let root = std::fs::read(world.repository().join(location)).unwrap();
    world.device_pinning(&root, library)
}

/// What the change to the root of a version is: in turn, every role's keys are replaced; and in
/// between one of three root keys is lost.
fn next_change(custody: &Custody, version: u64) -> TrustChange {
    let turn = usize::try_from(version).unwrap() % 4;
    let role = ["root", "timestamp", "snapshot", "targets"][turn];
    let mut change = custody.replaced(role);
    if role == "root" && version.is_multiple_of(8) {
        // One of three is lost: the other two name another in its place.
        let ids = custody.ids("root");
        let lost = &ids[..1];
        custody.lose(lost);
        change.add.truncate(1);
        change.remove = vec![("root".to_owned(), lost[0].clone())];
    }
    // Along with the targets' keys go those of the tenant.
    if role == "targets" {
        for role in ["acme", "acme-operations"] {
            let tenant = custody.replaced(role);
            change.add.extend(tenant.add);
            change.remove.extend(tenant.remove);
        }
    }
    change
}

#[test]
fn a_device_at_any_of_twenty_roots_follows_to_the_newest_and_installs() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let custody = Custody::new(world);
    let world = &custody.world;
    let first_ids: Vec<Vec<String>> = ROLES.iter().map(|role| custody.ids(role)).collect();

    // The root goes to three holders; two are enough.
    let mut three = custody.replaced("root");
    for _ in 0..2 {
        three
            .add
            .push(("root".to_owned(), public(&custody.new_key("root"))));
    }
    three.thresholds.push(("root".to_owned(), 2));

    let mut at_each_root = Vec::new();
    for version in 1..=ROOTS {
        // One that was updated under this root and then left, one that only pins it.
        let visited = pinned(
            world,
            version,
            world.folder().join(format!("visited-{version}")),
        );
        visited.update().unwrap();
        visited.confirm();
        visited.assert_has(&first_course());
        let fresh = pinned(
            world,
            version,
            world.folder().join(format!("fresh-{version}")),
        );
        at_each_root.push((version, visited, fresh));
        if version < ROOTS {
            let change = match version {
                1 => three.clone(),
                version => next_change(&custody, version + 1),
            };
            assert_eq!(custody.change(&change), version + 1);
        }
    }
    // Nobody has a key any more that the first root, or the tenant, began with.
    for (role, before) in ROLES.iter().zip(&first_ids) {
        let now = custody.ids(role);
        assert!(before.iter().all(|id| !now.contains(id)), "{role}");
        custody.lose(before);
    }
    world.publish("1.1", &second_course());
    for (version, visited, fresh) in at_each_root {
        for device in [visited, fresh] {
            let updated = device.update();
            updated.unwrap_or_else(|error| panic!("from root {version}: {error}"));
            device.assert_has(&second_course());
            assert!(device.layout().trust().root(ROOTS).is_file(), "{version}");
        }
    }
}

/// Were it the other way round and the power failed, an old mirror would find a device that has forgotten
/// what it saw, or one that cannot read its own trust.
#[test]
fn a_root_is_stored_before_what_its_keys_signed_and_before_what_it_revokes_is_forgotten_for_good() {
    let (world, device) = World::with_an_update();
    let custody = Custody::new(world);
    custody.change(&custody.replaced("timestamp"));
    let timestamp = custody.world.repository().join("metadata/timestamp.json");
    let bytes = std::fs::read(&timestamp).unwrap();
    let trust = device.layout().trust();
    let (root, stored) = (trust.root(2), trust.top_role("timestamp.json"));
    let steps_of = |succeeds: bool| {
        let disk = SimDisk::new(Script::default());
        let trace = disk.trace();
        let updated = device.update_on(Arc::new(disk));
        assert_eq!(updated.is_ok(), succeeds, "{updated:?}");
        trace.lock().unwrap().steps.clone()
    };
    let place = |steps: &[Step], is_it: &dyn Fn(&Step) -> bool| {
        let place = steps.iter().position(is_it);
        place.unwrap_or_else(|| panic!("no such step: {steps:#?}"))
    };
    let is_synced = |step: &Step| *step == Step::SyncDir(trust.folder().to_owned());

    // Of what was signed anew, only the root comes.
    std::fs::remove_file(&timestamp).unwrap();
    let steps = steps_of(false);
    let is_named = |step: &Step| matches!(step, Step::Rename(_, to) if *to == root);
    let named = place(&steps, &is_named);
    let is_rooted = |step: &Step| *step == Step::SyncDir(trust.roots());
    let rooted = named + place(&steps[named..], &is_rooted);
    let forgotten = place(&steps, &|step| *step == Step::Remove(stored.clone()));
    assert!(rooted < forgotten, "{steps:#?}");
    place(&steps[forgotten..], &is_synced);

    // All of it comes, to a device that knows of none.
    std::fs::write(&timestamp, bytes).unwrap();
    let pinned = std::fs::read(custody.world.repository().join("metadata/1.root.json")).unwrap();
    let library = custody.world.folder().join("other");
    let device = custody.world.device_pinning(&pinned, library);
    let disk = SimDisk::new(Script::default());
    let trace = disk.trace();
    device.update_on(Arc::new(disk)).unwrap();
    let trust = device.layout().trust();
    let steps = trace.lock().unwrap().steps.clone();
    let renamed = |name: PathBuf| {
        let is_it = move |step: &Step| matches!(step, Step::Rename(_, to) if *to == name);
        place(&steps, &is_it)
    };
    let places = ["timestamp.json", "snapshot.json"].map(|name| renamed(trust.top_role(name)));
    assert!(renamed(trust.root(2)) < places[0] && places[0] < places[1]);
}

#[test]
fn a_stolen_key_of_the_timestamp_is_worth_nothing_once_it_is_revoked() {
    let (world, device) = World::with_an_update();
    let stolen = world.keys().load("timestamp").unwrap();
    let custody = Custody::new(world);
    let world = &custody.world;
    let mirror = world.copy_of_repository();
    custody.change(&custody.replaced("timestamp"));
    custody.lose(&[stolen.public_key().id().unwrap().to_string()]);
    device.update().unwrap();
    device.confirm();
    // The thief's mirror has the new root, and a timestamp by the old key, far ahead.
    let root = "metadata/2.root.json";
    std::fs::copy(world.repository().join(root), mirror.join(root)).unwrap();
    let file = std::fs::read(mirror.join("metadata/timestamp.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let mut body: release_format::Timestamp =
        serde_json::from_value(file["signed"].clone()).unwrap();
    body.version = 1_000;
    let forged = release_format::sign(&body, &[&stolen]).unwrap();
    std::fs::write(mirror.join("metadata/timestamp.json"), forged).unwrap();
    match device.update_from(&mirror) {
        Err(UpdateError::Trust(TrustError::Signatures { role, valid, .. })) => {
            assert_eq!((role.as_str(), valid), ("timestamp", 0));
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn a_key_of_one_tenant_signs_its_own_packs_and_no_others() {
    let (world, device) = World::with_an_update();
    let custody = Custody::new(world);
    let world = &custody.world;
    let globex = world.keys().generate("globex").unwrap();
    let operations = world.keys().generate("globex-operations").unwrap();
    custody.change(&TrustChange {
        add: vec![
            ("globex".to_owned(), public(&globex)),
            ("globex-operations".to_owned(), public(&operations)),
        ],
        ..TrustChange::default()
    });
    // Taken: a pack of its own.
    let pack = release_format::PackName::parse("globex/physics").unwrap();
    let label = release_format::Label::parse("1.0").unwrap();
    let options = publisher::PublishOptions::new(pack.clone(), label, clock(world));
    let source = world.folder().join("source/1.0");
    let cancel = diff_core::CancelToken::new();
    let quiet = publisher::Quiet;
    let published = custody
        .repository()
        .publish(&source, &world.keys(), &options, &quiet, &cancel);
    published.unwrap();
    device.updater().check(&pack, &cancel).unwrap();
    device.update().unwrap();
    device.confirm();
    device.assert_has(&second_course());

    // Refused: another's. Its role vouches for the catalogue and the rollout of acme's pack, signed
    // well and listed in the snapshot, while acme's own role has lost both.
    let forger = world.forger(&world.repository());
    for (role, thief, target) in [
        ("acme", "globex", "acme/biology-101/catalogue"),
        (
            "acme-operations",
            "globex-operations",
            "acme/biology-101/rollout/stable",
        ),
    ] {
        let target = target.replace("acme/biology-101", world.pack().as_str());
        let (_, metadata) = forger.current(role).unwrap();
        let entry = metadata["signed"]["targets"][&target].clone();
        assert!(entry.is_object(), "{target}");
        forger
            .change_role(thief, |signed| signed["targets"][&target] = entry)
            .unwrap();
        forger
            .change_role(role, |signed| {
                signed["targets"].as_object_mut().unwrap().remove(&target);
            })
            .unwrap();
        let told = device.update().unwrap_err().to_string();
        assert!(told.contains(world.pack().as_str()), "{told}");
        let fresh = world.device();
        assert!(fresh.update().is_err(), "{target} by {thief}");
    }
    device.assert_has(&second_course());
}

#[test]
fn a_content_key_moves_no_rollout_and_an_operations_key_signs_no_content() {
    let (world, _) = World::with_an_update();
    let forger = world.forger(&world.repository());
    for (role, other, target) in [
        ("acme", "acme-operations", "rollout/stable"),
        ("acme-operations", "acme", "catalogue"),
    ] {
        let target = format!("{}/{target}", world.pack());
        let (_, metadata) = forger.current(other).unwrap();
        let entry = metadata["signed"]["targets"][&target].clone();
        assert!(entry.is_object(), "{target}");
        let copy = world.copy_of_repository();
        let forger = world.forger(&copy);
        forger
            .change_role(role, |signed| signed["targets"][&target] = entry)
            .unwrap();
        forger
            .change_role(other, |signed| {
                signed["targets"].as_object_mut().unwrap().remove(&target);
            })
            .unwrap();
        let refused = world.device().update_from(&copy);
        assert!(refused.is_err(), "{target} by {role}");
        // It is for who has signed it alone.
        assert!(world.device().update().is_ok(), "{target} by {other}");
    }
}

#[test]
fn one_signer_serves_for_several_roles_wherever_it_comes_from() {
    let world = World::new();
    let custody = Custody::new(world);
    let world = &custody.world;
    let key = custody.new_key("online");
    let shared = public(&key);
    let mut change = TrustChange::default();
    for role in ["timestamp", "snapshot"] {
        change.add.push((role.to_owned(), shared.clone()));
        let old = custody.ids(role).into_iter();
        change.remove.extend(old.map(|id| (role.to_owned(), id)));
    }
    custody.change(&change);
    custody.lose(&[shared.id().unwrap().to_string()]);
    let keys = world.keys().with_signer(Arc::new(key));
    let renewed = TrustChange {
        root_expires: Some(clock(world).plus_days(900)),
        ..TrustChange::default()
    };
    let governed = custody
        .repository()
        .change_trust(&renewed, &keys, clock(world));
    assert_eq!(governed.unwrap().root, 3);
}
