//! Names and attributes that some platforms treat as Windows does: long, reserved, read-only, of
//! another case.

use std::fs;
use std::path::PathBuf;

use diff_core::{CancelToken, ContentPath};
use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::{
    Device, Partial, World, files_below, first_course, remove, second_course, third_course,
};
use updater_client::{HealOptions, PruneOptions};

/// Takes a device through every verb that changes its library.
fn lives_through_everything(world: &World, device: &Device, courses: [&Course; 3]) {
    let updater = device.updater();
    let [first, second, third] = courses;
    world.publish("1", first);
    device.update().unwrap();
    device.confirm();
    device.assert_has(first);

    world.publish("2", second);
    device.update().unwrap();
    device.assert_has(second);
    updater
        .fail(device.pack(), "the video does not play")
        .unwrap();
    device.assert_has(first);

    world.publish("3", third);
    device.update().unwrap();
    device.confirm();
    let open = updater.open_pack(device.pack()).unwrap();
    assert_eq!(third.difference(&Course::read(&open.tree).unwrap()), None);
    let lesson = files_below(&open.tree).pop().unwrap();
    drop(open);
    remove(&lesson);
    let options = HealOptions::default();
    updater
        .heal(device.pack(), &options, &CancelToken::new())
        .unwrap();
    updater.prune(PruneOptions::default()).unwrap();
    device.assert_has(third);
    updater
        .revert(device.pack(), "the teacher asks for it")
        .unwrap();
    device.assert_has(first);
    updater.prune(PruneOptions::default()).unwrap();
    device.assert_tidy(Partial::Gone);
}

/// Returns a course with a path as long as `lint` lets pass without a warning, and one far beyond.
fn with_long_paths(course: &Course) -> Course {
    let mut course = course.clone();
    let folder = "a-folder-whose-name-says-it-all/".repeat(5);
    course.put(
        &format!("{folder}lesson.html"),
        course.get("index.html").to_vec(),
    );
    let deeper = "a-folder-whose-name-says-it-all/".repeat(20);
    course.put(&format!("{deeper}clip.bin"), b"deep down".to_vec());
    course
}

#[test]
fn a_library_far_below_and_a_course_far_below_it_live_through_everything() {
    let world = World::new();
    let mut library = world.folder().to_owned();
    while library.as_os_str().len() < 400 {
        library.push("a folder of an app that likes to nest");
    }
    let courses = [first_course(), second_course(), third_course()].map(|of| with_long_paths(&of));
    let device = world.device_at(library);
    lives_through_everything(&world, &device, [&courses[0], &courses[1], &courses[2]]);
}

#[test]
fn a_library_that_is_named_relative_to_a_folder_is_the_same_one() {
    let (_world, device) = World::with_an_update();
    let name = device.library().file_name().unwrap();
    let roundabout = device
        .library()
        .join("packs")
        .join("..")
        .join("..")
        .join(name);
    let elsewhere = device.at(roundabout);
    elsewhere.update().unwrap();
    device.assert_has(&second_course());
    elsewhere.assert_has(&second_course());
}

