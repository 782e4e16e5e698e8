//! A guarded channel changes only when enough holders have approved, wherever they sign.

use publisher::{
    Approval, CeremonyError, ChannelGuard, KeyStore, Offering, PublishError, Retraction, Steering,
};
use release_format::{ChannelName, Label, PackName, PublicKey, Share, TenantName, UtcTime};

use crate::rig::{Rig, lesson, now, options, pack};

fn stable() -> ChannelName {
    ChannelName::default()
}

fn later() -> UtcTime {
    now().plus_days(1)
}

fn to(share: &str) -> Steering {
    let release = Label::parse("1.0").unwrap();
    Steering::Offer(Offering::new(release, Share::parse(share).unwrap()))
}

/// The keys of three holders, each in a folder of their own.
fn holders(rig: &Rig) -> Vec<KeyStore> {
    let folder = |name: &str| KeyStore::folder(rig.path().join(name));
    let holders = ["anna", "ben", "carla"].map(|name| {
        folder(name).generate(name).unwrap();
        folder(name)
    });
    holders.into()
}

fn public(holders: &[KeyStore]) -> Vec<PublicKey> {
    let keys = holders.iter().flat_map(|keys| keys.public_keys().unwrap());
    keys.map(|(_, key)| key).collect()
}

fn sign(approval: &Approval, holder: &KeyStore) -> Approval {
    let mut copy = Approval::parse("approval.json", &approval.encode()).unwrap();
    let (name, _) = holder.public_keys().unwrap().remove(0);
    copy.sign(&holder.load(&name).unwrap()).unwrap();
    copy
}

fn guard_of(holders: &[KeyStore]) -> ChannelGuard {
    ChannelGuard {
        tenant: TenantName::parse("acme").unwrap(),
        channel: stable(),
        keys: public(holders),
        threshold: 2,
    }
}

/// Signs copies of an approval, each where a holder's key is, and publishes what comes together.
fn published(rig: &Rig, approval: &Approval, holders: &[KeyStore]) -> Result<(), PublishError> {
    let mut merged = Approval::parse("approval.json", &approval.encode()).unwrap();
    for holder in holders {
        merged.merge(&sign(approval, holder)).unwrap();
    }
    let repository = rig.repository();
    repository.publish_approval(&merged, &rig.keys(), later())
}

/// A repository whose channel `stable` needs two of three holders, and the keys that are online.
fn guarded() -> (Rig, Vec<KeyStore>) {
    let rig = Rig::with_release();
    let holders = holders(&rig);
    let mut keys = rig.keys();
    for (holder, name) in holders.iter().zip(["anna", "ben"]) {
        keys = keys.with_signer(std::sync::Arc::new(holder.load(name).unwrap()));
    }
    let guard = guard_of(&holders);
    let role = rig
        .repository()
        .guard_channel(&guard, &keys, now())
        .unwrap();
    assert_eq!(role, "acme-operations.stable");
    let again = rig.repository().guard_channel(&guard, &keys, now());
    assert!(matches!(
        again,
        Err(PublishError::Ceremony(CeremonyError::Unfit { .. }))
    ));
    (rig, holders)
}

