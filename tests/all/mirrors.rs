//! Several mirrors, and sticks with a network behind them: each file from whoever has it, trust from
//! none of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diff_core::CancelToken;
use satchel_tests::rig::server::{Misbehaviour, Server};
use satchel_tests::rig::world::{
    Device, World, copy_tree, files_below, first_course, second_course,
};
use updater_client::{
    ErrorKind, FolderTransport, UpdateError, UpdateOptions, Updated, UpdaterBuilder,
};

fn update(device: &Device, builder: UpdaterBuilder) -> Result<Updated, UpdateError> {
    let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
    builder.build()?.update(device.pack(), &options, &cancel)
}

/// Returns a repository with two releases, and a mirror that has only the first one.
fn with_a_stale_mirror() -> (World, PathBuf) {
    let world = World::new();
    world.publish("1.0", &first_course());
    let stale = world.copy_of_repository();
    world.publish("1.1", &second_course());
    (world, stale)
}

fn content_of(repository: &Path) -> Vec<PathBuf> {
    files_below(&repository.join("content"))
}

#[test]
fn a_mirror_out_of_reach_is_stood_in_for_by_the_next() {
    let (world, stale) = with_a_stale_mirror();
    let nowhere = world.folder().join("unplugged");
    let device = world.device_with_mirrors(&[&nowhere, &world.repository()]);
    update(&device, device.alone()).unwrap();
    device.assert_has(&second_course());
    let device = world.device_with_mirrors(&[&nowhere, &nowhere, &stale]);
    update(&device, device.alone()).unwrap();
    device.assert_has(&first_course());
    let device = world.device_with_mirrors(&[&nowhere, &nowhere]);
    let failed = update(&device, device.alone()).unwrap_err();
    assert_eq!(failed.code(), "unreachable", "{failed}");
}

