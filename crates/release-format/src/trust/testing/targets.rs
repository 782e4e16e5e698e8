use super::super::request::MetadataRequest;
use super::super::trusted::Refreshed;
use super::*;

/// Returns a set whose snapshot lists this file as `targets`, whatever that is, and its request.
fn listing(repository: &Repository, targets: &[u8]) -> (TrustedSet, MetadataRequest) {
    let mut snapshot = repository.snapshot();
    let file = MetaFile::of(1, targets);
    snapshot.meta.insert("targets.json".to_owned(), file);
    let snapshot = signed(&snapshot, &[SNAPSHOT]);
    let timestamp = signed(&repository.timestamp_of(&snapshot), &[TIMESTAMP]);
    let mut set = repository.pinned();
    set.update_timestamp(&timestamp, now()).unwrap();
    set.update_snapshot(&snapshot, now()).unwrap();
    let request = set.targets_request().unwrap().unwrap();
    (set, request)
}

#[test]
fn targets_are_the_file_that_the_snapshot_lists() {
    let repository = Repository::new();
    let file = repository.role_file("targets");
    let mut set = repository.with_snapshot();
    let request = set.targets_request().unwrap().unwrap();
    assert_eq!(request.location, "metadata/1.targets.json");

    let mut flipped = file.clone();
    flipped[file.len() / 2] ^= 1;
    let refused = set.update_targets(&request, &flipped, now());
    assert!(matches!(
        refused,
        Err(TrustError::WrongDigest { role, .. }) if role == "targets"
    ));
    let refused = set.update_targets(&request, &file[1..], now());
    assert!(matches!(refused, Err(TrustError::WrongLength { .. })));
    assert_eq!(set.targets("targets"), None);

    set.update_targets(&request, &file, now()).unwrap();
    assert_eq!(set.targets_request(), Ok(None));
}

#[test]
fn targets_have_the_version_that_the_snapshot_lists() {
    let mut repository = Repository::new();
    repository.role("targets").version = 2;
    let file = repository.role_file("targets");
    let (mut set, request) = listing(&repository, &file);
    let refused = set.update_targets(&request, &file, now());
    assert_eq!(refused, Err(wrong_version("targets", 1, 2)));
}

#[test]
fn targets_are_signed_by_their_role() {
    let repository = Repository::new();
    for stranger in [ROOT, TIMESTAMP, SNAPSHOT, STRANGER] {
        let mut repository = Repository::new();
        repository.roles.get_mut("targets").unwrap().1 = vec![stranger];
        let file = repository.role_file("targets");
        let (mut set, request) = listing(&repository, &file);
        let refused = set.update_targets(&request, &file, now());
        assert_eq!(refused, Err(unsigned("targets", "root", 0, 1)));
    }
    let file = repository.role_file("targets");
    let (mut set, request) = listing(&repository, &file);
    assert_eq!(set.update_targets(&request, &file, now()), Ok(()));
}

#[test]
fn targets_that_expired_are_refused() {
    let mut repository = Repository::new();
    repository.role("targets").expires = now();
    let mut set = repository.with_snapshot();
    let request = set.targets_request().unwrap().unwrap();
    let refused = set.update_targets(&request, &repository.role_file("targets"), now());
    let role = "targets".to_owned();
    let (expires, now) = (now(), now());
    assert_eq!(refused, Err(TrustError::Expired { role, expires, now }));
}

#[test]
fn targets_wait_for_the_snapshot_that_the_timestamp_names() {
    let mut repository = Repository::new();
    let set = repository.with_timestamp();
    let early = out_of_order("targets", "the snapshot that the timestamp names");
    assert_eq!(set.targets_request(), Err(early.clone()));
    assert_eq!(set.lookup("a"), Err(early.clone()));

    let mut set = repository.with_snapshot();
    let request = set.targets_request().unwrap().unwrap();
    let file = repository.role_file("targets");
    let mut pinned = repository.pinned();
    let refused = pinned.update_targets(&request, &file, now());
    assert_eq!(refused, Err(out_of_order("targets", "a timestamp")));
    let mut unlisted = repository.with_timestamp();
    let refused = unlisted.update_targets(&request, &file, now());
    assert_eq!(refused, Err(out_of_order("targets", "a snapshot")));

    set.update_targets(&request, &file, now()).unwrap();
    assert_eq!(set.lookup("a"), Ok(Lookup::Absent));
    repository.renew();
    set.update_timestamp(&repository.timestamp_file(), now())
        .unwrap();
    assert_eq!(set.lookup("a"), Err(early));
}

#[test]
fn snapshot_keeps_only_the_roles_that_it_lists_as_they_are() {
    let mut repository = Repository::of_two_tenants();
    let mut set = repository.refreshed();
    for target in ["acme/biology/catalogue", "other/biology/catalogue"] {
        repository.find(&mut set, target).unwrap();
    }
    // One role is of another version, one of the same version and of other bytes.
    repository.role("acme").version = 2;
    repository.role("other").expires = expires().plus_days(1);
    repository.renew();
    set.update_timestamp(&repository.timestamp_file(), now())
        .unwrap();
    set.update_snapshot(&repository.snapshot_file(), now())
        .unwrap();
    let trusted = ["targets", "acme", "other"].map(|role| set.targets(role).is_some());
    assert_eq!(trusted, [true, false, false]);
    let (_, asked) = repository
        .find(&mut set, "other/biology/catalogue")
        .unwrap();
    assert_eq!(asked, ["other"]);
}

