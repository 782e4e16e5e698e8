//! An old tree with a text, a gzip file, a zip file and a PNG image in it, made once and in memory, and
//! where the streams in it stand.
#![allow(dead_code, reason = "each target that shares it uses its own part")]

use std::io::{self, Write};
use std::sync::LazyLock;

use diff_core::{ContentPath, Contents, Digest, Entry, FileBytes, Limits, Listing, Tree};
use flate2::write::{DeflateEncoder, ZlibEncoder};
use flate2::{Compression, Crc};

/// A tree in memory.
pub struct MemoryTree {
    pub listing: Listing,
    pub files: Vec<Vec<u8>>,
}

impl MemoryTree {
    /// Returns the tree of these files, which are in the order of their paths.
    pub fn new(files: Vec<(&str, Vec<u8>)>) -> MemoryTree {
        let entry = |(path, content): &(&str, Vec<u8>)| Entry {
            path: ContentPath::parse(path).expect("it is a content path"),
            length: content.len() as u64,
            digest: Digest::of(content),
        };
        let entries = files.iter().map(entry).collect();
        let listing = Listing::new(entries, &Limits::standard()).expect("it is a tree");
        let files = files.into_iter().map(|(_, content)| content).collect();
        MemoryTree { listing, files }
    }

    pub fn tree(&self) -> Tree<'_> {
        Tree {
            listing: &self.listing,
            contents: self,
        }
    }
}

impl Contents for MemoryTree {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        let content = self.files.get(index).ok_or(io::ErrorKind::NotFound)?;
        Ok(FileBytes::Owned(content.clone()))
    }
}

/// A deflate stream in a file of the tree.
pub struct Place {
    /// The file's index.
    pub file: usize,
    /// Where it starts, with what is wrapped around it.
    pub start: usize,
    pub plain: Vec<u8>,
    /// Its packing's number in the delta format.
    pub packing: u8,
}

pub static OLD: LazyLock<MemoryTree> = LazyLock::new(|| {
    MemoryTree::new(vec![
        ("a.txt", text(3)),
        ("b.gz", gzip(&text(5), 6)),
        ("c.zip", zip(&text(7), 9)),
        ("d.png", png(&rows(), 6, 64)),
    ])
});

/// The streams of the gzip file, of the zip file and of the image.
pub static PLACES: LazyLock<[Place; 3]> = LazyLock::new(|| {
    [
        (1, GZIP_HEADER.len(), text(5), 0),
        (2, ZIP_HEADER_BYTES, text(7), 0),
        (3, PNG_HEADER_BYTES, rows(), 2),
    ]
    .map(|(file, start, plain, packing)| Place {
        file,
        start,
        plain,
        packing,
    })
});

/// Bytes of a row of the image, the filter's included.
pub const STRIDE: usize = 17;
const HEIGHT: usize = 12;

/// Returns about 600 bytes that repeat as prose does.
pub fn text(seed: u32) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "cells ", "divide ", "and ", "grow, ", "water ", "flows ", "down.\n", "The ",
    ];
    let mut state = seed;
    let mut text = Vec::new();
    for _ in 0..110 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(WORDS[(state >> 29) as usize].as_bytes());
    }
    text
}

/// Returns the rows of an image of 16 by 12 pixels with a palette.
pub fn rows() -> Vec<u8> {
    let row = |y: usize| {
        let filter = u8::try_from(y % 5).expect("there are five filters");
        let pixel = move |x: usize| u8::try_from((x * y / 7) % 16).expect("it is below 16");
        std::iter::once(filter).chain((1..STRIDE).map(pixel))
    };
    (0..HEIGHT).flat_map(row).collect()
}

pub fn deflate(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level.min(9)));
    encoder.write_all(plain).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

pub fn zlib(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level.min(9)));
    encoder.write_all(plain).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

pub fn gzip(plain: &[u8], level: u32) -> Vec<u8> {
    let stream = deflate(plain, level);
    [
        &GZIP_HEADER[..],
        &stream,
        &crc(plain).to_le_bytes(),
        &length(plain).to_le_bytes(),
    ]
    .concat()
}

/// Returns a zip file with one deflated entry.
pub fn zip(plain: &[u8], level: u32) -> Vec<u8> {
    let stream = deflate(plain, level);
    let common = [
        &[20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0][..],
        &crc(plain).to_le_bytes(),
        &length(&stream).to_le_bytes(),
        &length(plain).to_le_bytes(),
        &[1, 0, 0, 0],
    ]
    .concat();
    let mut file = [b"PK\x03\x04", &common[..], b"e", &stream].concat();
    let directory_at = length(&file);
    let directory = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], b"e"].concat();
    file.extend_from_slice(&directory);
    file.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&length(&directory).to_le_bytes());
    file.extend_from_slice(&directory_at.to_le_bytes());
    file.extend_from_slice(&[0, 0]);
    file
}

/// Returns a PNG file of these rows, 16 pixels wide and with a palette, in chunks of so many bytes.
pub fn png(rows: &[u8], level: u32, piece: usize) -> Vec<u8> {
    let height = length(rows) / 17;
    let header = [&[0, 0, 0, 16][..], &height.to_be_bytes(), &[8, 3, 0, 0, 0]].concat();
    let palette: Vec<u8> = (0..48).map(|value| value * 5).collect();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"PLTE", &palette);
    chunk(&mut file, b"tRNS", &[0, 128]);
    for data in zlib(rows, level).chunks(piece.max(1)) {
        chunk(&mut file, b"IDAT", data);
    }
    chunk(&mut file, b"IEND", b"");
    file
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let body = [&kind[..], data].concat();
    file.extend_from_slice(&length(data).to_be_bytes());
    file.extend_from_slice(&body);
    file.extend_from_slice(&crc(&body).to_be_bytes());
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("inputs are short")
}

const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
const ZIP_HEADER_BYTES: usize = 30 + 1;
/// The signature, and the chunks before the first IDAT: 13, 48 and 2 bytes, and 12 more each.
const PNG_HEADER_BYTES: usize = 8 + 25 + 60 + 14;
