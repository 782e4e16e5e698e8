//! Deltas that join later, and what a fleet would have downloaded.

use diff_core::{Abilities, CancelToken, Level, Method};
use publisher::{
    AddDeltasOptions, AddedDelta, DeltaFrom, DeltaOutcome, Fleet, PublishError, Quiet, Simulation,
    SimulationOptions,
};
use release_format::Label;

use crate::rig::{Rig, lesson, now, options, pack, snapshot};
use crate::watched::Watched;

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

/// Releases 1.0 to 1.3, each with a delta from the one before.
fn four_releases() -> Rig {
    let rig = Rig::with_release();
    for n in 1..=3 {
        rig.write(&[("index.html", lesson(10 + n, 200))]);
        let mut options = options(&format!("1.{n}"));
        options.delta_from = DeltaFrom::Last(1);
        rig.publish_with(&options).unwrap();
    }
    rig
}

fn adding(from: &[&str]) -> AddDeltasOptions {
    let from = from.iter().map(|text| label(text)).collect();
    AddDeltasOptions::new(pack(), from, now())
}

fn add(rig: &Rig, options: &AddDeltasOptions) -> Result<Vec<AddedDelta>, PublishError> {
    let cancel = CancelToken::new();
    rig.repository()
        .add_deltas(&rig.keys(), options, &Quiet, &cancel)
}

#[track_caller]
fn assert_sound(rig: &Rig) {
    let report = rig.audit();
    assert!(report.is_sound(), "{:?}", report.problems);
}

#[test]
fn delta_joins_a_release_that_is_published() {
    let rig = four_releases();
    let before = rig.repository().catalogue(&pack()).unwrap();
    let added = add(&rig, &adding(&["1.0", "1.2"])).unwrap();
    let outcomes: Vec<_> = added.iter().map(|delta| delta.outcome).collect();
    assert_eq!(outcomes, [DeltaOutcome::Added, DeltaOutcome::There]);
    assert!(added[0].bytes < added[0].from_nothing_bytes);
    let after = rig.repository().catalogue(&pack()).unwrap();
    let [.., old] = &before.releases[..] else {
        panic!("no releases");
    };
    let [.., new] = &after.releases[..] else {
        panic!("no releases");
    };
    assert_eq!(new.deltas.len(), old.deltas.len() + 1);
    assert_eq!(
        new.deltas.last().unwrap().from,
        Some(before.releases[0].manifest.digest)
    );
    // Applied too, from archives that it was not built from.
    assert_sound(&rig);
    // The same as if it had been asked for in the first place.
    let twin = Rig::with_release();
    for n in 1..=3 {
        twin.write(&[("index.html", lesson(10 + n, 200))]);
        let mut options = options(&format!("1.{n}"));
        options.delta_from = DeltaFrom::All;
        twin.publish_with(&options).unwrap();
    }
    let twin = twin.repository().catalogue(&pack()).unwrap();
    let of_twin = twin.releases[3]
        .deltas
        .iter()
        .find(|delta| delta.from == new.deltas[2].from);
    assert_eq!(of_twin, new.deltas.last());
}

#[test]
fn delta_joins_an_older_release_and_one_that_saves_nothing_does_not() {
    let rig = four_releases();
    let mut options = adding(&["1.0"]);
    options.to = Some(label("1.2"));
    assert_eq!(add(&rig, &options).unwrap()[0].outcome, DeltaOutcome::Added);
    assert_eq!(add(&rig, &options).unwrap()[0].outcome, DeltaOutcome::There);
    assert_sound(&rig);

    let rig = Rig::new();
    rig.write(&[("a.txt", lesson(1, 300))]);
    rig.publish("1.0").unwrap();
    std::fs::remove_file(rig.course_path().join("a.txt")).unwrap();
    rig.write(&[("z.txt", b"nothing in common".to_vec())]);
    let mut last = crate::rig::options("1.1");
    last.delta_from = DeltaFrom::Last(0);
    rig.publish_with(&last).unwrap();
    let before = snapshot(&rig.repository_path());
    let added = add(&rig, &adding(&["1.0"])).unwrap();
    assert_eq!(added[0].outcome, DeltaOutcome::Useless);
    assert_eq!(snapshot(&rig.repository_path()), before);
}

