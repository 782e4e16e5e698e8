//! Who gets which release, and how a bad one is taken back: from the publisher's keys to the devices.

use std::collections::BTreeSet;
use std::sync::Arc;

use diff_core::Level;
use publisher::{Offering, Promotion, Repository, Retraction, Steered, Steering};
use release_format::{
    ChannelName, ClientVersion, DeviceId, DeviceLabels, Label, Mode, Rollout, Share, TrustError,
};
use satchel_tests::rig::disk::{Fault, FaultyDisk};
use satchel_tests::rig::world::{
    Device, World, copy_tree, first_course, remove, second_course, third_course,
};
use updater_client::library::disk::RealDisk;
use updater_client::library::identity::LibraryRecord;
use updater_client::{
    Abilities, CancelToken, Clock, Offer, Outcome, PinFor, UpdateError, UpdateOptions, Updated,
    Withheld,
};

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn share(text: &str) -> Share {
    Share::parse(text).unwrap()
}

fn stable() -> ChannelName {
    ChannelName::default()
}

fn repository(world: &World) -> Repository {
    Repository::open(world.repository()).unwrap()
}

fn rollout(world: &World, channel: &ChannelName) -> Rollout {
    let rollouts = repository(world).rollouts(world.pack()).unwrap();
    let mut rollouts = rollouts.into_iter();
    rollouts
        .find(|rollout| rollout.channel == *channel)
        .unwrap()
}

fn steer(world: &World, change: &Steering) -> Steered {
    let now = world.clock().now();
    repository(world)
        .steer(world.pack(), &stable(), &world.keys(), now, change)
        .unwrap()
}

fn withdraw(world: &World, release: &str, fallback: Option<&str>, security: bool) {
    let retraction = Retraction {
        release: label(release),
        fallback: fallback.map(label),
        reason: "it shows the answers".to_owned(),
        security,
    };
    repository(world)
        .withdraw(
            world.pack(),
            &world.keys(),
            world.clock().now(),
            &retraction,
        )
        .unwrap();
}

/// Returns a device with an id whose bucket the rollout deals into `from..below`.
fn device_in(world: &World, rollout: &Rollout, from: u16, below: u16) -> Device {
    let device = world.device();
    let ids = (0_u128..).map(|number| DeviceId::from_bytes(number.to_le_bytes()));
    let mut ids = ids.filter(|id| (from..below).contains(&rollout.bucket(id)));
    let address = world.repository().to_str().unwrap().to_owned();
    let record = LibraryRecord::new(ids.next().unwrap(), vec![address]).unwrap();
    record.store(&RealDisk::new(), &device.layout()).unwrap();
    device
}

/// Brings a device to what it is offered, and keeps it.
fn settle(device: &Device) -> Outcome {
    let updated = device.update().unwrap();
    if matches!(updated.outcome, Outcome::Activated(_)) {
        device.confirm();
    }
    updated.outcome
}

fn settle_all(devices: &[&Device]) {
    for device in devices {
        settle(device);
    }
}

fn active(device: &Device) -> String {
    device.active_label().unwrap_or_default()
}

/// Updates with abilities that are not those of this build.
fn update_with(device: &Device, abilities: Abilities) -> Result<Updated, UpdateError> {
    let updater = device.builder().abilities(abilities).build().unwrap();
    updater.update(
        device.pack(),
        &UpdateOptions::default(),
        &CancelToken::new(),
    )
}

