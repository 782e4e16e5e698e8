use super::super::key::KeyId;
use super::*;

fn pinned(root: &Root) -> TrustedSet {
    TrustedSet::pinned(&signed(root, &[ROOT]), TrustLimits::standard()).unwrap()
}

/// The second root: the root's keys are others, everything else stays.
fn rotated() -> Root {
    root(
        2,
        [
            ("root", &[11]),
            ("timestamp", &[TIMESTAMP]),
            ("snapshot", &[SNAPSHOT]),
            ("targets", &[TARGETS]),
        ],
    )
}

#[test]
fn pinned_root_has_signed_itself() {
    let set = pinned(&first_root());
    assert_eq!(set.root(), &first_root());
    let refused = TrustedSet::pinned(&signed(&first_root(), &[STRANGER]), TrustLimits::standard());
    assert_eq!(refused.unwrap_err(), unsigned("root", "root", 0, 1));
}

#[test]
fn next_root_is_signed_by_the_old_keys_and_by_its_own() {
    for (signers, expected) in [
        (&[ROOT, 11][..], Ok(())),
        (&[11], Err(unsigned("root", "root", 0, 1))),
        (&[ROOT], Err(unsigned("root", "root", 0, 1))),
        (&[STRANGER], Err(unsigned("root", "root", 0, 1))),
    ] {
        let mut set = pinned(&first_root());
        let updated = set.update_root(&signed(&rotated(), signers));
        let version = if expected.is_ok() { 2 } else { 1 };
        assert_eq!(updated, expected, "{signers:?}");
        assert_eq!(set.root().version, version);
    }
}

#[test]
fn each_threshold_is_the_one_of_its_own_root() {
    let roles = |version, seeds| {
        root(
            version,
            [
                ("root", seeds),
                ("timestamp", &[TIMESTAMP]),
                ("snapshot", &[SNAPSHOT]),
                ("targets", &[TARGETS]),
            ],
        )
    };
    let (old, new) = (roles(1, &[21, 22]), roles(2, &[22, 23, 24]));
    for (signers, expected) in [
        (&[21, 22, 23, 24][..], Ok(())),
        // The old root's two, one of the new root's three.
        (&[21, 22], Err(unsigned("root", "root", 1, 3))),
        // The new root's three, one of the old root's two.
        (&[22, 23, 24], Err(unsigned("root", "root", 1, 2))),
    ] {
        let old = signed(&old, &[21, 22]);
        let mut set = TrustedSet::pinned(&old, TrustLimits::standard()).unwrap();
        assert_eq!(set.update_root(&signed(&new, signers)), expected);
    }
}

#[test]
fn no_root_is_passed_over_and_none_comes_back() {
    let second = Root {
        version: 2,
        ..first_root()
    };
    let mut set = pinned(&second);
    assert_eq!(set.root_request().version, 3);
    assert_eq!(set.root_request().location, "metadata/3.root.json");
    for (version, expected) in [
        (1, Err(rollback("root", 2, 1))),
        (2, Err(wrong_version("root", 3, 2))),
        (4, Err(wrong_version("root", 3, 4))),
        (3, Ok(())),
        (4, Ok(())),
    ] {
        let next = Root {
            version,
            ..first_root()
        };
        assert_eq!(set.update_root(&signed(&next, &[ROOT])), expected);
    }
    assert_eq!(set.root().version, 4);
}

#[test]
fn rotated_timestamp_or_snapshot_keys_take_what_they_signed_with_them() {
    for (timestamp, snapshot, targets, kept) in [
        (TIMESTAMP, SNAPSHOT, TARGETS, true),
        (TIMESTAMP, SNAPSHOT, 14, true),
        (12, SNAPSHOT, TARGETS, false),
        (TIMESTAMP, 13, TARGETS, false),
    ] {
        let mut set = Repository::new().refreshed();
        let next = root(
            2,
            [
                ("root", &[ROOT]),
                ("timestamp", &[timestamp]),
                ("snapshot", &[snapshot]),
                ("targets", &[targets]),
            ],
        );
        set.update_root(&signed(&next, &[ROOT])).unwrap();
        assert_eq!(set.timestamp().is_some(), kept);
        assert_eq!(set.snapshot().is_some(), kept);
        assert_eq!(set.targets("targets"), None);
    }
}

