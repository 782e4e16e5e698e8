//! Whoever changes a state record holds its lock from before the record is read until the new one has its
//! place: what somebody else changes meanwhile is not lost.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use satchel_tests::rig::sim::{Call, SimDisk};
use satchel_tests::rig::world::Device;
use updater_client::library::disk::Operation;

use super::scene::{Play, Scene, Verb};

#[test]
fn a_state_record_is_read_and_changed_under_one_lock() {
    let play = Play::new();
    for verb in Verb::ALL {
        let scene = Scene::new(&play, verb);
        let (_, device) = scene.place("locked");
        let changes = Arc::new(AtomicUsize::new(0));
        let disk = || Arc::new(watched(&scene, &device, &changes));
        scene.run(&device, disk()).unwrap();
        scene.then_update(&device, disk()).unwrap();
        assert!(changes.load(Ordering::Relaxed) > 0, "{verb:?}");
    }
}

/// What lies aside may be another process's, which is about to give it its name.
#[test]
fn what_was_written_aside_is_removed_under_the_lock() {
    let play = Play::new();
    let scene = Scene::new(&play, Verb::Update);
    let (_, device) = scene.place("aside");
    let left = device.layout().pack(device.pack()).join("state.0.aside");
    fs::write(&left, "{").unwrap();
    let changes = Arc::new(AtomicUsize::new(0));
    let disk = Arc::new(watched(&scene, &device, &changes));
    scene.run(&device, disk).unwrap();
    assert!(!left.exists());
    assert!(changes.load(Ordering::Relaxed) > 0);
}

/// Returns a disk that fails the test at a change of the pack's records without their lock, and counts the
/// changes.
fn watched(scene: &Scene<'_>, device: &Device, changes: &Arc<AtomicUsize>) -> SimDisk {
    let (layout, pack) = (device.layout(), device.pack().clone());
    let changes = Arc::clone(changes);
    let was_read_under_lock = AtomicBool::new(false);
    SimDisk::watched(scene.script(), move |call: &Call| {
        let is_locked = || is_locked(&layout.state_lock(&pack));
        if call.operation == Operation::Read && call.path == layout.state(&pack) {
            was_read_under_lock.store(is_locked(), Ordering::Relaxed);
        }
        let is_change = matches!(
            call.operation,
            Operation::Create | Operation::Write | Operation::Rename | Operation::Remove
        );
        let name = call.path.file_name().and_then(OsStr::to_str);
        let is_aside = |record: &str| {
            name.is_some_and(|name| name.starts_with(record) && name.ends_with(".aside"))
        };
        let is_in_pack = call.path.parent() == Some(&layout.pack(&pack));
        let is_record = is_in_pack && ["state", "history"].into_iter().any(is_aside);
        if is_change && is_record {
            changes.fetch_add(1, Ordering::Relaxed);
            assert!(is_locked(), "{call:?} without the lock");
            let was_read = was_read_under_lock.load(Ordering::Relaxed);
            let needs_none = call.operation == Operation::Remove;
            assert!(was_read || needs_none, "{call:?} of what was read before");
        }
    })
}

fn is_locked(lock: &Path) -> bool {
    match File::open(lock).map(|file| file.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => true,
        Ok(Ok(())) | Err(_) => false,
        Ok(Err(TryLockError::Error(failed))) => panic!("{failed}"),
    }
}
