/// Finds where the bytes at a position stand before, by chains of positions with equal hashes: one of
/// short strings for what is near, one of longer ones for what is long.
pub(super) struct Finder<'a> {
    all: &'a [u8],
    short: Chain,
    long: Chain,
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
        let mut window = [0; 8];
        window[..self.bytes].copy_from_slice(&all[at..at + self.bytes]);
        let hash = u64::from_le_bytes(window).wrapping_mul(0x9e37_79b9_7f4a_7c15);
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
            short: Chain::new(4, all.len()),
            long: Chain::new(8, all.len()),
            depth,
            next: 0,
        };
        finder.insert_up_to(known);
        finder
    }

    fn insert_up_to(&mut self, end: usize) {
        while self.next < end {
            self.short.insert(self.all, self.next);
            self.long.insert(self.all, self.next);
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

    /// Collects what stands before `at` as well: (length, distance), each longer than the one before,
    /// and as near as that length is found.
    pub(super) fn find(&mut self, at: usize, found: &mut Vec<(usize, usize)>) {
        found.clear();
        self.insert_up_to(at);
        let mut best = 3;
        best = walk(self.all, &self.short, at, self.depth, best, found);
        walk(self.all, &self.long, at, self.depth, best.max(7), found);
        self.insert_up_to(at + 1);
    }
}

fn walk(
    all: &[u8],
    chain: &Chain,
    at: usize,
    depth: usize,
    mut best: usize,
    found: &mut Vec<(usize, usize)>,
) -> usize {
    if at + chain.bytes > all.len() {
        return best;
    }
    let mut candidate = chain.heads[chain.bucket(all, at)];
    let mut tries = depth;
    while candidate != NONE && tries > 0 {
        tries -= 1;
        let place = candidate as usize;
        // A longer match must agree where the best one ends.
        let agrees = at + best < all.len() && all[place + best] == all[at + best];
        if agrees {
            let length = common(all, place, at);
            if length > best {
                best = length;
                found.push((length, at - place));
                if length >= ENOUGH {
                    break;
                }
            }
        }
        candidate = chain.links[place];
    }
    best
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
