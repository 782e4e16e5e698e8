//! What an update says that it takes is what it takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use diff_core::CancelToken;
use satchel_tests::rig::course::{Course, Random};
use satchel_tests::rig::world::{Device, World, files_below};
use updater_client::{Event, UpdateOptions};

/// Bytes of all files below a folder, each counted once however many names it has.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut files = BTreeMap::new();
    for file in files_below(folder) {
        // One may vanish between the two looks.
        if let Ok(metadata) = fs::metadata(&file) {
            files.insert(metadata.ino(), metadata.len());
        }
    }
    files.values().sum()
}

/// Updates, and returns the most bytes that the library had on the way, and those it has behind it,
/// beyond what it had before; a file that was begun and is gone makes it fewer.
fn measured(device: &Device) -> (u64, u64) {
    let before = bytes_below(device.library());
    let most = Arc::new(Mutex::new(before));
    let (seen, library) = (Arc::clone(&most), device.library().to_owned());
    let observer = move |event: &Event| {
        if matches!(
            event,
            Event::Syncing | Event::Fetching { .. } | Event::Activated { .. }
        ) {
            let mut most = seen.lock().unwrap();
            *most = (*most).max(bytes_below(&library));
        }
    };
    let updater = device
        .builder()
        .observer(Arc::new(observer))
        .build()
        .unwrap();
    let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
    updater.update(device.pack(), &options, &cancel).unwrap();
    let most = *most.lock().unwrap();
    let after = bytes_below(device.library());
    (most - before, after.saturating_sub(before))
}

#[test]
fn the_peak_and_what_is_retained_are_told_within_a_block_a_file_partial_downloads_counted() {
    let mut course = Course::bulky(1);
    for number in 0..40 {
        course.put(
            &format!("extra/{number}.bin"),
            Random::new(number).noise(9_000),
        );
    }
    let mut next = course.revised(2);
    next.put("media/lecture.mp4", Random::new(77).noise(1_300_000));
    let world = World::new();
    world.publish("1.0", &course);
    let device = world.device();
    agrees(&world, &device, false, &course);
    device.confirm();
    world.publish("1.1", &next);
    let begun = device.copied_to(world.folder().join("begun"));
    agrees(&world, &device, false, &next);
    agrees(&world, &begun, true, &next);
}

/// Compares what a check says with what the update takes, half of the delta being there where
/// something was begun.
fn agrees(world: &World, device: &Device, is_begun: bool, course: &Course) {
    let check = || {
        let cancel = CancelToken::new();
        let check = device.updater().check(device.pack(), &cancel).unwrap();
        check.plan.unwrap().route
    };
    let content = check().hops[0].delta;
    if is_begun {
        let published = fs::read(world.repository().join(content.location())).unwrap();
        let begun = &published[..published.len() / 2];
        fs::write(device.layout().partial(&content.digest), begun).unwrap();
    }
    let route = check();
    assert_eq!(route.fetch_bytes() < content.length, is_begun);
    let within = (course.files().len() as u64 + 8) * 4_096;
    let (most, now) = measured(device);
    let needed = route.needed_bytes();
    assert!(
        most <= needed && needed <= most + within,
        "{needed} bytes were said to be needed, {most} were"
    );
    // What was there of the delta is gone now.
    let partial = content.length - route.fetch_bytes();
    let retained = route.retained_bytes();
    assert!(
        (now + partial).abs_diff(retained) <= within,
        "{retained} bytes were said to be retained, {now} were"
    );
}
