use std::io::Read;

use bzip2::bufread::BzDecoder;
use qbsdiff::ParallelScheme;

use super::{Codec, EncodeError, EncodedFrame, Level};
use crate::error::DeltaError;
use crate::progress::Advanced;
use crate::wire::{Reader, put_varint};

/// A bsdiff patch: control entries, differences to add to the reference, and extra bytes, each a
/// bzip2 stream.
///
/// qbsdiff encodes. Decoding is our own: qbsdiff's reader believes the lengths in the patch's header
/// and would follow control entries that produce nothing for as long as they go on.
pub(crate) struct Bsdiff;

impl Codec for Bsdiff {
    fn encode(
        &self,
        reference: &[u8],
        new: &[u8],
        _level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        if reference.len() > qbsdiff::bsdiff::MAX_LENGTH {
            let told = format!("a reference of {} bytes is too long", reference.len());
            return Err(EncodeError::Failed(told));
        }
        let scheme = if new.len() > PARALLEL_BYTES {
            ParallelScheme::ChunkSize(PARALLEL_BYTES)
        } else {
            ParallelScheme::Never
        };
        let mut patch = Vec::new();
        qbsdiff::Bsdiff::new(reference, new)
            .parallel_scheme(scheme)
            .compression_level(9)
            .compare(&mut patch)
            .map_err(|error| EncodeError::Failed(error.to_string()))?;
        advanced(new.len() as u64)?;
        repacked(&patch).ok_or_else(|| EncodeError::Failed("the patch is malformed".to_owned()))
    }

    fn decode(
        &self,
        reference: &[u8],
        frame: &EncodedFrame<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError> {
        Patch::open(frame)?.apply(reference, frame.decoded_length, out)
    }

    fn decoding_memory(&self, _decoded_length: u64, _max_window_bytes: u64) -> u64 {
        3 * BZIP2_BYTES + 2 * BUFFER_BYTES as u64
    }
}

/// The three streams of a patch while it is applied.
struct Patch<'f, 'd> {
    frame: &'f EncodedFrame<'d>,
    control: Stream<'d>,
    difference: Stream<'d>,
    extra: Stream<'d>,
}

impl<'f, 'd> Patch<'f, 'd> {
    fn open(frame: &'f EncodedFrame<'d>) -> Result<Patch<'f, 'd>, DeltaError> {
        let inside = |error| match error {
            DeltaError::Malformed { problem, .. } => frame.malformed(format!("bsdiff: {problem}")),
            other => other,
        };
        let mut reader = Reader::new("frame", frame.bytes);
        let mut parts = || -> Result<[&'d [u8]; 3], DeltaError> {
            let control = reader.size()?;
            let difference = reader.size()?;
            Ok([
                reader.slice(control)?,
                reader.slice(difference)?,
                reader.rest(),
            ])
        };
        let [control, difference, extra] = parts().map_err(inside)?;
        Ok(Patch {
            frame,
            control: Stream::open(control),
            difference: Stream::open(difference),
            extra: Stream::open(extra),
        })
    }

