use super::{Codec, EncodeError, EncodedFrame, Level};
use crate::error::DeltaError;
use crate::progress::Advanced;

/// The bytes as they are, for what no method makes smaller.
pub(crate) struct Store;

impl Codec for Store {
    fn encode(
        &self,
        _reference: &[u8],
        new: &[u8],
        _level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        advanced(new.len() as u64)?;
        Ok(new.to_vec())
    }

    fn decode(
        &self,
        _reference: &[u8],
        frame: &EncodedFrame<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError> {
        let found = frame.bytes.len() as u64;
        if found != frame.decoded_length {
            let expected = frame.decoded_length;
            let told = format!("it stores {found} bytes where {expected} are to come out");
            return Err(frame.malformed(told));
        }
        frame.bytes.chunks(PIECE_BYTES).try_for_each(out)
    }

    fn decoding_memory(&self, _decoded_length: u64, _max_window_bytes: u64) -> u64 {
        0
    }
}

/// How much is handed on at once, so that a stop is heard in time.
const PIECE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_differs_is_refused() {
        let frame = EncodedFrame {
            bytes: b"four",
            offset: 0,
            decoded_length: 5,
            max_window_bytes: 0,
        };
        let refused = Store.decode(b"", &frame, &mut |_| Ok(()));
        assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
    }
}
