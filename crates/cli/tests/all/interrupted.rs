//! The program killed, and out of space, in mid-fetch, in mid-stage and in mid-activate.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use satchel_tests::rig::course::Course;
use satchel_tests::rig::server::{Misbehaviour, Server};
use satchel_tests::rig::world::{Device, Partial, World, files_below};
use updater_client::{Clock, SystemClock};

use crate::place::satchel;

fn first() -> Course {
    Course::bulky(1)
}

/// What cannot be compressed is new, so that fetching and staging take their time.
fn second() -> Course {
    let mut course = first().revised(2);
    course.put(
        "media/lecture.mp4",
        Course::bulky(3).get("media/lecture.mp4"),
    );
    course
}

/// A repository that offers 1.1, a server of it, and a library at a place of the test's own with 1.0.
struct Scene {
    world: World,
    server: Server,
    device: Device,
}

impl Scene {
    fn new(library: Option<PathBuf>) -> Scene {
        let world = World::at(SystemClock.now());
        world.publish("1.0", &first());
        let device = world.device_at(library.unwrap_or_else(|| world.folder().join("library")));
        device.update().unwrap();
        device.confirm();
        world.publish("1.1", &second());
        let server = Server::start(world.repository()).unwrap();
        Scene {
            world,
            server,
            device,
        }
    }

    fn update(&self, more: &[&str]) -> Command {
        self.update_of(&self.device, more)
    }

