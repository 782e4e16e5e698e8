use super::{Distances, Guesses, History, Kind, Step};

/// What a parser takes the coding of each step to cost, in sixteenths of a bit.
pub(crate) struct Prices {
    /// Of a literal's byte, by the byte before it.
    bytes: Vec<u16>,
    /// Of telling that a literal or a copy follows so many literals since the last copy.
    literal: [u32; SINCE],
    copy: [u32; SINCE],
    /// Of telling a copy's kind, directly behind another copy and behind literals.
    kinds: [[u32; KINDS]; 2],
    /// Of a length, by the kind and the bits that it has.
    lengths: [[u32; BITS]; KINDS],
    /// Of far and near distances, by the bits that they have.
    far: [u32; BITS],
    near: [u32; BITS],
}

impl Prices {
    /// Returns what holds for most content like `new`.
    pub(crate) fn usual(new: &[u8]) -> Prices {
        let mut counts = Counts::new();
        for pair in new.windows(2) {
            counts.byte(pair[0], pair[1]);
        }
        counts.literal = [40, 70, 75, 80, 85, 88, 90, 92];
        counts.copy = [60, 30, 25, 20, 15, 12, 10, 8];
        counts.kinds = [[30, 5, 5, 20, 5, 35], [50, 10, 8, 15, 5, 12]];
        for lengths in &mut counts.lengths {
            *lengths = std::array::from_fn(|bits| 400 >> bits.min(8));
        }
        counts.far = std::array::from_fn(|bits| 2 + u32::try_from(bits.min(24)).unwrap_or(0));
        counts.near = std::array::from_fn(|bits| 40 >> bits.min(5));
        counts.prices(USUAL_SHARE)
    }

    /// Returns the price of a literal, so many others behind the last copy.
    #[inline]
    pub(crate) fn literal(&self, before: u8, byte: u8, since: usize) -> u32 {
        let byte = self.bytes[usize::from(before) << 8 | usize::from(byte)];
        self.literal[since.min(SINCE - 1)] + u32::from(byte)
    }

    /// Returns the price of telling that a copy follows so many literals, and its distance.
    #[inline]
    pub(crate) fn start(&self, kind: Kind, since: usize) -> u32 {
        let distance = match kind {
            Kind::Aligned | Kind::Resumed | Kind::Foreseen => 0,
            Kind::Recent(_) => 24,
            Kind::Near { by } => 16 + self.near[bits(by.unsigned_abs())],
            Kind::Far { distance } => self.far[bits(distance)],
        };
        self.copy[since.min(SINCE - 1)] + self.kinds[usize::from(since > 0)][place(kind)] + distance
    }

    /// Returns the price of a copy's length.
    #[inline]
    pub(crate) fn length(&self, kind: Kind, length: usize) -> u32 {
        self.lengths[place(kind)][bits(length)]
    }
}

/// What steps came to, of which prices follow.
pub(crate) struct Measured {
    counts: Counts,
    /// What a model makes of literals, of what the byte before each alone would make of them, in percent.
    share: u32,
}

