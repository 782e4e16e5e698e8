//! Tenants and the keys that they need.

use std::fs;

use diff_core::CancelToken;
use publisher::{PublishError, PublishOptions, Quiet, TrustChange};
use release_format::{Label, PackName, Signer};

use crate::rig::{Rig, lesson, now, options};

fn missing(rig: &Rig, options: &PublishOptions) -> String {
    match rig.publish_with(options) {
        Err(PublishError::KeyMissing { role, path }) => {
            assert_eq!(path, rig.keys().path_of(&role));
            role
        }
        other => panic!("expected a missing key, found {other:?}"),
    }
}

#[test]
fn only_the_keys_that_are_needed_are_asked_for() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    for role in ["root", "targets"] {
        fs::remove_file(rig.keys().path_of(role)).unwrap();
    }
    rig.publish("1.1").unwrap();
    rig.write(&[("index.html", lesson(1, 202))]);
    for role in ["acme", "acme-operations", "snapshot", "timestamp"] {
        let path = rig.keys().path_of(role);
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        assert_eq!(missing(&rig, &options("1.2")), role);
        fs::rename(&aside, &path).unwrap();
    }
    rig.publish("1.2").unwrap();
}

#[test]
fn new_tenant_needs_the_targets_key() {
    let rig = Rig::with_release();
    fs::remove_file(rig.keys().path_of("targets")).unwrap();
    let pack = PackName::parse("globex/physics").unwrap();
    let options = PublishOptions::new(pack, Label::parse("1.0").unwrap(), now());
    assert_eq!(missing(&rig, &options), "targets");
    assert!(!rig.keys().has("globex"));
}

#[test]
fn second_tenant_joins_the_first() {
    let rig = Rig::with_release();
    let pack = PackName::parse("globex/physics").unwrap();
    let options = PublishOptions::new(pack.clone(), Label::parse("1.0").unwrap(), now());
    let published = rig.publish_with(&options).unwrap();
    assert!(published.delegated);
    assert_eq!(published.generated_keys, ["globex", "globex-operations"]);
    assert_eq!(rig.repository().packs().unwrap().len(), 2);
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn key_that_the_role_does_not_have_is_refused() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    fs::remove_file(rig.keys().path_of("acme")).unwrap();
    rig.keys().generate("acme").unwrap();
    match rig.publish("1.1") {
        Err(PublishError::KeyNotTrusted { role, .. }) => assert_eq!(role, "acme"),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn role_of_two_signatures_is_signed_by_two_or_not_at_all() {
    let rig = Rig::with_release();
    let second = rig.keys().generate("editor").unwrap();
    let change = TrustChange {
        add: vec![("acme".to_owned(), second.public_key().clone())],
        thresholds: vec![("acme".to_owned(), 2)],
        ..TrustChange::default()
    };
    rig.repository()
        .change_trust(&change, &rig.keys(), now())
        .unwrap();
    rig.write(&[("index.html", lesson(1, 201))]);
    rig.publish("1.1").unwrap();
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
    fs::remove_file(rig.keys().path_of("editor")).unwrap();
    rig.write(&[("index.html", lesson(1, 202))]);
    match rig.publish("1.2") {
        Err(PublishError::Threshold {
            role,
            expected,
            found,
            missing,
            ..
        }) => {
            assert_eq!((role.as_str(), expected, found), ("acme", 2, 1));
            assert_eq!(missing, [second.public_key().id().unwrap()]);
        }
        other => panic!("expected too few keys, found {other:?}"),
    }
}

#[test]
fn expired_metadata_is_renewed_by_publishing() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    let mut options = options("1.1");
    options.now = now().plus_days(80);
    rig.publish_with(&options).unwrap();
    let mut check = publisher::AuditOptions::at(options.now);
    let report = publisher::audit(&rig.repository_path(), &check).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    check.now = options.now.plus_days(8);
    let report = publisher::audit(&rig.repository_path(), &check).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
}

#[test]
fn second_publisher_at_once_is_told_that_the_first_is_busy() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    let first = rig.repository();
    let held = first.storage().lock().unwrap();
    assert!(matches!(rig.publish("1.1"), Err(PublishError::Busy { .. })));
    drop(held);
    let (course, keys) = (rig.course_path(), rig.keys());
    first
        .publish(&course, &keys, &options("1.1"), &Quiet, &CancelToken::new())
        .unwrap();
}
