//! A publisher that dies at any moment leaves a repository that devices accept.

use diff_core::CancelToken;
use publisher::{PublishError, Quiet, Repository};

use crate::rig::{Rig, course, lesson, now, options};
use crate::watched::Watched;

fn publish_until(rig: &Rig, steps: usize) -> Result<(), PublishError> {
    let repository = Watched::dying(rig.repository_path(), steps).repository();
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
        let storage = Watched::dying(&path, steps);
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
