//! Damage of every kind, and that it is healed without touching what is sound.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use diff_core::CancelToken;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::{Device, Partial, World, first_course, remove, second_course};
use updater_client::{FolderTransport, HealOptions, Healed, PruneOptions, UpdateError, Updater};

/// A device with both releases: 1.1 confirmed, 1.0 as its fallback.
fn updated() -> (World, Device) {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    device.confirm();
    (world, device)
}

fn heal(device: &Device) -> Result<Healed, UpdateError> {
    heal_with(&device.updater(), device)
}

fn heal_with(updater: &Updater, device: &Device) -> Result<Healed, UpdateError> {
    updater.heal(device.pack(), &HealOptions::default(), &CancelToken::new())
}

/// Heals without a repository to ask.
fn heal_alone(device: &Device) -> Result<Healed, UpdateError> {
    let nowhere = FolderTransport::new(device.library().join("nowhere"));
    let updater = device.builder().repository(Arc::new(nowhere)).build()?;
    heal_with(&updater, device)
}

fn tree_of(device: &Device, is_fallback: bool) -> std::path::PathBuf {
    let record = device.updater().status(device.pack()).unwrap().record;
    let release = match is_fallback {
        true => record.fallback().unwrap(),
        false => record.active().unwrap(),
    };
    device.layout().tree(device.pack(), &release.manifest)
}

/// Puts other bytes in the place of a file, whose content other releases may share.
fn replace(path: &Path, bytes: &[u8]) {
    remove(path);
    fs::write(path, bytes).unwrap();
}

