//! Every way in which a ceremony is refused.

use publisher::{CeremonyError, Proposal, PublishError, Shortfall, TrustChange};
use release_format::UtcTime;
use serde_json::{Value, json};

use crate::ceremony::{Holders, held_by_three, publish, three_holders};
use crate::rig::{Rig, now};

/// Returns the proposal with its proposed root changed by hand, and its signatures as they were.
fn edited(proposal: &Proposal, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut file: Value = serde_json::from_slice(&proposal.encode()).unwrap();
    let text = file["proposed"]["root"].as_str().unwrap().to_owned();
    let mut root: Value = serde_json::from_str(&text).unwrap();
    edit(&mut root);
    file["proposed"]["root"] = root.to_string().into();
    file.to_string().into_bytes()
}

fn proposed(rig: &Rig) -> Proposal {
    let change = three_holders(&Holders::of(rig));
    rig.repository().propose(&change, now()).unwrap()
}

fn shortfalls(refused: Result<publisher::Governed, PublishError>) -> Vec<Shortfall> {
    match refused {
        Err(PublishError::Ceremony(CeremonyError::TooFewSignatures { shortfalls, .. })) => {
            shortfalls
        }
        other => panic!("expected too few signatures, found {other:?}"),
    }
}

fn ids(keys: &[release_format::KeyId]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

#[test]
fn signatures_below_the_threshold_of_the_new_root_are_refused_by_name() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let mut proposal = proposed(&rig);
    proposal.sign_with(&rig.keys()).unwrap();
    proposal.sign_with(&holders.keys("alice")).unwrap();
    let [missing] = &shortfalls(publish(&rig, &proposal))[..] else {
        panic!("one of the two roots is satisfied");
    };
    assert_eq!(
        (missing.file.as_str(), missing.judge.as_str()),
        ("root 2", "root 2")
    );
    assert_eq!((missing.expected, missing.found), (2, 1));
    assert_eq!(
        ids(&missing.missing),
        [holders.id("bob"), holders.id("carol")]
    );
    assert_eq!(rig.repository().role_reports().unwrap()[0].version, Some(1));
}

#[test]
fn signatures_below_the_threshold_of_the_old_root_are_refused_by_name() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let mut proposal = proposed(&rig);
    for name in ["alice", "bob", "carol"] {
        proposal.sign_with(&holders.keys(name)).unwrap();
    }
    let [missing] = &shortfalls(publish(&rig, &proposal))[..] else {
        panic!("one of the two roots is satisfied");
    };
    assert_eq!(
        (missing.file.as_str(), missing.judge.as_str()),
        ("root 2", "root 1")
    );
    assert_eq!((missing.expected, missing.found), (1, 0));
    assert_eq!(missing.missing.len(), 1);
}

#[test]
fn unsigned_proposal_is_refused_by_both_roots() {
    let rig = Rig::with_release();
    let judges: Vec<String> = shortfalls(publish(&rig, &proposed(&rig)))
        .into_iter()
        .map(|shortfall| shortfall.judge)
        .collect();
    assert_eq!(judges, ["root 1", "root 2"]);
}

#[test]
fn one_key_under_two_ids_counts_once() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let alice = holders.id("alice");
    let twin = "ab".repeat(32);
    let forged = edited(&proposed(&rig), |root| {
        let key = root["signed"]["keys"][&alice].clone();
        root["signed"]["keys"][&twin] = key;
        root["signed"]["roles"]["root"]["keyids"] = json!([alice, twin]);
    });
    let mut proposal = Proposal::parse("forged", &forged).unwrap();
    assert!(
        proposal
            .describe()
            .iter()
            .any(|line| line.contains("WARNING"))
    );
    proposal.sign_with(&rig.keys()).unwrap();
    proposal.sign_with(&holders.keys("alice")).unwrap();
    let doubled = edited(&proposal, |root| {
        let signatures = root["signatures"].as_array_mut().unwrap();
        let mut copy = signatures
            .iter()
            .find(|one| one["keyid"] == json!(alice))
            .unwrap()
            .clone();
        copy["keyid"] = json!(twin);
        signatures.push(copy);
    });
    let doubled = Proposal::parse("doubled", &doubled).unwrap();
    let [missing] = &shortfalls(publish(&rig, &doubled))[..] else {
        panic!("one of the two roots is satisfied");
    };
    assert_eq!((missing.expected, missing.found), (2, 1));
}

#[test]
fn version_that_is_not_the_next_one_is_refused() {
    let rig = Rig::with_release();
    for version in [1, 3, 100] {
        let jumped = edited(&proposed(&rig), |root| {
            root["signed"]["version"] = json!(version)
        });
        match Proposal::parse("jumped", &jumped) {
            Err(CeremonyError::Malformed {
                expected, found, ..
            }) => {
                assert_eq!(expected, "root 2, the one behind root 1");
                assert_eq!(found, format!("root {version}"));
            }
            other => panic!("{version}: expected a refusal, found {other:?}"),
        }
    }
}

