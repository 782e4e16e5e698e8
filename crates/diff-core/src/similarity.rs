use std::collections::HashMap;

/// The fingerprint of a content: hashes of some of its substrings, chosen by what they say alone, so
/// that contents that share bytes share hashes wherever these bytes stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    /// In rising order, each once.
    hashes: Vec<u32>,
}

/// Makes a [`Sketch`] of pieces that come one after the other.
#[derive(Default)]
pub(crate) struct Sketcher {
    hashes: Vec<u32>,
}

impl Sketcher {
    /// Adds a piece; substrings do not reach from one piece into the next.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        let mut rolling = 0_u64;
        for (at, byte) in piece.iter().enumerate() {
            // Two bits a byte leave the register after 32 bytes.
            rolling = (rolling << 2).wrapping_add(GEAR[usize::from(*byte)]);
            if at >= WINDOW && (rolling >> 40) & SAMPLED == 0 {
                let [_, _, _, _, low @ ..] = (rolling >> 8).to_be_bytes();
                self.hashes.push(u32::from_be_bytes(low));
            }
        }
    }

    /// Returns the sketch of all pieces.
    pub(crate) fn finish(mut self) -> Sketch {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        Sketch {
            hashes: self.hashes,
        }
    }
}

impl Sketch {
    /// Returns the sketch of one piece.
    pub(crate) fn of(piece: &[u8]) -> Sketch {
        let mut sketcher = Sketcher::default();
        sketcher.add(piece);
        sketcher.finish()
    }

    /// Returns how many hashes the sketch has.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }
}

/// Contents by the hashes of their sketches.
#[derive(Default)]
pub(crate) struct SimilarityIndex {
    by_hash: HashMap<u32, Vec<u32>>,
    weights: Vec<u64>,
}

impl SimilarityIndex {
    /// Adds a content, whose number is how many came before it; `weight` is what using it costs.
    pub(crate) fn add(&mut self, sketch: &Sketch, weight: u64) {
        let Ok(number) = u32::try_from(self.weights.len()) else {
            return;
        };
        self.weights.push(weight);
        for hash in &sketch.hashes {
            let holders = self.by_hash.entry(*hash).or_default();
            // What stands everywhere tells nothing.
            if holders.len() < MOST_HOLDERS {
                holders.push(number);
            }
        }
    }

    /// Returns the numbers of those contents that together share most with `sketch`: the one that
    /// shares most first, then what adds most to it, as long as it is worth its weight. `first` is taken
    /// for known, whatever it shares.
    pub(crate) fn nearest(&self, sketch: &Sketch, first: Option<usize>, most: usize) -> Vec<usize> {
        let mut left: Vec<&Vec<u32>> = sketch
            .hashes
            .iter()
            .filter_map(|hash| self.by_hash.get(hash))
            .collect();
        let mut found = Vec::new();
        let mut next = first.and_then(|first| u32::try_from(first).ok());
        let least = (sketch.len() / 40).max(LEAST_SHARED);
        while found.len() < most {
            let chosen = match next.take() {
                Some(first) => first,
                None => match self.heaviest(&left) {
                    Some((chosen, shared)) if shared >= least && self.pays(chosen, shared) => {
                        chosen
                    }
                    _ => break,
                },
            };
            found.push(usize::try_from(chosen).unwrap_or(usize::MAX));
            left.retain(|holders| !holders.contains(&chosen));
        }
        found
    }

    /// Returns the content that most of these hashes stand in, and how many do.
    fn heaviest(&self, left: &[&Vec<u32>]) -> Option<(u32, usize)> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for holders in left {
            for holder in *holders {
                *counts.entry(*holder).or_default() += 1;
            }
        }
        counts
            .into_iter()
            .max_by_key(|(number, shared)| (*shared, std::cmp::Reverse(*number)))
    }

    fn pays(&self, number: u32, shared: usize) -> bool {
        let place = usize::try_from(number).ok();
        let weight = place.and_then(|place| self.weights.get(place).copied());
        shared as u64 * BYTES_A_HASH * WORTH >= weight.unwrap_or(0)
    }
}

/// Bytes that a hash depends on.
const WINDOW: usize = 32;
/// One substring of so many is taken, on average, less one.
const SAMPLED: u64 = 31;
const BYTES_A_HASH: u64 = SAMPLED + 1;
const MOST_HOLDERS: usize = 12;
const LEAST_SHARED: usize = 3;
/// A content is worth taking where one byte in so many is shared.
const WORTH: u64 = 24;

const GEAR: [u64; 256] = gear();

/// Returns numbers that look random and are the same everywhere (SplitMix64).
const fn gear() -> [u64; 256] {
    let mut table = [0; 256];
    let mut state = 0_u64;
    let mut at = 0;
    while at < table.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = mixed ^ (mixed >> 31);
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0] % 64 + b' '
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn what_shares_most_comes_first_and_what_adds_most_next() {
        let (a, b, c) = (text(1, 9000), text(2, 9000), text(3, 9000));
        let mut index = SimilarityIndex::default();
        for content in [&a, &b, &c] {
            index.add(&Sketch::of(content), content.len() as u64);
        }
        let mixed = [&b[..6000], &c[3000..6000]].concat();
        assert_eq!(index.nearest(&Sketch::of(&mixed), None, 4), [1, 2]);
        assert_eq!(index.nearest(&Sketch::of(&mixed), Some(0), 4), [0, 1, 2]);
        assert_eq!(index.nearest(&Sketch::of(&mixed), None, 1), [1]);
    }

    #[test]
    fn strangers_share_nothing() {
        let mut index = SimilarityIndex::default();
        index.add(&Sketch::of(&text(1, 9000)), 9000);
        assert!(
            index
                .nearest(&Sketch::of(&text(2, 9000)), None, 4)
                .is_empty()
        );
        assert!(index.nearest(&Sketch::default(), None, 4).is_empty());
    }

    #[test]
    fn a_little_of_a_giant_is_not_worth_it() {
        let giant = text(1, 100_000);
        let mut index = SimilarityIndex::default();
        index.add(&Sketch::of(&giant), 10_000_000);
        assert!(
            index
                .nearest(&Sketch::of(&giant[..9000]), None, 4)
                .is_empty()
        );
    }
}