/// Changes the bytes of a file under all the names that it has.
fn rot(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn assert_all_sound(device: &Device) {
    let updater = device.updater();
    let reports = updater.verify_all(device.pack(), &CancelToken::new());
    for (release, report) in reports.unwrap() {
        assert_eq!(report.damage, [], "release {}", release.label);
    }
}

#[test]
fn damaged_missing_and_extra_files_are_healed_by_what_is_needed_and_no_more() {
    let (_world, device) = updated();
    let tree = tree_of(&device, false);
    rot(&tree.join("media/photo.jpg"));
    remove(tree.join("index.html"));
    fs::write(tree.join("notes.txt"), b"mine").unwrap();
    let healed = heal(&device).unwrap();
    let active = healed.releases.first().unwrap();
    let damage: Vec<&str> = active.damage.iter().map(|of| of.path.as_str()).collect();
    assert_eq!(damage, ["index.html", "media/photo.jpg", "notes.txt"]);
    assert!(active.fetched_files >= 1, "{active:?}");
    // The photo is one file under two names: its other name is healed from the first, unfetched.
    if let Some(fallback) = healed.releases.get(1) {
        assert_eq!(fallback.fetched_files, 0, "{fallback:?}");
    }
    let photo = second_course().bytes();
    assert!(
        healed.traffic.bytes < photo,
        "{} of {photo}",
        healed.traffic.bytes
    );
    device.assert_has(&second_course());
    assert_all_sound(&device);
    device.assert_tidy(Partial::Gone);
    let again = heal_alone(&device).unwrap();
    assert_eq!((again.releases.len(), again.traffic.bytes), (0, 0));
}

#[test]
fn what_another_release_has_is_healed_without_any_repository() {
    let (_world, device) = updated();
    replace(
        &tree_of(&device, false).join("media/photo.jpg"),
        b"scribbled over",
    );
    replace(&tree_of(&device, true).join("media/photo.jpg"), b"");
    // Both are damaged under names of their own: nothing on the device has the photo.
    let failed = heal_alone(&device).unwrap_err();
    assert_eq!(failed.code(), "unreachable", "{failed}");
    heal(&device).unwrap();
    assert_all_sound(&device);

    let active = device
        .updater()
        .status(device.pack())
        .unwrap()
        .tree
        .unwrap();
    replace(&active.join("media/photo.jpg"), b"scribbled over");
    let healed = heal_alone(&device).unwrap();
    let [release] = healed.releases.as_slice() else {
        panic!("{healed:?}");
    };
    assert_eq!((release.found_files, release.fetched_files), (1, 0));
    assert_eq!(healed.traffic.bytes, 0);
    assert_all_sound(&device);
    device.assert_tidy(Partial::Gone);
}

#[test]
fn a_damaged_tree_is_not_touched_while_somebody_has_it_open() {
    let (world, device) = updated();
    let open = device.updater().open_pack(world.pack()).unwrap();
    replace(&open.tree.join("index.html"), b"scribbled over");
    heal(&device).unwrap();
    assert_eq!(
        fs::read(open.tree.join("index.html")).unwrap(),
        b"scribbled over"
    );
    device.assert_has(&second_course());
    let reopened = device.updater().open_pack(world.pack()).unwrap();
    assert_ne!(reopened.tree, open.tree);
    assert_eq!(reopened.content_version, open.content_version);
    drop(open);
    device.updater().prune(PruneOptions::default()).unwrap();
    device.assert_tidy(Partial::Gone);
    // The healed tree is what the next release is built from, and what revert leaves.
    let third = second_course().revised(3);
    world.publish("1.2", &third);
    let updated = device.update().unwrap();
    assert!(!updated.route.unwrap().is_full());
    device.assert_has(&third);
    device.updater().revert(world.pack(), "back").unwrap();
    device.assert_has(&second_course());
}

#[test]
fn a_damaged_fallback_and_a_lost_manifest_are_healed() {
    let (world, device) = updated();
    let fallback = tree_of(&device, true);
    remove(fallback.join("index.html"));
    let manifest = fallback.with_file_name("manifest");
    remove(&manifest);
    heal(&device).unwrap();
    assert_all_sound(&device);
    device.assert_tidy(Partial::Gone);
    device.updater().revert(world.pack(), "back").unwrap();
    device.assert_has(&first_course());
}

#[test]
fn a_damaged_record_is_healed_and_two_lost_ones_are_made_anew_of_what_lies_there() {
    let (world, device) = updated();
    let layout = device.layout();
    fs::write(layout.state(world.pack()), b"{}").unwrap();
    let healed = heal_alone(&device).unwrap();
    assert!(healed.record.is_some());
    device.assert_has(&second_course());

    for damage in [Some("{}"), None] {
        for path in [
            layout.state(world.pack()),
            layout.previous_state(world.pack()),
        ] {
            match damage {
                Some(text) => fs::write(path, text).unwrap(),
                None => remove(path),
            }
        }
        let healed = heal_alone(&device).unwrap();
        assert!(healed.record.is_some());
        device.assert_has(&second_course());
        let record = device.updater().status(world.pack()).unwrap().record;
        assert_eq!(record.fallback().unwrap().label.as_str(), "1.0");
        assert!(
            record.trial().is_some(),
            "nobody knows whether it was confirmed"
        );
        device.confirm();
    }
    device.updater().revert(world.pack(), "back").unwrap();
    device.assert_has(&first_course());
}

#[test]
fn a_half_deleted_library_is_whole_again() {
    let (world, device) = updated();
    let layout = device.layout();
    for folder in [
        layout.staging(),
        layout.downloads(),
        layout.leases(),
        layout.outbox(),
    ] {
        remove(folder);
    }
    for file in ["timestamp.json", "snapshot.json"] {
        remove(layout.trust().top_role(file));
    }
    remove(layout.trust().delegated_roles());
    remove(layout.state(world.pack()));
    remove(layout.previous_state(world.pack()));
    remove(tree_of_newest(&device).join("chapters"));
    heal(&device).unwrap();
    device.assert_has(&second_course());
    assert_all_sound(&device);
    let third = second_course().revised(3);
    world.publish("1.2", &third);
    device.update().unwrap();
    device.assert_has(&third);
}

/// Returns the tree that has the renamed lesson: that of the second course.
fn tree_of_newest(device: &Device) -> std::path::PathBuf {
    let releases = fs::read_dir(device.layout().releases(device.pack())).unwrap();
    let trees = releases.map(|release| release.unwrap().path().join("tree"));
    let second = second_course();
    trees
        .into_iter()
        .find(|tree| second.difference(&Course::read(tree).unwrap()).is_none())
        .unwrap()
}

#[test]
fn a_device_whose_roots_are_all_damaged_trusts_the_one_that_it_is_given() {
    let (world, device) = World::with_an_update();
    let roots = device.layout().trust().roots();
    for root in fs::read_dir(&roots).unwrap() {
        fs::write(root.unwrap().path(), b"{}").unwrap();
    }
    let updater = device.updater();
    let failed = updater.heal_trust(None);
    assert!(matches!(failed, Err(UpdateError::Damaged { .. })));
    let refused = updater.heal_trust(Some(b"{}".as_slice()));
    assert!(matches!(refused, Err(UpdateError::Trust(_))), "{refused:?}");
    assert!(updater.heal_trust(Some(world.root())).unwrap());
    assert!(!updater.heal_trust(Some(world.root())).unwrap());
    device.update().unwrap();
    device.assert_has(&second_course());
}

#[test]
fn healing_over_the_budget_fetches_nothing_and_changes_nothing() {
    let (_world, device) = updated();
    rot(&tree_of(&device, false).join("media/photo.jpg"));
    let options = HealOptions {
        budget_bytes: Some(10),
    };
    let refused = device
        .updater()
        .heal(device.pack(), &options, &CancelToken::new());
    assert!(matches!(
        refused,
        Err(UpdateError::OverBudget { budget: 10, .. })
    ));
    heal(&device).unwrap();
    assert_all_sound(&device);
}