impl Measured {
    /// Returns what steps that make `new` came to, where a model coded the literals of its first `coded`
    /// bytes in so many bits.
    pub(crate) fn of(
        reference: &[u8],
        new: &[u8],
        steps: &[Step],
        (coded, literal_bits): (usize, u64),
    ) -> Measured {
        let mut counts = Counts::new();
        let mut sample = None;
        let mut distances = Distances::new(reference.len());
        let mut guesses = Guesses::behind(reference, new.len());
        let (mut at, mut since) = (0, 0);
        for step in steps {
            if at == coded {
                sample = Some((counts.literal, counts.bytes.clone()));
            }
            let (known, coming) = new.split_at(at);
            let length = match *step {
                Step::Literals(count) => {
                    for (place, byte) in (at..).zip(coming.iter().take(count)) {
                        let before = place.checked_sub(1).and_then(|place| new.get(place));
                        let before = before.or(reference.last()).copied().unwrap_or(0);
                        counts.literal[since.min(SINCE - 1)] += 1;
                        counts.byte(before, *byte);
                        since += 1;
                    }
                    count
                }
                Step::Copy { length, distance } => {
                    let history = History {
                        reference,
                        new: known,
                    };
                    let guess = guesses.distance(history, distances.last());
                    let foreseen = guess.map_or(0, |(distance, _)| distance);
                    let kind = distances.kind(distance, since, foreseen);
                    counts.copy[since.min(SINCE - 1)] += 1;
                    counts.kinds[usize::from(since > 0)][place(kind)] += 1;
                    counts.lengths[place(kind)][bits(length)] += 1;
                    match kind {
                        Kind::Far { distance } => counts.far[bits(distance)] += 1,
                        Kind::Near { by } => counts.near[bits(by.unsigned_abs())] += 1,
                        _ => {}
                    }
                    distances.take(distance);
                    since = 0;
                    length
                }
            };
            guesses.note(coming.get(..length).unwrap_or_default());
            at += length;
        }
        let share = match &sample {
            Some((literal, bytes)) => counts.share(literal, bytes, literal_bits),
            None => counts.share(&counts.literal, &counts.bytes, literal_bits),
        };
        Measured { counts, share }
    }

    /// Returns the prices where literals that a copy could make cost so many percent of what all cost.
    pub(crate) fn prices(&self, beside_copies: u32) -> Prices {
        let share = self.share * beside_copies / 100;
        self.counts.prices(share.clamp(LEAST_SHARE, MOST_SHARE))
    }
}

/// How often each decision came.
struct Counts {
    bytes: Vec<u32>,
    literal: [u32; SINCE],
    copy: [u32; SINCE],
    kinds: [[u32; KINDS]; 2],
    lengths: [[u32; BITS]; KINDS],
    far: [u32; BITS],
    near: [u32; BITS],
}

impl Counts {
    fn new() -> Counts {
        Counts {
            bytes: vec![0; 1 << 16],
            literal: [1; SINCE],
            copy: [1; SINCE],
            kinds: [[1; KINDS]; 2],
            lengths: [[1; BITS]; KINDS],
            far: [1; BITS],
            near: [1; BITS],
        }
    }

    fn byte(&mut self, before: u8, byte: u8) {
        self.bytes[usize::from(before) << 8 | usize::from(byte)] += 1;
    }

    /// Returns what a model that coded these literals in so many bits made of what the byte before each
    /// alone makes of it, in percent.
    fn share(&self, literal: &[u32; SINCE], bytes: &[u32], literal_bits: u64) -> u32 {
        let all = self.literal.iter().zip(&self.copy);
        let told = all.zip(literal).map(|((literal, copy), count)| {
            let price = price((*literal).into(), u64::from(*literal) + u64::from(*copy));
            u64::from(*count) * u64::from(price)
        });
        let bytes = bytes.iter().zip(self.byte_prices(100));
        let bytes = bytes.map(|(count, price)| u64::from(*count) * u64::from(price));
        let alone: u64 = bytes.sum();
        let coded = (16 * literal_bits).saturating_sub(told.sum());
        let share = (100 * coded).checked_div(alone).unwrap_or(100);
        u32::try_from(share).map_or(100, |share| share.min(200))
    }

    fn prices(&self, share: u32) -> Prices {
        let chosen = |one: u32, other: u32| {
            let total = u64::from(one) + u64::from(other);
            (price(one.into(), total), price(other.into(), total))
        };
        let (mut literal, mut copy) = ([0; SINCE], [0; SINCE]);
        for since in 0..SINCE {
            (literal[since], copy[since]) = chosen(self.literal[since], self.copy[since]);
        }
        // The first bit of a number is told by how many there are; the next ones cost one each.
        let with_bits = |counts: &[u32; BITS]| {
            each(counts, |bits| {
                16 * u32::try_from(bits).unwrap_or(0).saturating_sub(1)
            })
        };
        Prices {
            bytes: self.byte_prices(share),
            literal,
            copy,
            kinds: self.kinds.map(|kinds| each(&kinds, |_| 0)),
            lengths: self.lengths.each_ref().map(with_bits),
            far: with_bits(&self.far),
            near: with_bits(&self.near),
        }
    }

