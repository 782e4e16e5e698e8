//! The power cut at every call that changes the library: what is there then is old or new, whole.

use std::sync::Arc;

use diff_core::CancelToken;
use release_format::TrustError;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::disk::{Fault, FaultyDisk};
use satchel_tests::rig::world::{Device, Partial, World, first_course, remove, second_course};
use updater_client::{UpdateError, Updater};

#[test]
fn a_first_install_survives_a_power_cut_at_every_call() {
    let (world, _) = World::with_an_update();
    let after = [None, Some(second_course())];
    survives(&world, &world.device(), &after, |device, disk| {
        device.update_on(disk).map(drop)
    });
}

#[test]
fn an_update_survives_a_power_cut_at_every_call() {
    let (world, device) = World::with_an_update();
    let after = [Some(first_course()), Some(second_course())];
    survives(&world, &device, &after, |device, disk| {
        device.update_on(disk).map(drop)
    });
}

#[test]
fn an_update_over_roots_that_rotate_every_key_survives_a_power_cut_at_every_call() {
    let (world, device) = World::with_an_update();
    let forger = world.forger(&world.repository());
    for (number, role) in (1..).zip(["timestamp", "snapshot", "targets"]) {
        forger.rotate(role, [number; 32]).unwrap();
    }
    for role in ["targets", "acme-operations", "snapshot", "timestamp"] {
        forger.change_role(role, |_| {}).unwrap();
    }
    let after = [Some(first_course()), Some(second_course())];
    survives(&world, &device, &after, |device, disk| {
        device.update_on(disk).map(drop)
    });
}

#[test]
fn what_was_seen_survives_a_power_cut_at_every_call_and_nothing_older_is_accepted() {
    let (world, device) = World::with_an_update();
    let older = world.copy_of_repository();
    let forger = world.forger(&world.repository());
    forger.change_role("acme", |_| {}).unwrap();
    let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
    let counted = device.copied_to(world.folder().join("counted"));
    counted.update_on(counting.clone()).unwrap();
    let mut refused = 0;
    for at in 0..counting.calls() {
        let device = device.copied_to(world.folder().join(format!("cut-{at}")));
        let disk = Arc::new(FaultyDisk::new(Fault::PowerCut { at, torn: true }));
        let outcome = device.update_on(disk);
        let seen = device.layout().trust().top_role("timestamp.json");
        let newest = world.repository().join("metadata/timestamp.json");
        let has_seen = std::fs::read(seen).ok() == std::fs::read(newest).ok();
        assert!(
            has_seen || outcome.is_err(),
            "call {at}: used and not stored"
        );
        match device.update_from(&older) {
            Err(UpdateError::Trust(TrustError::Rollback { .. })) => {
                assert!(has_seen, "call {at}");
                refused += 1;
            }
            Ok(_) => assert!(!has_seen, "call {at}: it went back"),
            Err(failed) => panic!("call {at}: {failed}"),
        }
        device.update().unwrap();
        remove(device.library());
    }
    assert!(refused > 0 && refused < counting.calls());
}

#[test]
fn recovery_survives_a_power_cut_at_every_call() {
    let (world, device) = World::with_an_update();
    let after = [Some(first_course()), Some(second_course())];
    let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
    device
        .copied_to(world.folder().join("first"))
        .update_on(counting.clone())
        .unwrap();
    // Cut off while it was being staged, which leaves the most behind.
    let half = device.copied_to(world.folder().join("half"));
    let at = counting.calls() * 2 / 3;
    half.update_on(Arc::new(FaultyDisk::new(Fault::PowerCut {
        at,
        torn: true,
    })))
    .unwrap_err();
    survives(&world, &half, &after, |device, disk| {
        device.update_on(disk).map(drop)
    });
}

#[test]
fn confirming_survives_a_power_cut_at_every_call() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    let after = [Some(second_course()), Some(second_course())];
    survives(&world, &device, &after, |device, disk| {
        on(device, disk)?.confirm(device.pack())
    });
}

#[test]
fn failing_a_trial_survives_a_power_cut_at_every_call() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    let after = [Some(second_course()), Some(first_course())];
    survives(&world, &device, &after, |device, disk| {
        on(device, disk)?
            .fail(device.pack(), "the video does not play")
            .map(drop)
    });
}

#[test]
fn reverting_survives_a_power_cut_at_every_call() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    device.confirm();
    let after = [Some(second_course()), Some(first_course())];
    survives(&world, &device, &after, |device, disk| {
        on(device, disk)?
            .revert(device.pack(), "the teacher asks for it")
            .map(drop)
    });
}

#[test]
fn enrolling_survives_a_power_cut_at_every_call() {
    let (world, _) = World::with_an_update();
    let enroll = |library: &std::path::Path, disk: Arc<FaultyDisk>| {
        Updater::builder(library)
            .disk(disk)
            .enroll(world.root(), Vec::new())
    };
    let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
    enroll(&world.folder().join("counted"), counting.clone()).unwrap();
    for at in 0..counting.calls() {
        for torn in [false, true] {
            let library = world.folder().join(format!("enrolled-{at}-{torn}"));
            let disk = Arc::new(FaultyDisk::new(Fault::PowerCut { at, torn }));
            // The last calls make durable what is in force already.
            let is_cut = enroll(&library, disk).is_err();
            match Updater::open(&library) {
                Ok(_) => {}
                Err(UpdateError::NotALibrary { .. }) => {
                    assert!(is_cut, "call {at}");
                    enroll(&library, Arc::new(FaultyDisk::new(Fault::Nothing))).unwrap();
                }
                Err(failed) => panic!("call {at}: {failed}"),
            }
        }
    }
}

/// Cuts the power at each call of `verb` in turn, and shows that the device has one of the two courses
/// of `after` then, that it can be asked and verified, and that it goes on.
fn survives(
    world: &World,
    before: &Device,
    after: &[Option<Course>; 2],
    verb: impl Fn(&Device, Arc<FaultyDisk>) -> Result<(), UpdateError>,
) {
    let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
    let counted = before.copied_to(world.folder().join("counted"));
    verb(&counted, counting.clone()).unwrap();
    for at in 0..counting.calls() {
        for torn in [false, true] {
            let device = before.copied_to(world.folder().join(format!("cut-{at}-{torn}")));
            let disk = Arc::new(FaultyDisk::new(Fault::PowerCut { at, torn }));
            // What is cut behind the commit point may end well: nothing is lost by it.
            let outcome = verb(&device, disk.clone());
            assert!(disk.has_failed(), "call {at} was never made");
            let [old, new] = after;
            let found = course_of(&device);
            let is_new = found.as_ref() == new.as_ref();
            assert!(
                is_new || found.as_ref() == old.as_ref(),
                "call {at}: {found:?}"
            );
            assert!(is_new || outcome.is_err(), "call {at}: a success was lost");
            if found.is_some() {
                let report = device
                    .updater()
                    .verify(device.pack(), &CancelToken::new())
                    .unwrap();
                assert_eq!(report.damage, [], "call {at}");
            }
            device.update().unwrap();
            device.assert_tidy(Partial::Gone);
            remove(device.library());
        }
    }
}

fn course_of(device: &Device) -> Option<Course> {
    let tree = device.updater().status(device.pack()).unwrap().tree?;
    Some(Course::read(&tree).unwrap())
}

fn on(device: &Device, disk: Arc<FaultyDisk>) -> Result<Updater, UpdateError> {
    device.builder().disk(disk).build()
}
