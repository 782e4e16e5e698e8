use diff_core::Digest;

use super::*;
use crate::{ChannelName, Label, MinimumClient, PackName, Selectors, Share};

fn rollout(share: &str) -> Rollout {
    Rollout {
        share: Share::parse(share).unwrap(),
        salt: "acme/biology-101@1.4.0".to_owned(),
        ..Rollout::new(
            PackName::parse("acme/biology-101").unwrap(),
            ChannelName::default(),
            Digest::of(b"a manifest"),
            Label::parse("1.4.0").unwrap(),
        )
    }
}

fn device(number: u64) -> DeviceId {
    let mut bytes = [0; DeviceId::LENGTH];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    DeviceId::from_bytes(bytes)
}

fn time(text: &str) -> UtcTime {
    UtcTime::parse(text).unwrap()
}

fn pilots() -> DeviceLabels {
    let mut labels = DeviceLabels::default();
    labels.set("ring", "pilot").unwrap();
    labels
}

/// The names of the rules, those that keep the release back with a mark.
fn road(rulings: &[Ruling]) -> String {
    let names = rulings.iter().map(|ruling| match ruling.holds {
        true => ruling.rule.to_owned(),
        false => format!("!{}", ruling.rule),
    });
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn who_asks_is_answered_as_the_table_says() {
    let none = DeviceLabels::default();
    let pilot = pilots();
    let asker = Asker {
        device: device(1),
        labels: &none,
        client: ClientVersion::new(0, 1, 0),
        now: time("2026-12-01T06:00:00Z"),
    };
    let bucket = rollout("0%").bucket(&asker.device);
    let outside = Decision::OutsideShare { bucket };
    let share = |basis_points| Rollout {
        share: Share::from_basis_points(basis_points).unwrap(),
        ..rollout("0%")
    };
    let with = |change: &dyn Fn(&mut Rollout)| {
        let mut rollout = rollout("100%");
        change(&mut rollout);
        rollout
    };
    let halted = with(&|r| r.halted = true);
    let starts = with(&|r| r.starts = Some(time("2026-12-01T06:00:00Z")));
    let ringed = with(&|r| r.select.add("ring", "pilot").unwrap());
    let newer = with(&|r| {
        r.minimum_clients = vec![MinimumClient {
            release: r.release,
            client: ClientVersion::new(0, 2, 0),
        }];
    });
    let shadow = with(&|r| r.mode = Mode::Shadow);
    let not_selected = Decision::NotSelected {
        key: "ring".to_owned(),
    };
    let starts_at = time("2026-12-01T06:00:00Z");
    for (rollout, asker, expected, rules) in [
        (share(10_000), asker, Decision::Offered, "halt share"),
        (share(bucket), asker, outside.clone(), "halt !share"),
        (share(bucket + 1), asker, Decision::Offered, "halt share"),
        (share(0), asker, outside, "halt !share"),
        (halted, asker, Decision::Halted, "!halt"),
        (starts.clone(), asker, Decision::Offered, "halt start share"),
        (
            starts,
            Asker {
                now: time("2026-12-01T05:59:59Z"),
                ..asker
            },
            Decision::NotYet { starts: starts_at },
            "halt !start",
        ),
        (ringed.clone(), asker, not_selected, "halt !select"),
        (
            ringed,
            Asker {
                labels: &pilot,
                ..asker
            },
            Decision::Offered,
            "halt select share",
        ),
        (
            newer.clone(),
            asker,
            Decision::ClientTooOld {
                minimum: ClientVersion::new(0, 2, 0),
            },
            "halt share !minimum-client",
        ),
        (
            newer,
            Asker {
                client: ClientVersion::new(0, 2, 0),
                ..asker
            },
            Decision::Offered,
            "halt share minimum-client",
        ),
        (shadow, asker, Decision::Offered, "halt share mode"),
    ] {
        let (decision, rulings) = rollout.explain(&asker);
        assert_eq!(decision, expected);
        assert_eq!(road(&rulings), rules);
        assert_eq!(rollout.decide(&asker), decision);
    }
}

#[test]
fn rulings_are_told_in_plain_words() {
    let labels = pilots();
    let mut rollout = rollout("5%");
    rollout.select = Selectors::default();
    for number in 0..8 {
        rollout.select.add("site", &format!("s{number}")).unwrap();
    }
    let asker = Asker {
        device: device(1),
        labels: &labels,
        client: ClientVersion::new(0, 1, 0),
        now: UtcTime::MIN,
    };
    let (_, rulings) = rollout.explain(&asker);
    assert_eq!(
        rulings.last().unwrap().to_string(),
        "select (no): it is for site=s0,s1,s2,s3,s4 and 3 more, and the device has no label site"
    );
}

#[test]
fn widening_keeps_everyone_who_is_in() {
    let labels = DeviceLabels::default();
    for number in 0..2000 {
        let asker = Asker {
            device: device(number),
            labels: &labels,
            client: ClientVersion::new(0, 1, 0),
            now: UtcTime::MIN,
        };
        let mut was_in = false;
        for share in ["1%", "5%", "20%", "50%", "100%"] {
            let is_in = rollout(share).decide(&asker) == Decision::Offered;
            assert!(is_in || !was_in, "device {number} fell out at {share}");
            was_in = is_in;
        }
        assert!(was_in);
    }
}
