use zlib_rs::{Inflate, InflateFlush, Status};

use crate::error::DeltaError;

/// Takes the plaintext of a stream, piece by piece.
pub(crate) type Output<'o> = dyn FnMut(&[u8]) -> Result<(), DeltaError> + 'o;

/// Inflates one stream whose deflate data comes in pieces, in 110 KiB.
pub(crate) struct Inflater {
    state: Inflate,
    made: Vec<u8>,
    done: bool,
}

impl Inflater {
    /// Returns an inflater of a stream's start.
    pub(crate) fn new() -> Inflater {
        Inflater {
            state: Inflate::new(false, WINDOW_BITS),
            made: vec![0; MADE_BYTES],
            done: false,
        }
    }

    /// Makes ready for another stream.
    pub(crate) fn restart(&mut self) {
        self.state.reset(false);
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
            let before = (self.consumed(), self.produced());
            let result = self
                .state
                .decompress(input, &mut self.made, InflateFlush::NoFlush);
            taken += count(before.0, self.consumed());
            let made = count(before.1, self.produced());
            if self.produced() > most {
                let problem = format!("a stream inflates to more than {most} bytes");
                return Err(DeltaError::malformed(PLACE, taken, problem));
            }
            out(self.made.get(..made).unwrap_or_default())?;
            match result {
                Ok(Status::StreamEnd) => self.done = true,
                // What was made may have filled all the room while more is to come.
                Ok(_) if taken == piece.len() && made < MADE_BYTES => break,
                Ok(_) if before != (self.consumed(), self.produced()) => {}
                _ => {
                    let problem = "this is no deflate data";
                    return Err(DeltaError::malformed(PLACE, taken, problem));
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
        self.state.total_in()
    }

    /// Returns how many bytes came of the stream so far.
    pub(crate) fn produced(&self) -> u64 {
        self.state.total_out()
    }
}

fn count(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

/// What errors call a stream.
pub(crate) const PLACE: &str = "compressed stream";

/// Deflate refers back by 32 KiB at the most.
const WINDOW_BITS: u8 = 15;
/// So much is handed out at once.
const MADE_BYTES: usize = 64 << 10;
