use std::ops::Range;

use super::inflate::Inflater;
use super::unwrap::{Unwrapped, compressed, unwrap_by};
use super::wrapper::{Shape, Wrapper};
use super::{Image, Stream, Wrapping, adler32, gzip, pdf, png, zip, zlib};
use crate::error::DeltaError;

/// What opening a file may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpeningLimits {
    /// Bytes of plaintext of one stream: what a device must hold of it.
    pub(crate) max_stream_bytes: u64,
    /// Bytes of plaintext of all streams of the file, nested ones included.
    pub(crate) max_plain_bytes: u64,
    /// Streams, nested ones included.
    pub(crate) max_streams: usize,
    /// How deep streams nest: one inside no other has depth one.
    pub(crate) max_depth: u32,
}

impl OpeningLimits {
    /// Returns the limits under which at most `max_plain_bytes` come of a file.
    pub(crate) fn of(max_plain_bytes: u64) -> OpeningLimits {
        OpeningLimits {
            max_stream_bytes: 16 << 20,
            max_plain_bytes,
            max_streams: 1 << 20,
            max_depth: 3,
        }
    }
}

/// Finds the streams of a file, outermost first, in rising order, disjoint. Each can be wrapped again
/// to exactly the bytes that it has in the file.
///
/// Streams are known by what stands at their start, wherever that is: containers stored in others,
/// archives without a directory and data of unknown kind are searched alike.
pub(crate) fn open(file: &[u8], limits: &OpeningLimits) -> Vec<Stream> {
    let effort = (file.len() as u64).saturating_mul(EFFORT_PER_BYTE);
    let mut trials = Trials {
        limits,
        inflater: Inflater::new(),
        plain_left: limits.max_plain_bytes,
        streams_left: limits.max_streams,
        effort_left: effort.saturating_add(LEAST_EFFORT),
    };
    search(file, limits.max_depth, &mut trials)
}

/// A stream that was found, not yet taken.
pub(crate) struct Candidate {
    pub(crate) range: Range<usize>,
    pub(crate) wrapper: Wrapper,
    pub(crate) plain: Vec<u8>,
    pub(crate) image: Option<Image>,
}

/// Looks for streams in `bytes`, and in their plaintexts down to `depth`.
fn search(bytes: &[u8], depth: u32, trials: &mut Trials<'_>) -> Vec<Stream> {
    let mut streams = Vec::new();
    let mut at = 0;
    let mut free = 0;
    let mut image = None;
    while depth > 0 && trials.streams_left > 0 {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(next) = rest.iter().position(|byte| STARTS[usize::from(*byte)]) else {
            break;
        };
        at += next;
        let effort = trials.effort_left;
        let candidate = match rest.get(next..).unwrap_or_default() {
            [b'P', b'K', 3, 4, ..] => zip::candidate(bytes, at, trials),
            [0x1f, 0x8b, 8, ..] => gzip::candidate(bytes, at, trials),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => zlib::candidate(bytes, at, trials),
            [b's', b't', b'r', b'e', b'a', b'm', ..] => pdf::candidate(bytes, at, trials),
            [b'I', b'D', b'A', b'T', ..] => png::candidate(bytes, at, image.as_ref(), trials),
            [b'I', b'H', b'D', b'R', ..] => {
                image = png::Header::parse(bytes, at);
                None
            }
            _ => None,
        };
        let Some(candidate) = candidate.filter(|found| is_exact(bytes, free, found)) else {
            at += 1;
            continue;
        };
        at = candidate.range.end;
        free = at;
        streams.push(trials.take(candidate, effort, depth));
    }
    streams
}

