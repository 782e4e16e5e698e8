//! A disk that is really full: a small one of memory, mounted where the machine lets us.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use diff_core::CancelToken;
use satchel_tests::rig::world::{Device, Partial, World, first_course, second_course};
use updater_client::{ErrorKind, Event, UpdateError, UpdateOptions};

/// A file system of memory, gone with its value.
struct SmallDisk {
    mounted: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes at `folder`; `None` where the machine does not let us.
    fn mount(folder: PathBuf, bytes: u64) -> Option<SmallDisk> {
        fs::create_dir_all(&folder).unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&folder)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(SmallDisk { mounted: folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mounted).output();
    }
}

/// Says so past the capture of the test runner, so that it is seen.
fn skip() {
    let _ = writeln!(
        std::io::stderr(),
        "\nskipped: this user may not mount a file system of memory"
    );
}

/// Fills the disk below `folder` to its last byte.
fn fill(folder: &Path) {
    let mut ballast = File::create(folder.join("ballast")).unwrap();
    for piece in [vec![1; 1 << 16], vec![1; 1 << 10], vec![1; 1]] {
        while ballast.write_all(&piece).is_ok() {}
    }
}

/// Returns a repository with two releases, and a device on a disk of its own that has the first one;
/// nothing where this user may not make disks.
fn with_an_update() -> Option<(World, SmallDisk, Device)> {
    let world = World::new();
    let disk = SmallDisk::mount(world.folder().join("small"), 64 << 20)?;
    world.publish("1.0", &first_course());
    let device = world.device_at(disk.mounted.join("library"));
    device.update().unwrap();
    device.confirm();
    world.publish("1.1", &second_course());
    Some((world, disk, device))
}

/// Fills the disk at the first event of an update that `moment` recognises.
fn full_disk_loses_nothing(moment: fn(&Event) -> bool) {
    let Some((_world, disk, device)) = with_an_update() else {
        return skip();
    };
    let place = disk.mounted.clone();

    let filled = place.clone();
    let told = move |event: &Event| {
        if moment(event) && !filled.join("ballast").exists() {
            fill(&filled);
        }
    };
    let failed = update_telling(&device, told).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Space, "{failed:?}");
    device.assert_has(&first_course());
    device.updater().open_pack(device.pack()).unwrap();

    fs::remove_file(place.join("ballast")).unwrap();
    device.update().unwrap();
    device.assert_has(&second_course());
    device.assert_tidy(Partial::Gone);
}

fn update_telling(
    device: &Device,
    told: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<(), UpdateError> {
    let updater = device.builder().observer(Arc::new(told)).build()?;
    let options = UpdateOptions::default();
    updater
        .update(device.pack(), &options, &CancelToken::new())
        .map(drop)
}

#[test]
fn disk_that_fills_up_while_fetching_loses_nothing() {
    full_disk_loses_nothing(|event| matches!(event, Event::Checking { .. }));
}

#[test]
fn disk_that_fills_up_while_staging_loses_nothing() {
    full_disk_loses_nothing(|event| matches!(event, Event::Fetching { .. }));
}

#[test]
fn disk_that_fills_up_before_activating_loses_nothing() {
    full_disk_loses_nothing(|event| matches!(event, Event::Syncing));
}

#[test]
fn disk_that_is_too_small_is_told_before_anything_is_fetched() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(world.folder().join("small"), 64 << 10) else {
        return skip();
    };
    world.publish("1.0", &first_course());
    let device = world.device_at(disk.mounted.join("library"));
    let failed = device.update().unwrap_err();
    assert!(
        matches!(failed, UpdateError::FreeSpace { .. }),
        "{failed:?}"
    );
    assert_eq!(device.active_label(), None);
    device.assert_tidy(Partial::Gone);
}

#[test]
fn disk_that_is_full_to_the_last_byte_still_goes_back() {
    let Some((world, disk, device)) = with_an_update() else {
        return skip();
    };
    let place = disk.mounted.clone();
    device.update().unwrap();
    fill(&place);
    fs::remove_dir_all(world.repository()).unwrap();
    device
        .updater()
        .fail(device.pack(), "the video does not play")
        .unwrap();
    device.assert_has(&first_course());
}
