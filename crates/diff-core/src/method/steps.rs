//! Content as steps, copies from all of the history and literals, for the methods that code them by a
//! model each.

#[cfg(test)]
pub(crate) mod claims;
mod codec;
mod distances;
mod draft;
mod finder;
mod guesses;
mod halved;
mod history;
mod output;
mod parse;
#[cfg(test)]
pub(crate) mod plain;
mod prices;
mod step;

pub(crate) use codec::Modelled;
pub(crate) use distances::{Distances, Kind};
pub(crate) use draft::Draft;
pub(crate) use guesses::Guesses;
pub(crate) use history::History;
pub(crate) use prices::{Measured, Prices};
pub(crate) use step::{Step, Token};

use super::{Coded, EncodeError, EncodedFrame};
use crate::entropy::{BitDecoder, BitEncoder, Coder};
use crate::error::DeltaError;
use crate::progress::Advanced;
use crate::space::Space;
use output::{Output, PIECE_BYTES};

/// Knows how likely each step is, and learns of those that came.
pub(crate) trait StepModel: Clone + Sync {
    /// What literals that a copy could make cost, of what all cost, in percent: how much the model makes
    /// of what stood before.
    const BESIDE_COPIES: u32;

    /// A frame begins with as many bits, which tell the number of samples.
    const SAMPLES_BITS: u32;

    /// Returns the model at the start of a frame that decodes to so many bytes, after it has learnt from so
    /// many samples of the reference, as far as that has them.
    fn new(reference: &[u8], decoded_length: usize, samples: usize) -> Self;

    /// Returns the number of samples that it was made with.
    fn samples(&self) -> usize;

    /// Returns the number of samples that are worth their time before so many literals and copies.
    fn worthwhile(tokens: usize) -> usize;

    /// Returns how many bytes the tables of a frame that decodes to so many take at most.
    fn memory(decoded_length: usize) -> u64;

    /// Codes a token; where it is to be decoded, `token` is only a place for it.
    fn token<C: Coder>(&mut self, coder: &mut C, token: Token, history: History<'_>) -> Token;

    /// Takes note of the bytes that a copy made.
    fn see_copied(&mut self, copied: &[u8]);
}

/// Returns `new` coded as these steps by a model at the start of it, with the bit at which each of some
/// rising places in it stands; `advanced` is asked whether to stop.
pub(crate) fn encode<M: StepModel>(
    mut model: M,
    reference: &[u8],
    new: &[u8],
    steps: &[Step],
    places: &[usize],
    advanced: &mut Advanced<'_>,
) -> Result<Coded, EncodeError> {
    if reference.len().saturating_add(new.len()) > MOST_HISTORY {
        let told = format!("more than {MOST_HISTORY} bytes are too long a history");
        return Err(EncodeError::Failed(told));
    }
    let mut encoder = BitEncoder::new();
    encoder.plain(model.samples(), M::SAMPLES_BITS);
    let (mut at, mut asked) = (0, 0);
    let mut literal_bits = 0;
    let mut bits = Vec::with_capacity(places.len());
    let mut code = |token, at: usize, length: usize| {
        let (known, coming) = new.split_at(at);
        let history = History {
            reference,
            new: known,
        };
        let before = encoder.bits();
        model.token(&mut encoder, token, history);
        match token {
            Token::Copy { .. } => model.see_copied(&coming[..length]),
            Token::Literal(_) => literal_bits += encoder.bits().saturating_sub(before),
        }
        // A copy over a place is shared by length.
        while let Some(place) = places
            .get(bits.len())
            .filter(|place| **place <= at + length)
        {
            let cost = encoder.bits().saturating_sub(before);
            let part = place.saturating_sub(at) as u64;
            bits.push(before + cost * part / length.max(1) as u64);
        }
        at + length
    };
    for step in steps {
        match *step {
            Step::Literals(count) => {
                for _ in 0..count {
                    at = code(Token::Literal(new[at]), at, 1);
                }
            }
            Step::Copy { length, distance } => {
                let mut left = length;
                while left > 0 {
                    let length = left.min(MOST_COPIED);
                    at = code(Token::Copy { length, distance }, at, length);
                    left -= length;
                }
            }
        }
        if at - asked >= PIECE_BYTES {
            advanced(0)?;
            asked = at;
        }
    }
    Ok(Coded {
        bytes: encoder.finish(),
        bits,
        literal_bits,
    })
}

/// Hands what a frame's steps make to `out`.
pub(crate) fn decode<M: StepModel>(
    reference: &[u8],
    frame: &EncodedFrame<'_>,
    out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
) -> Result<(), DeltaError> {
    let length = usize::try_from(frame.decoded_length).unwrap_or(usize::MAX);
    if reference.len().saturating_add(length) > MOST_HISTORY {
        return Err(frame.malformed("its history is longer than the method allows"));
    }
    let mut decoder = BitDecoder::new(frame.bytes);
    let samples = decoder.plain(0, M::SAMPLES_BITS);
    let mut model = M::new(reference, length, samples);
    let mut new = Space::zeros(length);
    let mut output = Output::new(reference, &mut new, out);
    while output.len() < length {
        let history = output.history();
        match model.token(&mut decoder, Token::Literal(0), history) {
            Token::Literal(byte) => output.push(byte),
            Token::Copy {
                length: copied,
                distance,
            } => {
                let (from, left) = (history.len(), length - output.len());
                if distance == 0 || distance > from || copied > left {
                    let told = format!(
                        "it copies {copied} bytes from {distance} back, where {from} stand and {left} are left"
                    );
                    return Err(frame.malformed(told));
                }
                model.see_copied(output.copy(copied, distance)?);
            }
        }
        output.hand_on(PIECE_BYTES)?;
    }
    if !decoder.is_at_end() {
        return Err(frame.malformed("bytes are left over behind what it decodes to"));
    }
    output.hand_on(1)
}

/// The longest copy that every model can tell.
const MOST_COPIED: usize = 1 << 24;
/// Places are counted in 32 bits.
const MOST_HISTORY: usize = (1 << 31) - 1;
