//! A publisher that dies at any moment leaves a repository that devices accept.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use diff_core::{CancelToken, FileBytes};
use publisher::{FolderStorage, PublishError, Quiet, Repository, Source, Storage, StorageLock};

use crate::rig::{Rig, course, lesson, now, options};

/// A storage whose publisher dies behind so many puts.
pub(crate) struct Dying {
    storage: FolderStorage,
    left: AtomicUsize,
}

impl Dying {
    /// Returns the repository of a publisher that dies behind so many steps.
    pub(crate) fn repository(path: PathBuf, steps: usize) -> Repository {
        let storage = Dying {
            storage: FolderStorage::new(path),
            left: AtomicUsize::new(steps),
        };
        Repository::open_in(Box::new(storage)).unwrap()
    }

    fn step(&self) -> Result<(), PublishError> {
        let step = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        match self.left.fetch_update(order, order, step) {
            Ok(_) => Ok(()),
            Err(_) => Err(PublishError::Storage {
                operation: "write",
                location: "anything".to_owned(),
                source: io::Error::other("the power is gone"),
            }),
        }
    }
}

impl Storage for Dying {
    fn put(&self, location: &str, source: Source<'_>) -> Result<(), PublishError> {
        self.step()?;
        self.storage.put(location, source)
    }

    fn put_if_absent(&self, location: &str, source: Source<'_>) -> Result<bool, PublishError> {
        self.step()?;
        self.storage.put_if_absent(location, source)
    }

    fn sync(&self) -> Result<(), PublishError> {
        self.step()?;
        self.storage.sync()
    }

    fn get(&self, location: &str) -> Result<Option<FileBytes>, PublishError> {
        self.storage.get(location)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PublishError> {
        self.storage.list(prefix)
    }

    fn remove(&self, location: &str) -> Result<bool, PublishError> {
        self.step()?;
        self.storage.remove(location)
    }

    fn lock(&self) -> Result<StorageLock, PublishError> {
        self.storage.lock()
    }

    fn scratch(&self) -> Result<PathBuf, PublishError> {
        self.storage.scratch()
    }

    fn address(&self) -> String {
        self.storage.address()
    }
}

fn publish_until(rig: &Rig, steps: usize) -> Result<(), PublishError> {
    let repository = Dying::repository(rig.repository_path(), steps);
    let (course, keys) = (rig.course_path(), rig.keys());
    repository
        .publish(&course, &keys, &options("1.1"), &Quiet, &CancelToken::new())
        .map(|_| ())
}

#[test]
fn death_at_any_step_leaves_the_old_or_the_new_release() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    let mut steps = 0;
    loop {
        let died = publish_until(&rig, steps);
        let report = rig.audit();
        assert!(
            report.is_sound(),
            "behind step {steps}: {:?}",
            report.problems
        );
        match died {
            Ok(()) => break,
            Err(PublishError::LabelExists { .. }) => break,
            Err(PublishError::Storage { .. }) => {}
            Err(other) => panic!("behind step {steps}: {other:?}"),
        }
        let labels = rig.labels();
        assert!(labels == ["1.0"] || labels == ["1.0", "1.1"], "{labels:?}");
        steps += 1;
    }
    assert!(steps > 10, "only {steps} steps");
    assert_eq!(rig.labels(), ["1.0", "1.1"]);
}

#[test]
fn interrupted_names_are_never_given_to_other_bytes() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    // As far as it goes without the last word.
    let mut steps = 0;
    while rig.labels() == ["1.0"] && publish_until(&rig, steps).is_err() {
        steps += 1;
    }
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    publish_until(&rig, steps - 2).unwrap_err();
    let before = crate::rig::snapshot(&rig.repository_path());
    rig.write(&[("index.html", lesson(1, 202))]);
    rig.publish("1.2").unwrap();
    let after = crate::rig::snapshot(&rig.repository_path());
    for (path, bytes) in &before {
        let is_timestamp = path.ends_with("timestamp.json");
        assert!(is_timestamp || after[path] == *bytes, "{path:?} changed");
    }
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert!(!report.unreferenced.is_empty());
}

#[test]
fn interrupted_init_can_be_repeated() {
    let rig = Rig::new();
    let path = rig.path().join("other");
    for steps in 0.. {
        let storage = Dying {
            storage: FolderStorage::new(&path),
            left: AtomicUsize::new(steps),
        };
        match Repository::init_in(&storage, &rig.keys(), now()) {
            Ok(_) | Err(PublishError::RepositoryExists { .. }) => break,
            Err(PublishError::Storage { .. }) => {}
            Err(other) => panic!("behind step {steps}: {other:?}"),
        }
    }
    rig.write(&course());
    let repository = Repository::open(&path).unwrap();
    let (course, keys) = (rig.course_path(), rig.keys());
    repository
        .publish(&course, &keys, &options("1.0"), &Quiet, &CancelToken::new())
        .unwrap();
}