#[test]
fn a_mirror_that_failed_is_asked_behind_the_others_in_the_next_run_too_until_it_has_rested() {
    let (world, _) = with_a_stale_mirror();
    let start = || Server::start(world.repository()).unwrap();
    let (first, second) = (start(), start());
    let urls = [first.url(), second.url()];
    let device = world.device_with_mirrors(&[Path::new(&urls[0]), Path::new(&urls[1])]);
    let check = || {
        for server in [&first, &second] {
            server.forget();
        }
        let updater = device.alone().build().unwrap();
        let checked = updater.check(device.pack(), &CancelToken::new());
        let asked = [&first, &second].map(|server| server.requests().len());
        (checked.map(|_| ()), asked)
    };
    let health = device.layout().mirror_health();
    let (checked, asked) = check();
    checked.unwrap();
    assert!(asked[0] > 0 && asked[1] == 0, "{asked:?}");
    assert!(!health.exists(), "nothing failed");
    first.misbehave("*", Misbehaviour::HangUp);
    let (checked, asked) = check();
    checked.unwrap();
    assert!(asked[0] > 0 && asked[1] > 0, "{asked:?}");
    // Another process, a moment later.
    let (checked, asked) = check();
    checked.unwrap();
    assert!(asked[0] == 0 && asked[1] > 0, "{asked:?}");
    // Where no other is left, it is asked all the same.
    second.misbehave("*", Misbehaviour::HangUp);
    let (checked, asked) = check();
    assert_eq!(checked.unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(asked[0] > 0 && asked[1] > 0, "{asked:?}");
    first.behave();
    let (checked, _) = check();
    checked.unwrap();
    second.behave();
    // What nobody can read, and what a clock has written that went ahead, is no reason to wait.
    let kept = fs::read(&health).unwrap();
    for damaged in [
        b"{}".to_vec(),
        kept[..kept.len() / 2].to_vec(),
        vec![7; 1 << 20],
    ] {
        fs::write(&health, damaged).unwrap();
        let (checked, asked) = check();
        checked.unwrap();
        assert!(asked[0] > 0 && asked[1] == 0, "{asked:?}");
    }
    first.misbehave("*", Misbehaviour::HangUp);
    check().0.unwrap();
    first.behave();
    for days in [-10_000, 10_000] {
        let kept = fs::read(&health).unwrap();
        world.clock().add_days(days);
        let (_, asked) = check();
        assert!(asked[0] > 0, "{asked:?} after {days} days");
        world.clock().add_days(-days);
        fs::write(&health, kept).unwrap();
    }
}

#[test]
fn a_mirror_that_lied_is_asked_behind_the_others_in_the_next_run() {
    let (world, _) = with_a_stale_mirror();
    let start = || Server::start(world.repository()).unwrap();
    let (liar, honest) = (start(), start());
    let urls = [liar.url(), honest.url()];
    let device = world.device_with_mirrors(&[Path::new(&urls[0]), Path::new(&urls[1])]);
    liar.misbehave("content/*", Misbehaviour::Flip { byte: 5 });
    update(&device, device.alone()).unwrap();
    device.assert_has(&second_course());
    liar.forget();
    let updater = device.alone().build().unwrap();
    updater.check(device.pack(), &CancelToken::new()).unwrap();
    assert_eq!(liar.requests().len(), 0);
}

#[test]
fn a_mirror_that_is_older_than_the_device_is_passed_over() {
    let (world, stale) = with_a_stale_mirror();
    let device = world.device_with_mirrors(&[&stale, &world.repository()]);
    let newest = Arc::new(FolderTransport::new(world.repository()));
    update(&device, device.alone().repository(newest)).unwrap();
    device.confirm();
    world.publish("1.2", &first_course().revised(7));
    update(&device, device.alone()).unwrap();
    device.assert_has(&first_course().revised(7));
    // With no other mirror it is what it is: a step back.
    let alone = world.device_with_mirrors(&[&stale]);
    let newest = Arc::new(FolderTransport::new(world.repository()));
    update(&alone, alone.alone().repository(newest)).unwrap();
    let failed = update(&alone, alone.alone()).unwrap_err();
    assert_eq!(failed.code(), "rollback", "{failed}");
}

#[test]
fn content_that_one_mirror_damages_comes_from_another() {
    let world = World::new();
    world.publish("1.0", &first_course());
    for harm in ["flip", "cut", "empty", "gone"] {
        let bad = world.copy_of_repository();
        for file in content_of(&bad) {
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            match harm {
                "flip" => bytes[middle] ^= 1,
                "cut" => bytes.truncate(middle),
                "empty" => bytes.clear(),
                _ => {
                    fs::remove_file(&file).unwrap();
                    continue;
                }
            }
            fs::write(&file, bytes).unwrap();
        }
        let device = world.device_with_mirrors(&[&bad, &world.repository()]);
        if let Err(failed) = update(&device, device.alone()) {
            panic!("{harm}: {failed}");
        }
        device.assert_has(&first_course());
    }
}

#[test]
fn a_stick_brings_what_it_has_and_the_network_what_it_lacks() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let stick = world.copy_of_repository();
    // A stick that was pulled out too early: what is large did not get onto it.
    for file in content_of(&stick) {
        if fs::metadata(&file).unwrap().len() > 10_000 {
            fs::remove_file(file).unwrap();
        }
    }
    let device = world.device_with_mirrors(&[&world.repository()]);
    let transport = || Arc::new(FolderTransport::new(&stick));
    let failed = update(&device, device.alone().repository(transport())).unwrap_err();
    assert_eq!(failed.code(), "absent", "{failed}");
    update(&device, device.alone().prefer(transport())).unwrap();
    device.assert_has(&first_course());
    device.confirm();
    // What is offered is what the stick says, though the network has more.
    world.publish("1.1", &second_course());
    let updated = update(&device, device.alone().prefer(transport())).unwrap();
    assert_eq!(updated.route, None);
    device.assert_has(&first_course());
    update(&device, device.alone()).unwrap();
    device.assert_has(&second_course());
    device.confirm();
    let failed = update(&device, device.alone().prefer(transport())).unwrap_err();
    assert_eq!(failed.code(), "rollback", "{failed}");
}

#[test]
fn a_stick_that_is_newer_than_the_network_updates_trust_and_course() {
    let (world, stale) = with_a_stale_mirror();
    let stick = world.folder().join("stick");
    copy_tree(&world.repository(), &stick);
    let device = world.device_with_mirrors(&[&stale]);
    update(&device, device.alone()).unwrap();
    device.confirm();
    let transport = Arc::new(FolderTransport::new(&stick));
    update(&device, device.alone().prefer(transport)).unwrap();
    device.assert_has(&second_course());
    // From now on the network is the one that is behind.
    let failed = update(&device, device.alone()).unwrap_err();
    assert_eq!(failed.code(), "rollback", "{failed}");
}
