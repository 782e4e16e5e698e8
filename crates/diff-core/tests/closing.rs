//! Opened groups that break a rule are refused, whatever their scripts and steps say.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use diff_core::{Applier, Delta, DeltaError, Limits};
use proptest::prelude::*;

use support::containers::deflate;
use support::forge::{Forge, insert_built, keep, varint};
use support::forged::{Forged, ROOM, TEXT, assert_refusal, old};
use support::script::{HAS_OLD, NESTED, Script, ZLIB_6};
use support::{MemorySink, noise};

fn script() -> Script {
    Script::default()
}

fn refused(content: &[u8], place: &str, told: &str) {
    assert_refusal(&Forged::file(5), content, place, told);
}

#[test]
fn what_keeps_the_rules_is_made() {
    let made = Forged::file(5).make(&script().copy(5).with(b"short"));
    assert_eq!(made.unwrap(), b"short");
    let made = Forged::file(9).make(&script().copy(2).old(4, 6, 6).copy(1).with(b"a c"));
    assert_eq!(made.unwrap(), b"a dividec");
}

#[test]
fn a_script_that_is_longer_than_its_content_is_refused() {
    let content = script().copy(5).with(b"");
    refused(&content[..1], "script", "content is missing");
    refused(&[9, 5 << 2], "script", "content is missing");
    refused(&[0x85], "script", "content is missing");
    refused(&[0x80, 0], "script", "longer than it needs");
    refused(&[0xff; 11], "script", "");
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 1];
    assert_eq!(Forged::file(5).excess(&huge), "memory of closing a group");
}

#[test]
fn content_must_be_what_the_script_takes() {
    refused(&script().copy(6).with(b"short"), "script", "missing");
    refused(&script().copy(5).with(b"shorter"), "script", "left over");
    refused(&script().with(b"short"), "script", "left over");
    refused(&script().copy(4).with(b"shor"), "group", "are missing");
    refused(&script().copy(6).with(b"longer"), "group", "no file");
    refused(
        &script().copy(u64::MAX >> 2).with(b"short"),
        "script",
        "missing",
    );
}

#[test]
fn steps_that_nobody_knows_or_that_do_nothing_are_refused() {
    let copied = || script().copy(5);
    for step in [
        copied().copy(0),
        copied().old(4, 0, 0),
        copied().step(3, 1),
        copied().step(3, u64::MAX >> 2),
    ] {
        refused(&step.with(b"short"), "script", "unknown kind");
    }
    // Cut off in the midst of a step.
    for step in [&[0x80][..], &[2], &[2, 0], &[2, 0, 9, 6], &[5], &[5, 4]] {
        refused(&copied().raw(step).with(b"short"), "script", "");
    }
}

#[test]
fn streams_and_ends_come_in_pairs() {
    refused(
        &script().end().copy(5).with(b"short"),
        "script",
        "end without",
    );
    let open = script().stream(5, NESTED, ZLIB_6).copy(5);
    refused(&open.with(b"short"), "script", "no end");
    let twice = script().stream(5, NESTED, ZLIB_6).copy(5).end().end();
    let forged = Forged::file(deflate(b"short", 6).len());
    assert_refusal(&forged, &twice.with(b"short"), "script", "end without");
}

#[test]
fn streams_three_deep_are_made_and_four_deep_are_refused() {
    let inner = deflate(TEXT, 6);
    let middle = deflate(&inner, 6);
    let outer = deflate(&middle, 6);
    let lengths = [middle.len(), inner.len()];
    let nested = |mut script: Script, lengths: &[usize]| {
        for length in lengths {
            script = script.stream(*length as u64, NESTED, ZLIB_6);
        }
        let mut script = script.stream(TEXT.len() as u64, 0, ZLIB_6);
        for _ in lengths {
            script = script.end();
        }
        script.with(TEXT)
    };
    let made = Forged::file(outer.len()).make(&nested(script(), &lengths));
    assert_eq!(made.unwrap(), outer);
    let deeper = nested(script(), &[outer.len(), middle.len(), inner.len()]);
    refused(&deeper, "script", "nested too deeply");
}

