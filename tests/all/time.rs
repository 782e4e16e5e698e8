//! Dead clocks, clocks that jump, and devices that were away for long: never bricked, never fooled
//! further than is told.

use std::sync::Arc;
use std::time::Duration;

use diff_core::CancelToken;
use release_format::{TrustError, UtcTime};
use satchel_tests::rig::world::{
    Device, SetClock, World, copy_tree, files_below, first_course, second_course,
};
use serde_json::json;
use updater_client::{Check, Clock, ErrorKind, Freshness, UpdateError};

const DAY: Duration = Duration::from_secs(86_400);

fn time(text: &str) -> UtcTime {
    UtcTime::parse(text).unwrap()
}

/// Asks as a device whose clock shows `clock`.
fn check_at(device: &Device, clock: &str) -> Result<Check, UpdateError> {
    let clock = Arc::new(SetClock::new(time(clock)));
    let updater = device.builder().clock(clock).build()?;
    updater.check(device.pack(), &CancelToken::new())
}

#[track_caller]
fn assert_expired<T: std::fmt::Debug>(outcome: Result<T, UpdateError>, expected: &str) {
    match outcome {
        Err(failed @ UpdateError::Trust(TrustError::Expired { .. })) => {
            assert_eq!(
                (failed.code(), failed.kind()),
                ("expired", ErrorKind::Refused)
            );
            assert!(failed.to_string().contains(expected), "{failed}");
        }
        other => panic!("expected {expected} to have expired, found {other:?}"),
    }
}

/// The roles that are signed by online keys, and may be signed anew at any time.
fn sign_online_roles_anew(world: &World, issued: &str, expires: &str) {
    let forger = world.forger(&world.repository());
    for role in ["acme-operations", "snapshot", "timestamp"] {
        let renew = |signed: &mut serde_json::Value| {
            signed["expires"] = json!(expires);
            if role != "snapshot" {
                signed["x-satchel-issued"] = json!(issued);
            }
        };
        forger.change_role(role, renew).unwrap();
    }
}

#[test]
fn a_day_at_2035_leaves_nothing_behind() {
    let (world, device) = World::with_an_update();
    let before = files_below(device.library());
    for _ in 0..3 {
        assert_expired(check_at(&device, "2035-06-01T00:00:00Z"), "root");
    }
    let after = files_below(device.library());
    assert_eq!(after, before);
    let now = world.clock().now().to_string();
    assert_eq!(
        check_at(&device, &now).unwrap().freshness,
        Freshness::Current
    );
    device.update().unwrap();
    device.assert_has(&second_course());
}

#[test]
fn a_clock_that_jumps_is_judged_by_each_update_alone() {
    let (_world, device) = World::with_an_update();
    for _ in 0..2 {
        for (clock, expected) in [
            ("2026-11-22T00:00:00Z", Some("current")),
            ("2035-01-01T00:00:00Z", None),
            ("1970-01-01T00:00:00Z", Some("unknown")),
            ("2026-11-27T23:59:59Z", Some("current")),
            ("2026-11-28T00:00:00Z", None),
            ("0001-01-01T00:00:00Z", Some("unknown")),
            ("9999-12-31T23:59:59Z", None),
        ] {
            let found = check_at(&device, clock).map(|check| check.freshness.code());
            assert_eq!(found.ok(), expected, "{clock}");
        }
    }
}

#[test]
fn a_dead_clock_updates_and_is_told_that_nobody_knows_how_fresh_that_is() {
    let (_world, device) = World::with_an_update();
    let dead = Arc::new(SetClock::new(time("1970-01-01T00:00:00Z")));
    let updater = device.builder().clock(dead).build().unwrap();
    let updated = updater
        .update(device.pack(), &Default::default(), &CancelToken::new())
        .unwrap();
    let expected = Freshness::FreshnessUnknown {
        clock: time("1970-01-01T00:00:00Z"),
        at_least: time("2026-11-21T00:00:00Z"),
    };
    assert_eq!(updated.freshness, expected);
    device.assert_has(&second_course());
}

