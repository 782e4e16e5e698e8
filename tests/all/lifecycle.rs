//! A course from its first install to its last revert.

use std::fs;
use std::sync::{Arc, Mutex};

use diff_core::CancelToken;
use satchel_tests::rig::course::{Course, Random};
use satchel_tests::rig::world::{Device, Partial, World, first_course, remove, second_course};
use updater_client::library::lock::LibraryLock;
use updater_client::{
    ErrorKind, Event, FolderTransport, Outcome, UpdateError, UpdateOptions, Withheld,
};

fn never() -> CancelToken {
    CancelToken::new()
}

#[test]
fn a_first_install_comes_whole_by_the_delta_from_nothing_and_is_on_trial() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let device = world.device();
    let updated = device.update().unwrap();
    assert!(matches!(&updated.outcome, Outcome::Activated(r) if r.label.as_str() == "1.0"));
    assert!(updated.route.unwrap().is_full());
    device.assert_has(&first_course());
    device.assert_tidy(Partial::Gone);
    let updater = device.updater();
    assert!(updater.open_pack(world.pack()).unwrap().on_trial);
    updater
        .trial(world.pack())
        .unwrap()
        .unwrap()
        .confirm()
        .unwrap();
    assert!(!updater.open_pack(world.pack()).unwrap().on_trial);
}

#[test]
fn an_update_comes_by_its_delta_and_keeps_the_release_before_as_fallback() {
    let (world, device) = World::with_an_update();
    let updated = device.update().unwrap();
    let route = updated.route.unwrap();
    assert!(!route.is_full());
    assert!(
        route.hops[0].delta.length * 5 < second_course().bytes(),
        "{} bytes",
        route.hops[0].delta.length
    );
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
    let status = device.updater().status(world.pack()).unwrap();
    let fallback = status.record.fallback().unwrap();
    let tree = device.layout().tree(world.pack(), &fallback.manifest);
    assert_eq!(
        first_course().difference(&Course::read(&tree).unwrap()),
        None
    );
    assert!(matches!(device.update().unwrap().outcome, Outcome::Current));
}

#[cfg(unix)]
#[test]
fn unchanged_and_renamed_files_share_their_bytes_with_the_release_before_and_are_read_only() {
    use std::os::unix::fs::MetadataExt;
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    let record = device.updater().status(world.pack()).unwrap().record;
    let tree = |manifest| device.layout().tree(world.pack(), manifest);
    let old = tree(&record.fallback().unwrap().manifest);
    let new = tree(&record.active().unwrap().manifest);
    for (before, after) in [
        ("media/photo.jpg", "media/photo.jpg"),
        ("chapters/03/lesson.html", "chapters/03/lesson-three.html"),
    ] {
        let (before, after) = (
            fs::metadata(old.join(before)).unwrap(),
            fs::metadata(new.join(after)).unwrap(),
        );
        // A reflink would have another inode; the file system of the tests' folder may do either.
        assert!(before.ino() == after.ino() || after.blocks() > 0);
    }
    for file in satchel_tests::rig::world::files_below(&new) {
        assert!(
            fs::metadata(&file).unwrap().permissions().readonly(),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_confirmation_that_is_repeated_is_no_failure_and_one_of_nothing_is() {
    let (world, device) = World::with_an_update();
    let updater = device.updater();
    updater.confirm(world.pack()).unwrap();
    device.assert_has(&first_course());
    let stranger = world.device().updater().confirm(world.pack());
    assert!(matches!(stranger, Err(UpdateError::NotInstalled { .. })));
}

#[test]
fn a_device_far_behind_takes_two_deltas_in_a_row() {
    let world = World::new();
    let device = world.device();
    world.publish("0", &first_course());
    device.update().unwrap();
    device.confirm();
    let mut course = first_course();
    for number in 1..=6 {
        course.put("index.html", Random::new(number).prose(3_000));
        world.publish(&number.to_string(), &course);
    }
    let updated = device.update().unwrap();
    // Deltas start from the last four releases.
    assert_eq!(updated.route.unwrap().hops.len(), 2);
    device.assert_has(&course);
}

#[test]
fn a_failed_release_goes_back_at_once_and_is_refused_until_a_newer_one() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    let updater = device.updater();
    let active = updater
        .fail(world.pack(), "the video does not play")
        .unwrap()
        .unwrap();
    assert_eq!(active.label.as_str(), "1.0");
    device.assert_has(&first_course());
    match device.update().unwrap().outcome {
        Outcome::Withheld(Withheld::FailedHere { reason, .. }) => {
            assert_eq!(reason, "the video does not play");
        }
        other => panic!("{other:?}"),
    }
    device.assert_has(&first_course());
    device.assert_tidy(Partial::Gone);
    let third = second_course().revised(3);
    world.publish("1.2", &third);
    device.update().unwrap();
    device.assert_has(&third);
}

#[test]
fn a_release_that_is_opened_too_often_without_a_confirmation_goes_back() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    for _ in 0..3 {
        let open = device.updater().open_pack(world.pack()).unwrap();
        assert!(open.on_trial);
        assert_eq!(
            second_course().difference(&Course::read(&open.tree).unwrap()),
            None
        );
    }
    let open = device.updater().open_pack(world.pack()).unwrap();
    assert!(!open.on_trial);
    assert_eq!(
        first_course().difference(&Course::read(&open.tree).unwrap()),
        None
    );
}

#[test]
fn a_release_whose_files_are_gone_goes_back_when_it_is_opened_or_confirmed() {
    for confirm in [false, true] {
        let (world, device) = World::with_an_update();
        device.update().unwrap();
        let updater = device.updater();
        let tree = updater.status(world.pack()).unwrap().tree.unwrap();
        remove(&tree);
        if confirm {
            let failed = updater.confirm(world.pack()).unwrap_err();
            assert!(
                matches!(failed, UpdateError::TrialFailed { .. }),
                "{failed}"
            );
            assert_eq!(failed.kind(), ErrorKind::TrialFailed);
        } else {
            updater.open_pack(world.pack()).unwrap();
        }
        device.assert_has(&first_course());
    }
}

#[test]
fn a_confirmed_release_goes_back_when_asked_without_any_repository() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    device.confirm();
    remove(world.repository());
    device
        .updater()
        .revert(world.pack(), "the teacher asks for it")
        .unwrap();
    device.assert_has(&first_course());
}

