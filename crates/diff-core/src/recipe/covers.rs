use super::model::{Kind, Model};
use super::seam::{Old, malformed};
use crate::DeltaError;
use crate::entropy::Coder;

/// Which parts of the new plaintext are parts of the old one, both in rising order.
#[derive(Default)]
pub(super) struct Covers {
    covers: Vec<Cover>,
}

/// Bytes that both plaintexts have.
#[derive(Clone, Copy)]
pub(super) struct Cover {
    /// Where they stand in the new one.
    pub(super) new: usize,
    /// Where they stand in the old one.
    pub(super) old: usize,
    /// How many they are.
    pub(super) length: usize,
}

impl Covers {
    /// Finds covers: the chain of longest common parts around what is unique in the old plaintext.
    pub(super) fn find(old: &[u8], new: &[u8]) -> Covers {
        let mut samples = samples(old);
        samples.sort_unstable();
        let is_unique = |at: usize| {
            let same = |other: Option<&(u64, usize)>| other.is_some_and(|o| o.0 == samples[at].0);
            !same(samples.get(at + 1)) && !at.checked_sub(1).is_some_and(|at| same(samples.get(at)))
        };
        let mut parts: Vec<Cover> = vec![common(old, new, 0, 0, 0, 0)];
        for (hash, at) in samples_of(new) {
            let Ok(found) = samples.binary_search_by(|sample| sample.0.cmp(&hash)) else {
                continue;
            };
            let place = samples[found].1;
            let is_known = |part: &Cover| {
                at < part.new + part.length && place.wrapping_sub(part.old) == at - part.new
            };
            if !is_unique(found)
                || parts
                    .last()
                    .is_some_and(|part| at >= part.new && is_known(part))
            {
                continue;
            }
            let part = common(old, new, place, at, 0, 0);
            if part.length >= WINDOW {
                parts.push(part);
            }
        }
        Covers::chain(parts, old, new)
    }

    /// Picks the parts that rise in both, of most bytes together.
    fn chain(mut parts: Vec<Cover>, old: &[u8], new: &[u8]) -> Covers {
        parts.retain(|part| part.length > 0);
        parts.sort_by_key(|part| (part.new, part.old));
        // By the rank of its old place: the best chain that ends at or before it.
        let mut olds: Vec<usize> = parts.iter().map(|part| part.old).collect();
        olds.sort_unstable();
        olds.dedup();
        let mut best = vec![(0_usize, usize::MAX); olds.len() + 1];
        let mut before = vec![usize::MAX; parts.len()];
        for (index, part) in parts.iter().enumerate() {
            let rank = olds.partition_point(|old| old < &part.old);
            let (mut top, mut at) = ((0, usize::MAX), rank);
            while at > 0 {
                top = top.max(best[at]);
                at &= at - 1;
            }
            before[index] = top.1;
            let reached = (top.0 + part.length, index);
            at = rank + 1;
            while at < best.len() {
                // Of equal chains the later one, so that the order is clear.
                if best[at].1 == usize::MAX || reached.0 > best[at].0 {
                    best[at] = reached;
                }
                at += at & at.wrapping_neg();
            }
        }
        let mut last = (0, usize::MAX);
        let mut at = olds.len();
        while at > 0 {
            last = last.max(best[at]);
            at &= at - 1;
        }
        let mut chosen = Vec::new();
        let mut index = last.1;
        while let Some(part) = parts.get(index) {
            chosen.push(*part);
            index = before[index];
        }
        chosen.reverse();
        let mut covers: Vec<Cover> = Vec::new();
        for part in chosen {
            let (new_end, old_end) = covers.last().map_or((0, 0), Cover::ends);
            let cut = new_end
                .saturating_sub(part.new)
                .max(old_end.saturating_sub(part.old));
            if part.length >= cut + WINDOW / 2 || covers.is_empty() {
                covers.push(common(
                    old,
                    new,
                    part.old + cut,
                    part.new + cut,
                    old_end,
                    new_end,
                ));
            }
        }
        Covers { covers }
    }

