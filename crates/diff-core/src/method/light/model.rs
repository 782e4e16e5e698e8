//! Steps as symbols, and symbols as steps: what is told, and in which contexts.

use super::shares::{CLASSES, QUICK, STEADY, Shares, Weight, code, code_by_two};
use crate::entropy::Coder;
use crate::method::steps::{Distances, Guesses, History, Kind, StepModel, Token};
use crate::space::Space;

/// Contexts, which coding and decoding change alike.
#[derive(Clone)]
pub(crate) struct Model {
    distances: Distances,
    guesses: Guesses,
    noted: usize,
    /// Literals since the last copy.
    since: usize,
    /// What the last two tokens were, four bits each, the last one lowest.
    tokens: usize,
    /// The last two bytes, the last one lowest.
    before: u16,
    kinds: [Vec<Shares>; 2],
    kind_weights: Vec<Weight>,
    lengths: [Vec<Shares>; 2],
    length_weights: Vec<Weight>,
    long_lengths: Shares,
    near: Vec<Shares>,
    near_low: Vec<Shares>,
    far: Vec<Shares>,
    far_low: Vec<Shares>,
    /// Of the halves of literals, by the byte before and by the two before.
    by_one: Vec<Shares>,
    by_two: Space,
    /// How many contexts there are of two bytes, as a power of two.
    bits: u32,
    literal_weights: Vec<Weight>,
}

impl StepModel for Model {
    const BESIDE_COPIES: u32 = 120;
    const SAMPLES_BITS: u32 = 0;

    fn new(reference: &[u8], decoded_length: usize, _samples: usize) -> Model {
        let bits = context_bits(decoded_length);
        let shares = |contexts: usize| vec![Shares::NEW; contexts];
        let mut by_two = Space::zeros((Shares::BYTES * HALVES) << bits);
        by_two.as_chunks_mut().0.fill(Shares::NEW.to_bytes());
        Model {
            distances: Distances::new(reference.len()),
            guesses: Guesses::behind(reference, decoded_length),
            noted: 0,
            since: 0,
            tokens: 0,
            before: 0,
            kinds: [shares(4 << 8), shares(4 << 8)],
            kind_weights: vec![Weight::EVEN; 4 << 4],
            lengths: [shares(4 << 8), shares(16 << 8)],
            length_weights: vec![Weight::EVEN; 16],
            long_lengths: Shares::NEW,
            near: shares(16),
            near_low: shares(16),
            far: shares(16),
            far_low: shares(16 << 3),
            by_one: shares(256 * HALVES),
            by_two,
            bits,
            literal_weights: vec![Weight::EVEN; 2 * CLASSES * 4],
        }
    }

    fn samples(&self) -> usize {
        0
    }

    fn worthwhile(_tokens: usize) -> usize {
        0
    }

    fn memory(decoded_length: usize) -> u64 {
        let contexts = (HALVES as u64) << context_bits(decoded_length);
        contexts * size_of::<Shares>() as u64 + OTHER_TABLES
    }

