use super::*;

#[test]
fn role_of_a_tenant_is_asked_for_only_when_the_search_comes_to_it() {
    let repository = Repository::of_two_tenants();
    let mut set = repository.refreshed();
    let Ok(Lookup::Needs(request)) = set.lookup("acme/biology/catalogue") else {
        panic!("the tenant's role is needed");
    };
    let length = repository.role_file("acme").len() as u64;
    assert_eq!(
        (request.role.as_str(), request.delegator.as_str()),
        ("acme", "targets")
    );
    assert_eq!((request.version, request.limit), (1, length));
    assert_eq!(request.location, "metadata/1.acme.json");
    let (found, asked) = repository.find(&mut set, "acme/biology/catalogue").unwrap();
    assert_eq!((voucher(&found), asked), ("acme", vec!["acme".to_owned()]));
    assert_eq!(set.targets("other"), None);
    // Nobody is asked twice.
    let (_, asked) = repository
        .find(&mut set, "acme/chemistry/catalogue")
        .unwrap();
    assert_eq!(asked, Vec::<String>::new());
}

#[test]
fn search_goes_through_every_role_on_the_way() {
    let mut repository = Repository::new();
    repository.delegate("targets", "a", &[31], &["x/*"], false);
    repository.delegate("a", "b", &[32], &["x/*"], false);
    repository.delegate("b", "c", &[33], &["x/*"], false);
    repository.add_target("c", "x/1", b"one");
    let (found, asked) = repository.search("x/1").unwrap();
    assert_eq!(
        (voucher(&found), asked.join(" ")),
        ("c", "a b c".to_owned())
    );
    let (found, asked) = repository.search("x/2").unwrap();
    assert_eq!(
        (found, asked.join(" ")),
        (Lookup::Absent, "a b c".to_owned())
    );
    let (found, asked) = repository.search("y/1").unwrap();
    assert_eq!((found, asked.len()), (Lookup::Absent, 0));
}

#[test]
fn roles_are_asked_in_preorder() {
    let mut repository = Repository::new();
    repository.delegate("targets", "a", &[31], &["*"], false);
    repository.delegate("targets", "b", &[32], &["*"], false);
    repository.delegate("a", "a1", &[33], &["*"], false);
    repository.delegate("a", "a2", &[34], &["*"], false);
    repository.delegate("b", "b1", &[35], &["*"], false);
    let (found, asked) = repository.search("x").unwrap();
    let order = "a a1 a2 b b1".to_owned();
    assert_eq!((found, asked.join(" ")), (Lookup::Absent, order));
    // The first of the order that has it vouches for it.
    for (role, expected) in [("b", "b"), ("a2", "a2"), ("a", "a"), ("targets", "targets")] {
        repository.add_target(role, "x", b"");
        let (found, _) = repository.search("x").unwrap();
        assert_eq!(voucher(&found), expected);
    }
}

#[test]
fn nobody_behind_a_terminating_role_is_asked() {
    let mut repository = Repository::new();
    repository.delegate("targets", "a", &[31], &["x"], false);
    repository.delegate("targets", "late", &[32], &["x", "y"], false);
    repository.delegate("a", "a1", &[33], &["x"], true);
    repository.delegate("a", "a2", &[34], &["x"], false);
    repository.delegate("a1", "a11", &[35], &["x"], false);
    for role in ["a2", "late"] {
        repository.add_target(role, "x", b"");
        repository.add_target(role, "y", b"");
    }
    // Neither its sister nor its mother's sister; its own children are.
    let (found, asked) = repository.search("x").unwrap();
    let order = "a a1 a11".to_owned();
    assert_eq!((found, asked.join(" ")), (Lookup::Absent, order));
    // For other paths it ends nothing.
    let (found, asked) = repository.search("y").unwrap();
    assert_eq!(
        (voucher(&found), asked.join(" ")),
        ("late", "late".to_owned())
    );
}