    /// Codes the covers' places; how long they are both sides see.
    pub(super) fn code<C: Coder>(
        self,
        model: &mut Model<C>,
        old: Old<'_>,
        new: &[u8],
    ) -> Result<Covers, DeltaError> {
        let mut known: Vec<Cover> = Vec::new();
        loop {
            let (new_end, old_end) = known.last().map_or((0, 0), Cover::ends);
            let next = self
                .covers
                .get(known.len())
                .filter(|_| known.len() < MOST_COVERS);
            if !model.flag(Kind::Cover, 0, next.is_some()) {
                return Ok(Covers { covers: known });
            }
            let next = next.copied().unwrap_or(Cover {
                new: new_end,
                old: old_end,
                length: 0,
            });
            let new_at = new_end + model.number(Kind::NewGap, 0, next.new - new_end);
            let old_at = old_end + model.number(Kind::OldGap, 0, next.old - old_end);
            let cover = common(old.plain, new, old_at, new_at, old_at, new_at);
            if cover.length < WINDOW / 2 && !known.is_empty() || known.len() >= MOST_COVERS {
                return Err(malformed("has covers that are too short, or too many"));
            }
            known.push(cover);
        }
    }

    /// Returns the cover that the new place is in, given the index of one at or before it, and moves the
    /// index on.
    #[inline]
    pub(super) fn at(&self, index: &mut usize, new: usize) -> Option<Cover> {
        while let Some(cover) = self.covers.get(*index) {
            if new < cover.new + cover.length {
                return (new >= cover.new).then_some(*cover);
            }
            *index += 1;
        }
        None
    }

    /// Returns where the old place stands in the new plaintext, given the index of a cover at or behind
    /// it.
    #[inline]
    pub(super) fn new_place(&self, index: usize, old: usize) -> Option<usize> {
        let until = self.covers.len().min(index + 1);
        let behind = self.covers.get(..until)?.iter().rev().take(LOOKED_AT);
        let mut covers = behind.skip_while(|cover| cover.old > old);
        let cover = covers.next()?;
        let within = old - cover.old;
        (within < cover.length).then_some(cover.new + within)
    }
}

impl Cover {
    fn ends(&self) -> (usize, usize) {
        (self.new + self.length, self.old + self.length)
    }
}

/// Returns the longest common part around two places, not before the given ones.
fn common(
    old: &[u8],
    new: &[u8],
    old_at: usize,
    new_at: usize,
    old_from: usize,
    new_from: usize,
) -> Cover {
    let same = |(a, b): &(&u8, &u8)| a == b;
    let (Some(old_rest), Some(new_rest)) = (old.get(old_at..), new.get(new_at..)) else {
        return Cover {
            new: new_at,
            old: old_at,
            length: 0,
        };
    };
    let ahead = old_rest.iter().zip(new_rest).take_while(same).count();
    let old_before = old.get(old_from..old_at).unwrap_or(&[]).iter().rev();
    let new_before = new.get(new_from..new_at).unwrap_or(&[]).iter().rev();
    let behind = old_before.zip(new_before).take_while(same).count();
    Cover {
        new: new_at - behind,
        old: old_at - behind,
        length: behind + ahead,
    }
}

/// Returns the sampled windows' hashes and places.
fn samples(bytes: &[u8]) -> Vec<(u64, usize)> {
    samples_of(bytes).collect()
}

fn samples_of(bytes: &[u8]) -> impl Iterator<Item = (u64, usize)> {
    let windows = bytes.windows(WINDOW).enumerate();
    windows.filter_map(|(at, window)| {
        let mut halves = [0_u64; 2];
        for (half, bytes) in halves.iter_mut().zip(window.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *half = u64::from_le_bytes(word);
        }
        let hash = (halves[0].wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ halves[1])
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        (hash >> 60 < SAMPLED).then_some((hash, at))
    })
}

/// The bytes that must be the same, of which this many of sixteen are looked at.
const WINDOW: usize = 16;
const SAMPLED: u64 = 6;
const MOST_COVERS: usize = 1 << 16;
/// How many covers back the source of a match may be.
const LOOKED_AT: usize = 64;
