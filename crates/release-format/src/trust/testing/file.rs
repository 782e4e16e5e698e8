//! What every role's file has to be, whatever it says.

use super::*;

/// Reads a file as that of its role, in a set that would trust it.
fn read(role: &str, file: &[u8]) -> Result<(), TrustError> {
    let repository = Repository::new();
    match role {
        "root" => TrustedSet::pinned(file, TrustLimits::standard()).map(drop),
        "timestamp" => repository.pinned().update_timestamp(file, now()).map(drop),
        "snapshot" => repository.with_timestamp().recall_snapshot(file),
        _ => {
            // The snapshot gives neither length nor digests, so that the file itself is judged.
            let mut snapshot = repository.snapshot();
            let listed = snapshot.meta.get_mut("targets.json").unwrap();
            (listed.length, listed.hashes) = (None, None);
            let snapshot = signed(&snapshot, &[SNAPSHOT]);
            let timestamp = signed(&repository.timestamp_of(&snapshot), &[TIMESTAMP]);
            let mut set = repository.pinned();
            set.update_timestamp(&timestamp, now())?;
            set.update_snapshot(&snapshot, now())?;
            let request = set.targets_request()?.unwrap();
            set.update_targets(&request, file, now())
        }
    }
}

/// Every role with its key and what it signs.
fn bodies() -> [(&'static str, u8, Value); 4] {
    let repository = Repository::new();
    let snapshot = repository.snapshot();
    let timestamp = repository.timestamp_of(&repository.snapshot_file());
    // Of another version than the one that is named, so that only its own bytes speak for it.
    let snapshot = Snapshot {
        version: 2,
        ..snapshot
    };
    let targets = &repository.roles["targets"].0;
    [
        ("root", ROOT, repository.root.to_json()),
        ("timestamp", TIMESTAMP, timestamp.to_json()),
        ("snapshot", SNAPSHOT, snapshot.to_json()),
        ("targets", TARGETS, targets.to_json()),
    ]
}

#[test]
fn every_role_is_read_as_it_was_signed() {
    for (role, seed, body) in bodies() {
        assert_eq!(read(role, &signed_json(&body, &[seed])), Ok(()), "{role}");
    }
}

#[test]
fn unknown_members_are_signed_like_the_others() {
    for (role, seed, mut body) in bodies() {
        body["x-unknown"] = serde_json::json!({ "b": [true, null, -1, "\u{7}é\"\\"], "a": {} });
        let file = signed_json(&body, &[seed]);
        assert_eq!(read(role, &file), Ok(()), "{role}");
        let mut changed: Value = serde_json::from_slice(&file).unwrap();
        changed["signed"]["x-unknown"]["a"]["more"] = 1.into();
        let refused = read(role, &readable(&changed)).unwrap_err();
        assert_eq!(refused, unsigned(role, "root", 0, 1));
    }
}

#[test]
fn spaces_and_order_do_not_matter_to_a_signature() {
    for (role, seed, body) in bodies() {
        let file: Value = serde_json::from_slice(&signed_json(&body, &[seed])).unwrap();
        let spread = serde_json::to_vec_pretty(&file).unwrap();
        assert_eq!(read(role, &spread), Ok(()), "{role}");
    }
}

#[test]
fn file_of_one_role_is_not_that_of_another() {
    let files: Vec<_> = bodies()
        .map(|(role, seed, body)| (role, signed_json(&body, &[seed])))
        .into();
    for (role, _) in &files {
        for (other, file) in files.iter().filter(|(other, _)| other != role) {
            assert_malformed(read(role, file), "_type");
            assert_ne!(other, role);
        }
    }
    // Nor when the right keys have signed it.
    for (role, seed, mut body) in bodies() {
        for kind in [Value::Null, "Root".into(), "mirrors".into(), "".into()] {
            body["_type"] = kind;
            assert_malformed(read(role, &signed_json(&body, &[seed])), "_type");
        }
    }
}

#[test]
fn only_the_first_major_version_of_the_specification_is_read() {
    for (role, seed, mut body) in bodies() {
        for version in ["1.0", "1.0.0", "1.0.31", "1.99.0", "1.0.0001"] {
            body["spec_version"] = version.into();
            assert_eq!(
                read(role, &signed_json(&body, &[seed])),
                Ok(()),
                "{version}"
            );
        }
        for version in [
            "2.0.0", "2", "0.9.0", "1", "1.", "1..0", "1.0.", "1.0.0.0", "1.x", "1.0-1", "1.+1",
            "01.0.0", " 1.0.0", "10.0.0", "",
        ] {
            body["spec_version"] = version.into();
            let refused = read(role, &signed_json(&body, &[seed])).unwrap_err();
            let (role, found) = (role.to_owned(), version.to_owned());
            assert_eq!(refused, TrustError::SpecVersion { role, found });
        }
        for version in [Value::Null, 1.into(), serde_json::json!(["1.0.0"])] {
            body["spec_version"] = version;
            let refused = read(role, &signed_json(&body, &[seed])).unwrap_err();
            assert!(matches!(refused, TrustError::SpecVersion { .. }));
        }
    }
}

#[test]
fn versions_are_whole_numbers_from_1_to_2_to_the_53() {
    for (role, seed, mut body) in bodies() {
        for (version, at) in [
            (serde_json::json!(0), "version"),
            (serde_json::json!(-1), "the file"),
            (serde_json::json!(1_u64 << 53), "the file"),
            (serde_json::json!(u64::MAX), "the file"),
            (serde_json::json!("1"), "the file"),
            (serde_json::json!(null), "the file"),
            (serde_json::json!([1]), "the file"),
        ] {
            body["version"] = version;
            assert_malformed(read(role, &signed_json(&body, &[seed])), at);
        }
    }
    let greatest = Root {
        version: (1 << 53) - 1,
        ..first_root()
    };
    assert_eq!(read("root", &signed(&greatest, &[ROOT])), Ok(()));
}

#[test]
fn times_have_one_spelling() {
    for (role, seed, mut body) in bodies() {
        for time in [
            "2030-01-01",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00+00:00",
            "never",
        ] {
            body["expires"] = time.into();
            assert_malformed(read(role, &signed_json(&body, &[seed])), "the file");
        }
    }
}

#[test]
fn members_that_are_needed_are_there() {
    for (role, seed, body) in bodies() {
        for member in body.as_object().unwrap().keys() {
            let mut lacking = body.clone();
            lacking.as_object_mut().unwrap().remove(member);
            let read = read(role, &signed_json(&lacking, &[seed]));
            match member.as_str() {
                "consistent_snapshot" => assert_eq!(read, Ok(())),
                "spec_version" => assert!(matches!(read, Err(TrustError::SpecVersion { .. }))),
                "_type" => assert_malformed(read, "_type"),
                _ => assert_malformed(read, "the file"),
            }
        }
    }
}

#[test]
fn what_is_signed_is_an_object() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        for body in ["null", "7", "\"root\"", "[]"] {
            let file = format!("{{\"signatures\":[],\"signed\":{body}}}");
            assert_malformed(read(role, file.as_bytes()), "_type");
        }
    }
}