#[test]
fn every_role_on_the_way_has_to_match_the_path() {
    let mut repository = Repository::new();
    repository.delegate("targets", "acme", &[31], &["acme/*"], false);
    repository.delegate("acme", "broad", &[32], &["*", "*/*", "*/*/*"], false);
    for path in ["acme/a", "other/a", "acme", "acme/a/b", "acme/"] {
        repository.add_target("broad", path, b"");
    }
    for (path, is_found) in [
        ("acme/a", true),
        ("acme/", true),
        ("other/a", false),
        ("acme", false),
        ("acme/a/b", false),
    ] {
        let (found, _) = repository.search(path).unwrap();
        assert_eq!(found != Lookup::Absent, is_found, "{path}");
    }
}

#[test]
fn one_tenant_cannot_sign_for_another() {
    let mut repository = Repository::of_two_tenants();
    let path = "acme/biology/catalogue";
    repository.add_target("other", path, b"forged");
    let (found, asked) = repository.search(path).unwrap();
    assert_eq!(
        (voucher(&found), asked.join(" ")),
        ("acme", "acme".to_owned())
    );
    // Nor once the tenant does not vouch for it any more.
    repository.role("acme").targets.clear();
    let (found, asked) = repository.search(path).unwrap();
    assert_eq!(
        (found, asked.join(" ")),
        (Lookup::Absent, "acme".to_owned())
    );
    // Nor does its key sign the other's role.
    repository.roles.get_mut("acme").unwrap().1 = vec![OTHER];
    let refused = repository.search(path).unwrap_err();
    assert_eq!(refused, unsigned("acme", "targets", 0, 1));
}

#[test]
fn hash_bins_are_matched_by_the_digest_of_the_path() {
    // The SHA-256 of "file3.txt" starts with 5, so says any other tool.
    let digest = TargetEntry::of(b"file3.txt").sha256().unwrap().to_owned();
    let (first, rest) = digest.split_at(1);
    for (prefixes, is_found) in [
        (vec![first.to_owned()], true),
        (vec!["not".to_owned(), digest.clone()], true),
        (vec![rest.to_owned()], false),
        (vec![first.to_owned() + "g"], false),
        (vec![], false),
    ] {
        let mut repository = Repository::new();
        let bin = DelegatedRole {
            name: "bin".to_owned(),
            keyids: vec![key(31).id().unwrap()],
            threshold: 1,
            terminating: false,
            paths: None,
            path_hash_prefixes: Some(prefixes.clone()),
        };
        repository.delegate_as("targets", &[31], bin);
        repository.add_target("bin", "file3.txt", b"");
        let (found, _) = repository.search("file3.txt").unwrap();
        assert_eq!(found != Lookup::Absent, is_found, "{prefixes:?}");
    }
}

#[test]
fn circles_end() {
    let mut repository = Repository::new();
    repository.delegate("targets", "a", &[31], &["*"], false);
    repository.delegate("a", "b", &[32], &["*"], false);
    repository.delegate("b", "a", &[31], &["*"], false);
    repository.delegate("b", "b", &[32], &["*"], false);
    let (found, asked) = repository.search("x").unwrap();
    assert_eq!((found, asked.join(" ")), (Lookup::Absent, "a b".to_owned()));
}

#[test]
fn search_visits_so_many_roles_and_no_more() {
    let limit = TrustLimits::standard().delegations;
    let chain = |roles: usize| {
        let mut repository = Repository::new();
        let mut last = "targets".to_owned();
        for role in 1..=roles {
            let name = format!("role {role}");
            repository.delegate(&last, &name, &[31], &["*"], false);
            last = name;
        }
        repository.add_target(&last, "x", b"");
        repository.search("x")
    };
    let (found, asked) = chain(limit).unwrap();
    assert_eq!((voucher(&found), asked.len()), ("role 32", limit));
    let target = "x".to_owned();
    let refused = TrustError::TooManyDelegations { target, limit };
    assert_eq!(chain(limit + 1).unwrap_err(), refused);
}

