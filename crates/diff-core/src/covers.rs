use std::collections::HashMap;
use std::ops::Range;

/// A run of bytes that stands in both files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cover {
    /// Where it stands in the new file.
    pub(crate) new: Range<usize>,
    /// Where it starts in the old one.
    pub(crate) old: usize,
}

/// Finds runs of at least `least` bytes, none shorter than 64, that stand in both files as they are,
/// in the order of the new one. Takes time in proportion to both files, and memory of two thirds of the
/// old one at most.
pub(crate) fn covers(old: &[u8], new: &[u8], least: usize) -> Vec<Cover> {
    let blocks = Blocks::of(old);
    let mut found: Vec<Cover> = Vec::new();
    let (mut at, mut free) = (0, 0);
    let mut rolling = Rolling::default();
    while let Some(window) = new.get(at..at + BLOCK) {
        // A shift that is known goes on far more often than another begins.
        let going_on = found.last().and_then(|last| {
            let shifted = at + last.old;
            shifted.checked_sub(last.new.start)
        });
        let going_on = going_on.filter(|place| old.get(*place..*place + BLOCK) == Some(window));
        let place = going_on.or_else(|| {
            let place = blocks.place(rolling.at(new, at))?;
            (old.get(place..place + BLOCK) == Some(window)).then_some(place)
        });
        let Some(place) = place else {
            at += 1;
            continue;
        };
        let before = common_end(&new[free..at], &old[..place]);
        let behind = common_start(&new[at..], &old[place..]);
        let cover = Cover {
            new: at - before..at + behind,
            old: place - before,
        };
        if cover.new.len() >= least.max(BLOCK) {
            at = cover.new.end;
            free = at;
            found.push(cover);
        } else {
            at += behind.max(1);
        }
    }
    found
}

/// Where the blocks of a file start, by their hashes.
struct Blocks {
    /// A bit for each hash that may be there: most are not, and not looked for further.
    may_be: Vec<u64>,
    numbers: HashMap<u64, u32>,
}

impl Blocks {
    fn of(file: &[u8]) -> Blocks {
        let blocks = file.len() / BLOCK;
        let mut found = Blocks {
            may_be: vec![0; (blocks / 4).next_power_of_two()],
            numbers: HashMap::with_capacity(blocks),
        };
        for (number, block) in (0..).zip(file.chunks_exact(BLOCK)) {
            let hash = hash(block);
            let (word, bit) = found.bit(hash);
            found.may_be[word] |= bit;
            // The first of equal blocks; runs of one byte would otherwise scatter.
            found.numbers.entry(hash).or_insert(number);
        }
        found
    }

    #[inline]
    fn place(&self, hash: u64) -> Option<usize> {
        let (word, bit) = self.bit(hash);
        if self.may_be[word] & bit == 0 {
            return None;
        }
        Some(*self.numbers.get(&hash)? as usize * BLOCK)
    }

    /// Returns the word and the bit in it that stand for a hash.
    #[inline]
    fn bit(&self, hash: u64) -> (usize, u64) {
        let mixed = hash.wrapping_mul(BASE);
        let word = usize::try_from(mixed >> 32).unwrap_or(0) & (self.may_be.len() - 1);
        (word, 1 << (mixed >> 26 & 63))
    }
}

/// A hash of the block at a place that moves on mostly by one byte.
#[derive(Default)]
struct Rolling {
    at: Option<usize>,
    hash: u64,
}

impl Rolling {
    fn at(&mut self, bytes: &[u8], at: usize) -> u64 {
        self.hash = match self.at {
            Some(last) if last + 1 == at => {
                let left = u64::from(bytes[last]).wrapping_mul(LEAVING);
                let shifted = self.hash.wrapping_sub(left).wrapping_mul(BASE);
                shifted.wrapping_add(u64::from(bytes[last + BLOCK]))
            }
            _ => hash(&bytes[at..at + BLOCK]),
        };
        self.at = Some(at);
        self.hash
    }
}

fn hash(block: &[u8]) -> u64 {
    block.iter().fold(0, |hash: u64, byte| {
        hash.wrapping_mul(BASE).wrapping_add(u64::from(*byte))
    })
}

fn common_start(a: &[u8], b: &[u8]) -> usize {
    // In steps of many bytes first, since runs are long.
    let chunks = a.chunks_exact(64).zip(b.chunks_exact(64));
    let equal = 64 * chunks.take_while(|(a, b)| a == b).count();
    let rest = a[equal..].iter().zip(&b[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

fn common_end(a: &[u8], b: &[u8]) -> usize {
    let rest = a.iter().rev().zip(b.iter().rev());
    rest.take_while(|(a, b)| a == b).count()
}

const BLOCK: usize = 64;
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// The base to the power of a block less one: what the byte that leaves was multiplied by.
const LEAVING: u64 = power(BASE, BLOCK - 1);

const fn power(base: u64, exponent: usize) -> u64 {
    let mut result = 1_u64;
    let mut done = 0;
    while done < exponent {
        result = result.wrapping_mul(base);
        done += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn covers_are_equal_disjoint_and_in_order(
            pieces in prop::collection::vec((any::<u8>(), 0..400_usize), 0..12),
            order in prop::collection::vec(0..12_usize, 0..12),
        ) {
            let piece = |(seed, length): &(u8, usize)| -> Vec<u8> {
                let byte = |at: usize| ((at * 31) ^ (at >> 3)).to_le_bytes()[0].wrapping_add(*seed);
                (0..*length).map(byte).collect()
            };
            let old: Vec<u8> = pieces.iter().flat_map(&piece).collect();
            let new: Vec<u8> = order.iter().filter_map(|at| pieces.get(*at)).flat_map(piece).collect();
            let mut end = 0;
            for cover in covers(&old, &new, 100) {
                prop_assert!(cover.new.start >= end && cover.new.len() >= 100);
                prop_assert_eq!(&new[cover.new.clone()], &old[cover.old..cover.old + cover.new.len()]);
                end = cover.new.end;
            }
        }
    }

    #[test]
    fn moved_runs_are_found_whole() {
        let old: Vec<u8> = (0..100_000_u32)
            .flat_map(|at| at.wrapping_mul(at).to_le_bytes())
            .collect();
        let new = [&old[200_001..300_000], b"between", &old[7..100_000]].concat();
        let expected = [
            Cover {
                new: 0..99_999,
                old: 200_001,
            },
            Cover {
                new: 100_006..199_999,
                old: 7,
            },
        ];
        assert_eq!(covers(&old, &new, 1000), expected);
    }

    #[test]
    fn runs_of_one_byte_end() {
        let (old, new) = (vec![0; 100_000], vec![0; 250_000]);
        let found = covers(&old, &new, 64);
        let covered: usize = found.iter().map(|cover| cover.new.len()).sum();
        assert!(covered > 240_000, "{covered}");
    }
}
