//! Leases, holds and pins: what is open stays, what is held waits, what is pinned is kept.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use diff_core::CancelToken;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::{
    Device, Partial, World, files_below, first_course, remove, second_course,
};
use updater_client::{
    Clock, HealOptions, Outcome, PinFor, PruneOptions, UpdateError, UpdateOptions, Updater,
    VersionName, Withheld,
};

/// The course that is published under a number.
fn course(number: u64) -> Course {
    match number {
        1 => first_course(),
        number => first_course().revised(number),
    }
}

fn publish(world: &World, number: u64) {
    world.publish(&number.to_string(), &course(number));
}

/// Publishes the release with this number, and brings the device there, confirmed.
fn go_on(world: &World, device: &Device, number: u64) {
    publish(world, number);
    device.update().unwrap();
    device.confirm();
}

/// The other process: opens the pack, reads every file, closes it, and says which release it was, over
/// and over, until it is killed or finds something wrong.
#[test]
#[ignore = "the other process of the test below"]
fn other_process_reads_every_file_in_a_loop() {
    let Some(library) = std::env::var_os(LIBRARY) else {
        return;
    };
    let updater = Updater::open(PathBuf::from(library)).unwrap();
    let packs = updater.packs().unwrap();
    let pack = packs.first().unwrap();
    loop {
        let open = updater.lease(pack).unwrap();
        let label = open.content_version.label.to_string();
        let found = Course::read(&open.tree).unwrap();
        let difference = course(label.parse().unwrap()).difference(&found);
        assert_eq!(difference, None, "release {label}");
        let mut out = std::io::stdout().lock();
        writeln!(out, "{READ}{label}").unwrap();
        out.flush().unwrap();
    }
}

const LIBRARY: &str = "SATCHEL_TESTS_LIBRARY";
const READ: &str = "read release ";

struct Reader {
    process: Child,
    lines: BufReader<ChildStdout>,
    rounds: usize,
}

impl Reader {
    fn start(device: &Device) -> Reader {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture"])
            .arg("keeping::other_process_reads_every_file_in_a_loop")
            .env(LIBRARY, device.library())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Reader {
            process,
            lines,
            rounds: 0,
        }
    }

    /// Waits until the process has read the release with this number.
    fn wait_for(&mut self, number: u64) {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap();
            assert!(count > 0, "the reader found something wrong");
            // The runner says something on the first line, without an end.
            let Some((_, label)) = line.trim_end().split_once(READ) else {
                continue;
            };
            self.rounds += 1;
            if label == number.to_string() {
                return;
            }
        }
    }
}

#[test]
fn a_process_that_reads_in_a_loop_sees_each_release_whole_while_another_updates() {
    let world = World::new();
    let device = world.device();
    go_on(&world, &device, 1);
    let mut reader = Reader::start(&device);
    reader.wait_for(1);
    for number in 2..=8 {
        go_on(&world, &device, number);
        device.updater().prune(PruneOptions::default()).unwrap();
        reader.wait_for(number);
    }
    // Killed in the middle of a release: its lease is gone with it.
    reader.process.kill().unwrap();
    reader.process.wait().unwrap();
    assert!(reader.rounds >= 8, "{} rounds", reader.rounds);
    let updater = device.updater();
    assert_eq!(updater.status(world.pack()).unwrap().leased, [""; 0]);
    updater.prune(PruneOptions::default()).unwrap();
    device.assert_tidy(Partial::Gone);
    device.assert_has(&course(8));
}

#[test]
fn what_is_open_outlives_every_update_and_goes_when_it_is_closed() {
    let world = World::new();
    let device = world.device();
    go_on(&world, &device, 1);
    let updater = device.updater();
    let open = updater.open_pack(world.pack()).unwrap();
    assert!(open.lease.is_held());
    for number in 2..=4 {
        go_on(&world, &device, number);
        let found = Course::read(&open.tree).unwrap();
        assert_eq!(course(1).difference(&found), None, "after release {number}");
    }
    let pruned = updater.prune(PruneOptions::default()).unwrap();
    let in_use: Vec<_> = pruned.in_use.iter().map(|of| of.label.clone()).collect();
    assert_eq!(in_use, [Some(open.content_version.label.clone())]);
    let status = updater.status(world.pack()).unwrap();
    assert_eq!(status.leased, [open.content_version.manifest.short()]);
    let tree = open.tree.clone();
    drop(open);
    let pruned = updater.prune(PruneOptions::default()).unwrap();
    assert_eq!((pruned.releases.len(), pruned.in_use.len()), (1, 0));
    assert!(!tree.exists());
    device.assert_tidy(Partial::Gone);
}

