use super::*;

/// Returns a set that trusts a timestamp of this snapshot file, whatever that is.
fn naming(repository: &Repository, snapshot: &[u8]) -> TrustedSet {
    let mut set = repository.pinned();
    let timestamp = signed(&repository.timestamp_of(snapshot), &[TIMESTAMP]);
    set.update_timestamp(&timestamp, now()).unwrap();
    set
}

#[test]
fn snapshot_is_the_file_that_the_timestamp_names() {
    let repository = Repository::new();
    let file = repository.snapshot_file();
    let mut set = repository.with_timestamp();
    let request = set.snapshot_request().unwrap().unwrap();
    assert_eq!(request.location, "metadata/1.snapshot.json");
    assert_eq!((request.version, request.limit), (1, file.len() as u64));

    let mut flipped = file.clone();
    flipped[file.len() / 2] ^= 1;
    let refused = set.update_snapshot(&flipped, now());
    assert!(matches!(
        refused,
        Err(TrustError::WrongDigest { role, algorithm: "sha256", .. }) if role == "snapshot"
    ));
    let longer = [&file[..], b" "].concat();
    let refused = set.update_snapshot(&longer, now());
    let (expected, found) = (file.len() as u64, longer.len() as u64);
    let role = "snapshot".to_owned();
    let wrong = TrustError::WrongLength {
        role,
        expected,
        found,
    };
    assert_eq!(refused, Err(wrong));
    assert_eq!(set.snapshot(), None);

    set.update_snapshot(&file, now()).unwrap();
    assert_eq!(set.snapshot_request(), Ok(None));
}

