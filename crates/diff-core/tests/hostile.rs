//! What is wrong with a delta, or with the tree that it is applied to, is told and costs nothing.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use diff_core::{Applier, Delta, DeltaError, Digest, Limits, ListingError, Plan};
use proptest::prelude::*;

use support::forge::{
    Forge, edit, insert_built, insert_moved, insert_old, insert_same, keep, skip, varint,
};
use support::{MemorySink, MemoryTree, apply, diff};

fn old() -> MemoryTree {
    MemoryTree::new(&[("a", "one"), ("b", "two and more"), ("c", "three")])
}

/// Returns why the delta, which has no frames but what it says, is refused over [`old`].
fn refused(delta: &[u8]) -> DeltaError {
    refused_within(delta, &Limits::standard())
}

fn refused_within(delta: &[u8], limits: &Limits) -> DeltaError {
    let planned = Delta::parse(delta, limits).and_then(|delta| delta.plan(&old().listing));
    planned.expect_err("the delta is refused")
}

/// Returns what the delta makes of [`old`].
fn planned(delta: &[u8]) -> Result<Plan, DeltaError> {
    Delta::parse(delta, &Limits::standard()).and_then(|delta| delta.plan(&old().listing))
}

fn limit(error: DeltaError) -> (&'static str, u64) {
    match error {
        DeltaError::Limit { what, claimed, .. } => (what, claimed),
        other => panic!("expected a limit, found {other}"),
    }
}

#[test]
fn foreign_bytes_newer_versions_and_unknown_flags_are_told_apart() {
    assert!(matches!(refused(b""), DeltaError::NotADelta { .. }));
    assert!(matches!(refused(b"BSDIFF40"), DeltaError::NotADelta { .. }));
    let mut delta = diff(&old(), &old()).0;
    delta[4] = 3;
    let error = refused(&delta);
    assert!(matches!(
        error,
        DeltaError::UnsupportedVersion { found: 3, .. }
    ));
    delta[4] = 1;
    delta[5] = 2;
    assert!(matches!(
        refused(&delta),
        DeltaError::UnsupportedFlags { found: 2, .. }
    ));
}

#[test]
fn another_old_tree_is_refused_at_once() {
    let delta = diff(&old(), &MemoryTree::new(&[("a", "new")])).0;
    let other = MemoryTree::new(&[("a", "one"), ("b", "two")]);
    let error = apply(&other, &delta).expect_err("the tree is another");
    assert!(matches!(error, DeltaError::WrongOld { .. }));
}

#[test]
fn a_plan_of_another_old_tree_is_refused() {
    let bytes = diff(&old(), &MemoryTree::new(&[("a", "new")])).0;
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    let plan = delta.plan(&old().listing).unwrap();
    let other = MemoryTree::new(&[("a", "one"), ("b", "two")]);
    let error = Applier::new(&delta, &plan, other.tree()).apply(&MemorySink::default());
    assert!(matches!(error, Err(DeltaError::WrongOld { .. })));
}

#[test]
fn a_damaged_old_file_is_named_before_it_is_used() {
    let text = "cells come from cells ".repeat(40);
    let before = MemoryTree::new(&[("a", text.as_str()), ("b", "two")]);
    let delta = diff(
        &before,
        &MemoryTree::new(&[("a", text + "alone"), ("b", "two".into())]),
    )
    .0;
    for damage in [
        |file: &mut Vec<u8>| file[5] ^= 1,
        |file: &mut Vec<u8>| file.truncate(9),
    ] {
        let mut damaged = before.clone();
        damage(&mut damaged.files[0]);
        let error = apply(&damaged, &delta).expect_err("the file is damaged");
        match error {
            DeltaError::DamagedOld {
                path,
                expected,
                found,
            } => {
                assert_eq!(path.as_str(), "a");
                assert_eq!(expected, before.listing.entries()[0].digest);
                assert_eq!(found, Digest::of(&damaged.files[0]));
            }
            other => panic!("expected damage, found {other}"),
        }
    }
}