#[test]
fn set_that_outlives_its_time_answers_nothing() {
    let mut repository = Repository::of_two_tenants();
    let soon = now().plus_days(2);
    repository.role("acme").expires = soon;
    let mut set = repository.refreshed();
    let path = "acme/biology/catalogue";
    repository.find(&mut set, path).unwrap();

    // A role that has expired meanwhile is asked for anew, and refused if there is no newer one.
    let timestamp = repository.timestamp_file();
    assert_eq!(set.update_timestamp(&timestamp, soon), Ok(Refreshed::Same));
    let Ok(Lookup::Needs(request)) = set.lookup(path) else {
        panic!("the tenant's role is needed");
    };
    assert_eq!(request.file_name(), "acme.json");
    let refused = set.update_targets(&request, &repository.role_file("acme"), soon);
    assert!(matches!(refused, Err(TrustError::Expired { role, .. }) if role == "acme"));

    // Nothing is believed below a timestamp that has.
    let refused = set.update_timestamp(&timestamp, afterwards());
    assert_eq!(refused, Err(expired("root", afterwards())));
    assert_eq!(set.lookup(path), Err(expired("root", afterwards())));
    assert!(set.snapshot_request().unwrap().is_some());
    assert!(set.targets_request().unwrap().is_some());
}

#[test]
fn target_is_believed_by_its_length_and_digests() {
    let mut repository = Repository::new();
    repository.add_target("targets", "notes", b"lesson");
    let mut entry = TargetEntry::of(b"lesson");
    entry.custom = None;
    repository
        .role("targets")
        .targets
        .insert("plain".to_owned(), entry);
    let set = repository.refreshed();
    let Ok(Lookup::Found(target)) = set.lookup("notes") else {
        panic!("the target is there");
    };
    let sha256 = target.entry.sha256().unwrap();
    assert_eq!(target.location, format!("targets/{sha256}.notes"));
    assert_eq!(target.length(), 6);
    assert_eq!(target.blake3(), Some(diff_core::Digest::of(b"lesson")));

    let verified = set.verify_target(&target, b"lesson".to_vec()).unwrap();
    assert_eq!(verified.get(), b"lesson");
    let refused = set.verify_target(&target, b"lessoN".to_vec());
    assert!(matches!(
        refused,
        Err(TrustError::WrongDigest { role, .. }) if role == "notes"
    ));
    let refused = set.verify_target(&target, b"lesson ".to_vec());
    let role = "notes".to_owned();
    let (expected, found) = (6, 7);
    let wrong = TrustError::WrongLength {
        role,
        expected,
        found,
    };
    assert_eq!(refused, Err(wrong));

    let Ok(Lookup::Found(target)) = set.lookup("plain") else {
        panic!("the target is there");
    };
    assert_eq!(target.blake3(), None);
    set.verify_target(&target, b"lesson").unwrap();
}

#[test]
fn digest_of_a_target_cannot_lead_elsewhere() {
    for digest in [
        "../../elsewhere",
        "",
        "AB",
        &"A".repeat(64),
        &"0".repeat(63),
    ] {
        let mut repository = Repository::new();
        let mut entry = TargetEntry::of(b"lesson");
        entry.hashes.insert("sha256".to_owned(), digest.to_owned());
        let targets = &mut repository.role("targets").targets;
        targets.insert("notes".to_owned(), entry);
        let mut set = repository.with_snapshot();
        let request = set.targets_request().unwrap().unwrap();
        let refused = set.update_targets(&request, &repository.role_file("targets"), now());
        assert_malformed(refused, "the sha256 digest of notes");
    }
}

#[test]
fn every_trusted_file_is_there_to_be_stored_as_it_came() {
    let mut repository = Repository::of_two_tenants();
    repository.delegate("targets", "a/../b", &[7], &["b"], true);
    let mut set = repository.refreshed();
    repository.find(&mut set, "acme/biology/catalogue").unwrap();
    repository.find(&mut set, "b").unwrap();
    let files: Vec<_> = set
        .files()
        .map(|(name, bytes)| (name, bytes.to_vec()))
        .collect();
    let expected = [
        ("root.json", repository.root_file()),
        ("timestamp.json", repository.timestamp_file()),
        ("snapshot.json", repository.snapshot_file()),
        ("a%2F..%2Fb.json", repository.role_file("a/../b")),
        ("acme.json", repository.role_file("acme")),
        ("targets.json", repository.role_file("targets")),
    ];
    assert_eq!(
        files,
        expected.map(|(name, bytes)| (name.to_owned(), bytes))
    );
}

#[test]
fn without_consistent_snapshots_names_bear_no_versions_and_digests() {
    let mut repository = Repository::of_two_tenants();
    repository.root.consistent_snapshot = false;
    let mut set = repository.pinned();
    assert_eq!(set.root_request().location, "metadata/2.root.json");
    set.update_timestamp(&repository.timestamp_file(), now())
        .unwrap();
    let request = set.snapshot_request().unwrap().unwrap();
    assert_eq!(request.location, "metadata/snapshot.json");
    let mut set = repository.refreshed();
    let Ok(Lookup::Needs(request)) = set.lookup("acme/biology/catalogue") else {
        panic!("the tenant's role is needed");
    };
    assert_eq!(request.location, "metadata/acme.json");
    let (found, _) = repository.find(&mut set, "acme/biology/catalogue").unwrap();
    let Lookup::Found(target) = found else {
        panic!("expected a target, found {found:?}");
    };
    assert_eq!(target.location, "targets/acme/biology/catalogue");
}