#[test]
fn every_digest_that_is_known_is_compared_and_one_has_to_be() {
    let repository = Repository::new();
    let file = repository.snapshot_file();
    let sha256 = TargetEntry::of(&file).sha256().unwrap().to_owned();
    let sha512 = {
        use sha2::Digest as _;
        hex::encode(sha2::Sha512::digest(&file))
    };
    let zeros = "0".repeat(128);
    for (hashes, is_wrong) in [
        (vec![("sha256", &sha256)], None),
        (vec![("sha512", &sha512)], None),
        (vec![("sha256", &sha256), ("shake", &zeros)], None),
        (
            vec![("sha256", &sha256), ("sha512", &zeros)],
            Some("sha512"),
        ),
        (vec![("shake", &zeros)], Some("")),
        (vec![], Some("")),
    ] {
        let mut timestamp = repository.timestamp_of(&file);
        let named = timestamp.meta.get_mut("snapshot.json").unwrap();
        let hashes = hashes.into_iter();
        let hashes = hashes.map(|(name, digest)| (name.to_owned(), digest.clone()));
        named.hashes = Some(hashes.collect());
        let mut set = repository.pinned();
        set.update_timestamp(&signed(&timestamp, &[TIMESTAMP]), now())
            .unwrap();
        match (set.update_snapshot(&file, now()), is_wrong) {
            (Ok(()), None) => {}
            (Err(TrustError::Malformed { place, .. }), Some("")) => assert_eq!(place, "hashes"),
            (Err(TrustError::WrongDigest { algorithm, .. }), Some(wrong)) => {
                assert_eq!(algorithm, wrong);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn timestamp_may_leave_out_length_and_digests() {
    let repository = Repository::new();
    let mut timestamp = repository.timestamp_of(b"");
    let named = timestamp.meta.get_mut("snapshot.json").unwrap();
    (named.length, named.hashes) = (None, None);
    let mut set = repository.pinned();
    set.update_timestamp(&signed(&timestamp, &[TIMESTAMP]), now())
        .unwrap();
    let request = set.snapshot_request().unwrap().unwrap();
    assert_eq!(request.limit, TrustLimits::standard().snapshot_bytes);
    set.update_snapshot(&repository.snapshot_file(), now())
        .unwrap();
}

#[test]
fn snapshot_is_signed_by_its_role() {
    let repository = Repository::new();
    for stranger in [ROOT, TIMESTAMP, TARGETS, STRANGER] {
        let file = signed(&repository.snapshot(), &[stranger]);
        let mut set = naming(&repository, &file);
        let refused = Err(unsigned("snapshot", "root", 0, 1));
        assert_eq!(set.update_snapshot(&file, now()), refused);
        assert_eq!(set.recall_snapshot(&file), refused);
    }
}

#[test]
fn snapshot_has_the_version_that_the_timestamp_names() {
    let repository = Repository::new();
    let mut snapshot = repository.snapshot();
    snapshot.version = 2;
    let file = signed(&snapshot, &[SNAPSHOT]);
    let refused = naming(&repository, &file).update_snapshot(&file, now());
    assert_eq!(refused, Err(wrong_version("snapshot", 1, 2)));
}

#[test]
fn no_role_goes_back_and_none_disappears() {
    let mut repository = Repository::of_two_tenants();
    for role in ["targets", "acme", "other"] {
        repository.role(role).version = 3;
    }
    let trusted = repository.with_snapshot();
    repository.renew();
    type Change = fn(&mut Snapshot);
    let changes: [(Change, Result<(), TrustError>); 5] = [
        (|_| {}, Ok(())),
        (
            |snapshot| snapshot.meta.get_mut("targets.json").unwrap().version = 2,
            Err(rollback("targets", 3, 2)),
        ),
        (
            |snapshot| snapshot.meta.get_mut("other.json").unwrap().version = 1,
            Err(rollback("other", 3, 1)),
        ),
        (
            |snapshot| drop(snapshot.meta.remove("acme.json")),
            Err(TrustError::Disappeared {
                role: "acme".to_owned(),
            }),
        ),
        (
            |snapshot| {
                snapshot.meta.get_mut("acme.json").unwrap().version = 9;
                let file = MetaFile::of(1, b"");
                snapshot.meta.insert("new.json".to_owned(), file);
            },
            Ok(()),
        ),
    ];
    for (change, expected) in changes {
        let mut snapshot = repository.snapshot();
        change(&mut snapshot);
        let file = signed(&snapshot, &[SNAPSHOT]);
        let timestamp = signed(&repository.timestamp_of(&file), &[TIMESTAMP]);
        let mut set = trusted.clone();
        set.update_timestamp(&timestamp, now()).unwrap();
        assert_eq!(set.update_snapshot(&file, now()), expected);
        // What is recalled is held to the same.
        let mut set = trusted.clone();
        set.update_timestamp(&timestamp, now()).unwrap();
        assert_eq!(set.recall_snapshot(&file), expected);
    }
}

#[test]
fn snapshot_that_expired_is_refused() {
    let repository = Repository::new();
    let mut snapshot = repository.snapshot();
    snapshot.expires = now();
    let file = signed(&snapshot, &[SNAPSHOT]);
    let expired = TrustError::Expired {
        role: "snapshot".to_owned(),
        expires: now(),
        now: now(),
    };
    let mut set = naming(&repository, &file);
    assert_eq!(set.update_snapshot(&file, now()), Err(expired.clone()));
    // Recalled, it is there for comparison alone.
    set.recall_snapshot(&file).unwrap();
    let request = set.targets_request().unwrap().unwrap();
    let targets = repository.role_file("targets");
    assert_eq!(set.update_targets(&request, &targets, now()), Err(expired));
}

#[test]
fn recalled_snapshot_is_older_or_the_very_one_that_is_named() {
    let mut repository = Repository::new();
    let older = repository.snapshot_file();
    repository.renew();
    let named = repository.snapshot_file();

    let mut set = repository.with_timestamp();
    set.recall_snapshot(&older).unwrap();
    let stale = out_of_order("targets", "the snapshot that the timestamp names");
    assert_eq!(set.targets_request(), Err(stale));
    assert_eq!(set.snapshot_request().unwrap().unwrap().version, 2);
    set.recall_snapshot(&named).unwrap();
    assert_eq!(set.snapshot_request(), Ok(None));
    assert_eq!(set.recall_snapshot(&older), Err(rollback("snapshot", 2, 1)));

    let mut another = repository.snapshot();
    another.expires = afterwards();
    let mut set = repository.with_timestamp();
    let refused = set.recall_snapshot(&signed(&another, &[SNAPSHOT]));
    assert!(matches!(refused, Err(TrustError::WrongDigest { .. })));
}

#[test]
fn what_an_older_snapshot_was_asked_for_is_not_trusted_under_a_newer_timestamp() {
    let mut repository = Repository::new();
    let mut set = repository.with_snapshot();
    let request = set.targets_request().unwrap().unwrap();
    let targets = repository.role_file("targets");
    repository.renew();
    set.update_timestamp(&repository.timestamp_file(), now())
        .unwrap();
    let stale = out_of_order("targets", "the snapshot that the timestamp names");
    assert_eq!(set.update_targets(&request, &targets, now()), Err(stale));
    assert_eq!(set.targets("targets"), None);
}

#[test]
fn recalled_snapshot_stops_a_rollback_of_what_it_lists() {
    let mut repository = Repository::new();
    repository.role("targets").version = 3;
    let stored = repository.snapshot_file();
    repository.renew();
    repository.role("targets").version = 2;
    let mut set = repository.with_timestamp();
    set.recall_snapshot(&stored).unwrap();
    let refused = set.update_snapshot(&repository.snapshot_file(), now());
    assert_eq!(refused, Err(rollback("targets", 3, 2)));
}

#[test]
fn snapshot_of_the_named_version_and_of_other_bytes_is_asked_for_anew() {
    let mut repository = Repository::new();
    let mut set = repository.refreshed();
    let mut another = repository.snapshot();
    another.expires = afterwards();
    let another = signed(&another, &[SNAPSHOT]);
    repository.timestamp_version = 2;
    let timestamp = signed(&repository.timestamp_of(&another), &[TIMESTAMP]);
    set.update_timestamp(&timestamp, now()).unwrap();
    let stale = out_of_order("targets", "the snapshot that the timestamp names");
    assert_eq!(set.lookup("a"), Err(stale));
    let request = set.snapshot_request().unwrap().unwrap();
    assert_eq!(request.version, 1);
    set.update_snapshot(&another, now()).unwrap();
    assert_eq!(set.lookup("a"), Ok(Lookup::Absent));
}

#[test]
fn snapshot_waits_for_a_timestamp() {
    let repository = Repository::new();
    let file = repository.snapshot_file();
    let mut set = repository.pinned();
    let early = out_of_order("snapshot", "a timestamp");
    assert_eq!(set.snapshot_request(), Err(early.clone()));
    assert_eq!(set.update_snapshot(&file, now()), Err(early.clone()));
    assert_eq!(set.recall_snapshot(&file), Err(early));
}

#[test]
fn snapshot_lists_the_targets_role() {
    type Change = fn(&mut Snapshot);
    let changes: [(Change, &str); 2] = [
        (|snapshot| snapshot.meta.clear(), "meta"),
        (
            |snapshot| snapshot.meta.get_mut("targets.json").unwrap().version = 0,
            "version",
        ),
    ];
    for (change, at) in changes {
        let repository = Repository::new();
        let mut snapshot = repository.snapshot();
        change(&mut snapshot);
        let file = signed(&snapshot, &[SNAPSHOT]);
        assert_malformed(naming(&repository, &file).update_snapshot(&file, now()), at);
    }
}