#[test]
fn pruning_says_what_it_would_free_and_frees_just_that() {
    let world = World::new();
    let device = world.device();
    go_on(&world, &device, 1);
    let open = device.updater().open_pack(world.pack()).unwrap();
    go_on(&world, &device, 2);
    go_on(&world, &device, 3);
    drop(open);
    let updater = device.updater();
    let dry = PruneOptions {
        dry_run: true,
        ..PruneOptions::default()
    };
    let told = updater.prune(dry).unwrap();
    assert_eq!(told.releases.len(), 1);
    let before = files_below(device.library());
    assert_eq!(updater.prune(dry).unwrap(), told);
    assert_eq!(files_below(device.library()), before);
    // What its files share with the releases that stay frees nothing.
    let own = course(1).bytes();
    assert!(told.freed_bytes > 0 && told.freed_bytes < own, "{told:?}");
    assert_eq!(updater.prune(PruneOptions::default()).unwrap(), told);
    let nothing = updater.prune(PruneOptions::default()).unwrap();
    assert_eq!((nothing.releases.len(), nothing.freed_bytes), (0, 0));
    device.assert_has(&course(3));
}

/// Nobody can tell what of it is needed.
#[test]
fn pruning_removes_nothing_of_a_pack_that_lost_its_records() {
    let world = World::new();
    let device = world.device();
    go_on(&world, &device, 1);
    go_on(&world, &device, 2);
    let (layout, pack) = (device.layout(), world.pack());
    remove(layout.state(pack));
    remove(layout.previous_state(pack));
    let pruned = device.updater().prune(PruneOptions::default()).unwrap();
    assert_eq!((pruned.releases, pruned.in_use), (vec![], vec![]));
    assert_eq!(fs::read_dir(layout.releases(pack)).unwrap().count(), 2);
    let (options, never) = (HealOptions::default(), CancelToken::new());
    device.updater().heal(pack, &options, &never).unwrap();
    device.assert_has(&course(2));
}

#[test]
fn a_held_pack_is_updated_up_to_the_switch_and_switches_without_fetching_once_it_is_over() {
    for is_released in [false, true] {
        let (world, device) = World::with_an_update();
        let updater = device.updater();
        let until = world.clock().now().plus_days(1);
        updater.hold(world.pack(), "the exam", until).unwrap();
        for attempt in 0..2 {
            let updated = device.update().unwrap();
            assert!(matches!(updated.outcome, Outcome::Staged(_)));
            assert_eq!(updated.route.is_some(), attempt == 0);
            let hold = updated.held.unwrap();
            assert_eq!((hold.reason.as_str(), hold.until), ("the exam", until));
            device.assert_has(&first_course());
        }
        let status = updater.status(world.pack()).unwrap();
        assert_eq!(status.held.unwrap().until, until);
        assert_eq!(status.record.staged().unwrap().label.as_str(), "1.1");
        device.assert_tidy(Partial::Gone);
        // Pruning keeps what is about to be switched to.
        let pruned = updater.prune(PruneOptions::default()).unwrap();
        assert_eq!(pruned.releases, []);
        match is_released {
            true => updater.unhold(world.pack(), Some("the exam")).unwrap(),
            false => world.clock().add_days(1),
        }
        assert_eq!(updater.status(world.pack()).unwrap().held, None);
        let updated = device.update().unwrap();
        assert!(matches!(updated.outcome, Outcome::Activated(_)));
        assert_eq!(updated.route, None);
        device.assert_has(&second_course());
        device.assert_tidy(Partial::Gone);
    }
}

#[test]
fn a_hold_has_a_reason_and_an_end_and_one_of_a_clock_gone_wrong_does_not_last() {
    let (world, device) = World::with_an_update();
    let updater = device.updater();
    let now = world.clock().now();
    for (reason, until) in [
        ("", now.plus_days(1)),
        ("the exam", now),
        ("the exam", now.plus_days(32)),
    ] {
        let refused = updater.hold(world.pack(), reason, until);
        assert!(matches!(refused, Err(UpdateError::WrongHold { .. })));
    }
    world.clock().add_days(9 * 365);
    let in_years = world.clock().now().plus_days(31);
    updater.hold(world.pack(), "the exam", in_years).unwrap();
    assert!(updater.status(world.pack()).unwrap().held.is_some());
    world.clock().set(now);
    assert_eq!(updater.status(world.pack()).unwrap().held, None);
}

#[test]
fn a_pinned_device_stays_and_fetches_nothing_until_it_is_unpinned() {
    let (world, device) = World::with_an_update();
    let updater = device.updater();
    updater.pin(world.pack(), None, PinFor::Device).unwrap();
    let updated = device.update().unwrap();
    assert!(
        matches!(updated.outcome, Outcome::Withheld(Withheld::Pinned { label }) if label == "1.0")
    );
    assert_eq!(updated.route, None);
    device.assert_has(&first_course());
    updater.unpin(world.pack(), None).unwrap();
    device.update().unwrap();
    device.assert_has(&second_course());
}