    fn apply(
        mut self,
        reference: &[u8],
        decoded_length: u64,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError> {
        let mut left = decoded_length;
        let mut at = 0_u64;
        // An entry that produces something is paid for by the output; these are not.
        let mut idle_left = MAX_IDLE_ENTRIES + decoded_length / IDLE_EVERY_BYTES;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut differences = vec![0; BUFFER_BYTES];
        while left > 0 {
            let Entry { add, copy, seek } = self.entry()?;
            let produced = add.checked_add(copy).filter(|produced| *produced <= left);
            let produced = produced.ok_or_else(|| self.broken("an entry produces too much"))?;
            left -= produced;
            if produced == 0 {
                let fewer = idle_left.checked_sub(1);
                idle_left = fewer.ok_or_else(|| self.broken("too many entries produce nothing"))?;
            }
            let mut add_left = add;
            while add_left > 0 {
                let count = piece(add_left);
                let (Some(sum), Some(difference)) =
                    (buffer.get_mut(..count), differences.get_mut(..count))
                else {
                    break;
                };
                let start = usize::try_from(at).ok();
                let old = start.and_then(|start| reference.get(start..start.checked_add(count)?));
                let old = old.ok_or_else(|| self.broken("an entry reads outside the reference"))?;
                self.difference.fill(difference, self.frame)?;
                for ((sum, old), difference) in sum.iter_mut().zip(old).zip(&*difference) {
                    *sum = old.wrapping_add(*difference);
                }
                out(sum)?;
                at += count as u64;
                add_left -= count as u64;
            }
            let mut copy_left = copy;
            while copy_left > 0 {
                let count = piece(copy_left);
                let Some(extra) = buffer.get_mut(..count) else {
                    break;
                };
                self.extra.fill(extra, self.frame)?;
                out(extra)?;
                copy_left -= count as u64;
            }
            let moved = at.checked_add_signed(seek);
            let moved = moved.filter(|moved| *moved <= reference.len() as u64);
            at = moved.ok_or_else(|| self.broken("an entry moves outside the reference"))?;
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<Entry, DeltaError> {
        let mut bytes = [0; 24];
        self.control.fill(&mut bytes, self.frame)?;
        let mut reader = Reader::new("frame", &bytes);
        let mut number = || reader.array().map(sign_and_magnitude);
        let [add, copy, seek] = [number()?, number()?, number()?];
        let length = |value: i64| u64::try_from(value).ok();
        match (length(add), length(copy)) {
            (Some(add), Some(copy)) => Ok(Entry { add, copy, seek }),
            _ => Err(self.broken("an entry has a negative length")),
        }
    }

    fn broken(&self, problem: &str) -> DeltaError {
        self.frame.malformed(format!("bsdiff: {problem}"))
    }
}

/// Add `add` differences to the reference, then copy `copy` extra bytes, then move on by `seek`.
struct Entry {
    add: u64,
    copy: u64,
    seek: i64,
}

/// One bzip2 stream; a stream that holds nothing takes no bytes at all.
struct Stream<'d>(Option<BzDecoder<&'d [u8]>>);

impl<'d> Stream<'d> {
    fn open(bytes: &'d [u8]) -> Stream<'d> {
        Stream((!bytes.is_empty()).then(|| BzDecoder::new(bytes)))
    }

    fn fill(&mut self, buffer: &mut [u8], frame: &EncodedFrame<'_>) -> Result<(), DeltaError> {
        let Some(decoder) = &mut self.0 else {
            return Err(frame.malformed("bsdiff: a stream is empty that must not be"));
        };
        let read = decoder.read_exact(buffer);
        read.map_err(|error| frame.malformed(format!("bsdiff: {error}")))
    }
}

/// Returns qbsdiff's patch without its header: the lengths of the first two streams, then the three.
fn repacked(patch: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new("patch", patch);
    reader.slice(MAGIC_BYTES).ok()?;
    let mut number = || reader.array().ok().map(sign_and_magnitude);
    let [control, difference, _new] = [number()?, number()?, number()?];
    let mut part = |length: i64| reader.slice(usize::try_from(length).ok()?).ok();
    let control = without_empty(part(control)?);
    let difference = without_empty(part(difference)?);
    let extra = without_empty(reader.rest());
    let mut packed = Vec::with_capacity(patch.len());
    put_varint(&mut packed, control.len() as u64);
    put_varint(&mut packed, difference.len() as u64);
    for part in [control, difference, extra] {
        packed.extend_from_slice(part);
    }
    Some(packed)
}

/// A bzip2 stream of this length holds no bytes: header, end mark and check alone.
fn without_empty(stream: &[u8]) -> &[u8] {
    if stream.len() <= EMPTY_BZIP2_BYTES {
        &[]
    } else {
        stream
    }
}

/// bsdiff's integers: the top bit is the sign, the others the magnitude.
fn sign_and_magnitude(bytes: [u8; 8]) -> i64 {
    let value = u64::from_le_bytes(bytes);
    let magnitude = (value & !(1 << 63)).cast_signed();
    if value >> 63 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES))
}

const MAGIC_BYTES: usize = 8;
const EMPTY_BZIP2_BYTES: usize = 14;
const BUFFER_BYTES: usize = 64 << 10;
/// What a bzip2 decoder allocates for blocks of 900 kB.
const BZIP2_BYTES: u64 = 4 << 20;
/// From here on the search runs on several cores, in parts of this length.
const PARALLEL_BYTES: usize = 4 << 20;
const MAX_IDLE_ENTRIES: u64 = 64;
const IDLE_EVERY_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bzip2::Compression;
    use bzip2::write::BzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn encode(reference: &[u8], new: &[u8]) -> Vec<u8> {
        let encoded = Bsdiff.encode(reference, new, Level::Default, &mut |_| Ok(()));
        encoded.expect("bsdiff encodes anything")
    }

