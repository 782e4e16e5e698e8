use crate::entropy::Coder;

/// Codes decisions by what was decided before in the same contexts. Writing and reading are the same
/// walk: whoever writes knows each decision, and whoever reads is told it.
pub(super) struct Model<C> {
    coder: C,
    tables: Tables,
    slots: [Vec<Slot>; INPUTS],
    weights: Vec<[i32; INPUTS]>,
}

/// What a decision is about: each kind has contexts of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A cover follows.
    Cover,
    /// The new bytes before a cover, and the old ones.
    NewGap,
    OldGap,
    /// The kind of a block, in two decisions.
    Block,
    /// A block is the last one exactly when the plaintext ends with it.
    Last,
    /// A block has as many tokens as the one before.
    SameTokens,
    /// A block has the plaintext's rest.
    Rest,
    /// The number of a block's tokens, or bytes.
    Tokens,
    /// The bits that fill a byte.
    Padding,
    /// A code has as many lengths as its last symbol asks for, and how many otherwise.
    Trimmed,
    Lengths,
    /// A length is the expected one; it is longer; by how much.
    SameLength,
    Longer,
    LengthDifference,
    /// Lengths are spelled as expected; the symbol and extra bits otherwise.
    SameSpelling,
    Spelling,
    /// The old stream's token is right.
    OldToken,
    /// A token is a literal, where a match was found, and where none was.
    Literal,
    Unmatched,
    /// A match takes this step of the staircase; its length otherwise.
    Step,
    Length,
    /// The distance is the nearest; how many nearer ones there are; the distance otherwise.
    Nearest,
    Skipped,
    Distance,
}

#[derive(Clone, Copy)]
struct Slot {
    set: u16,
    seen: u8,
}

struct Tables {
    squash: Vec<u16>,
    stretch: Vec<i16>,
    rates: [i32; SEEN + 1],
}

impl<C: Coder> Model<C> {
    /// Returns a model that has seen nothing.
    pub(super) fn new(coder: C) -> Model<C> {
        let slot = Slot {
            set: 1 << 15,
            seen: 0,
        };
        let slots = || vec![slot; 1 << SLOT_BITS];
        Model {
            coder,
            tables: Tables::new(),
            slots: [slots(), slots(), slots()],
            weights: vec![[WEIGHT; INPUTS]; WEIGHT_SETS],
        }
    }

    /// Ends the walk.
    pub(super) fn into_coder(self) -> C {
        self.coder
    }

    /// Codes one decision in three contexts.
    #[inline]
    pub(super) fn decide(&mut self, kind: Kind, contexts: [u32; INPUTS], bit: bool) -> bool {
        let kind = kind as u32;
        let mut at = [0; INPUTS];
        let mut inputs = [0_i32; INPUTS];
        let weights = &mut self.weights[kind as usize];
        let mut sum = 0_i64;
        for (input, context) in contexts.iter().enumerate() {
            let hash = (context.wrapping_mul(0x9e37_79b1) ^ kind.wrapping_mul(0x85eb_ca6b))
                .wrapping_mul(0x2c1b_3c6d);
            at[input] = (hash >> (32 - SLOT_BITS)) as usize;
            let slot = self.slots[input][at[input]];
            inputs[input] = i32::from(self.tables.stretch[usize::from(slot.set >> 4)]);
            sum += i64::from(inputs[input]) * i64::from(weights[input]);
        }
        let stretched = (sum >> 16).clamp(-2047, 2047);
        let index = usize::try_from(stretched + 2048).unwrap_or(0);
        let set = u32::from(self.tables.squash[index]);
        let bit = self.coder.bit(bit, set);
        let target = if bit { 0xffff } else { 0 };
        let error = (target - i32::try_from(set).unwrap_or(0)) >> 4;
        for input in 0..INPUTS {
            let weight = weights[input] + ((inputs[input] * error * LEARNING) >> 14);
            weights[input] = weight.clamp(-HEAVIEST, HEAVIEST);
            let slot = &mut self.slots[input][at[input]];
            let rate = self.tables.rates[usize::from(slot.seen)];
            let step = (i64::from(target - i32::from(slot.set)) * i64::from(rate)) >> 16;
            let moved = i64::from(slot.set) + step;
            slot.set = u16::try_from(moved.clamp(32, 65503)).unwrap_or(1 << 15);
            slot.seen = (slot.seen + 1).min(LAST_SEEN);
        }
        bit
    }

    /// Codes one decision in a single context.
    pub(super) fn flag(&mut self, kind: Kind, context: u32, bit: bool) -> bool {
        self.decide(kind, [context, context.wrapping_add(0x1_0000), 0], bit)
    }

    /// Codes a number below 2^24: how many bits it has, and those.
    pub(super) fn number(&mut self, kind: Kind, context: u32, number: usize) -> usize {
        let number = number + 1;
        let context = (context + 1) << 12;
        let bits = number.ilog2();
        let mut length = 0;
        while length < 24 && self.flag(kind, context | length, bits > length) {
            length += 1;
        }
        let mut read = 1;
        for place in (0..length).rev() {
            // Of short numbers all bits count, of long ones the place.
            let seen = if length <= 4 {
                u32::try_from(read).unwrap_or(0)
            } else {
                32 + place
            };
            let context = context | 1 << 11 | length << 6 | seen;
            let bit = self.flag(kind, context, number >> place & 1 == 1);
            read = read << 1 | usize::from(bit);
        }
        read - 1
    }
}

impl Tables {
    fn new() -> Tables {
        let squash: Vec<u16> = (0..4096_usize)
            .map(|at| {
                let (entry, part) = (at >> 7, (at & 127) as u64);
                let (low, high) = (u64::from(LOGISTIC[entry]), u64::from(LOGISTIC[entry + 1]));
                let value = (low * (128 - part) + high * part) >> 7;
                u16::try_from(value.clamp(16, 65520)).unwrap_or(1 << 15)
            })
            .collect();
        let mut stretch = Vec::with_capacity(4096);
        let mut at = 0_i16;
        for value in 0..4096_u16 {
            while at < 4095 && squash[usize::from(at.unsigned_abs())] >> 4 < value {
                at += 1;
            }
            stretch.push(at - 2048);
        }
        let mut rates = [0; SEEN + 1];
        let mut divisor = 3;
        for rate in &mut rates {
            *rate = (2 << 16) / divisor;
            divisor += 2;
        }
        Tables {
            squash,
            stretch,
            rates,
        }
    }
}

/// The contexts of a decision.
const INPUTS: usize = 3;
const SLOT_BITS: u32 = 15;
/// A context changes ever more slowly, until this many decisions.
const SEEN: usize = 126;
const LAST_SEEN: u8 = 126;
const WEIGHT: i32 = 1 << 15;
const HEAVIEST: i32 = 1 << 19;
const WEIGHT_SETS: usize = 32;
const LEARNING: i32 = 10;
/// 65536 / (1 + e^-x) for x from -8 to 8 in steps of a half.
const LOGISTIC: [u16; 33] = [
    22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11956, 17625, 24743, 32768,
    40793, 47911, 53580, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438,
    65476, 65500, 65514,
];