#[test]
fn unknown_labels_are_refused_before_anything_is_built() {
    let rig = four_releases();
    let before = snapshot(&rig.repository_path());
    let mut options = adding(&["1.0"]);
    options.to = Some(label("9.0"));
    for options in [adding(&["1.0", "0.9"]), options] {
        let refused = add(&rig, &options);
        assert!(
            matches!(refused, Err(PublishError::UnknownLabel { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(snapshot(&rig.repository_path()), before);
}

#[test]
fn death_while_a_delta_is_added_leaves_a_sound_repository() {
    let rig = four_releases();
    let deltas = || {
        rig.repository().catalogue(&pack()).unwrap().releases[3]
            .deltas
            .len()
    };
    for steps in 0.. {
        let dying = Watched::dying(rig.repository_path(), steps).repository();
        let cancel = CancelToken::new();
        let died = dying.add_deltas(&rig.keys(), &adding(&["1.0"]), &Quiet, &cancel);
        let report = rig.audit();
        assert!(report.is_sound(), "step {steps}: {:?}", report.problems);
        if died.is_ok() {
            assert!(steps > 5, "only {steps} steps");
            break;
        }
    }
    assert_eq!(deltas(), 3);
}

#[test]
fn delta_has_to_save_what_the_policy_asks() {
    let rig = Rig::with_release();
    rig.write(&[("index.html", lesson(1, 201))]);
    let mut strict = options("1.1");
    strict.pays_bytes = 1 << 30;
    let published = rig.publish_with(&strict).unwrap();
    assert!(
        published.deltas[0].is_published,
        "the one from nothing always is"
    );
    assert!(!published.deltas[1].is_published);
    assert_eq!(
        published.downloads,
        [(label("1.0"), published.deltas[0].bytes)]
    );
    assert_sound(&rig);
}

#[test]
fn downloads_of_every_older_release_are_told_and_what_is_stored() {
    let rig = four_releases();
    let there = |rig: &Rig| -> u64 {
        let files = snapshot(&rig.repository_path());
        let content = files.iter().filter(|(path, _)| path.starts_with("content"));
        content.map(|(_, bytes)| bytes.len() as u64).sum()
    };
    let before = there(&rig);
    rig.write(&[("index.html", lesson(20, 200))]);
    let mut last = options("1.4");
    last.delta_from = DeltaFrom::Last(1);
    let published = rig.publish_with(&last).unwrap();
    assert_eq!(published.stored_bytes, there(&rig) - before);
    let labels: Vec<_> = published
        .downloads
        .iter()
        .map(|(label, _)| label.as_str())
        .collect();
    assert_eq!(labels, ["1.3", "1.2", "1.1", "1.0"]);
    let bytes: Vec<u64> = published
        .downloads
        .iter()
        .map(|(_, bytes)| *bytes)
        .collect();
    assert_eq!(bytes[0], published.deltas[1].bytes);
    // Each one further behind takes one delta more, as long as that is less than everything.
    assert!(
        bytes.is_sorted() && bytes[3] <= published.deltas[0].bytes,
        "{bytes:?}"
    );
}

fn simulate(rig: &Rig, fleet: &str, worth: u64) -> Simulation {
    let mut options = SimulationOptions::new(pack());
    options.worth = worth;
    let cancel = CancelToken::new();
    let fleet = Fleet::parse(fleet).unwrap();
    rig.repository()
        .simulate(&fleet, &options, &Quiet, &cancel)
        .unwrap()
}

fn policy<'a>(simulation: &'a Simulation, name: &str) -> &'a publisher::SimulatedPolicy {
    let mut policies = simulation.policies.iter();
    let found = policies.find(|policy| policy.policy == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", simulation.policies))
}

#[test]
fn policies_are_reckoned_from_the_lengths_of_real_deltas() {
    let rig = four_releases();
    let before = snapshot(&rig.repository_path());
    let simulation = simulate(&rig, "label,devices\n1.0,100\n1.2,7\n0.1,3\n", 10);
    assert_eq!(snapshot(&rig.repository_path()), before);
    assert_eq!((simulation.to.as_str(), simulation.strangers), ("1.3", 3));
    let of = |name: &str| {
        let mut releases = simulation.releases.iter();
        releases
            .find(|release| release.label.as_str() == name)
            .unwrap()
    };
    assert!(of("1.2").is_published && !of("1.0").is_published);
    let delta = |name: &str| of(name).delta_bytes.unwrap();
    let nothing = simulation.from_nothing_bytes.unwrap();
    let none = policy(&simulation, "last:0");
    assert_eq!((none.stored_bytes, none.fleet_bytes), (0, 110 * nothing));
    let all = policy(&simulation, "all");
    assert_eq!(all.stored_bytes, delta("1.0") + delta("1.1") + delta("1.2"));
    assert_eq!(
        all.fleet_bytes,
        100 * delta("1.0") + 7 * delta("1.2") + 3 * nothing
    );
    let catalogue = rig.repository().catalogue(&pack()).unwrap();
    let from_before = |release: usize| {
        let mut deltas = catalogue.releases[release].deltas.iter();
        deltas
            .find(|delta| delta.from.is_some())
            .unwrap()
            .content
            .length
    };
    let by_way = from_before(1) + from_before(2) + delta("1.2");
    let last = policy(&simulation, "last:1");
    assert_eq!(last.stored_bytes, delta("1.2"));
    assert_eq!(
        last.fleet_bytes,
        100 * by_way.min(nothing) + 7 * delta("1.2") + 3 * nothing
    );
    for policy in &simulation.policies {
        let cost = u128::from(policy.fleet_bytes) + 10 * u128::from(policy.stored_bytes);
        assert_eq!(policy.cost, cost);
        assert!(simulation.policies[simulation.recommended].cost <= policy.cost);
    }

    // The deltas that were built have the lengths that publishing gives them.
    let added = add(&rig, &adding(&["1.0"])).unwrap();
    assert_eq!(added[0].bytes, of("1.0").delta_bytes);
}

#[test]
fn storage_that_saves_too_little_is_not_recommended() {
    let rig = four_releases();
    let recommended = |fleet: &str, worth| {
        let simulation = simulate(&rig, fleet, worth);
        simulation.policies[simulation.recommended].clone()
    };
    assert_eq!(recommended("1.0,1\n", 1_000_000).policy, "last:0");
    assert_eq!(recommended("", 10).policy, "last:0");
    let crowded = recommended("1.0,1000000\n", 10);
    assert_eq!(
        (crowded.policy.as_str(), crowded.deltas),
        ("baseline:1.0", 1)
    );
}

#[test]
fn deltas_need_only_what_every_device_has_that_they_are_for() {
    let rig = Rig::with_release();
    let abilities = Abilities::of(&[Method::Zstd], &[]);
    rig.write(&[("index.html", lesson(11, 200))]);
    let mut options = options("1.1");
    options.deltas.level = Level::Default;
    options.delta_from = DeltaFrom::Last(0);
    options.deltas.abilities = abilities.clone();
    rig.publish_with(&options).unwrap();
    let mut later = adding(&["1.0"]);
    later.deltas = options.deltas;
    assert_eq!(add(&rig, &later).unwrap()[0].outcome, DeltaOutcome::Added);
    let catalogue = rig.repository().catalogue(&pack()).unwrap();
    let needs = |at: usize| {
        let deltas = catalogue.releases[at].deltas.iter();
        deltas
            .map(|delta| delta.methods.join(" "))
            .collect::<Vec<_>>()
    };
    // The delta from nothing, and the one that was added.
    assert_eq!(needs(1), ["zstd", "zstd"]);
    assert_ne!(needs(0), ["zstd"]);
    assert_sound(&rig);
}
