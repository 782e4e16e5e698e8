//! The slow, short decoder: written from the format's document alone, to check the fast one.

use crate::method::steps::plain::{PlainCoder, PlainHistory};
use crate::mixing::plain::Logistic;

/// Returns what a frame decodes to; nothing where it is malformed.
pub(super) fn decode(reference: &[u8], frame: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut plain = Plain::new(reference, frame, length);
    let end = reference.len() + length;
    let samples = plain.coder.plain(8);
    plain.prime(reference, samples);
    while plain.history.all.len() < end {
        plain.token(end)?;
    }
    let made = plain.history.all.split_off(reference.len());
    plain.coder.is_at_end().then_some(made)
}

struct Plain<'a> {
    coder: PlainCoder<'a>,
    history: PlainHistory,
    /// Literals are learnt from, not read, while there is one of these.
    known: Option<u8>,
    squash: Vec<i64>,
    stretch: Vec<i64>,
    since: usize,
    tokens: u64,
    last_length: usize,
    seen: Vec<u8>,
    word: u32,
    right: usize,
    slots: Vec<[u32; 16]>,
    first: Vec<u32>,
    maps: Vec<Vec<(i64, i64)>>,
    agreeing: Vec<(i64, i64)>,
    guessing: Vec<(i64, i64)>,
    weights: Vec<[i64; 8]>,
    second: Vec<[i64; 8]>,
    outcomes: Vec<[(i64, i64); 33]>,
    plain: Vec<(i64, i64)>,
    hashed: Vec<(i64, i64)>,
    choosing: Vec<[i64; 7]>,
}

const HALF: (i64, i64) = (1 << 21, 0);