    #[inline]
    fn token<C: Coder>(&mut self, coder: &mut C, token: Token, history: History<'_>) -> Token {
        self.guesses
            .note(history.new.get(self.noted..).unwrap_or(&[]));
        self.noted = history.new.len();
        let since = self.since.min(3);
        let [before, _] = self.before.to_le_bytes();
        // Asked for where it matters alone: it costs time.
        let foreseen = |guesses: &Guesses, last| {
            let guess = guesses.distance(history, last);
            guess.map_or(0, |(distance, _)| distance)
        };
        let last = self.distances.last();
        let (wanted, byte, length, distance) = match token {
            Token::Literal(byte) => (LITERAL, byte, 1, 1),
            Token::Copy { length, distance } => {
                let foreseen = foreseen(&self.guesses, last);
                let kind = self.distances.kind(distance, self.since, foreseen);
                (number(kind), 0, length, distance)
            }
        };
        let [kinds, by_byte] = &mut self.kinds;
        let kind = code_by_two(
            coder,
            wanted,
            [
                &mut kinds[since << 8 | self.tokens],
                &mut by_byte[since << 8 | usize::from(before)],
            ],
            &mut self.kind_weights[since << 4 | self.tokens & 15],
            QUICK,
        );
        if kind == LITERAL {
            let byte = self.literal(coder, byte, since);
            self.since += 1;
            self.tokens = self.tokens << 4 & 0xff;
            self.see(byte);
            return Token::Literal(byte);
        }
        let length = self.length(coder, length, kind, since, before);
        let distance = match kind {
            ALIGNED => last,
            RESUMED => last.wrapping_add(self.since),
            FORESEEN => foreseen(&self.guesses, last),
            NEAR => self.near(coder, distance, length, since),
            FAR => self.far(coder, distance, length, since),
            RECENT..BEHIND_RECENT => self.distances.before(kind - RECENT),
            _ => REFUSED,
        };
        self.distances.take(distance);
        self.since = 0;
        self.tokens = (self.tokens << 4 | kind) & 0xff;
        Token::Copy { length, distance }
    }

    fn see_copied(&mut self, copied: &[u8]) {
        let last = copied.len().saturating_sub(2);
        for byte in copied.get(last..).unwrap_or(&[]) {
            self.see(*byte);
        }
    }
}

impl Model {
    /// Takes note of a byte that a token made.
    #[inline]
    fn see(&mut self, byte: u8) {
        self.before = self.before << 8 | u16::from(byte);
    }

    /// Codes a literal: its upper half, and its lower half by the upper one.
    #[inline]
    fn literal<C: Coder>(&mut self, coder: &mut C, byte: u8, since: usize) -> u8 {
        let [before, _] = self.before.to_le_bytes();
        let one = usize::from(before) * HALVES;
        let context = u32::from(self.before) | u32::from(since > 0) << 24;
        let two = (context.wrapping_mul(0x9e37_79b1) >> (32 - self.bits)) as usize * HALVES;
        let mut half = |node: usize, wanted: u8| {
            let first = &mut self.by_one[one + node];
            let kept = &mut self.by_two.as_chunks_mut().0[two + node];
            let mut second = Shares::from_bytes(kept);
            let weight = (usize::from(node > 0) * CLASSES + second.seen()) * 4 + since;
            let weight = &mut self.literal_weights[weight];
            let half = code_by_two(coder, wanted.into(), [first, &mut second], weight, STEADY);
            *kept = second.to_bytes();
            half
        };
        let high = half(0, byte >> 4);
        let low = half(1 + high, byte & 15);
        u8::try_from(high << 4 | low).unwrap_or(0)
    }

    /// Codes a length from 1 on: up to 8 as it is, then by how many bits it has beyond.
    fn length<C: Coder>(
        &mut self,
        coder: &mut C,
        length: usize,
        kind: usize,
        since: usize,
        before: u8,
    ) -> usize {
        // What comes from 2 on doubles with each symbol.
        let beyond = length.saturating_sub(SHORT_LENGTHS - 1).max(2);
        let bits = beyond.ilog2() as usize;
        let wanted = match length {
            0..=SHORT_LENGTHS => length.max(1) - 1,
            _ => (SHORT_LENGTHS - 1 + bits).min(LONG_LENGTH),
        };
        let [by_token, by_byte] = &mut self.lengths;
        let symbol = code_by_two(
            coder,
            wanted,
            [
                &mut by_token[(kind << 4 | self.tokens & 15) << 2 | since],
                &mut by_byte[kind << 8 | usize::from(before)],
            ],
            &mut self.length_weights[kind],
            QUICK,
        );
        let bits = match symbol {
            ..SHORT_LENGTHS => return symbol + 1,
            LONG_LENGTH => {
                let more = bits.wrapping_sub(LONG_BITS) & 15;
                let bits = code(coder, more, &mut self.long_lengths);
                LONG_BITS + bits
            }
            _ => symbol + 1 - SHORT_LENGTHS,
        };
        let low = u32::try_from(bits).unwrap_or(0);
        SHORT_LENGTHS - 1 + (1 << bits | coder.long(beyond, low))
    }

