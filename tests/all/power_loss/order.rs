//! In which order a library asks its disk for what: rules that every verb keeps to at each of its steps,
//! looked at in all of them, where crashes are tried of some.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diff_core::CancelToken;
use satchel_tests::rig::course::Random;
use satchel_tests::rig::sim::{Call, Script, SimDisk, Step, Trace, Trouble};
use satchel_tests::rig::world::{Device, World, files_below, first_course, remove};
use updater_client::library::disk::Operation;
use updater_client::library::layout::LibraryLayout;
use updater_client::{HealOptions, MirrorBuilder};

use super::scene::{Play, Scene, Verb};
use super::troubles::EACCES;

#[test]
fn nothing_is_done_before_that_on_which_it_rests_is_durable() {
    let play = Play::new();
    for verb in Verb::ALL {
        let scene = Scene::new(&play, verb);
        let (_, device) = scene.place("in-order");
        let disk = SimDisk::new(scene.script());
        let trace = disk.trace();
        scene.run(&device, Arc::new(disk)).unwrap();
        // An update behind it removes what is not needed any more.
        let going_on = SimDisk::going_on(scene.script(), Arc::clone(&trace));
        scene.then_update(&device, Arc::new(going_on)).unwrap();
        Rules::new(&device).hold(&trace.lock().unwrap(), &format!("{verb:?}"));
    }
}

/// What a process that was killed has named and not synced is seen by the next one, which may find nothing
/// left to do: its success promises that as well.
#[test]
fn what_a_killed_process_named_is_durable_behind_the_next_success() {
    let play = Play::new();
    // An opening promises nothing: one that is forgotten is counted again.
    let promising = |verb: &Verb| !matches!(verb, Verb::Open | Verb::OpenTooOften);
    // Who is enrolled already goes on with an update.
    let next = |verb| match verb {
        Verb::Enroll => Scene::then_update,
        _ => Scene::run,
    };
    for verb in Verb::ALL.into_iter().filter(promising) {
        let scene = Scene::new(&play, verb);
        let (_, device) = scene.place("named");
        let disk = SimDisk::new(scene.script());
        let trace = disk.trace();
        scene.run(&device, Arc::new(disk)).unwrap();
        let calls = trace.lock().unwrap().calls.clone();
        let calls = calls.iter().map(|call| call.operation);
        let names = [Operation::Rename, Operation::CreateDir];
        let naming = (1..).zip(calls).filter(|(_, one)| names.contains(one));
        for (behind, _) in naming {
            let (_, device) = scene.place("named");
            let trace = scene.run_killed(&device, behind);
            let going_on = SimDisk::going_on(scene.script(), Arc::clone(&trace));
            if next(verb)(&scene, &device, Arc::new(going_on)).is_err() {
                continue;
            }
            let rules = Rules {
                is_resumed: true,
                ..Rules::new(&device)
            };
            let told = format!("{verb:?} killed at {behind}");
            rules.hold(&trace.lock().unwrap(), &told);
        }
    }
}

