use std::hint::black_box;
use std::ops::Range;

use super::Distances;
use crate::covers::{Cover, covers};

/// Finds where the bytes at a position stand before: long runs of the reference first, and around these
/// by the places of equal hashes, of long strings, and of short ones for what is near.
pub(super) struct Finder {
    all: Vec<u8>,
    /// How many of them are the reference's.
    reference: usize,
    runs: Vec<Cover>,
    long: Places<LONG>,
    short: Places<SHORT>,
}

/// Where strings of equal hashes start, side by side in rising order: many of them are looked at at once,
/// where a list of them would make each wait for the one before.
struct Places<const BYTES: usize> {
    /// The lowest of a hash has [`FIRST`] set.
    places: Vec<u32>,
    /// Where in them those behind the reference stand, with [`FIRST`] where no lower one does.
    ranks: Vec<u32>,
}

/// Marks the lowest place of a hash; places take the other bits.
const FIRST: u32 = 1 << 31;

impl<const BYTES: usize> Places<BYTES> {
    /// Takes note of the strings that start in `wanted`, wherever they are.
    fn of(all: &[u8], reference: usize, wanted: &[Range<usize>]) -> Places<BYTES> {
        let bits = usize::BITS - all.len().leading_zeros();
        let bits = bits.clamp(10, 22);
        let mut is_wanted = vec![0_u64; 1 << (bits - 6)];
        for range in wanted {
            let end = all.len().min(range.end + BYTES - 1);
            for string in all[range.start.min(end)..end].array_windows::<BYTES>() {
                let bucket = bucket(string, bits);
                is_wanted[bucket / 64] |= 1 << (bucket % 64);
            }
        }
        let strings = all.array_windows::<BYTES>().zip(0_u32..);
        let known = strings
            .clone()
            .map(|(string, at)| (bucket(string, bits), at));
        let known = known.filter(|(bucket, _)| is_wanted[bucket / 64] & (1 << (bucket % 64)) != 0);
        let mut next = vec![0_u32; 1 << bits];
        for (bucket, _) in known.clone() {
            next[bucket] += 1;
        }
        let mut places = 0;
        for first in &mut next {
            places += std::mem::replace(first, places | FIRST);
        }
        let mut places = vec![0_u32; places as usize];
        let mut ranks = vec![FIRST; all.len() - reference];
        for (bucket, at) in known {
            let rank = next[bucket];
            places[(rank & !FIRST) as usize] = at | rank & FIRST;
            if let Some(new) = (at as usize).checked_sub(reference) {
                ranks[new] = rank;
            }
            next[bucket] = (rank & !FIRST) + 1;
        }
        Places { places, ranks }
    }

    /// Reads what searches at these places read first.
    fn load(&self, all: &[u8], places: Range<usize>) {
        let end = self.ranks.len().min(places.end);
        let ranks = self.ranks.get(places.start..end).unwrap_or_default();
        let behind = ranks.iter().filter(|rank| **rank & FIRST == 0);
        let nearest = behind.filter_map(|rank| self.places.get((*rank as usize).checked_sub(1)?));
        let bytes = nearest.filter_map(|place| all.get((place & !FIRST) as usize));
        black_box(bytes.fold(0, |any, byte| any | byte));
    }

    /// Collects what starts with the same string, as far back as so many places; returns how long the
    /// longest is.
    fn look(
        &self,
        all: &[u8],
        at: usize,
        reference: usize,
        last: usize,
        depth: usize,
        found: &mut Vec<(usize, usize)>,
    ) -> usize {
        let mut best = BYTES - 1;
        let mut near = 3;
        let Some(rank) = self.ranks.get(at - reference) else {
            return best;
        };
        if rank & FIRST != 0 {
            return best;
        }
        let before = self.places.get(..*rank as usize).unwrap_or_default();
        for candidate in before.iter().rev().take(depth) {
            let place = (candidate & !FIRST) as usize;
            let distance = at - place;
            // A longer match must agree where the best one ends.
            let agrees = at + best < all.len() && all[place + best] == all[at + best];
            let is_near = distance.abs_diff(last) <= Distances::NEAR
                && at + near < all.len()
                && all[place + near] == all[at + near];
            if agrees || is_near {
                let length = common(all, place, at);
                if length > best || is_near && length > near {
                    best = best.max(length);
                    if is_near {
                        near = near.max(length);
                    }
                    found.push((length, distance));
                    if length >= ENOUGH {
                        break;
                    }
                }
            }
            if candidate & FIRST != 0 {
                break;
            }
        }
        best
    }
}

