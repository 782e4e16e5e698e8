use release_format::{
    ChannelName, ClientVersion, ContentReference, DeviceId, DeviceLabels, MinimumClient, PackName,
    Share, UtcTime, Withdrawal,
};

use super::*;

const LABELS: [&str; 4] = ["1.0", "1.1", "1.2", "1.3"];

fn manifest(label: &str) -> ContentReference {
    ContentReference::of(label.as_bytes())
}

fn pack() -> PackName {
    PackName::parse("acme/biology-101").unwrap()
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

/// Four releases, of which `withdrawn` is withdrawn.
fn catalogue(withdrawn: &str) -> Catalogue {
    let release = |(text, sequence): (&&str, u64)| CatalogueRelease {
        label: label(text),
        sequence,
        manifest: manifest(text),
        published: UtcTime::from_seconds(0),
        tree_bytes: 1,
        files: 1,
        chunk_map: ContentReference::of(b"chunk map"),
        archives: Vec::new(),
        deltas: Vec::new(),
        notes: None,
        translations: Default::default(),
        provenance: None,
        sbom: None,
        status: match *text == withdrawn {
            true => ReleaseStatus::Withdrawn {
                reason: "a wrong key".to_owned(),
            },
            false => ReleaseStatus::Offered,
        },
    };
    Catalogue {
        pack: pack(),
        releases: LABELS.iter().zip(1..).map(release).collect(),
    }
}

fn rollout(text: &str, share: &str, otherwise: Option<&str>) -> Rollout {
    let channel = ChannelName::default();
    Rollout {
        share: Share::parse(share).unwrap(),
        salt: "salt".to_owned(),
        otherwise: otherwise.map(|text| manifest(text).digest),
        ..Rollout::new(pack(), channel, manifest(text).digest, label(text))
    }
}

/// The rollout without `text`, whose devices go to `fallback`.
fn without(mut rollout: Rollout, text: &str, fallback: Option<&str>, security: bool) -> Rollout {
    rollout.withdrawn.push(Withdrawal {
        release: manifest(text).digest,
        label: label(text),
        fallback: fallback.map(|text| manifest(text).digest),
        reason: "it shows the answers".to_owned(),
        security,
    });
    rollout
}

fn asking(mut rollout: Rollout, minimums: &[&str]) -> Rollout {
    let minimums = minimums.iter().map(|text| MinimumClient {
        release: manifest(text).digest,
        client: ClientVersion::new(0, 2, 0),
    });
    rollout.minimum_clients = minimums.collect();
    rollout
}

fn shadow(rollout: Rollout) -> Rollout {
    Rollout {
        mode: Mode::Shadow,
        ..rollout
    }
}

fn installed(text: &str) -> InstalledRelease {
    let sequence = LABELS.iter().zip(1..).find(|(known, _)| **known == text);
    InstalledRelease {
        label: label(text),
        sequence: sequence.map_or(99, |(_, sequence)| sequence),
        manifest: manifest(text).digest,
        tree_bytes: 1,
    }
}

fn state(labels: &[&str]) -> StateRecord {
    labels
        .iter()
        .fold(StateRecord::empty(pack()), |state, text| {
            let active = state.activate(installed(text), 3).unwrap();
            active.confirm().unwrap_or(active)
        })
}

fn device() -> DeviceId {
    DeviceId::parse("00112233445566778899aabbccddeeff").unwrap()
}

/// Judges for a client of version 0.1 that has no way to the releases in `unreachable`.
fn judged(
    catalogue: &Catalogue,
    rollout: &Rollout,
    state: &StateRecord,
    unreachable: &[&str],
) -> Judgement {
    let missing = |release: &CatalogueRelease| match unreachable.contains(&release.label.as_str()) {
        true => vec!["solid".to_owned()],
        false => Vec::new(),
    };
    judge(&Question {
        catalogue,
        rollout,
        asker: Asker {
            device: device(),
            labels: &DeviceLabels::default(),
            client: ClientVersion::new(0, 1, 0),
            now: UtcTime::parse("2026-12-01T00:00:00Z").unwrap(),
        },
        state,
        missing: &missing,
    })
}

/// The label that is offered, or why none is.
fn outcome(judgement: &Judgement) -> String {
    match &judgement.offer {
        Offer::Current => "current".to_owned(),
        Offer::Release(release) => release.label.to_string(),
        Offer::Shadow(release) => format!("shadow {}", release.label),
        Offer::Withheld(withheld) => match withheld {
            Withheld::OutsideShare { .. } => "outside",
            Withheld::Halted => "halted",
            Withheld::NotYet { .. } => "not yet",
            Withheld::NotSelected { .. } => "not selected",
            Withheld::Unsupported(_) => "unsupported",
            Withheld::Withdrawn { .. } => "withdrawn",
            Withheld::FailedHere { .. } => "failed here",
            Withheld::Pinned { .. } => "pinned",
            Withheld::Unlisted { .. } => "unlisted",
        }
        .to_owned(),
    }
}

#[test]
fn device_is_offered_what_the_table_says() {
    let failed = state(&["1.0"]).activate(installed("1.1"), 3).unwrap();
    let failed = failed.fail("the quiz does not open").unwrap();
    let pinned = state(&["1.0"]).pin(None, true).unwrap();
    let (nothing, old, new) = (state(&[]), state(&["1.0"]), state(&["1.0", "1.2"]));
    let with = |text, change: &dyn Fn(&mut Rollout)| {
        let mut rollout = rollout(text, "100%", None);
        change(&mut rollout);
        rollout
    };
    let halted = with("1.1", &|r| r.halted = true);
    let later = with("1.1", &|r| {
        r.starts = Some(UtcTime::parse("2027-01-01T00:00:00Z").unwrap());
    });
    let pilots = with("1.1", &|r| r.select.add("ring", "pilot").unwrap());
    let all = |text| rollout(text, "100%", None);
    for (claim, rollout, state, expected) in [
        ("first install", all("1.1"), &nothing, "1.1"),
        ("newer release", all("1.1"), &old, "1.1"),
        ("same release", all("1.0"), &old, "current"),
        ("device is ahead", all("1.1"), &new, "current"),
        (
            "outside the share",
            rollout("1.1", "0%", None),
            &old,
            "outside",
        ),
        (
            "outside, with nothing yet",
            rollout("1.1", "0%", Some("1.0")),
            &nothing,
            "1.0",
        ),
        (
            "outside, with the one before",
            rollout("1.1", "0%", Some("1.0")),
            &old,
            "outside",
        ),
        (
            "has it, share was narrowed",
            rollout("1.2", "0%", Some("1.0")),
            &new,
            "current",
        ),
        ("halted", halted, &old, "halted"),
        ("scheduled", later.clone(), &old, "not yet"),
        (
            "scheduled, with nothing yet",
            Rollout {
                otherwise: Some(manifest("1.0").digest),
                ..later
            },
            &nothing,
            "1.0",
        ),
        ("for pilots", pilots, &old, "not selected"),
        ("failed here", all("1.1"), &failed, "failed here"),
        ("newer than what failed", all("1.2"), &failed, "1.2"),
        ("not in the catalogue", all("9.9"), &old, "unlisted"),
        ("pinned", all("1.1"), &pinned, "pinned"),
        ("a shadow", shadow(all("1.1")), &old, "shadow 1.1"),
        (
            "a shadow of what it has",
            shadow(all("1.0")),
            &old,
            "current",
        ),
        (
            "a shadow, with nothing yet",
            shadow(rollout("1.1", "100%", Some("1.0"))),
            &nothing,
            "1.0",
        ),
        (
            "a shadow, with the one before",
            shadow(rollout("1.1", "100%", Some("1.0"))),
            &old,
            "shadow 1.1",
        ),
        (
            "a shadow for others",
            shadow(rollout("1.1", "0%", None)),
            &old,
            "outside",
        ),
        (
            "a shadow while pinned",
            shadow(all("1.1")),
            &pinned,
            "pinned",
        ),
    ] {
        let judgement = judged(&catalogue("none"), &rollout, state, &[]);
        assert_eq!(outcome(&judgement), expected, "{claim}");
        assert_eq!(judgement.leaving, None, "{claim}");
        assert!(!judgement.rulings.is_empty(), "{claim}");
    }
    let judgement = judged(&catalogue("1.1"), &all("1.1"), &old, &[]);
    assert_eq!(outcome(&judgement), "withdrawn");
}

#[test]
fn who_has_a_withdrawn_release_goes_where_the_table_says() {
    let pinned = |state: &StateRecord| state.pin(None, true).unwrap();
    let has = state(&["1.0", "1.2"]);
    let left = |offered: &str, share: &str, otherwise, fallback, security| {
        without(
            rollout(offered, share, otherwise),
            "1.2",
            fallback,
            security,
        )
    };
    let failed = state(&["1.0"]).activate(installed("1.1"), 3).unwrap();
    let failed = failed.fail("no quiz").unwrap();
    let failed = failed.activate(installed("1.2"), 3).unwrap();
    for (claim, rollout, state, expected) in [
        (
            "back to what is offered",
            left("1.1", "100%", None, Some("1.0"), false),
            &has,
            "1.1",
        ),
        (
            "on to what is newer",
            left("1.3", "100%", None, Some("1.0"), false),
            &has,
            "1.3",
        ),
        (
            "back to the fallback outside a share",
            left("1.3", "0%", None, Some("1.0"), false),
            &has,
            "1.0",
        ),
        (
            "to what the others are offered first",
            left("1.3", "0%", Some("1.1"), Some("1.0"), false),
            &has,
            "1.1",
        ),
        (
            "to the newest without a fallback",
            left("1.3", "0%", None, None, false),
            &has,
            "1.3",
        ),
        (
            "not to what failed here",
            left("1.1", "100%", None, Some("1.1"), false),
            &failed,
            "1.3",
        ),
        (
            "a pin outranks it",
            left("1.1", "100%", None, Some("1.1"), false),
            &pinned(&has),
            "pinned",
        ),
        (
            "but not for security",
            left("1.1", "100%", None, Some("1.1"), true),
            &pinned(&has),
            "1.1",
        ),
        (
            "a shadow is nowhere to go",
            shadow(left("1.3", "100%", None, Some("1.1"), false)),
            &has,
            "1.1",
        ),
        (
            "another withdrawn one is nowhere to go",
            without(left("1.1", "100%", None, None, false), "1.3", None, false),
            &has,
            "1.1",
        ),
    ] {
        let judgement = judged(&catalogue("none"), &rollout, state, &[]);
        assert_eq!(outcome(&judgement), expected, "{claim}");
        assert_eq!(judgement.leaving.is_some(), expected != "pinned", "{claim}");
        let first = judgement.rulings.first().unwrap();
        assert_eq!((first.rule, first.holds), ("withdrawal", false), "{claim}");
    }
    // Withdrawn by the catalogue alone, by those who sign content.
    let judgement = judged(&catalogue("1.2"), &rollout("1.1", "100%", None), &has, &[]);
    assert_eq!(outcome(&judgement), "1.1");
    let leaving = judgement.leaving.unwrap();
    assert_eq!(leaving.reason, "a wrong key");
    assert!(!leaving.security);
    // Nowhere to go.
    let only = state(&["1.2"]);
    let mut nowhere = catalogue("none");
    nowhere
        .releases
        .retain(|release| release.label.as_str() == "1.2");
    let mut halted = rollout("1.2", "100%", None);
    halted.halted = true;
    let judgement = judged(&nowhere, &without(halted, "1.2", None, false), &only, &[]);
    assert_eq!(outcome(&judgement), "withdrawn");
}

#[test]
fn an_old_client_is_offered_the_newest_release_that_it_can_apply() {
    let (nothing, old) = (state(&[]), state(&["1.0"]));
    let new = state(&["1.2"]);
    let all = |otherwise| rollout("1.3", "100%", otherwise);
    for (claim, rollout, state, unreachable, expected) in [
        ("all of it", all(Some("1.2")), &old, &[][..], "1.3"),
        (
            "too old for the newest",
            asking(all(Some("1.2")), &["1.3"]),
            &old,
            &[],
            "1.2",
        ),
        (
            "and for the one before",
            asking(all(Some("1.2")), &["1.2", "1.3"]),
            &old,
            &[],
            "1.1",
        ),
        (
            "a method is missing",
            all(Some("1.2")),
            &old,
            &["1.3"],
            "1.2",
        ),
        (
            "and for the one before too",
            all(Some("1.2")),
            &old,
            &["1.3", "1.2"],
            "1.1",
        ),
        (
            "nothing before is named",
            all(None),
            &nothing,
            &["1.3"],
            "1.2",
        ),
        (
            "it has the newest that it can",
            all(Some("1.2")),
            &new,
            &["1.3"],
            "unsupported",
        ),
        (
            "nothing is left",
            all(None),
            &nothing,
            &LABELS[..],
            "unsupported",
        ),
        (
            "outside the share nothing is missing",
            asking(rollout("1.3", "0%", Some("1.2")), &["1.3"]),
            &old,
            &[],
            "1.2",
        ),
    ] {
        let judgement = judged(&catalogue("none"), &rollout, state, unreachable);
        assert_eq!(outcome(&judgement), expected, "{claim}");
        let is_told = judgement.lacking.is_some();
        let is_whole = claim == "all of it" || claim.starts_with("outside");
        assert_eq!(is_told, !is_whole, "{claim}");
    }
    let rollout = asking(all(Some("1.2")), &["1.3"]);
    let judgement = judged(&catalogue("none"), &rollout, &new, &["1.3"]);
    let Offer::Withheld(withheld) = &judgement.offer else {
        panic!("withheld");
    };
    assert_eq!(
        withheld.to_string(),
        "release 1.3 needs Satchel 0.2.0 or newer"
    );
    let rollout = all(Some("1.2"));
    let judgement = judged(&catalogue("none"), &rollout, &new, &["1.3"]);
    assert_eq!(
        judgement.lacking.unwrap().to_string(),
        "release 1.3 needs a client that knows solid"
    );
}

#[test]
fn the_rules_are_told_in_the_order_in_which_they_were_asked() {
    let names = |judgement: &Judgement| -> Vec<String> {
        let rulings = judgement.rulings.iter();
        rulings.map(ToString::to_string).collect()
    };
    let judgement = judged(
        &catalogue("none"),
        &rollout("1.2", "0%", Some("1.1")),
        &state(&["1.0"]),
        &[],
    );
    let bucket = rollout("1.2", "0%", None).bucket(&device());
    assert_eq!(
        names(&judgement),
        [
            "halt (yes): the rollout is not halted".to_owned(),
            format!(
                "share (no): it reaches 0% of devices, the buckets below 0, and this one has bucket {bucket}"
            ),
            "otherwise (yes): 1.1 is offered to the others".to_owned(),
            "newer (yes): 1.1 is newer than 1.0, which the device has".to_owned(),
            "methods (yes): this client can apply 1.1".to_owned(),
        ]
    );
}
