//! What pruning removes, and for whom it keeps what.

use std::collections::BTreeSet;
use std::fs;

use diff_core::CancelToken;
use publisher::{DeltaFrom, PruneOptions, PruneReport, PublishError, Quiet};
use release_format::{ChannelName, Label};

use crate::rig::{Rig, lesson, now, options, pack, snapshot};
use crate::watched::Watched;

fn keeping(keep: usize) -> PruneOptions {
    let mut options = PruneOptions::at(now());
    options.keep = Some(keep);
    options
}

fn prune(rig: &Rig, options: &PruneOptions) -> PruneReport {
    rig.repository().prune(&rig.keys(), options).unwrap()
}

/// Publishes one more release, with deltas from these.
fn publish(rig: &Rig, label: &str, from: DeltaFrom) {
    let lines = label.bytes().map(u32::from).sum();
    rig.write(&[("index.html", lesson(lines, 200))]);
    let mut options = options(label);
    options.delta_from = from;
    rig.publish_with(&options).unwrap();
}

/// Releases 1.0 to 1.4, each with a delta from the one before.
fn five_releases() -> Rig {
    let rig = Rig::with_release();
    for n in 1..=4 {
        publish(&rig, &format!("1.{n}"), DeltaFrom::Last(1));
    }
    rig
}

