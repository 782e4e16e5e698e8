//! What stands around a stream is followed as a script tells it, or refused with what is wrong.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use diff_core::{Applier, Delta, DeltaError, Limits};

use support::containers::{deflate, zlib};
use support::forge::{Forge, insert_built, keep, varint};
use support::forged::{Forged, TEXT, assert_refusal};
use support::script::{Script, ZLIB_6};
use support::{MemorySink, MemoryTree};

const ZLIB: u8 = 1;
const IDAT: u8 = 2;
const ASCII85: u8 = 3;
/// Says that the two bytes of the zlib header follow.
const OTHER_HEADER: u8 = 4 << 2;

/// Returns content whose only stream has [`TEXT`] in it; `fields` stand between its bits and its recipe.
fn wrapped(bits: u8, fields: &[u8]) -> Vec<u8> {
    let step = Script::default().step(2, TEXT.len() as u64);
    step.raw(&[bits]).raw(fields).recipe(ZLIB_6).with(TEXT)
}

fn number(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(&mut bytes, value);
    bytes
}

#[test]
fn zlib_headers_are_the_usual_ones_or_written_out() {
    let data = zlib(TEXT, &deflate(TEXT, 6));
    let forged = Forged::file(data.len());
    for (bits, fields, header) in [
        (ZLIB, &[][..], [0x78, 0x01]),
        (ZLIB | 1 << 2, &[], [0x78, 0x5e]),
        (ZLIB | 2 << 2, &[], [0x78, 0x9c]),
        (ZLIB | 3 << 2, &[], [0x78, 0xda]),
        (ZLIB | OTHER_HEADER, &[0x38, 0x11], [0x38, 0x11]),
    ] {
        let made = forged.make(&wrapped(bits, fields)).unwrap();
        assert_eq!(made, [&header, &data[2..]].concat());
    }
    for place in 5..8_u8 {
        let told = format!("up to 4, found {place}");
        assert_refusal(&forged, &wrapped(ZLIB | place << 2, &[]), "script", &told);
        let told = format!("no zlib header, found number {place}");
        assert_refusal(&forged, &wrapped(place << 2, &[]), "script", &told);
    }
}

#[test]
fn chunks_have_a_length_that_png_allows_and_fill_it() {
    let data = zlib(TEXT, &deflate(TEXT, 6));
    let forged = Forged::file(data.len() + 2 * 12);
    let made = forged.make(&wrapped(IDAT | 2 << 2, &number(40))).unwrap();
    assert_eq!(made[..8], *b"\0\0\0\x28IDAT");
    assert_eq!(made[8..48], data[..40]);
    for length in [0, 1 << 31, u64::from(u32::MAX) + 2, u64::MAX] {
        let content = wrapped(IDAT, &number(length));
        let told = format!("1 to 2147483647 bytes, found {length}");
        assert_refusal(&forged, &content, "script", &told);
    }
    let told = format!("a chunk of 1048577 bytes gets {}", data.len());
    let unfilled = wrapped(IDAT, &number((1 << 20) + 1));
    // What came of it until then is no file's.
    assert_refusal(
        &Forged::file(2 << 20),
        &unfilled,
        "compressed stream",
        &told,
    );
    // Chunks of one byte each make more than the file has.
    assert_refusal(&forged, &wrapped(IDAT, &number(1)), "group", "no file");
}

#[test]
fn lines_of_text_have_a_width_and_an_end() {
    let lines = |width: u64, end: u8| [number(width), vec![end]].concat();
    let length = 5 * zlib(TEXT, &deflate(TEXT, 6)).len() / 4 + 10;
    for (end, bytes) in [(0, &b"\n"[..]), (1, b"\r\n"), (2, b"\r"), (4, b"\n")] {
        let content = wrapped(ASCII85 | 2 << 2, &lines(40, end));
        // The file is longer: what is missing behind the text is told last.
        let (place, problem) = Forged::file(2 * length).refusal(&content);
        assert_eq!((place, problem.contains("are missing")), ("group", true));
        let made = made_of(&content, 2 * length);
        assert_eq!(made[40..40 + bytes.len()], *bytes);
        assert_eq!(made.ends_with(b"\n~>"), end == 4);
    }
    let forged = Forged::file(length);
    for (fields, told) in [
        (lines(65_536, 0), "at most 65535 wide, found 65536"),
        (
            lines(u64::MAX, 0),
            "at most 65535 wide, found 18446744073709551615",
        ),
        (lines(40, 3), "found 3"),
        (lines(40, 7), "found 7"),
        (lines(40, 8), "found 8"),
        (lines(40, 255), "found 255"),
    ] {
        assert_refusal(&forged, &wrapped(ASCII85, &fields), "script", told);
    }
}

