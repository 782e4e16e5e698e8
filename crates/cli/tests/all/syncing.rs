//! What an update asks of the kernel, as `strace` tells it: the last step to the disk, for which no disk of
//! a test's own can stand.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use satchel_tests::rig::course::Course;
use satchel_tests::rig::volume::{Kind, Volume};
use satchel_tests::rig::world::{Device, World, files_below};
use updater_client::{Clock, SystemClock};

/// A call of the kernel's that succeeded.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// A file or a folder alone.
    Sync(PathBuf),
    /// All of the file system that this lies on.
    SyncAll(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[test]
fn an_update_has_the_kernel_sync_all_that_it_gives_a_name() {
    let world = World::at(SystemClock.now());
    updates_durably(&world, world.folder());
}

/// Through FUSE there is no one barrier for all of a tree.
#[test]
fn where_there_is_no_barrier_every_file_and_folder_is_synced_before_it_has_its_name() {
    let world = World::at(SystemClock.now());
    if let Some(volume) = Volume::mount(Kind::Exfat, world.folder()) {
        updates_durably(&world, volume.folder());
    }
}

fn updates_durably(world: &World, place: &Path) {
    let place = fs::canonicalize(place).unwrap();
    world.publish("1.0", &Course::bulky(1));
    let device = world.device_at(place.join("library"));
    device.update().unwrap();
    device.confirm();
    world.publish("1.1", &Course::bulky(1).revised(2));
    let Some(calls) = calls_of_an_update(world, &device) else {
        return;
    };
    assert_eq!(device.active_label().as_deref(), Some("1.1"), "{calls:#?}");
    let layout = device.layout();
    let (releases, staging) = (layout.releases(device.pack()), layout.staging());
    let state = layout.state(device.pack());

    let moved = place_of(
        &calls,
        |call| matches!(call, Call::Rename(from, to) if from.starts_with(&staging) && to.starts_with(&releases)),
    );
    let Call::Rename(built, release) = &calls[moved] else {
        unreachable!();
    };
    let is_synced = |path: &Path| calls[..moved].contains(&Call::Sync(path.to_owned()));
    if !calls[..moved].contains(&Call::SyncAll(built.clone())) {
        // Other names are told in octal digits.
        let files = files_below(release).into_iter();
        for file in files.filter(|file| file.to_str().is_some_and(str::is_ascii)) {
            let below = file.strip_prefix(release).unwrap();
            assert!(is_synced(&built.join(below)), "{below:?}: {calls:#?}");
            for folder in below.ancestors().skip(1) {
                assert!(is_synced(&built.join(folder)), "{folder:?}: {calls:#?}");
            }
        }
    }
    let is_commit = |call: &Call| matches!(call, Call::Rename(_, to) if *to == state);
    let committed = moved + place_of(&calls[moved..], is_commit);
    for folder in [releases, staging] {
        let synced = Call::Sync(folder);
        assert!(calls[moved..committed].contains(&synced), "{calls:#?}");
    }

    let mut records = 0;
    for (number, call) in calls.iter().enumerate() {
        let Call::Rename(aside, to) = call else {
            continue;
        };
        let is_hint = *to == layout.mirror_health();
        if is_hint || aside.extension() != Some("aside".as_ref()) {
            continue;
        }
        records += 1;
        let (earlier, later) = calls.split_at(number);
        assert!(
            earlier.contains(&Call::Sync(aside.clone())),
            "{aside:?}: {calls:#?}"
        );
        let folder = Call::Sync(to.parent().unwrap().to_owned());
        assert!(later.contains(&folder), "{to:?}: {calls:#?}");
    }
    assert!(records > 3, "{calls:#?}");
}

fn place_of(calls: &[Call], is_it: impl Fn(&Call) -> bool) -> usize {
    let mut places = (0..).zip(calls).filter(|(_, call)| is_it(call));
    let Some((place, _)) = places.next() else {
        panic!("no such call: {calls:#?}");
    };
    place
}

/// Returns the calls in their order; `None` where nobody may watch them.
fn calls_of_an_update(world: &World, device: &Device) -> Option<Vec<Call>> {
    let told = world.folder().join("calls");
    let ran = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "4096", "-o"])
        .arg(&told)
        .args([
            "-e",
            "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2",
        ])
        .arg(env!("CARGO_BIN_EXE_satchel"))
        .arg("update")
        .arg(device.library())
        .arg(device.pack().as_str())
        .arg("--from")
        .arg(world.repository())
        .output();
    let output = match ran {
        Ok(output) if told.exists() => output,
        _ => {
            // Past the capture of the test runner, so that it is seen.
            let _ = writeln!(
                std::io::stderr(),
                "\nskipped: strace is not installed, or may not watch"
            );
            return None;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = fs::read_to_string(told).unwrap();
    Some(told.lines().filter_map(call).collect())
}

/// Reads `NUMBER fsync(5</a/file>) = 0` and `NUMBER rename("/a/b", "/a/c") = 0`.
///
/// A call during which another thread had its turn is told in two lines, of which the first says all but
/// how it ended.
fn call(line: &str) -> Option<Call> {
    let (_, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    let failed = arguments.contains(" = -1 ");
    let within = |open: char, close: char| {
        let (_, rest) = arguments.split_once(open)?;
        Some(PathBuf::from(rest.split_once(close)?.0))
    };
    let mut quoted = arguments.split('"').skip(1).step_by(2).map(PathBuf::from);
    match name {
        _ if failed => None,
        "fsync" | "fdatasync" => Some(Call::Sync(within('<', '>')?)),
        "syncfs" => Some(Call::SyncAll(within('<', '>')?)),
        _ if name.starts_with("rename") => Some(Call::Rename(quoted.next()?, quoted.next()?)),
        _ => None,
    }
}
