use std::ops::Range;

use super::inflate::Inflater;
use super::unwrap::{Unwrapped, unwrap_by};
use super::wrapper::{Shape, Wrapper};
use super::{Image, adler32};

/// What opening a file may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpeningLimits {
    /// Bytes of plaintext of one stream: what a device must hold of it.
    pub(crate) max_stream_bytes: u64,
    /// Bytes of the rows of one image, which a device need not hold.
    pub(crate) max_image_bytes: u64,
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
            max_image_bytes: 16 << 20,
            max_plain_bytes,
            max_streams: 1 << 20,
            max_depth: 3,
        }
    }
}

/// A stream that was found, not yet taken.
pub(crate) struct Candidate {
    pub(crate) range: Range<usize>,
    pub(crate) wrapper: Wrapper,
    pub(crate) plain: Vec<u8>,
    pub(crate) image: Option<Image>,
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

impl<'l> Trials<'l> {
    /// Returns what opening a file of so many bytes may cost.
    pub(crate) fn new(file_bytes: usize, limits: &'l OpeningLimits) -> Trials<'l> {
        let effort = (file_bytes as u64).saturating_mul(EFFORT_PER_BYTE);
        Trials {
            limits,
            inflater: Inflater::new(),
            plain_left: limits.max_plain_bytes,
            streams_left: limits.max_streams,
            effort_left: effort.saturating_add(LEAST_EFFORT),
        }
    }

    /// Returns the effort that is left.
    pub(crate) fn effort(&self) -> u64 {
        self.effort_left
    }

    /// Whether no stream may be opened any more.
    pub(crate) fn is_done(&self) -> bool {
        self.streams_left == 0
    }

    /// Charges a stream that is opened, and gives back the effort that finding it cost.
    pub(crate) fn charge_stream(&mut self, plain_bytes: u64, effort_before: u64) {
        self.plain_left = self.plain_left.saturating_sub(plain_bytes);
        self.streams_left -= 1;
        self.effort_left = effort_before;
    }

    /// Returns whether a stream of so many plain bytes may be opened.
    pub(crate) fn may_take(&self, plain_bytes: u64) -> bool {
        plain_bytes <= self.plain_left.min(self.limits.max_stream_bytes)
    }

    /// Whether a plaintext of so many bytes is too long for what is no image.
    pub(crate) fn is_long(&self, plain_bytes: usize) -> bool {
        plain_bytes as u64 > self.limits.max_stream_bytes
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
        let longest = match shape {
            Shape::Idat => self.limits.max_image_bytes,
            _ => self.limits.max_stream_bytes,
        };
        let most = self.plain_left.min(longest);
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

/// How many bytes may be read and made for nothing for each byte of the file, and for any file.
const EFFORT_PER_BYTE: u64 = 8;
const LEAST_EFFORT: u64 = 4 << 20;

/// What a trial costs that ends at once.
const TRIAL_EFFORT: usize = 64;