#[test]
fn json_has_one_meaning_alone() {
    for (role, seed, body) in bodies() {
        let file = String::from_utf8(signed_json(&body, &[seed])).unwrap();
        let version = format!("\"version\":{}", body["version"]);
        // The last of that name is the role's own.
        let (before, after) = file.rsplit_once(&version).unwrap();
        let with = |version: &str| format!("{before}{version}{after}").into_bytes();
        assert_eq!(read(role, &with(&version)), Ok(()));
        let deep = format!("{}{}", "[".repeat(15), "]".repeat(15));
        for odd in [
            format!("{version},{version}"),
            format!("{version},\"x\":{{\"a\":1,\"\\u0061\":1}}"),
            format!("{version}.0"),
            format!("{version}e0"),
            format!("{version},\"x\":0.5"),
            format!("{version},\"x\":-0"),
            format!("{version},\"x\":9007199254740992"),
            format!("{version},\"x\":{deep}"),
            format!("{version},\"x\":\"\\ud800\""),
            format!("{version},\"x\":\"\u{1}\""),
            format!("{version},\"x\":NaN"),
            format!("{version},"),
            format!("{version},'x':1"),
        ] {
            assert_malformed(read(role, &with(&odd)), "the file");
        }
        for odd in [
            format!("{file}{{}}"),
            format!("{file}0"),
            format!("{file}\0"),
            format!("\u{feff}{file}"),
            format!("[{file}]"),
            file[..file.len() - 1].to_owned(),
            String::new(),
            "null".to_owned(),
            "{}".to_owned(),
            "{\"signatures\":[]}".to_owned(),
        ] {
            assert_malformed(read(role, odd.as_bytes()), "the file");
        }
        assert_eq!(read(role, format!(" {file}\n").as_bytes()), Ok(()));
        let mut not_text = file.into_bytes();
        let quote = not_text.iter().position(|byte| *byte == b'"').unwrap();
        not_text.insert(quote + 1, 0xff);
        assert_malformed(read(role, &not_text), "the file");
    }
}

#[test]
fn nesting_is_bounded() {
    let wraps: [fn(Value) -> Value; 2] = [
        |value| Value::Array(vec![value]),
        |value| serde_json::json!({ "x": value }),
    ];
    for wrap in wraps {
        let nested = |levels: usize| {
            let mut root = first_root().to_json();
            root["x"] = (0..levels).fold(Value::Null, |value, _| wrap(value));
            read("root", &signed_json(&root, &[ROOT]))
        };
        // The file and what is signed are two levels, of sixteen.
        assert_eq!(nested(14), Ok(()));
        assert_malformed(nested(15), "the file");
    }
    let bytes = "[".repeat(100_000);
    assert_malformed(read("root", bytes.as_bytes()), "the file");
}