    fn decode(reference: &[u8], bytes: &[u8], length: u64) -> Result<Vec<u8>, DeltaError> {
        let frame = EncodedFrame {
            bytes,
            offset: 0,
            decoded_length: length,
            max_window_bytes: 0,
        };
        let mut out = Vec::new();
        Bsdiff.decode(reference, &frame, &mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(out)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = BzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A patch of raw control numbers with 1000 zero differences and 1000 zero extra bytes.
    fn patch(entries: &[[i64; 3]]) -> Vec<u8> {
        let mut control = Vec::new();
        for number in entries.iter().flatten() {
            let sign = u64::from(*number < 0) << 63;
            control.extend_from_slice(&(number.unsigned_abs() | sign).to_le_bytes());
        }
        let (control, zeros) = (packed(&control), packed(&[0; 1000]));
        let mut bytes = Vec::new();
        put_varint(&mut bytes, control.len() as u64);
        put_varint(&mut bytes, zeros.len() as u64);
        [control, zeros.clone(), zeros]
            .concat()
            .iter()
            .for_each(|byte| bytes.push(*byte));
        bytes
    }

    #[test]
    fn sparse_edits_come_back_and_are_small() {
        let old: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut new = old.clone();
        for at in (0..new.len()).step_by(5000) {
            new[at] ^= 0x55;
        }
        let encoded = encode(&old, &new);
        assert!(encoded.len() < 1000, "{} bytes", encoded.len());
        assert!(decode(&old, &encoded, new.len() as u64).unwrap() == new);
    }

    #[test]
    fn an_empty_reference_and_parallel_search_work() {
        assert_eq!(
            decode(b"", &encode(b"", b"all new"), 7).unwrap(),
            b"all new"
        );
        let old = vec![1; 9 << 20];
        let mut new = old.clone();
        new.extend_from_slice(b"end");
        assert!(decode(&old, &encode(&old, &new), new.len() as u64).unwrap() == new);
    }

    #[test]
    fn hostile_entries_are_errors() {
        let old = [1; 100];
        assert_eq!(
            decode(&old, &patch(&[[50, 50, 0]]), 100).unwrap().len(),
            100
        );
        for entries in [
            &[[101, 0, 0]][..],
            &[[-1, 101, 0]],
            &[[100, -1, 0]],
            &[[i64::MAX, i64::MAX, 0]],
            &[[0, 1, -1]],
            &[[0, 1, 101]],
            &[[0, 1, i64::MAX], [1, 0, i64::MAX]],
            &[[50, 0, 1], [50, 0, 0]],
            &[[10, 10, 0]],
            &[],
        ] {
            let refused = decode(&old, &patch(entries), 100);
            assert!(
                matches!(refused, Err(DeltaError::Malformed { .. })),
                "{entries:?}"
            );
        }
    }

    #[test]
    fn endless_idle_entries_are_refused() {
        let refused = decode(b"old", &patch(&[[0, 0, 0]; 100_000]), 1);
        assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn anything_comes_back(old: Vec<u8>, new: Vec<u8>) {
            let both = [old.clone(), new.clone()].concat();
            prop_assert_eq!(decode(&old, &encode(&old, &both), both.len() as u64).unwrap(), both);
        }

        #[test]
        fn damage_is_an_error_or_other_bytes(at in 0_usize..200, bit in 0_u8..8) {
            let (old, new) = (b"course pack ".repeat(20), b"course pack, ".repeat(19));
            let mut encoded = encode(&old, &new);
            let at = at % encoded.len();
            encoded[at] ^= 1 << bit;
            let _ = decode(&old, &encoded, new.len() as u64);
            encoded.truncate(at);
            let _ = decode(&old, &encoded, new.len() as u64);
        }
    }
}