impl<'a> Plain<'a> {
    fn new(reference: &[u8], frame: &'a [u8], length: usize) -> Plain<'a> {
        let bits = |number: usize| usize::BITS - number.leading_zeros();
        let Logistic { squash, stretch } = Logistic::new();
        let map: Vec<_> = (0..1024)
            .map(|cell| ((cell % 64 * 1024 + 512) << 6, 0))
            .collect();
        let outcome = |step: usize| {
            // The logistic number is -2560 + 160 * step.
            (squash[255 + 160 * step].clamp(16, 65_520) << 6, 0)
        };
        let outcomes: [(i64, i64); 33] = std::array::from_fn(outcome);
        let slot_bits = (bits(length) + 1).clamp(11, 18);
        Plain {
            coder: PlainCoder::new(frame),
            history: PlainHistory::new(reference, length),
            known: None,
            squash,
            stretch,
            since: 0,
            tokens: 0,
            last_length: 0,
            seen: vec![0; 8],
            word: 0,
            right: 0,
            slots: vec![[0x8000; 16]; 1 << slot_bits],
            first: vec![0x8000; 1 << 16],
            maps: vec![map; 5],
            agreeing: vec![HALF; 256],
            guessing: vec![HALF; 2048],
            weights: vec![[2800; 8]; 256],
            second: vec![[2800; 8]; 256],
            outcomes: vec![outcomes; 256],
            plain: vec![HALF; 4096],
            hashed: vec![HALF; 1 << 16],
            choosing: vec![[875; 7]; 4096],
        }
    }

    /// Returns the byte so far back.
    fn back(&self, distance: usize) -> u64 {
        self.history.back(distance).into()
    }

    fn see(&mut self, byte: u8) {
        self.seen.insert(0, byte);
        self.seen.truncate(8);
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        self.word = if is_word {
            hash(9, self.word, byte.into())
        } else {
            0
        };
    }

    fn prime(&mut self, reference: &[u8], told: usize) {
        let samples = (reference.len() / 1024).min(told);
        for sample in 0..samples {
            let apart = reference.len() / samples;
            let start = sample * apart + apart.saturating_sub(256) / 2;
            for byte in &reference[start..start + 256] {
                self.known = Some(*byte);
                self.literal(3, 0, 0, 0, 0, 0);
                self.see(*byte);
            }
        }
        self.known = None;
        self.seen = vec![0; 8];
        self.word = 0;
    }

    fn token(&mut self, end: usize) -> Option<()> {
        let last = self.history.distances[0];
        let (foreseen, same) = self.history.guess();
        let guess = if same > 0 { self.back(foreseen) } else { 0 };
        let predicted = self.back(last);
        let after = if last > 1 { self.back(last - 1) } else { 0 };
        let since = u64::try_from(self.since).unwrap();
        let (one, two) = (u64::from(self.seen[0]), u64::from(self.seen[1]));
        let same_wide = u64::try_from(same).unwrap();
        let contexts = [
            self.tokens & 0x1ff | since.min(7) << 9,
            one | predicted << 8 | since.min(2) << 16,
            one | two << 8 | since.min(1) << 16,
            predicted | after << 8 | one << 16 | since.min(3) << 24,
            same_wide | guess << 8 | since.min(3) << 16,
            self.tokens & 0xfff | width(self.last_length) << 16,
        ];
        if !self.choose(self.since.min(7), contexts) {
            let byte = self.literal(self.since.min(3), predicted, after, self.right, guess, same);
            self.right = self.right << 1 & 3 | usize::from(u64::from(byte) == predicted);
            self.since += 1;
            self.tokens = self.tokens << 3 & 0xffff_ffff;
            self.see(byte);
            self.history.append(byte);
            return Some(());
        }
        let resumed = last + self.since;
        let contexts = [
            self.tokens & 0x1ff | since.min(3) << 12,
            since.min(31) | width(self.last_length) << 8,
            one | predicted << 8 | self.back(resumed) << 16,
            one | two << 8,
            self.tokens & 0x3_ffff,
            same_wide | since.min(3) << 8,
        ];
        let mut kind = 0;
        while kind < 7 {
            let is_open = kind != 1 || self.since > 0;
            let is_open = is_open && (kind != 2 || foreseen > 0);
            if is_open && !self.choose(8 + kind, contexts) {
                break;
            }
            kind += 1;
        }
        let lengths = if kind == 0 {
            self.since.min(3)
        } else {
            (kind + 3).min(8)
        };
        let contexts = [
            self.tokens & 0x3f,
            width(self.last_length),
            one | predicted << 8,
            since.min(7) << 8 | self.tokens & 7,
            self.tokens & 0xfff,
            same_wide,
        ];
        let length = self.number(468 + 160 * lengths, contexts) + 1;
        let wide = width(length);
        let distance = match kind {
            0 => last,
            1 => resumed,
            2 => foreseen,
            3 => {
                let contexts = [
                    since.min(31),
                    wide,
                    self.tokens & 0x3f,
                    one,
                    since.min(31) | wide << 8,
                    0,
                ];
                let is_less = self.choose(18, contexts);
                let by =
                    self.number(20, contexts.map(|context| context * 2 + u64::from(is_less))) + 1;
                if by > 4096 {
                    return None;
                }
                if is_less {
                    last.checked_sub(by)?
                } else {
                    last + by
                }
            }
            4 => {
                let contexts = [
                    wide.min(8),
                    self.tokens & 0x3f,
                    since.min(3),
                    wide,
                    one,
                    predicted,
                ];
                let mut node = 1;
                for _ in 0..5 {
                    node = 2 * node + usize::from(self.choose(180 + node, contexts));
                }
                self.bits(node - 32, 180 + 32 + 8 * (node - 32), contexts)
            }
            _ => self.history.distances[kind - 4],
        };
        let left = end - self.history.all.len();
        let copied = self.history.copy(length, distance, left)?;
        let seen = copied[length.saturating_sub(32)..].to_vec();
        for byte in seen {
            self.see(byte);
        }
        self.since = 0;
        self.last_length = length;
        self.right = self.right << 1 & 3;
        self.tokens = (self.tokens << 3 | [1, 2, 3, 4, 5, 6, 6, 6][kind]) & 0xffff_ffff;
        Some(())
    }

    fn number(&mut self, what: usize, contexts: [u64; 6]) -> usize {
        let mut bits = 0;
        while bits < 31 && self.choose(what + bits, contexts) {
            bits += 1;
        }
        self.bits(bits, what + 32 + 8 * bits.min(15), contexts) - 1
    }

    fn bits(&mut self, bits: usize, what: usize, contexts: [u64; 6]) -> usize {
        let mut number = 1;
        for _ in 0..bits.min(3) {
            number = 2 * number + usize::from(self.choose(what + number, contexts));
        }
        let more = bits.saturating_sub(3);
        (number << more) + self.coder.plain(more)
    }

    fn decide(&mut self, probability: i64) -> bool {
        self.coder.bit(u32::try_from(probability).unwrap())
    }

    fn choose(&mut self, what: usize, contexts: [u64; 6]) -> bool {
        let narrow = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap();
        let mut inputs = [0; 7];
        let mut cells = [0; 6];
        for (place, salt) in (0..6).zip(8..) {
            let wide = hash(salt, narrow(contexts[place]), u32::try_from(what).unwrap());
            cells[place] = usize::try_from(wide >> 16).unwrap();
            if self.hashed[cells[place]].1 == 0 {
                self.hashed[cells[place]].0 = self.plain[what].0 >> 6 << 6;
            }
            inputs[place] = self.stretched(self.hashed[cells[place]].0 >> 6);
        }
        inputs[6] = self.stretched(self.plain[what].0 >> 6);
        let sum = mix(&inputs, &self.choosing[what]);
        let probability = self.squashed(sum);
        let bit = self.decide(probability.clamp(16, 65_520));
        learn(&inputs, &mut self.choosing[what], probability, bit, 20);
        for cell in cells {
            count(&mut self.hashed[cell], bit, 22);
        }
        count(&mut self.plain[what], bit, 255);
        bit
    }

    fn literal(
        &mut self,
        since: usize,
        predicted: u64,
        after: u64,
        right: usize,
        guess: u64,
        same: usize,
    ) -> u8 {
        let byte = |place: usize| u32::from(self.seen[place]);
        let [predicted, after, guess] =
            [predicted, after, guess].map(|byte| u32::try_from(byte).unwrap());
        let one = byte(0);
        let hashes = [
            hash(1, one | byte(1) << 8, 0),
            hash(2, one | byte(1) << 8 | byte(2) << 16, 0),
            hash(3, self.word, one),
            hash(
                4,
                predicted | one << 8,
                u32::try_from(since).unwrap() | after << 8,
            ),
        ];
        let mut coded = 1_u32;
        let mut slots = [0; 4];
        let mut node = 1;
        for place in 0..8 {
            if place % 4 == 0 {
                let half = if place == 0 { 0 } else { coded };
                slots = hashes.map(|hashed| self.slot(hash(7, hashed, half)));
                node = 1;
            }
            let mut counters: Vec<u32> = slots.iter().map(|slot| self.slots[*slot][node]).collect();
            let first = usize::try_from(one * 256 + coded).unwrap();
            counters.push(self.first[first]);
            let mut inputs = [0; 8];
            let mut known = 0;
            let cell =
                |counter: u32| usize::try_from((counter & 15) * 64 + (counter >> 10)).unwrap();
            for (place, counter) in counters.iter().enumerate() {
                if counter & 15 > 0 {
                    inputs[place] = self.stretched(self.maps[place][cell(*counter)].0 >> 6);
                    known += usize::from(place < 2 || place == 4);
                }
            }
            let fits = |byte: u32| (byte | 256) >> (8 - place) == coded;
            let next = |byte: u32| usize::from(byte >> (7 - place) & 1 == 1);
            let agreeing = (since * 4 + (right & 3)) * 16 + place * 2 + next(predicted);
            let guessing = (since * 32 + same) * 16 + place * 2 + next(guess);
            let (agrees, follows) = (fits(predicted), same > 0 && fits(guess));
            if agrees {
                inputs[5] = self.stretched(self.agreeing[agreeing].0 >> 6);
            }
            inputs[6] = 256;
            if follows {
                inputs[7] = self.stretched(self.guessing[guessing].0 >> 6);
            }
            let set = ((since * 2 + usize::from(agrees)) * 8 + place) * 4 + known;
            let other = usize::try_from(coded).unwrap();
            let sums = [
                mix(&inputs, &self.weights[set]),
                mix(&inputs, &self.second[other]),
            ];
            let mean = (sums[0] + sums[1]) >> 1;
            let above = usize::try_from(mean.clamp(-2560, 2559) + 2560).unwrap();
            let (step, share) = (above / 160, i64::try_from(above % 160).unwrap());
            let around = [0, 1].map(|more| self.outcomes[other][step + more].0 >> 6);
            let refined = (around[0] * (160 - share) + around[1] * share) / 160;
            let probability = (self.squashed(mean) + refined) >> 1;
            let bit = match self.known {
                Some(byte) => byte >> (7 - place) & 1 == 1,
                None => self.decide(probability.clamp(32, 65_504)),
            };
            let nearest = step + usize::from(share >= 80);
            count(&mut self.outcomes[other][nearest], bit, 255);
            let said = sums.map(|sum| self.squashed(sum));
            learn(&inputs, &mut self.weights[set], said[0], bit, 60);
            learn(&inputs, &mut self.second[other], said[1], bit, 60);
            for (place, counter) in counters.iter().enumerate() {
                count(&mut self.maps[place][cell(*counter)], bit, 255);
            }
            for slot in slots {
                quick(&mut self.slots[slot][node], bit);
            }
            quick(&mut self.first[first], bit);
            if agrees {
                count(&mut self.agreeing[agreeing], bit, 250);
            }
            if follows {
                count(&mut self.guessing[guessing], bit, 250);
            }
            coded = coded * 2 + u32::from(bit);
            node = node * 2 + usize::from(bit);
        }
        u8::try_from(coded & 255).unwrap()
    }

    fn slot(&mut self, hash: u32) -> usize {
        let check = hash >> 16;
        let slot = usize::try_from(hash).unwrap() & (self.slots.len() - 1);
        for slot in [slot, slot ^ 1] {
            if self.slots[slot][0] == check {
                return slot;
            }
        }
        let seen = |slot: usize| self.slots[slot][1] & 15;
        let taken = if seen(slot ^ 1) < seen(slot) {
            slot ^ 1
        } else {
            slot
        };
        self.slots[taken] = [0x8000; 16];
        self.slots[taken][0] = check;
        taken
    }

    fn stretched(&self, probability: i64) -> i64 {
        self.stretch[usize::try_from(probability >> 4).unwrap()]
    }

    fn squashed(&self, logistic: i64) -> i64 {
        self.squash[usize::try_from(logistic.clamp(-2815, 2815) + 2815).unwrap()]
    }
}

fn mix(inputs: &[i64], weights: &[i64]) -> i64 {
    let products = inputs.iter().zip(weights);
    let sum: i64 = products.map(|(input, weight)| input * weight).sum();
    (sum >> 13).clamp(-2815, 2815)
}

fn learn(inputs: &[i64], weights: &mut [i64], said: i64, bit: bool, rate: i64) {
    let error = ((i64::from(bit) * 65_535 - said) * rate) >> 7;
    for (weight, input) in weights.iter_mut().zip(inputs) {
        *weight = (*weight + ((input * error + 32_768) >> 16)).clamp(-32_768, 32_767);
    }
}

fn count((probability, seen): &mut (i64, i64), bit: bool, most: i64) {
    let target = i64::from(bit) * 4_194_303;
    *probability += ((target - *probability) * (655_360 / (10 * *seen + 16))) >> 16;
    *seen += i64::from(*seen < most);
}

fn quick(counter: &mut u32, bit: bool) {
    let (probability, seen) = (i64::from(*counter >> 4), i64::from(*counter & 15));
    let target = i64::from(bit) * 4095;
    let moved =
        probability + (((target - probability) * (655_360 / (10 * seen + 16)) + 32_768) >> 16);
    *counter = u32::try_from(moved * 16 + (seen + 1).min(15)).unwrap();
}

fn hash(salt: u32, a: u32, b: u32) -> u32 {
    let mixed = (a ^ salt.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 15) ^ b.wrapping_mul(0x27d4_eb2f)).wrapping_mul(0xc2b2_ae35);
    mixed ^ (mixed >> 16)
}

fn width(number: usize) -> u64 {
    u64::from(usize::BITS - number.leading_zeros())
}
