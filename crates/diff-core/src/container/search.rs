use super::trials::{Candidate, OpeningLimits, Trials};
use super::unwrap::compressed;
use super::wrapper::Wrapper;
use super::{Stream, Wrapping, adler32, gzip, pdf, png, zip, zlib};
use crate::error::DeltaError;

/// Finds the streams of a file, outermost first, in rising order, disjoint. Each can be wrapped again
/// to exactly the bytes that it has in the file.
///
/// Streams are known by what stands at their start, wherever that is: containers stored in others,
/// archives without a directory and data of unknown kind are searched alike.
pub(crate) fn open(file: &[u8], limits: &OpeningLimits) -> Vec<Stream> {
    let mut trials = Trials::new(file.len(), limits);
    search(file, limits.max_depth, &mut trials)
}

/// Looks for streams in `bytes`, and in their plaintexts down to `depth`.
fn search(bytes: &[u8], depth: u32, trials: &mut Trials<'_>) -> Vec<Stream> {
    let mut streams = Vec::new();
    let mut at = 0;
    let mut free = 0;
    let mut image = None;
    while depth > 0 && !trials.is_done() {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(next) = rest.iter().position(|byte| STARTS[usize::from(*byte)]) else {
            break;
        };
        at += next;
        let effort = trials.effort();
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
        streams.push(take(candidate, effort, depth, trials));
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
    let mut wrapping = Wrapping::new(found.wrapper);
    let wrapped = wrapping.write(&deflate, &mut compare);
    let adler = adler32(&found.plain);
    wrapped
        .and_then(|()| wrapping.finish(adler, &mut compare))
        .is_ok()
        && left.is_empty()
}

/// Makes a stream of what was found, and looks inside.
fn take(found: Candidate, effort_before: u64, depth: u32, trials: &mut Trials<'_>) -> Stream {
    trials.charge_stream(found.plain.len() as u64, effort_before);
    let inner = match found.wrapper {
        Wrapper::Idat { .. } => Vec::new(),
        _ => search(&found.plain, depth - 1, trials),
    };
    Stream {
        range: found.range,
        wrapper: found.wrapper,
        plain: found.plain,
        inner,
        image: found.image,
    }
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
