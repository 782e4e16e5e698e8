use super::bits::BitReader;
use crate::DeltaError;

/// A Huffman code for reading.
pub(super) struct Decoder {
    /// By the next [`QUICK_BITS`] bits: symbol × 16 + length, or 0 where the code is longer.
    quick: Vec<u16>,
    /// The number of codes of each length.
    counts: [u16; MAX_BITS + 1],
    /// The symbols in the order of their codes.
    symbols: Vec<u16>,
}

impl Decoder {
    /// Returns the code of symbols with these lengths; `None` when there is no such code. A code may
    /// leave bits that stand for nothing.
    pub(super) fn new(lengths: &[u8]) -> Option<Decoder> {
        let mut counts = [0_u16; MAX_BITS + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        let mut left = 1_i32;
        for count in counts.iter().skip(1) {
            left = 2 * left - i32::from(*count);
            if left < 0 {
                return None;
            }
        }
        let codes = codes(lengths)?;
        let mut order: Vec<(u8, u16)> = Vec::with_capacity(lengths.len());
        let mut quick = vec![0_u16; 1 << QUICK_BITS];
        for (symbol, (code, length)) in codes.iter().zip(lengths).enumerate() {
            if *length == 0 {
                continue;
            }
            let symbol = u16::try_from(symbol).ok()?;
            order.push((*length, symbol));
            if u32::from(*length) <= QUICK_BITS {
                let mut at = *code as usize;
                while let Some(entry) = quick.get_mut(at) {
                    *entry = symbol << 4 | u16::from(*length);
                    at += 1 << length;
                }
            }
        }
        order.sort_unstable();
        Some(Decoder {
            quick,
            counts,
            symbols: order.into_iter().map(|(_, symbol)| symbol).collect(),
        })
    }

    /// Reads one symbol.
    ///
    /// # Errors
    ///
    /// Fails when the bits end, or stand for nothing.
    #[inline]
    pub(super) fn read(&self, bits: &mut BitReader<'_>) -> Result<usize, DeltaError> {
        let next = bits.peek();
        let entry = self
            .quick
            .get(usize::try_from(next & ((1 << QUICK_BITS) - 1)).unwrap_or(0))
            .copied()
            .unwrap_or(0);
        if entry != 0 {
            bits.skip(u32::from(entry & 15))?;
            return Ok(usize::from(entry >> 4));
        }
        let (mut code, mut first, mut index) = (0_u64, 0_u64, 0_u64);
        for length in 1..=MAX_BITS {
            code |= next >> (length - 1) & 1;
            let count = u64::from(self.counts.get(length).copied().unwrap_or(0));
            if code < first + count {
                bits.skip(u32::try_from(length).unwrap_or(32))?;
                let at = usize::try_from(index + code - first).unwrap_or(usize::MAX);
                let symbol = self.symbols.get(at);
                return symbol
                    .map(|symbol| usize::from(*symbol))
                    .ok_or_else(|| bits.error("has a code that stands for nothing"));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(bits.error("has a code that stands for nothing"))
    }
}

/// Returns the code of each symbol, its bits in the order in which they are written; `None` when a
/// length is too long.
pub(super) fn codes(lengths: &[u8]) -> Option<Vec<u32>> {
    let mut next = [0_u32; MAX_BITS + 2];
    for length in lengths {
        if *length > 0 {
            *next.get_mut(usize::from(*length) + 1)? += 1;
        }
    }
    let mut code = 0_u32;
    for entry in &mut next {
        code = (code + *entry) << 1;
        *entry = code;
    }
    let mut codes = Vec::with_capacity(lengths.len());
    for length in lengths {
        if *length == 0 {
            codes.push(0);
            continue;
        }
        let entry = next.get_mut(usize::from(*length))?;
        codes.push((*entry).reverse_bits() >> (32 - u32::from(*length)));
        *entry += 1;
    }
    Some(codes)
}

const QUICK_BITS: u32 = 10;
/// The longest code.
pub(super) const MAX_BITS: usize = 15;