    fn update_of(&self, device: &Device, more: &[&str]) -> Command {
        let library = device.library().to_str().unwrap();
        let url = self.server.url();
        let arguments = ["update", library, device.pack().as_str(), "--from", &url];
        let mut command = satchel(&[&arguments, more].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Shows that the first release is active and whole, that an update succeeds, and that nothing
    /// stays behind.
    fn goes_on(&self) {
        self.goes_on_at(&self.device);
    }

    fn goes_on_at(&self, device: &Device) {
        match device.active_label().as_deref() {
            Some("1.1") => device.assert_has(&second()),
            _ => device.assert_has(&first()),
        }
        let output = self.update_of(device, &[]).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        device.assert_has(&second());
        device.assert_tidy(Partial::Gone);
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_in_mid_fetch_it_goes_on_from_the_last_byte() {
    let scene = Scene::new(None);
    scene
        .server
        .misbehave_times("content/*", 1, Misbehaviour::Stall { at: 300_000 });
    let child = scene.update(&[]).spawn().unwrap();
    scene.server.wait_until_stalled();
    let downloads = scene.device.layout().downloads();
    wait_until(|| {
        files_below(&downloads)
            .iter()
            .any(|file| length(file) == 300_000)
    });
    kill(child);
    scene.device.assert_has(&first());
    scene.server.forget();
    scene.goes_on();
    let content = |r: &satchel_tests::rig::server::Request| r.location.starts_with("content/");
    let requests: Vec<_> = scene
        .server
        .requests()
        .into_iter()
        .filter(content)
        .collect();
    assert_eq!(requests[0].from, Some(300_000));
    assert_eq!(requests.len(), 1);
}

#[test]
fn killed_in_mid_stage_it_starts_that_step_anew_and_fetches_nothing_again() {
    let scene = Scene::new(None);
    let child = scene.update(&[]).spawn().unwrap();
    let staging = scene.device.layout().staging();
    wait_until(|| !files_below(&staging).is_empty() || scene.device_has_new());
    kill(child);
    scene.goes_on();
}

#[test]
fn killed_in_mid_activate_it_is_on_the_old_release_or_the_new_one() {
    let scene = Scene::new(None);
    let child = scene.update(&[]).spawn().unwrap();
    let releases = scene.device.layout().releases(scene.device.pack());
    wait_until(|| fs::read_dir(&releases).unwrap().count() > 1);
    kill(child);
    scene.goes_on();
}

/// The moments are drawn from a seed, over the time that a whole update takes; `SATCHEL_KILLS` says how
/// many, and `SATCHEL_SEED` from which seed.
#[test]
fn killed_at_any_moment_it_loses_nothing() {
    let kills = number_from("SATCHEL_KILLS", 12);
    let mut random = number_from("SATCHEL_SEED", 1);
    let scene = Scene::new(None);
    let whole = scene.device.copied_to(scene.world.folder().join("whole"));
    let start = Instant::now();
    let ended = scene.update_of(&whole, &[]).output().unwrap();
    assert!(ended.status.success());
    let longest = start.elapsed();
    let (mut on_old, mut on_new) = (0, 0);
    for kill in 0..kills {
        let library = scene.world.folder().join(format!("killed-{kill}"));
        let device = scene.device.copied_to(library);
        // One in four is killed a second time, in its recovery.
        let times = if kill % 4 == 3 { 2 } else { 1 };
        for _ in 0..times {
            random = next_random(random);
            let mut child = scene.update_of(&device, &[]).spawn().unwrap();
            let (_never, silence) = mpsc::channel::<()>();
            let _ = silence.recv_timeout(longest * part_of(random) / PARTS);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        match device.active_label().as_deref() {
            Some("1.1") => {
                on_new += 1;
                device.assert_has(&second());
            }
            _ => {
                on_old += 1;
                device.assert_has(&first());
            }
        }
        scene.goes_on_at(&device);
        fs::remove_dir_all(device.library()).unwrap();
    }
    if kills > 100 {
        // Past the capture of the test runner, so that it is seen.
        let _ = writeln!(
            std::io::stderr(),
            "killed {kills} times: {on_old} on the old release, {on_new} on the new one, 0 damaged"
        );
        assert!(on_old > 0 && on_new > 0, "no kill came in time, or all did");
    }
}

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// A step of a linear congruential generator: the same moments for the same seed.
fn next_random(random: u64) -> u64 {
    random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

/// Up to a tenth beyond the end.
fn part_of(random: u64) -> u32 {
    u32::try_from((random >> 33) % u64::from(PARTS + PARTS / 10)).unwrap()
}

#[test]
fn a_full_disk_in_mid_fetch_is_exit_5_and_nothing_is_lost() {
    full_disk(|scene, disk| {
        let disk = disk.to_owned();
        scene
            .server
            .when_sent("content/*", 200_000, move || fill(&disk));
        scene.update(&[])
    });
}

#[test]
fn a_full_disk_in_mid_stage_is_exit_5_and_nothing_is_lost() {
    full_disk(|scene, disk| {
        let staged = delta_bytes(scene);
        let disk = disk.to_owned();
        // The last page of the download has its place already, and the next file has none.
        scene
            .server
            .when_sent("content/*", staged - 1, move || fill(&disk));
        scene.update(&[])
    });
}

#[test]
fn a_full_disk_in_mid_activate_is_exit_5_and_nothing_is_lost() {
    full_disk(|scene, disk| {
        let staged = scene.update(&["--stage-only"]).output().unwrap();
        assert!(
            staged.status.success(),
            "{}",
            String::from_utf8_lossy(&staged.stderr)
        );
        fill(disk);
        scene.update(&[])
    });
}

#[test]
fn a_full_disk_keeps_nobody_from_confirming_failing_or_going_back() {
    for verbs in [&["confirm", "revert"][..], &["fail"]] {
        let Some(disk) = SmallDisk::mount() else {
            return;
        };
        let scene = Scene::new(Some(disk.path().join("library")));
        assert!(scene.update(&[]).output().unwrap().status.success());
        let library = scene.device.library().to_str().unwrap().to_owned();
        for verb in verbs {
            fill(disk.path());
            let mut arguments = vec![*verb, &library, "acme/biology-101"];
            if *verb != "confirm" {
                arguments.extend(["--reason", "the video does not play"]);
            }
            let output = satchel(&arguments).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{verb}: {told}");
            fs::remove_file(disk.path().join(FILLER)).unwrap();
            // The next update keeps room anew.
            scene.update(&[]).output().unwrap();
        }
        scene.device.assert_has(&first());
        let record = scene.device.updater().status(scene.device.pack()).unwrap();
        let refused = record.record.refused();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].label.as_str(), "1.1");
    }
}

#[test]
fn a_read_only_library_is_told_as_such_and_still_opens() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let scene = Scene::new(Some(disk.path().join("library")));
    disk.remount("ro");
    let output = scene.update(&["--json"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("not-permitted"), "{told}");
    let library = scene.device.library().to_str().unwrap().to_owned();
    for verb in ["status", "path", "verify"] {
        let output = satchel(&[verb, &library, "acme/biology-101"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{verb}: {told}");
    }
    scene.device.assert_has(&first());
    disk.remount("rw");
    scene.goes_on();
    drop(scene.world);
}

/// Runs an update that meets a full disk, then one that does not.
fn full_disk(prepare: impl Fn(&Scene, &Path) -> Command) {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let scene = Scene::new(Some(disk.path().join("library")));
    let output = prepare(&scene, disk.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{told}");
    scene.device.assert_has(&first());
    fs::remove_file(disk.path().join(FILLER)).unwrap();
    scene.goes_on();
}

fn delta_bytes(scene: &Scene) -> u64 {
    let library = scene.device.updater();
    let check = library
        .check(scene.device.pack(), &updater_client::CancelToken::new())
        .unwrap();
    check.plan.unwrap().route.fetch_bytes()
}

impl Scene {
    fn device_has_new(&self) -> bool {
        self.device.active_label().as_deref() == Some("1.1")
    }
}

/// A disk of a few MiB; only root may have one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(folder));
        }
        // Past the capture of the test runner, so that it is seen.
        let _ = writeln!(
            std::io::stderr(),
            "\nskipped: a small disk of memory cannot be mounted here"
        );
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let mount = Command::new("mount")
            .args(["-o", &options])
            .arg(self.path())
            .status();
        assert!(mount.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still looks at it delays the unmount: it is then detached.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Fills a disk to its last byte.
fn fill(disk: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(disk.join(FILLER)).unwrap();
    for piece in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; piece]).is_ok() {}
    }
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |found| found.len())
}

fn wait_until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        thread::yield_now();
    }
}

const FILLER: &str = "filler";
const PARTS: u32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);