#[test]
fn a_release_goes_to_one_percent_then_more_is_halted_and_everyone_comes_back() {
    let world = World::new();
    world.publish("1.0", &first_course());
    world.publish_with("1.1", &second_course(), |options| {
        options.share = share("0%")
    });
    let dealt = rollout(&world, &stable());
    let first = device_in(&world, &dealt, 0, 50);
    let pinned = device_in(&world, &dealt, 50, 100);
    let second = device_in(&world, &dealt, 100, 1000);
    let held = device_in(&world, &dealt, 1000, 2000);
    let last = device_in(&world, &dealt, 2000, 10_000);
    let all = [&first, &pinned, &second, &held, &last];
    let labels = || all.map(active);

    // Nobody is reached yet, and who has nothing gets what was for all before.
    settle_all(&all);
    assert_eq!(labels(), ["1.0"; 5]);

    steer(&world, &Steering::Widen(share("1%")));
    settle_all(&all);
    assert_eq!(labels(), ["1.1", "1.1", "1.0", "1.0", "1.0"]);

    steer(&world, &Steering::Widen(share("20%")));
    settle_all(&all);
    assert_eq!(labels(), ["1.1", "1.1", "1.1", "1.1", "1.0"]);

    let halt = Steering::Halt {
        reason: "the quiz shows its answers".to_owned(),
    };
    steer(&world, &halt);
    assert_eq!(settle(&last), Outcome::Withheld(Withheld::Halted));
    let check = last
        .updater()
        .check(last.pack(), &CancelToken::new())
        .unwrap();
    let told: Vec<_> = check.rulings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told[0],
        "halt (no): the rollout is halted: the quiz shows its answers"
    );
    // Who has it keeps it, and a new device gets the one before.
    let late = device_in(&world, &dealt, 0, 100);
    settle(&late);
    settle_all(&all);
    assert_eq!(active(&late), "1.0");
    assert_eq!(labels(), ["1.1", "1.1", "1.1", "1.1", "1.0"]);

    pinned
        .updater()
        .pin(pinned.pack(), None, PinFor::Device)
        .unwrap();
    let until = world.clock().now().plus_days(1);
    held.updater().hold(held.pack(), "exam", until).unwrap();
    withdraw(&world, "1.1", None, false);
    for device in [&first, &second] {
        let updated = device.update().unwrap();
        assert!(
            matches!(updated.outcome, Outcome::Returned(_)),
            "{:?}",
            updated.outcome
        );
        assert_eq!(updated.route, None);
        device.assert_has(&first_course());
    }
    let waiting = held.update().unwrap();
    assert!(matches!(waiting.outcome, Outcome::Staged(_)));
    assert_eq!(waiting.held.unwrap().reason, "exam");
    assert!(matches!(
        settle(&pinned),
        Outcome::Withheld(Withheld::Pinned { .. })
    ));
    assert_eq!(labels(), ["1.0", "1.1", "1.0", "1.1", "1.0"]);
    held.updater().unhold(held.pack(), None).unwrap();
    settle(&held);
    assert_eq!(labels(), ["1.0", "1.1", "1.0", "1.0", "1.0"]);
    // It stays so, whoever asks again.
    assert_eq!(settle(&first), Outcome::Current);

    // A withdrawal for security outranks the pin.
    withdraw(&world, "1.1", None, true);
    settle(&pinned);
    assert_eq!(labels(), ["1.0"; 5]);

    world.publish("1.2", &third_course());
    pinned.updater().unpin(pinned.pack(), None).unwrap();
    settle_all(&all);
    assert_eq!(labels(), ["1.2"; 5]);
    for device in all {
        device.assert_has(&third_course());
    }
}

