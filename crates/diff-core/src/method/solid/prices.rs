use super::distances::Kind;

/// What a parser takes the coding of each step to cost, in 256ths of a bit.
#[derive(Debug, Clone)]
pub(crate) struct Prices {
    /// Of telling that a literal follows so many literals since the last copy.
    literal: [u32; SINCE],
    /// Of telling that a copy follows so many literals.
    copy: [u32; SINCE],
    /// Of a literal's byte.
    bytes: [u32; 256],
    /// Of a literal's byte that the last distance predicts.
    predicted: u32,
    /// Of telling a copy's kind.
    kinds: [u32; 6],
    /// Of a length, by the kind and the bits that it has.
    lengths: [[u32; LENGTH_BITS]; 6],
}

impl Prices {
    /// What one bit costs.
    pub(crate) const BIT: u32 = 256;

    /// Returns what holds for most content.
    pub(crate) fn standard() -> Prices {
        let mut bytes = [6 * Prices::BIT; 256];
        for (byte, price) in (0_u8..=255).zip(&mut bytes) {
            *price = match byte {
                b' ' | b'a' | b'e' | b'i' | b'n' | b'o' | b'r' | b's' | b't' => 1000,
                b'a'..=b'z' | b'0'..=b'9' | b'"' | b'<' | b'>' | b'=' | b'.' | b'\n' => 1150,
                0 | b' '..=b'~' => 1300,
                _ => 1650,
            };
        }
        let mut lengths = [[0; LENGTH_BITS]; 6];
        for (kind, prices) in lengths.iter_mut().enumerate() {
            for (bits, price) in (0_u32..).zip(prices.iter_mut()) {
                // An aligned copy is often long, a far one seldom.
                let expected: u32 = if kind <= ALIGNED_LAST { 5 } else { 3 };
                *price = 450 + 110 * bits.abs_diff(expected) + 200 * bits;
            }
        }
        Prices {
            literal: [300, 130, 110, 100, 90, 80, 70, 60],
            copy: [250, 500, 600, 650, 700, 750, 800, 850],
            bytes,
            predicted: 600,
            kinds: [350, 700, 900, 1000, 500, 500],
            lengths,
        }
    }

    /// Returns the price of a literal that stands behind so many others since the last copy, where the
    /// last distance predicts `predicted`.
    #[inline]
    pub(crate) fn literal(&self, byte: u8, predicted: u8, literals: usize) -> u32 {
        let told = self.literal[literals.min(SINCE - 1)];
        // The byte behind a copy is not the predicted one: else the copy would be longer.
        let price = if byte == predicted && literals > 0 {
            self.predicted.min(self.bytes[usize::from(byte)])
        } else {
            self.bytes[usize::from(byte)]
        };
        told + price
    }

    /// Returns the price of telling that a copy follows so many literals, and its distance.
    #[inline]
    pub(crate) fn start(&self, kind: Kind, literals: usize) -> u32 {
        let distance = match kind {
            Kind::Aligned | Kind::Resumed | Kind::Foreseen => 0,
            Kind::Near { by } => 2 * Prices::BIT + number(by.unsigned_abs() as u64),
            Kind::Recent(_) => 350,
            Kind::Far { distance } => 1400 + (distance.max(1).ilog2() * Prices::BIT),
        };
        self.copy[literals.min(SINCE - 1)] + self.kinds[place(kind)] + distance
    }

    /// Returns the price of a copy's length, which is never 0.
    #[inline]
    pub(crate) fn length(&self, kind: Kind, length: usize) -> u32 {
        let bits = length.max(1).ilog2() as usize;
        self.lengths[place(kind)][bits.min(LENGTH_BITS - 1)]
    }
}

/// Returns the number of a kind.
const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Aligned => 0,
        Kind::Resumed => 1,
        Kind::Near { .. } => 2,
        Kind::Recent(_) => 3,
        Kind::Far { .. } => 4,
        Kind::Foreseen => 5,
    }
}

/// Returns about what a number costs that is small more often than large.
const fn number(value: u64) -> u32 {
    let bits = if value == 0 { 0 } else { value.ilog2() };
    (bits + bits / 2 + 1) * Prices::BIT
}

/// As many literals as make a difference.
const SINCE: usize = 8;
const LENGTH_BITS: usize = 40;
/// The last kind that goes on with an alignment.
const ALIGNED_LAST: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_copy_is_cheaper_than_its_bytes() {
        let prices = Prices::standard();
        let distance = 20_000_000;
        let copy =
            prices.start(Kind::Far { distance }, 3) + prices.length(Kind::Far { distance }, 16);
        assert!(copy < 16 * prices.literal(b'e', b'x', 3));
        assert!(prices.start(Kind::Aligned, 1) < prices.start(Kind::Near { by: 40 }, 1));
    }
}