#[test]
fn role_that_two_delegate_to_is_signed_as_each_of_them_names_it() {
    let mut repository = Repository::new();
    repository.delegate("targets", "one", &[31], &["1"], true);
    repository.delegate("targets", "two", &[32], &["2"], true);
    repository.delegate("one", "shared", &[33], &["1"], true);
    repository.delegate("two", "shared", &[34], &["2"], true);
    repository.add_target("shared", "1", b"");
    repository.add_target("shared", "2", b"");
    let refused = unsigned("shared", "two", 0, 1);

    let mut set = repository.refreshed();
    let (found, asked) = repository.find(&mut set, "1").unwrap();
    assert_eq!(
        (voucher(&found), asked.join(" ")),
        ("shared", "one shared".to_owned())
    );
    // It is trusted already, but not by these keys.
    assert_eq!(repository.find(&mut set, "2").unwrap_err(), refused);
    assert_eq!(repository.search("2").unwrap_err(), refused);

    repository.roles.get_mut("shared").unwrap().1 = vec![33, 34];
    let mut set = repository.refreshed();
    for path in ["1", "2"] {
        let (found, _) = repository.find(&mut set, path).unwrap();
        assert_eq!(voucher(&found), "shared");
    }
}

#[test]
fn delegated_role_needs_its_own_threshold() {
    for (signers, expected) in [
        (&[31, 32][..], Ok(())),
        (&[31], Err(unsigned("pair", "targets", 1, 2))),
        (&[31, STRANGER], Err(unsigned("pair", "targets", 1, 2))),
        (&[TARGETS], Err(unsigned("pair", "targets", 0, 2))),
    ] {
        let mut repository = Repository::new();
        repository.delegate("targets", "pair", &[31, 32], &["*"], true);
        repository.roles.get_mut("pair").unwrap().1 = signers.to_vec();
        assert_eq!(repository.search("x").map(drop), expected);
    }
}

#[test]
fn delegated_role_is_held_to_what_the_snapshot_lists() {
    let repository = Repository::of_two_tenants();
    let path = "acme/biology/catalogue";
    // The whole snapshot lacks the role.
    let mut snapshot = repository.snapshot();
    snapshot.meta.remove("acme.json");
    let snapshot = signed(&snapshot, &[SNAPSHOT]);
    let timestamp = signed(&repository.timestamp_of(&snapshot), &[TIMESTAMP]);
    let mut set = repository.pinned();
    set.update_timestamp(&timestamp, now()).unwrap();
    set.update_snapshot(&snapshot, now()).unwrap();
    let role = "acme".to_owned();
    let refused = repository.find(&mut set, path).unwrap_err();
    assert_eq!(refused, TrustError::Unlisted { role });

    let mut set = repository.refreshed();
    let Ok(Lookup::Needs(request)) = set.lookup(path) else {
        panic!("the tenant's role is needed");
    };
    let mut newer = Repository::of_two_tenants();
    newer.role("acme").version = 2;
    let refused = set.update_targets(&request, &newer.role_file("acme"), now());
    assert!(matches!(refused, Err(TrustError::WrongDigest { .. })));

    let mut old = Repository::of_two_tenants();
    old.role("acme").expires = now();
    let refused = old.search(path).unwrap_err();
    assert!(matches!(refused, TrustError::Expired { role, .. } if role == "acme"));
}

#[test]
fn role_is_asked_for_by_those_alone_who_delegate_to_it() {
    let repository = Repository::of_two_tenants();
    let mut set = repository.refreshed();
    let Ok(Lookup::Needs(mut request)) = set.lookup("acme/biology/catalogue") else {
        panic!("the tenant's role is needed");
    };
    let file = repository.role_file("acme");
    for (delegator, expected) in [
        ("other", out_of_order("acme", "its delegator")),
        ("acme", out_of_order("acme", "its delegator")),
        ("root", out_of_order("acme", "its delegator")),
    ] {
        request.delegator = delegator.to_owned();
        assert_eq!(set.update_targets(&request, &file, now()), Err(expected));
    }
    request.delegator = "targets".to_owned();
    assert_eq!(set.update_targets(&request, &file, now()), Ok(()));
}

