//! Mirrors that are damaged, lie, or are somebody else's: refused by name, and nothing is lost.

mod forged;

use std::fs;
use std::path::{Path, PathBuf};

use release_format::TrustError;
use satchel_tests::rig::world::{
    Device, Partial, World, copy_tree, files_below, first_course, second_course,
};
use updater_client::transport::TransportError;
use updater_client::{ErrorKind, UpdateError};

/// Each kind of published file that a device fetches, by what its path in the repository ends with.
const PLACES: [(&str, Who); 8] = [
    ("metadata/timestamp.json", Who::Updating),
    (".snapshot.json", Who::Updating),
    (".targets.json", Who::Fresh),
    (".acme.json", Who::Updating),
    (".acme-operations.json", Who::Updating),
    (".catalogue", Who::Updating),
    (".stable", Who::Updating),
    ("content/", Who::Updating),
];

/// Which device meets the damage: one that updates fetches only what is newer than what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Fresh,
    Updating,
}

/// What happens to the bytes of a published file.
type Harm = fn(&mut Vec<u8>);

#[test]
fn a_flipped_byte_in_any_published_file_is_refused() {
    let harms: [Harm; 3] = [
        |bytes| bytes[0] ^= 0x01,
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x20;
        },
        |bytes| *bytes.last_mut().unwrap() ^= 0x80,
    ];
    for harm in harms {
        for_every_place(
            |place, mirror| change(mirror, place, harm),
            |place, failed| {
                assert_eq!(failed.kind(), ErrorKind::Refused, "{place}: {failed}");
            },
        );
    }
}

#[test]
fn a_truncated_or_emptied_published_file_is_refused() {
    let harms: [Harm; 2] = [|bytes| bytes.truncate(bytes.len() / 2), Vec::clear];
    for harm in harms {
        for_every_place(
            |place, mirror| change(mirror, place, harm),
            |place, failed| assert_eq!(failed.kind(), ErrorKind::Refused, "{place}: {failed}"),
        );
    }
}

#[test]
fn a_published_file_that_goes_on_for_ever_is_read_no_further_than_it_may() {
    let endless: Harm = |bytes| bytes.resize(8 << 20, b' ');
    let place = |place: &str, mirror: &Path| {
        // Content is read as far as its signed length, and what stands behind it never.
        let place = if place == "content/" {
            ".snapshot.json"
        } else {
            place
        };
        change(mirror, place, endless);
    };
    for_every_place(place, |place, failed| {
        assert_eq!(failed.kind(), ErrorKind::Refused, "{place}: {failed}");
    });
}

#[test]
fn a_missing_published_file_is_told_by_its_name() {
    for_every_place(remove, |place, failed| match failed {
        UpdateError::Transport(TransportError::Absent { location }) => {
            assert!(location.contains(place), "{place}: {location}");
        }
        other => panic!("{place}: {other}"),
    });
}

#[test]
fn a_web_page_in_the_place_of_any_published_file_is_told_as_such() {
    let page: Harm = |bytes| *bytes = b"<!doctype html><title>Log in</title>".to_vec();
    for_every_place(
        |place, mirror| change(mirror, place, page),
        |place, failed| match failed {
            UpdateError::Transport(TransportError::CaptivePortal { .. }) => {
                assert_eq!(failed.kind(), ErrorKind::Unreachable, "{place}");
            }
            // Content may be anything: its length and digest decide.
            failed if place == "content/" => assert_eq!(failed.kind(), ErrorKind::Refused),
            failed => panic!("{place}: {failed}"),
        },
    );
}

#[test]
fn a_root_that_the_chain_does_not_vouch_for_is_refused() {
    survives(
        Who::Updating,
        |_, mirror| {
            let stranger = World::new();
            let root = stranger.root();
            fs::write(mirror.join("metadata/2.root.json"), root).unwrap();
        },
        |failed| {
            assert!(matches!(failed, UpdateError::Trust(_)), "{failed}");
            assert_eq!(failed.kind(), ErrorKind::Refused);
        },
    );
}

#[test]
fn a_repository_signed_by_another_root_is_refused() {
    let stranger = World::new();
    stranger.publish("1.1", &second_course());
    for who in [Who::Fresh, Who::Updating] {
        survives(
            who,
            |_, mirror| replace(mirror, &stranger.repository()),
            |failed| {
                let refused = matches!(failed, UpdateError::Trust(TrustError::Signatures { .. }));
                assert!(refused, "{failed}");
            },
        );
    }
}

#[test]
fn a_target_that_is_signed_to_be_huge_is_refused_before_it_is_read() {
    let (world, device) = World::with_an_update();
    let huge = |signed: &mut serde_json::Value| {
        let targets = signed["targets"].as_object_mut().unwrap();
        for entry in targets.values_mut() {
            entry["length"] = serde_json::json!(1_u64 << 40);
        }
    };
    let forger = world.forger(&world.repository());
    forger.change_role("acme", huge).unwrap();
    match device.update() {
        Err(UpdateError::Trust(TrustError::TooLong { length, limit, .. })) => {
            assert_eq!((length, limit), (1 << 40, 32 << 20));
        }
        other => panic!("expected to be too long, found {other:?}"),
    }
    device.assert_has(&first_course());
}