#[test]
fn a_device_that_has_nothing_to_go_back_to_takes_a_route_there_and_trust_goes_forward() {
    let (world, device) = World::with_an_update();
    drop(device);
    let only = world.device();
    settle(&only);
    assert_eq!(active(&only), "1.1");
    let before = world.folder().join("before");
    copy_tree(&world.repository(), &before);
    withdraw(&world, "1.1", Some("1.0"), false);
    let check = only
        .updater()
        .check(only.pack(), &CancelToken::new())
        .unwrap();
    assert_eq!(
        check.leaving.as_ref().unwrap().reason,
        "it shows the answers"
    );
    let Offer::Release(offered) = &check.offer else {
        panic!("a release is offered");
    };
    assert!(offered.sequence < check.installed.unwrap().sequence);
    let updated = only.update().unwrap();
    assert!(matches!(updated.outcome, Outcome::Activated(_)));
    assert!(updated.route.is_some());
    only.assert_has(&first_course());
    // On trial like any other, and a trial that fails does not bring the withdrawn one back.
    only.updater().fail(only.pack(), "no quiz").unwrap();
    assert_eq!(only.active_label(), None);
    let status = only.updater().status(only.pack()).unwrap();
    let refused = status
        .record
        .refused()
        .iter()
        .map(|of| of.label.to_string());
    assert_eq!(
        refused.collect::<BTreeSet<_>>(),
        ["1.0", "1.1"].map(String::from).into()
    );
    // What the repository said before is a rollback now.
    let rolled_back = only.update_from(&before).unwrap_err();
    assert!(
        matches!(rolled_back, UpdateError::Trust(TrustError::Rollback { .. })),
        "{rolled_back}"
    );
}

#[test]
fn a_withdrawal_survives_a_power_cut_at_every_call_to_the_disk() {
    let (world, device) = World::with_an_update();
    settle(&device);
    device.assert_has(&second_course());
    withdraw(&world, "1.1", None, false);
    let counted = Arc::new(FaultyDisk::new(Fault::Nothing));
    let whole = device.copied_to(world.folder().join("whole"));
    whole.update_on(counted.clone()).unwrap();
    whole.assert_has(&first_course());
    assert!(counted.calls() > 5, "{}", counted.calls());
    for at in 0..counted.calls() {
        for torn in [false, true] {
            let cut = device.copied_to(world.folder().join(format!("cut-{at}-{torn}")));
            let disk = Arc::new(FaultyDisk::new(Fault::PowerCut { at, torn }));
            let _ = cut.update_on(disk);
            let found = active(&cut);
            assert!(["1.0", "1.1"].contains(&found.as_str()), "{at}: {found}");
            cut.update().unwrap();
            cut.assert_has(&first_course());
            remove(cut.library());
        }
    }
}

#[test]
fn a_shadow_is_rebuilt_and_checked_and_becomes_active_only_when_it_is_one_no_more() {
    let (world, device) = World::with_an_update();
    let mut shadow = Offering::new(label("1.1"), Share::FULL);
    shadow.mode = Mode::Shadow;
    steer(&world, &Steering::Offer(shadow));
    let updated = device.update().unwrap();
    let Outcome::Shadowed { release, damaged } = &updated.outcome else {
        panic!("{:?}", updated.outcome);
    };
    assert_eq!((release.label.as_str(), *damaged), ("1.1", 0));
    assert!(updated.route.is_some());
    device.assert_has(&first_course());
    let again = device.update().unwrap();
    assert!(matches!(again.outcome, Outcome::Shadowed { .. }));
    assert_eq!(again.route, None);
    assert_eq!(active(&device), "1.0");
    // A device that has nothing gets nothing to open from a shadow alone.
    let new = world.device();
    assert_eq!(settle(&new), {
        let status = new.updater().status(new.pack()).unwrap();
        Outcome::Activated(status.record.active().unwrap().clone())
    });
    assert_eq!(active(&new), "1.0");

    steer(
        &world,
        &Steering::Offer(Offering::new(label("1.1"), Share::FULL)),
    );
    let updated = device.update().unwrap();
    assert!(matches!(updated.outcome, Outcome::Activated(_)));
    assert_eq!(updated.route, None);
    device.assert_has(&second_course());
}

