use std::io;

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::FrameFormat;

use super::{Codec, EncodeError, EncodedFrame, Level};
use crate::error::DeltaError;
use crate::progress::Advanced;

/// One zstd frame without its magic number, with the reference as raw-content prefix.
pub(crate) struct Zstd;

/// The largest window that an encoder asks of a decoder: 8 MiB, as much as zstd's level 19 takes.
pub(crate) const MAX_WINDOW_LOG: u32 = 23;

impl Codec for Zstd {
    fn encode(
        &self,
        reference: &[u8],
        new: &[u8],
        level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut encoder = encoder(reference, new, level).map_err(failed)?;
        let mut encoded = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        for piece in new.chunks(PIECE_BYTES) {
            let mut input = InBuffer::around(piece);
            while input.pos() < piece.len() {
                let mut output = OutBuffer::around(&mut buffer[..]);
                encoder.run(&mut input, &mut output).map_err(failed)?;
                encoded.extend_from_slice(output.as_slice());
            }
            advanced(piece.len() as u64)?;
        }
        loop {
            let mut output = OutBuffer::around(&mut buffer[..]);
            let left = encoder.finish(&mut output, true).map_err(failed)?;
            encoded.extend_from_slice(output.as_slice());
            if left == 0 {
                return Ok(encoded);
            }
        }
    }

    fn decode(
        &self,
        reference: &[u8],
        frame: &EncodedFrame<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError> {
        let refused = |error: io::Error| frame.malformed(format!("zstd: {error}"));
        let mut decoder = decoder(reference, frame.max_window_bytes).map_err(refused)?;
        let mut input = InBuffer::around(frame.bytes);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut left = frame.decoded_length;
        loop {
            let mut output = OutBuffer::around(&mut buffer[..]);
            let hint = decoder.run(&mut input, &mut output).map_err(refused)?;
            let piece = output.as_slice();
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                let expected = frame.decoded_length;
                frame.malformed(format!("zstd: more than {expected} bytes come out"))
            })?;
            out(piece)?;
            if hint == 0 {
                break;
            }
            if piece.is_empty() && input.pos() == frame.bytes.len() {
                return Err(frame.malformed("zstd: the frame ends early"));
            }
        }
        if left > 0 {
            return Err(frame.malformed(format!("zstd: {left} bytes are missing")));
        }
        match frame.bytes.len() - input.pos() {
            0 => Ok(()),
            extra => Err(frame.malformed(format!("zstd: {extra} bytes follow the frame"))),
        }
    }

    fn decoding_memory(&self, decoded_length: u64, max_window_bytes: u64) -> u64 {
        // Window and one block ahead of it, the context's tables and our own piece of output.
        decoded_length.min(max_window_bytes) + DECODER_BYTES
    }
}

fn encoder<'a>(reference: &'a [u8], new: &[u8], level: Level) -> io::Result<Encoder<'a>> {
    let number = match level {
        Level::Fast => 3,
        Level::Default => 19,
        Level::Best => 22,
    };
    let mut encoder = if reference.is_empty() {
        Encoder::new(number)?
    } else {
        Encoder::with_ref_prefix(number, reference)?
    };
    let window_log = ceil_log2(new.len()).clamp(10, MAX_WINDOW_LOG);
    encoder.set_parameter(CParameter::Format(FrameFormat::Magicless))?;
    encoder.set_parameter(CParameter::ChecksumFlag(false))?;
    encoder.set_parameter(CParameter::DictIdFlag(false))?;
    encoder.set_parameter(CParameter::WindowLog(window_log))?;
    let total = reference.len().saturating_add(new.len());
    if total > long_bytes(level) {
        encoder.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
    }
    encoder.set_pledged_src_size(Some(new.len() as u64))?;
    Ok(encoder)
}

