use super::MAX_MATCH;

/// Where bytes with the same hash stood before, latest first, as zlib keeps it.
pub(crate) struct Chains {
    heads: Vec<u32>,
    previous: Vec<u32>,
    /// How many places are in the chain of each, where that is wanted: counted from any number.
    ranks: Vec<u32>,
    hash: Hash,
}

/// How the bytes at a place become a number.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    mask: u32,
    /// For three bytes: how far each is apart from the next.
    shift: Option<u32>,
}

impl Hash {
    /// Returns zlib's hash of three bytes.
    pub(crate) fn three(bits: u32) -> Hash {
        Hash {
            mask: (1 << bits) - 1,
            shift: Some(bits.div_ceil(3)),
        }
    }

    /// Returns Chromium's hash of four bytes.
    pub(crate) fn four(bits: u32) -> Hash {
        Hash {
            mask: (1 << bits) - 1,
            shift: None,
        }
    }

    #[inline]
    fn of(self, bytes: [u8; 4]) -> u32 {
        let number = match self.shift {
            Some(shift) => {
                let [first, second, third, _] = bytes.map(u32::from);
                first << (2 * shift) ^ second << shift ^ third
            }
            None => {
                let four = u32::from_le_bytes(bytes);
                four.wrapping_mul(FACTOR).wrapping_add(FACTOR) >> 16
            }
        };
        number & self.mask
    }
}

impl Chains {
    /// Returns chains over a window of 2^`window_bits` bytes.
    pub(crate) fn new(window_bits: u8, hash: Hash) -> Chains {
        Chains {
            heads: vec![0; hash.mask as usize + 1],
            previous: vec![0; 1 << window_bits],
            ranks: Vec::new(),
            hash,
        }
    }

    /// Returns the chains with ranks.
    pub(crate) fn ranked(mut self) -> Chains {
        self.ranks = vec![0; self.previous.len()];
        self
    }

    /// Returns how many bytes a hash is of.
    #[inline]
    pub(crate) fn string(&self) -> usize {
        match self.hash.shift {
            Some(_) => 3,
            None => 4,
        }
    }

    /// Whether there are ranks.
    #[inline]
    pub(crate) fn are_ranked(&self) -> bool {
        !self.ranks.is_empty()
    }

    /// Returns the rank of a place of the window: the one before it in its chain has the one before.
    #[inline]
    pub(crate) fn rank(&self, at: usize) -> u32 {
        let mask = self.ranks.len().wrapping_sub(1);
        self.ranks.get(at & mask).copied().unwrap_or(0)
    }

    /// Returns the last place where a string of this hash was entered.
    #[inline]
    pub(crate) fn latest(&self, four: [u8; 4]) -> usize {
        self.heads[self.hash.of(four) as usize] as usize
    }

    /// Enters the place `at`, where `four` bytes stand, and returns the place before it in its chain: 0
    /// for none, so that the very first byte cannot be found.
    #[inline]
    pub(crate) fn insert(&mut self, four: [u8; 4], at: usize) -> usize {
        let hash = self.hash.of(four);
        let mask = self.previous.len() - 1;
        // The hash is below the number of heads, and masked places below the window.
        let head = &mut self.heads[hash as usize];
        let before = *head;
        self.previous[at & mask] = before;
        *head = u32::try_from(at).unwrap_or(0);
        if !self.ranks.is_empty() {
            let rank = self.ranks[before as usize & mask].wrapping_add(1);
            self.ranks[at & mask] = rank;
        }
        before as usize
    }

    /// Returns the place before `at` in its chain.
    #[inline]
    pub(crate) fn before(&self, at: usize) -> usize {
        let mask = self.previous.len() - 1;
        self.previous[at & mask] as usize
    }
}

/// Returns how many bytes at `a` are also at `b`, which is before it, at most 258 and as far as there are
/// bytes.
#[inline]
pub(crate) fn match_length(bytes: &[u8], a: usize, b: usize) -> usize {
    let limit = bytes.len().saturating_sub(a).min(MAX_MATCH);
    let (Some(left), Some(right)) = (bytes.get(a..a + limit), bytes.get(b..b + limit)) else {
        return 0;
    };
    let mut length = 0;
    for (left, right) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        let differing = word(left) ^ word(right);
        if differing != 0 {
            return length + (differing.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = left.iter().zip(right).skip(length);
    length + rest.take_while(|(left, right)| left == right).count()
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

const FACTOR: u32 = 66521;
