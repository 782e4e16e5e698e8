use std::ops::Range;

use crate::method::{Method, codec};
use crate::{ContentPath, Limits};

/// One file of the new tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where the file lies within the new tree.
    pub path: ContentPath,
    /// How many bytes it has.
    pub length: u64,
    /// Where its content comes from.
    pub origin: Origin,
}

/// Where the content of a new file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The old file with this index in the old listing, under this path or another.
    Old(usize),
    /// The same content as the file with this index in the plan, which is always a built one.
    SameAs(usize),
    /// Made by the delta.
    Built,
}

/// Files that are made together: the frames, one after the other, give the members' contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    /// The built files, by their index in the plan, in the order in which they come out.
    pub(crate) members: Vec<usize>,
    /// The frames; none when all members are empty.
    pub(crate) frames: Vec<Frame>,
}

/// A piece of a group that decodes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// How it is coded.
    pub(crate) method: Method,
    /// The old bytes that it is coded against: these spans, one after the other.
    pub(crate) references: Vec<Span>,
    /// How many bytes come out.
    pub(crate) decoded_length: u64,
    /// Where the coded bytes lie within the delta.
    pub(crate) encoded: Range<usize>,
}

impl Frame {
    /// Returns the private memory that decoding takes: a single span is used where it is mapped,
    /// several are copied together.
    pub(crate) fn memory(&self, limits: &Limits) -> u64 {
        let copied = match self.references.as_slice() {
            [] | [_] => 0,
            spans => spans.iter().map(|span| span.length).sum(),
        };
        let window = limits.max_window_bytes;
        codec(self.method)
            .decoding_memory(self.decoded_length, window)
            .saturating_add(copied)
    }
}

/// Some bytes of an old file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The file's index in the old listing.
    pub(crate) index: usize,
    /// Where the bytes start.
    pub(crate) offset: u64,
    /// How many there are; never none.
    pub(crate) length: u64,
}
