//! An error at every call that changes the library: named, nothing lost, and the next update succeeds.

use std::io;
use std::sync::Arc;

use satchel_tests::rig::disk::{Fault, FaultyDisk};
use satchel_tests::rig::world::{Device, Partial, World, first_course, remove, second_course};
use updater_client::{ErrorKind, Outcome, UpdateError};

#[test]
fn a_disk_that_is_full_for_a_moment_at_any_call_is_told_and_nothing_is_lost() {
    at_every_call(
        |at| Fault::Once {
            at,
            kind: io::ErrorKind::StorageFull,
        },
        |failed| {
            assert!(matches!(failed, UpdateError::DiskFull(_)), "{failed}");
            assert_eq!(failed.kind(), ErrorKind::Space);
        },
    );
}

#[test]
fn a_disk_that_is_full_from_any_call_on_is_told_and_nothing_is_lost() {
    at_every_call(
        |at| Fault::ForGood {
            at,
            kind: io::ErrorKind::StorageFull,
        },
        |failed| {
            assert!(matches!(failed, UpdateError::DiskFull(_)), "{failed}");
        },
    );
}

#[test]
fn a_disk_that_fails_at_any_call_is_told_and_nothing_is_lost() {
    at_every_call(
        |at| Fault::Once {
            at,
            kind: io::ErrorKind::Other,
        },
        |failed| {
            assert!(matches!(failed, UpdateError::Disk(_)), "{failed}");
            assert_eq!(failed.code(), "disk-failed");
        },
    );
}

#[test]
fn a_library_that_becomes_read_only_at_any_call_is_told_and_nothing_is_lost() {
    at_every_call(
        |at| Fault::ForGood {
            at,
            kind: io::ErrorKind::ReadOnlyFilesystem,
        },
        |failed| {
            assert!(matches!(failed, UpdateError::Disk(_)), "{failed}");
            assert_eq!(failed.code(), "not-permitted");
        },
    );
}

/// Installs and updates with a fault at each call in turn, then again without one.
fn at_every_call(fault: impl Fn(u64) -> Fault, judge: impl Fn(&UpdateError)) {
    let (world, updating) = World::with_an_update();
    for before in [world.device(), updating] {
        let device = |name: String| before.copied_to(world.folder().join(name));
        let counting = Arc::new(FaultyDisk::new(Fault::Nothing));
        device("counted".to_owned())
            .update_on(counting.clone())
            .unwrap();
        assert!(counting.calls() > 50, "{} calls", counting.calls());
        for at in 0..counting.calls() {
            let device = device(format!("faulty-{at}"));
            let disk = Arc::new(FaultyDisk::new(fault(at)));
            match device.update_on(disk.clone()) {
                Err(failed) => judge(&failed),
                // Tidying behind the switch may fail: it is done the next time.
                Ok(updated) => {
                    assert!(
                        matches!(updated.outcome, Outcome::Activated(_)),
                        "call {at}"
                    );
                    device.assert_has(&second_course());
                }
            }
            assert!(disk.has_failed(), "call {at} was never made");
            goes_on(&device, before.active_label());
            remove(device.library());
        }
    }
}

/// Shows that the old release or the new one is active, whole, and that the next update succeeds.
fn goes_on(device: &Device, before: Option<String>) {
    let label = device.active_label();
    match label.as_deref() {
        Some("1.1") => device.assert_has(&second_course()),
        label => {
            assert_eq!(label, before.as_deref());
            if label.is_some() {
                device.assert_has(&first_course());
            }
        }
    }
    device.update().unwrap();
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
}