#[track_caller]
fn assert_sound(rig: &Rig) {
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

fn labels(labels: &[Label]) -> Vec<&str> {
    labels.iter().map(Label::as_str).collect()
}

#[test]
fn what_an_interrupted_publish_left_is_removed_and_the_rest_stays() {
    let rig = five_releases();
    prune(&rig, &PruneOptions::at(now()));
    let before = snapshot(&rig.repository_path());
    rig.write(&[("index.html", lesson(9, 250))]);
    let dying = Watched::dying(rig.repository_path(), 6).repository();
    let (course, keys) = (rig.course_path(), rig.keys());
    let cancel = CancelToken::new();
    dying
        .publish(&course, &keys, &options("1.5"), &Quiet, &cancel)
        .unwrap_err();
    let litter = snapshot(&rig.repository_path()).len() - before.len();
    assert!(litter > 1);
    let mut dry = PruneOptions::at(now());
    dry.is_dry = true;
    let told = prune(&rig, &dry);
    assert_eq!(told.removed.len(), litter);
    assert_eq!(
        snapshot(&rig.repository_path()).len(),
        before.len() + litter
    );
    assert_eq!(prune(&rig, &PruneOptions::at(now())), told);
    assert_eq!(snapshot(&rig.repository_path()), before);
    assert_sound(&rig);
}

#[test]
fn dropped_releases_leave_the_catalogue_at_once_and_their_content_the_next_time() {
    let rig = five_releases();
    let report = prune(&rig, &keeping(2));
    assert_eq!(rig.labels(), ["1.3", "1.4"]);
    assert_sound(&rig);
    assert_eq!(report.packs.len(), 1);
    assert!(report.packs[0].needed.is_empty());
    assert!(!report.waiting.is_empty() && report.waiting_bytes > 0);
    let content = |locations: &[String]| -> BTreeSet<String> {
        let content = locations.iter().filter(|l| l.starts_with("content/"));
        content.cloned().collect()
    };
    let waiting = content(&report.waiting);
    assert!(content(&report.removed).is_disjoint(&waiting));
    for location in &report.waiting {
        assert!(rig.repository_path().join(location).exists());
    }

    // The same again changes nothing; behind the next release but one it is gone.
    assert!(content(&prune(&rig, &keeping(2)).removed).is_empty());
    publish(&rig, "1.5", DeltaFrom::Last(1));
    publish(&rig, "1.6", DeltaFrom::Last(1));
    let report = prune(&rig, &PruneOptions::at(now()));
    assert!(waiting.is_subset(&content(&report.removed)));
    assert!(report.freed_bytes > 0);
    assert_sound(&rig);
}

#[test]
fn whoever_does_not_wait_frees_it_at_once() {
    let rig = five_releases();
    let mut options = keeping(1);
    options.now_too = true;
    let report = prune(&rig, &options);
    assert!(report.waiting.is_empty());
    let audited = rig.audit();
    assert!(audited.is_sound(), "{:?}", audited.problems);
    assert_eq!(audited.unreferenced, [""; 0]);
    // The rollout still names the release before, for devices that a halt would leave without one.
    assert_eq!(rig.labels(), ["1.3", "1.4"]);
    // What was published since goes on from there.
    publish(&rig, "1.5", DeltaFrom::All);
    assert_eq!(rig.labels(), ["1.3", "1.4", "1.5"]);
    assert_sound(&rig);
}

#[test]
fn costs_are_told_for_those_who_bear_them() {
    let rig = five_releases();
    let before = rig.repository().catalogue(&pack()).unwrap();
    let mut dry = keeping(2);
    dry.is_dry = true;
    let report = prune(&rig, &dry);
    assert_eq!(rig.labels().len(), 5, "a dry run drops nothing");
    let [pruned] = &report.packs[..] else {
        panic!("expected one pack, found {:?}", report.packs);
    };
    let dropped: Vec<_> = pruned
        .dropped
        .iter()
        .map(|one| one.label.as_str())
        .collect();
    assert_eq!(dropped, ["1.0", "1.1", "1.2"]);
    let length = |release: usize, from: Option<usize>| {
        let from = from.map(|from| before.releases[from].manifest.digest);
        let mut deltas = before.releases[release].deltas.iter();
        deltas
            .find(|delta| delta.from == from)
            .unwrap()
            .content
            .length
    };
    // 1.2 goes by 1.3 to 1.4, and without it all the way from nothing.
    let last = &pruned.dropped[2];
    assert_eq!(last.to.as_ref().unwrap().as_str(), "1.4");
    assert_eq!(
        last.before_bytes,
        Some(length(3, Some(2)) + length(4, Some(3)))
    );
    assert_eq!(last.after_bytes, Some(length(4, None)));
    assert_eq!(prune(&rig, &keeping(2)).packs, report.packs);
}

#[test]
fn releases_that_are_offered_or_on_the_way_of_those_that_stay_are_kept() {
    let rig = Rig::new();
    rig.write(&crate::rig::course());
    let mut first = options("1.0");
    first.channel = ChannelName::parse("beta").unwrap();
    rig.publish_with(&first).unwrap();
    for n in 1..=3 {
        publish(&rig, &format!("1.{n}"), DeltaFrom::Last(1));
    }
    // beta still offers 1.0, whose way to 1.3 leads through 1.1 and 1.2.
    let report = prune(&rig, &keeping(1));
    assert!(report.packs.is_empty(), "{:?}", report.packs);
    assert_eq!(rig.labels(), ["1.0", "1.1", "1.2", "1.3"]);

    publish(
        &rig,
        "1.4",
        DeltaFrom::Labels(vec![Label::parse("1.1").unwrap()]),
    );
    let report = prune(&rig, &keeping(1));
    let [pruned] = &report.packs[..] else {
        panic!("expected one pack, found {:?}", report.packs);
    };
    assert_eq!(rig.labels(), ["1.0", "1.1", "1.3", "1.4"]);
    assert_eq!(labels(&pruned.needed), ["1.0", "1.1", "1.3"]);
    assert_sound(&rig);
}

#[test]
fn death_at_any_step_of_pruning_leaves_a_sound_repository() {
    let made = five_releases();
    let files = snapshot(&made.repository_path());
    let (mut before, mut after) = (0, 0);
    for steps in 0.. {
        let place = made.path().join(format!("torn-{steps}"));
        for (path, bytes) in &files {
            let file = place.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        let mut options = keeping(2);
        options.now_too = true;
        let died = Watched::dying(place.clone(), steps)
            .repository()
            .prune(&made.keys(), &options);
        let mut audit = publisher::AuditOptions::at(now());
        audit.apply_deltas = steps % 8 == 0;
        let report = publisher::audit(&place, &audit).unwrap();
        assert!(report.is_sound(), "step {steps}: {:?}", report.problems);
        let repository = publisher::Repository::open(&place).unwrap();
        match repository.catalogue(&pack()).unwrap().releases.len() {
            5 => before += 1,
            2 => after += 1,
            other => panic!("step {steps} leaves {other} releases"),
        }
        match died {
            Ok(_) => break,
            Err(PublishError::Storage { .. }) => {}
            Err(other) => panic!("step {steps}: {other:?}"),
        }
        // Once more, and nothing is left of it.
        repository.prune(&made.keys(), &options).unwrap();
        let report = publisher::audit(&place, &audit).unwrap();
        assert!(report.is_sound() && report.releases == 2);
        let content = report
            .unreferenced
            .iter()
            .filter(|l| l.starts_with("content/"));
        assert_eq!(content.count(), 0, "step {steps}");
        fs::remove_dir_all(&place).unwrap();
    }
    assert!(before > 3 && after > 10, "{before} before, {after} after");
}

#[test]
fn damaged_repository_is_not_pruned() {
    let rig = five_releases();
    let damaged = rig
        .repository()
        .storage()
        .list("targets/acme/biology-101/")
        .unwrap();
    for location in damaged.iter().filter(|l| l.ends_with(".catalogue")) {
        fs::write(rig.repository_path().join(location), b"{}").unwrap();
    }
    let before = snapshot(&rig.repository_path());
    let refused = rig
        .repository()
        .prune(&rig.keys(), &PruneOptions::at(now()));
    assert!(
        matches!(refused, Err(PublishError::Refused { .. })),
        "{refused:?}"
    );
    assert_eq!(snapshot(&rig.repository_path()), before);
}