#[test]
fn plans_above_their_limit_are_refused_before_they_are_decoded() {
    let mut delta = diff(&old(), &old()).0;
    let lengths = delta.len() - 8;
    delta[lengths..lengths + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(limit(refused(&delta)), ("plan bytes", u32::MAX.into()));
    delta[lengths..lengths + 4].copy_from_slice(&(60_u32 << 20).to_le_bytes());
    assert!(matches!(refused(&delta), DeltaError::Malformed { .. }));
}

#[test]
fn ten_million_entries_are_refused_before_memory_is_spent() {
    let claimed = Forge::over(&old()).records_claimed(10_000_000).delta();
    assert_eq!(limit(refused(&claimed)), ("records", 10_000_000));

    let mut limits = Limits::standard();
    limits.max_files = 5;
    let mut forge = Forge::over(&old()).record(keep(3));
    for number in 0..3 {
        forge = forge.record(insert_built(0, &format!("d{number}"), 0));
    }
    assert_eq!(limit(refused_within(&forge.delta(), &limits)), ("files", 6));
}

#[test]
fn files_and_trees_above_their_limits_are_refused() {
    let long = |length| {
        Forge::over(&old())
            .record(keep(3))
            .record(insert_built(0, "d", length))
    };
    assert_eq!(
        limit(refused(&long(1 << 41).delta())),
        ("bytes of a file", 1 << 41)
    );
    let mut limits = Limits::standard();
    limits.max_tree_bytes = 100;
    let error = refused_within(&long(90).delta(), &limits);
    assert_eq!(limit(error), ("bytes of the tree", 110));
    let grown = Forge::over(&old()).record(edit(-4)).record(keep(2));
    assert!(matches!(
        refused(&grown.delta()),
        DeltaError::Malformed { .. }
    ));
}

#[test]
fn frames_above_their_limits_are_refused() {
    let length = 65 << 20;
    let built = || {
        Forge::over(&old())
            .record(keep(3))
            .record(insert_built(0, "d", length))
    };
    let bomb = built().group(&[0], 1).frame(1, &[], length, b"short");
    assert_eq!(
        limit(refused(&bomb.delta())),
        ("decoded bytes of a frame", length)
    );

    let frames = built().group(&[0], 5_000_000);
    assert_eq!(limit(refused(&frames.delta())), ("frames", 5_000_000));

    let mut limits = Limits::standard();
    limits.max_reference_bytes = 11;
    let reference = built().group(&[0], 1).frame(1, &[(1, 0, 0)], 5, b"short");
    let error = refused_within(&reference.delta(), &limits);
    assert_eq!(limit(error), ("reference bytes of a frame", 12));

    let mut limits = Limits::standard();
    limits.max_memory_bytes = 1 << 20;
    let window = built().group(&[0], 1).frame(1, &[], 2 << 20, b"short");
    let (what, claimed) = limit(refused_within(&window.delta(), &limits));
    assert_eq!((what, claimed > 2 << 20), ("memory of a group", true));

    let mut limits = Limits::standard();
    limits.max_frames = 2;
    let spans = [(0, 0, 1), (0, 0, 1), (0, 0, 1)];
    let references = built().group(&[0], 1).frame(1, &spans, 5, b"short");
    let error = refused_within(&references.delta(), &limits);
    assert_eq!(limit(error), ("references", 3));
}

#[test]
fn references_stay_inside_the_old_tree() {
    let built = || {
        Forge::over(&old())
            .record(keep(3))
            .record(insert_built(0, "d", 5))
    };
    for span in [
        (3, 0, 1),
        (-1, 0, 1),
        (i64::MAX, 0, 1),
        (0, 0, 4),
        (0, 3, 0),
        (0, 4, 1),
        (0, u64::MAX, u64::MAX),
    ] {
        let delta = built()
            .group(&[0], 1)
            .frame(1, &[span], 5, b"short")
            .delta();
        assert!(
            matches!(refused(&delta), DeltaError::Malformed { .. }),
            "{span:?}"
        );
    }
}

#[test]
fn records_that_break_a_rule_are_refused() {
    let forge = || Forge::over(&old());
    for (name, forge) in [
        ("an old file is left out", forge().record(keep(2))),
        ("more old files than there are", forge().record(keep(4))),
        (
            "more dropped than there are",
            forge().record(skip(u64::MAX >> 3)),
        ),
        (
            "out of order",
            forge().record(keep(3)).record(insert_old(0, "aa", 0)),
        ),
        (
            "the same path twice",
            forge().record(keep(3)).record(insert_old(1, "", 0)),
        ),
        (
            "a copy of no old file",
            forge().record(keep(3)).record(insert_old(0, "d", 3)),
        ),
        (
            "the same as itself",
            forge().record(keep(3)).record(insert_same(0, "d", 3)),
        ),
        (
            "the same as a kept file",
            forge().record(keep(3)).record(insert_same(0, "d", 0)),
        ),
        (
            "a shared prefix too long",
            forge().record(keep(3)).record(insert_old(2, "d", 0)),
        ),
        (
            "a climbing path",
            forge()
                .record(keep(3))
                .record(insert_old(0, "d/../../x", 0)),
        ),
        (
            "a reserved name",
            forge().record(keep(3)).record(insert_old(0, "nul.txt", 0)),
        ),
        (
            "an empty path",
            forge().record(insert_old(0, "", 0)).record(keep(3)),
        ),
        (
            "content of unknown kind",
            forge().record(keep(3)).record(vec![3, 1, b'd', 3]),
        ),
        (
            "no UTF-8",
            forge().record(keep(3)).record(vec![3, 1, 0xff, 0]),
        ),
    ] {
        let error = refused(&forge.delta());
        assert!(
            matches!(error, DeltaError::Malformed { .. }),
            "{name}: {error}"
        );
    }
    let long = forge()
        .record(keep(3))
        .record(insert_old(0, &"x".repeat(2000), 0));
    assert_eq!(limit(refused(&long.delta())), ("bytes of a path", 2000));
}

#[test]
fn moved_runs_that_break_a_rule_are_refused() {
    let moved = |record: Vec<u8>| Forge::over(&old()).newest().record(keep(3)).record(record);
    for (name, record) in [
        ("beyond the old tree", insert_moved("d/", 1, 2, 0)),
        ("from outside it", insert_moved("d/", 3, 0, 0)),
        ("for ever", insert_moved("d/", 0, u64::MAX, 0)),
        ("more stripped than there is", insert_moved("d/", 0, 2, 2)),
        ("all the same path", insert_moved("d", 0, 2, 1)),
        ("an empty path", insert_moved("", 0, 0, 1)),
        ("climbing", insert_moved("d/../", 0, 0, 0)),
    ] {
        let error = refused(&moved(record).delta());
        assert!(
            matches!(error, DeltaError::Malformed { .. }),
            "{name}: {error}"
        );
    }
    let collides = moved(insert_moved("B/", 0, 2, 0));
    assert!(matches!(
        refused(&collides.delta()),
        DeltaError::Malformed { .. }
    ));
    let in_version_1 = Forge::over(&old())
        .record(keep(3))
        .record(insert_moved("d/", 0, 2, 0));
    assert!(matches!(
        refused(&in_version_1.delta()),
        DeltaError::Malformed { .. }
    ));
    assert!(planned(&moved(insert_moved("d/", 0, 2, 0)).delta()).is_ok());
}

#[test]
fn steps_through_old_files_stay_inside_them_and_their_limits() {
    let stepping = |steps: &[u8]| {
        let built = Forge::over(&old()).newest().record(keep(3));
        let built = built.record(insert_built(0, "d", 5)).group(&[0], 1);
        built.frame_with_steps(1, 1, steps, 5, b"short").delta()
    };
    let [take, skip, inflate, unknown] = [0, 1, 2, 3];
    for (name, steps) in [
        ("nothing is taken", vec![1, 12 << 2 | skip]),
        ("more is taken than there is", vec![1, 13 << 2 | take]),
        (
            "more is skipped than there is",
            vec![2, 12 << 2 | skip, 1 << 2 | take],
        ),
        ("a step that does nothing", vec![2, take, 1 << 2 | take]),
        ("an inflated stream of nothing", vec![1, inflate, 0]),
        ("a packing that nobody knows", vec![1, 5 << 2 | inflate, 4]),
        (
            "nested steps that are none",
            vec![1, 5 << 2 | inflate, 128, 0],
        ),
        (
            "nested steps that leave the plaintext",
            vec![1, 5 << 2 | inflate, 128, 1, 6 << 2 | take],
        ),
        (
            "streams four deep",
            vec![
                1,
                5 << 2 | inflate,
                128,
                1,
                5 << 2 | inflate,
                128,
                1,
                5 << 2 | inflate,
                128,
                1,
                4 << 2 | take,
            ],
        ),
        ("a kind that nobody knows", vec![1, 5 << 2 | unknown]),
    ] {
        let error = refused(&stepping(&steps));
        assert!(
            matches!(error, DeltaError::Malformed { .. }),
            "{name}: {error}"
        );
    }
    let mut bomb = vec![1];
    varint(&mut bomb, (17 << 20) << 2 | 2);
    bomb.push(0);
    assert_eq!(
        limit(refused(&stepping(&bomb))),
        ("bytes of an inflated stream", 17 << 20)
    );
    let mut endless = Vec::new();
    varint(&mut endless, 1 << 40);
    assert_eq!(
        limit(refused(&stepping(&endless))).0,
        "steps through old files"
    );
    assert!(planned(&stepping(&[2, 4 << 2 | skip, 8 << 2 | take])).is_ok());
}

#[test]
fn recompressors_that_nobody_has_are_refused() {
    let needing = |bits| {
        Forge::over(&old())
            .newest()
            .recompressors(bits)
            .record(keep(3))
            .delta()
    };
    assert!(planned(&needing(0b111)).is_ok());
    let error = refused(&needing(0b1011));
    assert!(matches!(
        error,
        DeltaError::UnsupportedRecompressor { id: 3 }
    ));
}

#[test]
fn opened_groups_above_their_limits_are_refused() {
    let opened = |content, memory| {
        let built = Forge::over(&old()).newest().record(keep(3));
        let built = built
            .record(insert_built(0, "d", 5))
            .opened_group(content, memory);
        built.frame_with_steps(0, 1, &[0], 5, b"short").delta()
    };
    assert_eq!(
        limit(refused(&opened(1 << 50, 0))).0,
        "bytes of opened content"
    );
    assert_eq!(limit(refused(&opened(5, 1 << 30))).0, "memory of a group");
    assert!(matches!(
        refused(&opened(6, 0)),
        DeltaError::Malformed { .. }
    ));
    assert!(planned(&opened(5, 0)).is_ok());
}

#[test]
fn paths_that_collide_on_some_platform_are_refused() {
    for path in ["C", "c/below", "B/x"] {
        let forge = Forge::over(&old());
        let forge = if path < "a" {
            forge.record(insert_old(0, path, 0)).record(keep(3))
        } else {
            forge.record(keep(3)).record(insert_old(0, path, 0))
        };
        let error = refused(&forge.delta());
        let is_collision = matches!(error, DeltaError::Listing(ListingError::Collision(_)));
        assert!(is_collision, "{path}: {error}");
    }
}

#[test]
fn groups_that_break_a_rule_are_refused() {
    let built = || {
        Forge::over(&old())
            .record(keep(3))
            .record(insert_built(0, "d", 5))
    };
    for (name, forge) in [
        ("no group", built()),
        ("no member", built().group(&[], 0)),
        ("no such member", built().group(&[1], 0)),
        ("a member below none", built().group(&[-1], 0)),
        ("no frame", built().group(&[0], 0)),
        (
            "too few bytes",
            built().group(&[0], 1).frame(0, &[], 4, b"four"),
        ),
        (
            "too many bytes",
            built().group(&[0], 1).frame(0, &[], 6, b"sixsix"),
        ),
        (
            "leftover frames",
            built()
                .group(&[0], 1)
                .frame(0, &[], 5, b"five5")
                .payload(b"x"),
        ),
        (
            "a frame of nothing",
            built()
                .group(&[0], 2)
                .frame(0, &[], 5, b"five5")
                .frame(0, &[], 0, b""),
        ),
        (
            "more encoded bytes than there are",
            built().group(&[0], 1).frame_claiming(0, 5, 1000),
        ),
        (
            "endless encoded bytes",
            built().group(&[0], 1).frame_claiming(0, 5, u64::MAX),
        ),
    ] {
        let error = refused(&forge.delta());
        assert!(
            matches!(error, DeltaError::Malformed { .. }),
            "{name}: {error}"
        );
    }
    let unknown = built().group(&[0], 1).frame(9, &[], 5, b"short");
    assert!(matches!(
        refused(&unknown.delta()),
        DeltaError::UnsupportedMethod { id: 9 }
    ));
    let groups = built().groups_claimed(2);
    assert_eq!(limit(refused(&groups.delta())), ("groups", 2));
    let twice = Forge::over(&old())
        .record(keep(3))
        .record(insert_built(0, "d", 0))
        .record(insert_built(0, "e", 0))
        .group(&[0, -1], 0);
    assert!(matches!(
        refused(&twice.delta()),
        DeltaError::Malformed { .. }
    ));
}

#[test]
fn forged_deltas_that_break_no_rule_are_applied() {
    let delta = Forge::over(&old())
        .record(edit(2))
        .record(skip(1))
        .record(keep(1))
        .record(insert_same(0, "d", 0))
        .record(insert_built(1, "e", 3))
        .record(insert_old(1, "f", 2))
        .group(&[1, -2], 2)
        .frame(0, &[], 2, b"ne")
        .frame(0, &[], 0, b"wfirst")
        .delta();
    let made = apply(&old(), &delta).unwrap();
    let new = MemoryTree::new(&[
        ("a", "first"),
        ("c", "three"),
        ("d", "first"),
        ("de", "new"),
        ("df", "three"),
    ]);
    assert_eq!(made.listing, new.listing);
    assert!(made.files == new.files);
}

#[test]
fn frames_that_do_not_decode_are_errors_with_their_place() {
    let mut varints = Vec::new();
    varint(&mut varints, u64::MAX);
    for (method, bytes) in [
        (0, &b"four"[..]),
        (0, b"sixsix"),
        (1, b""),
        (1, b"not zstd"),
        (2, b""),
        (2, b"\0\0"),
        (2, b"\x7f\x7fBZh9"),
        (2, b"\x04\x00BZh9"),
        (2, &varints),
    ] {
        let delta = Forge::over(&old())
            .record(keep(3))
            .record(insert_built(0, "d", 5))
            .group(&[0], 1)
            .frame(method, &[(0, 0, 0)], 0, bytes)
            .delta();
        let error = apply(&old(), &delta).expect_err("the frame is refused");
        let is_placed = matches!(
            error,
            DeltaError::Malformed {
                place: "frame",
                offset: 6,
                ..
            }
        );
        assert!(is_placed, "{method} {bytes:?}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_as_plan_and_frames_are_an_error_or_a_tree(
        plan in proptest::collection::vec(any::<u8>(), 0..60),
        frames in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let delta = Forge::over(&old()).payload(&frames).raw_plan(&plan);
        let _ = apply(&old(), &delta);
    }
}
