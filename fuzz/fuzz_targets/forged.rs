//! Deltas of version 2 over the tree of containers, whose only group and frame are told by the input.
#![allow(dead_code, reason = "each target that shares it uses its own part")]

use std::sync::atomic::{AtomicU64, Ordering};

use diff_core::{Applier, Delta, DeltaError, Limits, Progress};

use super::container_tree::{MemoryTree, OLD, PLACES, STRIDE};
use super::made::Made;

/// The fields of an input, which never end: behind the end there are zeros and nothing.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn byte(&mut self) -> u8 {
        self.slice(1).first().copied().unwrap_or(0)
    }

    pub fn short(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    pub fn slice(&mut self, length: usize) -> &'a [u8] {
        let (slice, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        slice
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// A delta that drops the old tree and builds files by one group.
pub struct Forged<'a> {
    /// Bytes of each built file.
    pub lengths: &'a [u64],
    /// Bytes of memory for closing, where the group is opened.
    pub opened: Option<u64>,
    pub frames: &'a [ForgedFrame<'a>],
}

/// A frame of a forged delta.
pub struct ForgedFrame<'a> {
    pub method: u8,
    /// The sources of its reference as the format spells them.
    pub sources: &'a Sources,
    pub decoded: u64,
    pub bytes: &'a [u8],
}

impl Forged<'_> {
    pub fn delta(&self) -> Vec<u8> {
        let mut plan = OLD.listing.digest().as_bytes()[..8].to_vec();
        varint(&mut plan, RECOMPRESSORS);
        varint(&mut plan, 1 + self.lengths.len() as u64);
        varint(&mut plan, (OLD.files.len() as u64 - 1) << 2 | 1);
        for (index, length) in (0_u8..).zip(self.lengths) {
            varint(&mut plan, 3);
            plan.extend([2, b'e', b'a' + index]);
            varint(&mut plan, length << 2 | 2);
        }
        varint(&mut plan, 1);
        varint(&mut plan, self.lengths.len() as u64);
        plan.extend(self.lengths.iter().map(|_| 0));
        let opened = u64::from(self.opened.is_some());
        varint(&mut plan, (self.frames.len() as u64) << 1 | opened);
        if let Some(memory) = self.opened {
            let content = self.frames.iter().map(|frame| frame.decoded).sum();
            varint(&mut plan, content);
            varint(&mut plan, memory);
        }
        let mut delta = b"SDLT\x02\0".to_vec();
        for frame in self.frames {
            plan.push(frame.method);
            varint(&mut plan, frame.sources.count << 1);
            plan.extend_from_slice(&frame.sources.bytes);
            varint(&mut plan, frame.decoded);
            varint(&mut plan, frame.bytes.len() as u64);
            delta.extend_from_slice(frame.bytes);
        }
        delta.extend_from_slice(&plan);
        let length = u32::try_from(plan.len()).expect("inputs are short");
        delta.extend_from_slice(&length.to_le_bytes());
        delta.extend_from_slice(&length.to_le_bytes());
        delta
    }
}

/// Sources of a reference as the format spells them.
#[derive(Default)]
pub struct Sources {
    count: u64,
    next: i64,
    bytes: Vec<u8>,
}

impl Sources {
    /// Adds an old file with these steps, which are spelled as the format does.
    pub fn file(&mut self, index: usize, steps: &[u8]) {
        let index = i64::try_from(index).expect("the tree is small");
        let difference = index - self.next;
        varint(
            &mut self.bytes,
            ((difference << 1) ^ (difference >> 63)).cast_unsigned(),
        );
        self.bytes.extend_from_slice(steps);
        self.count += 1;
        self.next = index + 1;
    }

    /// Adds a whole old file as it is.
    pub fn whole(&mut self, index: usize) {
        self.file(index, &[0]);
    }

    /// Adds the inflated stream at one of [`PLACES`]; of the image, its rows without filters if wanted.
    pub fn stream(&mut self, place: usize, is_image: bool) {
        let place = &PLACES[place];
        let mut steps = vec![2];
        varint(&mut steps, (place.start as u64) << 2 | 1);
        varint(&mut steps, (place.plain.len() as u64) << 2 | 2);
        let image = if is_image { 1 << 6 } else { 0 };
        steps.push(place.packing | image);
        if is_image {
            varint(&mut steps, STRIDE as u64);
            varint(&mut steps, 1);
        }
        self.file(place.file, &steps);
    }
}

/// Applies a delta to the tree of containers whose only frame the input tells. 1 byte: the old files of the
/// reference; 2 bytes: the decoded length; the frame.
pub fn only_frame(method: u8, input: &[u8]) {
    let mut fields = Fields(input);
    let files = fields.byte();
    let decoded = 1 + fields.short() as u64 % (1 << 13);
    let mut sources = Sources::default();
    for index in (0..OLD.files.len()).filter(|index| files >> index & 1 == 1) {
        sources.whole(index);
    }
    let forged = Forged {
        lengths: &[decoded],
        opened: None,
        frames: &[ForgedFrame {
            method,
            sources: &sources,
            decoded,
            bytes: fields.rest(),
        }],
    };
    let (_, made) = applied(&OLD, &forged.delta(), &limits());
    assert!(!is_of_plan(&made), "the forged plan is refused");
    if let Ok(files) = made {
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].len() as u64, decoded);
    }
}

/// Applies a delta to a tree, keeps what it makes, and returns how many bytes were written and the files.
pub fn applied(
    old: &MemoryTree,
    delta: &[u8],
    limits: &Limits,
) -> (u64, Result<Vec<Vec<u8>>, DeltaError>) {
    let written = Written(AtomicU64::new(0));
    let made = Made::default();
    let result = (|| {
        let delta = Delta::parse(delta, limits)?;
        let plan = delta.plan(&old.listing)?;
        let applier = Applier::new(&delta, &plan, old.tree());
        let applier = applier.progress(&written).threads(1).limits(limits.clone());
        let result = applier.apply(&made);
        let bytes = written.0.load(Ordering::Relaxed);
        assert!(bytes <= plan.built_bytes());
        let listing = result?;
        assert_eq!(bytes, plan.built_bytes());
        assert_eq!(listing.entries().len(), plan.files().len());
        Ok(())
    })();
    (written.0.into_inner(), result.map(|()| made.into_files()))
}

/// Returns limits within which an input takes milliseconds.
pub fn limits() -> Limits {
    let mut limits = Limits::standard();
    limits.max_tree_bytes = 1 << 20;
    limits.max_frame_bytes = 1 << 18;
    limits.max_reference_bytes = 1 << 18;
    limits.max_stream_bytes = 1 << 17;
    limits.max_image_bytes = 1 << 19;
    limits.max_memory_bytes = 16 << 20;
    limits.max_frames = 1 << 10;
    limits
}

/// Says whether a result is that of a plan that breaks the format: then the target tests nothing. What
/// leaves an old file while a plan is followed is told without a place in it.
pub fn is_of_plan<T>(result: &Result<T, DeltaError>) -> bool {
    let place = match result {
        Err(DeltaError::Malformed { place, offset, .. }) => Some((*place, *offset)),
        _ => None,
    };
    matches!(place, Some(("plan", 1..)))
}

/// The method's number.
pub const STORE: u8 = 0;
pub const SOLID: u8 = 3;
pub const LIGHT: u8 = 4;
/// The bits of all recompressors.
const RECOMPRESSORS: u64 = 0b111;

struct Written(AtomicU64);

impl Progress for Written {
    fn advanced(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Appends an integer as the format spells it.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}
