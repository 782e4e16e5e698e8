//! Symbols to bytes and back, by probabilities that both sides share: a range coder. Integers only: the
//! same bytes decode to the same symbols on every machine.

/// Where symbols are written to or read from.
pub(crate) trait Coder {
    /// Writes `bit`, or reads and returns another: set with a probability of `set` in [`WHOLE`]; never
    /// none and never all.
    fn bit(&mut self, bit: bool, set: u32) -> bool;

    /// Writes one of sixteen symbols, or reads and returns another: the share of each starts at one of
    /// these places in 32,768, which rise, the first of them at 0.
    fn symbol(&mut self, symbol: usize, starts: &[i16; SYMBOLS]) -> usize;

    /// Writes the lowest bits of a number, 16 at most, or reads and returns others.
    fn plain(&mut self, value: usize, bits: u32) -> usize;

    /// Does the same for up to 32 bits.
    #[inline]
    fn long(&mut self, value: usize, bits: u32) -> usize {
        let low = bits.min(16);
        let high = match bits - low {
            0 => 0,
            more => self.plain(value >> low, more),
        };
        high << low | self.plain(value, low)
    }
}

/// Writes symbols.
pub(crate) struct BitEncoder {
    /// Where the interval of what was encoded starts, less what was written of it.
    low: u64,
    /// How wide it is.
    range: u64,
    bytes: Vec<u8>,
}

impl BitEncoder {
    /// Returns an encoder of nothing yet.
    pub(crate) fn new() -> BitEncoder {
        BitEncoder {
            low: 0,
            range: u64::MAX,
            bytes: Vec::new(),
        }
    }

    #[inline]
    fn encode(&mut self, bit: bool, set: u32) {
        let part = (self.range >> PROBABILITY_BITS) * u64::from(set);
        if bit {
            self.range = part;
        } else {
            self.raise(part);
            self.range -= part;
        }
        self.normalise();
    }

    #[inline]
    fn encode_share(&mut self, start: u32, share: u32, bits: u32) {
        let one = self.range >> bits;
        self.raise(one * u64::from(start));
        self.range = one * u64::from(share);
        self.normalise();
    }

    #[inline]
    fn raise(&mut self, by: u64) {
        let (low, carried) = self.low.overflowing_add(by);
        self.low = low;
        if carried {
            self.carry();
        }
    }

    #[cold]
    fn carry(&mut self) {
        for byte in self.bytes.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }

    #[inline]
    fn normalise(&mut self) {
        if self.range < NARROW {
            let [a, b, c, d, ..] = self.low.to_be_bytes();
            self.bytes.extend([a, b, c, d]);
            self.low <<= 32;
            self.range <<= 32;
        }
    }

    /// Returns how many bits were written so far, those included that no whole byte has yet.
    pub(crate) fn bits(&self) -> u64 {
        8 * self.bytes.len() as u64 + u64::from(self.range.leading_zeros())
    }

    /// Returns the bytes, as few as decode to what was encoded: behind their end a decoder reads zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let last = u128::from(self.low) + u128::from(self.range) - 1;
        for kept in 0..=8_u32 {
            let mask = u64::MAX.checked_shr(8 * kept).unwrap_or(0);
            let rounded = (u128::from(self.low) + u128::from(mask)) & !u128::from(mask);
            if rounded <= last {
                if rounded > u128::from(u64::MAX) {
                    self.carry();
                }
                let bytes = rounded.to_be_bytes();
                let (_, bytes) = bytes.split_at(8);
                let kept = usize::try_from(kept).unwrap_or(bytes.len());
                self.bytes.extend(bytes.iter().take(kept));
                break;
            }
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

/// Reads the symbols that a [`BitEncoder`] wrote. Bytes that no encoder wrote give some symbols as well:
/// whoever asks bounds how many.
pub(crate) struct BitDecoder<'a> {
    /// Where in the interval the value of the bytes lies.
    value: u64,
    range: u64,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitDecoder<'a> {
    /// Returns a decoder of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> BitDecoder<'a> {
        let mut decoder = BitDecoder {
            value: 0,
            range: u64::MAX,
            bytes,
            at: 0,
        };
        decoder.shift_in();
        decoder.shift_in();
        decoder
    }

    #[inline]
    fn decode(&mut self, set: u32) -> bool {
        let part = (self.range >> PROBABILITY_BITS) * u64::from(set);
        let bit = self.value < part;
        if bit {
            self.range = part;
        } else {
            self.value -= part;
            self.range -= part;
        }
        self.normalise();
        bit
    }