#[test]
fn signatures_are_a_list_of_one_a_key() {
    for (role, seed, body) in bodies() {
        let file: Value = serde_json::from_slice(&signed_json(&body, &[seed])).unwrap();
        let own = file["signatures"][0].clone();
        let (id, sig) = (own["keyid"].clone(), own["sig"].clone());
        for signatures in [
            serde_json::json!(null),
            serde_json::json!({}),
            serde_json::json!([own, own]),
            serde_json::json!([{ "keyid": id, "sig": "00" }, own]),
            serde_json::json!([own, { "sig": sig }]),
            serde_json::json!([own, { "keyid": 1, "sig": sig }]),
            serde_json::json!([own, { "keyid": "other" }]),
            serde_json::json!([own, { "keyid": "other", "sig": 1 }]),
            serde_json::json!([own, null]),
        ] {
            let mut odd = file.clone();
            odd["signatures"] = signatures;
            assert_malformed(read(role, &readable(&odd)), "signatures");
        }
        // What others have signed, or what is no signature, neither helps nor harms.
        for (signatures, is_enough) in [
            (
                serde_json::json!([{ "keyid": "other", "sig": "not hex" }, own]),
                true,
            ),
            (
                serde_json::json!([{ "keyid": "other", "sig": sig }, own]),
                true,
            ),
            (serde_json::json!([{ "keyid": "other", "sig": sig }]), false),
            (
                serde_json::json!([{ "keyid": id, "sig": "not hex" }]),
                false,
            ),
            (serde_json::json!([{ "keyid": id, "sig": "" }]), false),
            (serde_json::json!([]), false),
        ] {
            let mut odd = file.clone();
            odd["signatures"] = signatures;
            let expected = if is_enough {
                Ok(())
            } else {
                Err(unsigned(role, "root", 0, 1))
            };
            assert_eq!(read(role, &readable(&odd)), expected);
        }
    }
}

#[test]
fn flipped_bit_in_any_byte_of_what_is_signed_is_refused() {
    for (role, seed, body) in bodies() {
        let file = signed_json(&body, &[seed]);
        let whole: Value = serde_json::from_slice(&file).unwrap();
        for byte in 0..file.len() {
            let mut flipped = file.clone();
            flipped[byte] ^= 1 << (byte % 8);
            if read(role, &flipped).is_ok() {
                // Capital digits of a signature mean the same.
                let read: Value = serde_json::from_slice(&flipped).unwrap();
                assert_eq!(read["signed"], whole["signed"], "{role} {byte}");
            }
        }
    }
}

#[test]
fn file_above_its_ceiling_is_refused_unread() {
    let repository = Repository::new();
    let limits = TrustLimits {
        root_bytes: 1 << 10,
        ..TrustLimits::standard()
    };
    let root = repository.root_file();
    let length = root.len() as u64;
    let too_long = |role: &str, length, limit| {
        let role = role.to_owned();
        TrustError::TooLong {
            role,
            length,
            limit,
        }
    };
    let refused = TrustedSet::pinned(&root, limits).unwrap_err();
    assert_eq!(refused, too_long("root", length, 1 << 10));

    let standard = TrustLimits::standard();
    for (role, limit) in [
        ("root", standard.root_bytes),
        ("timestamp", standard.timestamp_bytes),
        ("snapshot", standard.snapshot_bytes),
        ("targets", standard.targets_bytes),
    ] {
        let (_, seed, body) = bodies().into_iter().find(|body| body.0 == role).unwrap();
        let mut file = signed_json(&body, &[seed]);
        file.resize(usize::try_from(limit).unwrap(), b' ');
        assert_eq!(read(role, &file), Ok(()), "{role}");
        file.push(b' ');
        assert_eq!(read(role, &file), Err(too_long(role, limit + 1, limit)));
    }
}

#[test]
fn refusals_tell_attacks_from_neglect() {
    for (refused, is_attack) in [
        (unsigned("root", "root", 0, 1), true),
        (rollback("root", 2, 1), true),
        (wrong_version("root", 2, 3), true),
        (expired("root", expires()), false),
        (out_of_order("snapshot", "a timestamp"), false),
        (TrustError::TooManyRoots { limit: 1 }, false),
        (
            TrustError::SpecVersion {
                role: "root".to_owned(),
                found: "2.0.0".to_owned(),
            },
            false,
        ),
    ] {
        assert_eq!(refused.is_attack(), is_attack, "{refused}");
    }
}
