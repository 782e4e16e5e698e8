use std::cmp::Reverse;

use rayon::prelude::*;

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

    /// Returns the sketch's hashes, in rising order.
    pub(crate) fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    /// Returns the hashes that none of the others has.
    pub(crate) fn beside<'s>(&self, others: impl Iterator<Item = &'s Sketch>) -> Vec<u32> {
        let mut left = self.hashes.clone();
        for other in others {
            left.retain(|hash| other.hashes.binary_search(hash).is_err());
        }
        left
    }

    /// Returns how many hashes the sketch has.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }
}

/// Contents by the hashes of their sketches.
pub(crate) struct SimilarityIndex {
    /// By their hashes, and of a hash by their numbers.
    holders: Vec<Holder>,
    /// Where those start whose hashes have the same highest bits, all but so many of the lowest.
    starts: Vec<usize>,
    lowest_bits: u32,
    weights: Vec<u64>,
}

/// A content that has a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    hash: u32,
    /// The content's number.
    content: u32,
}

impl SimilarityIndex {
    /// Returns the index of these contents, each with what using it costs.
    pub(crate) fn of(contents: &[(Sketch, u64)]) -> SimilarityIndex {
        let numbered = (0_u32..).zip(contents);
        let holders = numbered.flat_map(|(content, (sketch, _))| {
            let hashes = sketch.hashes.iter();
            hashes.map(move |hash| Holder {
                hash: *hash,
                content,
            })
        });
        let mut holders: Vec<Holder> = holders.collect();
        holders.par_sort_unstable();
        let lowest_bits = u32::BITS - holders.len().max(2).ilog2().min(MOST_HIGHEST_BITS);
        let highest = (0_u32..=u32::MAX >> lowest_bits).map(|bits| bits << lowest_bits);
        let start = |hash| holders.partition_point(|holder| holder.hash < hash);
        let mut starts: Vec<usize> = highest.map(start).collect();
        starts.push(holders.len());
        SimilarityIndex {
            holders,
            starts,
            lowest_bits,
            weights: contents.iter().map(|(_, weight)| *weight).collect(),
        }
    }

    /// Returns the contents with this hash, the first few.
    fn holders(&self, hash: u32) -> &[Holder] {
        let highest = (hash >> self.lowest_bits) as usize;
        let alike = &self.holders[self.starts[highest]..self.starts[highest + 1]];
        let before = alike.iter().take_while(|holder| holder.hash < hash).count();
        let found = &alike[before..];
        // What stands everywhere tells nothing.
        let count = found.iter().take(MOST_HOLDERS);
        let count = count.take_while(|holder| holder.hash == hash).count();
        &found[..count]
    }

    /// Returns the numbers of those contents that together share most with `sketch`: the one that
    /// shares most first, then what adds most to it, as long as it is worth its weight. `first` is taken
    /// for known, whatever it shares.
    pub(crate) fn nearest(&self, sketch: &Sketch, first: Option<usize>, most: usize) -> Vec<usize> {
        let holders = sketch.hashes.iter().map(|hash| self.holders(*hash));
        let mut left: Vec<&[Holder]> = holders.filter(|holders| !holders.is_empty()).collect();
        let mut found = Vec::new();
        let mut next = first.and_then(|first| u32::try_from(first).ok());
        let least = (sketch.len() / 40).max(LEAST_SHARED);
        while found.len() < most {
            let chosen = match next.take() {
                Some(first) => first,
                None => match heaviest(&left) {
                    Some((chosen, shared)) if shared >= least && self.pays(chosen, shared) => {
                        chosen
                    }
                    _ => break,
                },
            };
            found.push(usize::try_from(chosen).unwrap_or(usize::MAX));
            left.retain(|holders| holders.iter().all(|holder| holder.content != chosen));
        }
        found
    }

    fn pays(&self, number: u32, shared: usize) -> bool {
        let place = usize::try_from(number).ok();
        let weight = place.and_then(|place| self.weights.get(place).copied());
        shared as u64 * BYTES_A_HASH * WORTH >= weight.unwrap_or(0)
    }
}

/// Returns the content that most of these hashes stand in, the first of several, and how many do.
fn heaviest(left: &[&[Holder]]) -> Option<(u32, usize)> {
    let holders = left.iter().copied().flatten();
    let mut contents: Vec<u32> = holders.map(|holder| holder.content).collect();
    contents.sort_unstable();
    let runs = contents.chunk_by(|one, other| one == other);
    let shared = runs.filter_map(|run| Some((*run.first()?, run.len())));
    shared.max_by_key(|(content, shared)| (*shared, Reverse(*content)))
}

/// Bytes that a hash depends on.
const WINDOW: usize = 32;
/// One substring of so many is taken, on average, less one.
const SAMPLED: u64 = 31;
const BYTES_A_HASH: u64 = SAMPLED + 1;
const MOST_HOLDERS: usize = 12;
/// The highest bits of a hash, by which it is looked up.
const MOST_HIGHEST_BITS: u32 = 16;
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

    fn index(contents: &[(&[u8], u64)]) -> SimilarityIndex {
        let sketch = |(content, weight): &(&[u8], u64)| (Sketch::of(content), *weight);
        SimilarityIndex::of(&contents.iter().map(sketch).collect::<Vec<_>>())
    }

    #[test]
    fn what_shares_most_comes_first_and_what_adds_most_next() {
        let (a, b, c) = (text(1, 9000), text(2, 9000), text(3, 9000));
        let index = index(&[(&a, 9000), (&b, 9000), (&c, 9000)]);
        let mixed = [&b[..6000], &c[3000..6000]].concat();
        assert_eq!(index.nearest(&Sketch::of(&mixed), None, 4), [1, 2]);
        assert_eq!(index.nearest(&Sketch::of(&mixed), Some(0), 4), [0, 1, 2]);
        assert_eq!(index.nearest(&Sketch::of(&mixed), None, 1), [1]);
    }

    #[test]
    fn strangers_share_nothing() {
        let index = index(&[(&text(1, 9000), 9000)]);
        assert!(
            index
                .nearest(&Sketch::of(&text(2, 9000)), None, 4)
                .is_empty()
        );
        assert!(index.nearest(&Sketch::default(), None, 4).is_empty());
    }

    #[test]
    fn what_stands_everywhere_is_looked_for_in_the_first_few_alone() {
        let page = text(1, 9000);
        let pages = vec![(&page[..], 9000); 20];
        let found = index(&pages).nearest(&Sketch::of(&page), None, 20);
        assert_eq!(found, [0]);
        let unlike = index(&pages).nearest(&Sketch::of(&page), Some(19), 20);
        assert_eq!(unlike, [19, 0]);
    }

    #[test]
    fn a_little_of_a_giant_is_not_worth_it() {
        let giant = text(1, 100_000);
        let index = index(&[(&giant, 10_000_000)]);
        assert!(
            index
                .nearest(&Sketch::of(&giant[..9000]), None, 4)
                .is_empty()
        );
    }
}