/// Where a device has no key, or a damaged one, it makes another before it tells how its trial ended.
#[test]
fn a_key_is_durable_before_anything_that_it_signed() {
    let play = Play::new();
    let scene = Scene::new(&play, Verb::Confirm);
    let placed = || {
        let (_, device) = scene.place("without-key");
        scene
            .run(&device, Arc::new(SimDisk::new(scene.script())))
            .unwrap();
        files_below(&device.layout().outbox())
            .iter()
            .for_each(remove);
        remove(device.layout().device_key());
        device
    };
    let device = placed();
    let disk = SimDisk::new(scene.script());
    let trace = disk.trace();
    scene.then_update(&device, Arc::new(disk)).unwrap();
    let trace = trace.lock().unwrap();
    Rules::new(&device).hold(&trace, "telling");
    assert!(!files_below(&device.layout().outbox()).is_empty());
    let key = device.layout().device_key();
    let makes_key = |call: &Call| {
        let aside = call.path.file_name().and_then(|name| name.to_str());
        let is_key = aside.is_some_and(|name| name.starts_with("device.key"));
        call.operation == Operation::Rename && is_key
    };
    let made = trace.calls.iter().position(makes_key).unwrap();
    let device = placed();
    let script = Script {
        at: Some(made + 1),
        trouble: Trouble::Killed,
        for_good: true,
        ..scene.script()
    };
    let disk = SimDisk::new(script);
    let trace = disk.trace();
    scene.then_update(&device, Arc::new(disk)).unwrap_err();
    assert!(key.exists());
    let going_on = SimDisk::going_on(scene.script(), Arc::clone(&trace));
    scene.then_update(&device, Arc::new(going_on)).unwrap();
    let rules = Rules {
        is_resumed: true,
        ..Rules::new(&device)
    };
    rules.hold(&trace.lock().unwrap(), "killed behind the key");
}

/// An administrator made the library's folder, in one that its user may enter and not list.
#[test]
fn a_library_is_made_in_a_folder_whose_parent_is_not_this_users() {
    let play = Play::new();
    let scene = Scene::new(&play, Verb::Enroll);
    let placed = || {
        let (base, device) = scene.place("foreign");
        std::fs::create_dir(device.library()).unwrap();
        (base, device)
    };
    let (base, device) = placed();
    let disk = SimDisk::new(scene.script());
    let trace = disk.trace();
    scene.run(&device, Arc::new(disk)).unwrap();
    let calls = trace.lock().unwrap().calls.clone();
    let of_parent = |call: &Call| call.operation == Operation::SyncDir && call.path == base;
    let places: Vec<usize> = (0..)
        .zip(&calls)
        .filter(|(_, call)| of_parent(call))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 1, "{calls:#?}");
    let (_, device) = placed();
    let script = Script {
        at: places.first().copied(),
        trouble: Trouble::Errno(EACCES),
        ..scene.script()
    };
    scene.run(&device, Arc::new(SimDisk::new(script))).unwrap();
    scene
        .then_update(&device, Arc::new(SimDisk::new(scene.script())))
        .unwrap();
}

/// Where files have no second names, what another file has already is written as well.
#[test]
fn copies_are_durable_before_that_which_rests_on_them() {
    let world = World::new();
    let mut course = first_course();
    for (number, twins) in [
        ["media/a.bin", "media/b.bin"],
        ["media/c.bin", "media/d.bin"],
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = Random::new(number as u64).noise(20_000);
        for twin in twins {
            course.put(twin, bytes.clone());
        }
    }
    world.publish("1.0", &course);
    let device = world.device();
    let disk = || {
        let script = Script {
            no_links: true,
            ..Script::default()
        };
        Arc::new(SimDisk::new(script))
    };
    let installing = disk();
    device.update_on(installing.clone()).unwrap();
    Rules::new(&device).hold(&installing.trace().lock().unwrap(), "installing");
    device.confirm();
    // Both of the first pair have to be fetched, and one of the second is at hand.
    let tree = device.updater().status(device.pack()).unwrap().tree;
    for lost in ["media/a.bin", "media/b.bin", "media/d.bin"] {
        remove(tree.as_ref().unwrap().join(lost));
    }
    let healing = disk();
    let updater = device.builder().disk(healing.clone()).build().unwrap();
    let (options, cancel) = (HealOptions::default(), CancelToken::new());
    let healed = updater.heal(device.pack(), &options, &cancel).unwrap();
    assert_eq!(healed.releases[0].fetched_files, 2);
    assert_eq!(healed.releases[0].found_files, 1);
    Rules::new(&device).hold(&healing.trace().lock().unwrap(), "healing");
    device.assert_has(&course);
}

