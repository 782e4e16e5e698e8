use super::super::trusted::Refreshed;
use super::*;

#[test]
fn timestamp_only_goes_forward() {
    let mut repository = Repository::new();
    repository.timestamp_version = 5;
    let mut set = repository.with_timestamp();
    for (version, expected) in [
        (4, Err(rollback("timestamp", 5, 4))),
        (5, Ok(Refreshed::Same)),
        (6, Ok(Refreshed::Newer)),
        (5, Err(rollback("timestamp", 6, 5))),
        (9, Ok(Refreshed::Newer)),
    ] {
        repository.timestamp_version = version;
        let updated = set.update_timestamp(&repository.timestamp_file(), now());
        assert_eq!(updated, expected);
    }
}

#[test]
fn another_timestamp_of_the_trusted_version_replaces_nothing() {
    let mut repository = Repository::new();
    let mut set = repository.with_timestamp();
    let trusted = set.timestamp().cloned();
    repository.snapshot_version = 7;
    let updated = set.update_timestamp(&repository.timestamp_file(), now());
    assert_eq!(updated, Ok(Refreshed::Same));
    assert_eq!(set.timestamp().cloned(), trusted);
}

#[test]
fn timestamp_of_the_trusted_version_is_no_rollback_whatever_it_names() {
    let mut repository = Repository::new();
    repository.snapshot_version = 7;
    let mut set = repository.with_timestamp();
    repository.snapshot_version = 6;
    let updated = set.update_timestamp(&repository.timestamp_file(), now());
    assert_eq!(updated, Ok(Refreshed::Same));
    let named = set.timestamp().and_then(Timestamp::snapshot);
    assert_eq!(named.map(|named| named.version), Some(7));
}

#[test]
fn snapshot_that_a_newer_timestamp_names_does_not_go_back() {
    let mut repository = Repository::new();
    repository.snapshot_version = 3;
    let mut set = repository.with_timestamp();
    (repository.timestamp_version, repository.snapshot_version) = (2, 2);
    let refused = set.update_timestamp(&repository.timestamp_file(), now());
    assert_eq!(refused, Err(rollback("snapshot", 3, 2)));
    assert_eq!(set.timestamp().map(|trusted| trusted.version), Some(1));
    repository.snapshot_version = 3;
    let updated = set.update_timestamp(&repository.timestamp_file(), now());
    assert_eq!(updated, Ok(Refreshed::Newer));
}

#[test]
fn timestamp_expires_at_its_last_second() {
    let repository = Repository::new();
    let second_before = UtcTime::from_seconds(expires().seconds() - 1);
    let mut set = repository.pinned();
    let mut root = first_root();
    (root.version, root.expires) = (2, UtcTime::MAX);
    set.update_root(&signed(&root, &[ROOT])).unwrap();
    let file = repository.timestamp_file();
    let refused = set.update_timestamp(&file, expires());
    assert_eq!(refused, Err(expired("timestamp", expires())));
    assert_eq!(set.timestamp(), None);
    let updated = set.update_timestamp(&file, second_before);
    assert_eq!(updated, Ok(Refreshed::Newer));
    // Nor does the one that is trusted already stay current.
    let refused = set.update_timestamp(&file, expires());
    assert_eq!(refused, Err(expired("timestamp", expires())));
}

#[test]
fn timestamp_describes_the_snapshot_alone() {
    type Change = fn(&mut Timestamp);
    let changes: [(Change, &str); 4] = [
        (|timestamp| timestamp.meta.clear(), "meta"),
        (
            |timestamp| {
                let file = MetaFile::of(1, b"");
                timestamp.meta.insert("targets.json".to_owned(), file);
            },
            "meta",
        ),
        (
            |timestamp| timestamp.meta.get_mut("snapshot.json").unwrap().version = 0,
            "version",
        ),
        (
            |timestamp| {
                let file = timestamp.meta.get_mut("snapshot.json").unwrap();
                file.hashes = Some([("sha256".to_owned(), "../..".to_owned())].into());
            },
            "the sha256 digest of snapshot.json",
        ),
    ];
    let repository = Repository::new();
    for (change, at) in changes {
        let mut timestamp = repository.timestamp_of(&repository.snapshot_file());
        change(&mut timestamp);
        let file = signed(&timestamp, &[TIMESTAMP]);
        let mut set = repository.pinned();
        assert_malformed(set.update_timestamp(&file, now()), at);
    }
}

#[test]
fn timestamp_is_signed_by_its_role() {
    let repository = Repository::new();
    let timestamp = repository.timestamp_of(&repository.snapshot_file());
    for stranger in [ROOT, SNAPSHOT, TARGETS, STRANGER] {
        let mut set = repository.pinned();
        let refused = set.update_timestamp(&signed(&timestamp, &[stranger]), now());
        assert_eq!(refused, Err(unsigned("timestamp", "root", 0, 1)));
        let recalled = set.recall_timestamp(&signed(&timestamp, &[stranger]));
        assert_eq!(recalled, Err(unsigned("timestamp", "root", 0, 1)));
    }
}

#[test]
fn recalled_timestamp_may_have_expired_and_still_stops_a_rollback() {
    let mut repository = Repository::new();
    repository.timestamp_version = 5;
    let mut set = repository.pinned();
    let mut stored = repository.timestamp_of(&repository.snapshot_file());
    stored.expires = now();
    set.recall_timestamp(&signed(&stored, &[TIMESTAMP]))
        .unwrap();

    repository.timestamp_version = 4;
    let older = repository.timestamp_file();
    let refused = Err(rollback("timestamp", 5, 4));
    assert_eq!(set.update_timestamp(&older, now()), refused);
    assert_eq!(
        set.recall_timestamp(&older),
        Err(rollback("timestamp", 5, 4))
    );

    // Recalled, it vouches for nothing.
    let expired = TrustError::Expired {
        role: "timestamp".to_owned(),
        expires: now(),
        now: now(),
    };
    let snapshot = repository.snapshot_file();
    assert_eq!(set.update_snapshot(&snapshot, now()), Err(expired.clone()));
    set.recall_snapshot(&snapshot).unwrap();
    let request = set.targets_request().unwrap().unwrap();
    let targets = repository.role_file("targets");
    assert_eq!(set.update_targets(&request, &targets, now()), Err(expired));

    repository.timestamp_version = 6;
    let newer = repository.timestamp_file();
    assert_eq!(set.update_timestamp(&newer, now()), Ok(Refreshed::Newer));
    assert_eq!(set.update_targets(&request, &targets, now()), Ok(()));
}