#[test]
fn a_dead_clock_brings_nothing_back_that_expired_before_the_client_was_built() {
    let world = World::at(time("2026-01-01T00:00:00Z"));
    world.publish("1.0", &first_course());
    let device = world.device();
    assert_expired(check_at(&device, "1970-01-01T00:00:00Z"), "timestamp");
    assert_expired(check_at(&device, "2026-01-02T00:00:00Z"), "timestamp");
}

#[test]
fn a_dead_clock_brings_nothing_back_that_expired_before_what_was_signed_since() {
    let world = World::at(time("2027-03-01T00:00:00Z"));
    world.publish("1.0", &first_course());
    // The timestamp is new; the snapshot behind it is the one of March, which lasts until April.
    let forger = world.forger(&world.repository());
    let renew = |signed: &mut serde_json::Value| {
        signed["expires"] = json!("2027-09-08T00:00:00Z");
        signed["x-satchel-issued"] = json!("2027-09-01T00:00:00Z");
    };
    forger.change_role("timestamp", renew).unwrap();
    let device = world.device();
    assert_expired(check_at(&device, "1970-01-01T00:00:00Z"), "snapshot");
    assert_expired(check_at(&device, "2027-03-02T00:00:00Z"), "snapshot");
}

#[test]
fn a_thief_of_the_online_keys_makes_nothing_expire_for_longer_than_it_takes_to_sign_anew() {
    let (world, device) = World::with_an_update();
    let now = world.clock().now().to_string();
    sign_online_roles_anew(&world, "2099-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    // A year ahead at most: the offline roles last for longer than that, and nothing is expired.
    let Freshness::FreshnessUnknown { at_least, .. } = check_at(&device, &now).unwrap().freshness
    else {
        panic!("the clock is behind what the thief has signed");
    };
    assert_eq!(at_least, time("2027-11-22T00:00:00Z"));
    // The publisher signs as ever, and the device follows at once.
    sign_online_roles_anew(&world, &now, "2100-01-01T00:00:00Z");
    assert_eq!(
        check_at(&device, &now).unwrap().freshness,
        Freshness::Current
    );
}

#[test]
fn a_root_that_revokes_the_stolen_key_takes_its_time_back() {
    let (world, device) = World::with_an_update();
    let now = world.clock().now().to_string();
    sign_online_roles_anew(&world, "2099-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    check_at(&device, &now).unwrap();
    let forger = world.forger(&world.repository());
    forger.rotate("timestamp", [77; 32]).unwrap();
    let renew = |signed: &mut serde_json::Value| {
        signed["version"] = json!(1);
        signed["expires"] = json!("2026-11-28T00:00:00Z");
        signed["x-satchel-issued"] = json!(now);
    };
    forger.change_role("timestamp", renew).unwrap();
    assert_eq!(
        check_at(&device, &now).unwrap().freshness,
        Freshness::Current
    );
    device.update().unwrap();
    device.assert_has(&second_course());
}

#[test]
fn expiry_is_strict_where_no_grace_is_signed() {
    let (world, device) = World::with_an_update();
    world.clock().add_days(8);
    assert_expired(device.update(), "timestamp");
    device.assert_has(&first_course());
}

#[test]
fn a_signed_grace_lets_devices_go_on_and_says_how_stale_that_is() {
    let world = World::new();
    world.publish_granting("1.0", &first_course(), Some(120));
    let device = world.device();
    device.update().unwrap();
    device.confirm();
    world.publish("1.1", &second_course());
    // Timestamp 7 days, snapshot 60, operations 90: all three are over, and the grace is not.
    world.clock().add_days(100);
    let updated = device.update().unwrap();
    assert_eq!(updated.freshness, Freshness::Stale { age: 93 * DAY });
    device.assert_has(&second_course());
    device.confirm();
    world.clock().add_days(27);
    assert_expired(device.update(), "timestamp");
    device.assert_has(&second_course());
}

#[test]
fn a_grace_is_kept_by_the_next_release_until_it_is_signed_away() {
    let world = World::new();
    world.publish_granting("1.0", &first_course(), Some(120));
    world.publish_granting("1.1", &second_course(), Some(0));
    let device = world.device();
    world.clock().add_days(10);
    assert_expired(device.update(), "timestamp");
}

#[test]
fn within_a_grace_nothing_goes_backwards_either() {
    let world = World::new();
    world.publish_granting("1.0", &first_course(), Some(120));
    let older = world.copy_of_repository();
    world.publish("1.1", &second_course());
    let device = world.device();
    world.clock().add_days(30);
    device.update().unwrap();
    device.confirm();
    match device.update_from(&older) {
        Err(UpdateError::Trust(TrustError::Rollback { role, .. })) => {
            assert_eq!(role, "timestamp");
        }
        other => panic!("expected a rollback, found {other:?}"),
    }
    device.assert_has(&second_course());
}

#[test]
fn what_is_refused_within_a_search_for_a_grace_is_not_stored() {
    let world = World::new();
    world.publish("1.0", &first_course());
    let device = world.device();
    let before = files_below(&device.library().join("trust"));
    world.clock().add_days(8);
    assert_expired(device.update(), "timestamp");
    let after = files_below(&device.library().join("trust"));
    assert_eq!(after, before);
}

#[test]
fn a_device_is_back_after_eighteen_months_and_twenty_roots() {
    let (world, device) = World::with_an_update();
    let forger = world.forger(&world.repository());
    world.clock().add_days(548);
    for number in 0..20_u8 {
        let role = ["timestamp", "snapshot", "targets"][usize::from(number % 3)];
        forger.rotate(role, [100 + number; 32]).unwrap();
    }
    let (issued, expires) = ("2028-05-22T00:00:00Z", "2028-06-22T00:00:00Z");
    for role in [
        "targets",
        "acme",
        "acme-operations",
        "snapshot",
        "timestamp",
    ] {
        let renew = |signed: &mut serde_json::Value| {
            signed["expires"] = json!(expires);
            if role == "timestamp" {
                signed["x-satchel-issued"] = json!(issued);
            }
        };
        forger.change_role(role, renew).unwrap();
    }
    assert_expired(check_at(&device, "2028-07-01T00:00:00Z"), "timestamp");
    let updated = device.update().unwrap();
    assert_eq!(updated.freshness, Freshness::Current);
    device.assert_has(&second_course());
    // Every root on the way was asked for once, in one update.
    assert!(device.layout().trust().root(21).is_file());
}

#[test]
fn a_stick_two_years_old_is_refused_by_who_has_seen_more_and_by_who_has_not() {
    let (world, device) = World::with_an_update();
    let stick = world.copy_of_repository();
    let fresh = world.device();
    world.clock().add_days(730);
    // Whoever comes for the first time is told that it has expired.
    assert_expired(fresh.update_from(&stick), "timestamp");
    // Whoever has seen more is told that it goes back, whatever the clock says.
    let forger = world.forger(&world.repository());
    for role in [
        "targets",
        "acme",
        "acme-operations",
        "snapshot",
        "timestamp",
    ] {
        let renew = |signed: &mut serde_json::Value| {
            signed["expires"] = json!("2028-12-01T00:00:00Z");
        };
        forger.change_role(role, renew).unwrap();
    }
    world.publish("1.2", &first_course());
    match device.update_from(&world.repository()) {
        Ok(_) => device.confirm(),
        Err(failed) => panic!("{failed}"),
    }
    for clock in ["1970-01-01T00:00:00Z", "2026-11-22T00:00:00Z"] {
        let clock = Arc::new(SetClock::new(time(clock)));
        let transport = Arc::new(updater_client::FolderTransport::new(&stick));
        let updater = device.builder().clock(clock).repository(transport);
        let failed = updater
            .build()
            .unwrap()
            .check(device.pack(), &CancelToken::new());
        let refused = matches!(failed, Err(UpdateError::Trust(TrustError::Rollback { .. })));
        assert!(refused, "{failed:?}");
    }
    device.assert_has(&first_course());
}

#[test]
fn a_stick_that_is_newer_moves_trust_forward_without_a_network() {
    let (world, device) = World::with_an_update();
    let stick = world.folder().join("stick");
    copy_tree(&world.repository(), &stick);
    device.update_from(&stick).unwrap();
    device.assert_has(&second_course());
}