#[test]
fn rings_and_sites_go_one_after_the_other() {
    let (world, device) = World::with_an_update();
    let labelled = |pairs: &[(&str, &str)]| {
        let mut labels = DeviceLabels::default();
        for (key, value) in pairs {
            labels.set(key, value).unwrap();
        }
        labels
    };
    let offered = |labels: &DeviceLabels| {
        let updater = device.builder().labels(labels.clone()).build().unwrap();
        let check = updater.check(device.pack(), &CancelToken::new()).unwrap();
        matches!(check.offer, Offer::Release(_))
    };
    let none = DeviceLabels::default();
    let pilot = labelled(&[("ring", "pilot"), ("site", "nairobi")]);
    let elsewhere = labelled(&[("ring", "pilot"), ("site", "lamu")]);
    let mut offering = Offering::new(label("1.1"), Share::FULL);
    for (key, value) in [("ring", "pilot"), ("site", "nairobi"), ("site", "kisumu")] {
        offering.select.add(key, value).unwrap();
    }
    steer(&world, &Steering::Offer(offering));
    assert_eq!(
        [&none, &pilot, &elsewhere].map(offered),
        [false, true, false]
    );
    let mut ring = Offering::new(label("1.1"), Share::FULL);
    ring.select.add("ring", "pilot").unwrap();
    steer(&world, &Steering::Offer(ring));
    assert_eq!(
        [&none, &pilot, &elsewhere].map(offered),
        [false, true, true]
    );

    // Labels that the library keeps decide like those that the host gives.
    let mut updater = device.updater();
    updater
        .change_labels(|labels| labels.set("ring", "pilot").unwrap())
        .unwrap();
    assert!(matches!(settle(&device), Outcome::Activated(_)));
    assert_eq!(device.updater().labels().get("ring"), Some("pilot"));
}

#[test]
fn a_rollout_starts_by_a_time_that_a_clock_which_lies_behind_only_waits_for() {
    let (world, device) = World::with_an_update();
    let starts = world.clock().now().plus_days(3);
    let mut offering = Offering::new(label("1.1"), Share::FULL);
    offering.starts = Some(starts);
    steer(&world, &Steering::Offer(offering));
    assert_eq!(
        settle(&device),
        Outcome::Withheld(Withheld::NotYet { starts })
    );
    // A dead clock waits until signed metadata proves that the day has come.
    let today = world.clock().now();
    world.clock().set(release_format::UtcTime::from_seconds(0));
    assert_eq!(
        settle(&device),
        Outcome::Withheld(Withheld::NotYet { starts })
    );
    world.clock().set(today.plus_days(4));
    steer(
        &world,
        &Steering::Flags(vec![("any".to_owned(), share("1%"))]),
    );
    world.clock().set(release_format::UtcTime::from_seconds(0));
    assert!(matches!(settle(&device), Outcome::Activated(_)));
    device.assert_has(&second_course());
}

#[test]
fn a_release_is_promoted_from_channel_to_channel_by_its_manifest() {
    let (world, device) = World::with_an_update();
    settle(&device);
    let beta = ChannelName::parse("beta").unwrap();
    world.publish_with("1.2", &third_course(), |options| {
        options.channel = beta.clone()
    });
    let follower = device.copied_to(world.folder().join("follower"));
    let updater = follower.builder().channel(beta.clone()).build().unwrap();
    let options = UpdateOptions::default();
    updater
        .update(follower.pack(), &options, &CancelToken::new())
        .unwrap();
    follower.assert_has(&third_course());
    assert_eq!(settle(&device), Outcome::Current);
    let promotion = Promotion {
        release: label("1.2"),
        from: Some(beta.clone()),
        to: stable(),
        share: Share::FULL,
    };
    let now = world.clock().now();
    repository(&world)
        .promote(world.pack(), &world.keys(), now, &promotion)
        .unwrap();
    assert_eq!(
        rollout(&world, &beta).release,
        rollout(&world, &stable()).release
    );
    settle(&device);
    device.assert_has(&third_course());
}