#[test]
fn key_of_another_role_cannot_sign_a_root() {
    let rig = Rig::with_release();
    let mut proposal = proposed(&rig);
    let targets = rig.keys().load("targets").unwrap();
    match proposal.sign(&targets) {
        Err(PublishError::Ceremony(CeremonyError::UnknownKey { expected, .. })) => {
            assert_eq!(expected, "root 2");
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
    // Nor is its signature taken along when somebody put it there.
    let id = release_format::Signer::public_key(&targets).id().unwrap();
    let forged = edited(&proposal, |root| {
        root["signatures"] = json!([{ "keyid": id, "sig": "00".repeat(64) }]);
    });
    let refused = Proposal::parse("forged", &forged);
    assert!(
        matches!(refused, Err(CeremonyError::UnknownKey { .. })),
        "{refused:?}"
    );
}

#[test]
fn proposal_that_was_changed_behind_a_signature_is_refused() {
    let rig = Rig::with_release();
    let mut proposal = proposed(&rig);
    proposal.sign_with(&rig.keys()).unwrap();
    let changed = edited(&proposal, |root| {
        root["signed"]["expires"] = json!("2099-01-01T00:00:00Z");
    });
    let refused = Proposal::parse("changed", &changed);
    assert!(
        matches!(refused, Err(CeremonyError::Tampered { .. })),
        "{refused:?}"
    );
}

#[test]
fn field_that_no_diff_would_tell_of_cannot_be_signed() {
    let rig = Rig::with_release();
    let odd = edited(&proposed(&rig), |root| root["signed"]["extra"] = json!(1));
    let refused = Proposal::parse("odd", &odd);
    assert!(
        matches!(refused, Err(CeremonyError::Malformed { .. })),
        "{refused:?}"
    );
}

#[test]
fn role_that_is_signed_anew_cannot_say_something_else() {
    let rig = Rig::with_release();
    let holders = Holders::of(&rig);
    let change = TrustChange {
        add: vec![("acme".to_owned(), holders.public("acme-2"))],
        thresholds: vec![("acme".to_owned(), 2)],
        ..TrustChange::default()
    };
    let proposal = rig.repository().propose(&change, now()).unwrap();
    let mut file: Value = serde_json::from_slice(&proposal.encode()).unwrap();
    let text = file["proposed"]["acme"].as_str().unwrap().to_owned();
    let mut role: Value = serde_json::from_str(&text).unwrap();
    role["signed"]["targets"]["acme/other/catalogue"] = json!({
        "length": 1, "hashes": { "sha256": "00".repeat(32) },
    });
    file["proposed"]["acme"] = role.to_string().into();
    match Proposal::parse("smuggled", file.to_string().as_bytes()) {
        Err(CeremonyError::Malformed { expected, .. }) => {
            assert_eq!(
                expected,
                "acme with the targets, delegations and grace that it had"
            );
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn proposal_for_a_root_that_is_not_the_newest_is_refused() {
    let rig = held_by_three();
    let holders = Holders::of(&rig);
    let renewal = |days: u32| {
        let change = TrustChange {
            root_expires: Some(now().plus_days(days)),
            ..TrustChange::default()
        };
        let mut proposal = rig.repository().propose(&change, now()).unwrap();
        for name in ["alice", "bob"] {
            proposal.sign_with(&holders.keys(name)).unwrap();
        }
        proposal
    };
    let (first, second) = (renewal(400), renewal(500));
    publish(&rig, &first).unwrap();
    for late in [first, second] {
        match publish(&rig, &late) {
            Err(PublishError::Ceremony(CeremonyError::Stale {
                expected, found, ..
            })) => {
                assert_eq!((expected.as_str(), found.as_str()), ("root 3", "root 2"));
            }
            other => panic!("expected a refusal, found {other:?}"),
        }
    }
}

#[test]
fn proposals_of_different_roots_are_not_merged() {
    let rig = held_by_three();
    let renewal = |expires: UtcTime| {
        let change = TrustChange {
            root_expires: Some(expires),
            ..TrustChange::default()
        };
        rig.repository().propose(&change, now()).unwrap()
    };
    let mut one = renewal(now().plus_days(400));
    let refused = one.merge(&renewal(now().plus_days(401)));
    assert!(
        matches!(refused, Err(CeremonyError::Different { .. })),
        "{refused:?}"
    );
}

#[test]
fn root_before_that_nobody_signed_is_no_root_to_follow() {
    let rig = Rig::with_release();
    let mut file: Value = serde_json::from_slice(&proposed(&rig).encode()).unwrap();
    let text = file["previous"]["root"].as_str().unwrap().to_owned();
    let mut root: Value = serde_json::from_str(&text).unwrap();
    root["signed"]["expires"] = json!("2099-01-01T00:00:00Z");
    file["previous"]["root"] = root.to_string().into();
    let refused = Proposal::parse("forged", file.to_string().as_bytes());
    assert!(
        matches!(refused, Err(CeremonyError::Malformed { .. })),
        "{refused:?}"
    );
}

#[test]
fn file_that_is_no_proposal_is_refused() {
    for bytes in [
        &b""[..],
        b"lesson",
        b"{}",
        br#"{"schema":2}"#,
        br#"{"schema":1,"previous":{},"proposed":{}}"#,
    ] {
        let refused = Proposal::parse("file", bytes);
        assert!(
            matches!(refused, Err(CeremonyError::Malformed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn no_flipped_bit_and_no_cut_of_a_proposal_changes_what_is_signed() {
    let rig = Rig::with_release();
    let mut proposal = proposed(&rig);
    proposal.sign_with(&rig.keys()).unwrap();
    let file = proposal.encode();
    let mut harmless = 0_usize;
    for at in 0..file.len() {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        // Spaces, and the case of hexadecimal digits, mean nothing.
        if let Ok(read) = Proposal::parse("flipped", &flipped) {
            harmless += 1;
            assert_eq!(read.new_root(), proposal.new_root(), "byte {at}");
            assert_eq!(read.describe(), proposal.describe(), "byte {at}");
        }
        let cut = Proposal::parse("cut", &file[..at]);
        // But for the line's end, nothing can be missing.
        assert!(cut.is_err() || at + 1 == file.len(), "{at} bytes");
    }
    assert!(harmless * 10 < file.len(), "{harmless} of {}", file.len());
}
