//! Any bytes that are taken for an image's coded rows give such rows, or are refused.
#![no_main]

mod container_tree;
mod forged;
mod made;

use forged::{Fields, Forged, ForgedFrame, STORE, Sources, applied, is_of_plan, limits, varint};
use libfuzzer_sys::fuzz_target;

/// What the pixels are made of.
const NUMBERS: u8 = 1 << 7;
/// A stream that makes an image, bare: its rows are coded.
const CODED_ROWS: u8 = 1 << 5 | 1 << 7;

// 1 byte: the bytes of a pixel, and the bit above; 1 byte each: the pixels of a row, the rows, and the level of
// zlib; 2 bytes: the file's length; the coded rows.
fuzz_target!(|bytes: &[u8]| {
    let mut fields = Fields(bytes);
    let shape = fields.byte();
    let pixel = u64::from(shape & 15);
    let [width, height, level] = [fields.byte(), fields.byte(), fields.byte()];
    let length = fields.short() as u64;
    let coded = fields.rest();
    let stride = u64::from(width) * pixel + 1;
    let mut script = Vec::new();
    varint(&mut script, (stride * u64::from(height)) << 2 | 2);
    script.push(CODED_ROWS);
    varint(&mut script, stride);
    varint(&mut script, pixel);
    let numbers = u64::from(shape & NUMBERS != 0);
    varint(&mut script, (coded.len() as u64) << 1 | numbers);
    script.extend([1, level & 15]);
    let mut content = Vec::new();
    varint(&mut content, script.len() as u64);
    content.extend_from_slice(&script);
    content.extend_from_slice(coded);
    let none = Sources::default();
    let forged = Forged {
        lengths: &[length],
        opened: Some(8 << 20),
        frames: &[ForgedFrame {
            method: STORE,
            sources: &none,
            decoded: content.len() as u64,
            bytes: &content,
        }],
    };
    let (_, made) = applied(&container_tree::OLD, &forged.delta(), &limits());
    assert!(!is_of_plan(&made), "the forged plan is refused");
    if let Ok(files) = made {
        assert_eq!(files.iter().map(Vec::len).sum::<usize>() as u64, length);
    }
});
