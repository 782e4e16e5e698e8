mod arithmetic;
mod choices;
mod counter;
mod decisions;
mod distances;
mod finder;
mod guesses;
mod hash;
mod history;
mod literals;
mod mixer;
mod model;
mod parse;
#[cfg(test)]
mod plain;
mod prices;
mod slots;
mod step;

pub(crate) use distances::{Distances, Kind};
pub(crate) use guesses::Guesses;
pub(crate) use history::History;
pub(crate) use prices::Prices;
pub(crate) use step::Step;

use super::{Codec, EncodeError, EncodedFrame, Level};
use crate::Cancelled;
use crate::entropy::{BitDecoder, BitEncoder};
use crate::error::DeltaError;
use model::{Model, Token};

/// Satchel's own method: copies from all of the history and literals, each decision of which is coded by
/// the probability that mixed contexts give it.
pub(crate) struct Solid;

impl Solid {
    /// Returns `new` coded as these steps, and the bit at which each of some rising places in it stands;
    /// `advanced` is asked whether to stop.
    pub(crate) fn encode_steps(
        reference: &[u8],
        new: &[u8],
        steps: &[Step],
        places: &[usize],
        advanced: &mut dyn FnMut(u64) -> Result<(), Cancelled>,
    ) -> Result<(Vec<u8>, Vec<u64>), EncodeError> {
        if reference.len().saturating_add(new.len()) > MOST_HISTORY {
            let told = format!("more than {MOST_HISTORY} bytes are too long a history");
            return Err(EncodeError::Failed(told));
        }
        let mut encoder = BitEncoder::new();
        let mut model = Model::new(reference, new.len());
        let (mut at, mut asked) = (0, 0);
        let mut bits = Vec::with_capacity(places.len());
        let mut code = |token, at: usize, length: usize| {
            let (known, coming) = new.split_at(at);
            let history = History {
                reference,
                new: known,
            };
            let before = encoder.bits();
            model.token(&mut encoder, token, history);
            if let Token::Copy { .. } = token {
                model.see_copied(&coming[..length]);
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
                    at = code(Token::Copy { length, distance }, at, length);
                }
            }
            if at - asked >= PIECE_BYTES {
                advanced(0)?;
                asked = at;
            }
        }
        Ok((encoder.finish(), bits))
    }
}

impl Codec for Solid {
    fn encode(
        &self,
        reference: &[u8],
        new: &[u8],
        level: Level,
        advanced: &mut dyn FnMut(u64) -> Result<(), Cancelled>,
    ) -> Result<Vec<u8>, EncodeError> {
        let coded = self.encode_at(reference, new, level, &[], advanced)?;
        Ok(coded.0)
    }

    fn encode_at(
        &self,
        reference: &[u8],
        new: &[u8],
        level: Level,
        places: &[usize],
        advanced: &mut dyn FnMut(u64) -> Result<(), Cancelled>,
    ) -> Result<(Vec<u8>, Vec<u64>), EncodeError> {
        let steps = parse::parse(reference, new, level, advanced)?;
        Solid::encode_steps(reference, new, &steps, places, advanced)
    }

    fn decode(
        &self,
        reference: &[u8],
        frame: &EncodedFrame<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError> {
        let length = usize::try_from(frame.decoded_length).unwrap_or(usize::MAX);
        if reference.len().saturating_add(length) > MOST_HISTORY {
            return Err(frame.malformed("its history is longer than the method allows"));
        }
        let mut decoder = BitDecoder::new(frame.bytes);
        let mut model = Model::new(reference, length);
        let mut output = Output {
            reference,
            new: Vec::new(),
            handed: 0,
            out,
        };
        while output.new.len() < length {
            let history = History {
                reference,
                new: &output.new,
            };
            match model.token(&mut decoder, Token::Literal(0), history) {
                Token::Literal(byte) => output.new.push(byte),
                Token::Copy {
                    length: copied,
                    distance,
                } => {
                    let (from, left) = (history.len(), length - output.new.len());
                    if distance == 0 || distance > from || copied > left {
                        let told = format!(
                            "it copies {copied} bytes from {distance} back, where {from} stand and {left} are left"
                        );
                        return Err(frame.malformed(told));
                    }
                    let start = output.new.len();
                    output.copy(copied, distance)?;
                    model.see_copied(output.new.get(start..).unwrap_or(&[]));
                }
            }
            output.hand_on(PIECE_BYTES)?;
        }
        if !decoder.is_at_end() {
            return Err(frame.malformed("bytes are left over behind what it decodes to"));
        }
        output.hand_on(1)
    }

    fn decoding_memory(&self, decoded_length: u64, _max_window_bytes: u64) -> u64 {
        let length = usize::try_from(decoded_length).unwrap_or(usize::MAX);
        decoded_length.saturating_add(Model::memory(length))
    }
}

/// What is decoded, all of which later copies may ask for.
struct Output<'a> {
    reference: &'a [u8],
    new: Vec<u8>,
    handed: usize,
    out: &'a mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
}

impl Output<'_> {
    /// Appends bytes of the history; the caller has checked that there are any at this distance.
    fn copy(&mut self, length: usize, distance: usize) -> Result<(), DeltaError> {
        let mut left = length;
        while left > 0 {
            let most = left.min(PIECE_BYTES);
            let copied = match distance.checked_sub(self.new.len()) {
                Some(before @ 1..) => {
                    let start = self.reference.len().saturating_sub(before);
                    let found = self.reference.get(start..).unwrap_or(&[]);
                    let found = found.get(..most).unwrap_or(found);
                    self.new.extend_from_slice(found);
                    found.len()
                }
                _ => {
                    let copied = most.min(distance);
                    let start = self.new.len() - distance;
                    self.new.extend_from_within(start..start + copied);
                    copied
                }
            };
            left -= copied;
            self.hand_on(PIECE_BYTES)?;
        }
        Ok(())
    }

    /// Hands on what was not yet, where it is so much.
    fn hand_on(&mut self, least: usize) -> Result<(), DeltaError> {
        let piece = self.new.get(self.handed..).unwrap_or(&[]);
        if piece.len() >= least {
            (self.out)(piece)?;
            self.handed = self.new.len();
        }
        Ok(())
    }
}

/// How much is handed on at once, so that a stop is heard in time.
const PIECE_BYTES: usize = 1 << 18;
/// Places are counted in 32 bits.
const MOST_HISTORY: usize = (1 << 31) - 1;

#[cfg(test)]
mod tests;
