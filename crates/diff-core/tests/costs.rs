//! What a short delta may cost the device that applies it, and that it upsets nothing.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use diff_core::{Applier, Delta, DeltaError, Limits};

use support::containers::deflate;
use support::forge::{Forge, insert_built, keep, varint};
use support::script::{HAS_OLD, NESTED, Script, ZLIB_6};
use support::{MemorySink, MemoryTree, noise};

const ROOM: u64 = 1 << 20;
const STORE: u8 = 0;
const SOLID: u8 = 3;

fn script() -> Script {
    Script::default()
}

/// Applies a forged delta and returns the file that it makes.
fn made(old: &MemoryTree, forge: &Forge, limits: &Limits) -> Result<Vec<u8>, DeltaError> {
    let bytes = forge.delta();
    let delta = Delta::parse(&bytes, limits)?;
    let plan = delta.plan(&old.listing)?;
    let sink = MemorySink::default();
    let applier = Applier::new(&delta, &plan, old.tree()).limits(limits.clone());
    applier.apply(&sink)?;
    Ok(sink.bytes("new"))
}

fn forge(old: &MemoryTree, length: usize) -> Forge {
    Forge::over(old)
        .newest()
        .record(keep(old.files.len() as u64))
        .record(insert_built(0, "new", length as u64))
}

/// A forged delta of one frame that stores this content.
fn stored(old: &MemoryTree, length: usize, content: &[u8]) -> Forge {
    let bytes = content.len() as u64;
    let group = forge(old, length).opened_group(bytes, ROOM);
    group.frame(STORE, &[], bytes, content)
}

#[track_caller]
fn assert_excess(result: Result<Vec<u8>, DeltaError>, expected: &str) {
    match result {
        Err(DeltaError::Limit { what, .. }) => assert_eq!(what, expected),
        other => panic!("expected a limit, found {other:?}"),
    }
}

/// One step that inflates behind a skip.
fn inflating(skipped: u64, length: u64, shape: u8) -> Vec<u8> {
    let mut steps = vec![2];
    varint(&mut steps, skipped << 2 | 1);
    varint(&mut steps, length << 2 | 2);
    steps.push(shape);
    steps
}

#[test]
fn scripts_have_no_more_steps_than_frames_may() {
    let old = MemoryTree::new(&[("a", b"o")]);
    let mut limits = Limits::standard();
    limits.max_frames = 20;
    let of_steps = |count| {
        let steps = (0..count).fold(script(), |script, _| script.copy(1));
        stored(&old, count, &steps.with(&vec![b'o'; count]))
    };
    assert_eq!(made(&old, &of_steps(20), &limits).unwrap(), [b'o'; 20]);
    assert_excess(made(&old, &of_steps(21), &limits), "steps of scripts");
}

#[test]
fn a_tiny_stream_does_not_follow_a_long_one() {
    let plain = vec![7; 70_000];
    let packed = [b"skipped", &deflate(&plain, 6)[..]].concat();
    let old = MemoryTree::new(&[("a.zip", packed)]);
    let following = |length: usize| {
        let text = vec![7; length];
        let content = script().stream(length as u64, HAS_OLD, ZLIB_6);
        let content = content.raw(&[0]).with(&text);
        let steps = inflating(7, plain.len() as u64, 0);
        let bytes = content.len() as u64;
        let group = forge(&old, deflate(&text, 6).len()).opened_group(bytes, ROOM);
        group.frame_with_steps(STORE, 0, &steps, bytes, &content)
    };
    let limits = Limits::standard();
    let near = made(&old, &following(100), &limits).unwrap();
    assert_eq!(near, deflate(&[7; 100], 6));
    let told = "bytes of a stream that is followed";
    assert_excess(made(&old, &following(10), &limits), told);
}

#[test]
fn references_that_are_inflated_again_and_again_are_refused_before_they_are() {
    let old = MemoryTree::new(&[("a.gz", [0; 100])]);
    let plan = |frames: u64| {
        let steps = inflating(10, 16 << 20, 0);
        let start = forge(&old, usize::try_from(frames).unwrap()).group(&[0], frames);
        let each = |forge: Forge, number| {
            let back = if number == 0 { 0 } else { -1 };
            forge.frame_with_steps(STORE, back, &steps, 1, b"n")
        };
        let bytes = (0..frames).fold(start, each).delta();
        let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
        delta.plan(&old.listing).map(|plan| plan.built_bytes())
    };
    assert_eq!(plan(64).unwrap(), 64);
    match plan(65) {
        Err(DeltaError::Limit { what, claimed, .. }) => {
            assert_eq!(what, "bytes of the references of all frames");
            assert_eq!(claimed, 65 << 24);
        }
        other => panic!("expected a limit, found {other:?}"),
    }
}

