//! Steps as decisions, and decisions as steps: what is decided, and in which contexts.

use super::choices::{CONTEXTS, Choices};
use super::known::Known;
use super::literals::{Around, Literals};
use crate::entropy::Coder;
use crate::method::steps::{Distances, Guesses, History, Kind, StepModel, Token};
use crate::mixing::hash;

/// Counters and mixers, which coding and decoding change alike.
#[derive(Clone)]
pub(crate) struct Model {
    distances: Distances,
    /// Literals since the last copy.
    since: usize,
    /// What the last tokens were, three bits each, the last one lowest.
    tokens: u32,
    last_length: usize,
    before: u64,
    word: u32,
    right: u32,
    literals: Literals,
    choices: Choices,
    guesses: Guesses,
    noted: usize,
    /// Samples of the reference that literals learnt from.
    samples: usize,
}

impl StepModel for Model {
    const BESIDE_COPIES: u32 = 50;
    const SAMPLES_BITS: u32 = 8;

    fn new(reference: &[u8], decoded_length: usize, samples: usize) -> Model {
        let mut model = Model {
            distances: Distances::new(reference.len()),
            since: 0,
            tokens: 0,
            last_length: 0,
            before: 0,
            word: 0,
            right: 0,
            literals: Literals::new(slot_bits(decoded_length)),
            choices: Choices::new(),
            guesses: Guesses::behind(reference, decoded_length),
            noted: 0,
            samples: samples.min(reference.len() / SAMPLE / SAMPLES_SHARE),
        };
        model.learn(reference);
        model
    }

    fn samples(&self) -> usize {
        self.samples
    }

    fn worthwhile(tokens: usize) -> usize {
        let samples = LEAST_SAMPLES + tokens / TOKENS_OF_SAMPLE;
        samples.min(tokens).min(MOST_SAMPLES)
    }

    fn memory(decoded_length: usize) -> u64 {
        (32 << slot_bits(decoded_length)) + OTHER_TABLES
    }

    #[inline]
    fn token<C: Coder>(&mut self, coder: &mut C, token: Token, history: History<'_>) -> Token {
        self.guesses
            .note(history.new.get(self.noted..).unwrap_or(&[]));
        self.noted = history.new.len();
        let last = self.distances.last();
        let (foreseen, same) = self.guesses.distance(history, last).unwrap_or((0, 0));
        let guess = if same > 0 { history.back(foreseen) } else { 0 };
        let predicted = history.back(last);
        let after = if last > 1 { history.back(last - 1) } else { 0 };
        let since = u32::try_from(self.since.min(15)).unwrap_or(0);
        let one = (self.before & 0xff) as u32;
        let two = (self.before & 0xffff) as u32;
        let ahead = u32::from(predicted) | u32::from(after) << 8;
        let contexts = [
            self.tokens & 0x1ff | since.min(7) << 9,
            one | u32::from(predicted) << 8 | since.min(2) << 16,
            two | since.min(1) << 16,
            ahead | one << 16 | since.min(3) << 24,
            same | u32::from(guess) << 8 | since.min(3) << 16,
            self.tokens & 0xfff | log2(self.last_length) << 16,
        ];
        let around = Around {
            before: self.before,
            word: self.word,
            predicted,
            after,
            since: since.min(3),
            right: self.right,
            guess,
            same,
        };
        let hashes = self.literals.look(&around);
        let is_copy = matches!(token, Token::Copy { .. });
        if self
            .choices
            .code(coder, is_copy, self.since.min(7), &contexts)
        {
            let (length, distance) = match token {
                Token::Copy { length, distance } => (length, distance),
                Token::Literal(_) => (1, 1),
            };
            self.copy(coder, length, distance, history, foreseen, same)
        } else {
            let wanted = match token {
                Token::Literal(byte) => byte,
                Token::Copy { .. } => 0,
            };
            let byte = self.literals.code(coder, wanted, &around, hashes);
            self.right = self.right << 1 | u32::from(byte == predicted);
            self.since += 1;
            self.tokens <<= 3;
            self.see(byte);
            Token::Literal(byte)
        }
    }