#[test]
fn a_client_below_the_minimum_gets_the_newest_that_it_can_and_is_told_why() {
    let (world, device) = World::with_an_update();
    world.publish_with("1.2", &third_course(), |options| {
        options.share = share("0%")
    });
    let mut offering = Offering::new(label("1.2"), Share::FULL);
    offering.minimum_client = Some(ClientVersion::new(9, 0, 0));
    steer(&world, &Steering::Offer(offering));
    let check = device
        .updater()
        .check(device.pack(), &CancelToken::new())
        .unwrap();
    assert_eq!(
        check.lacking.unwrap().to_string(),
        "release 1.2 needs Satchel 9.0.0 or newer"
    );
    settle(&device);
    device.assert_has(&second_course());
    let Outcome::Withheld(withheld @ Withheld::Unsupported(_)) = settle(&device) else {
        panic!("the newest is withheld");
    };
    assert_eq!(
        withheld.to_string(),
        "release 1.2 needs Satchel 9.0.0 or newer"
    );
    // What the next release does not ask for, it does not need.
    let newer = Abilities {
        version: ClientVersion::new(9, 0, 0),
        ..Abilities::of_build()
    };
    update_with(&device, newer).unwrap();
    device.assert_has(&third_course());
}

#[test]
fn a_client_with_methods_switched_off_gets_the_newest_that_it_can_and_is_told_why() {
    let world = World::new();
    let fast = |options: &mut publisher::PublishOptions| options.deltas.level = Level::Fast;
    world.publish_with("1.0", &first_course(), fast);
    world.publish_with("1.1", &second_course(), fast);
    world.publish("1.2", &third_course());
    let catalogue = repository(&world).catalogue(world.pack()).unwrap();
    let needed = |text: &str| -> BTreeSet<String> {
        let release = catalogue.labelled(&label(text)).unwrap();
        release
            .deltas
            .iter()
            .flat_map(|delta| delta.methods.clone())
            .collect()
    };
    let known: BTreeSet<String> = &needed("1.0") | &needed("1.1");
    let missing: Vec<String> = needed("1.2").difference(&known).cloned().collect();
    assert!(!missing.is_empty(), "{known:?} is enough for 1.2");
    let old = Abilities {
        methods: known.into_iter().collect(),
        chunks: false,
        ..Abilities::of_build()
    };
    let device = world.device();
    let updated = update_with(&device, old.clone()).unwrap();
    assert!(matches!(updated.outcome, Outcome::Activated(_)));
    device.confirm();
    device.assert_has(&second_course());
    let updated = update_with(&device, old.clone()).unwrap();
    let Outcome::Withheld(Withheld::Unsupported(lacking)) = &updated.outcome else {
        panic!("{:?}", updated.outcome);
    };
    assert_eq!(lacking.methods, missing);
    // Chunks need no method of deltas.
    let with_chunks = Abilities {
        chunks: true,
        ..old.clone()
    };
    update_with(&device, with_chunks).unwrap();
    device.assert_has(&third_course());
    // With no method at all there is nothing to be had, and that is said.
    let none = Abilities {
        methods: Vec::new(),
        ..old
    };
    let new = world.device();
    let updated = update_with(&new, none).unwrap();
    assert!(matches!(
        updated.outcome,
        Outcome::Withheld(Withheld::Unsupported(_))
    ));
}

#[test]
fn flags_reach_a_share_of_their_own_and_are_told_without_a_network() {
    let (world, device) = World::with_an_update();
    assert!(device.updater().flags(device.pack()).unwrap().is_empty());
    let flags = |on: &str| {
        let flags = vec![
            ("dark".to_owned(), share("0%")),
            ("lit".to_owned(), share(on)),
        ];
        steer(&world, &Steering::Flags(flags));
    };
    flags("100%");
    // A check is enough: the content may be there already.
    device
        .updater()
        .check(device.pack(), &CancelToken::new())
        .unwrap();
    let shown = || {
        device
            .alone()
            .build()
            .unwrap()
            .flags(device.pack())
            .unwrap()
    };
    assert_eq!(shown(), BTreeSet::from(["lit".to_owned()]));
    flags("0%");
    assert_eq!(shown(), BTreeSet::from(["lit".to_owned()]));
    settle(&device);
    assert!(shown().is_empty());
    // On a device that had nothing they are kept by the first install.
    flags("100%");
    let new = world.device();
    settle(&new);
    assert!(new.updater().flags(new.pack()).unwrap().contains("lit"));
}
