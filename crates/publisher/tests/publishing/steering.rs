//! Rollouts are changed by keys that sign nothing else, and every change is one that makes sense.

use publisher::{
    KeyStore, Offering, Promotion, PublishError, Retraction, Steered, Steering, SteeringError,
};
use release_format::{ChannelName, ClientVersion, Label, Mode, Rollout, Share, UtcTime};

use crate::rig::{Rig, lesson, now, options, pack};

/// A repository whose channel `stable` offers 1.1 to everyone, and has 1.2 for nobody yet.
fn three_releases() -> Rig {
    let rig = Rig::with_release();
    for (seed, label, share) in [(11, "1.1", "100%"), (12, "1.2", "1%")] {
        rig.write(&[("lesson.html", lesson(seed, 20))]);
        let mut options = options(label);
        options.share = Share::parse(share).unwrap();
        rig.publish_with(&options).unwrap();
    }
    rig
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn share(text: &str) -> Share {
    Share::parse(text).unwrap()
}

fn later(days: u32) -> UtcTime {
    now().plus_days(days)
}

fn stable() -> ChannelName {
    ChannelName::default()
}

/// The keys that operators have: none of the content team's, and not those of targets.
fn operators(rig: &Rig) -> KeyStore {
    let folder = rig.path().join("operators");
    std::fs::create_dir_all(&folder).unwrap();
    for role in ["acme-operations", "snapshot", "timestamp"] {
        for ending in ["pem", "pub"] {
            let name = format!("{role}.{ending}");
            std::fs::copy(rig.keys().path().join(&name), folder.join(&name)).unwrap();
        }
    }
    KeyStore::folder(folder)
}

fn steer(rig: &Rig, change: &Steering) -> Result<Steered, PublishError> {
    let keys = operators(rig);
    rig.repository()
        .steer(&pack(), &stable(), &keys, later(1), change)
}

fn rollout(rig: &Rig, channel: &str) -> Rollout {
    let rollouts = rig.repository().rollouts(&pack()).unwrap();
    let mut rollouts = rollouts.into_iter();
    rollouts
        .find(|rollout| rollout.channel.as_str() == channel)
        .unwrap()
}

fn manifest(rig: &Rig, text: &str) -> diff_core::Digest {
    let catalogue = rig.repository().catalogue(&pack()).unwrap();
    catalogue.labelled(&label(text)).unwrap().manifest.digest
}

fn retract(release: &str, fallback: Option<&str>) -> Retraction {
    Retraction {
        release: label(release),
        fallback: fallback.map(label),
        reason: "the quiz shows its answers".to_owned(),
        security: false,
    }
}

#[test]
fn a_rollout_is_widened_halted_and_resumed_by_operations_keys_alone() {
    let rig = three_releases();
    let first = rollout(&rig, "stable");
    assert_eq!(first.since, Some(now()));
    let widened = steer(&rig, &Steering::Widen(share("20%"))).unwrap();
    assert_eq!(
        widened.changes,
        ["1.2 goes to 20% of devices instead of 1% of devices"]
    );
    let after = rollout(&rig, "stable");
    assert_eq!((after.share, &after.salt), (share("20%"), &first.salt));
    assert_eq!(after.since, Some(later(1)));
    assert_eq!(after.otherwise, Some(manifest(&rig, "1.1")));

    let halt = Steering::Halt {
        reason: "too many reverts".to_owned(),
    };
    steer(&rig, &halt).unwrap();
    let halted = rollout(&rig, "stable");
    assert!(halted.halted);
    assert_eq!(halted.schema(), 1);
    for refused in [
        Steering::Widen(share("30%")),
        Steering::Offer(Offering::new(label("1.2"), share("30%"))),
    ] {
        let refused = steer(&rig, &refused).unwrap_err();
        let told = refused.to_string();
        assert!(
            matches!(
                refused,
                PublishError::Steering(SteeringError::Halted { .. })
            ),
            "{told}"
        );
        assert!(told.contains("too many reverts"), "{told}");
    }
    steer(&rig, &Steering::Resume).unwrap();
    assert!(!rollout(&rig, "stable").halted);
    let report = rig.audit();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let rig = three_releases();
    let timestamp = rig.repository_path().join("metadata/timestamp.json");
    let before = std::fs::read(&timestamp).unwrap();
    let nothing = steer(&rig, &Steering::Widen(share("1%"))).unwrap();
    assert!(!nothing.is_changed() && nothing.changes.is_empty());
    let keys = operators(&rig);
    let rehearsed = rig.repository().rehearse_steering(
        &pack(),
        &stable(),
        later(1),
        &Steering::Widen(share("50%")),
    );
    assert!(rehearsed.unwrap().is_changed());
    assert_eq!(std::fs::read(&timestamp).unwrap(), before);
    drop(keys);
}

#[test]
fn an_offer_says_all_of_how_a_release_is_offered_and_flags_keep_their_devices() {
    let rig = three_releases();
    let mut offering = Offering::new(label("1.2"), share("100%"));
    offering.select.add("ring", "pilot").unwrap();
    offering.mode = Mode::Shadow;
    offering.starts = Some(later(9));
    offering.minimum_client = Some(ClientVersion::new(0, 2, 0));
    offering.flags = vec![("new-quiz".to_owned(), share("10%"))];
    let steered = steer(&rig, &Steering::Offer(offering)).unwrap();
    assert_eq!(
        steered.changes,
        [
            "1.2 goes to all devices with ring=pilot instead of 1% of devices",
            "devices stage and check it, and never switch to it",
            "it starts 2026-11-30T00:00:00Z",
            "it needs client 0.2.0",
            "flag new-quiz is on for 10% of devices",
        ]
    );
    let shadow = rollout(&rig, "stable");
    assert_eq!((shadow.schema(), shadow.mode), (2, Mode::Shadow));
    assert_eq!(shadow.otherwise, Some(manifest(&rig, "1.1")));

    let plain = Offering::new(label("1.2"), share("100%"));
    steer(&rig, &Steering::Offer(plain)).unwrap();
    let plain = rollout(&rig, "stable");
    assert!(plain.select.is_empty() && plain.starts.is_none() && plain.mode == Mode::Standard);
    let minimum = plain.minimum_client(&plain.release);
    assert_eq!(minimum, Some(ClientVersion::new(0, 2, 0)));
    assert_eq!(plain.flags, shadow.flags);

    let flags = Steering::Flags(vec![("new-quiz".to_owned(), share("50%"))]);
    steer(&rig, &flags).unwrap();
    rig.write(&[("lesson.html", lesson(13, 20))]);
    rig.publish("1.3").unwrap();
    let next = rollout(&rig, "stable");
    assert_eq!(next.flags[0].salt, shadow.flags[0].salt);
    assert_eq!(next.flags[0].share, share("50%"));
    assert_eq!(next.otherwise, Some(manifest(&rig, "1.2")));
    assert_eq!(next.minimum_clients, plain.minimum_clients);
}

#[test]
fn a_withdrawn_release_gives_its_place_to_the_one_before_and_is_not_offered_again() {
    let rig = three_releases();
    steer(&rig, &Steering::Widen(share("100%"))).unwrap();
    let keys = operators(&rig);
    let withdrawn = rig
        .repository()
        .withdraw(&pack(), &keys, later(2), &retract("1.2", None))
        .unwrap();
    assert_eq!(
        withdrawn[0].changes,
        [
            "channel stable offers 1.1 to all devices instead of 1.2 to all devices",
            "devices that are not offered it are offered nothing",
            "1.2 is withdrawn: devices that have it go back to 1.1",
        ]
    );
    let after = rollout(&rig, "stable");
    assert_eq!(
        (after.release, after.share),
        (manifest(&rig, "1.1"), Share::FULL)
    );
    let entry = after.withdrawal(&manifest(&rig, "1.2")).unwrap();
    assert_eq!(entry.fallback, Some(manifest(&rig, "1.1")));
    let again = Steering::Offer(Offering::new(label("1.2"), share("1%")));
    assert!(matches!(
        steer(&rig, &again),
        Err(PublishError::Steering(SteeringError::Withdrawn { .. }))
    ));
    // The next release forgets nothing of it.
    rig.write(&[("lesson.html", lesson(14, 20))]);
    rig.publish("1.3").unwrap();
    assert_eq!(rollout(&rig, "stable").withdrawn, after.withdrawn);
    // The fallback of what was withdrawn is withdrawn too: both lead further back.
    rig.repository()
        .withdraw(&pack(), &keys, later(3), &retract("1.1", Some("1.0")))
        .unwrap();
    let after = rollout(&rig, "stable");
    let fallbacks = after.withdrawn.iter().map(|of| of.fallback);
    assert!(fallbacks.eq([Some(manifest(&rig, "1.0")); 2]));
    let report = rig.audit();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_withdrawal_that_makes_no_sense_is_refused() {
    let rig = three_releases();
    let keys = operators(&rig);
    let withdraw = |retraction| {
        let repository = rig.repository();
        repository.withdraw(&pack(), &keys, later(1), &retraction)
    };
    assert!(matches!(
        withdraw(retract("1.2", Some("1.2"))),
        Err(PublishError::Steering(SteeringError::OwnFallback { .. }))
    ));
    assert!(matches!(
        withdraw(retract("9.9", None)),
        Err(PublishError::UnknownLabel { .. })
    ));
    let mut two_lines = retract("1.2", None);
    two_lines.reason = "one\ntwo".to_owned();
    assert!(matches!(
        withdraw(two_lines),
        Err(PublishError::Steering(SteeringError::Unfit { .. }))
    ));
    withdraw(retract("1.2", None)).unwrap();
    assert!(matches!(
        withdraw(retract("1.0", Some("1.2"))),
        Err(PublishError::Steering(SteeringError::Withdrawn { .. }))
    ));
}

#[test]
fn whoever_a_newer_release_does_not_reach_is_offered_the_fallback_of_a_withdrawn_one() {
    let rig = three_releases();
    let keys = operators(&rig);
    rig.repository()
        .withdraw(&pack(), &keys, later(1), &retract("1.1", None))
        .unwrap();
    let after = rollout(&rig, "stable");
    assert_eq!(after.release, manifest(&rig, "1.2"));
    assert_eq!(after.otherwise, Some(manifest(&rig, "1.0")));
    assert_eq!(after.withdrawn[0].fallback, Some(manifest(&rig, "1.0")));
}

#[test]
fn a_pack_s_only_release_is_withdrawn_by_a_halt_that_nothing_resumes() {
    let rig = Rig::with_release();
    let keys = operators(&rig);
    rig.repository()
        .withdraw(&pack(), &keys, later(1), &retract("1.0", None))
        .unwrap();
    let after = rollout(&rig, "stable");
    assert!(after.halted);
    assert_eq!(after.withdrawn[0].fallback, None);
    assert!(matches!(
        steer(&rig, &Steering::Resume),
        Err(PublishError::Steering(SteeringError::Withdrawn { .. }))
    ));
}

#[test]
fn a_release_is_promoted_by_its_manifest_once_its_channel_offers_it_to_all() {
    let rig = Rig::with_release();
    rig.write(&[("lesson.html", lesson(21, 20))]);
    let mut beta = options("1.1");
    beta.channel = ChannelName::parse("beta").unwrap();
    beta.share = share("50%");
    rig.publish_with(&beta).unwrap();
    let keys = operators(&rig);
    let promote = |from: Option<&str>| {
        let promotion = Promotion {
            release: label("1.1"),
            from: from.map(|from| ChannelName::parse(from).unwrap()),
            to: stable(),
            share: share("5%"),
        };
        rig.repository()
            .promote(&pack(), &keys, later(1), &promotion)
    };
    let refused = promote(None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no channel offers release 1.1 to all of its devices: \
         beta offers 1.1 to 50% of devices, stable offers 1.0 to all devices"
    );
    let widen = Steering::Widen(Share::FULL);
    rig.repository()
        .steer(&pack(), &beta.channel, &keys, later(1), &widen)
        .unwrap();
    assert!(promote(Some("stable")).is_err());
    promote(Some("beta")).unwrap();
    let (beta, stable) = (rollout(&rig, "beta"), rollout(&rig, "stable"));
    assert_eq!(beta.release, stable.release);
    assert_eq!(
        (stable.share, stable.otherwise),
        (share("5%"), Some(manifest(&rig, "1.0")))
    );
    assert_ne!(beta.salt, stable.salt);
}

#[test]
fn content_keys_sign_no_rollouts_and_another_tenant_s_operations_none_of_this_one() {
    let rig = three_releases();
    for stranger in ["acme", "snapshot", "root"] {
        let folder = rig.path().join(format!("only-{stranger}"));
        std::fs::create_dir_all(&folder).unwrap();
        for role in ["snapshot", "timestamp", stranger] {
            let from = rig.keys().path().join(format!("{role}.pem"));
            std::fs::copy(from, folder.join(format!("{role}.pem"))).unwrap();
        }
        // The stranger's key, by the name of the one that is needed.
        let from = rig.keys().path().join(format!("{stranger}.pem"));
        std::fs::copy(from, folder.join("acme-operations.pem")).unwrap();
        let keys = KeyStore::folder(folder);
        let change = Steering::Widen(Share::FULL);
        let repository = rig.repository();
        let refused = repository.steer(&pack(), &stable(), &keys, later(1), &change);
        assert!(
            matches!(refused, Err(PublishError::KeyNotTrusted { .. })),
            "{stranger}: {refused:?}"
        );
    }
    assert_eq!(rollout(&rig, "stable").share, share("1%"));
    // And operations keys publish no content.
    rig.write(&[("lesson.html", lesson(15, 20))]);
    let keys = operators(&rig);
    let cancel = diff_core::CancelToken::new();
    let refused = rig.repository().publish(
        &rig.course_path(),
        &keys,
        &options("1.3"),
        &publisher::Quiet,
        &cancel,
    );
    assert!(
        matches!(&refused, Err(PublishError::KeyMissing { role, .. }) if role == "acme"),
        "{refused:?}"
    );
}
