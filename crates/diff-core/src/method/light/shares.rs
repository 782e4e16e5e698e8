//! How often each of sixteen symbols came in a context.

use crate::entropy::{Coder, SYMBOLS};

/// Where the share of each symbol starts, in 32,768. The first starts at 0: in its place stands how often
/// the context was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(32))]
pub(super) struct Shares([i16; SYMBOLS]);

impl Shares {
    /// Sixteen symbols that are equally likely.
    pub(super) const NEW: Shares = Shares(even());

    /// Returns the context that is kept as these bytes.
    #[inline]
    pub(super) fn from_bytes(bytes: &[u8; Shares::BYTES]) -> Shares {
        let mut starts = [0; SYMBOLS];
        for (start, bytes) in starts.iter_mut().zip(bytes.as_chunks().0) {
            *start = i16::from_le_bytes(*bytes);
        }
        Shares(starts)
    }

    /// Returns the bytes that keep the context.
    #[inline]
    pub(super) fn to_bytes(self) -> [u8; Shares::BYTES] {
        let mut bytes = [0; Shares::BYTES];
        for (bytes, start) in bytes.as_chunks_mut().0.iter_mut().zip(self.0) {
            *bytes = start.to_le_bytes();
        }
        bytes
    }

    pub(super) const BYTES: usize = 2 * SYMBOLS;

    /// Returns how often the context was seen, as a class from 0 to 4.
    #[inline]
    pub(super) fn seen(&self) -> usize {
        let [seen, ..] = self.0;
        (seen + 1)
            .checked_ilog2()
            .map_or(0, |log| log as usize)
            .min(CLASSES - 1)
    }

    /// Learns of a symbol; a context that was seen `most` times learns no more slowly.
    #[inline]
    fn learn(&mut self, symbol: usize, most: i16) {
        let target = &TARGETS[symbol % SYMBOLS];
        let [seen, ..] = self.0;
        let rate = RATES[usize::from(seen.unsigned_abs()) % RATES.len()];
        for (start, target) in self.0.iter_mut().zip(target) {
            *start += (*target - *start) >> rate;
        }
        self.0[0] = seen + i16::from(seen < most);
    }

    /// Returns how wide the share of a symbol is.
    #[inline]
    fn share(&self, symbol: usize) -> i32 {
        let end = self.0.get(symbol + 1).map_or(WHOLE, |end| i32::from(*end));
        end - if symbol == 0 {
            0
        } else {
            i32::from(self.0[symbol % SYMBOLS])
        }
    }
}

/// How much one of two contexts is trusted, in 65,536.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight(u16);

impl Weight {
    pub(super) const EVEN: Weight = Weight(1 << 15);
}

/// Codes a symbol by one context.
#[inline]
pub(super) fn code<C: Coder>(coder: &mut C, symbol: usize, shares: &mut Shares) -> usize {
    let mut starts = shares.0;
    starts[0] = 0;
    let symbol = coder.symbol(symbol, &starts);
    shares.learn(symbol, QUICK);
    symbol
}

/// Codes a symbol by two contexts that learn until they were seen `most` times; the weight is the second
/// one's.
#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "what lies between two starts is none beyond them, and a weight is clamped"
)]
pub(super) fn code_by_two<C: Coder>(
    coder: &mut C,
    symbol: usize,
    [first, second]: [&mut Shares; 2],
    weight: &mut Weight,
    most: i16,
) -> usize {
    let by = i32::from(weight.0 >> 4);
    let mut starts = [0; SYMBOLS];
    for ((start, one), other) in starts.iter_mut().zip(&first.0).zip(&second.0) {
        let (one, other) = (i32::from(*one), i32::from(*other));
        *start = (one + (((other - one) * by) >> 12)) as i16;
    }
    starts[0] = 0;
    let symbol = coder.symbol(symbol, &starts);
    let mixed = Shares(starts).share(symbol);
    // By how much the second would have done better.
    let better = (second.share(symbol) - first.share(symbol)) * STEP / mixed.max(1);
    let moved = i32::from(weight.0) + better.clamp(-2 * STEP, 2 * STEP);
    weight.0 = moved.clamp(STEP, 65_536 - STEP) as u16;
    first.learn(symbol, most);
    second.learn(symbol, most);
    symbol
}

const fn even() -> [i16; SYMBOLS] {
    let mut starts = [0; SYMBOLS];
    let mut symbol = 1;
    while symbol < SYMBOLS {
        starts[symbol] = starts[symbol - 1] + 2048;
        symbol += 1;
    }
    starts
}

/// What the starts move to when a symbol comes: all of the whole for it, a little for each other.
static TARGETS: [[i16; SYMBOLS]; SYMBOLS] = targets();

const fn targets() -> [[i16; SYMBOLS]; SYMBOLS] {
    let mut targets = [[0; SYMBOLS]; SYMBOLS];
    let mut symbol = 0;
    while symbol < SYMBOLS {
        let mut at = 1;
        while at < SYMBOLS {
            let little = targets[symbol][at - 1] + LEAST;
            targets[symbol][at] = if at == symbol + 1 {
                little + MOST
            } else {
                little
            };
            at += 1;
        }
        symbol += 1;
    }
    targets
}

/// By how many bits less a context moves that was seen so often.
static RATES: [i16; 32] = [
    1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6,
];

/// How often contexts are seen, at most, that go on learning quickly.
pub(super) const QUICK: i16 = 23;
/// The same for those that do not.
pub(super) const STEADY: i16 = 31;
/// Classes of how often a context was seen.
pub(super) const CLASSES: usize = 5;
const WHOLE: i32 = 1 << 15;
const LEAST: i16 = 8;
const MOST: i16 = i16::MAX - 16 * LEAST + 1;
const STEP: i32 = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::{BitDecoder, BitEncoder};

    proptest! {
        #[test]
        fn symbols_come_back_and_shares_never_vanish(symbols in prop::collection::vec((0..SYMBOLS, any::<bool>()), 0..3000)) {
            let mut encoder = BitEncoder::new();
            let (mut one, mut other, mut weight) = (Shares::NEW, Shares::NEW, Weight::EVEN);
            for (symbol, both) in &symbols {
                if *both {
                    code_by_two(&mut encoder, *symbol, [&mut one, &mut other], &mut weight, STEADY);
                } else {
                    code(&mut encoder, *symbol, &mut one);
                }
                for symbol in 0..SYMBOLS {
                    prop_assert!(one.share(symbol) > 0 && other.share(symbol) > 0);
                }
            }
            let bytes = encoder.finish();
            let mut decoder = BitDecoder::new(&bytes);
            let (mut one, mut other, mut weight) = (Shares::NEW, Shares::NEW, Weight::EVEN);
            for (symbol, both) in &symbols {
                let decoded = if *both {
                    code_by_two(&mut decoder, 0, [&mut one, &mut other], &mut weight, STEADY)
                } else {
                    code(&mut decoder, 0, &mut one)
                };
                prop_assert_eq!(decoded, *symbol);
            }
        }
    }
}
