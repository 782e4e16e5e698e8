//! What a publisher with all keys may sign and must not achieve.

use std::fs;
use std::path::Path;

use diff_core::DeltaError;
use release_format::PackName;
use satchel_tests::rig::forged_delta::ForgedDelta;
use satchel_tests::rig::forger::Forger;
use satchel_tests::rig::world::{Device, Partial, World, first_course, second_course};
use serde_json::{Value, json};
use updater_client::{ErrorKind, UpdateError, Updated};

#[test]
fn a_release_whose_paths_climb_out_is_refused() {
    for path in [
        "../../../escaped",
        "a/../../escaped",
        "/escaped",
        "..\\escaped",
        "C:escaped",
        ".",
    ] {
        let delta = ForgedDelta::new().file(path, b"escaped");
        let (world, failed) = refused(&delta.bytes(), 1, 7);
        assert!(matches!(failed, UpdateError::Delta(_)), "{path}: {failed}");
        let escaped = |file: &std::path::PathBuf| file.ends_with("escaped");
        let files = satchel_tests::rig::world::files_below(world.folder());
        assert!(!files.iter().any(escaped), "{path} was written");
    }
}

#[test]
fn a_release_with_names_that_some_platform_lacks_is_refused() {
    for path in [
        "aux", "lesson.", "lesson ", "a:b", "a?b", "nul.txt", "a\u{0}b", "a//b", "",
    ] {
        let delta = ForgedDelta::new().file(path, b"lesson");
        let (_, failed) = refused(&delta.bytes(), 1, 6);
        assert!(
            matches!(failed, UpdateError::Delta(_)),
            "{path:?}: {failed}"
        );
    }
}

#[test]
fn a_release_whose_paths_collide_or_repeat_is_refused() {
    for (one, other) in [
        ("Lesson.html", "lesson.html"),
        ("A/one", "a/two"),
        ("lesson", "lesson"),
        ("lesson", "lesson/part"),
        ("caf\u{e9}", "cafe\u{301}"),
        ("z", "a"),
    ] {
        let delta = ForgedDelta::new().file(one, b"1").file(other, b"2");
        let (_, failed) = refused(&delta.bytes(), 2, 2);
        assert!(
            matches!(failed, UpdateError::Delta(_)),
            "{one} and {other}: {failed}"
        );
    }
}