#[test]
fn an_attempt_opens_its_own_release_for_as_long_as_that_is_pinned() {
    let world = World::new();
    let device = world.device();
    go_on(&world, &device, 1);
    let updater = device.updater();
    let begun_on = updater.open_pack(world.pack()).unwrap().content_version;
    let stored = begun_on.to_string();
    updater.pin(world.pack(), None, PinFor::Attempts).unwrap();
    for number in 2..=4 {
        go_on(&world, &device, number);
    }
    let version: VersionName = stored.parse().unwrap();
    let open = updater.open_at(&version).unwrap();
    assert_eq!(open.content_version, begun_on);
    assert!(!open.on_trial);
    let found = Course::read(&open.tree).unwrap();
    assert_eq!(course(1).difference(&found), None);
    let elsewhere = updater.pin(world.pack(), Some(&begun_on.label), PinFor::Device);
    assert!(matches!(elsewhere, Err(UpdateError::NotActive { .. })));

    updater.unpin(world.pack(), Some(&begun_on.label)).unwrap();
    match updater.open_at(&version) {
        Err(UpdateError::ReleaseAbsent {
            expected, found, ..
        }) => {
            assert_eq!(expected, stored);
            assert!(found.contains("@4#") && found.contains("@3#"), "{found}");
        }
        other => panic!("{other:?}"),
    }
    // Open still: it goes with the lease, not with the pin.
    updater.prune(PruneOptions::default()).unwrap();
    assert!(open.tree.is_dir());
    drop(open);
    updater.prune(PruneOptions::default()).unwrap();
    device.assert_tidy(Partial::Gone);
}

#[test]
fn a_release_that_fails_takes_its_pin_on_the_device_with_it_and_stays_refused() {
    let (world, device) = World::with_an_update();
    device.update().unwrap();
    let updater = device.updater();
    updater.pin(world.pack(), None, PinFor::Device).unwrap();
    updater
        .fail(world.pack(), "the video does not play")
        .unwrap();
    let record = updater.status(world.pack()).unwrap().record;
    assert_eq!(record.stays_on(), None);
    assert_eq!(record.pins().len(), 1);
    let refused = record.refused().last().unwrap();
    assert_eq!(refused.reason, "the video does not play");
    assert!(matches!(
        device.update().unwrap().outcome,
        Outcome::Withheld(Withheld::FailedHere { .. })
    ));
}

#[test]
fn what_is_staged_and_not_offered_any_more_is_dropped() {
    let (world, device) = World::with_an_update();
    let options = UpdateOptions {
        stage_only: true,
        ..UpdateOptions::default()
    };
    let updater = device.updater();
    let cancel = CancelToken::new();
    updater.update(world.pack(), &options, &cancel).unwrap();
    let third = second_course().revised(3);
    world.publish("1.2", &third);
    device.update().unwrap();
    device.assert_has(&third);
    device.assert_tidy(Partial::Gone);
    assert_eq!(updater.status(world.pack()).unwrap().record.staged(), None);
}

#[test]
fn what_is_retained_does_not_grow_over_a_hundred_updates() {
    let world = World::new();
    let device = world.device();
    let mut course = Course::small(1);
    let mut sizes = Vec::new();
    for number in 1..=100_u64 {
        course.put("index.html", format!("{number:0>4000}").into_bytes());
        world.publish(&number.to_string(), &course);
        device.update().unwrap();
        device.confirm();
        let mut bytes = 0;
        let files = files_below(device.library());
        let documents = device.layout().trust().folder().join("targets");
        let (seen, files): (Vec<PathBuf>, Vec<PathBuf>) = files
            .into_iter()
            .partition(|file| file.starts_with(&documents));
        // One catalogue, which lists every release, and one rollout: those that it has seen last.
        assert_eq!(seen.len(), 2, "{seen:?}");
        // What devices tell of their trials is bounded apart, and leaves when it is sent.
        let (told, files): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|file| {
            file.ends_with("history") || file.parent().is_some_and(|of| of.ends_with("outbox"))
        });
        assert!(told.len() as u64 <= number + 1, "{told:?}");
        for file in &files {
            // Old roles of metadata are replaced, not added to.
            bytes += fs::metadata(file).unwrap().len();
        }
        sizes.push((names(&device, &files), bytes));
    }
    // From the fifth on, an update drops what the one before the last left.
    let (files, bytes) = sizes[4].clone();
    let (last_files, last_bytes) = sizes[99].clone();
    assert_eq!(last_files, files);
    // Versions gain digits.
    assert!(last_bytes <= bytes + 1_000, "{bytes} became {last_bytes}");
    device.assert_has(&course);
    // The last update began with three releases; the oldest goes with the next.
    device.updater().prune(PruneOptions::default()).unwrap();
    device.assert_tidy(Partial::Gone);
}

/// Returns where files lie, whatever their releases are called.
fn names(device: &Device, files: &[PathBuf]) -> Vec<String> {
    let below = files.iter().map(|file| file.strip_prefix(device.library()));
    let mut names: Vec<String> = below
        .map(|file| file.unwrap().to_string_lossy().replace('\\', "/"))
        .map(|name| match name.split_once("/releases/") {
            Some((pack, release)) => {
                let (_, file) = release.split_once('/').unwrap();
                format!("{pack}/releases/ID/{file}")
            }
            None => name,
        })
        .collect();
    names.sort();
    names
}
