//! Sticks: written in any state of theirs, pulled out at any moment, read by devices without a network.

use std::path::Path;

use diff_core::CancelToken;
use publisher::{ExportOptions, ExportReach, Exported, PublishError, Quiet, Repository, Storage};
use release_format::Label;
use satchel_tests::rig::storage::Dying;
use satchel_tests::rig::world::{
    World, copy_tree, files_below, first_course, remove, second_course, third_course,
};
use updater_client::ErrorKind;

fn export_in(from: &Path, to: &dyn Storage, reach: ExportReach) -> Result<Exported, PublishError> {
    let repository = Repository::open(from).unwrap();
    let options = ExportOptions::new(Vec::new(), reach);
    repository.export_in(to, &options, &Quiet, &CancelToken::new())
}

fn export(from: &Path, to: &Path, reach: ExportReach) -> Exported {
    export_in(from, &Dying::at(to, usize::MAX), reach).unwrap()
}

fn from(label: &str) -> ExportReach {
    ExportReach::From(vec![Label::parse(label).unwrap()])
}

#[test]
fn devices_install_and_update_from_the_stick_alone() {
    let (world, device) = World::with_an_update();
    let stick = world.folder().join("stick");
    export(&world.repository(), &stick, ExportReach::Deltas);
    std::fs::remove_dir_all(world.repository()).unwrap();
    let updated = device.update_from(&stick).unwrap();
    assert!(!updated.route.unwrap().is_full());
    device.assert_has(&second_course());
    let new = world.device();
    assert!(new.update_from(&stick).unwrap().route.unwrap().is_full());
    new.assert_has(&second_course());
}

#[test]
fn stick_for_one_release_updates_devices_on_it_by_the_route_of_the_repository() {
    let (world, device) = World::with_an_update();
    let stick = world.folder().join("stick");
    let exported = export(&world.repository(), &stick, from("1.0"));
    let over_the_line = device.copied_to(world.folder().join("twin"));
    let updated = device.update_from(&stick).unwrap();
    device.assert_has(&second_course());
    assert_eq!(updated.route, over_the_line.update().unwrap().route);
    assert!(updated.traffic.bytes <= exported.bytes);
    // It has nothing for others, and they are told so rather than given something else.
    let refused = world.device().update_from(&stick).unwrap_err();
    assert_ne!(refused.kind(), ErrorKind::Refused, "{refused}");
}

#[test]
fn damaged_device_heals_from_a_full_stick() {
    let (world, device) = World::with_an_update();
    let stick = world.folder().join("stick");
    export(&world.repository(), &stick, ExportReach::Full);
    device.update_from(&stick).unwrap();
    device.confirm();
    std::fs::remove_dir_all(world.repository()).unwrap();
    let tree = device
        .updater()
        .status(device.pack())
        .unwrap()
        .tree
        .unwrap();
    let page = files_below(&tree).remove(0);
    remove(&page);
    let mirror = updater_client::FolderTransport::new(&stick);
    let updater = device.builder().repository(std::sync::Arc::new(mirror));
    let updater = updater.build().unwrap();
    let options = updater_client::HealOptions::default();
    updater
        .heal(device.pack(), &options, &CancelToken::new())
        .unwrap();
    device.assert_has(&second_course());
}

#[test]
fn older_stick_is_refused_by_devices_that_have_seen_a_newer_one() {
    let (world, device, mirror) = World::with_two_updates();
    let (older, newer) = (world.folder().join("older"), world.folder().join("newer"));
    export(&mirror, &older, ExportReach::Deltas);
    export(&world.repository(), &newer, ExportReach::Deltas);
    device.update_from(&newer).unwrap();
    device.assert_has(&third_course());
    let refused = device.update_from(&older).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
}

#[test]
fn stick_pulled_out_at_any_step_has_the_old_or_the_new_release() {
    let (world, device, mirror) = World::with_two_updates();
    let stick = world.folder().join("stick");
    export(&mirror, &stick, ExportReach::Full);
    let (mut old, mut new) = (0, 0);
    for steps in 0.. {
        let torn = world.folder().join(format!("torn-{steps}"));
        copy_tree(&stick, &torn);
        let storage = Dying::at(&torn, steps);
        let died = export_in(&world.repository(), &storage, ExportReach::Full);
        let learner = device.copied_to(world.folder().join(format!("learner-{steps}")));
        learner.update_from(&torn).unwrap();
        match learner.active_label().unwrap().as_str() {
            "1.1" => {
                learner.assert_has(&second_course());
                assert_eq!(new, 0, "it went back at step {steps}");
                old += 1;
            }
            "1.2" => {
                learner.assert_has(&third_course());
                new += 1;
            }
            other => panic!("step {steps} leaves {other}"),
        }
        if died.is_ok() {
            break;
        }
        // Once more, and it is as if nothing had happened.
        export(&world.repository(), &torn, ExportReach::Full);
        learner.update_from(&torn).unwrap();
        learner.assert_has(&third_course());
        std::fs::remove_dir_all(&torn).unwrap();
        remove(learner.library());
    }
    assert!(
        old > 10 && new > 3,
        "{old} steps with the old, {new} with the new"
    );
}

#[test]
fn first_export_that_is_pulled_out_is_no_repository_until_it_is_whole() {
    let (world, device) = World::with_an_update();
    for steps in 0.. {
        let torn = world.folder().join(format!("torn-{steps}"));
        let died = export_in(&world.repository(), &Dying::at(&torn, steps), from("1.0"));
        let learner = device.copied_to(world.folder().join(format!("learner-{steps}")));
        let updated = learner.update_from(&torn);
        if died.is_ok() {
            learner.assert_has(&second_course());
            assert!(steps > 8, "only {steps} steps");
            break;
        }
        match updated {
            Ok(_) => learner.assert_has(&second_course()),
            Err(refused) => {
                assert_ne!(
                    refused.kind(),
                    ErrorKind::Refused,
                    "step {steps}: {refused}"
                );
                learner.assert_has(&first_course());
            }
        }
    }
}
