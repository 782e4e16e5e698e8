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

/// How a zip archive tells lengths.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ZipForm {
    /// In extra fields of 64 bits, and in zip64's own end.
    pub(crate) is_64: bool,
    /// Behind the data.
    pub(crate) has_descriptors: bool,
}

/// Returns a zip archive.
pub(crate) fn zip<N: AsRef<str>, P: AsRef<[u8]>>(entries: &[(N, P, Packed)]) -> Vec<u8> {
    zip_of(ZipForm::default(), entries)
}

/// Returns a zip archive of a form.
pub(crate) fn zip_of<N: AsRef<str>, P: AsRef<[u8]>>(
    form: ZipForm,
    entries: &[(N, P, Packed)],
) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, plain, packed) in entries {
        let (name, plain) = (name.as_ref(), plain.as_ref());
        let data = match packed {
            Packed::Deflated(level) if !plain.is_empty() => deflate(plain, *level),
            Packed::Foreign if !plain.is_empty() => foreign_deflate(plain),
            _ => plain.to_vec(),
        };
        let is_stored = plain.is_empty() || matches!(packed, Packed::Stored);
        let crc = crc32fast::hash(plain).to_le_bytes();
        let lengths = [data.len(), plain.len()];
        let version = if form.is_64 { 45 } else { 20 };
        let flags = if form.has_descriptors { 8 } else { 0 };
        let method = if is_stored { 0 } else { 8 };
        let start = [version, 0, flags, 0, method, 0, 0x21, 0x50, 0x65, 0x50];

        let told = if form.has_descriptors {
            [0, 0]
        } else {
            lengths
        };
        let told_crc = if form.has_descriptors { [0; 4] } else { crc };
        let local = le32(file.len());
        let extra = form.extra(&[told[1], told[0]]);
        file.extend([b"PK\x03\x04", &start[..], &told_crc].concat());
        file.extend(told.map(|length| form.short(length)).concat());
        file.extend([le16(name.len()), le16(extra.len())].concat());
        file.extend([name.as_bytes(), &extra, &data].concat());
        if form.has_descriptors {
            file.extend([&b"PK\x07\x08"[..], &crc].concat());
            file.extend(lengths.map(|length| form.length(length)).concat());
        }

        let extra = form.extra(&[lengths[1], lengths[0]]);
        directory.extend([b"PK\x01\x02", &[version, 0][..], &start, &crc].concat());
        directory.extend(lengths.map(|length| form.short(length)).concat());
        directory.extend([le16(name.len()), le16(extra.len())].concat());
        directory.extend([&[0; 10][..], &local, name.as_bytes(), &extra].concat());
    }
    let end = form.end(entries.len(), directory.len(), file.len());
    [file, directory, end].concat()
}

impl ZipForm {
    /// Returns a length where there are 32 bits for it.
    fn short(self, length: usize) -> [u8; 4] {
        if self.is_64 { [0xff; 4] } else { le32(length) }
    }

    /// Returns a length in full.
    fn length(self, length: usize) -> Vec<u8> {
        let zeros = if self.is_64 { 4 } else { 0 };
        [&le32(length)[..], &vec![0; zeros]].concat()
    }

    /// Returns the extra field with these lengths, if there is one.
    fn extra(self, lengths: &[usize]) -> Vec<u8> {
        if !self.is_64 {
            return Vec::new();
        }
        let lengths: Vec<u8> = lengths.iter().flat_map(|l| self.length(*l)).collect();
        [&[1, 0], &le16(lengths.len())[..], &lengths].concat()
    }

    /// Returns what stands behind the directory.
    fn end(self, entries: usize, length: usize, start: usize) -> Vec<u8> {
        let mut end = Vec::new();
        if self.is_64 {
            let place = self.length(start + length);
            end.extend([b"PK\x06\x06", &self.length(44)[..], &[45, 0, 45, 0]].concat());
            end.extend([0; 8]);
            for number in [entries, entries, length, start] {
                end.extend(self.length(number));
            }
            end.extend([b"PK\x06\x07", &[0; 4][..], &place, &le32(1)].concat());
        }
        let count = if self.is_64 { [0xff; 2] } else { le16(entries) };
        end.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count].concat());
        end.extend([self.short(length), self.short(start)].concat());
        end.extend([0, 0]);
        end
    }
}

/// Returns a font of version 1 of WOFF, of tables that are packed where that makes them shorter.
pub(crate) fn woff<P: AsRef<[u8]>>(tables: &[(&str, P)], level: u8) -> Vec<u8> {
    let (mut directory, mut data) = (Vec::new(), Vec::new());
    let start = 44 + 20 * tables.len();
    for (tag, table) in tables {
        let table = table.as_ref();
        let packed = zlib(table, &deflate(table, level));
        let stored = if packed.len() < table.len() {
            &packed
        } else {
            table
        };
        directory.extend_from_slice(tag.as_bytes());
        for number in [start + data.len(), stored.len(), table.len(), 7] {
            directory.extend(be32(number));
        }
        data.extend_from_slice(stored);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let length = be32(start + data.len());
    let count = le16(tables.len());
    let mut file = [b"wOFF\0\x01\0\0", &length[..], &[count[1], count[0]]].concat();
    file.resize(44, 0);
    [file, directory, data].concat()
}

/// Returns a tar archive.
pub(crate) fn tar<P: AsRef<[u8]>>(files: &[(&str, P)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let content = content.as_ref();
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156..162].copy_from_slice(b"0ustar");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
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

fn le16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_le_bytes()
}

fn le32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_le_bytes()
}

fn be32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}
