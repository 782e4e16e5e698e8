//! The bytes of literals, as decisions in contexts.

use super::outcomes::Outcomes;
use super::slots::Slots;
use crate::entropy::Coder;
use crate::mixing::{Fine, Mixer, Quick, hash, stretch};

/// What is known where a literal stands.
#[derive(Clone, Copy)]
pub(super) struct Around {
    /// The bytes before it, the last one lowest.
    pub(super) before: u64,
    /// A hash of the word that it goes on with.
    pub(super) word: u32,
    /// What the last distance predicts.
    pub(super) predicted: u8,
    /// What it predicts behind that.
    pub(super) after: u8,
    /// Literals since the last copy, 3 at most.
    pub(super) since: u32,
    /// Whether the last predictions were right, the last one lowest.
    pub(super) right: u32,
    /// What stood behind the same bytes before.
    pub(super) guess: u8,
    /// How many bytes were the same.
    pub(super) same: u32,
}

/// What tells the contexts of a literal whose counters stand in slots.
pub(super) struct Hashes([u32; HASHED]);

/// Counters and mixers of literals.
#[derive(Clone)]
pub(super) struct Literals {
    slots: Slots,
    first: Vec<Quick>,
    agreeing: Vec<Fine>,
    maps: Vec<[Fine; MAP]>,
    mixer: Mixer<INPUTS>,
    second: Mixer<INPUTS>,
    outcomes: Outcomes,
    guessing: Vec<Fine>,
}

impl Literals {
    /// Returns what holds before anything was seen, with 2^`slot_bits` slots.
    pub(super) fn new(slot_bits: u32) -> Literals {
        let mut map = [Fine::NEW; MAP];
        for (place, counter) in (0_u32..).zip(map.iter_mut()) {
            *counter = Fine::of(place % 64 * 1024 + 512);
        }
        Literals {
            slots: Slots::new(slot_bits),
            first: vec![Quick::NEW; 1 << 16],
            agreeing: vec![Fine::NEW; 4 * 4 * 16],
            maps: vec![map; HASHED + 1],
            mixer: Mixer::new(4 * 2 * 8 * 4, WEIGHT),
            second: Mixer::new(256, WEIGHT),
            outcomes: Outcomes::new(),
            guessing: vec![Fine::NEW; 4 * 32 * 16],
        }
    }

    /// Returns what tells the contexts of a literal. What coding it reads first is asked of memory at once,
    /// long before it may be needed.
    #[inline]
    pub(super) fn look(&self, around: &Around) -> Hashes {
        let [one, two, three, ..] = around.before.to_le_bytes().map(u32::from);
        let predicted = u32::from(around.predicted);
        let hashes = [
            hash(1, one | two << 8, 0),
            hash(2, one | two << 8 | three << 16, 0),
            hash(3, around.word, one),
            hash(
                4,
                predicted | one << 8,
                around.since | u32::from(around.after) << 8,
            ),
        ];
        self.slots.load(hashes.map(|hashed| hash(7, hashed, 0)));
        Hashes(hashes)
    }

    /// Codes a byte.
    #[inline]
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        byte: u8,
        around: &Around,
        Hashes(hashes): Hashes,
    ) -> u8 {
        let [one, ..] = around.before.to_le_bytes().map(u32::from);
        let predicted = u32::from(around.predicted);
        let mut at = [0; HASHED];
        let mut coded = 1_usize;
        for place in 0..8 {
            if place % 4 == 0 {
                // 0 for the first half, and for the second what the first was, with a bit before it.
                let half = u32::try_from(coded).unwrap_or(0);
                let half = if place == 0 { 0 } else { half };
                let halves = hashes.map(|hashed| hash(7, hashed, half));
                at = halves.map(|half| self.slots.find(half));
            }
            let node = if place < 4 {
                coded
            } else {
                coded & ((1 << (place - 4)) - 1) | 1 << (place - 4)
            };
            let mut inputs = [0; INPUTS];
            let mut cells = [0; HASHED + 1];
            let mut known = 0;
            for i in 0..HASHED {
                let counter = self.slots.get(at[i] + node);
                let seen = counter.seen();
                cells[i] = usize::from(seen) << 6 | usize::from(counter.0 >> 10);
                if seen > 0 {
                    inputs[i] = stretch(self.maps[i][cells[i]].probability());
                    known += usize::from(i < 2);
                }
            }
            let first = (one as usize) << 8 | coded;
            let counter = self.first[first];
            cells[HASHED] = usize::from(counter.seen()) << 6 | usize::from(counter.0 >> 10);
            if counter.seen() > 0 {
                inputs[HASHED] = stretch(self.maps[HASHED][cells[HASHED]].probability());
                known += 1;
            }
            let agrees =
                predicted >> (8 - place) == u32::try_from(coded).unwrap_or(0) - (1 << place);
            let expected = (predicted >> (7 - place) & 1) as usize;
            let recent = (around.right & 3) as usize;
            let agreeing = (around.since as usize * 4 + recent) * 16 + place * 2 + expected;
            if agrees {
                inputs[HASHED + 1] = stretch(self.agreeing[agreeing].probability());
            }
            inputs[HASHED + 2] = 256;
            let guess = u32::from(around.guess);
            let follows = around.same > 0
                && guess >> (8 - place) == u32::try_from(coded).unwrap_or(0) - (1 << place);
            let guessed = (guess >> (7 - place) & 1) as usize;
            let guessing =
                ((around.since as usize * 32) + around.same as usize) * 16 + place * 2 + guessed;
            if follows {
                inputs[HASHED + 3] = stretch(self.guessing[guessing].probability());
            }
            let set = ((around.since as usize * 2 + usize::from(agrees)) * 8 + place) * 4 + known;
            let sum = (self.mixer.mix(set, &inputs) + self.second.mix(coded, &inputs)) >> 1;
            let probability = self.outcomes.probability(coded, sum);
            let bit = coder.bit(byte >> (7 - place) & 1 == 1, probability.clamp(32, 65_504));
            self.outcomes.learn(bit);
            self.mixer.learn(bit, RATE);
            self.second.learn(bit, RATE);
            for i in 0..HASHED {
                self.maps[i][cells[i]].learn(bit, MAP_LIMIT);
                self.slots.learn(at[i] + node, bit);
            }
            self.maps[HASHED][cells[HASHED]].learn(bit, MAP_LIMIT);
            self.first[first].learn(bit);
            if follows {
                self.guessing[guessing].learn(bit, 250);
            }
            if agrees {
                self.agreeing[agreeing].learn(bit, 250);
            }
            coded = coded << 1 | usize::from(bit);
        }
        let [byte, ..] = coded.to_le_bytes();
        byte
    }
}

const HASHED: usize = 4;
const INPUTS: usize = 8;
const MAP: usize = 16 * 64;
const MAP_LIMIT: u32 = 255;
const RATE: i32 = 60;
const WEIGHT: i16 = 2800;
