use super::decisions::Decisions;
use super::vicinity::Vicinity;
use crate::entropy::Coder;
use crate::mixing::hash;

/// Pixels of one byte that are none of those beside them, half by half.
pub(super) struct Symbols(Decisions<5>);

impl Symbols {
    pub(super) fn new() -> Symbols {
        Symbols(Decisions::new([HALF_BITS + 4; 5], 17 * 16))
    }

    /// Codes a byte, or reads and returns another. `hashes` are those of its vicinity.
    #[inline]
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        byte: u8,
        around: &Vicinity,
        [two, four, _]: [u32; 3],
    ) -> u8 {
        let [west, north, far_west] = [around.west, around.north, around.far_west]
            .map(|pixel| u32::try_from(pixel).unwrap_or(0));
        let contexts = [
            hash(7, west, 0),
            hash(8, north, 0),
            two,
            four,
            hash(9, west, far_west),
        ];
        let mut half = |half: u8, place: usize| {
            let salt = u32::try_from(place).unwrap_or(0);
            let slots = contexts.map(|context| {
                let slot = hash(10, context, salt) >> (u32::BITS - HALF_BITS);
                (slot as usize) << 4
            });
            let mut node = 1;
            for bit in (0..4).rev() {
                let contexts = slots.map(|slot| slot | node);
                let set = half >> bit & 1 == 1;
                let set = self.0.code(coder, set, contexts, place << 4 | node);
                node = node << 1 | usize::from(set);
            }
            node & 15
        };
        let high = half(byte >> 4, 0);
        let low = half(byte, 1 + high);
        u8::try_from(high << 4 | low).unwrap_or(0)
    }
}

/// Halves of bytes have 2^this slots for each of their contexts.
const HALF_BITS: u32 = 13;
