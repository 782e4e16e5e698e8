//! FAT32 and exFAT, on which half of all sticks and memory cards are: no links, no modes, no case, times
//! of two seconds, and on FAT32 no file of 4 GiB.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use diff_core::CancelToken;
use satchel_tests::rig::course::{Course, Random};
use satchel_tests::rig::sim::{Script, SimDisk};
use satchel_tests::rig::volume::{Kind, Volume};
use satchel_tests::rig::world::{
    Device, Partial, World, copy_tree, files_below, first_course, remove, second_course,
    third_course,
};
use updater_client::library::disk::{Disk, RealDisk};
use updater_client::{Check, ErrorKind, HealOptions, PruneOptions, UpdateError};

const BOTH: [Kind; 2] = [Kind::Fat32, Kind::Exfat];

#[test]
fn a_library_on_fat_or_exfat_lives_through_everything() {
    for kind in BOTH {
        let world = World::new();
        let Some(volume) = Volume::mount(kind, world.folder()) else {
            continue;
        };
        world.publish("1.0", &first_course());
        let device = world.device_at(volume.folder().join("library"));
        device.update().unwrap();
        device.confirm();
        device.assert_has(&first_course());

        world.publish("1.1", &second_course());
        let updater = device.updater();
        let never = CancelToken::new();
        let plan = updater.check(device.pack(), &never).unwrap().plan.unwrap();
        // No file can have two names here: what is not changed is copied, and told.
        assert!(plan.route.copied_bytes > 0, "{kind:?}");
        let updated = device.update().unwrap();
        assert!(!updated.route.unwrap().is_full());
        device.confirm();
        device.assert_has(&second_course());
        device.assert_tidy(Partial::Gone);

        let reason = "the teacher asks for it";
        updater.revert(device.pack(), reason).unwrap();
        device.assert_has(&first_course());
        world.publish("1.2", &third_course());
        device.update().unwrap();
        device.assert_has(&third_course());
        updater
            .fail(device.pack(), "the video does not play")
            .unwrap();
        device.assert_has(&first_course());

        let tree = updater.status(device.pack()).unwrap().tree.unwrap();
        remove(tree.join("chapters/02/lesson.html"));
        damage(&tree.join("media/photo.jpg"));
        let report = updater.verify(device.pack(), &never).unwrap();
        let found: Vec<_> = report.damage.iter().map(|of| of.path.as_str()).collect();
        assert_eq!(found, ["chapters/02/lesson.html", "media/photo.jpg"]);
        let healed = updater
            .heal(device.pack(), &HealOptions::default(), &never)
            .unwrap();
        assert_eq!(healed.releases.len(), 1);
        device.assert_has(&first_course());
        let open = updater.open_pack(device.pack()).unwrap();
        updater.prune(PruneOptions::default()).unwrap();
        assert_eq!(
            first_course().difference(&Course::read(&open.tree).unwrap()),
            None
        );
        drop(open);
        device.assert_tidy(Partial::Gone);
    }
}

#[test]
fn a_stick_of_fat_or_exfat_updates_as_the_repository_does() {
    for kind in BOTH {
        let (world, device) = World::with_an_update();
        let Some(volume) = Volume::mount(kind, world.folder()) else {
            continue;
        };
        let stick = volume.folder().join("satchel");
        copy_tree(&world.repository(), &stick);
        remove(world.repository());
        device.update_from(&stick).unwrap();
        device.assert_has(&second_course());
        let found: Vec<_> = files_below(&stick).iter().map(fs::read).collect();
        assert!(found.iter().all(Result::is_ok));
    }
}

#[test]
fn releases_that_differ_by_case_alone_follow_each_other_where_case_is_nothing() {
    for kind in BOTH {
        let world = World::new();
        let Some(volume) = Volume::mount(kind, world.folder()) else {
            continue;
        };
        let device = world.device_at(volume.folder().join("library"));
        let mut course = first_course();
        for (label, name) in [
            ("1", "index.html"),
            ("2", "Index.html"),
            ("3", "INDEX.HTML"),
        ] {
            course.rename("index.html", name);
            course.rename("Index.html", name);
            course.put(name, first_course().get("index.html"));
            world.publish(label, &course);
            device.update().unwrap();
            device.confirm();
            device.assert_has(&course);
            let updater = device.updater();
            updater.prune(PruneOptions::default()).unwrap();
            device.assert_tidy(Partial::Gone);
        }
    }
}

#[test]
fn only_fat_is_known_to_hold_no_file_of_four_gibibytes() {
    for (kind, expected) in [
        (Kind::Fat32, Some(u64::from(u32::MAX))),
        (Kind::Exfat, None),
    ] {
        let world = World::new();
        let Some(volume) = Volume::mount(kind, world.folder()) else {
            continue;
        };
        let limit = |bytes| RealDisk::new().file_limit(volume.folder(), bytes).unwrap();
        assert_eq!(limit(u64::from(u32::MAX)), None);
        assert_eq!(limit(1 << 32), expected, "{kind:?}");
    }
}

/// A disk that holds no file of more bytes than this, as FAT32 holds none of 4 GiB.
const LIMIT: u64 = 30_000;