#[test]
fn operations_keys_alone_change_a_guarded_channel_no_more_and_others_as_before() {
    let (rig, _) = guarded();
    let repository = rig.repository();
    assert_eq!(repository.rollouts(&pack()).unwrap().len(), 1);
    let refused = repository.steer(&pack(), &stable(), &rig.keys(), later(), &to("5%"));
    assert!(
        matches!(&refused, Err(PublishError::KeyMissing { role, .. }) if role == "acme-operations.stable"),
        "{refused:?}"
    );
    rig.write(&[("lesson.html", lesson(31, 20))]);
    assert!(rig.publish("1.1").is_err());
    let mut beta = options("1.1");
    beta.channel = ChannelName::parse("beta").unwrap();
    rig.publish_with(&beta).unwrap();
    let report = rig.audit();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_guard_of_one_tenant_s_channel_leaves_another_s_alone() {
    let (rig, _) = guarded();
    let mut other = options("1.0");
    other.pack = PackName::parse("other/history").unwrap();
    rig.publish_with(&other).unwrap();
    let widen = Steering::Widen(Share::parse("50%").unwrap());
    let repository = rig.repository();
    repository
        .steer(&other.pack, &stable(), &rig.keys(), later(), &widen)
        .unwrap();
    // And whoever approves for one tenant signs nothing for another.
    let unknown = ChannelGuard {
        tenant: TenantName::parse("nobody").unwrap(),
        channel: stable(),
        keys: public(&[rig.keys()]),
        threshold: 1,
    };
    let refused = repository.guard_channel(&unknown, &rig.keys(), later());
    assert!(matches!(
        refused,
        Err(PublishError::Ceremony(CeremonyError::Unfit { .. }))
    ));
}

#[test]
fn a_change_is_published_once_enough_holders_have_signed_copies_of_it() {
    let (rig, holders) = guarded();
    let repository = rig.repository();
    let approval = repository
        .propose_steering(&pack(), &stable(), later(), &to("5%"))
        .unwrap();
    let told = approval.describe().join("\n");
    assert!(
        told.contains("acme/biology-101, stable: offers 1.0"),
        "{told}"
    );
    assert!(told.contains("to 5% of devices"), "{told}");
    let mut anna = sign(&approval, &holders[0]);
    let too_few = repository.publish_approval(&anna, &rig.keys(), later());
    let Err(PublishError::Ceremony(CeremonyError::TooFewSignatures { shortfalls, .. })) = too_few
    else {
        panic!("{too_few:?}");
    };
    assert_eq!((shortfalls[0].expected, shortfalls[0].found), (2, 1));
    assert_eq!(shortfalls[0].missing.len(), 2);
    let shortfall = repository.approval_shortfall(&anna).unwrap();
    assert_eq!(shortfall.as_ref(), shortfalls.first());
    // One holder twice is one holder, and a stranger is none.
    anna.merge(&sign(&approval, &holders[0])).unwrap();
    let stranger = KeyStore::folder(rig.path().join("stranger"));
    stranger.generate("stranger").unwrap();
    anna.merge(&sign(&approval, &stranger)).unwrap();
    assert!(
        repository
            .publish_approval(&anna, &rig.keys(), later())
            .is_err()
    );

    anna.merge(&sign(&approval, &holders[2])).unwrap();
    repository
        .publish_approval(&anna, &rig.keys(), later())
        .unwrap();
    let rollouts = repository.rollouts(&pack()).unwrap();
    assert_eq!(rollouts[0].share.to_string(), "5%");
    let report = rig.audit();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    // It is good for once.
    assert!(matches!(
        repository.publish_approval(&anna, &rig.keys(), later()),
        Err(PublishError::Ceremony(CeremonyError::Stale { .. }))
    ));
}

#[test]
fn an_approval_that_vouches_for_more_than_it_shows_is_not_signed() {
    let (rig, holders) = guarded();
    let repository = rig.repository();
    let propose = |share| {
        let change = to(share);
        repository.propose_steering(&pack(), &stable(), later(), &change)
    };
    let approval = propose("5%").unwrap();
    let text = String::from_utf8(approval.encode()).unwrap();
    for (from, to) in [
        ("\\\"share\\\":500", "\\\"share\\\":900"),
        ("rollout/stable\":", "rollout/beta\":"),
        ("\"schema\": 1", "\"schema\": 2"),
    ] {
        let lying = text.replacen(from, to, 1);
        assert_ne!(lying, text, "{from}");
        let refused = Approval::parse("approval.json", lying.as_bytes()).unwrap_err();
        assert!(
            matches!(refused, CeremonyError::Malformed { .. }),
            "{refused}"
        );
    }
    let mut other = sign(&propose("7%").unwrap(), &holders[0]);
    assert!(matches!(
        other.merge(&approval),
        Err(CeremonyError::Different { .. })
    ));
    let unchanged = propose("100%");
    assert!(matches!(
        unchanged,
        Err(PublishError::Ceremony(CeremonyError::Nothing))
    ));
}

#[test]
fn a_channel_is_guarded_by_public_keys_and_signatures_that_were_made_elsewhere() {
    let rig = Rig::with_release();
    let holders = holders(&rig);
    let repository = rig.repository();
    let guard = guard_of(&holders);
    let approval = repository.propose_guard(&guard, now()).unwrap();
    let told = approval.describe().join("\n");
    assert!(told.contains("by 2 signatures of "), "{told}");
    assert!(told.contains("stable: offers 1.0"), "{told}");
    // Whoever signs sees whom the channel is given to; nobody can put another there.
    let other = Approval::parse(
        "approval.json",
        String::from_utf8(approval.encode())
            .unwrap()
            .replace("\"threshold\": 2", "\"threshold\": 1")
            .as_bytes(),
    )
    .unwrap();
    let mut merged = approval.clone();
    assert!(matches!(
        merged.merge(&other),
        Err(CeremonyError::Different { .. })
    ));
    let too_few = published(&rig, &approval, &holders[..1]);
    assert!(
        matches!(
            too_few,
            Err(PublishError::Ceremony(
                CeremonyError::TooFewSignatures { .. }
            ))
        ),
        "{too_few:?}"
    );
    // What the channel offers has changed since: nobody signed for that.
    let widen = Steering::Widen(Share::parse("50%").unwrap());
    let keys = rig.keys();
    repository
        .steer(&pack(), &stable(), &keys, later(), &widen)
        .unwrap();
    let stale = published(&rig, &approval, &holders[..2]);
    assert!(
        matches!(
            stale,
            Err(PublishError::Ceremony(CeremonyError::Stale { .. }))
        ),
        "{stale:?}"
    );
    let approval = repository.propose_guard(&guard, later()).unwrap();
    published(&rig, &approval, &holders[1..]).unwrap();
    let refused = repository.steer(&pack(), &stable(), &keys, later(), &to("5%"));
    assert!(matches!(refused, Err(PublishError::KeyMissing { .. })));
    let report = rig.audit();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_guarded_channel_is_halted_and_withdrawn_from_by_collected_signatures() {
    let (rig, holders) = guarded();
    let repository = rig.repository();
    let halt = Steering::Halt {
        reason: "the quiz does not open".to_owned(),
    };
    let approval = repository
        .propose_steering(&pack(), &stable(), later(), &halt)
        .unwrap();
    published(&rig, &approval, &holders[..2]).unwrap();
    assert!(repository.rollouts(&pack()).unwrap()[0].halted);

    let mut beta = options("1.1");
    beta.channel = ChannelName::parse("beta").unwrap();
    rig.write(&[("lesson.html", lesson(31, 20))]);
    rig.publish_with(&beta).unwrap();
    let retraction = Retraction {
        release: Label::parse("1.0").unwrap(),
        fallback: None,
        reason: "it shows the answers".to_owned(),
        security: true,
    };
    // Two roles sign for the two channels, and an approval is of one.
    let both = repository.propose_withdrawal(&pack(), &[], later(), &retraction);
    assert!(matches!(
        both,
        Err(PublishError::Ceremony(CeremonyError::Unfit { .. }))
    ));
    let channels = [beta.channel.clone()];
    let keys = rig.keys();
    repository
        .withdraw_from(&pack(), &channels, &keys, later(), &retraction)
        .unwrap();
    let approval = repository
        .propose_withdrawal(&pack(), &[stable()], later(), &retraction)
        .unwrap();
    published(&rig, &approval, &holders[1..]).unwrap();
    for rollout in repository.rollouts(&pack()).unwrap() {
        assert_eq!(rollout.withdrawn.len(), 1, "{}", rollout.channel);
    }
    let report = rig.audit();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_halt_that_was_signed_with_its_step_lies_ready_until_something_else_follows() {
    let (rig, holders) = guarded();
    let repository = rig.repository();
    let step = repository
        .propose_steering(&pack(), &stable(), later(), &to("5%"))
        .unwrap();
    let halt = Steering::Halt {
        reason: "prepared".to_owned(),
    };
    let channel = stable();
    let place = (&pack(), &channel);
    let ready = repository
        .propose_steering_after(&step, place, later(), &halt)
        .unwrap();
    // Before its step it is good for nothing.
    let early = published(&rig, &ready, &holders[..2]);
    assert!(
        matches!(
            early,
            Err(PublishError::Ceremony(CeremonyError::Stale { .. }))
        ),
        "{early:?}"
    );
    published(&rig, &step, &holders[..2]).unwrap();
    published(&rig, &ready, &holders[1..]).unwrap();
    let rollouts = repository.rollouts(&pack()).unwrap();
    assert!(rollouts[0].halted);
    assert_eq!(rollouts[0].share.to_string(), "5%");
    // And after it, for nothing any more.
    let again = published(&rig, &ready, &holders[1..]);
    assert!(matches!(
        again,
        Err(PublishError::Ceremony(CeremonyError::Stale { .. }))
    ));
    let report = rig.audit();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}
