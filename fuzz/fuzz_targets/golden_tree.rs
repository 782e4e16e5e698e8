//! The old tree of the golden delta, in memory, so that the golden delta is a seed that applies.

use std::io;

use diff_core::{ContentPath, Contents, Digest, Entry, FileBytes, Limits, Listing};

macro_rules! file {
    ($path:literal) => {
        include_bytes!(concat!(
            "../../crates/diff-core/fixtures/delta-v1/old/",
            $path
        ))
    };
}
const FILES: [(&str, &[u8]); 7] = [
    ("data/answers.db", file!("data/answers.db")),
    ("media/old icon.png", file!("media/old icon.png")),
    ("media/photo.jpg", file!("media/photo.jpg")),
    ("unit/1.html", file!("unit/1.html")),
    ("unit/2.html", file!("unit/2.html")),
    ("unit/3.html", file!("unit/3.html")),
    ("unit/4.html", file!("unit/4.html")),
];

pub struct GoldenTree;

impl GoldenTree {
    pub fn listing() -> Listing {
        let entry = |(path, content): (&str, &[u8])| Entry {
            path: ContentPath::parse(path).expect("the fixture's paths are content paths"),
            length: content.len() as u64,
            digest: Digest::of(content),
        };
        let entries = FILES.map(entry).into();
        Listing::new(entries, &Limits::standard()).expect("the fixture is a tree")
    }
}

impl Contents for GoldenTree {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        let (_, content) = FILES.get(index).ok_or(io::ErrorKind::NotFound)?;
        Ok(FileBytes::Owned(content.to_vec()))
    }
}

/// Returns `bytes` as they are when their first bit is set; otherwise a delta over the golden tree
/// of version 1, or of version 2 when the second bit is set. Its frames are as many bytes as the other
/// bits tell, and its plan is the rest.
pub fn delta(bytes: &[u8], listing: &Listing) -> Vec<u8> {
    let Some((kind, rest)) = bytes.split_first() else {
        return Vec::new();
    };
    // A seed that starts as a delta does is one: the letter S is odd.
    if kind & 1 == 1 {
        return bytes.to_vec();
    }
    let version = 1 + (kind >> 1 & 1);
    let frames_length = usize::from(kind >> 2).min(rest.len());
    let (frames, plan) = rest.split_at(frames_length);
    let mut delta = vec![b'S', b'D', b'L', b'T', version, 0];
    delta.extend_from_slice(frames);
    delta.extend_from_slice(&listing.digest().as_bytes()[..8]);
    delta.extend_from_slice(plan);
    let length = u32::try_from(plan.len() + 8).expect("inputs are short");
    delta.extend_from_slice(&length.to_le_bytes());
    delta.extend_from_slice(&length.to_le_bytes());
    delta
}
