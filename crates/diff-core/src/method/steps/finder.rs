use super::Distances;

/// Finds where the bytes at a position stand before, by chains of positions with equal hashes: one of
/// short strings for what is near, one of longer ones for what is long.
pub(super) struct Finder<'a> {
    all: &'a [u8],
    chains: [Chain; 3],
    depth: usize,
    /// Positions before this one are in the chains.
    next: usize,
}

struct Chain {
    bytes: usize,
    bits: u32,
    heads: Vec<u32>,
    links: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Chain {
    fn new(bytes: usize, length: usize) -> Chain {
        let bits = usize::BITS - length.leading_zeros();
        let bits = bits.clamp(10, 22);
        Chain {
            bytes,
            bits,
            heads: vec![NONE; 1 << bits],
            links: vec![NONE; length],
        }
    }

    #[inline]
    fn bucket(&self, all: &[u8], at: usize) -> usize {
        let window = |at: usize, bytes: usize| {
            let mut window = [0; 8];
            window[..bytes].copy_from_slice(&all[at..at + bytes]);
            u64::from_le_bytes(window).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let hash = match self.bytes.checked_sub(8) {
            Some(more @ 1..) => (window(at, 8) ^ window(at + 8, more).rotate_left(31))
                .wrapping_mul(0xd6e8_feb8_6659_fd93),
            _ => window(at, self.bytes),
        };
        usize::try_from(hash >> (64 - self.bits)).unwrap_or(0)
    }

    #[inline]
    fn insert(&mut self, all: &[u8], at: usize) {
        if at + self.bytes <= all.len() {
            let bucket = self.bucket(all, at);
            self.links[at] = self.heads[bucket];
            self.heads[bucket] = u32::try_from(at).unwrap_or(NONE);
        }
    }
}

impl<'a> Finder<'a> {
    /// Returns a finder over `all`, of which the first `known` bytes come before every position that is
    /// asked for.
    pub(super) fn new(all: &'a [u8], known: usize, depth: usize) -> Finder<'a> {
        let mut finder = Finder {
            all,
            chains: [4, 8, 16].map(|bytes| Chain::new(bytes, all.len())),
            depth,
            next: 0,
        };
        finder.insert_up_to(known);
        finder
    }

    fn insert_up_to(&mut self, end: usize) {
        while self.next < end {
            for chain in &mut self.chains {
                chain.insert(self.all, self.next);
            }
            self.next += 1;
        }
    }

    /// Leaves out positions within a long copy: what they copy is in the chains already.
    pub(super) fn pass(&mut self, from: usize, to: usize) {
        self.insert_up_to(from);
        // The start and the end of a copy are where the next ones begin.
        let edge = PASSED_EDGE.min(to.saturating_sub(from));
        self.insert_up_to(from + edge);
        self.next = self.next.max(to - edge);
        self.insert_up_to(to);
    }

    /// Collects what stands before `at` as well, (length, distance): each longer than the one before,
    /// and as near as that length is found, or at a distance near to `last`.
    pub(super) fn find(&mut self, at: usize, last: usize, found: &mut Vec<(usize, usize)>) {
        found.clear();
        self.insert_up_to(at);
        let mut best = 3;
        for chain in &self.chains {
            if at + chain.bytes <= self.all.len() {
                best = best.max(chain.bytes - 1);
                best = self.walk(chain, at, last, best, found);
            }
        }
        self.insert_up_to(at + 1);
    }

    fn walk(
        &self,
        chain: &Chain,
        at: usize,
        last: usize,
        mut best: usize,
        found: &mut Vec<(usize, usize)>,
    ) -> usize {
        let all = self.all;
        let mut near = 3;
        let mut candidate = chain.heads[chain.bucket(all, at)];
        let mut tries = self.depth;
        while candidate != NONE && tries > 0 {
            tries -= 1;
            let place = candidate as usize;
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
            candidate = chain.links[place];
        }
        best
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

/// Positions at either end of a long copy that later copies may start from.
const PASSED_EDGE: usize = 32;
/// A match so long ends the search.
const ENOUGH: usize = 512;