    fn see_copied(&mut self, copied: &[u8]) {
        let last = copied.len().saturating_sub(SEEN);
        for byte in copied.get(last..).unwrap_or(&[]) {
            self.see(*byte);
        }
    }
}

impl Model {
    /// Lets literals learn from samples of the reference.
    fn learn(&mut self, reference: &[u8]) {
        let Some(apart) = reference.len().checked_div(self.samples) else {
            return;
        };
        for sample in reference.chunks(apart).take(self.samples) {
            let middle = (sample.len().saturating_sub(SAMPLE)) / 2;
            for byte in sample.iter().skip(middle).take(SAMPLE) {
                let around = Around {
                    before: self.before,
                    word: self.word,
                    predicted: 0,
                    after: 0,
                    since: 3,
                    right: 0,
                    guess: 0,
                    same: 0,
                };
                let hashes = self.literals.look(&around);
                self.literals.code(&mut Known, *byte, &around, hashes);
                self.see(*byte);
            }
        }
        self.before = 0;
        self.word = 0;
    }

    fn copy<C: Coder>(
        &mut self,
        coder: &mut C,
        length: usize,
        distance: usize,
        history: History<'_>,
        foreseen: usize,
        same: u32,
    ) -> Token {
        let wanted = self.distances.kind(distance, self.since, foreseen);
        let last = self.distances.last();
        let resumed = last.wrapping_add(self.since);
        let since = u32::try_from(self.since.min(31)).unwrap_or(0);
        let one = (self.before & 0xff) as u32;
        let (predicted, resuming) = (
            u32::from(history.back(last)),
            u32::from(history.back(resumed)),
        );
        let contexts = [
            self.tokens & 0x1ff | since.min(3) << 12,
            since | log2(self.last_length) << 8,
            one | predicted << 8 | resuming << 16,
            (self.before & 0xffff) as u32,
            self.tokens & 0x3ffff,
            same | since.min(3) << 8,
        ];
        let mut told = 0_usize;
        let number = match wanted {
            Kind::Aligned => 0,
            Kind::Resumed => 1,
            Kind::Near { .. } => 3,
            Kind::Far { .. } => 4,
            Kind::Foreseen => 2,
            Kind::Recent(place) => 5 + place,
        };
        while told < 4 + Distances::BEFORE {
            if told == 1 && self.since == 0 || told == 2 && foreseen == 0 {
                told += 1;
                continue;
            }
            if !self
                .choices
                .code(coder, number != told, KIND + told, &contexts)
            {
                break;
            }
            told += 1;
        }
        let expected = match told {
            0 => self.since.min(3),
            1 => 4,
            2 => 5,
            3 => 6,
            4 => 7,
            _ => 8,
        };
        let contexts = [
            self.tokens & 0x3f,
            log2(self.last_length),
            one | predicted << 8,
            since.min(7) << 8 | self.tokens & 7,
            self.tokens & 0xfff,
            same,
        ];
        let length = self.number(coder, length - 1, LENGTH + expected * NUMBER, &contexts) + 1;
        let length_log = log2(length);
        let distance = match told {
            0 => last,
            1 => resumed,
            2 => foreseen,
            3 => {
                let contexts = [
                    since,
                    length_log,
                    self.tokens & 0x3f,
                    one,
                    since | length_log << 8,
                    0,
                ];
                let is_less = self.choices.code(coder, distance < last, NEAR, &contexts);
                let contexts = contexts.map(|context| context << 1 | u32::from(is_less));
                let by = self.number(
                    coder,
                    distance.abs_diff(last).wrapping_sub(1) & 0xffff,
                    BY,
                    &contexts,
                ) + 1;
                if by > Distances::NEAR {
                    // Refused, like every distance of 0.
                    0
                } else if is_less {
                    last.saturating_sub(by)
                } else {
                    last.saturating_add(by)
                }
            }
            4 => {
                let contexts = [
                    length_log.min(8),
                    self.tokens & 0x3f,
                    since.min(3),
                    length_log,
                    one,
                    predicted,
                ];
                self.far(coder, distance, &contexts)
            }
            _ => self.distances.before(told - 5),
        };
        self.distances.take(distance);
        self.since = 0;
        self.last_length = length;
        self.right <<= 1;
        self.tokens = self.tokens << 3 | KINDS[told];
        Token::Copy { length, distance }
    }

