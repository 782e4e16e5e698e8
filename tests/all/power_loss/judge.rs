use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use diff_core::{CancelToken, Digest};
use satchel_tests::rig::course::Course;
use satchel_tests::rig::sim::{Image, SimDisk};
use satchel_tests::rig::world::{Device, Partial, first_course, second_course, third_course};
use updater_client::library::layout::LibraryLayout;
use updater_client::library::state::InstalledRelease;
use updater_client::{HistoryKind, UpdateError};

use super::scene::{Scene, Verb};

/// How a pack stands; nothing where there is no library.
pub(crate) type Shape = Option<Stand>;

/// What the record of a pack says, in labels of releases.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Stand {
    active: Option<String>,
    /// Which tree of the active release it is.
    copy: u32,
    fallback: Option<String>,
    staged: Option<String>,
    openings: Option<u32>,
    refused: Vec<String>,
    pinned: Vec<String>,
    held_for: Vec<String>,
    /// Whether it says nothing, for it cannot be read.
    is_damaged: bool,
}

/// Tells whether a device that a crash has left goes on as it should.
pub(crate) struct Judge<'a> {
    scene: &'a Scene<'a>,
    courses: BTreeMap<String, Course>,
    old: Shape,
    new: Shape,
    /// What the next update makes of each.
    settled: Vec<(Shape, Shape)>,
    /// Whether the history may lack an event.
    misses_events: bool,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(scene: &'a Scene<'a>) -> Judge<'a> {
        let mut judge = Judge {
            scene,
            courses: BTreeMap::from([
                ("1.0".to_owned(), first_course()),
                ("1.1".to_owned(), second_course()),
                ("1.2".to_owned(), third_course()),
            ]),
            old: None,
            new: None,
            settled: Vec::new(),
            misses_events: false,
        };
        let [(_, old), (_, new)] = ["judged-old", "judged-new"].map(|name| scene.place(name));
        judge.old = judge.shape(&old);
        scene.run(&new, disk(scene)).unwrap();
        judge.new = judge.shape(&new);
        for device in [old, new] {
            let before = judge.shape(&device);
            scene.then_update(&device, disk(scene)).unwrap();
            judge.settled.push((before, judge.shape(&device)));
        }
        judge
    }

    /// Returns the judge of a disk that is full: a history that finds no room there misses an event, and
    /// nothing else waits for it.
    pub(crate) fn of_a_full_disk(self) -> Judge<'a> {
        Judge {
            misses_events: true,
            ..self
        }
    }

    pub(crate) fn old_shape(&self) -> Shape {
        self.old.clone()
    }

    pub(crate) fn new_shape(&self) -> Shape {
        self.new.clone()
    }

    /// Returns what a verb that was cut off may leave between two stands: one or the other, or the
    /// first without what was staged, which an update drops before it goes on.
    pub(crate) fn between(before: &Shape, after: &Shape) -> Vec<Shape> {
        let unstaged = before.clone().map(|stand| Stand {
            staged: None,
            ..stand
        });
        vec![before.clone(), after.clone(), unstaged]
    }

    /// Returns the stand without saying which tree of the active release it is.
    pub(crate) fn whichever_tree(shape: Shape) -> Shape {
        shape.map(|stand| Stand { copy: 0, ..stand })
    }

    pub(crate) fn shape(&self, device: &Device) -> Shape {
        let updater = match device.builder().build() {
            Ok(updater) => updater,
            Err(UpdateError::NotALibrary { .. }) => return None,
            Err(failed) => panic!("the library does not open: {failed}"),
        };
        let status = match updater.status(device.pack()) {
            Err(UpdateError::Damaged { .. }) if self.scene.verb() == Verb::HealRecord => {
                return Some(Stand {
                    is_damaged: true,
                    ..Stand::default()
                });
            }
            status => status.unwrap(),
        };
        assert_eq!(status.damage, None);
        let record = status.record;
        let label = |release: &InstalledRelease| release.label.to_string();
        let pins = record.pins().iter().map(|pin| label(&pin.release));
        let active = record.active();
        // Where both records were lost, one was made of what lies there, which no event tells of.
        if self.scene.verb() != Verb::HealRecord && !self.misses_events {
            let history = updater.history(device.pack()).unwrap();
            let told = history.last().and_then(|event| match event.kind {
                HistoryKind::Reverted => event.other.as_ref().map(label),
                _ => Some(label(&event.release)),
            });
            assert_eq!(told, active.map(label), "{history:?}");
        }
        Some(Stand {
            active: active.map(label),
            copy: active.map_or(0, |active| record.copy_of(&active.manifest)),
            fallback: record.fallback().map(label),
            staged: record.staged().map(label),
            openings: record.trial().map(|trial| trial.openings),
            refused: record
                .refused()
                .iter()
                .map(|refused| refused.label.to_string())
                .collect(),
            pinned: pins.collect(),
            held_for: record.holds().iter().map(|of| of.reason.clone()).collect(),
            is_damaged: false,
        })
    }

    /// Builds the state, opens it as the next process would, and counts what is not as it should be.
    pub(crate) fn try_state(
        &self,
        image: &Image,
        accepted: &[Shape],
        told: String,
        tried: &mut Tried,
    ) {
        if !tried.seen.insert((image.digest(), accepted.to_vec())) {
            return;
        }
        tried.states += 1;
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge(image, accepted)));
        if judged.is_err() {
            tried.violations.push(told);
        }
    }

    fn judge(&self, image: &Image, accepted: &[Shape]) {
        let (base, device) = self.scene.place_image("tried", image);
        let shape = self.shape(&device);
        assert!(accepted.contains(&shape), "{shape:?}, not {accepted:?}");
        self.is_whole(&device);
        self.what_looks_complete_is(&device);
        let has_active = shape.as_ref().is_some_and(|stand| stand.active.is_some());
        let active = has_active.then(|| self.tree(&device)).flatten();
        if let Some(active) = active {
            let aliased = image.aliased.iter().map(|path| base.join(path));
            for folder in aliased {
                assert!(
                    !active.starts_with(&folder),
                    "{} has another name, and goes with it",
                    folder.display()
                );
            }
        }
        self.scene.then_update(&device, disk(self.scene)).unwrap();
        let after = self.shape(&device);
        if let Some((_, settled)) = self.settled.iter().find(|(from, _)| *from == shape) {
            assert_eq!(after, *settled);
        }
        self.is_whole(&device);
        device.assert_tidy(Partial::Gone);
    }

    /// Fails when a release has its manifest and not its lessons: an update would switch to it.
    fn what_looks_complete_is(&self, device: &Device) {
        let releases = device.layout().releases(device.pack());
        for release in std::fs::read_dir(releases).into_iter().flatten() {
            let release = release.unwrap().path();
            let tree = LibraryLayout::tree_within(&release);
            if !LibraryLayout::manifest_within(&release).exists() || !tree.is_dir() {
                continue;
            }
            let found = Course::read(&tree).unwrap();
            let known = self.courses.keys().any(|label| {
                let damaged = self.course(label, self.misses_files(label));
                let courses = [&self.courses[label], &damaged];
                courses.iter().any(|of| of.difference(&found).is_none())
            });
            assert!(known, "{} is not complete", release.display());
        }
    }

    /// Whether files of this release are missing before.
    fn misses_files(&self, label: &str) -> bool {
        self.scene.missing().0 == label
    }

    /// Returns the course that was published under a label, without what is missing before.
    fn course(&self, label: &str, misses_files: bool) -> Course {
        let mut course = self.courses[label].clone();
        if misses_files {
            let (_, missing) = self.scene.missing();
            missing.iter().for_each(|lesson| {
                course.remove(lesson);
            });
        }
        course
    }

    fn tree(&self, device: &Device) -> Option<PathBuf> {
        device.updater().status(device.pack()).unwrap().tree
    }

    /// Fails unless every file of the active release is as it was published.
    fn is_whole(&self, device: &Device) {
        let Some(Stand {
            active: Some(label),
            copy,
            ..
        }) = self.shape(device)
        else {
            return;
        };
        // A tree that was healed is another.
        let is_damaged = copy == 0 && self.misses_files(&label);
        let tree = self.tree(device).unwrap();
        let found = Course::read(&tree).unwrap();
        if let Some(difference) = self.course(&label, is_damaged).difference(&found) {
            panic!("{label}: {difference}");
        }
        let report = device
            .updater()
            .verify(device.pack(), &CancelToken::new())
            .unwrap();
        let (_, missing) = self.scene.missing();
        let damaged = if is_damaged { missing.len() } else { 0 };
        assert_eq!(report.damage.len(), damaged, "{:?}", report.damage);
    }
}

/// What was tried, and what was wrong with it.
#[derive(Default)]
pub(crate) struct Tried {
    states: usize,
    seen: HashSet<(Digest, Vec<Shape>)>,
    violations: Vec<String>,
}

impl Tried {
    /// Tells what was tried past the capture of the test runner, and fails where something was wrong.
    pub(crate) fn report(&self, what: &str) {
        if std::env::var_os("SATCHEL_SLOW").is_some() {
            let _ = writeln!(
                std::io::stderr(),
                "{what}: {} states tried, {} violations",
                self.states,
                self.violations.len()
            );
        }
        assert!(self.states > 0, "{what}: nothing was tried");
        let first: Vec<_> = self.violations.iter().take(5).collect();
        assert!(
            self.violations.is_empty(),
            "{what}: {} of {}: {first:#?}",
            self.violations.len(),
            self.states
        );
    }
}

fn disk(scene: &Scene<'_>) -> Arc<SimDisk> {
    Arc::new(SimDisk::new(scene.script()))
}
