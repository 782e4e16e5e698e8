use super::MAX_MATCH;

/// Where three bytes with the same hash stood before, latest first, as zlib keeps it.
pub(crate) struct Chains {
    heads: Vec<u32>,
    previous: Vec<u32>,
    shift: u32,
    hash_mask: u32,
}

impl Chains {
    /// Returns chains over a window of 2^`window_bits` bytes.
    pub(crate) fn new(window_bits: u8, hash_bits: u32) -> Chains {
        Chains {
            heads: vec![0; 1 << hash_bits],
            previous: vec![0; 1 << window_bits],
            shift: hash_bits.div_ceil(3),
            hash_mask: (1 << hash_bits) - 1,
        }
    }

    /// Enters the place `at`, and returns the place before it in its chain: 0 for none, so that the
    /// very first byte cannot be found. Bytes behind the end count as zeros.
    #[inline]
    pub(crate) fn insert(&mut self, bytes: &[u8], at: usize) -> usize {
        let three = match bytes.get(at..at + 3) {
            Some(three) => [three[0], three[1], three[2]],
            None => {
                let byte = |ahead| bytes.get(at + ahead).copied().unwrap_or(0);
                [byte(0), byte(1), byte(2)]
            }
        };
        let [first, second, third] = three.map(u32::from);
        let hash = (first << (2 * self.shift) ^ second << self.shift ^ third) & self.hash_mask;
        let mask = self.previous.len() - 1;
        // The hash is below the number of heads, and masked places below the window.
        let head = &mut self.heads[hash as usize];
        let before = *head;
        self.previous[at & mask] = before;
        *head = u32::try_from(at).unwrap_or(0);
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
