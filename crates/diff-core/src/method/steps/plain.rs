//! What the slow, short decoders of all methods share: written from the format's documents alone, to
//! check the fast ones.

/// Reads what a range coder wrote, as the page on the range coder says.
pub(crate) struct PlainCoder<'a> {
    bytes: &'a [u8],
    taken: usize,
    range: u128,
    value: u128,
}

impl<'a> PlainCoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> PlainCoder<'a> {
        let mut coder = PlainCoder {
            bytes,
            taken: 0,
            range: (1 << 64) - 1,
            value: 0,
        };
        for _ in 0..8 {
            coder.take();
        }
        coder
    }

    pub(crate) fn bit(&mut self, probability: u32) -> bool {
        let part = self.range / 65_536 * u128::from(probability);
        let bit = self.value < part;
        if bit {
            self.range = part;
        } else {
            self.value -= part;
            self.range -= part;
        }
        self.widen();
        bit
    }

    /// Returns a symbol, of which each starts at one of these places in 32,768.
    pub(crate) fn symbol(&mut self, starts: &[i64]) -> usize {
        let one = self.range / 32_768;
        let place = i64::try_from((self.value / one).min(32_767)).unwrap();
        let symbol = starts.iter().rposition(|start| *start <= place).unwrap();
        let end = starts.get(symbol + 1).copied().unwrap_or(32_768);
        self.value -= one * u128::try_from(starts[symbol]).unwrap();
        self.range = one * u128::try_from(end - starts[symbol]).unwrap();
        self.widen();
        symbol
    }

    /// Returns a number of so many bits.
    pub(crate) fn plain(&mut self, bits: usize) -> usize {
        if bits > 16 {
            return self.plain(bits - 16) * 65_536 + self.plain(16);
        }
        let one = self.range / (1 << bits);
        let number = (self.value / one).min((1 << bits) - 1);
        self.value -= one * number;
        self.range = one;
        self.widen();
        usize::try_from(number).unwrap()
    }

    /// Whether all bytes were taken.
    pub(crate) fn is_at_end(&self) -> bool {
        self.taken >= self.bytes.len()
    }

    fn widen(&mut self) {
        if self.range < 1 << 32 {
            self.range <<= 32;
            for _ in 0..4 {
                self.take();
            }
        }
    }

    fn take(&mut self) {
        let byte = self.bytes.get(self.taken).copied().unwrap_or(0);
        self.taken += 1;
        self.value = (self.value << 8 | u128::from(byte)) & 0xffff_ffff_ffff_ffff;
    }
}

/// The history, its guesses, and the last distances, as the page on the method solid says.
pub(crate) struct PlainHistory {
    pub(crate) all: Vec<u8>,
    guesses: Vec<[usize; 2]>,
    guess_bits: u32,
    pub(crate) distances: [usize; 4],
}

impl PlainHistory {
    pub(crate) fn new(reference: &[u8], length: usize) -> PlainHistory {
        let whole = (reference.len() + length).max(1);
        let guess_bits = (usize::BITS - whole.leading_zeros()).clamp(10, 18);
        let mut history = PlainHistory {
            all: Vec::new(),
            guesses: vec![[0; 2]; 1 << guess_bits],
            guess_bits,
            distances: [reference.len().max(1), 1, 2, 4],
        };
        // Only the last 2 MiB of the reference are noted.
        let (before, noted) = reference.split_at(reference.len().saturating_sub(2_097_152));
        history.all.extend_from_slice(before);
        for byte in noted {
            history.append(*byte);
        }
        history
    }

    pub(crate) fn back(&self, distance: usize) -> u8 {
        let place = self.all.len().checked_sub(distance);
        let byte = place.and_then(|place| self.all.get(place));
        byte.copied().unwrap_or(0)
    }

    /// Appends a byte, and notes its place as what follows the bytes before it.
    pub(crate) fn append(&mut self, byte: u8) {
        let place = self.all.len();
        let key = self.key(place);
        self.guesses[key] = [place, self.guesses[key][0]];
        self.all.push(byte);
    }