#[test]
fn root_delegates_to_no_other_targets_role_however_the_snapshot_lists_it() {
    let mut repository = Repository::new();
    repository.add_role("snapshot", &[SNAPSHOT]);
    let mut set = repository.with_snapshot();
    let mut request = set.targets_request().unwrap().unwrap();
    request.role = "snapshot".to_owned();
    let refused = set.update_targets(&request, &repository.role_file("snapshot"), now());
    assert_eq!(refused, Err(out_of_order("snapshot", "its delegator")));
}

#[test]
fn delegations_that_could_be_read_two_ways_are_refused() {
    type Change = fn(&mut DelegatedRole);
    let changes: [(Change, Result<(), &str>); 12] = [
        (|_| {}, Ok(())),
        (|role| role.name = "Root".to_owned(), Ok(())),
        (|role| role.name = "r".repeat(230), Ok(())),
        (|role| role.name = "r".repeat(231), Err("the delegation to")),
        (|role| role.name = "/".repeat(77), Err("the delegation to")),
        (
            |role| role.name = "root".to_owned(),
            Err("the delegation to"),
        ),
        (
            |role| role.name = "timestamp".to_owned(),
            Err("the delegation to"),
        ),
        (
            |role| role.name = "snapshot".to_owned(),
            Err("the delegation to"),
        ),
        (
            |role| role.name = "targets".to_owned(),
            Err("the delegation to"),
        ),
        (|role| role.name = String::new(), Err("the delegation to")),
        (
            |role| role.name = "acme".to_owned(),
            Err("the delegation to"),
        ),
        (|role| role.paths = None, Err("the delegation to")),
    ];
    for (change, expected) in changes {
        assert_delegation(change, expected);
    }
    let more: [(Change, Result<(), &str>); 4] = [
        (
            |role| role.path_hash_prefixes = Some(Vec::new()),
            Err("the delegation to"),
        ),
        (|role| role.threshold = 0, Err("the keys of")),
        (
            |role| role.keyids.push(role.keyids[0].clone()),
            Err("the keys of"),
        ),
        (
            |role| role.keyids.extend(key(STRANGER).id()),
            Err("the keys of"),
        ),
    ];
    for (change, expected) in more {
        assert_delegation(change, expected);
    }
}

/// Delegates to `acme` and to a changed role behind it.
fn assert_delegation(change: fn(&mut DelegatedRole), expected: Result<(), &str>) {
    let mut repository = Repository::of_two_tenants();
    let delegations = repository.role("targets").delegations.as_mut().unwrap();
    change(delegations.roles.last_mut().unwrap());
    let mut set = repository.with_snapshot();
    let request = set.targets_request().unwrap().unwrap();
    let updated = set.update_targets(&request, &repository.role_file("targets"), now());
    match (updated, expected) {
        (Ok(()), Ok(())) => {}
        (Err(TrustError::Malformed { place, .. }), Err(at)) => {
            assert!(place.starts_with(at), "{place}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_of_roles_cannot_lead_elsewhere() {
    for (name, location) in [
        ("../../root", "metadata/1...%2F..%2Froot.json"),
        ("..", "metadata/1....json"),
        ("a b", "metadata/1.a%20b.json"),
        ("a\\b", "metadata/1.a%5Cb.json"),
        ("a\0\n%", "metadata/1.a%00%0A%25.json"),
        ("é?#:", "metadata/1.%C3%A9%3F%23%3A.json"),
        ("a-b_c.d~", "metadata/1.a-b_c.d~.json"),
    ] {
        let mut repository = Repository::new();
        repository.delegate("targets", name, &[31], &["x"], true);
        let mut set = repository.refreshed();
        let Ok(Lookup::Needs(request)) = set.lookup("x") else {
            panic!("the role {name:?} is needed");
        };
        assert_eq!(request.location, location);
        let (found, _) = repository.find(&mut set, "x").unwrap();
        assert_eq!(found, Lookup::Absent);
    }
}
