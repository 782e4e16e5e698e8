//! How fresh the metadata is that an answer rests on, as scripts and people are told.

use release_format::UtcTime;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::World;
use serde_json::Value;
use updater_client::{Clock, SystemClock};

use crate::place::{Ran, satchel};

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
            assert_eq!(exit, 0, "{stderr}");
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
    assert_eq!(exit, 4);
    assert_eq!(told["error"]["code"], "expired");
}

/// Asks a repository that was published at a time of the test's own.
fn ask(verb: &str, published: i64, grace: Option<u32>) -> (i32, Value, String) {
    let world = World::at(UtcTime::from_seconds(published));
    world.publish_granting("1.0", &Course::tiny(), grace);
    let device = world.device();
    let library = device.library().to_str().unwrap();
    let output = satchel(&[verb, library, world.pack().as_str(), "--json"]).output();
    let ran = Ran::of(output.unwrap());
    (ran.exit, ran.json(), ran.stderr)
}
