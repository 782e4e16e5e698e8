//! Every version of every record keeps a file that was written once, by hand after the document that
//! describes it, and never again: what those bytes mean may not change.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fixture that is refused fails its test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use diff_core::Digest;
use release_format::UtcTime;
use updater_client::library::identity::LibraryRecord;
use updater_client::library::record::RecordError;
use updater_client::library::state::StateRecord;

type Claim = fn(&[u8]);

/// The fixtures and the claim that reads each.
const FIXTURES: [(&str, Claim); 6] = [
    ("library-v1.json", library_v1),
    ("library-v2.json", library_v2),
    ("state-v1-nothing-active", state_v1_nothing_active),
    ("state-v1-on-trial", state_v1_on_trial),
    ("state-v2-kept", state_v2_kept),
    ("state-v3-on-trial", state_v3_on_trial),
];

#[test]
fn every_fixture_means_what_it_meant() {
    for (name, claim) in FIXTURES {
        claim(&read(name));
    }
}

#[test]
fn no_fixture_goes_unread() {
    let files = fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let found: BTreeSet<_> = files
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    let known: BTreeSet<_> = FIXTURES.map(|(name, _)| name.to_owned()).into();
    assert_eq!(found, known);
}

#[test]
fn what_is_read_is_written_with_the_same_bytes() {
    for (name, _) in FIXTURES {
        let bytes = read(name);
        let written = match name.split_once("-v").unwrap() {
            ("state", _) => StateRecord::decode(&bytes).unwrap().encode(),
            _ => LibraryRecord::decode(&bytes).unwrap().encode(),
        };
        let (written, bytes) = (String::from_utf8(written), String::from_utf8(bytes));
        assert_eq!(written, bytes, "{name}");
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_state_record_is_damage() {
    for (name, _) in FIXTURES
        .iter()
        .filter(|(name, _)| name.starts_with("state"))
    {
        let bytes = read(name);
        for place in 0..bytes.len() {
            let (cut, _) = bytes.split_at(place);
            let read = StateRecord::decode(cut);
            assert!(
                matches!(read, Err(RecordError::Damaged { .. })),
                "{name} cut at {place}"
            );
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                if let Some(byte) = damaged.get_mut(place) {
                    *byte ^= 1 << bit;
                }
                let read = StateRecord::decode(&damaged);
                assert!(
                    matches!(read, Err(RecordError::Damaged { .. })),
                    "{name}: byte {place} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn the_document_shows_the_fixtures() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/formats/state.md");
    let document = fs::read_to_string(document).unwrap().replace("\r\n", "\n");
    for name in [
        "state-v1-on-trial",
        "state-v2-kept",
        "state-v3-on-trial",
        "library-v1.json",
    ] {
        let shown = String::from_utf8(read(name)).unwrap();
        assert!(document.contains(&format!("\n{shown}```\n")), "{name}");
    }
}

fn state_v1_on_trial(bytes: &[u8]) {
    let record = StateRecord::decode(bytes).unwrap();
    assert_eq!(record.pack().as_str(), "acme/biology-101");
    assert_eq!((record.generation(), record.highest_sequence()), (7, 3));
    let active = record.active().unwrap();
    assert_eq!((active.label.as_str(), active.sequence), ("1.2.0", 3));
    assert_eq!(active.manifest, Digest::from_bytes([0x3c; 32]));
    assert_eq!(active.tree_bytes, 734_003_200);
    let fallback = record.fallback().unwrap();
    assert_eq!((fallback.label.as_str(), fallback.sequence), ("1.0.0", 1));
    let trial = record.trial().unwrap();
    assert_eq!((trial.openings, trial.allowed), (1, 3));
    let refusal = record.refusal_of(&Digest::from_bytes([0x2b; 32])).unwrap();
    assert_eq!((refusal.label.as_str(), refusal.sequence), ("1.1.0", 2));
    assert_eq!(refusal.reason, "the quiz of unit 3 does not open");
}

fn state_v2_kept(bytes: &[u8]) {
    let record = StateRecord::decode(bytes).unwrap();
    let active = record.active().unwrap();
    assert_eq!(record.copy_of(&active.manifest), 1);
    let staged = record.staged().unwrap();
    assert_eq!((staged.label.as_str(), staged.sequence), ("1.3.0", 4));
    assert_eq!(record.copy_of(&staged.manifest), 0);
    let [pin] = record.pins() else {
        panic!("one release is pinned, found {:?}", record.pins());
    };
    assert_eq!((pin.release.label.as_str(), pin.stays), ("1.0.0", false));
    let at = |text| record.held_at(UtcTime::parse(text).unwrap());
    let hold = at("2026-11-21T08:00:00Z").unwrap();
    assert_eq!(hold.reason, "the exam of form 4");
    assert_eq!(at("2026-11-21T12:00:00Z"), None);
    assert_eq!(at("2026-11-20T07:59:59Z"), None);
    let named = record.named();
    let labels: Vec<&str> = named.iter().map(|of| of.label.as_str()).collect();
    assert_eq!(labels, ["1.2.0", "1.3.0", "1.0.0"]);
}

fn state_v3_on_trial(bytes: &[u8]) {
    let record = StateRecord::decode(bytes).unwrap();
    assert_eq!(record.active().unwrap().label.as_str(), "1.1");
    assert!(record.trial().is_some() && record.ended().is_empty());
    // Its trial is told by the id that it began with.
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains("\"trial\": \"5fb53253b76e2418321735b378a81e70\""));
    let confirmed = record.confirm().unwrap();
    assert!(confirmed.trial().is_none());
}

fn state_v1_nothing_active(bytes: &[u8]) {
    let record = StateRecord::decode(bytes).unwrap();
    assert_eq!(
        (record.generation(), record.highest_sequence()),
        (5, u64::MAX)
    );
    assert_eq!(record.active(), None);
    assert_eq!(record.fallback(), None);
    assert_eq!(record.trial(), None);
    let [refusal] = record.refused() else {
        panic!("one release is refused, found {:?}", record.refused());
    };
    let reason = "\"Größe\\0\": \u{7} opened 3 times without a confirmation";
    assert_eq!(
        (refusal.sequence, refusal.reason.as_str()),
        (u64::MAX, reason)
    );
}

fn library_v1(bytes: &[u8]) {
    let record = LibraryRecord::decode(bytes).unwrap();
    assert_eq!(
        record.device().to_string(),
        "00112233445566778899aabbccddeeff"
    );
    let addresses = ["https://packs.example/satchel/", "/media/stick/satchel"];
    assert_eq!(record.repositories(), addresses);
}

fn library_v2(bytes: &[u8]) {
    let record = LibraryRecord::decode(bytes).unwrap();
    assert_eq!(record.repositories(), ["https://packs.example/satchel/"]);
    let labels: Vec<_> = record.labels().iter().collect();
    assert_eq!(labels, [("ring", "pilot"), ("site", "nairobi")]);
    assert_eq!(record.channel().unwrap().as_str(), "beta");
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}
