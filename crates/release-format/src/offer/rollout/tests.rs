use super::*;
use crate::ContentReference;
use crate::worked_example;

fn decode(bytes: &[u8]) -> Result<Rollout, FormatError> {
    Rollout::decode(&Verified::new(bytes, &ContentReference::of(bytes)).unwrap())
}

fn rollout(share: &str) -> Rollout {
    let pack = PackName::parse("acme/biology-101").unwrap();
    let label = Label::parse("1.4.0").unwrap();
    Rollout {
        share: Share::parse(share).unwrap(),
        salt: "acme/biology-101@1.4.0".to_owned(),
        ..Rollout::new(
            pack,
            ChannelName::default(),
            Digest::of(b"a manifest"),
            label,
        )
    }
}

fn withdrawal(label: &str, fallback: Option<&str>) -> Withdrawal {
    Withdrawal {
        release: Digest::of(label.as_bytes()),
        label: Label::parse(label).unwrap(),
        fallback: fallback.map(|label| Digest::of(label.as_bytes())),
        reason: "the quiz shows its answers".to_owned(),
        security: false,
    }
}

/// Everything that a rollout can say, one thing at a time.
fn changes() -> Vec<(&'static str, u64, Rollout)> {
    let changed = |what, schema, change: &dyn Fn(&mut Rollout)| {
        let mut rollout = rollout("12.5%");
        change(&mut rollout);
        (what, schema, rollout)
    };
    let time = UtcTime::parse("2026-12-01T06:00:00Z").unwrap();
    let mut select = Selectors::default();
    select.add("ring", "pilot").unwrap();
    vec![
        changed("nothing", 1, &|_| {}),
        changed("otherwise", 1, &|r| r.otherwise = Some(Digest::of(b"1.3"))),
        changed("halted", 1, &|r| {
            r.halted = true;
            r.halt_reason = "too many reverts".to_owned();
        }),
        changed("since", 1, &|r| r.since = Some(time)),
        changed("flags", 1, &|r| {
            r.flags = vec![FeatureFlag {
                name: "new-quiz".to_owned(),
                salt: "s".to_owned(),
                share: Share::FULL,
            }];
        }),
        changed("mode", 2, &|r| r.mode = Mode::Shadow),
        changed("select", 2, &|r| r.select = select.clone()),
        changed("starts", 2, &|r| r.starts = Some(time)),
        changed("minimum client", 2, &|r| {
            r.minimum_clients = vec![MinimumClient {
                release: r.release,
                client: ClientVersion::new(0, 2, 0),
            }];
        }),
        changed("withdrawn", 2, &|r| {
            r.withdrawn = vec![withdrawal("1.3", Some("1.2"))];
        }),
    ]
}

#[test]
fn every_rollout_reads_as_it_is_written_in_the_oldest_schema_that_says_it() {
    for (what, schema, rollout) in changes() {
        let bytes = rollout.encode().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(&format!("\"schema\":{schema},")), "{what}");
        assert_eq!(decode(&bytes), Ok(rollout), "{what}");
    }
    let plain = rollout("5%").encode().unwrap();
    assert!(plain.starts_with(b"{\"channel\":\"stable\",\"halted\":false,\"label\""));
}

#[test]
fn schema_1_with_what_its_readers_would_pass_over_is_refused() {
    for (what, _, rollout) in changes().into_iter().filter(|(_, schema, _)| *schema == 2) {
        let text = String::from_utf8(rollout.encode().unwrap()).unwrap();
        let older = text.replacen("\"schema\":2", "\"schema\":1", 1);
        let refused = decode(older.as_bytes());
        assert!(
            matches!(&refused, Err(FormatError::Malformed { place, .. }) if place == "schema"),
            "{what}: {refused:?}"
        );
    }
    let text = String::from_utf8(rollout("5%").encode().unwrap()).unwrap();
    let newer = text.replacen("\"schema\":1", "\"schema\":3", 1);
    assert!(matches!(
        decode(newer.as_bytes()),
        Err(FormatError::UnsupportedVersion {
            found: 3,
            supported: 2,
            ..
        })
    ));
}

