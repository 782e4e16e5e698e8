//! What the log tells, and what is noticed of whoever meddles with it.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use diff_core::CancelToken;
use publisher::{
    AddDeltasOptions, AuditOptions, ExportOptions, ExportReach, FolderStorage, LogState,
    PruneOptions, PublishError, Quiet, Repository, TrustChange, audit,
};
use release_format::{
    ChannelName, DeviceLabels, Label, LogHead, RoleDraft, Share, Signer, Timestamp, UtcTime, sign,
};

use crate::ceremony::{Holders, three_holders};
use crate::rig::{Rig, lesson, now, options, pack, snapshot};
use crate::watched::Watched;

fn publish(rig: &Rig, label: &str, lines: u32) {
    rig.write(&[("index.html", lesson(1, lines))]);
    rig.publish(label).unwrap();
}

/// Releases 1.0 to 1.3.
fn four_releases() -> Rig {
    let rig = Rig::with_release();
    for (label, lines) in [("1.1", 201), ("1.2", 202), ("1.3", 203)] {
        publish(&rig, label, lines);
    }
    rig
}

fn entry(rig: &Rig, number: u64) -> PathBuf {
    rig.repository_path().join(format!("audit/{number}.json"))
}

fn problems(rig: &Rig) -> Vec<String> {
    let report = audit(&rig.repository_path(), &AuditOptions::at(now())).unwrap();
    report.problems.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_sound(rig: &Rig) {
    assert_eq!(problems(rig), [""; 0]);
}

fn actions(rig: &Rig) -> Vec<(String, LogState)> {
    let log = rig.repository().log().unwrap();
    let records = log.records.iter();
    records
        .map(|record| (record.entry.action.clone(), record.state))
        .collect()
}

fn copy(from: &Rig, to: &Rig) {
    for (path, bytes) in snapshot(&from.repository_path()) {
        let place = to.repository_path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
    for path in snapshot(from.keys().path()).into_keys() {
        // With its mode: a key that others may read is refused.
        let place = to.keys().path().join(&path);
        fs::copy(from.keys().path().join(&path), place).unwrap();
    }
}

#[test]
fn every_action_is_told_of_in_its_order() {
    let rig = four_releases();
    let repository = rig.repository();
    let mut lean = options("1.3b");
    lean.delta_from = publisher::DeltaFrom::Last(1);
    rig.write(&[("index.html", lesson(1, 210))]);
    rig.publish_with(&lean).unwrap();
    let mut deltas = AddDeltasOptions::new(pack(), vec![Label::parse("1.0").unwrap()], now());
    deltas.to = Some(lean.label.clone());
    repository
        .add_deltas(&rig.keys(), &deltas, &Quiet, &CancelToken::new())
        .unwrap();
    let mut prune = PruneOptions::at(now());
    prune.keep = Some(1);
    repository.prune(&rig.keys(), &prune).unwrap();
    let rotation = TrustChange {
        thresholds: Vec::new(),
        root_expires: Some(now().plus_days(400)),
        ..TrustChange::default()
    };
    repository
        .change_trust(&rotation, &rig.keys(), now())
        .unwrap();
    publish(&rig, "1.4", 204);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.log.notes, [""; 0]);
    let told: Vec<_> = actions(&rig)
        .into_iter()
        .map(|(action, _)| action)
        .collect();
    let head = told.len() as u64;
    assert_eq!(
        told.join(" "),
        "init publish publish publish publish publish deltas-add prune keys publish"
    );
    assert_eq!(report.log.head.unwrap().number, head);
    let log = repository.log().unwrap();
    let first = log.in_force().nth(1).unwrap();
    assert_eq!(first.subject.pack, Some(pack()));
    assert_eq!(first.recorded_by, ["targets", "acme", "acme-operations"]);
    let key = rig.keys().load("acme").unwrap().public_key().id().unwrap();
    assert_eq!(first.by["acme"], [key]);
    assert!(log.in_force().any(|entry| {
        entry
            .told
            .iter()
            .any(|line| line.contains("1.0 is dropped"))
    }));
}

#[test]
fn whatever_is_done_to_the_log_is_found_and_named() {
    let rig = four_releases();
    let sound = snapshot(&rig.repository_path());
    let other = Rig::new();
    copy(&rig, &other);
    publish(&rig, "1.4", 204);
    publish(&rig, "1.5", 205);
    publish(&other, "1.4-other", 304);
    let before = snapshot(&rig.repository_path());
    assert_sound(&rig);
    let edit = |number: u64, from: &str, to: &str| {
        let text = fs::read_to_string(entry(&rig, number)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(entry(&rig, number), text.replace(from, to)).unwrap();
    };
    let remove = |numbers: &[u64]| {
        for number in numbers {
            fs::remove_file(entry(&rig, *number)).unwrap();
        }
    };
    type Meddling<'a> = (&'a str, &'a dyn Fn(), &'a str);
    let meddlings: &[Meddling<'_>] = &[
        (
            "a deletion",
            &|| remove(&[3]),
            "audit/3.json: expected entry 3, which the log goes on from or ends with, found none: it was deleted",
        ),
        (
            "a lost tail",
            &|| remove(&[6, 7]),
            "audit/7.json: expected entry 7, which the log goes on from or ends with, found none: the log's tail behind entry 5 is lost",
        ),
        (
            "a lost log",
            &|| remove(&[1, 2, 3, 4, 5, 6, 7]),
            "none: the log was deleted",
        ),
        (
            "an edit",
            &|| edit(3, "stable offers 1.1 to 100%", "stable offers 1.1 to 10%"),
            "audit/3.json: expected entry 3 as entry 4 follows it, found an entry whose signatures are not valid: it was edited",
        ),
        (
            "an edit of the last",
            &|| edit(7, "1.5 to 100%", "1.5 to 10%"),
            "as the timestamp names it, found an entry whose signatures are not valid: it was edited",
        ),
        (
            "what is no entry",
            &|| fs::write(entry(&rig, 4), "{}").unwrap(),
            "found what is none: it was edited",
        ),
        (
            "another order",
            &|| {
                let (third, fourth) = (
                    fs::read(entry(&rig, 3)).unwrap(),
                    fs::read(entry(&rig, 4)).unwrap(),
                );
                fs::write(entry(&rig, 3), fourth).unwrap();
                fs::write(entry(&rig, 4), third).unwrap();
            },
            "audit/4.json: expected entry 4 as entry 5 follows it, found entry 3: the entries were reordered",
        ),
        (
            "a fork",
            &|| {
                fs::copy(entry(&other, 6), entry(&rig, 6))
                    .map(|_| ())
                    .unwrap();
            },
            "audit/6.json: expected entry 6 as entry 7 follows it, found another entry of that number, signed by keys of the repository: the log was forked",
        ),
        (
            "a deletion with everything behind moved up",
            &|| {
                for number in 3..7 {
                    fs::rename(entry(&rig, number + 1), entry(&rig, number)).unwrap();
                }
            },
            "reordered",
        ),
    ];
    for (what, meddle, expected) in meddlings {
        meddle();
        let found = problems(&rig);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{what}: {found:#?}"
        );
        for (path, bytes) in &before {
            let place = rig.repository_path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
        }
        assert_sound(&rig);
    }
    assert!(sound.len() < before.len());
}

#[test]
fn auditor_who_noted_the_head_sees_a_fork_and_a_return_to_yesterday() {
    let rig = four_releases();
    let other = Rig::new();
    copy(&rig, &other);
    publish(&rig, "1.4", 204);
    publish(&other, "1.4", 304);
    let head = |rig: &Rig| rig.repository().log().unwrap().head;
    let audited = |rig: &Rig, seen: Option<LogHead>| {
        let mut options = AuditOptions::at(now());
        options.seen = seen;
        let report = audit(&rig.repository_path(), &options).unwrap();
        report
            .problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let seen = head(&rig);
    assert_eq!(audited(&rig, seen.clone()), [""; 0]);
    assert!(audited(&other, seen.clone())[0].ends_with("the log was forked"));
    publish(&rig, "1.5", 205);
    assert_eq!(audited(&rig, seen), [""; 0]);
    let newest = head(&rig);
    // All of yesterday's repository, timestamp too: valid by itself.
    assert_eq!(audited(&other, None), [""; 0]);
    assert!(audited(&other, newest)[0].ends_with("none: what was seen is lost"));
}

#[test]
fn metadata_that_no_entry_tells_of_is_found() {
    let rig = four_releases();
    // An older operations role and snapshot, put back by whoever holds the online keys alone.
    let keys = rig.keys();
    let path = rig.repository_path().join("metadata/timestamp.json");
    let bytes = fs::read(&path).unwrap();
    let draft = RoleDraft::<Timestamp>::parse("timestamp", &bytes, 1 << 20).unwrap();
    let mut body = draft.body().clone();
    body.version += 1;
    let key = keys.load("timestamp").unwrap();
    fs::write(&path, sign(&body, &[&key]).unwrap()).unwrap();
    let found = problems(&rig);
    assert!(
        found[0].contains("version 5 as the log tells, found version 6"),
        "{found:?}"
    );
}

#[test]
fn death_at_any_step_leaves_a_log_that_holds_and_tells_what_was_given_up() {
    let rig = Rig::with_release();
    let mut unfinished = false;
    for steps in 0.. {
        rig.write(&[("index.html", lesson(2, 300))]);
        let dying = Watched::dying(rig.repository_path(), steps).repository();
        let (course, keys) = (rig.course_path(), rig.keys());
        let cancel = CancelToken::new();
        let died = dying.publish(&course, &keys, &options("1.1"), &Quiet, &cancel);
        assert_sound(&rig);
        let states: Vec<_> = actions(&rig).into_iter().map(|(_, state)| state).collect();
        unfinished |= states.last() == Some(&LogState::Unfinished);
        match died {
            Err(PublishError::Storage { .. }) => {}
            Ok(_) | Err(PublishError::LabelExists { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(unfinished);
    let states: Vec<_> = actions(&rig).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states.last(), Some(&LogState::InForce));
    assert!(states.contains(&LogState::GivenUp), "{states:?}");
    // Neither is what was given up free to be taken away.
    let given_up = states.iter().position(|state| *state == LogState::GivenUp);
    fs::remove_file(entry(&rig, given_up.unwrap() as u64 + 1)).unwrap();
    assert!(problems(&rig)[0].contains("it was deleted"));
}

#[test]
fn repository_without_a_log_starts_one_at_the_next_action() {
    let rig = four_releases();
    fs::remove_dir_all(rig.repository_path().join("audit")).unwrap();
    let path = rig.repository_path().join("metadata/timestamp.json");
    let draft =
        RoleDraft::<Timestamp>::parse("timestamp", &fs::read(&path).unwrap(), 1 << 20).unwrap();
    let mut body = draft.body().clone();
    body.log = None;
    let key = rig.keys().load("timestamp").unwrap();
    fs::write(&path, sign(&body, &[&key]).unwrap()).unwrap();
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(
        report.log.notes,
        ["there is no log: it begins with the next action"]
    );

    publish(&rig, "1.4", 204);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert!(
        report.log.notes[0].starts_with("the log begins on"),
        "{:?}",
        report.log.notes
    );
    assert_eq!(actions(&rig).len(), 1);
    let log = rig.repository().log().unwrap();
    let offers = log.offers_at(&pack(), now());
    assert_eq!(offers[0].rollout.label.as_str(), "1.4");

    // A publisher that keeps no log, and then one that does.
    let draft =
        RoleDraft::<Timestamp>::parse("timestamp", &fs::read(&path).unwrap(), 1 << 20).unwrap();
    let mut body = draft.body().clone();
    body.log = None;
    fs::write(&path, sign(&body, &[&key]).unwrap()).unwrap();
    assert!(problems(&rig)[0].contains("a publisher that keeps no log was at work"));
    publish(&rig, "1.5", 205);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert!(report.log.notes[0].starts_with("the log begins anew with entry 2"));
}

#[test]
fn keys_that_many_hold_and_a_root_alone_are_told_of() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let repository = rig.repository();
    let mut proposal = repository.propose(&three_holders(&holders), now()).unwrap();
    proposal.sign_with(&rig.keys()).unwrap();
    for name in ["alice", "bob"] {
        proposal.merge(&holders.signed_by(name, &proposal)).unwrap();
    }
    repository
        .publish_proposal(&proposal, &rig.keys(), now())
        .unwrap();
    assert_sound(&rig);
    let log = repository.log().unwrap();
    let entry = log.in_force().last().unwrap();
    assert_eq!((entry.action.as_str(), entry.number), ("keys", 3));
    assert!(entry.by["root"].len() >= 2, "{:?}", entry.by);
    assert!(
        entry
            .told
            .iter()
            .any(|line| line.contains("root 2 replaces root 1"))
    );
    publish(&rig, "1.1", 201);
    assert_sound(&rig);

    // Nobody's key but the holders' is at hand, and no timestamp is signed.
    let renewal = TrustChange {
        root_expires: Some(now().plus_days(300)),
        ..TrustChange::default()
    };
    let mut proposal = repository.propose(&renewal, now()).unwrap();
    for name in ["carol", "bob"] {
        proposal.merge(&holders.signed_by(name, &proposal)).unwrap();
    }
    let nobody = publisher::KeyStore::folder(rig.path().join("nobody"));
    repository
        .publish_proposal(&proposal, &nobody, now())
        .unwrap();
    assert_sound(&rig);
    let log = repository.log().unwrap();
    let last = log.in_force().last().unwrap();
    assert_eq!(
        (last.number, last.timestamp, last.recorded_by.len()),
        (5, None, 0)
    );
    fs::remove_file(self::entry(&rig, 5)).unwrap();
    assert!(
        problems(&rig)[0].contains("metadata/3.root.json"),
        "{:?}",
        problems(&rig)
    );
}

#[test]
fn root_that_came_into_force_by_itself_stays_in_the_chain() {
    let rig = Rig::with_release();
    let renewal = TrustChange {
        root_expires: Some(now().plus_days(300)),
        ..TrustChange::default()
    };
    rig.repository()
        .change_trust(&renewal, &rig.keys(), now())
        .unwrap();
    publish(&rig, "1.1", 201);
    assert_sound(&rig);
    let states: Vec<_> = actions(&rig).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [LogState::InForce; 4]);
    fs::remove_file(entry(&rig, 3)).unwrap();
    assert!(problems(&rig)[0].contains("it was deleted"));
}

#[test]
fn pruning_leaves_the_log_and_an_export_carries_it_when_asked() {
    let rig = four_releases();
    let mut prune = PruneOptions::at(now());
    (prune.keep, prune.now_too) = (Some(1), true);
    rig.repository().prune(&rig.keys(), &prune).unwrap();
    assert_sound(&rig);
    let to = rig.path().join("stick");
    let export = |with_log: bool| {
        let mut options = ExportOptions::new(Vec::new(), ExportReach::Deltas);
        options.with_log = with_log;
        let cancel = CancelToken::new();
        rig.repository()
            .export(&to, &options, &Quiet, &cancel)
            .unwrap();
        to.join("audit").exists()
    };
    assert!(!export(false));
    assert!(export(true));
    publish(&rig, "1.4", 204);
    assert!(export(false));
    let entries = |folder: PathBuf| snapshot(&folder.join("audit"));
    assert_eq!(entries(to.clone()), entries(rig.repository_path()));
    let log = Repository::open(&to).unwrap().log().unwrap();
    assert_eq!(log.problems, []);
}

#[test]
fn what_was_offered_then_is_told_though_its_metadata_is_gone() {
    let rig = Rig::with_release();
    let at = |text: &str| UtcTime::parse(text).unwrap();
    let mut second = options("1.1");
    second.now = at("2026-12-01T00:00:00Z");
    second.share = Share::parse("10%").unwrap();
    rig.write(&[("index.html", lesson(1, 201))]);
    rig.publish_with(&second).unwrap();
    let mut third = options("1.2");
    third.now = at("2026-12-24T00:00:00Z");
    third.channel = ChannelName::parse("beta").unwrap();
    rig.write(&[("index.html", lesson(1, 202))]);
    rig.publish_with(&third).unwrap();
    let mut prune = PruneOptions::at(third.now);
    prune.now_too = true;
    rig.repository().prune(&rig.keys(), &prune).unwrap();

    let log = rig.repository().log().unwrap();
    assert_eq!(log.problems, []);
    assert_eq!(log.offers_at(&pack(), at("2026-11-20T00:00:00Z")), []);
    let first = &log.offers_at(&pack(), at("2026-11-30T00:00:00Z"))[0];
    assert_eq!(first.rollout.label.as_str(), "1.0");
    assert_eq!(first.until, Some((3, second.now)));
    let operations = rig.keys().load("acme-operations").unwrap();
    assert_eq!(first.signed_by, [operations.public_key().id().unwrap()]);
    let content = rig.keys().load("acme").unwrap().public_key().id().unwrap();
    let origin = first.release.as_ref().unwrap();
    assert_eq!(
        (origin.published, &origin.signed_by[..]),
        (now(), &[content][..])
    );

    let offers = log.offers_at(&pack(), at("2026-12-31T00:00:00Z"));
    let told: Vec<_> = offers
        .iter()
        .map(|offer| (offer.rollout.channel.as_str(), offer.rollout.label.as_str()))
        .collect();
    assert_eq!(told, [("beta", "1.2"), ("stable", "1.1")]);
    let (stable, none) = (&offers[1], DeviceLabels::default());
    assert_eq!(
        stable.offered_to(999, &none, third.now),
        Some(stable.rollout.release)
    );
    assert_eq!(
        stable.offered_to(1000, &none, third.now),
        Some(first.rollout.release)
    );
}

/// Told as a figure, and asserted where it was built to be fast.
#[test]
fn thousand_entries_are_audited_within_a_second() {
    let entries: u32 = if std::env::var_os("SATCHEL_SLOW").is_some() {
        1000
    } else {
        20
    };
    let rig = Rig::new();
    for number in 1..entries {
        rig.write(&[("index.html", format!("<p>{number}</p>").into_bytes())]);
        let mut options = options(&number.to_string());
        options.delta_from = publisher::DeltaFrom::Last(0);
        rig.publish_with(&options).unwrap();
    }
    let repository = rig.repository();
    let started = Instant::now();
    let log = repository.log().unwrap();
    let took = started.elapsed();
    println!("{} entries in {took:?}", log.records.len());
    assert_eq!(log.problems, []);
    assert_eq!(log.in_force().count(), entries as usize);
    if !cfg!(debug_assertions) {
        assert!(took.as_millis() < 1000, "{took:?}");
    }
}

#[test]
fn entry_is_in_no_two_hands_at_once() {
    let rig = Rig::with_release();
    let storage = FolderStorage::new(rig.repository_path());
    let held = publisher::Storage::lock(&storage).unwrap();
    rig.write(&[("index.html", lesson(1, 201))]);
    assert!(matches!(rig.publish("1.1"), Err(PublishError::Busy { .. })));
    drop(held);
    assert_eq!(actions(&rig).len(), 2);
}