/// What a neighbour hands on is acknowledged once it cannot be lost.
#[test]
fn receipts_of_neighbours_are_durable_before_they_are_acknowledged() {
    let (world, device) = World::with_an_update();
    let laptop = world.device_at(world.folder().join("laptop"));
    let disk = Arc::new(SimDisk::new(Script::default()));
    let mirror = MirrorBuilder::new(laptop.library())
        .disk(disk.clone())
        .without_upstream()
        .build()
        .unwrap();
    let waiting = device.updater().receipts().unwrap();
    let answer = mirror.take_receipts(&waiting[0].encode()).unwrap();
    assert_eq!(answer.accepted, [waiting[0].name()]);
    Rules::new(&laptop).hold(&disk.trace().lock().unwrap(), "taking");
}

/// What is not durable yet, and what rests on it.
struct Rules<'a> {
    device: &'a Device,
    layout: LibraryLayout,
    files: HashMap<usize, PathBuf>,
    /// Files with bytes that were not synced.
    written: HashSet<PathBuf>,
    /// Second names of such files, with the first.
    links: HashMap<PathBuf, PathBuf>,
    /// Folders with names that were not synced.
    named: HashSet<PathBuf>,
    /// Releases whose manifest was removed.
    without_manifest: HashSet<PathBuf>,
    is_history_new: bool,
    /// Whether the library's folder has names that were not synced, but for hints.
    is_library_new: bool,
    /// Whether a process was killed, and the next one went on.
    is_resumed: bool,
}