    /// Codes a distance near the last one: how many bits it differs by, and the direction with the three
    /// bits behind the highest.
    fn near<C: Coder>(
        &mut self,
        coder: &mut C,
        distance: usize,
        length: usize,
        since: usize,
    ) -> usize {
        let last = self.distances.last();
        let by = distance.abs_diff(last).max(1);
        let is_less = usize::from(distance < last);
        let context = since << 2 | class(length).min(3);
        let bits = code(coder, by.ilog2() as usize & 15, &mut self.near[context]);
        let low = code(
            coder,
            is_less << 3 | behind(by, bits),
            &mut self.near_low[bits],
        );
        let by = number_of(coder, by, bits, low & 7);
        match low >> 3 {
            _ if by > Distances::NEAR => REFUSED,
            0 => last.saturating_add(by),
            _ => last.saturating_sub(by),
        }
    }

    /// Codes any distance: half of how many bits it has, and the rest of that with the three bits behind
    /// the highest.
    fn far<C: Coder>(
        &mut self,
        coder: &mut C,
        distance: usize,
        length: usize,
        since: usize,
    ) -> usize {
        let distance = distance.max(1);
        let bits = distance.ilog2() as usize;
        let class = class(length);
        let context = class << 1 | usize::from(since > 0);
        let half = code(coder, bits >> 1 & 15, &mut self.far[context]);
        let wanted = (bits & 1) << 3 | behind(distance, bits);
        let low = code(coder, wanted, &mut self.far_low[half << 3 | class]);
        number_of(coder, distance, half << 1 | low >> 3, low & 7)
    }
}

/// Returns the three bits behind the highest one, at `bits`; with zeros where there are fewer.
#[inline]
fn behind(number: usize, bits: usize) -> usize {
    match bits.checked_sub(3) {
        Some(more) => number >> more & 7,
        None => number << (3 - bits) & 7,
    }
}

/// Codes the lowest bits of a number of which the highest one, at `bits`, and the three behind it are
/// told.
#[inline]
fn number_of<C: Coder>(coder: &mut C, number: usize, bits: usize, behind: usize) -> usize {
    let high = 8 | behind;
    match bits.checked_sub(3) {
        Some(more) => high << more | coder.long(number, u32::try_from(more).unwrap_or(0)),
        None => high >> (3 - bits),
    }
}

/// Returns the class of a length, 7 at most.
#[inline]
fn class(length: usize) -> usize {
    length.checked_ilog2().map_or(0, |log| log as usize).min(7)
}

/// Returns how many contexts of two bytes a frame has, as a power of two.
fn context_bits(decoded_length: usize) -> u32 {
    decoded_length.max(1).ilog2().clamp(8, 13)
}

const LITERAL: usize = 0;
const ALIGNED: usize = 1;
const RESUMED: usize = 2;
const FORESEEN: usize = 3;
const NEAR: usize = 4;
const FAR: usize = 5;
const RECENT: usize = 6;
/// No symbol from here on tells a token.
const BEHIND_RECENT: usize = RECENT + Distances::BEFORE;

#[inline]
fn number(kind: Kind) -> usize {
    match kind {
        Kind::Aligned => ALIGNED,
        Kind::Resumed => RESUMED,
        Kind::Foreseen => FORESEEN,
        Kind::Near { .. } => NEAR,
        Kind::Far { .. } => FAR,
        Kind::Recent(place) => RECENT + place,
    }
}

/// The contexts of both halves of a byte.
const HALVES: usize = 17;
/// Lengths that are told as they are.
const SHORT_LENGTHS: usize = 8;
/// The symbol of lengths whose number of bits is told by another.
const LONG_LENGTH: usize = 15;
const LONG_BITS: usize = LONG_LENGTH + 1 - SHORT_LENGTHS;
/// Every distance of 0 is refused.
const REFUSED: usize = 0;
const OTHER_TABLES: u64 = 3 << 20;
