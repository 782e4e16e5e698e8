//! How likely a decision is in one context.

/// A counter for contexts that are few: 22 bits of probability, 10 bits that count how often it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fine(u32);

impl Fine {
    /// A context that was never seen.
    pub(crate) const NEW: Fine = Fine::of(1 << 15);

    /// Returns a counter that was never seen and has a probability, in 65,536, to begin with.
    pub(crate) const fn of(probability: u32) -> Fine {
        Fine(probability << 16)
    }

    /// Returns the probability in 65,536.
    #[inline]
    pub(crate) fn probability(self) -> u32 {
        self.0 >> 16
    }

    /// Whether no decision was seen yet.
    #[inline]
    pub(crate) fn is_new(self) -> bool {
        self.0 & COUNT == 0
    }

    /// Learns of a decision; a counter that has seen `most` moves by one in so many and a half.
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "what it moves by has the 22 bits of a probability"
    )]
    pub(crate) fn learn(&mut self, bit: bool, most: u32) {
        let seen = self.0 & COUNT;
        let probability = (self.0 >> 10).cast_signed();
        let target = if bit { PROBABLE } else { 0 };
        let moved = (i64::from(target - probability)
            * i64::from(SHARES[seen as usize % SHARES.len()]))
            >> 16;
        let moved = probability + moved as i32;
        self.0 = moved.cast_unsigned() << 10 | (seen + u32::from(seen < most));
    }
}

/// A counter for contexts that are many: 12 bits of probability, 4 bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quick(pub(crate) u16);

impl Quick {
    pub(crate) const NEW: Quick = Quick(0x8000);

    #[inline]
    pub(crate) fn seen(self) -> u16 {
        self.0 & 15
    }

    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 4095, like what it moves between"
    )]
    pub(crate) fn learn(&mut self, bit: bool) {
        let seen = self.0 & 15;
        let probability = i32::from(self.0 >> 4);
        let target = if bit { 4095 } else { 0 };
        let moved = probability
            + (((target - probability) * QUICK_SHARES[usize::from(seen)] + 0x8000) >> 16);
        self.0 = (moved as u16) << 4 | (seen + u16::from(seen < 15));
    }
}

const COUNT: u32 = (1 << 10) - 1;
const PROBABLE: i32 = (1 << 22) - 1;
static SHARES: [u32; 1024] = shares();
static QUICK_SHARES: [i32; 16] = quick_shares();

/// Computes 65536 / (seen + 1.6).
const fn shares() -> [u32; 1024] {
    let mut table = [0; 1024];
    let mut seen = 0;
    while seen < 1024 {
        table[seen as usize] = 655_360 / (10 * seen + 16);
        seen += 1;
    }
    table
}

const fn quick_shares() -> [i32; 16] {
    let mut table = [0; 16];
    let mut seen = 0;
    while seen < 16 {
        table[seen as usize] = 655_360 / (10 * seen + 16);
        seen += 1;
    }
    table
}
