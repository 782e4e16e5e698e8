use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use crate::error::DeltaError;

/// Takes the plaintext of a stream, piece by piece.
pub(crate) type Output<'o> = dyn FnMut(&[u8]) -> Result<(), DeltaError> + 'o;

/// Inflates one stream whose deflate data comes in pieces, in 43 KiB.
pub(crate) struct Inflater {
    state: Box<DecompressorOxide>,
    ring: Vec<u8>,
    at: usize,
    consumed: u64,
    produced: u64,
    done: bool,
}

impl Inflater {
    /// Returns an inflater of a stream's start.
    pub(crate) fn new() -> Inflater {
        Inflater {
            state: Box::default(),
            ring: vec![0; RING_BYTES],
            at: 0,
            consumed: 0,
            produced: 0,
            done: false,
        }
    }

    /// Makes ready for another stream.
    pub(crate) fn restart(&mut self) {
        self.state.init();
        self.at = 0;
        self.consumed = 0;
        self.produced = 0;
        self.done = false;
    }

    /// Inflates the next `piece` and returns how many of its bytes belong to the stream: all unless
    /// it ended. Never hands out more than `most` bytes in all.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        most: u64,
        out: &mut Output<'_>,
    ) -> Result<usize, DeltaError> {
        let mut taken = 0;
        while !self.done {
            let input = piece.get(taken..).unwrap_or_default();
            let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
            let (status, read, made) =
                decompress(&mut self.state, input, &mut self.ring, self.at, flags);
            taken += read;
            self.consumed += read as u64;
            self.produced += made as u64;
            if self.produced > most {
                let problem = format!("a stream inflates to more than {most} bytes");
                return Err(DeltaError::malformed(PLACE, taken, problem));
            }
            let fresh = self.ring.get(self.at..self.at + made);
            out(fresh.unwrap_or_default())?;
            self.at = (self.at + made) % RING_BYTES;
            match status {
                TINFLStatus::Done => self.done = true,
                TINFLStatus::HasMoreOutput if read + made > 0 => {}
                TINFLStatus::NeedsMoreInput if taken == piece.len() => break,
                TINFLStatus::NeedsMoreInput if read + made > 0 => {}
                _ => {
                    return Err(DeltaError::malformed(
                        PLACE,
                        taken,
                        "this is no deflate data",
                    ));
                }
            }
        }
        Ok(taken)
    }

    /// Returns whether the stream ended.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Returns how many bytes of deflate data were read so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Returns how many bytes came of the stream so far.
    pub(crate) fn produced(&self) -> u64 {
        self.produced
    }
}

/// What errors call a stream.
pub(crate) const PLACE: &str = "compressed stream";

/// Deflate refers back by 32 KiB at the most.
const RING_BYTES: usize = 32 << 10;