#[inline]
fn bucket<const BYTES: usize>(string: &[u8; BYTES], bits: u32) -> usize {
    let hash = match string.split_at_checked(8) {
        Some((first, more @ [_, ..])) => {
            (word(first) ^ word(more).rotate_left(31)).wrapping_mul(0xd6e8_feb8_6659_fd93)
        }
        _ => word(string),
    };
    usize::try_from(hash >> (64 - bits)).unwrap_or(0)
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut window = [0; 8];
    window[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(window).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Finder {
    /// Returns what finds the bytes of `new` in `reference`, and behind it in itself.
    pub(super) fn new(reference: &[u8], new: &[u8]) -> Finder {
        let all = [reference, new].concat();
        let reference = reference.len();
        let (old, new) = all.split_at(reference);
        let runs = match old.is_empty() {
            true => Vec::new(),
            false => covers(old, new, LEAST_RUN),
        };
        let mut wanted = Vec::new();
        let mut at = reference;
        for run in &runs {
            // Towards its end a run is one of many.
            wanted.push(at..reference + run.new.start + LONG);
            at = reference + run.new.end - LEAST_RUN;
        }
        wanted.push(at..all.len());
        let (long, short) = rayon::join(
            || Places::of(&all, reference, &wanted),
            || Places::of(&all, reference, &wanted),
        );
        Finder {
            all,
            reference,
            runs,
            long,
            short,
        }
    }

    /// Returns how far back the long run stands that `at` is in; `ended` runs are known to end before it.
    #[inline]
    pub(super) fn run(&self, at: usize, ended: &mut usize) -> Option<usize> {
        let at_new = at - self.reference;
        while self.runs.get(*ended)?.new.end <= at_new {
            *ended += 1;
        }
        let run = self.runs.get(*ended)?;
        let distance = || self.reference + run.new.start - run.old;
        (run.new.start <= at_new).then(distance)
    }

    /// Returns what it finds in.
    pub(super) fn all(&self) -> &[u8] {
        &self.all
    }

    /// Makes ready for searches from `at` on, and returns up to where: what many read first is asked of
    /// memory at once, where each by itself would wait for it.
    pub(super) fn load(&self, at: usize) -> usize {
        let new = at - self.reference;
        self.long.load(&self.all, new..new + LOADED);
        self.short.load(&self.all, new..new + LOADED);
        at + LOADED
    }

    /// Collects what stands before `at` as well, as far as `all` goes, (length, distance): each longer
    /// than the one before, and as near as that length is found, or at a distance near to `last`. At most
    /// `depth` places are looked at, of shorter strings `short_depth` where longer ones are found.
    pub(super) fn find(
        &self,
        all: &[u8],
        at: usize,
        last: usize,
        depth: usize,
        short_depth: usize,
        found: &mut Vec<(usize, usize)>,
    ) {
        found.clear();
        let best = self.long.look(all, at, self.reference, last, depth, found);
        // What is nearer, but so much shorter, is seldom worth the search.
        if best < LONG {
            let is_found = !found.is_empty();
            let depth = if is_found { short_depth } else { depth };
            self.short.look(all, at, self.reference, last, depth, found);
        }
        found.sort_unstable();
    }
}

/// Returns how many bytes are the same from both places on.
#[inline]
pub(super) fn common(all: &[u8], a: usize, b: usize) -> usize {
    let most = all.len() - b;
    let (a, b) = (&all[a..a + most], &all[b..b + most]);
    let mut length = 0;
    for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let differing = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differing != 0 {
            let same = differing.trailing_zeros() / 8;
            return length + usize::try_from(same).unwrap_or(0);
        }
        length += 8;
    }
    while length < most && a[length] == b[length] {
        length += 1;
    }
    length
}

/// How long the strings are.
const LONG: usize = 16;
const SHORT: usize = 6;
/// Runs of the reference at least so long are found beforehand.
const LEAST_RUN: usize = 512;
/// Places that are made ready for at once.
const LOADED: usize = 32;
/// A match so long ends the search.
const ENOUGH: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::claims::{noise, related};
    use super::*;

    #[test]
    fn a_long_run_is_told_wherever_it_is_asked_for() {
        let old = noise(10_000, 1);
        let new = [&noise(1000, 2)[..], &old[3000..9000], &noise(500, 3)].concat();
        let finder = Finder::new(&old, &new);
        let mut ended = 0;
        let runs: Vec<_> = (10_000..17_500)
            .map(|at| finder.run(at, &mut ended))
            .collect();
        let told = runs.iter().flatten().copied();
        assert!(told.clone().all(|distance| distance == 8000));
        assert_eq!(told.count(), 6000);
        assert!(runs[1000..7000].iter().all(Option::is_some));
        assert_eq!(ended, 1);
    }

    #[test]
    fn around_a_long_run_its_bytes_are_found_and_within_they_are_not_looked_for() {
        let old = noise(10_000, 1);
        let new = [&old[..8000], &b"between"[..], &old[5000..]].concat();
        let finder = Finder::new(&old, &new);
        let mut found = Vec::new();
        let mut find = |at: usize| {
            finder.find(finder.all(), at, 1, 64, 64, &mut found);
            found.last().map(|(_, distance)| *distance)
        };
        // Where the second run starts, the first one has the same bytes, too.
        assert_eq!(find(10_000 + 8007), Some(3007));
        assert_eq!(find(10_000 + 8000 - 100), Some(10_000));
        assert_eq!(find(10_000 + 4000), None);
    }

    proptest! {
        #[test]
        fn what_is_found_stands_there((old, new) in related(), depth in 1..20_usize) {
            let finder = Finder::new(&old, &new);
            let all = finder.all();
            prop_assert_eq!(all, [&old[..], &new].concat());
            let (mut found, mut ended) = (Vec::new(), 0);
            for at in old.len()..all.len() {
                finder.find(all, at, 7, depth, depth, &mut found);
                for (length, distance) in &found {
                    let from = at - distance;
                    prop_assert_eq!(&all[from..from + length], &all[at..at + length]);
                }
                if let Some(distance) = finder.run(at, &mut ended) {
                    prop_assert_eq!(all[at - distance], all[at]);
                }
            }
        }
    }
}