#[test]
fn documented_examples_decode() {
    let document = include_str!("../../../../../docs/src/formats/rollout.md");
    let (first, second) = document
        .split_once("## Worked example of schema 2")
        .unwrap();
    let plain = decode(worked_example::json(first).as_bytes()).unwrap();
    assert_eq!(plain.share.to_string(), "25%");
    assert_eq!(plain.schema(), 1);
    let devices = [[0; 16], [1; 16]].map(DeviceId::from_bytes);
    assert_eq!(devices.map(|device| plain.bucket(&device)), [3123, 2405]);
    for device in devices {
        assert!(document.contains(&device.to_string()));
        assert!(document.contains(&plain.bucket(&device).to_string()));
    }
    let example = format!("## Worked example{second}");
    let full = decode(worked_example::json(&example).as_bytes()).unwrap();
    assert_eq!(full.schema(), 2);
    assert_eq!(full.mode, Mode::Shadow);
    assert_eq!(full.select.to_string(), "ring=pilot site=kisumu,nairobi");
    assert_eq!(full.starts.unwrap().to_string(), "2026-12-01T06:00:00Z");
    assert_eq!(
        full.minimum_client(&full.release).unwrap().to_string(),
        "0.2.0"
    );
    assert_eq!(full.withdrawn.len(), 1);
    assert!(full.withdrawn[0].security);
    let flag = &full.flags[0];
    let buckets = devices.map(|device| cohort::bucket(&flag.salt, &device));
    assert_eq!(
        devices.map(|device| flag.is_on(&device)),
        [true, false],
        "{buckets:?}"
    );
}

#[test]
fn cohort_has_the_size_of_the_share() {
    for share in [
        "0%", "0.5%", "1%", "5%", "10%", "25%", "50%", "75%", "99%", "100%",
    ] {
        let rollout = rollout(share);
        let below = rollout.share.basis_points();
        let offered = (0..100_000)
            .filter(|number| rollout.bucket(&device(*number)) < below)
            .count() as u64;
        // 0.2 points of 100,000 devices.
        let expected = u64::from(below) * 10;
        assert!(offered.abs_diff(expected) <= 200, "{share}: {offered}");
    }
}

#[test]
fn another_salt_deals_the_devices_anew() {
    let one = rollout("10%");
    for salt in ["acme/biology-101@1.5.0", "acme/chemistry@1.4.0", "x"] {
        let other = Rollout {
            salt: salt.to_owned(),
            ..one.clone()
        };
        let both = (0..100_000)
            .map(device)
            .filter(|device| one.bucket(device) < 1000 && other.bucket(device) < 1000)
            .count() as u64;
        // A tenth of a tenth, to 0.2 points.
        assert!(both.abs_diff(1000) <= 200, "{salt}: {both}");
    }
}

#[test]
fn flags_reach_devices_of_their_own() {
    let flag = |name: &str, share: &str| FeatureFlag {
        name: name.to_owned(),
        salt: name.to_owned(),
        share: Share::parse(share).unwrap(),
    };
    let mut rollout = rollout("0%");
    rollout.flags = vec![flag("dark", "0%"), flag("lit", "100%"), flag("some", "10%")];
    let shown = (0..10_000).map(|number| rollout.flags_of(&device(number)));
    let mut some = 0_u64;
    for flags in shown {
        assert!(!flags.contains("dark") && flags.contains("lit"));
        some += u64::from(flags.contains("some"));
    }
    assert!(some.abs_diff(1000) <= 100, "{some}");
    let before = rollout.clone();
    rollout.flags[2].share = Share::parse("20%").unwrap();
    for number in 0..1000 {
        let device = device(number);
        assert!(
            before
                .flags_of(&device)
                .is_subset(&rollout.flags_of(&device))
        );
    }
}

#[test]
fn rollout_of_another_pack_or_channel_is_refused() {
    let stable = ChannelName::default();
    let beta = ChannelName::parse("beta").unwrap();
    let pack = rollout("5%").pack;
    let other = PackName::parse("acme/chemistry").unwrap();
    assert!(rollout("5%").expect_channel(&pack, &stable).is_ok());
    for (pack, channel) in [(&other, &stable), (&pack, &beta)] {
        assert!(matches!(
            rollout("5%").expect_channel(pack, channel),
            Err(FormatError::Malformed { .. })
        ));
    }
}

