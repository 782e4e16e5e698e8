//! Any recipe over any plaintext, with and without an old stream, ends; and where it is one of zlib's
//! settings, what it makes inflates to the plaintext again.
#![no_main]

mod container_tree;
mod forged;
mod made;

use std::io::Read;

use flate2::read::DeflateDecoder;
use forged::{Fields, Forged, ForgedFrame, STORE, Sources, applied, is_of_plan, limits, varint};
use libfuzzer_sys::fuzz_target;

use container_tree::{OLD, PLACES};

/// The first kind of recipe that may make a stream of another plaintext.
const TOKENS: u8 = 5;
/// The bit of a stream that follows an old one.
const HAS_OLD: u8 = 1 << 6;
/// More than a recipe for a short plaintext makes, unless it is hostile.
const LONGEST: u64 = 1 << 16;

// 1 byte: the old stream in its lowest two bits (3: none), and the plaintext in the next two: that of the
// stream, or none, before the bytes of the input; 2 bytes and the recipe; the rest is of the plaintext.
fuzz_target!(|bytes: &[u8]| {
    let mut fields = Fields(bytes);
    let shape = fields.byte();
    let old = PLACES.get(usize::from(shape & 3)).map(|_| shape & 3);
    let length = fields.short() % 1024;
    let recipe = fields.slice(length);
    let mut plain = Vec::new();
    if let Some(place) = PLACES.get(usize::from(shape >> 2 & 3)) {
        plain.extend_from_slice(&place.plain);
    }
    plain.extend_from_slice(fields.rest());

    let mut script = Vec::new();
    varint(&mut script, (plain.len() as u64) << 2 | 2);
    script.push(if old.is_some() { HAS_OLD } else { 0 });
    varint(&mut script, recipe.len() as u64);
    script.extend_from_slice(recipe);
    if old.is_some() {
        varint(&mut script, 0);
    }
    let mut content = Vec::new();
    varint(&mut content, script.len() as u64);
    content.extend_from_slice(&script);
    content.extend_from_slice(&plain);

    let mut sources = Sources::default();
    if let Some(old) = old {
        sources.stream(usize::from(old), false);
    }
    let frame = ForgedFrame {
        method: STORE,
        sources: &sources,
        decoded: content.len() as u64,
        bytes: &content,
    };
    let forged = |length: u64| {
        Forged {
            lengths: &[length],
            opened: Some(1 << 20),
            frames: &[ForgedFrame { ..frame }],
        }
        .delta()
    };
    // How long the stream is shows when it is made.
    let (written, _) = applied(&OLD, &forged(LONGEST), &limits());
    let (_, made) = applied(&OLD, &forged(written), &limits());
    assert!(!is_of_plan(&made), "the forged plan is refused");
    let is_zlib = recipe.first().is_some_and(|first| first >> 4 < TOKENS);
    if let Ok(files) = made
        && is_zlib
    {
        let mut inflated = Vec::new();
        let mut decoder = DeflateDecoder::new(&files[0][..]);
        decoder.read_to_end(&mut inflated).expect("zlib made it");
        assert!(inflated == plain, "zlib made a stream of something else");
    }
});
