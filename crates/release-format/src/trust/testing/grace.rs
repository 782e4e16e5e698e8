use super::super::grace::OfflineGrace;
use super::super::search::Lookup;
use super::*;

const CATALOGUE: &str = "acme/biology/catalogue";
const ROLLOUT: &str = "acme/biology/rollout/stable";
const OPERATIONS: u8 = 7;

/// A repository whose tenant grants `days` of grace. Its offline roles last for two more years.
fn granting(days: Option<u32>) -> Repository {
    let mut repository = Repository::of_two_tenants();
    let paths = ["acme/*/rollout/*"];
    repository.delegate("targets", "acme-operations", &[OPERATIONS], &paths, true);
    repository.add_target("acme-operations", ROLLOUT, b"rollout");
    repository.root.expires = now().plus_days(730);
    repository.role("targets").expires = now().plus_days(730);
    repository.role("other").expires = now().plus_days(730);
    repository.role("acme").expires = now().plus_days(730);
    repository.role("acme").offline_grace_days = days;
    repository
}

/// Goes the road of a device over a repository of which `days` ago the online roles expired.
fn late(repository: &Repository, days: u32, grace: Option<OfflineGrace>) -> (TrustedSet, UtcTime) {
    let late = expires().plus_days(days);
    let mut set = repository.pinned();
    set.set_grace(grace);
    set.update_timestamp(&repository.timestamp_file(), late)
        .unwrap();
    set.update_snapshot(&repository.snapshot_file(), late)
        .unwrap();
    (set, late)
}

/// Searches at a time of the test's own.
fn find(
    repository: &Repository,
    set: &mut TrustedSet,
    target: &str,
    now: UtcTime,
) -> Result<Lookup, TrustError> {
    if let Some(request) = set.targets_request()? {
        set.update_targets(&request, &repository.role_file("targets"), now)?;
    }
    loop {
        match set.lookup(target)? {
            Lookup::Needs(request) => {
                set.update_targets(&request, &repository.role_file(&request.role), now)?;
            }
            end => return Ok(end),
        }
    }
}

/// Looks for the grace as a device does, and takes it.
fn graced(repository: &Repository, days: u32) -> Option<(TrustedSet, UtcTime)> {
    let longest = TrustLimits::standard().offline_grace_days;
    let (mut set, late) = late(repository, days, Some(OfflineGrace::of_anybody(longest)));
    let found = find(repository, &mut set, CATALOGUE, late).unwrap();
    let grace = set.grace_of(voucher(&found), late)?;
    set.set_grace(Some(grace));
    Some((set, late))
}

#[test]
fn expiry_is_strict_unless_a_grace_is_set() {
    let repository = granting(Some(90));
    let late = expires().plus_days(1);
    let mut set = repository.pinned();
    let refused = set.update_timestamp(&repository.timestamp_file(), late);
    assert_eq!(refused, Err(expired("timestamp", late)));
    assert_eq!(set.timestamp(), None);
}

#[test]
fn grace_of_the_tenant_covers_its_catalogue_and_rollout_to_its_last_second() {
    let repository = granting(Some(90));
    let (mut set, late) = graced(&repository, 89).unwrap();
    for target in [CATALOGUE, ROLLOUT] {
        let found = find(&repository, &mut set, target, late).unwrap();
        assert!(matches!(found, Lookup::Found(_)), "{target}");
    }
    assert_eq!(set.stale_since(late), Some(expires()));
    assert!(graced(&repository, 90).is_none());
    let seconds = expires().plus_days(90).seconds() - 1;
    set.judge_at(UtcTime::from_seconds(seconds));
    assert!(matches!(set.lookup(CATALOGUE), Ok(Lookup::Found(_))));
    set.judge_at(UtcTime::from_seconds(seconds + 1));
    let refused = expired("timestamp", UtcTime::from_seconds(seconds + 1));
    assert_eq!(set.lookup(CATALOGUE), Err(refused));
}

