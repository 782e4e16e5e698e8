//! The worked example of `docs/src/formats/metadata.md`.

use super::super::trusted::Refreshed;
use super::*;
use crate::worked_example;

const DOCUMENT: &str = include_str!("../../../../../docs/src/formats/metadata.md");
const ROOT_FILE: &[u8] = include_bytes!("../../../fixtures/metadata-v1/1.root.json");
const TIMESTAMP_FILE: &[u8] = include_bytes!("../../../fixtures/metadata-v1/timestamp.json");

#[test]
fn worked_example_is_a_timestamp_as_the_document_says() {
    let example = worked_example::json(DOCUMENT).as_bytes();
    let now = UtcTime::parse("2026-09-08T23:59:59Z").unwrap();
    let mut set = TrustedSet::pinned(ROOT_FILE, TrustLimits::standard()).unwrap();
    assert_eq!(set.update_timestamp(example, now), Ok(Refreshed::Newer));
    let timestamp = set.timestamp().unwrap();
    assert_eq!(timestamp.snapshot().map(|named| named.version), Some(2));

    let value: Value = serde_json::from_slice(example).unwrap();
    assert_eq!(readable(&value), TIMESTAMP_FILE);
    assert_eq!(signed(timestamp, &[TIMESTAMP]), TIMESTAMP_FILE);
    let message = String::from_utf8(canonical(&value["signed"])).unwrap();
    assert!(DOCUMENT.contains(&format!("\n{message}\n")), "{message}");

    let request = set.snapshot_request().unwrap().unwrap();
    assert_eq!(request.location, "metadata/2.snapshot.json");
    assert!(DOCUMENT.contains(&format!("`{}`", request.location)));
}

#[test]
fn limits_are_those_of_the_document() {
    let limits = TrustLimits::standard();
    for (what, limit) in [
        ("a root", "512 KiB"),
        ("a timestamp", "16 KiB"),
        ("a snapshot", "2 MiB"),
        ("a targets role", "5 MiB"),
        ("roots in one update", "256"),
        ("delegated roles in one search", "32"),
        ("a target", "32 MiB"),
        ("days of offline grace", "366"),
    ] {
        assert!(
            DOCUMENT.contains(&format!("| {what} | {limit} |")),
            "{what}"
        );
    }
    assert_eq!(
        limits,
        TrustLimits {
            root_bytes: 512 << 10,
            timestamp_bytes: 16 << 10,
            snapshot_bytes: 2 << 20,
            targets_bytes: 5 << 20,
            root_rotations: 256,
            delegations: 32,
            target_bytes: 32 << 20,
            offline_grace_days: 366,
        }
    );
}