#[test]
fn a_pack_that_is_not_installed_or_not_published_is_told_as_such() {
    let world = World::new();
    let device = world.device();
    let failed = device.update().unwrap_err();
    assert!(
        matches!(failed, UpdateError::UnknownPack { .. }),
        "{failed}"
    );
    let failed = device.updater().open_pack(world.pack()).unwrap_err();
    assert!(
        matches!(failed, UpdateError::NotInstalled { .. }),
        "{failed}"
    );
    device.assert_tidy(Partial::Gone);
}

#[test]
fn a_damaged_old_file_sends_the_update_another_way() {
    let (world, device) = World::with_an_update();
    let tree = device.updater().status(world.pack()).unwrap().tree.unwrap();
    damage(&tree.join("chapters/02/lesson.html"));
    let updated = device.update().unwrap();
    let route = updated.route.unwrap();
    assert!(route.hops.iter().all(|hop| hop.from.is_none()), "{route:?}");
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
}

#[test]
fn verify_names_every_file_that_is_damaged_missing_or_extra() {
    let (world, device) = World::with_an_update();
    let tree = device.updater().status(world.pack()).unwrap().tree.unwrap();
    damage(&tree.join("media/photo.jpg"));
    remove(tree.join("index.html"));
    fs::write(tree.join("notes.txt"), b"mine").unwrap();
    let report = device.updater().verify(world.pack(), &never()).unwrap();
    let found: Vec<&str> = report
        .damage
        .iter()
        .map(|damage| damage.path.as_str())
        .collect();
    assert_eq!(found, ["index.html", "media/photo.jpg", "notes.txt"]);
}

#[test]
fn staging_alone_changes_nothing_and_the_switch_then_fetches_no_content() {
    let (world, device) = World::with_an_update();
    let options = UpdateOptions {
        stage_only: true,
        ..UpdateOptions::default()
    };
    let staged = device
        .updater()
        .update(world.pack(), &options, &never())
        .unwrap();
    assert!(matches!(staged.outcome, Outcome::Staged(_)));
    device.assert_has(&first_course());
    let updated = device.update().unwrap();
    assert_eq!(updated.route, None);
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
}

