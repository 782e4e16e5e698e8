//! Binary decisions to bytes and back, by probabilities that both sides share. Integers only: the same
//! bytes decode to the same decisions on every machine.

/// Writes decisions.
pub(crate) struct BitEncoder {
    low: u32,
    high: u32,
    bytes: Vec<u8>,
}

impl BitEncoder {
    /// Returns an encoder of nothing yet.
    pub(crate) fn new() -> BitEncoder {
        BitEncoder {
            low: 0,
            high: u32::MAX,
            bytes: Vec::new(),
        }
    }

    /// Appends `bit`, which is set with a probability of `set` in [`WHOLE`]; never none and never all.
    pub(crate) fn encode(&mut self, bit: bool, set: u32) {
        let middle = middle(self.low, self.high, set);
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            let [top, ..] = self.high.to_be_bytes();
            self.bytes.push(top);
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
        }
    }

    /// Returns how many bits were written so far, those included that no whole byte has yet.
    pub(crate) fn bits(&self) -> u64 {
        let settled = u32::BITS
            - (self.high - self.low)
                .checked_ilog2()
                .map_or(0, |log| log + 1);
        8 * self.bytes.len() as u64 + u64::from(settled)
    }

    /// Returns the bytes, as few as decode to what was encoded: behind their end a decoder reads zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for kept in 0..=4_u32 {
            let mask = u32::MAX.checked_shr(8 * kept).unwrap_or(0);
            let rounded = (u64::from(self.low) + u64::from(mask)) & !u64::from(mask);
            if rounded <= u64::from(self.high) {
                let [_, _, _, _, rounded @ ..] = rounded.to_be_bytes();
                let kept = usize::try_from(kept).unwrap_or(rounded.len());
                self.bytes.extend(rounded.iter().take(kept));
                break;
            }
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

/// Reads the decisions that a [`BitEncoder`] wrote. Bytes that no encoder wrote give some decisions as
/// well: whoever asks bounds how many.
pub(crate) struct BitDecoder<'a> {
    low: u32,
    high: u32,
    value: u32,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitDecoder<'a> {
    /// Returns a decoder of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> BitDecoder<'a> {
        let mut decoder = BitDecoder {
            low: 0,
            high: u32::MAX,
            value: 0,
            bytes,
            at: 0,
        };
        for _ in 0..4 {
            decoder.shift_in();
        }
        decoder
    }

    /// Returns the next decision, given the probability that it was encoded with.
    #[inline]
    pub(crate) fn decode(&mut self, set: u32) -> bool {
        let middle = middle(self.low, self.high, set);
        let bit = self.value <= middle;
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
            self.shift_in();
        }
        bit
    }

    /// Whether no byte is left over: all were read, or could still have a part in what was decoded.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    fn shift_in(&mut self) {
        let next = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        self.value = self.value << 8 | u32::from(next);
    }
}

/// Returns the last value of those that stand for a set bit.
#[inline]
fn middle(low: u32, high: u32, set: u32) -> u32 {
    let part = (u64::from(high - low) * u64::from(set)) >> PROBABILITY_BITS;
    // Below `high - low`, since `set` is below the whole.
    low + u32::try_from(part).unwrap_or(0)
}

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
                encoder.encode(*bit, *set);
            }
            let bytes = encoder.finish();
            let mut decoder = BitDecoder::new(&bytes);
            for (bit, set) in &decisions {
                prop_assert_eq!(decoder.decode(*set), *bit);
            }
            prop_assert!(decoder.is_at_end());
        }

        #[test]
        fn any_bytes_decode_to_something(bytes: Vec<u8>, probabilities in prop::collection::vec(1..WHOLE, 0..500)) {
            let mut decoder = BitDecoder::new(&bytes);
            for set in probabilities {
                decoder.decode(set);
            }
        }
    }

    #[test]
    fn likely_decisions_cost_little() {
        let mut encoder = BitEncoder::new();
        for _ in 0..100_000 {
            encoder.encode(true, WHOLE - 1);
        }
        assert!(encoder.finish().len() <= 1);
    }
}