/// Returns whether a stream is worth opening, stands behind byte `free` and comes back exactly.
fn is_exact(bytes: &[u8], free: usize, found: &Candidate) -> bool {
    let range = found.range.clone();
    if range.start < free || range.len() < FEWEST_BYTES {
        return false;
    }
    let Some(mut left) = bytes.get(range.clone()) else {
        return false;
    };
    if found.wrapper == Wrapper::Raw {
        return true;
    }
    let Ok(deflate) = compressed(found.wrapper.shape(), bytes, range) else {
        return false;
    };
    let mut compare = |piece: &[u8]| match left.strip_prefix(piece) {
        Some(rest) => {
            left = rest;
            Ok(())
        }
        None => Err(DeltaError::malformed(
            "wrapping",
            0,
            "it comes out otherwise",
        )),
    };
    let mut wrapping = Wrapping::new(found.wrapper, adler32(&found.plain));
    let wrapped = wrapping.write(&deflate, &mut compare);
    wrapped.and_then(|()| wrapping.finish(&mut compare)).is_ok() && left.is_empty()
}

/// Inflates what may be streams, within what a file may cost.
pub(crate) struct Trials<'l> {
    limits: &'l OpeningLimits,
    inflater: Inflater,
    plain_left: u64,
    streams_left: usize,
    /// Bytes that may still be read and made for nothing.
    effort_left: u64,
}

impl Trials<'_> {
    /// Returns whether a stream of so many plain bytes may be opened.
    pub(crate) fn may_take(&self, plain_bytes: u64) -> bool {
        plain_bytes <= self.plain_left.min(self.limits.max_stream_bytes)
    }

    /// Charges work in bytes; `None` once too much went for nothing.
    pub(crate) fn charge(&mut self, bytes: usize) -> Option<()> {
        self.effort_left = self.effort_left.checked_sub(bytes as u64)?;
        Some(())
    }

    /// Inflates the stream at `start`; `None` unless it ends and has the Adler-32 that it gives.
    pub(crate) fn inflate(
        &mut self,
        shape: Shape,
        file: &[u8],
        start: usize,
    ) -> Option<(Unwrapped, Vec<u8>)> {
        self.charge(TRIAL_EFFORT)?;
        let most = self.plain_left.min(self.limits.max_stream_bytes);
        let mut plain = Vec::new();
        let found = unwrap_by(&mut self.inflater, shape, file, start, most, &mut |piece| {
            plain.extend_from_slice(piece);
            Ok(())
        });
        let effort = self.inflater.consumed() + self.inflater.produced();
        self.effort_left = self.effort_left.saturating_sub(effort);
        let found = found.ok()?;
        if shape != Shape::Raw && found.adler != adler32(&plain) {
            return None;
        }
        plain.shrink_to_fit();
        Some((found, plain))
    }

    /// Makes a stream of what was found, gives back the effort that finding it cost, and looks
    /// inside.
    fn take(&mut self, found: Candidate, effort_before: u64, depth: u32) -> Stream {
        let plain_bytes = found.plain.len() as u64;
        self.plain_left = self.plain_left.saturating_sub(plain_bytes);
        self.streams_left -= 1;
        self.effort_left = effort_before;
        let inner = match found.wrapper {
            Wrapper::Idat { .. } => Vec::new(),
            _ => search(&found.plain, depth - 1, self),
        };
        Stream {
            range: found.range,
            wrapper: found.wrapper,
            plain: found.plain,
            inner,
            image: found.image,
        }
    }
}

/// Returns the 16-bit integer at `at`.
pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|field| u16::from_le_bytes(*field))
}

/// Returns the 32-bit integer at `at`.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|field| u32::from_le_bytes(*field))
}

/// The bytes that a stream's start can be known by.
const STARTS: [bool; 256] = {
    let mut starts = [false; 256];
    starts[b'P' as usize] = true;
    starts[0x1f] = true;
    starts[0x78] = true;
    starts[b's' as usize] = true;
    starts[b'I' as usize] = true;
    starts
};

/// The fewest bytes of a stream that is worth opening.
const FEWEST_BYTES: usize = 32;

/// How many bytes may be read and made for nothing for each byte of the file, and for any file.
const EFFORT_PER_BYTE: u64 = 8;
const LEAST_EFFORT: u64 = 4 << 20;

/// What a trial costs that ends at once.
const TRIAL_EFFORT: usize = 64;
