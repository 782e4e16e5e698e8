//! Containers whose streams are what zlib, or an encoder that nobody knows, would have made.

use std::fmt::Write as _;

use diff_core::{Applier, Delta, Limits};

use super::forge::{Forge, insert_built, varint};
use super::{MemorySink, MemoryTree};

/// Returns what zlib's `level` makes of a plaintext: the bytes that a device rebuilds by a recipe of one
/// byte, as far as they come before it finds that the file should have been longer.
pub(crate) fn deflate(plain: &[u8], level: u8) -> Vec<u8> {
    assert!(!plain.is_empty());
    let mut script = Vec::new();
    varint(&mut script, (plain.len() as u64) << 2 | 2);
    script.extend([0, 1, level]);
    let mut content = Vec::new();
    varint(&mut content, script.len() as u64);
    content.extend(script);
    content.extend_from_slice(plain);
    let nothing = MemoryTree::empty();
    let delta = Forge::over(&nothing)
        .newest()
        .record(insert_built(0, "d", 2 * plain.len() as u64 + 1000))
        .opened_group(content.len() as u64, 2 * plain.len() as u64 + 1000)
        .frame(0, &[], content.len() as u64, &content)
        .delta();
    let delta = Delta::parse(&delta, &Limits::standard()).unwrap();
    let plan = delta.plan(&nothing.listing).unwrap();
    let sink = MemorySink::default();
    let made = Applier::new(&delta, &plan, nothing.tree()).apply(&sink);
    assert!(made.unwrap_err().to_string().contains("are missing"));
    sink.bytes("d")
}

/// Returns a deflate stream of fixed codes and short matches, which no setting of zlib makes.
pub(crate) fn foreign_deflate(plain: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0b011, 3);
    let mut at = 0;
    while at < plain.len() {
        // Matches of four bytes, one to four bytes back, where they start at a multiple of three.
        let distance = (1..=4_usize).find(|distance| {
            at % 3 == 0
                && at >= *distance
                && at + 4 <= plain.len()
                && (at..at + 4).all(|place| plain[place] == plain[place - distance])
        });
        if let Some(distance) = distance {
            bits.put_code(2, 7);
            bits.put_code(u32::try_from(distance).unwrap() - 1, 5);
            at += 4;
        } else {
            match u32::from(plain[at]) {
                byte @ 0..144 => bits.put_code(0x30 + byte, 8),
                byte => bits.put_code(0x190 + byte - 144, 9),
            }
            at += 1;
        }
    }
    bits.put_code(0, 7);
    bits.finish()
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    waiting: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.waiting |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.waiting.to_le_bytes()[0]);
            self.waiting >>= 8;
            self.count -= 8;
        }
    }

    fn put_code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(0, 7);
        self.bytes
    }
}

/// Returns zlib data with this deflate stream.
pub(crate) fn zlib(plain: &[u8], deflate: &[u8]) -> Vec<u8> {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in plain {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    let adler = (high << 16 | low).to_be_bytes();
    [&[0x78, 0x9c], deflate, &adler].concat()
}

/// What becomes of an entry of a zip archive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packed {
    Stored,
    /// By a level of zlib.
    Deflated(u8),
    /// By an encoder that nobody knows.
    Foreign,
}

/// Returns a zip archive.
pub(crate) fn zip<N: AsRef<str>, P: AsRef<[u8]>>(entries: &[(N, P, Packed)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, plain, packed) in entries {
        let (name, plain) = (name.as_ref(), plain.as_ref());
        let data = match packed {
            Packed::Deflated(level) if !plain.is_empty() => deflate(plain, *level),
            Packed::Foreign if !plain.is_empty() => foreign_deflate(plain),
            _ => plain.to_vec(),
        };
        let is_stored = plain.is_empty() || matches!(packed, Packed::Stored);
        let mut shared = vec![20, 0, 0, 0, if is_stored { 0 } else { 8 }, 0];
        shared.extend([0x21, 0x50, 0x65, 0x50]);
        shared.extend(crc32fast::hash(plain).to_le_bytes());
        shared.extend(le32(data.len()));
        shared.extend(le32(plain.len()));
        shared.extend([&le32(name.len())[..2], &[0, 0]].concat());
        let local = le32(file.len());
        for part in [b"PK\x03\x04", &shared[..], name.as_bytes(), &data] {
            file.extend_from_slice(part);
        }
        let behind = [&[0; 10][..], &local].concat();
        for part in [b"PK\x01\x02\x14\0", &shared[..], &behind, name.as_bytes()] {
            directory.extend_from_slice(part);
        }
    }
    let count = &le32(entries.len())[..2];
    let (start, length) = (le32(file.len()), le32(directory.len()));
    let end = [
        b"PK\x05\x06\0\0\0\0",
        count,
        count,
        &length,
        &start,
        &[0, 0],
    ]
    .concat();
    [file, directory, end].concat()
}

/// Returns a gzip file.
pub(crate) fn gzip(plain: &[u8], deflate: &[u8]) -> Vec<u8> {
    let mut file = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03page.html\0".to_vec();
    file.extend_from_slice(deflate);
    file.extend(crc32fast::hash(plain).to_le_bytes());
    file.extend(le32(plain.len()));
    file
}

/// Returns a PDF file of streams, each as it is or as ASCII85 text of lines so long.
pub(crate) fn pdf<P: AsRef<[u8]>>(streams: &[(P, Option<usize>)], level: u8) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n".to_vec();
    for (number, (plain, text)) in streams.iter().enumerate() {
        let plain = plain.as_ref();
        let data = zlib(plain, &deflate(plain, level));
        let filter = match text {
            None => "/FlateDecode",
            Some(_) => "[/ASCII85Decode /FlateDecode]",
        };
        let data = text.map_or(data.clone(), |width| ascii85(&data, width));
        let mut front = String::new();
        let length = data.len();
        write!(front, "{number} 0 obj\n<</Length {length}").unwrap();
        write!(front, "/Filter {filter}>>\nstream\n").unwrap();
        file.extend(front.bytes());
        file.extend(data);
        file.extend(b"\nendstream\nendobj\n");
    }
    file.extend(b"trailer\n<</Size 9>>\n%%EOF\n");
    file
}

fn ascii85(data: &[u8], width: usize) -> Vec<u8> {
    let mut digits = Vec::new();
    for group in data.chunks(4) {
        let mut bytes = [0; 4];
        bytes[..group.len()].copy_from_slice(group);
        let value = u32::from_be_bytes(bytes);
        if value == 0 && group.len() == 4 {
            digits.push(b'z');
            continue;
        }
        let places = [52_200_625, 614_125, 7225, 85, 1];
        let digit = |place: u32| b'!' + (value / place % 85).to_le_bytes()[0];
        digits.extend(places.map(digit).into_iter().take(group.len() + 1));
    }
    let lines: Vec<&[u8]> = digits.chunks(width).collect();
    [&lines.join(&b'\n')[..], b"~>"].concat()
}

fn le32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_le_bytes()
}