    /// Returns the place of the next symbol among 2^`bits`.
    #[inline]
    fn place(&self, bits: u32) -> u32 {
        let place = self.value / (self.range >> bits);
        u32::try_from(place)
            .unwrap_or(u32::MAX)
            .min((1 << bits) - 1)
    }

    #[inline]
    fn take_share(&mut self, start: u32, share: u32, bits: u32) {
        let one = self.range >> bits;
        self.value = self.value.wrapping_sub(one * u64::from(start));
        self.range = one * u64::from(share);
        self.normalise();
    }

    /// Whether no byte is left over: all were read, or could still have a part in what was decoded.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    fn normalise(&mut self) {
        if self.range < NARROW {
            self.range <<= 32;
            self.shift_in();
        }
    }

    #[inline]
    fn shift_in(&mut self) {
        let next = self.bytes.get(self.at..).unwrap_or(&[]);
        let next = match next.first_chunk::<4>() {
            Some(next) => *next,
            None => std::array::from_fn(|place| next.get(place).copied().unwrap_or(0)),
        };
        self.at += 4;
        self.value = self.value << 32 | u64::from(u32::from_be_bytes(next));
    }
}

impl Coder for BitEncoder {
    #[inline]
    fn bit(&mut self, bit: bool, set: u32) -> bool {
        self.encode(bit, set);
        bit
    }

    #[inline]
    fn symbol(&mut self, symbol: usize, starts: &[i16; SYMBOLS]) -> usize {
        let (start, share) = share(symbol, starts);
        self.encode_share(start, share, SHARE_BITS);
        symbol
    }

    #[inline]
    fn plain(&mut self, value: usize, bits: u32) -> usize {
        let value = value & ((1 << bits) - 1);
        self.encode_share(u32::try_from(value).unwrap_or(0), 1, bits);
        value
    }
}

impl Coder for BitDecoder<'_> {
    #[inline]
    fn bit(&mut self, _bit: bool, set: u32) -> bool {
        self.decode(set)
    }

    #[inline]
    fn symbol(&mut self, _symbol: usize, starts: &[i16; SYMBOLS]) -> usize {
        // Below 32,768.
        let place = i16::try_from(self.place(SHARE_BITS)).unwrap_or(i16::MAX);
        let behind = starts
            .iter()
            .skip(1)
            .map(|start| i16::from(*start <= place));
        let symbol = usize::try_from(behind.sum::<i16>()).unwrap_or(0);
        let (start, share) = share(symbol, starts);
        self.take_share(start, share, SHARE_BITS);
        symbol
    }

    #[inline]
    fn plain(&mut self, _value: usize, bits: u32) -> usize {
        let value = self.place(bits);
        self.take_share(value, 1, bits);
        value as usize
    }
}

/// Returns where the share of a symbol starts, and how wide it is.
#[inline]
fn share(symbol: usize, starts: &[i16; SYMBOLS]) -> (u32, u32) {
    let start = starts[symbol % SYMBOLS];
    let end = starts
        .get(symbol + 1)
        .map_or(1 << SHARE_BITS, |end| u32::from(end.cast_unsigned()));
    let start = u32::from(start.cast_unsigned());
    (start, end - start)
}

/// How many symbols there are where there are more than two.
pub(crate) const SYMBOLS: usize = 16;
const SHARE_BITS: u32 = 15;
/// A range below this is widened.
const NARROW: u64 = 1 << 32;
/// The bits of a probability.
pub(crate) const PROBABILITY_BITS: u32 = 16;
/// The probability of what is certain, which no decision may have.
#[cfg(test)]
pub(crate) const WHOLE: u32 = 1 << PROBABILITY_BITS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decisions_come_back(decisions in prop::collection::vec((any::<bool>(), 1..WHOLE), 0..2000)) {
            let mut encoder = BitEncoder::new();
            for (bit, set) in &decisions {
                encoder.bit(*bit, *set);
            }
            let bytes = encoder.finish();
            let mut decoder = BitDecoder::new(&bytes);
            for (bit, set) in &decisions {
                prop_assert_eq!(decoder.bit(false, *set), *bit);
            }
            prop_assert!(decoder.is_at_end());
        }

        #[test]
        fn any_bytes_decode_to_something(bytes: Vec<u8>, probabilities in prop::collection::vec(1..WHOLE, 0..500)) {
            let mut decoder = BitDecoder::new(&bytes);
            for set in probabilities {
                decoder.bit(false, set);
            }
        }
    }

    #[test]
    fn likely_decisions_cost_little() {
        let mut encoder = BitEncoder::new();
        for _ in 0..100_000 {
            encoder.bit(true, WHOLE - 1);
        }
        assert!(encoder.finish().len() <= 1);
    }
}