#[test]
fn a_release_of_ten_million_files_is_refused_before_any_is_made() {
    let delta = ForgedDelta::new().claimed_records(10_000_000);
    let (_, failed) = refused(&delta.bytes(), 10_000_000, 0);
    assert!(matches!(failed, UpdateError::Delta(_)), "{failed}");

    let mut many = ForgedDelta::new();
    for number in 0..1_000_001_u32 {
        many = many.file(&format!("{number:07}"), b"");
    }
    let (_, failed) = refused(&many.bytes(), 1_000_001, 0);
    match failed {
        UpdateError::Delta(DeltaError::Limit { claimed, limit, .. }) => {
            assert_eq!((claimed, limit), (1_000_001, 1_000_000));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_plan_that_claims_to_be_endless_is_refused() {
    let delta = ForgedDelta::new().file("lesson", b"lesson");
    for claimed in [u64::from(u32::MAX), 1 << 30] {
        let (_, failed) = refused(&delta.around(&delta.plan(), claimed), 1, 6);
        assert!(
            matches!(failed, UpdateError::Delta(DeltaError::Limit { .. })),
            "{failed}"
        );
    }
}

#[test]
fn a_file_that_claims_to_be_endless_is_refused_before_any_byte_is_written() {
    for length in [1 << 45, (1 << 62) - 1] {
        let delta = ForgedDelta::new()
            .claimed_file("lesson", length)
            .frame(0, b"short")
            .bytes();
        let (_, failed) = refused_with(|forger, pack| offer(forger, pack, &delta, 1, 7, |_| {}));
        assert_eq!(failed.kind(), ErrorKind::Refused, "{failed}");
    }
}

#[test]
fn a_release_that_says_it_fills_the_disk_is_refused_before_any_byte_is_fetched() {
    let delta = ForgedDelta::new().claimed_file("lesson", 1 << 45);
    let (_, failed) = refused(&delta.bytes(), 1, 1 << 45);
    match failed {
        UpdateError::FreeSpace { needed, .. } => assert!(needed > 1 << 45),
        other => panic!("{other}"),
    }
}

#[test]
fn a_frame_that_decodes_to_more_than_it_says_is_refused() {
    // A zstd frame without its magic number: one run of 4 MiB of zeros.
    let mut bomb = vec![0xa0, 0, 0, 0x40, 0];
    for block in 0..32_u32 {
        let last = u32::from(block == 31);
        let header = last | 1 << 1 | (128 << 10) << 3;
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    let delta = ForgedDelta::new()
        .claimed_file("lesson", 1_000)
        .frame(1, &bomb);
    let (_, failed) = refused(&delta.bytes(), 1, 1_000);
    assert!(matches!(failed, UpdateError::Delta(_)), "{failed}");
}

#[test]
fn a_delta_that_writes_more_than_the_catalogue_says_is_refused_before_it_writes() {
    let content = vec![7; 300_000];
    let delta = ForgedDelta::new().file("lesson", &content).bytes();
    let (_, failed) = refused_with(|forger, pack| {
        offer(forger, pack, &delta, 1, 300_000, |release| {
            release["deltas"][0]["built_bytes"] = json!(10);
        });
    });
    assert_eq!(failed.kind(), ErrorKind::Refused, "{failed}");
}

#[test]
fn a_release_whose_lengths_lie_is_refused() {
    let delta = ForgedDelta::new().file("lesson", b"lesson").bytes();
    let lies: [fn(&mut Value); 6] = [
        |release| release["tree_bytes"] = json!(7),
        |release| release["files"] = json!(2),
        |release| release["manifest"]["length"] = json!(1),
        |release| release["deltas"][0]["content"]["length"] = json!(5),
        |release| release["deltas"][0]["content"]["length"] = json!(1_u64 << 31),
        |release| release["tree_bytes"] = json!(-1),
    ];
    for lie in lies {
        let (_, failed) = refused_with(|forger, pack| offer(forger, pack, &delta, 1, 6, lie));
        assert_eq!(failed.kind(), ErrorKind::Refused, "{failed}");
    }
}

#[test]
fn content_that_is_longer_than_the_mirror_has_is_no_reason_to_wait() {
    let delta = ForgedDelta::new().file("lesson", b"lesson").bytes();
    let (_, failed) = refused_with(|forger, pack| {
        offer(forger, pack, &delta, 1, 6, |release| {
            release["deltas"][0]["content"]["length"] = json!(100_000);
        });
    });
    assert_eq!(failed.kind(), ErrorKind::Refused, "{failed}");
}

#[test]
fn a_release_that_is_not_what_its_manifest_says_is_refused() {
    let delta = ForgedDelta::new().file("lesson", b"lesson");
    let (_, failed) = refused(&delta.bytes(), 1, 6);
    assert!(
        matches!(failed, UpdateError::Delta(DeltaError::WrongTree { .. })),
        "{failed}"
    );
}

#[test]
fn a_method_or_format_that_this_client_lacks_is_told_as_such() {
    let unknown = ForgedDelta::new()
        .claimed_file("lesson", 6)
        .frame(250, b"lesson");
    let (_, failed) = refused(&unknown.bytes(), 1, 6);
    assert_eq!(failed.kind(), ErrorKind::Unsupported, "{failed}");

    let mut newer = ForgedDelta::new().file("lesson", b"lesson").bytes();
    newer[4] = 3;
    let (_, failed) = refused(&newer, 1, 6);
    assert_eq!(failed.kind(), ErrorKind::Unsupported, "{failed}");

    let (_, failed) = refused_with(|forger, pack| {
        forger
            .change_catalogue(pack, |catalogue| catalogue["schema"] = json!(2))
            .unwrap();
    });
    assert_eq!(failed.kind(), ErrorKind::Unsupported, "{failed}");

    let delta = ForgedDelta::new().file("lesson", b"lesson").bytes();
    let (_, failed) = refused_with(|forger, pack| {
        offer(forger, pack, &delta, 1, 6, |release| {
            release["deltas"][0]["methods"] = json!(["telepathy"]);
        });
    });
    assert!(matches!(failed, UpdateError::NoMethod { .. }), "{failed}");
    assert_eq!(failed.kind(), ErrorKind::Unsupported);
}

#[test]
fn bytes_that_are_no_delta_are_refused() {
    let good = ForgedDelta::new().file("lesson", b"lesson").bytes();
    for length in [0, 1, 5, 6, 10, good.len() - 1] {
        let (_, failed) = refused(&good[..length], 1, 6);
        assert_eq!(
            failed.kind(),
            ErrorKind::Refused,
            "{length} bytes: {failed}"
        );
    }
}

#[test]
fn a_document_of_another_pack_is_refused() {
    let (_, failed) = refused_with(|forger, pack| {
        forger
            .change_catalogue(pack, |catalogue| catalogue["pack"] = json!("acme/other"))
            .unwrap();
    });
    assert!(matches!(failed, UpdateError::Format(_)), "{failed}");
    let (_, failed) = refused_with(|forger, pack| {
        forger
            .change_rollout(pack, "stable", |rollout| rollout["channel"] = json!("b"))
            .unwrap();
    });
    assert!(matches!(failed, UpdateError::Format(_)), "{failed}");
}

#[test]
fn a_catalogue_that_the_operations_key_signed_is_not_found() {
    let (_, failed) = refused_with(|forger, pack| {
        let target = format!("{pack}/catalogue");
        forger
            .change_role("acme", |signed| {
                signed["targets"].as_object_mut().unwrap().remove(&target);
            })
            .unwrap();
        let own = br#"{"pack":"acme/biology-101","releases":[],"schema":1}"#;
        forger.put_target("acme-operations", &target, own).unwrap();
    });
    assert!(
        matches!(failed, UpdateError::UnknownPack { .. }),
        "{failed}"
    );
}

/// Offers `delta` as the way to a release of so many files and bytes, and returns how it was refused.
fn refused(delta: &[u8], files: u64, tree_bytes: u64) -> (World, UpdateError) {
    refused_with(|forger, pack| offer(forger, pack, delta, files, tree_bytes, |_| {}))
}

/// Has `harm` sign what it likes, updates from that, and shows that nothing was lost by it.
fn refused_with(harm: impl Fn(&Forger, &PackName)) -> (World, UpdateError) {
    let (world, device) = World::with_an_update();
    let mirror = world.copy_of_repository();
    harm(&world.forger(&mirror), world.pack());
    let failed = attempt(&device, &mirror).expect_err("the harm was not noticed");
    device.assert_has(&first_course());
    device.assert_tidy(Partial::Kept);
    // The forger had the keys: only newer metadata by the same ones is trusted from here on.
    world.publish("1.2", &second_course());
    (world, failed)
}

fn attempt(device: &Device, mirror: &Path) -> Result<Updated, UpdateError> {
    let outcome = device.update_from(mirror);
    let outside = device
        .library()
        .parent()
        .map(|folder| folder.join("escaped"));
    assert!(!outside.is_some_and(|outside| fs::exists(outside).unwrap_or(true)));
    outcome
}

/// Signs a release that is reached by `delta` from nothing, and a rollout that offers it.
fn offer(
    forger: &Forger,
    pack: &PackName,
    delta: &[u8],
    files: u64,
    tree_bytes: u64,
    lie: impl Fn(&mut Value),
) {
    let manifest = forger.put_content(b"no manifest at all").unwrap();
    let delta = forger.put_content(delta).unwrap();
    forger
        .change_catalogue(pack, |catalogue| {
            let releases = catalogue["releases"].as_array_mut().unwrap();
            let mut release = releases.last().unwrap().clone();
            release["sequence"] = json!(release["sequence"].as_u64().unwrap() + 1);
            release["label"] = json!("9.9");
            release["manifest"] = manifest.clone();
            release["files"] = json!(files);
            release["tree_bytes"] = json!(tree_bytes);
            release["deltas"] = json!([{
                "content": delta,
                "built_bytes": tree_bytes,
                "methods": ["store"],
            }]);
            lie(&mut release);
            releases.push(release);
        })
        .unwrap();
    forger
        .change_rollout(pack, "stable", |rollout| {
            rollout["release"] = manifest["digest"].clone();
            rollout["label"] = json!("9.9");
        })
        .unwrap();
}