#[test]
fn what_has_two_spellings_or_contradicts_itself_is_refused() {
    let refused = |what: &str, change: &dyn Fn(&mut Rollout)| {
        let mut rollout = rollout("5%");
        change(&mut rollout);
        let error = rollout.encode().map(|bytes| bytes.len()).unwrap_err();
        assert!(
            matches!(
                error,
                FormatError::Malformed { .. } | FormatError::Limit { .. }
            ),
            "{what}: {error}"
        );
    };
    for salt in ["a b", "a\"", "a\\", "a\n", "\u{e9}", &"x".repeat(65)] {
        refused(salt, &|r| r.salt = salt.to_owned());
    }
    let flag = |name: &str| FeatureFlag {
        name: name.to_owned(),
        salt: "s".to_owned(),
        share: Share::FULL,
    };
    refused("a flag's name", &|r| r.flags = vec![flag("New Quiz")]);
    refused("flags twice", &|r| r.flags = vec![flag("a"), flag("a")]);
    refused("flags out of order", &|r| {
        r.flags = vec![flag("b"), flag("a")]
    });
    refused("a halt's reason alone", &|r| r.halt_reason = "x".to_owned());
    refused("a reason of two lines", &|r| {
        r.halted = true;
        r.halt_reason = "x\ny".to_owned();
    });
    refused("a long reason", &|r| {
        r.halted = true;
        r.halt_reason = "x".repeat(501);
    });
    refused("what is offered, withdrawn", &|r| {
        r.withdrawn = vec![Withdrawal {
            release: r.release,
            ..withdrawal("1.4.0", None)
        }];
    });
    refused("a fallback that is withdrawn", &|r| {
        r.withdrawn = vec![withdrawal("1.3", Some("1.2")), withdrawal("1.2", None)];
        r.withdrawn.sort_by_key(|of| of.release);
    });
    refused("too many flags", &|r| {
        r.flags = (100..165)
            .map(|number| flag(&format!("f{number}")))
            .collect();
    });
    refused("too many bytes", &|r| {
        let mut all: Vec<_> = (0..64)
            .map(|number| Withdrawal {
                reason: "\u{1f980}".repeat(125),
                ..withdrawal(&format!("{number}-{}", "x".repeat(60)), Some("1.0"))
            })
            .collect();
        all.sort_by_key(|of| of.release);
        r.withdrawn = all;
        for number in 0..256 {
            let value = format!("{number}-{}", "x".repeat(60));
            for key in ["ring", "site"] {
                r.select.add(key, &value).unwrap();
            }
        }
    });
}

#[test]
fn a_pack_s_only_release_is_withdrawn_by_a_halt() {
    let mut only = rollout("100%");
    only.halted = true;
    only.withdrawn = vec![Withdrawal {
        release: only.release,
        ..withdrawal("1.4.0", None)
    }];
    assert_eq!(decode(&only.encode().unwrap()), Ok(only));
}

#[test]
fn fields_that_lie_or_lack_are_refused() {
    let text = String::from_utf8(rollout("5%").encode().unwrap()).unwrap();
    assert!(decode(text.as_bytes()).is_ok());
    for (from, to) in [
        ("\"share\":500", "\"share\":10001"),
        ("\"share\":500", "\"share\":-1"),
        ("\"share\":500", "\"share\":\"5%\""),
        ("\"share\":500", "\"mode\":\"loud\",\"share\":500"),
        ("\"share\":500", "\"select\":{\"site\":[]},\"share\":500"),
        ("\"share\":500", "\"share\":500,\"since\":\"yesterday\""),
        ("\"share\":500", "\"share\":500,\"starts\":1"),
        ("\"halted\":false", "\"halted\":0"),
        ("\"halted\":false", "\"held\":false"),
        ("acme/biology-101\",", "acme/../x\","),
        ("\"1.4.0\"", "\"1 4\""),
        ("\"stable\"", "\"../stable\""),
    ] {
        let lying = text.replacen(from, to, 1);
        assert_ne!(lying, text, "{from}");
        assert!(
            matches!(decode(lying.as_bytes()), Err(FormatError::Malformed { .. })),
            "{to}"
        );
    }
}

fn device(number: u64) -> DeviceId {
    let mut bytes = [0; DeviceId::LENGTH];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    DeviceId::from_bytes(bytes)
}