#[test]
fn key_that_joins_revokes_nothing() {
    let mut repository = Repository::new();
    (repository.timestamp_version, repository.snapshot_version) = (5, 5);
    let mut set = repository.refreshed();
    let mut next = root(
        2,
        [
            ("root", &[ROOT]),
            ("timestamp", &[TIMESTAMP, 12]),
            ("snapshot", &[SNAPSHOT, 13]),
            ("targets", &[TARGETS]),
        ],
    );
    for role in ["timestamp", "snapshot"] {
        next.roles.get_mut(role).unwrap().threshold = 1;
    }
    set.update_root(&signed(&next, &[ROOT])).unwrap();
    repository.timestamp_version = 4;
    let refused = set.update_timestamp(&repository.timestamp_file(), now());
    assert_eq!(refused, Err(rollback("timestamp", 5, 4)));
}

#[test]
fn revoked_key_takes_the_trusted_files_with_it_though_others_have_signed_them() {
    for (role, seed) in [("timestamp", TIMESTAMP), ("snapshot", SNAPSHOT)] {
        let mut repository = Repository::new();
        let mut with = |seeds: &[u8], version| {
            let of_role = Root::first(expires(), &[(role, &keys(seeds), 1)]);
            repository.root.version = version;
            repository.root.keys.extend(of_role.keys);
            repository.root.roles.extend(of_role.roles);
            repository.root_file()
        };
        let two_keys = with(&[seed, 12], 1);
        let one_key = with(&[seed], 2);
        let mut set = TrustedSet::pinned(&two_keys, TrustLimits::standard()).unwrap();
        set.update_timestamp(&repository.timestamp_file(), now())
            .unwrap();
        set.update_snapshot(&repository.snapshot_file(), now())
            .unwrap();
        set.update_root(&one_key).unwrap();
        assert_eq!((set.timestamp(), set.snapshot()), (None, None));
    }
}

#[test]
fn what_has_too_few_signatures_for_the_new_root_is_dropped() {
    for (timestamp, snapshot) in [(2, 1), (1, 2)] {
        let mut set = Repository::new().refreshed();
        let mut next = root(
            2,
            [
                ("root", &[ROOT]),
                ("timestamp", &[TIMESTAMP, 12]),
                ("snapshot", &[SNAPSHOT, 13]),
                ("targets", &[TARGETS]),
            ],
        );
        next.roles.get_mut("timestamp").unwrap().threshold = timestamp;
        next.roles.get_mut("snapshot").unwrap().threshold = snapshot;
        set.update_root(&signed(&next, &[ROOT])).unwrap();
        assert_eq!((set.timestamp(), set.snapshot()), (None, None));
    }
}

#[test]
fn fleet_recovers_from_versions_that_a_thief_has_driven_up() {
    let mut stolen = Repository::new();
    (stolen.timestamp_version, stolen.snapshot_version) = (1 << 50, 1 << 50);
    stolen.role("targets").version = 1 << 50;
    let mut set = stolen.refreshed();

    let mut recovered = Repository::new();
    (recovered.timestamp_version, recovered.snapshot_version) = (2, 2);
    let refused = set.update_timestamp(&recovered.timestamp_file(), now());
    assert_eq!(refused, Err(rollback("timestamp", 1 << 50, 2)));

    recovered.root = root(
        2,
        [
            ("root", &[ROOT]),
            ("timestamp", &[TIMESTAMP]),
            ("snapshot", &[13]),
            ("targets", &[TARGETS]),
        ],
    );
    set.update_root(&recovered.root_file()).unwrap();
    let snapshot = signed(&recovered.snapshot(), &[13]);
    let timestamp = signed(&recovered.timestamp_of(&snapshot), &[TIMESTAMP]);
    set.update_timestamp(&timestamp, now()).unwrap();
    set.update_snapshot(&snapshot, now()).unwrap();
    let request = set.targets_request().unwrap().unwrap();
    set.update_targets(&request, &recovered.role_file("targets"), now())
        .unwrap();
    assert_eq!(
        set.targets("targets").map(|targets| targets.version),
        Some(1)
    );
}

#[test]
fn only_the_last_root_has_to_be_current() {
    let repository = Repository::new();
    let old = Root {
        expires: now(),
        ..first_root()
    };
    let next = Root {
        version: 2,
        ..first_root()
    };
    let mut set = pinned(&old);
    let refused = set.update_timestamp(&repository.timestamp_file(), now());
    let expired = TrustError::Expired {
        role: "root".to_owned(),
        expires: now(),
        now: now(),
    };
    assert_eq!(refused, Err(expired));
    set.update_root(&signed(&next, &[ROOT])).unwrap();
    set.update_timestamp(&repository.timestamp_file(), now())
        .unwrap();
}