    fn key(&self, place: usize) -> usize {
        let mut bytes = 0_u64;
        for before in (1..=5).rev() {
            let byte = place.checked_sub(before).map_or(0, |place| self.all[place]);
            bytes = bytes << 8 | u64::from(byte);
        }
        let key = bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.guess_bits);
        usize::try_from(key).unwrap()
    }

    /// Returns the distance of the guess, and how many bytes are the same; zeros without one.
    pub(crate) fn guess(&self) -> (usize, usize) {
        let end = self.all.len();
        for place in self.guesses[self.key(end)] {
            let distance = end - place;
            if place > 0 && distance > 0 && distance != self.distances[0] {
                let same = (1..=16)
                    .take_while(|before| self.back(distance + before) == self.back(*before))
                    .count();
                if same >= 4 {
                    return (distance, same);
                }
            }
        }
        (0, 0)
    }

    /// Appends what a copy makes, of at most so many bytes that are left, and returns it; nothing where
    /// the copy is refused.
    pub(crate) fn copy(&mut self, length: usize, distance: usize, left: usize) -> Option<&[u8]> {
        let start = self.all.len();
        if distance == 0 || distance > start || length > left {
            return None;
        }
        for _ in 0..length {
            self.append(self.back(distance));
        }
        let place = self.distances.iter().position(|known| *known == distance);
        self.distances[..=place.unwrap_or(3)].rotate_right(1);
        self.distances[0] = distance;
        Some(&self.all[start..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::{BitDecoder, BitEncoder, Coder, SYMBOLS};

    #[test]
    fn the_example_of_the_range_coder_is_what_it_says() {
        let bits = [(true, 60_000), (false, 1000), (true, 20_000)];
        let starts: [i16; SYMBOLS] = std::array::from_fn(|at| 2048 * i16::try_from(at).unwrap());
        let mut encoder = BitEncoder::new();
        for (bit, probability) in bits {
            encoder.bit(bit, probability);
        }
        encoder.symbol(11, &starts);
        encoder.long(777_777, 20);
        encoder.plain(4321, 13);
        let bytes = encoder.finish();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let document = include_str!("../../../../../docs/src/formats/range-coder.md");
        assert!(document.contains(&format!("\n{hex}\n")), "{hex}");
        let mut decoder = PlainCoder::new(&bytes);
        assert_eq!(
            bits.map(|(_, probability)| decoder.bit(probability)),
            bits.map(|(bit, _)| bit)
        );
        assert_eq!(decoder.symbol(&starts.map(i64::from)), 11);
        assert_eq!(decoder.plain(20), 777_777);
        assert_eq!(decoder.plain(13), 4321);
        assert!(decoder.is_at_end());
    }

    /// What is asked of a coder, and what a writer says to it.
    #[derive(Debug, Clone)]
    enum Asked {
        Bit(bool, u32),
        Symbol(usize, [i16; SYMBOLS]),
        Plain(usize, u32),
    }

    fn asked() -> impl Strategy<Value = Asked> {
        let starts = prop::collection::btree_set(1_i16..=i16::MAX, SYMBOLS - 1);
        let starts = starts.prop_map(|rising| {
            let mut starts = [0; SYMBOLS];
            for (start, place) in starts.iter_mut().skip(1).zip(rising) {
                *start = place;
            }
            starts
        });
        // Narrow shares at either end, too.
        let narrow = prop_oneof![
            Just(std::array::from_fn(|at| i16::try_from(at).unwrap())),
            Just(std::array::from_fn(|at| match i16::try_from(at).unwrap() {
                0 => 0,
                at => i16::MAX - 15 + at,
            })),
        ];
        let probability = prop_oneof![Just(1), Just(65_535), 1..65_536_u32];
        prop_oneof![
            (any::<bool>(), probability).prop_map(|(bit, set)| Asked::Bit(bit, set)),
            (0..SYMBOLS, prop_oneof![starts, narrow])
                .prop_map(|(symbol, all)| Asked::Symbol(symbol, all)),
            (0..=32_u32, any::<u32>()).prop_map(|(bits, value)| {
                let kept = u64::from(value) & ((1 << bits) - 1);
                Asked::Plain(usize::try_from(kept).unwrap(), bits)
            }),
        ]
    }

    /// Returns what a coder makes of what it is asked.
    fn told<C: Coder>(coder: &mut C, asked: &Asked) -> usize {
        match asked {
            Asked::Bit(bit, set) => coder.bit(*bit, *set).into(),
            Asked::Symbol(symbol, starts) => coder.symbol(*symbol, starts),
            Asked::Plain(value, bits) => coder.long(*value, *bits),
        }
    }

    fn told_plainly(coder: &mut PlainCoder<'_>, asked: &Asked) -> usize {
        match asked {
            Asked::Bit(_, set) => coder.bit(*set).into(),
            Asked::Symbol(_, starts) => coder.symbol(&starts.map(i64::from)),
            Asked::Plain(_, bits) => coder.plain(usize::try_from(*bits).unwrap()),
        }
    }

    proptest! {
        #[test]
        fn what_is_coded_comes_back_plainly(asked in prop::collection::vec(asked(), 0..500)) {
            let mut encoder = BitEncoder::new();
            let written: Vec<usize> = asked.iter().map(|one| told(&mut encoder, one)).collect();
            let bytes = encoder.finish();
            let (mut fast, mut slow) = (BitDecoder::new(&bytes), PlainCoder::new(&bytes));
            for (one, written) in asked.iter().zip(written) {
                prop_assert_eq!(told(&mut fast, one), written);
                prop_assert_eq!(told_plainly(&mut slow, one), written);
            }
            prop_assert!(fast.is_at_end() && slow.is_at_end());
        }

        #[test]
        fn any_bytes_are_read_alike(bytes: Vec<u8>, high: u8, asked in prop::collection::vec(asked(), 0..500)) {
            // Values at the end of the range are what no writer makes.
            let bytes = [vec![u8::MAX; usize::from(high % 32)], bytes].concat();
            let (mut fast, mut slow) = (BitDecoder::new(&bytes), PlainCoder::new(&bytes));
            for one in &asked {
                prop_assert_eq!(told(&mut fast, one), told_plainly(&mut slow, one));
                prop_assert_eq!(fast.is_at_end(), slow.is_at_end());
            }
        }
    }
}