impl<'a> Rules<'a> {
    fn new(device: &'a Device) -> Rules<'a> {
        Rules {
            device,
            layout: device.layout(),
            files: HashMap::new(),
            written: HashSet::new(),
            links: HashMap::new(),
            named: HashSet::new(),
            without_manifest: HashSet::new(),
            is_history_new: false,
            is_library_new: false,
            is_resumed: false,
        }
    }

    /// Looks at every step, and at what is left in the end.
    fn hold(mut self, trace: &Trace, told: &str) {
        for (number, step) in trace.steps.iter().enumerate() {
            self.watch(step, &format!("{told}, step {number}: {step:?}"));
        }
        self.end(told);
    }

    fn watch(&mut self, step: &Step, told: &str) {
        match step {
            Step::Create(path, number) => {
                self.files.insert(*number, path.clone());
                self.name(path);
            }
            Step::Open(path, number) => {
                self.files.insert(*number, path.clone());
            }
            Step::Write { file, .. } | Step::SetLength(file, _) => {
                self.written.insert(self.first_name(&self.files[file]));
            }
            Step::Sync(number) => {
                self.written.remove(&self.first_name(&self.files[number]));
            }
            Step::CreateDir(path) => {
                self.is_library_new |= path.parent() == Some(self.layout.root());
                self.name(path);
            }
            Step::Link(from, to) => {
                let first = self.first_name(from);
                if self.written.contains(&first) {
                    self.links.insert(to.clone(), first);
                }
                self.name(to);
            }
            Step::SyncDir(folder) => {
                self.named.remove(folder);
                self.is_history_new &= *folder != self.layout.pack(self.device.pack());
                self.is_library_new &= *folder != self.layout.root();
            }
            Step::SyncTree(root, written) => {
                self.named.retain(|folder| !folder.starts_with(root));
                for file in written {
                    self.written.remove(&self.first_name(file));
                }
            }
            Step::Rename(from, to) => {
                self.rename(from, to, told);
                self.name(from);
                self.name(to);
            }
            Step::Remove(path) => {
                self.remove(path, told);
                self.forget(path);
                self.named.remove(path);
                self.name(path);
            }
            Step::SetReadOnly(_) | Step::SyncFailed(_) | Step::SyncTreeFailed(_) => {}
        }
    }

    /// Returns the name that stands for a file with several.
    fn first_name(&self, path: &Path) -> PathBuf {
        self.links.get(path).map_or(path, PathBuf::as_path).into()
    }

    /// A file without this name may have others.
    fn forget(&mut self, path: &Path) {
        self.links.remove(path);
        let mut others: Vec<PathBuf> = Vec::new();
        for (other, first) in &self.links {
            if first == path {
                others.push(other.clone());
            }
        }
        let is_written = self.written.remove(path);
        let Some(next) = others.pop() else {
            return;
        };
        self.links.remove(&next);
        for other in others {
            self.links.insert(other, next.clone());
        }
        if is_written {
            self.written.insert(next);
        }
    }

    fn name(&mut self, path: &Path) {
        self.named.insert(path.parent().unwrap().to_owned());
    }

    fn rename(&mut self, from: &Path, to: &Path, told: &str) {
        let pack = self.device.pack();
        let (releases, staging) = (self.layout.releases(pack), self.layout.staging());
        let is_release = to.starts_with(&releases) && from.starts_with(&staging);
        if is_release || from.extension() == Some("aside".as_ref()) {
            let below = |path: &&PathBuf| path.starts_with(from);
            let linked = self.links.iter();
            let linked = linked.filter(|(_, first)| self.written.contains(*first));
            let linked = linked.map(|(other, _)| other);
            let unsynced: Vec<_> = self.written.iter().chain(linked).filter(below).collect();
            assert!(unsynced.is_empty(), "{told}: {unsynced:?} are not synced");
            let unsynced: Vec<_> = self.named.iter().filter(below).collect();
            assert!(unsynced.is_empty(), "{told}: {unsynced:?} are not synced");
        }
        if to == self.layout.state(pack) {
            assert!(!self.is_history_new, "{told}: the history is not synced");
            for folder in [releases, staging] {
                let is_synced = !self.named.contains(&folder);
                assert!(is_synced, "{told}: {} is not synced", folder.display());
            }
        }
        // Without the key the device is another one from then on, and tells of the same trial again.
        let is_receipt = to.starts_with(self.layout.outbox());
        assert!(
            !is_receipt || !self.is_library_new,
            "{told}: the key is not synced"
        );
        self.is_history_new |= to == self.layout.history(pack);
        self.is_library_new |=
            [self.layout.library_record(), self.layout.device_key()].contains(&to.to_owned());
    }

    /// What was a release is removed once it cannot be taken for one, whatever comes back.
    fn remove(&mut self, path: &Path, told: &str) {
        let Ok(below) = path.strip_prefix(self.layout.staging()) else {
            return;
        };
        let mut parts = below.components();
        let Some(release) = parts.next().map(|name| self.layout.staging().join(name)) else {
            return;
        };
        if release.extension() != Some("gone".as_ref()) {
            return;
        }
        let is_manifest = path == LibraryLayout::manifest_within(&release);
        let releases = self.layout.releases(self.device.pack());
        if is_manifest {
            let is_moved = !self.named.contains(&releases);
            assert!(is_moved, "{told}: it may have its place still");
            self.without_manifest.insert(release);
        } else if path.starts_with(LibraryLayout::tree_within(&release)) {
            let is_told = self.without_manifest.contains(&release);
            let is_durable = is_told && !self.named.contains(&release);
            assert!(is_durable, "{told}: its manifest may be there still");
        }
    }

    /// What was done is done for good.
    fn end(&self, told: &str) {
        let pack = self.device.pack();
        let trust = self.layout.trust();
        assert!(!self.is_library_new, "{told}: the library is not synced");
        for folder in [
            self.layout.root().parent().unwrap().to_owned(),
            self.layout.pack(pack),
            self.layout.releases(pack),
            self.layout.outbox(),
            self.layout.outbox_of_others(),
            trust.folder().to_owned(),
            trust.roots(),
            trust.delegated_roles(),
        ] {
            // The record still has what a killed process was moving to the outbox.
            let is_kept = self.is_resumed && folder == self.layout.outbox();
            let is_synced = is_kept || !self.named.contains(&folder);
            assert!(is_synced, "{told}: {} is not synced", folder.display());
        }
    }
}