#[test]
fn a_nested_plaintext_has_the_length_that_its_stream_says() {
    for (length, told) in [(4, "gets 5"), (6, "has 5")] {
        let content = script().stream(length, NESTED, ZLIB_6).copy(5).end();
        refused(&content.with(b"short"), "script", told);
    }
}

#[test]
fn coded_images_are_made_where_the_plan_tells_of_them() {
    // The example of the format's document.
    let (rows, coded) = ([0, 7, 7, 9, 2, 0, 0, 0], [0xff, 0x87, 0xa1, 0x68]);
    let stream = deflate(&rows, 6);
    let content = script().coded_image(8, 4, 4).with(&coded);
    let roomy = || Forged {
        memory: 4 << 20,
        ..Forged::file(stream.len())
    };
    let mut forged = roomy();
    assert_eq!(forged.make(&content).unwrap(), stream);
    let long = script()
        .coded_image(8, 4, 44)
        .with(&[&coded[..], &[9; 40]].concat());
    assert_refusal(&forged, &long, "coded image", "left over");
    let broken = script().coded_image(9, 4, 4).with(&coded);
    assert_refusal(&forged, &broken, "coded image", "no whole rows");

    forged.limits.max_stream_bytes = 4;
    forged.limits.max_image_bytes = 8;
    assert_eq!(forged.make(&content).unwrap(), stream);
    forged.limits.max_image_bytes = 7;
    assert_eq!(forged.excess(&content), "bytes of an image");
    forged.limits.max_image_bytes = 8;
    forged.limits.max_stream_bytes = 3;
    assert_eq!(forged.excess(&content), "bytes of a coded image");
    // Rows as long as that are held several times.
    let wide = script().coded_image(6 << 20, 6 << 20, 0).with(&[]);
    assert_eq!(roomy().excess(&wide), "memory of closing a group");

    forged = roomy();
    forged.recompressors = 3;
    assert_refusal(&forged, &content, "script", "the plan does not tell");
}

#[test]
fn plaintexts_and_memory_above_what_is_allowed_are_refused() {
    let mut small = Forged::file(5);
    small.limits.max_stream_bytes = 50;
    let content = script().stream(51, 0, ZLIB_6).with(&TEXT[..51]);
    assert_eq!(small.excess(&content), "bytes of a stream");

    let huge = script().stream(16 << 20 | 1, NESTED, ZLIB_6).with(b"");
    assert_eq!(Forged::file(5).excess(&huge), "bytes of a stream");

    let mut tight = Forged::file(deflate(TEXT, 6).len());
    let content = script().stream(TEXT.len() as u64, 0, ZLIB_6).with(TEXT);
    let script_bytes = content[0];
    tight.memory = u64::from(script_bytes) + TEXT.len() as u64;
    assert_eq!(tight.make(&content).unwrap(), deflate(TEXT, 6));
    tight.memory -= 1;
    assert_eq!(tight.excess(&content), "memory of closing a group");

    // Rows are held twice.
    let rows = script().image(64, 8, 1).with(&[0; 64]);
    tight.memory = 100;
    assert_eq!(tight.excess(&rows), "memory of closing a group");

    // Those around are held as well.
    let nested = script().stream(400, NESTED, ZLIB_6);
    let nested = nested.stream(TEXT.len() as u64, 0, ZLIB_6).end();
    tight.memory = 400 + 40;
    assert_eq!(
        tight.excess(&nested.with(TEXT)),
        "memory of closing a group"
    );
}

#[test]
fn a_stream_that_is_closed_gives_its_memory_back() {
    let length = TEXT.len() as u64;
    let both = script().stream(length, 0, ZLIB_6).stream(length, 0, ZLIB_6);
    let packed = deflate(TEXT, 6).repeat(2);
    let mut forged = Forged::file(packed.len());
    forged.memory = length + 20;
    let made = forged.make(&both.with(&[TEXT, TEXT].concat()));
    assert_eq!(made.unwrap(), packed);
}