#[test]
fn nothing_is_trusted_under_a_root_that_has_expired() {
    let repository = Repository::new();
    let day_before = Root {
        expires: now().plus_days(10),
        ..first_root()
    };
    let then = now().plus_days(10);
    let expired = TrustError::Expired {
        role: "root".to_owned(),
        expires: then,
        now: then,
    };
    let mut set = pinned(&day_before);
    set.recall_timestamp(&repository.timestamp_file()).unwrap();
    let snapshot = repository.snapshot_file();
    assert_eq!(set.update_snapshot(&snapshot, then), Err(expired.clone()));
    set.recall_snapshot(&snapshot).unwrap();
    let request = set.targets_request().unwrap().unwrap();
    let targets = repository.role_file("targets");
    assert_eq!(set.update_targets(&request, &targets, then), Err(expired));
    assert_eq!(set.update_targets(&request, &targets, now()), Ok(()));
}

#[test]
fn one_update_follows_so_many_roots_and_no_more() {
    let limits = TrustLimits {
        root_rotations: 2,
        ..TrustLimits::standard()
    };
    let mut set = TrustedSet::pinned(&signed(&first_root(), &[ROOT]), limits).unwrap();
    for (version, expected) in [
        (2, Ok(())),
        (3, Ok(())),
        (4, Err(TrustError::TooManyRoots { limit: 2 })),
    ] {
        let next = Root {
            version,
            ..first_root()
        };
        assert_eq!(set.update_root(&signed(&next, &[ROOT])), expected);
    }
    // The update goes on with the one that is trusted.
    assert_eq!(set.root().version, 3);
    let timestamp = Repository::new().timestamp_file();
    set.update_timestamp(&timestamp, now()).unwrap();
}

#[test]
fn root_names_four_roles_with_keys_that_it_lists() {
    type Change = fn(&mut Root);
    let changes: [(Change, &str); 5] = [
        (|root| drop(root.roles.remove("snapshot")), "roles"),
        (
            |root| root.roles.get_mut("timestamp").unwrap().threshold = 0,
            "the keys of timestamp",
        ),
        (
            |root| {
                let role = root.roles.get_mut("timestamp").unwrap();
                role.keyids.extend(role.keyids.clone());
            },
            "the keys of timestamp",
        ),
        (
            |root| {
                root.keys
                    .retain(|id, _| Some(id) != key(TARGETS).id().as_ref())
            },
            "the keys of targets",
        ),
        (|root| root.version = 0, "version"),
    ];
    for (change, at) in changes {
        let mut root = first_root();
        change(&mut root);
        let refused = TrustedSet::pinned(&signed(&root, &[ROOT]), TrustLimits::standard());
        assert_malformed(refused, at);
    }
}

#[test]
fn threshold_counts_key_material_and_not_key_ids() {
    let mut root = first_root();
    let again: KeyId = serde_json::from_str("\"another name\"").unwrap();
    root.keys
        .insert(again.clone(), key(ROOT).to_json().unwrap());
    let role = root.roles.get_mut("root").unwrap();
    role.keyids.push(again);
    role.threshold = 2;
    let mut file: Value = serde_json::from_slice(&signed(&root, &[ROOT])).unwrap();
    let mut signature = file["signatures"][0].clone();
    signature["keyid"] = "another name".into();
    file["signatures"].as_array_mut().unwrap().push(signature);
    let refused = TrustedSet::pinned(&readable(&file), TrustLimits::standard());
    assert_eq!(refused.unwrap_err(), unsigned("root", "root", 1, 2));
}

#[test]
fn keys_of_unknown_schemes_are_passed_over() {
    let mut root = first_root();
    let unknown: KeyId = serde_json::from_str("\"pq\"").unwrap();
    let json = serde_json::json!({
        "keytype": "ml-dsa", "scheme": "ml-dsa-65", "keyval": { "public": "00" }
    });
    root.keys.insert(unknown.clone(), json);
    root.roles.get_mut("root").unwrap().keyids.push(unknown);
    let mut file: Value = serde_json::from_slice(&signed(&root, &[ROOT])).unwrap();
    let signature = serde_json::json!({ "keyid": "pq", "sig": "00" });
    file["signatures"].as_array_mut().unwrap().push(signature);
    TrustedSet::pinned(&readable(&file), TrustLimits::standard()).unwrap();

    root.roles.get_mut("root").unwrap().threshold = 2;
    let refused = TrustedSet::pinned(&signed(&root, &[ROOT]), TrustLimits::standard());
    assert_eq!(refused.unwrap_err(), unsigned("root", "root", 1, 2));
}