#[test]
fn a_budget_that_is_too_small_is_told_before_anything_is_fetched() {
    let (world, device) = World::with_an_update();
    let options = UpdateOptions {
        budget_bytes: Some(100),
        ..UpdateOptions::default()
    };
    let failed = device
        .updater()
        .update(world.pack(), &options, &never())
        .unwrap_err();
    match failed {
        UpdateError::OverBudget {
            needed,
            budget: 100,
        } => assert!(needed > 100),
        other => panic!("{other}"),
    }
    device.assert_has(&first_course());
    device.assert_tidy(Partial::Gone);
}

#[test]
fn of_two_updaters_at_once_the_second_is_told_that_the_library_is_busy() {
    let (world, device) = World::with_an_update();
    let disk = updater_client::library::disk::RealDisk::new();
    let lock = LibraryLock::acquire(&disk, &device.layout()).unwrap();
    let failed = device.update().unwrap_err();
    assert!(matches!(failed, UpdateError::Busy { .. }), "{failed}");
    assert_eq!(failed.kind(), ErrorKind::Busy);
    // Readers are never kept waiting.
    device.updater().open_pack(world.pack()).unwrap();
    device.assert_has(&first_course());
    drop(lock);
    device.update().unwrap();
    device.assert_has(&second_course());
}

#[test]
fn many_updaters_at_once_end_in_one_update_and_no_damage() {
    let (_world, device) = World::with_an_update();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| device.update())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let activated = |outcome: &&Result<updater_client::Updated, _>| matches!(outcome, Ok(updated) if matches!(updated.outcome, Outcome::Activated(_)));
    assert_eq!(outcomes.iter().filter(activated).count(), 1);
    for failed in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(matches!(failed, UpdateError::Busy { .. }), "{failed}");
    }
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
}

#[test]
fn an_update_cancelled_at_any_event_loses_nothing_and_goes_on() {
    let (world, before) = World::with_an_update();
    let events = Arc::new(Mutex::new(0_usize));
    let counter = Arc::clone(&events);
    let counted = before.copied_to(world.folder().join("counted"));
    update_telling(&counted, &never(), move |_| *counter.lock().unwrap() += 1).unwrap();
    let events = *events.lock().unwrap();
    assert!(events >= 5, "{events} events");
    for at in 0..events {
        let device = before.copied_to(world.folder().join(format!("cancelled-{at}")));
        let (cancel, seen) = (CancelToken::new(), Mutex::new(0));
        let token = cancel.clone();
        let outcome = update_telling(&device, &cancel, move |_| {
            let mut seen = seen.lock().unwrap();
            if *seen == at {
                token.cancel();
            }
            *seen += 1;
        });
        match outcome {
            Ok(()) => device.assert_has(&second_course()),
            Err(UpdateError::Cancelled) => device.assert_has(&first_course()),
            Err(other) => panic!("event {at}: {other}"),
        }
        device.update().unwrap();
        device.assert_has(&second_course());
        device.assert_tidy(Partial::Gone);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_client_may_be_called_from_inside_a_runtime() {
    let (world, device) = World::with_an_update();
    let server = satchel_tests::rig::server::Server::start(world.repository()).unwrap();
    let transport = updater_client::HttpTransport::new(&server.url()).unwrap();
    device.update_over(Arc::new(transport)).unwrap();
    device.assert_has(&second_course());
}

#[test]
fn a_stick_with_the_repository_updates_as_the_repository_does() {
    let (world, device) = World::with_an_update();
    let stick = world.copy_of_repository();
    remove(world.repository());
    let failed = device.update().unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unreachable, "{failed}");
    device
        .update_over(Arc::new(FolderTransport::new(stick)))
        .unwrap();
    device.assert_has(&second_course());
}

fn update_telling(
    device: &Device,
    cancel: &CancelToken,
    told: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<(), UpdateError> {
    let updater = device.builder().observer(Arc::new(told)).build().unwrap();
    updater
        .update(device.pack(), &UpdateOptions::default(), cancel)
        .map(drop)
}

fn damage(file: &std::path::Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // The file is read-only, and linked elsewhere: this one name gets other bytes.
    remove(file);
    fs::write(file, bytes).unwrap();
}
