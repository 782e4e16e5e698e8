use std::borrow::Cow;
use std::ops::Range;

use super::ascii85;
use super::chunks::Bodies;
use super::inflate::{Inflater, Output, PLACE};
use super::wrapper::Shape;
use crate::error::DeltaError;

/// Where an unwrapped stream ends, and what it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unwrapped {
    /// Where the stream ends in the file, its wrapping included.
    pub(crate) end: usize,
    /// How many bytes came of it.
    pub(crate) plain_bytes: u64,
    /// The zlib header, zeros if it has none.
    pub(crate) header: [u8; 2],
    /// The Adler-32 that it gives for its plaintext, zero if it gives none.
    pub(crate) adler: u32,
}

/// Inflates the stream that starts at byte `start` of `file`, handing the plaintext to `out`: exactly
/// `plain_bytes`, or it is an error. The Adler-32 is not compared.
pub(crate) fn unwrap(
    shape: Shape,
    file: &[u8],
    start: usize,
    plain_bytes: u64,
    out: &mut Output<'_>,
) -> Result<Unwrapped, DeltaError> {
    let found = unwrap_by(&mut Inflater::new(), shape, file, start, plain_bytes, out)?;
    if found.plain_bytes < plain_bytes {
        let found = found.plain_bytes;
        let problem = format!("a stream inflates to {found} bytes instead of {plain_bytes}");
        return Err(DeltaError::malformed(PLACE, start, problem));
    }
    Ok(found)
}

/// Inflates the stream that starts at byte `start` of `file` by an inflater that is at hand, handing
/// the plaintext to `out`, never more than `most` bytes. A stream of far more bytes than its plaintext,
/// which no encoder writes, is refused before all of it is read.
pub(crate) fn unwrap_by(
    inflater: &mut Inflater,
    shape: Shape,
    file: &[u8],
    start: usize,
    most: u64,
    out: &mut Output<'_>,
) -> Result<Unwrapped, DeltaError> {
    inflater.restart();
    let mut feed = Feed {
        inflater,
        most,
        header: [0; 2],
        header_left: if shape == Shape::Raw { 0 } else { 2 },
        adler: 0,
        adler_left: if shape == Shape::Raw { 0 } else { 4 },
    };
    let early = || DeltaError::malformed(PLACE, start, "the stream does not end, or too late");
    let readable = start.saturating_add(longest(most)).min(file.len());
    let readable = file.get(..readable).unwrap_or_default();
    let rest = readable.get(start..).ok_or_else(early)?;
    let mut end = start;
    match shape {
        Shape::Raw | Shape::Zlib => end += feed.push(rest, out)?,
        Shape::Idat => {
            for (body, next) in Bodies::new(readable, start) {
                if feed.push(body, out)? < body.len() {
                    return Err(leftover(end));
                }
                end = next;
                if feed.is_done() {
                    break;
                }
            }
        }
        Shape::Ascii85 => {
            end += ascii85::decode(rest, &mut |piece| match feed.push(piece, out)? {
                taken if taken == piece.len() => Ok(()),
                _ => Err(leftover(start)),
            })?;
        }
    }
    if !feed.is_done() || end - start > longest(feed.inflater.produced()) {
        return Err(early());
    }
    Ok(Unwrapped {
        end,
        plain_bytes: feed.inflater.produced(),
        header: feed.header,
        adler: feed.adler,
    })
}

/// Returns how many bytes a stream of so many plain ones has at most, its wrapping included.
fn longest(plain_bytes: u64) -> usize {
    let longest = plain_bytes.saturating_mul(MOST_PACKED);
    usize::try_from(longest.saturating_add(LEAST_PACKED)).unwrap_or(usize::MAX)
}

/// Returns the deflate data of the wrapped stream that takes up `range` of `file`.
pub(crate) fn compressed(
    shape: Shape,
    file: &[u8],
    range: Range<usize>,
) -> Result<Cow<'_, [u8]>, DeltaError> {
    let short = || DeltaError::malformed(PLACE, range.start, "the stream is too short");
    let wrapped = file.get(range.clone()).ok_or_else(short)?;
    let inside = |zlib: &[u8]| zlib.len().checked_sub(4).filter(|end| *end >= 2);
    let mut zlib = Vec::new();
    match shape {
        Shape::Raw => return Ok(Cow::Borrowed(wrapped)),
        Shape::Zlib => {
            let end = inside(wrapped).ok_or_else(short)?;
            return Ok(Cow::Borrowed(wrapped.get(2..end).unwrap_or_default()));
        }
        Shape::Idat => Bodies::new(wrapped, 0).for_each(|(body, _)| zlib.extend(body)),
        Shape::Ascii85 => {
            ascii85::decode(wrapped, &mut |piece| {
                zlib.extend(piece);
                Ok(())
            })?;
        }
    }
    zlib.truncate(inside(&zlib).ok_or_else(short)?);
    zlib.drain(..2);
    Ok(Cow::Owned(zlib))
}

/// A zlib stream that comes in pieces; deflate data alone is one without header and Adler-32.
struct Feed<'i> {
    inflater: &'i mut Inflater,
    most: u64,
    header: [u8; 2],
    header_left: u8,
    adler: u32,
    adler_left: u8,
}

impl Feed<'_> {
    /// Takes the next `piece` and returns how many of its bytes belong to the stream.
    fn push(&mut self, piece: &[u8], out: &mut Output<'_>) -> Result<usize, DeltaError> {
        let mut taken = 0;
        while self.header_left > 0 {
            let Some(byte) = piece.get(taken) else {
                return Ok(taken);
            };
            taken += 1;
            self.header_left -= 1;
            self.header = [self.header[1], *byte];
            if self.header_left == 0 && !is_zlib_header(self.header) {
                let [first, second] = self.header;
                let problem = format!("{first:02x} {second:02x} starts no zlib stream");
                return Err(DeltaError::malformed(PLACE, taken, problem));
            }
        }
        taken += self
            .inflater
            .push(piece.get(taken..).unwrap_or_default(), self.most, out)?;
        while self.inflater.is_done() && self.adler_left > 0 {
            let Some(byte) = piece.get(taken) else {
                return Ok(taken);
            };
            taken += 1;
            self.adler_left -= 1;
            self.adler = self.adler << 8 | u32::from(*byte);
        }
        Ok(taken)
    }

    fn is_done(&self) -> bool {
        self.inflater.is_done() && self.adler_left == 0
    }
}

/// Returns whether a zlib stream without a dictionary may start so.
pub(crate) fn is_zlib_header(header: [u8; 2]) -> bool {
    let [method, flags] = header;
    method & 0x0f == 8
        && method >> 4 <= 7
        && flags & 0x20 == 0
        && u16::from_be_bytes(header).is_multiple_of(31)
}

/// The error of bytes behind the end of a stream, inside its wrapping.
fn leftover(at: usize) -> DeltaError {
    DeltaError::malformed(PLACE, at, "the wrapping holds more than the stream")
}

/// The most bytes of a stream for each of its plaintext, and for any stream: room for short chunks, lines
/// and empty blocks.
const MOST_PACKED: u64 = 4;
const LEAST_PACKED: u64 = 1024;