fn small_files_only(hides_limit: bool) -> Arc<SimDisk> {
    Arc::new(SimDisk::new(Script {
        no_links: true,
        file_limit: Some(LIMIT),
        hides_limit,
        ..Script::default()
    }))
}

fn check_on(device: &Device, disk: Arc<dyn Disk>) -> Check {
    let updater = device.builder().disk(disk).build().unwrap();
    let check = updater.check(device.pack(), &CancelToken::new());
    check.unwrap()
}

/// A course with a file that is too long, though its delta is short.
fn with_a_long_file() -> Course {
    let mut course = Course::tiny();
    course.put("media/lecture.mp4", vec![7; 40_000]);
    course
}

#[test]
fn a_file_that_the_disk_cannot_hold_is_told_before_anything_is_fetched() {
    let world = World::new();
    world.publish("1.0", &with_a_long_file());
    let device = world.device();
    let before = files_below(device.library());
    let check = check_on(&device, small_files_only(false));
    assert!(check.plan.is_some());
    let failed = device.update_on(small_files_only(false)).unwrap_err();
    assert_eq!(
        UpdateError::from(check.too_long.unwrap()).to_string(),
        failed.to_string()
    );
    match &failed {
        UpdateError::FileTooLong {
            path,
            length: 40_000,
            limit: LIMIT,
            at,
        } => {
            assert_eq!(path, "media/lecture.mp4");
            assert_eq!(at, device.layout().root());
        }
        other => panic!("{other}"),
    }
    assert_eq!(
        (failed.code(), failed.kind()),
        ("file-too-long", ErrorKind::Space)
    );
    assert!(failed.remedy().contains("FAT32"));
    assert_eq!(device.active_label(), None);
    assert_tree_untouched(&before, device.library());
    assert_eq!(check_on(&device, Arc::new(RealDisk::new())).too_long, None);
    device.update().unwrap();
    device.assert_has(&with_a_long_file());
}

#[test]
fn a_delta_that_the_disk_cannot_hold_is_told_before_it_is_fetched() {
    let world = World::new();
    let mut course = Course::default();
    for number in 0..4 {
        let noise = Random::new(number).noise(20_000);
        course.put(&format!("media/{number}.jpg"), noise);
    }
    world.publish("1.0", &course);
    let device = world.device();
    let before = files_below(device.library());
    let long = check_on(&device, small_files_only(false)).too_long;
    let long = long.unwrap();
    assert!(
        long.length > LIMIT && long.path.starts_with("content/"),
        "{long:?}"
    );
    match device.update_on(small_files_only(false)).unwrap_err() {
        UpdateError::FileTooLong { length, limit, .. } => {
            assert!(length > limit && limit == LIMIT, "{length}");
        }
        other => panic!("{other}"),
    }
    assert_tree_untouched(&before, device.library());
}

#[test]
fn a_file_that_turns_out_too_long_for_the_disk_is_named_and_nothing_stays_of_it() {
    let world = World::new();
    world.publish("1.0", &with_a_long_file());
    let device = world.device();
    let failed = device.update_on(small_files_only(true)).unwrap_err();
    assert_eq!(
        (failed.code(), failed.kind()),
        ("file-too-long", ErrorKind::Space)
    );
    let told = failed.to_string();
    assert!(told.contains("lecture.mp4"), "{told}");
    device.assert_tidy(Partial::Kept);
    device.update().unwrap();
    device.assert_has(&with_a_long_file());
}

/// Fails where anything of a release, or a download, has come into a library.
fn assert_tree_untouched(before: &[std::path::PathBuf], library: &Path) {
    let after = files_below(library);
    let is_new = |file: &&std::path::PathBuf| {
        let is_metadata = file.strip_prefix(library).unwrap().starts_with("trust");
        !before.contains(file) && !is_metadata
    };
    let new: Vec<_> = after.iter().filter(is_new).collect();
    assert!(new.is_empty(), "{new:?}");
}

fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // It may be read-only: this one name gets other bytes.
    remove(file);
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_folder_that_takes_no_more_names_is_told_from_a_full_disk_and_keeps_nothing() {
    const NAMES: usize = 30;
    let world = World::new();
    let mut course = first_course();
    for number in 0..NAMES {
        course.put(&format!("photos/{number}.txt"), vec![7; 10]);
    }
    world.publish("1.0", &course);
    course.put("photos/one-more.txt", vec![7; 20]);
    world.publish("1.1", &course);
    let device = world.device();
    let disk = || {
        let script = Script {
            no_links: true,
            most_names: Some(NAMES),
            ..Script::default()
        };
        Arc::new(SimDisk::new(script))
    };
    let failed = device.update_on(disk()).unwrap_err();
    assert_eq!(
        (failed.code(), failed.kind()),
        ("folder-full", ErrorKind::Space)
    );
    let told = failed.to_string();
    for part in ["photos", "has 30 names"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(failed.remedy().contains("FAT32"));
    device.assert_tidy(Partial::Kept);
    course.rename("photos/one-more.txt", "more/one-more.txt");
    world.publish("1.2", &course);
    device.update_on(disk()).unwrap();
    device.assert_has(&course);
}