#[test]
fn two_updaters_that_race_with_mirrors_of_different_age_never_go_back() {
    let (world, device) = World::with_an_update();
    let older = world.copy_of_repository();
    let forger = world.forger(&world.repository());
    forger.change_role("acme", |_| {}).unwrap();
    let newer = world.repository();
    let seen = device.layout().trust().top_role("timestamp.json");
    let newest = fs::read(newer.join("metadata/timestamp.json")).unwrap();
    std::thread::scope(|threads| {
        for mirror in [&newer, &older, &newer, &older] {
            let (device, seen, newest) = (device.clone(), &seen, &newest);
            threads.spawn(move || {
                let mut has_seen = false;
                for _ in 0..20 {
                    let outcome = device.update_from(mirror);
                    let found = fs::read(seen).unwrap();
                    assert!(!has_seen || found == *newest, "it went back");
                    has_seen |= found == *newest;
                    match outcome {
                        Ok(_) | Err(UpdateError::Busy { .. }) => {}
                        Err(UpdateError::Trust(TrustError::Rollback { .. })) => assert!(has_seen),
                        Err(failed) => panic!("{failed}"),
                    }
                }
            });
        }
    });
    device.update_from(&newer).unwrap();
    assert_eq!(fs::read(&seen).unwrap(), newest);
    device.assert_has(&second_course());
}

#[test]
fn metadata_older_than_seen_is_refused_as_rollback() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let older = world.copy_of_repository();
    world.publish("1.1", &second_course());
    let device = world.device();
    device.update().unwrap();
    device.confirm();
    let failed = device.update_from(&older).unwrap_err();
    assert!(
        matches!(failed, UpdateError::Trust(TrustError::Rollback { .. })),
        "{failed}"
    );
    assert_eq!(
        (failed.kind(), failed.code()),
        (ErrorKind::Refused, "rollback")
    );
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
}

#[test]
fn metadata_that_nobody_signed_anew_is_refused_once_it_expires() {
    let (world, device) = World::with_an_update();
    world.clock().add_days(8);
    let failed = device.update().unwrap_err();
    assert!(
        matches!(failed, UpdateError::Trust(TrustError::Expired { .. })),
        "{failed}"
    );
    device.assert_has(&first_course());
    world.publish("1.2", &second_course().revised(3));
    device.update().unwrap();
    device.assert_has(&second_course().revised(3));
}

#[test]
fn one_file_of_an_older_repository_among_newer_ones_is_refused() {
    for place in [".catalogue", ".stable", ".acme.json", ".snapshot.json"] {
        let world = World::new();
        world.publish("1.0", &first_course());
        let older = world.copy_of_repository();
        world.publish("1.1", &second_course());
        let mirror = world.copy_of_repository();
        let bytes = fs::read(&matching(&older, place)[0]).unwrap();
        remove_patches(&mirror);
        change(&mirror, place, |_| {});
        for file in matching(&mirror, place) {
            fs::write(file, &bytes).unwrap();
        }
        let device = world.device();
        let failed = device.update_from(&mirror).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Refused, "{place}: {failed}");
        assert_eq!(device.active_label(), None);
        device.update().unwrap();
        device.assert_has(&second_course());
    }
}

/// What comes over a patch is asked for as a whole file only where there is none.
fn remove_patches(mirror: &Path) {
    fs::remove_dir_all(mirror.join("metadata/patches")).unwrap();
}

fn for_every_place(harm: impl Fn(&str, &Path), judge: impl Fn(&str, &UpdateError)) {
    for (place, who) in PLACES {
        survives(
            who,
            |_, mirror| {
                remove_patches(mirror);
                harm(place, mirror);
            },
            |failed| judge(place, failed),
        );
    }
}

/// Updates from a mirror that came to harm, and then from one that did not.
fn survives(who: Who, harm: impl Fn(&World, &Path), judge: impl Fn(&UpdateError)) {
    let (world, updating) = World::with_an_update();
    let device = if who == Who::Fresh {
        world.device()
    } else {
        updating
    };
    let mirror = world.copy_of_repository();
    harm(&world, &mirror);
    let failed = device
        .update_from(&mirror)
        .expect_err("the harm was not noticed");
    judge(&failed);
    lost_nothing(&device, who);
    device.update().unwrap();
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
}

fn lost_nothing(device: &Device, who: Who) {
    match who {
        Who::Fresh => assert_eq!(device.active_label(), None),
        Who::Updating => device.assert_has(&first_course()),
    }
    device.assert_tidy(Partial::Kept);
}

fn change(mirror: &Path, place: &str, harm: Harm) {
    for file in matching(mirror, place) {
        let mut bytes = fs::read(&file).unwrap();
        harm(&mut bytes);
        fs::write(&file, bytes).unwrap();
    }
}

fn remove(place: &str, mirror: &Path) {
    for file in matching(mirror, place) {
        satchel_tests::rig::world::remove(file);
    }
}

fn replace(mirror: &Path, by: &Path) {
    satchel_tests::rig::world::remove(mirror);
    copy_tree(by, mirror);
}

fn matching(mirror: &Path, place: &str) -> Vec<PathBuf> {
    let mut files = files_below(mirror);
    files.retain(|file| {
        let below = file.strip_prefix(mirror).unwrap().to_str().unwrap();
        below.replace('\\', "/").contains(place)
    });
    assert!(!files.is_empty(), "nothing published matches {place}");
    files
}
