use super::Distances;

/// Finds where the bytes at a position stand before, by chains of positions with equal hashes: one of
/// short strings for what is near, longer ones for what is long.
pub(super) struct Finder {
    all: Vec<u8>,
    /// From the longest strings to the shortest.
    chains: [Chain; 3],
}

/// For each position, the last one before it where a string with the same hash starts.
struct Chain {
    bytes: usize,
    links: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Chain {
    fn of<const BYTES: usize>(all: &[u8]) -> Chain {
        let bits = usize::BITS - all.len().leading_zeros();
        let bits = bits.clamp(10, 22);
        let mut heads = vec![NONE; 1 << bits];
        let mut links = vec![NONE; all.len()];
        let strings = all.array_windows::<BYTES>();
        for ((link, string), at) in links.iter_mut().zip(strings).zip(0..) {
            let head = &mut heads[bucket(string, bits)];
            *link = std::mem::replace(head, at);
        }
        Chain {
            bytes: BYTES,
            links,
        }
    }

    /// Collects what starts with the same string; returns how long the longest is.
    fn walk(
        &self,
        all: &[u8],
        at: usize,
        last: usize,
        depth: usize,
        found: &mut Vec<(usize, usize)>,
    ) -> usize {
        let mut best = self.bytes - 1;
        let mut near = 3;
        let mut candidate = self.links[at];
        let mut tries = depth;
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
            candidate = self.links[place];
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
    pub(super) fn new(all: Vec<u8>) -> Finder {
        let (long, (middle, short)) = rayon::join(
            || Chain::of::<LONG>(&all),
            || rayon::join(|| Chain::of::<MIDDLE>(&all), || Chain::of::<SHORT>(&all)),
        );
        Finder {
            all,
            chains: [long, middle, short],
        }
    }

    /// Returns what it finds in.
    pub(super) fn all(&self) -> &[u8] {
        &self.all
    }

    /// Collects what stands before `at` as well, as far as `all` goes, (length, distance): each longer
    /// than the one before, and as near as that length is found, or at a distance near to `last`. At most
    /// `depth` places of a chain are looked at, of that of the shortest strings `short_depth` where longer
    /// ones are found.
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
        for chain in &self.chains {
            let is_found = chain.bytes == SHORT && !found.is_empty();
            let depth = if is_found { short_depth } else { depth };
            let best = chain.walk(all, at, last, depth, found);
            // What is nearer, but so much shorter, is seldom worth the search.
            if best >= NICE {
                break;
            }
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

/// How long the strings are that are chained.
const LONG: usize = 16;
const MIDDLE: usize = 8;
const SHORT: usize = 4;
/// A match so long ends the search.
const ENOUGH: usize = 512;
/// A match so long leaves shorter strings unsearched.
const NICE: usize = 16;