    fn byte_prices(&self, share: u32) -> Vec<u16> {
        let mut alone = [1_u64; 256];
        for row in self.bytes.chunks_exact(256) {
            for (sum, count) in alone.iter_mut().zip(row) {
                *sum += u64::from(*count);
            }
        }
        let all: u64 = alone.iter().sum();
        let mut prices = Vec::with_capacity(1 << 16);
        for row in self.bytes.chunks_exact(256) {
            let total: u64 = row.iter().map(|count| u64::from(*count)).sum();
            for (count, alone) in row.iter().zip(&alone) {
                // What never followed the byte before is taken to come as it comes elsewhere.
                let expected = alone * 64 / all;
                let price = price(u64::from(*count) * 4 + expected + 1, total * 4 + 64 + 256);
                prices.push(u16::try_from(price * share / 100).unwrap_or(u16::MAX));
            }
        }
        prices
    }
}

fn each<const N: usize>(counts: &[u32; N], more: impl Fn(usize) -> u32) -> [u32; N] {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    std::array::from_fn(|at| price(counts[at].into(), total) + more(at))
}

/// Returns the price of what comes so often of so many times.
fn price(count: u64, total: u64) -> u32 {
    let total = total.max(1);
    logarithm(total) - logarithm(count.clamp(1, total))
}

/// Returns the logarithm of a number to base 2, in sixteenths.
fn logarithm(value: u64) -> u32 {
    let whole = value.ilog2();
    // Squaring the mantissa again and again tells one bit of the logarithm each time.
    let mut mantissa = (u128::from(value) << 32) >> whole;
    let mut result = whole;
    for _ in 0..4 {
        mantissa = (mantissa * mantissa) >> 32;
        let is_set = mantissa >= 1 << 33;
        result = result << 1 | u32::from(is_set);
        if is_set {
            mantissa >>= 1;
        }
    }
    result
}

/// Returns the number of a kind.
#[inline]
const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Aligned => 0,
        Kind::Resumed => 1,
        Kind::Near { .. } => 2,
        Kind::Foreseen => 3,
        Kind::Recent(_) => 4,
        Kind::Far { .. } => 5,
    }
}

/// Returns how many bits a number has.
#[inline]
fn bits(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    usize::try_from(bits).unwrap_or(0).min(BITS - 1)
}

/// What models make of literals that are worth copying, in percent: they know more than the byte before.
const USUAL_SHARE: u32 = 30;
const LEAST_SHARE: u32 = 10;
const MOST_SHARE: u32 = 120;
/// As many literals as make a difference.
const SINCE: usize = 8;
const KINDS: usize = 6;
const BITS: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_base_two() {
        let found = [1, 2, 3, 4, 1 << 20, u64::MAX].map(logarithm);
        assert_eq!(found, [0, 16, 25, 32, 320, 1023]);
    }

    #[test]
    fn what_came_often_is_cheap() {
        let new = "cells divide and divide again. ".repeat(40);
        let steps = [
            Step::Literals(31),
            Step::Copy {
                length: new.len() - 31,
                distance: 31,
            },
        ];
        let measured = Measured::of(b"", new.as_bytes(), &steps, (new.len(), 100));
        let prices = measured.prices(100);
        assert!(prices.literal(b'd', b'i', 9) < prices.literal(b'd', b'#', 9));
        assert!(prices.literal(b'd', b'i', 9) < prices.start(Kind::Aligned, 9));
    }
}
