use crate::entropy::{BitDecoder, BitEncoder};

/// Takes or gives decisions.
pub(super) trait Decisions {
    /// Codes one decision, which is `bit` where it is known already, and returns it; `set` is the
    /// probability of `true` in 65,536.
    fn code(&mut self, bit: bool, set: u32) -> bool;
}

impl Decisions for BitEncoder {
    #[inline]
    fn code(&mut self, bit: bool, set: u32) -> bool {
        self.encode(bit, set);
        bit
    }
}

impl Decisions for BitDecoder<'_> {
    #[inline]
    fn code(&mut self, _bit: bool, set: u32) -> bool {
        self.decode(set)
    }
}

/// Lets a model learn of decisions that are known to both sides.
pub(super) struct Known;

impl Decisions for Known {
    #[inline]
    fn code(&mut self, bit: bool, _set: u32) -> bool {
        bit
    }
}