/// `\\?\C:\...`: nothing in such a path is interpreted, so that every part has to be spelled as it is.
#[cfg(windows)]
#[test]
fn a_library_in_the_spelling_without_limits_lives_through_everything() {
    let world = World::new();
    let folder = fs::canonicalize(world.folder()).unwrap();
    assert!(folder.to_string_lossy().starts_with(r"\\?\"));
    let device = world.device_at(folder.join("library"));
    let (first, second, third) = (first_course(), second_course(), third_course());
    lives_through_everything(&world, &device, [&first, &second, &third]);
    let tree = device
        .updater()
        .status(device.pack())
        .unwrap()
        .tree
        .unwrap();
    assert!(tree.to_string_lossy().starts_with(r"\\?\"));
}

/// `\\server\share\...`: the share that Windows makes of each drive for who administers it.
#[cfg(windows)]
#[test]
fn a_library_and_a_mirror_on_a_share_live_through_everything() {
    let world = World::new();
    let folder = fs::canonicalize(world.folder()).unwrap();
    let local = folder.to_string_lossy().replacen(':', "$", 1);
    let share = PathBuf::from(r"\\localhost").join(local.trim_start_matches(r"\\?\"));
    if fs::read_dir(&share).is_err() {
        eprintln!("skipped: {} is not reached", share.display());
        return;
    }
    let device = world.device_at(share.join("library"));
    let (first, second, third) = (first_course(), second_course(), third_course());
    lives_through_everything(&world, &device, [&first, &second, &third]);
    world.publish("4", &Course::tiny());
    let mirror = share.join(world.repository().strip_prefix(world.folder()).unwrap());
    let mirror = std::sync::Arc::new(updater_client::FolderTransport::new(mirror));
    let updater = device.alone().repository(mirror).build().unwrap();
    let (options, cancel) = (Default::default(), CancelToken::new());
    updater.update(device.pack(), &options, &cancel).unwrap();
    device.assert_has(&Course::tiny());
}

#[test]
fn a_release_may_differ_from_the_one_before_by_the_case_of_its_names_alone() {
    let mut courses = [first_course(), first_course(), first_course()];
    courses[1].rename("index.html", "Index.html");
    courses[1].rename("media/photo.jpg", "Media/Photo.JPG");
    courses[1].rename(
        "media/deep/er/still/clip.bin",
        "Media/Deep/er/still/clip.bin",
    );
    courses[2].rename("index.html", "INDEX.HTML");
    let world = World::new();
    let device = world.device();
    lives_through_everything(&world, &device, [&courses[0], &courses[1], &courses[2]]);
}

/// As after a copy from a disc, or by a backup that marks what it has seen.
#[test]
fn a_library_whose_files_are_all_read_only_is_updated_and_tidied_as_ever() {
    let (world, device) = World::with_an_update();
    world.publish("1.2", &third_course());
    for file in files_below(device.library()) {
        let name = file.file_name().unwrap();
        // A lock is opened for writing by whoever may; one that nobody may write is another matter.
        if name == "lock" || name == "state.lock" || name == "gate" {
            continue;
        }
        let mut permissions = fs::metadata(&file).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&file, permissions).unwrap();
    }
    device.update().unwrap();
    device.confirm();
    device.assert_has(&third_course());
    device
        .updater()
        .revert(device.pack(), "the teacher asks for it")
        .unwrap();
    device.assert_has(&first_course());
    device.updater().prune(PruneOptions::default()).unwrap();
    device.assert_tidy(Partial::Gone);
}

/// What the rules of content paths let through stands on every disk as it is spelled; that they refuse
/// what Windows would take for something else is told where they are.
#[test]
fn names_that_look_reserved_and_are_not_stand_on_the_disk_as_they_are() {
    let mut course = Course::default();
    for name in [
        "console.js",
        "con1.html",
        "com10.txt",
        "lpt.txt",
        "auxiliary/nullable.html",
        ".hidden",
        "..dots",
        "a.b.c",
        " leading space.html",
        "50% of it & more; it's [done] {so} ~ @ # ^ + = , !.html",
        "Übung – été 日本.html",
    ] {
        assert!(ContentPath::parse(name).is_ok(), "{name}");
        course.put(name, name.as_bytes().to_vec());
    }
    let (mut second, mut third) = (course.clone(), course.clone());
    second.put("console.js", b"changed".to_vec());
    third.put("..dots", b"changed".to_vec());
    let world = World::new();
    let device = world.device();
    lives_through_everything(&world, &device, [&course, &second, &third]);
}

/// A mirror may be named in the same spellings as a library.
#[test]
fn a_mirror_far_below_updates_as_any_other() {
    let (world, device) = World::with_an_update();
    let mut mirror: PathBuf = world.folder().to_owned();
    while mirror.as_os_str().len() < 400 {
        mirror.push("a folder of a stick that somebody has filled");
    }
    satchel_tests::rig::world::copy_tree(&world.repository(), &mirror);
    device.update_from(&mirror).unwrap();
    device.assert_has(&second_course());
}