#[test]
fn nobody_who_grants_none_has_a_grace() {
    for days in [None, Some(0)] {
        assert!(graced(&granting(days), 1).is_none(), "{days:?}");
    }
}

#[test]
fn grace_is_bounded_whatever_is_signed() {
    let repository = granting(Some(u32::MAX));
    let longest = TrustLimits::standard().offline_grace_days;
    assert!(graced(&repository, longest - 1).is_some());
    let past = expires().plus_days(longest);
    let mut set = repository.pinned();
    set.set_grace(Some(OfflineGrace::of_anybody(longest)));
    let refused = set.update_timestamp(&repository.timestamp_file(), past);
    assert_eq!(refused, Err(expired("timestamp", past)));
}

#[test]
fn grace_of_one_tenant_is_none_for_the_operations_of_another() {
    let mut repository = granting(Some(90));
    let paths = ["other/*/rollout/*"];
    repository.delegate("targets", "other-operations", &[8], &paths, true);
    let (mut set, late) = graced(&repository, 10).unwrap();
    let refused = find(&repository, &mut set, "other/art/rollout/stable", late);
    assert_eq!(refused, Err(expired("other-operations", late)));
}

#[test]
fn what_offline_keys_sign_has_no_grace() {
    for role in ["targets", "acme"] {
        let mut repository = granting(Some(90));
        repository.role(role).expires = expires();
        let longest = TrustLimits::standard().offline_grace_days;
        let (mut set, late) = late(&repository, 10, Some(OfflineGrace::of_anybody(longest)));
        let refused = find(&repository, &mut set, CATALOGUE, late);
        assert_eq!(refused, Err(expired(role, late)), "{role}");
    }
    let mut repository = granting(Some(90));
    repository.root.expires = expires();
    let mut set = repository.pinned();
    set.set_grace(Some(OfflineGrace::of_anybody(366)));
    let late = expires().plus_days(10);
    let refused = set.update_timestamp(&repository.timestamp_file(), late);
    assert_eq!(refused, Err(expired("root", late)));
}

#[test]
fn grace_relaxes_neither_versions_nor_digests() {
    let mut repository = granting(Some(90));
    repository.renew();
    let (mut set, late) = graced(&repository, 10).unwrap();
    let files: Vec<_> = set.files().map(|(name, _)| name).collect();
    let mut older = granting(Some(90));
    older.timestamp_version = 1;
    let refused = set.update_timestamp(&older.timestamp_file(), late);
    assert_eq!(refused, Err(rollback("timestamp", 2, 1)));
    let mut forged = repository.snapshot();
    forged.version += 1;
    let refused = set.update_snapshot(&signed(&forged, &[SNAPSHOT]), late);
    assert!(
        matches!(refused, Err(TrustError::WrongDigest { .. })),
        "{refused:?}"
    );
    let after: Vec<_> = set.files().map(|(name, _)| name).collect();
    assert_eq!(after, files);
}

#[test]
fn nothing_is_signed_after_it_expired() {
    let mut repository = granting(None);
    repository.root.issued = Some(repository.root.expires);
    let refused = TrustedSet::pinned(&repository.root_file(), TrustLimits::standard());
    assert_malformed(refused.map(|_| ()), "x-satchel-issued");
    let repository = granting(None);
    let snapshot = repository.snapshot_file();
    let mut timestamp = repository.timestamp_of(&snapshot);
    for (issued, is_taken) in [(expires(), false), (now(), true)] {
        timestamp.issued = Some(issued);
        let mut set = repository.pinned();
        let taken = set.update_timestamp(&signed(&timestamp, &[TIMESTAMP]), now());
        match is_taken {
            true => assert!(taken.is_ok()),
            false => assert_malformed(taken, "x-satchel-issued"),
        }
    }
    let mut repository = granting(None);
    repository.role("acme").issued = Some(now().plus_days(730));
    assert_malformed(repository.search(CATALOGUE), "x-satchel-issued");
}
