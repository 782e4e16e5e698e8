use std::collections::BTreeSet;
use std::ops::Range;

use super::{frames, records};
use crate::error::DeltaError;
use crate::method::{Method, codec};
use crate::wire::{Reader, put_varint};
use crate::{ContentPath, Digest, Limits, Listing};

/// What a delta makes of one old tree: every file of the new tree, and how it comes about.
///
/// All lengths, indices and spans of a plan were compared with the old tree and the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(super) old: Digest,
    pub(super) files: Vec<PlannedFile>,
    pub(super) groups: Vec<Group>,
}

impl Plan {
    /// Returns the plan of `files`, in the order of the new listing, made by `groups`.
    pub(crate) fn new(old: Digest, files: Vec<PlannedFile>, groups: Vec<Group>) -> Plan {
        Plan { old, files, groups }
    }

    /// Returns the files of the new tree in the order of its listing.
    pub fn files(&self) -> &[PlannedFile] {
        &self.files
    }

    /// Returns how many bytes applying writes anew.
    pub fn built_bytes(&self) -> u64 {
        let built = self
            .files
            .iter()
            .filter(|file| file.origin == Origin::Built);
        built.map(|file| file.length).sum()
    }

    /// Returns the methods that applying needs, each once, in the order of their numbers.
    pub fn methods(&self) -> Vec<Method> {
        let frames = self.groups.iter().flat_map(|group| &group.frames);
        let methods: BTreeSet<Method> = frames.map(|frame| frame.method).collect();
        methods.into_iter().collect()
    }

    /// Returns the digest of the listing of the old tree.
    pub(crate) fn old_digest(&self) -> Digest {
        self.old
    }

    /// Returns the groups that make the built files.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the bytes from which [`Plan::decode`] makes this plan again.
    pub(crate) fn encode(&self, old: &Listing) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(old_prefix(&self.old));
        records::write(&mut out, &self.files, old);
        put_varint(&mut out, self.groups.len() as u64);
        frames::write(&mut out, &self.groups, &self.files, old);
        out
    }

    /// Reads a plan over the tree `old`, whose frames must fill `payload` exactly.
    pub(crate) fn decode(
        bytes: &[u8],
        old: &Listing,
        payload: Range<usize>,
        limits: &Limits,
    ) -> Result<Plan, DeltaError> {
        let mut reader = Reader::new("plan", bytes);
        let expected = reader.slice(OLD_PREFIX_BYTES)?;
        let old_digest = old.digest();
        let found = old_prefix(&old_digest);
        if expected != found {
            return Err(DeltaError::WrongOld {
                expected: hex(expected),
                found: hex(found),
            });
        }
        let files = records::read(&mut reader, old, limits)?;
        let groups = frames::read(&mut reader, &files, old, payload, limits)?;
        reader.finish()?;
        Ok(Plan {
            old: old_digest,
            files,
            groups,
        })
    }
}

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

fn old_prefix(digest: &Digest) -> &[u8] {
    digest
        .as_bytes()
        .get(..OLD_PREFIX_BYTES)
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Enough to tell trees apart by accident; whoever forges a tree is caught by the files' digests.
const OLD_PREFIX_BYTES: usize = 8;