fn decoder(reference: &[u8], max_window_bytes: u64) -> io::Result<Decoder<'_>> {
    let mut decoder = if reference.is_empty() {
        Decoder::new()?
    } else {
        Decoder::with_ref_prefix(reference)?
    };
    let window_log = max_window_bytes.max(1).ilog2().clamp(10, 31);
    decoder.set_parameter(DParameter::Format(FrameFormat::Magicless))?;
    decoder.set_parameter(DParameter::WindowLogMax(window_log))?;
    Ok(decoder)
}

fn failed(error: io::Error) -> EncodeError {
    EncodeError::Failed(error.to_string())
}

fn ceil_log2(length: usize) -> u32 {
    length.max(1).next_power_of_two().ilog2()
}

/// How much is encoded between two looks at whether to stop.
const PIECE_BYTES: usize = 256 << 10;
const BUFFER_BYTES: usize = 128 << 10;
const DECODER_BYTES: u64 = 768 << 10;

/// Returns from how many bytes on, of reference and new ones together, long distance matching pays: the
/// tables of a quick level forget soon.
const fn long_bytes(level: Level) -> usize {
    match level {
        Level::Fast => 1 << 20,
        Level::Default | Level::Best => 4 << 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cancelled;

    fn encode(reference: &[u8], new: &[u8]) -> Vec<u8> {
        let encoded = Zstd.encode(reference, new, Level::Default, &mut |_| Ok(()));
        encoded.expect("zstd encodes anything")
    }

    fn decode(reference: &[u8], bytes: &[u8], length: u64) -> Result<Vec<u8>, DeltaError> {
        let frame = EncodedFrame {
            bytes,
            offset: 0,
            decoded_length: length,
            max_window_bytes: 8 << 20,
        };
        let mut out = Vec::new();
        Zstd.decode(reference, &frame, &mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(out)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn a_short_new_file_reaches_the_start_of_a_long_reference() {
        let reference = noise(3 << 20);
        let encoded = encode(&reference, &reference[..2000]);
        assert!(encoded.len() < 40, "{} bytes", encoded.len());
        let decoded = decode(&reference, &encoded, 2000).unwrap();
        assert_eq!(decoded, reference[..2000]);
    }

    #[test]
    fn long_frames_decode_in_a_window_shorter_than_they_are() {
        let new = noise(9 << 20);
        let encoded = encode(b"", &new);
        assert!(decode(b"", &encoded, new.len() as u64).unwrap() == new);
    }

    #[test]
    fn wider_windows_than_the_limit_are_refused() {
        let mut encoder = Encoder::new(3).unwrap();
        encoder
            .set_parameter(CParameter::Format(FrameFormat::Magicless))
            .unwrap();
        encoder.set_parameter(CParameter::WindowLog(27)).unwrap();
        let mut encoded = vec![0; 1000];
        let mut output = OutBuffer::around(&mut encoded[..]);
        encoder
            .run(&mut InBuffer::around(b"bomb"), &mut output)
            .unwrap();
        assert_eq!(encoder.finish(&mut output, true).unwrap(), 0);
        let length = output.pos();
        let refused = decode(b"", &encoded[..length], 4);
        assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
    }

    #[test]
    fn more_fewer_and_trailing_bytes_are_refused() {
        let encoded = encode(b"", &[7; 100_000]);
        for length in [0, 99_999, 100_001] {
            let refused = decode(b"", &encoded, length);
            assert!(
                matches!(refused, Err(DeltaError::Malformed { .. })),
                "{length}"
            );
        }
        let mut longer = encoded.clone();
        longer.push(0);
        assert!(matches!(
            decode(b"", &longer, 100_000),
            Err(DeltaError::Malformed { .. })
        ));
        for cut in 0..encoded.len() {
            let refused = decode(b"", &encoded[..cut], 100_000);
            assert!(
                matches!(refused, Err(DeltaError::Malformed { .. })),
                "{cut}"
            );
        }
    }

    #[test]
    fn encoding_stops_when_asked() {
        let stopped = Zstd.encode(b"", &noise(1 << 20), Level::Fast, &mut |_| Err(Cancelled));
        assert!(matches!(stopped, Err(EncodeError::Cancelled)));
    }
}