    /// Codes a distance from 1 to 2^32 - 1: how many bits it has, the highest of them, the others as
    /// they are.
    fn far<C: Coder>(
        &mut self,
        coder: &mut C,
        distance: usize,
        contexts: &[u32; CONTEXTS],
    ) -> usize {
        let wanted = distance.max(1).ilog2() as usize;
        let mut bits = 1;
        for place in (0..5).rev() {
            let bit = self
                .choices
                .code(coder, wanted >> place & 1 == 1, FAR + bits, contexts);
            bits = bits << 1 | usize::from(bit);
        }
        let bits = bits - 32;
        let node = FAR + 32 + bits * 8;
        self.mantissa(coder, distance, bits, node, contexts)
    }

    /// Codes the bits of a number behind its highest one: three in contexts, the others as they are.
    fn mantissa<C: Coder>(
        &mut self,
        coder: &mut C,
        value: usize,
        bits: usize,
        node: usize,
        contexts: &[u32; CONTEXTS],
    ) -> usize {
        let mut coded = 1;
        let plain = bits.saturating_sub(3);
        for place in (plain..bits).rev() {
            let bit = value >> place & 1 == 1;
            let bit = self.choices.code(coder, bit, node + coded, contexts);
            coded = coded << 1 | usize::from(bit);
        }
        let low = u32::try_from(plain).unwrap_or(0);
        coded << plain | coder.long(value, low)
    }

    /// Codes a number: how many bits it has when it is one more, then these, the highest first.
    fn number<C: Coder>(
        &mut self,
        coder: &mut C,
        value: usize,
        what: usize,
        contexts: &[u32; CONTEXTS],
    ) -> usize {
        let value = value.wrapping_add(1);
        let wanted = value.max(1).ilog2() as usize;
        let mut bits = 0;
        while bits < MOST_BITS
            && self
                .choices
                .code(coder, wanted > bits, what + bits, contexts)
        {
            bits += 1;
        }
        let node = what + MOST_BITS + 1 + bits.min(15) * 8;
        self.mantissa(coder, value, bits, node, contexts) - 1
    }

    /// Takes note of a byte that a token made.
    #[inline]
    fn see(&mut self, byte: u8) {
        self.before = self.before << 8 | u64::from(byte);
        self.word = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | 0x80.. => {
                hash(9, self.word, byte.into())
            }
            _ => 0,
        };
    }
}

/// Returns how many slots the literals of a frame have, as a power of two.
fn slot_bits(decoded_length: usize) -> u32 {
    (log2(decoded_length) + 1).clamp(11, 18)
}

/// Returns how many bits a number has.
fn log2(value: usize) -> u32 {
    value.checked_ilog2().map_or(0, |log| log + 1)
}

/// What is remembered of a copy, by how its distance was told.
const KINDS: [u32; 5 + Distances::BEFORE] = [1, 2, 3, 4, 5, 6, 6, 6];
const KIND: usize = 8;
const NEAR: usize = 18;
const NUMBER: usize = 32 + 16 * 8;
const BY: usize = 20;
const FAR: usize = BY + NUMBER;
const LENGTH: usize = FAR + 32 + 32 * 8;
const MOST_BITS: usize = 31;
const SAMPLE: usize = 256;
const LEAST_SAMPLES: usize = 32;
const MOST_SAMPLES: usize = 255;
/// Learning from a sample takes a quarter of the time in which so many literals and copies are coded.
const TOKENS_OF_SAMPLE: usize = 512;
const SAMPLES_SHARE: usize = 4;
/// Bytes of a copy that contexts learn of.
const SEEN: usize = 32;
const OTHER_TABLES: u64 = 4 << 20;