#[test]
fn frames_of_one_byte_that_need_large_tables_each_are_refused() {
    let old = MemoryTree::new(&[("a", b"o")]);
    let plan = |frames: u64| {
        let start = forge(&old, usize::try_from(frames).unwrap()).group(&[0], frames);
        let each = |forge: Forge, _| {
            // A frame of version 2 without a source.
            forge.frame(SOLID, &[], 1, &[])
        };
        let bytes = (0..frames).fold(start, each).delta();
        let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
        delta.plan(&old.listing).map(|plan| plan.built_bytes())
    };
    assert_eq!(plan(100).unwrap(), 100);
    let refused = plan(10_000);
    assert!(
        matches!(refused, Err(DeltaError::Limit { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_stream_of_empty_blocks_is_left_before_its_end() {
    let empty = |last: u8| [last, 0, 0, 0xff, 0xff];
    let packed = |blocks: usize| {
        let mut packed = empty(0).repeat(blocks);
        // The last block has one byte, stored.
        packed.extend([1, 1, 0, 0xfe, 0xff, b'x']);
        packed
    };
    let made_of = |blocks| {
        let old = MemoryTree::new(&[("a", [b"skip", &packed(blocks)[..]].concat())]);
        let content = script().copy(1).with(b"n");
        let bytes = content.len() as u64;
        let group = forge(&old, 1).opened_group(bytes, ROOM);
        let group = group.frame_with_steps(STORE, 0, &inflating(4, 1, 0), bytes, &content);
        made(&old, &group, &Limits::standard())
    };
    assert_eq!(made_of(200).unwrap(), b"n");
    match made_of(300) {
        Err(DeltaError::Malformed { problem, .. }) => assert!(problem.contains("too late")),
        other => panic!("expected an endless stream, found {other:?}"),
    }
}

#[test]
fn rows_of_no_image_are_not_allocated() {
    let old = MemoryTree::new(&[("a", b"o")]);
    for stride in [1 << 20, 1 << 45, u64::MAX] {
        let content = script().image(0, stride, 1).with(&[]);
        let made = made(&old, &stored(&old, 2, &content), &Limits::standard());
        assert_eq!(made.unwrap(), [3, 0]);
    }
}

#[test]
fn a_rebuilt_stream_ends_where_its_place_does() {
    let old = MemoryTree::new(&[("a", b"o")]);
    let text = b"cells divide, and divide again";
    let length = deflate(text, 6).len();
    let stream = script().stream(text.len() as u64, 0, ZLIB_6).with(text);
    let limits = Limits::standard();
    let whole = made(&old, &stored(&old, length, &stream), &limits);
    assert_eq!(whole.unwrap(), deflate(text, 6));
    assert_excess(
        made(&old, &stored(&old, length - 1, &stream), &limits),
        "a rebuilt stream",
    );
    let nested = |room: usize| {
        let outer = script().stream(room as u64, NESTED, ZLIB_6);
        let inner = outer.stream(text.len() as u64, 0, ZLIB_6).end();
        inner.with(text)
    };
    let outer = deflate(&deflate(text, 6), 6);
    let made_in = |room| made(&old, &stored(&old, outer.len(), &nested(room)), &limits);
    assert_eq!(made_in(length).unwrap(), outer);
    assert_excess(made_in(length - 1), "a rebuilt stream");
}

#[test]
fn decisions_that_are_always_the_same_push_no_counter_over_its_end() {
    let text = b"cells divide, and divide again; ".repeat(40);
    let old = MemoryTree::new(&[("a", &text)]);
    let length = 60_000;
    // Nearly all decisions come out set, unset, or first the one and then the other.
    let frames = [
        vec![],
        vec![0xff; 40_000],
        [vec![0; 3000], vec![0xff; 37_000]].concat(),
        [vec![0xff; 3000], vec![0; 37_000]].concat(),
        noise(40_000, 1),
        [noise(20_000, 2), vec![0xff; 20_000]].concat(),
    ];
    for frame in frames {
        for spans in [&[][..], &[(0, 0, 0)]] {
            let forge = Forge::over(&old)
                .record(keep(1))
                .record(insert_built(0, "new", length))
                .group(&[0], 1)
                .frame(SOLID, spans, length, &frame);
            match made(&old, &forge, &Limits::standard()) {
                Ok(made) => assert_eq!(made.len() as u64, length),
                Err(DeltaError::Malformed { place: "frame", .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