#[test]
fn copies_stay_inside_old_files() {
    let length = TEXT.len() as u64;
    for (index, offset, taken) in [
        (8, 0, 5),
        (72, 0, 5),
        (4, length - 4, 5),
        (4, length + 1, 5),
        (4, 0, length + 1),
        (4, u64::MAX, 5),
        (4, 5, u64::MAX >> 2),
    ] {
        let content = script().old(index, offset, taken).with(b"");
        let forged = Forged::file(5);
        let (_, problem) = forged.refusal(&content);
        assert!(problem.contains("old file"), "{problem}");
    }
    refused(&script().old(1, 0, 5).with(b""), "script", "no old file");
    let far = script()
        .step(1, 5)
        .raw(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]);
    let again = far
        .step(1, 5)
        .raw(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]);
    let (_, problem) = Forged::file(5).refusal(&again.with(b""));
    assert!(problem.contains("old file"), "{problem}");
}

#[test]
fn a_stream_in_an_unknown_wrapping_is_refused() {
    // Bit 4 is of no bare deflate stream.
    let content = script().stream(5, 1 << 4, ZLIB_6).with(b"short");
    refused(&content, "script", "");
}

#[test]
fn recipes_that_cannot_be_followed_are_refused() {
    let length = TEXT.len() as u64;
    let forged = Forged::file(deflate(TEXT, 6).len());
    for recipe in [
        &[][..],
        &[0],
        &[0x0f],
        &[0x60],
        &[0xff; 9],
        &[0x50],
        &[0x50, 0xff],
    ] {
        let content = script().stream(length, 0, recipe).with(TEXT);
        let result = forged.make(&content);
        let is_refused = matches!(
            result,
            Err(DeltaError::Malformed { .. } | DeltaError::Limit { .. })
        );
        assert!(is_refused, "{recipe:?}: {result:?}");
    }
    // One that makes other bytes makes another file, of which the digest tells where one is expected.
    let content = script().stream(length, 0, &[1]).with(TEXT);
    let mut other = forged.clone();
    other.length = deflate(TEXT, 1).len();
    assert_eq!(other.make(&content).unwrap(), deflate(TEXT, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_recipe_is_followed_or_refused(
        recipe in prop::collection::vec(any::<u8>(), 0..40), kind in 0..8_u8, plain: Vec<u8>,
        follows: bool,
    ) {
        let recipe = match recipe.split_first() {
            Some((first, rest)) => [&[kind << 4 | first & 15], rest].concat(),
            None => recipe,
        };
        let bits = if follows { HAS_OLD } else { 0 };
        let content = script().stream(plain.len() as u64, bits, &recipe);
        let content = if follows { content.raw(&[0]) } else { content };
        let result = stepping().make(&content.with(&plain));
        match result {
            Ok(_) | Err(DeltaError::Malformed { .. } | DeltaError::Limit { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn any_script_is_followed_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        opened in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let result = stepping().make(&script().raw(&bytes).with(&opened));
        match result {
            Ok(_) => {}
            Err(
                DeltaError::Malformed { .. }
                | DeltaError::Limit { .. },
            ) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn any_steps_are_walked_or_refused(
        file in 0..4_i64, steps in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut forged = stepping();
        forged.source = Some((file, steps));
        match forged.make(&script().copy(5).with(b"short")) {
            Ok(_) | Err(DeltaError::Malformed { .. } | DeltaError::Limit { .. }) => {}
            Err(DeltaError::UnsupportedMethod { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

/// Steps that take `a.zip` with its stream inflated.
fn opening() -> Vec<u8> {
    let mut steps = vec![3, 5 << 2];
    varint(&mut steps, (TEXT.len() as u64) << 2 | 2);
    steps.extend([0, 6 << 2]);
    steps
}

fn stepping() -> Forged {
    Forged::file(5).against(0, &opening())
}

#[test]
fn recipes_follow_only_streams_that_are_there() {
    let content = |bits: u8, number: &[u8]| {
        let script = script().stream(5, bits, ZLIB_6).raw(number);
        script.with(b"short")
    };
    let packed = deflate(b"short", 6);
    let mut forged = stepping();
    forged.length = packed.len();
    assert_eq!(forged.make(&content(HAS_OLD, &[0])).unwrap(), packed);
    assert_refusal(
        &forged,
        &content(HAS_OLD, &[2]),
        "script",
        "no old stream 1",
    );
    assert_refusal(&forged, &content(HAS_OLD, &[1]), "script", "no old stream");
    let far = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_refusal(&forged, &content(HAS_OLD, &far), "script", "no old stream");

    forged.source = None;
    assert_refusal(
        &forged,
        &content(HAS_OLD, &[0]),
        "script",
        "no old stream 0",
    );
    // One that is taken in part cannot be followed.
    let mut steps = vec![2, 5 << 2];
    varint(&mut steps, (TEXT.len() as u64) << 2 | 2);
    steps.extend([NESTED, 1, 9 << 2]);
    forged.source = Some((0, steps));
    assert_refusal(
        &forged,
        &content(HAS_OLD, &[0]),
        "script",
        "no old stream 0",
    );
}

#[test]
fn rows_that_an_image_cannot_have_are_refused() {
    let forged = Forged::file(20);
    for (stride, pixel) in [(0, 1), (1, 1), (8, 0)] {
        let content = script().image(64, stride, pixel).with(&[0; 64]);
        assert_refusal(&forged, &content, "script", "rows of no pixels");
    }
    let filters = |first| [&[first, 0, 0, 0, 0, 0, 0, 0][..], &[3; 56]].concat();
    for (content, told) in [
        (script().image(63, 8, 1).with(&[0; 63]), "no such rows"),
        (script().image(64, 65, 1).with(&[0; 64]), "no such rows"),
        (
            script().image(64, u64::MAX, 1).with(&[0; 64]),
            "no such rows",
        ),
        (script().image(64, 8, 1).with(&filters(5)), "no such rows"),
        (script().image(64, 8, 1).with(&filters(255)), "no such rows"),
    ] {
        assert_refusal(&forged, &content, "script", told);
    }
    let content = script().image(64, 8, u64::from(u32::MAX)).with(&filters(1));
    let made = Forged::file(deflate(&[0; 64], 6).len()).make(&content);
    let is_other = matches!(
        made,
        Err(DeltaError::Malformed { place: "group", .. } | DeltaError::Limit { .. })
    );
    assert!(made.is_ok() || is_other, "{made:?}");
}

/// One step that inflates, from the start of a file or behind a skip.
fn inflating(skipped: u64, length: u64, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut steps = vec![if skipped > 0 { 2 } else { 1 }];
    if skipped > 0 {
        varint(&mut steps, skipped << 2 | 1);
    }
    varint(&mut steps, length << 2 | 2);
    steps.push(kind);
    steps.extend_from_slice(rest);
    steps
}

#[test]
fn what_is_inflated_must_stand_there_with_that_length() {
    let length = TEXT.len() as u64;
    let copied = script().copy(5).with(b"short");
    let made = |index, steps: &[u8]| Forged::file(5).against(index, steps).make(&copied);
    assert_eq!(made(0, &inflating(5, length, 0, &[])).unwrap(), b"short");
    assert_eq!(made(3, &inflating(0, length, 1, &[])).unwrap(), b"short");

    for (name, index, steps) in [
        ("shorter", 0, inflating(5, length + 1, 0, &[])),
        ("longer", 0, inflating(5, length - 1, 0, &[])),
        ("nowhere", 0, inflating(4, length, 0, &[])),
        ("text", 2, inflating(0, length, 0, &[])),
        ("text as zlib", 2, inflating(0, length, 1, &[])),
        ("deflate as zlib", 0, inflating(5, length, 1, &[])),
        ("no chunks", 0, inflating(0, length, 2, &[])),
        ("a chunk of another type", 1, inflating(8, 108, 2, &[])),
        ("no digits", 1, inflating(0, length, 3, &[])),
        ("digits of nothing", 2, inflating(0, length, 3, &[])),
        ("the end of the file", 2, inflating(length, 5, 0, &[])),
        (
            "zlib at the end of the file",
            2,
            inflating(length - 1, 5, 1, &[]),
        ),
    ] {
        let result = made(index, &steps);
        assert!(
            matches!(result, Err(DeltaError::Malformed { .. })),
            "{name}: {result:?}"
        );
    }
    // What is taken behind a stream must be there as well.
    let mut steps = inflating(5, length, 0, &[]);
    steps[0] = 3;
    steps.push(7 << 2);
    assert!(matches!(
        made(0, &steps),
        Err(DeltaError::Malformed {
            place: "opening",
            ..
        })
    ));
}

#[test]
fn old_images_are_opened_only_as_what_they_are() {
    let png = old().files[1].clone();
    let at = png.windows(4).position(|window| window == b"IDAT").unwrap() as u64 - 4;
    let palette = png.windows(4).position(|window| window == b"PLTE").unwrap() as u64 + 4;
    let copied = script().copy(5).with(b"short");
    let made = |rest: &[u8], kind: u8, length| {
        let steps = inflating(at, length, kind, rest);
        Forged::file(5).against(1, &steps).make(&copied)
    };
    let rows = 12 * 9;
    assert!(made(&[], 2, rows).is_ok());
    assert!(made(&[9, 1], 2 | 64, rows).is_ok());
    for (stride, pixel) in [(0, 1), (1, 1), (9, 0), (10, 1), (109, 1)] {
        let result = made(&[stride, pixel], 2 | 64, rows);
        assert!(
            matches!(result, Err(DeltaError::Malformed { .. })),
            "{stride}, {pixel}"
        );
    }
    let converted = |pixel: u8, colours: u8, depth: u8, width: u8, start: u64, count: u64| {
        let mut rest = vec![9, 1, pixel, colours, depth, width];
        for number in [start, count, start + count + 8, 2] {
            varint(&mut rest, number);
        }
        made(&rest, 2 | 64 | 32, rows)
    };
    let whole = converted(4, 3, 8, 8, palette, 30);
    assert!(whole.is_ok(), "{whole:?}");
    for (name, result) in [
        ("two bytes", converted(2, 3, 8, 8, palette, 30)),
        ("five bytes", converted(5, 3, 8, 8, palette, 30)),
        ("no colours", converted(4, 5, 8, 8, palette, 30)),
        ("no bits", converted(4, 3, 0, 8, palette, 30)),
        ("sixteen bits", converted(4, 3, 16, 8, palette, 30)),
        ("too wide", converted(4, 3, 8, 9, palette, 30)),
        ("too narrow", converted(4, 3, 8, 7, palette, 30)),
        ("no width", converted(4, 3, 8, 0, palette, 30)),
        (
            "a palette outside",
            converted(4, 3, 8, 8, png.len() as u64, 30),
        ),
        (
            "a palette without end",
            converted(4, 3, 8, 8, u64::MAX - 60, 30),
        ),
    ] {
        assert!(
            matches!(result, Err(DeltaError::Malformed { .. })),
            "{name}: {result:?}"
        );
    }
    // Conversion of what is no image, or of what has streams in it.
    assert!(matches!(
        made(&[], 2 | 32, rows),
        Err(DeltaError::Malformed { place: "plan", .. })
    ));
    let nested = made(&[1, 5 << 2], 2 | 64 | 128, rows);
    assert!(matches!(
        nested,
        Err(DeltaError::Malformed { place: "plan", .. })
    ));
    // What a conversion would make is limited before it is made.
    let mut rest = vec![2, 1, 4, 3, 1];
    varint(&mut rest, 1 << 40);
    rest.extend([0, 0, 0, 0]);
    let result = made(&rest, 2 | 64 | 32, rows);
    let is_refused = matches!(
        result,
        Err(DeltaError::Limit { .. } | DeltaError::Malformed { .. })
    );
    assert!(is_refused, "{result:?}");
}

#[test]
fn damaged_old_containers_end_before_they_are_inflated() {
    let bytes = Forge::over(&old())
        .newest()
        .record(keep(4))
        .record(insert_built(0, "new", 5))
        .opened_group(8, ROOM)
        .frame_with_steps(0, 0, &opening(), 8, &script().copy(5).with(b"shorter")[..8])
        .delta();
    let mut damaged = old();
    damaged.files[0] = noise(damaged.files[0].len(), 1);
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    let plan = delta.plan(&damaged.listing).unwrap();
    let made = Applier::new(&delta, &plan, damaged.tree()).apply(&MemorySink::default());
    assert!(matches!(made, Err(DeltaError::DamagedOld { .. })));
}
