//! Files that another program has open: nothing is lost, and what cannot be done names the file.
//!
//! On Windows such a file can be neither replaced nor removed; elsewhere nothing comes of it.

use std::path::Path;
use std::sync::Arc;

use diff_core::CancelToken;
use satchel_tests::rig::held::{Held, Sharing};
use satchel_tests::rig::world::{
    Device, Partial, World, files_below, first_course, remove, second_course, third_course,
};
use updater_client::{ErrorKind, HealOptions, PruneOptions, UpdateError};

/// Fails unless the error says which file it is that somebody else has.
#[track_caller]
fn names(failed: &UpdateError, held: &Held) {
    let told = failed.to_string();
    let can_hold = cfg!(windows);
    assert!(can_hold, "{told}");
    assert_eq!(
        (failed.code(), failed.kind()),
        ("file-held", ErrorKind::Busy),
        "{told}"
    );
    assert!(told.contains(&held.name()), "{told} does not name {held:?}");
    assert!(told.contains("another program has it open"), "{told}");
}

/// Does `work` on a copy of `device` for each of its files in turn, held open meanwhile, and shows that
/// it succeeds afterwards at the latest.
fn with_each_file_held(
    (world, device): (&World, &Device),
    work: impl Fn(&Device) -> Result<(), UpdateError>,
    judge: impl Fn(&Device, bool),
) {
    let files = files_below(device.library());
    assert!(files.len() > 25, "{} files", files.len());
    for (number, file) in files.iter().enumerate() {
        let below = file.strip_prefix(device.library()).unwrap();
        for sharing in [Sharing::Reading, Sharing::Nothing] {
            let place = world.folder().join(format!("held-{number}"));
            let device = device.copied_to(place);
            let held = Held::open(&device.library().join(below), sharing).unwrap();
            // Seen where what follows fails.
            println!("{} is held, sharing {sharing:?}", below.display());
            let outcome = work(&device);
            if let Err(failed) = &outcome {
                names(failed, &held);
            }
            drop(held);
            judge(&device, outcome.is_ok());
            if outcome.is_err() {
                work(&device).unwrap();
                judge(&device, true);
            }
            remove(device.library());
        }
    }
}

#[test]
fn an_update_beside_a_file_that_is_held_succeeds_or_names_it_and_loses_nothing() {
    let (world, device) = World::with_an_update();
    with_each_file_held(
        (&world, &device),
        |device| device.update().map(drop),
        |device, has_succeeded| {
            let label = device.active_label();
            match has_succeeded || label.as_deref() == Some("1.1") {
                true => device.assert_has(&second_course()),
                false => device.assert_has(&first_course()),
            }
        },
    );
}

#[test]
fn going_back_beside_a_file_that_is_held_succeeds_or_names_it_and_loses_nothing() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    with_each_file_held(
        (&world, &device),
        |device| {
            let updater = device.builder().build()?;
            let record = updater.status(device.pack())?.record;
            match record.active().map(|active| active.label.as_str()) {
                Some("1.0") => Ok(()),
                _ => updater
                    .fail(device.pack(), "the video does not play")
                    .map(drop),
            }
        },
        |device, has_succeeded| match has_succeeded {
            true => device.assert_has(&first_course()),
            false => device.assert_has(&second_course()),
        },
    );
}

/// Returns a device with a release that nothing needs any more, beside its active one and its fallback.
fn with_a_surplus() -> (World, Device) {
    let (world, device) = World::with_an_update();
    // Open while the next two come, so that neither update removes it.
    let first = device.updater().open_pack(device.pack()).unwrap();
    device.update().unwrap();
    device.confirm();
    world.publish("1.2", &third_course());
    device.update().unwrap();
    device.confirm();
    drop(first);
    (world, device)
}

#[test]
fn pruning_beside_a_file_that_is_held_leaves_what_is_in_use_and_goes_on() {
    let (world, device) = with_a_surplus();
    with_each_file_held(
        (&world, &device),
        |device| {
            let updater = device.builder().build()?;
            let pruned = updater.prune(PruneOptions::default())?;
            assert_eq!(pruned.releases.len() + pruned.in_use.len(), 1, "{pruned:?}");
            assert_eq!(pruned.freed_bytes > 0, pruned.in_use.is_empty());
            assert!(cfg!(windows) || pruned.in_use.is_empty());
            Ok(())
        },
        |device, has_succeeded| {
            device.assert_has(&third_course());
            if has_succeeded {
                // Whatever had to be left goes once nobody has it open.
                let updater = device.updater();
                updater.prune(PruneOptions::default()).unwrap();
                device.assert_tidy(Partial::Gone);
            }
        },
    );
}

#[test]
fn healing_beside_a_file_that_is_held_succeeds_or_names_it_and_loses_nothing() {
    let (world, device) = World::with_an_update();
    let tree = device
        .updater()
        .status(device.pack())
        .unwrap()
        .tree
        .unwrap();
    let lesson = tree.join("chapters/02/lesson.html");
    remove(&lesson);
    with_each_file_held(
        (&world, &device),
        |device| {
            let updater = device.builder().build()?;
            let options = HealOptions::default();
            updater
                .heal(device.pack(), &options, &CancelToken::new())
                .map(drop)
        },
        |device, has_succeeded| {
            if has_succeeded {
                device.assert_has(&first_course());
            }
        },
    );
}

#[test]
fn a_file_that_is_let_go_soon_is_waited_for() {
    let (_world, device) = World::with_an_update();
    let state = device.layout().state(device.pack());
    let (begun, has_begun) = std::sync::mpsc::channel();
    let held = Held::open(&state, Sharing::Reading).unwrap();
    let scanner = std::thread::spawn(move || {
        // From the switch on the record is to be replaced, and is only waited for.
        has_begun.recv().unwrap();
        drop(held);
    });
    let told = move |event: &updater_client::Event| {
        if matches!(event, updater_client::Event::Syncing) {
            begun.send(()).unwrap();
        }
    };
    let updater = device.builder().observer(Arc::new(told)).build().unwrap();
    let options = updater_client::UpdateOptions::default();
    let never = CancelToken::new();
    updater.update(device.pack(), &options, &never).unwrap();
    scanner.join().unwrap();
    device.assert_has(&second_course());
}

/// Reads all of a folder's files but keeps each open, as a course does whose pages and videos are shown.
fn show(tree: &Path) -> Vec<Held> {
    let files = files_below(tree);
    let open = |file: &std::path::PathBuf| Held::open(file, Sharing::Reading).unwrap();
    files.iter().map(open).collect()
}

#[test]
fn a_course_that_is_shown_without_a_lease_stays_whole_while_its_device_goes_on() {
    let (world, device) = World::with_an_update();
    let status = device.updater().status(device.pack()).unwrap();
    let shown = show(&status.tree.unwrap());
    device.update().unwrap();
    device.confirm();
    device.assert_has(&second_course());
    world.publish("1.2", &third_course());
    device.update().unwrap();
    device.confirm();
    device.assert_has(&third_course());
    device.updater().prune(PruneOptions::default()).unwrap();
    device.assert_has(&third_course());
    drop(shown);
    device.updater().prune(PruneOptions::default()).unwrap();
    device.assert_has(&third_course());
    device.assert_tidy(Partial::Gone);
}