#[test]
fn wrappings_that_are_cut_off_are_refused() {
    for (bits, fields) in [
        (ZLIB | OTHER_HEADER, &[][..]),
        (ZLIB | OTHER_HEADER, &[0x78]),
        (IDAT, &[]),
        (IDAT, &[0x80]),
        (ASCII85, &[]),
        (ASCII85, &[40]),
        (ASCII85 | OTHER_HEADER, &[0x78, 0x9c]),
    ] {
        let step = Script::default().step(2, 5).raw(&[bits]).raw(fields);
        let (place, _) = Forged::file(5).refusal(&step.with(b""));
        assert_eq!(place, "script", "{bits} {fields:?}");
    }
}

/// Returns what a delta makes before it is found to make too little.
fn made_of(content: &[u8], length: usize) -> Vec<u8> {
    let nothing = MemoryTree::empty();
    let bytes = Forge::over(&nothing)
        .newest()
        .record(insert_built(0, "new", length as u64))
        .opened_group(content.len() as u64, 1 << 20)
        .frame(0, &[], content.len() as u64, content)
        .delta();
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    let plan = delta.plan(&nothing.listing).unwrap();
    let sink = MemorySink::default();
    let made = Applier::new(&delta, &plan, nothing.tree()).apply(&sink);
    assert!(made.is_err());
    sink.bytes("new")
}

/// Returns why an old file is not opened whose stream is said to be wrapped so.
fn unopened(file: &[u8], shape: u8) -> (&'static str, String) {
    let old = MemoryTree::new(&[("old", file)]);
    let mut steps = vec![1];
    varint(&mut steps, (TEXT.len() as u64) << 2 | 2);
    steps.push(shape);
    let bytes = Forge::over(&old)
        .newest()
        .record(keep(1))
        .record(insert_built(0, "zoo", 5))
        .opened_group(7, 1 << 20)
        .frame_with_steps(1, 0, &steps, 7, b"unread")
        .delta();
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    let plan = delta.plan(&old.listing).unwrap();
    let made = Applier::new(&delta, &plan, old.tree()).apply(&MemorySink::default());
    match made {
        Err(DeltaError::Malformed { place, problem, .. }) => (place, problem),
        other => panic!("expected what is malformed, found {other:?}"),
    }
}

/// Returns an IDAT chunk; nobody reads its checksum.
fn idat(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length, &b"IDAT"[..], data, &[0; 4]].concat()
}

#[test]
fn old_streams_are_opened_only_out_of_what_they_are_said_to_stand_in() {
    let data = zlib(TEXT, &deflate(TEXT, 6));
    let short = zlib(&TEXT[..50], &deflate(&TEXT[..50], 6));
    let lengths = format!("50 bytes instead of {}", TEXT.len());
    for (name, shape, file, told) in [
        ("text", ZLIB, TEXT.to_vec(), "63 65 starts no zlib stream"),
        ("a shorter stream", ZLIB, short.clone(), lengths.as_str()),
        (
            "cut off",
            ZLIB,
            data[..data.len() - 1].to_vec(),
            "does not end",
        ),
        ("no chunk", IDAT, data.clone(), "does not end"),
        (
            "a cut chunk",
            IDAT,
            idat(&data)[..40].to_vec(),
            "does not end",
        ),
        ("a shorter chunk", IDAT, idat(&short), lengths.as_str()),
        (
            "text in a chunk",
            IDAT,
            idat(TEXT),
            "63 65 starts no zlib stream",
        ),
        (
            "more in the chunk",
            IDAT,
            idat(&[&data[..], b"more"].concat()),
            "holds more than the stream",
        ),
        ("no digit", ASCII85, b"Gap{".to_vec(), "7b does not go on"),
        (
            "a group too high",
            ASCII85,
            b"uuuuu~>".to_vec(),
            "75 does not go on",
        ),
        (
            "a lonely digit",
            ASCII85,
            b"Gap!!!~>".to_vec(),
            "7e does not go on",
        ),
        ("no end", ASCII85, b"Gap!!".to_vec(), "ends without ~>"),
        (
            "a lonely tilde",
            ASCII85,
            b"Gap!!~".to_vec(),
            "7e does not go on",
        ),
        (
            "another stream",
            ASCII85,
            b"!!!!!~>".to_vec(),
            "00 00 starts no zlib stream",
        ),
    ] {
        let (place, problem) = unopened(&file, shape);
        assert_eq!(place, "compressed stream", "{name}: {problem}");
        assert!(problem.contains(told), "{name}: {problem}");
    }
}
