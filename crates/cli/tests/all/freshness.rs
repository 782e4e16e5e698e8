//! How fresh the metadata is that an answer rests on, as scripts and people are told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::process::Command;

use release_format::UtcTime;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::World;
use serde_json::Value;
use updater_client::{Clock, SystemClock};

const DAY: i64 = 86_400;

#[test]
fn what_has_expired_within_a_grace_is_stale_and_a_clock_that_is_behind_makes_it_unknown() {
    let now = SystemClock.now().seconds();
    for (published, grace, state) in [
        (now, None, "current"),
        (now - 20 * DAY, Some(90), "stale"),
        (now + 20 * DAY, None, "unknown"),
    ] {
        for verb in ["check", "update"] {
            let (exit, told, stderr) = ask(verb, published, grace);
            assert_eq!(exit, Some(0), "{stderr}");
            let freshness = &told["freshness"];
            assert_eq!(freshness["state"], state);
            let age = freshness["age_seconds"].as_i64().map(|age| age / DAY);
            assert_eq!(age, (state == "stale").then_some(13));
            assert_eq!(freshness["at_least"].is_string(), state == "unknown");
            assert_eq!(stderr.contains("warning:"), state != "current", "{stderr}");
        }
    }
}

#[test]
fn what_has_expired_without_a_grace_is_exit_4() {
    let now = SystemClock.now().seconds();
    let (exit, told, _) = ask("update", now - 20 * DAY, None);
    assert_eq!(exit, Some(4));
    assert_eq!(told["error"]["code"], "expired");
}

/// Asks a repository that was published at a time of the test's own.
fn ask(verb: &str, published: i64, grace: Option<u32>) -> (Option<i32>, Value, String) {
    let world = World::at(UtcTime::from_seconds(published));
    world.publish_granting("1.0", &Course::tiny(), grace);
    let output = Command::new(env!("CARGO_BIN_EXE_satchel"))
        .arg(verb)
        .arg(world.device().library())
        .args([world.pack().as_str(), "--json"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let json = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told:?} {stderr}"));
    (output.status.code(), json, stderr)
}
