//! Whatever two trees hold, the delta of one to the other proves.
#![no_main]

mod container_tree;
mod forged;
mod made;

use diff_core::{CancelToken, Differ, Level, Limits, Silent, prove};
use forged::Fields;
use libfuzzer_sys::fuzz_target;

use container_tree::{MemoryTree, gzip, png, text, zip, zlib};

const LONGEST: usize = 4096;

// 1 byte: the container, the engine's level, and whether the plaintext starts with some prose; 1 byte: how
// hard the old and the new one are compressed; 5 bytes: where the new plaintext differs, in how many bytes
// of the old and by how many bytes of the input; the rest is of the plaintext.
fuzz_target!(|bytes: &[u8]| {
    let mut fields = Fields(bytes);
    let shape = fields.byte();
    let hard = fields.byte();
    let (at, without) = (fields.short(), usize::from(fields.byte()));
    let with = fields.short() % 64;
    let with = fields.slice(with);
    let mut before = Vec::new();
    if shape & 16 != 0 {
        before = text(u32::from(hard));
    }
    let rest = fields.rest();
    before.extend_from_slice(&rest[..rest.len().min(LONGEST)]);
    let mut after = before.clone();
    let at = at % (after.len() + 1);
    after.splice(at..(at + without).min(before.len()), with.iter().copied());

    let file = |plain: &[u8], hard: u8| packed(shape, plain, u32::from(hard % 10));
    let new = MemoryTree::new(vec![
        ("a", file(&after, hard / 16)),
        ("b", after.clone()),
        ("c", file(&before, hard / 16)),
    ]);
    let old = MemoryTree::new(vec![("a", file(&before, hard % 16)), ("d", before)]);
    let level = match shape >> 5 {
        0 => Level::Fast,
        1 => Level::Best,
        _ => Level::Default,
    };
    let mut delta = Vec::new();
    let differ = Differ::new(old.tree(), new.tree()).level(level);
    differ.write_to(&mut delta).expect("memory takes all");
    let proved = prove(
        old.tree(),
        new.tree(),
        &delta,
        &Limits::standard(),
        &Silent,
        &CancelToken::new(),
    );
    proved.expect("what the engine writes it can read");
});

/// Returns a container with this plaintext, or the plaintext itself.
fn packed(shape: u8, plain: &[u8], level: u32) -> Vec<u8> {
    match shape & 15 {
        1 => gzip(plain, level),
        2 => zip(plain, level),
        3 => png(&image(plain), level, 100),
        4 => [b"before", &zlib(plain, level)[..], b"behind"].concat(),
        5 => pdf(plain, level),
        6 => gzip(&zip(plain, level), 9),
        7 => zip(&png(&image(plain), level, 1 << 13), 6),
        8 => gzip(&pdf(plain, level), 1),
        9 => [zip(plain, level), b"behind".to_vec()].concat(),
        10 => [gzip(plain, level), gzip(plain, 9 - level)].concat(),
        11 => [&gzip(plain, level)[..], plain].concat(),
        _ => plain.to_vec(),
    }
}

/// Returns whole rows of 16 pixels, whose filters are any.
fn image(plain: &[u8]) -> Vec<u8> {
    let mut rows = plain.to_vec();
    rows.resize(plain.len().next_multiple_of(17), 0);
    for row in rows.chunks_mut(17) {
        row[0] %= 6;
    }
    rows
}

fn pdf(plain: &[u8], level: u32) -> Vec<u8> {
    let stream = zlib(plain, level);
    let dictionary = format!(
        "%PDF-1.4\n1 0 obj\n<< /Filter /FlateDecode /Length {} >>\nstream\n",
        stream.len()
    );
    let end = b"\nendstream\nendobj\n%%EOF\n";
    [dictionary.as_bytes(), &stream, end].concat()
}
