//! Deflate streams (RFC 1951) as blocks and tokens: read, written again bit by bit, and made the way
//! that zlib makes them.

mod bits;
mod blocks;
mod chains;
mod huffman;
mod longest;
mod parser;
mod reader;
mod settings;
pub(crate) mod tree;
mod writer;

pub(crate) use blocks::{BlockCounts, Compressor, Made, compress};
pub(crate) use chains::{Chains, Hash, match_length};
pub(crate) use parser::Held;
pub(crate) use reader::{Block, BlockKind, Reader, Trees};
pub(crate) use settings::{Flavour, Settings, Strategy};
pub(crate) use writer::Writer;

/// One step of a stream: a literal, or a match of earlier bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token(u32);

impl Token {
    /// Returns the token of one byte as it is.
    pub(crate) fn literal(byte: u8) -> Token {
        Token(u32::from(byte))
    }

    /// Returns the token of `length` bytes that also stand `distance` bytes earlier: 3 to 258, and 1 to
    /// 32768.
    pub(crate) fn matched(length: usize, distance: usize) -> Token {
        let length = u32::try_from(length).unwrap_or(0) & 0xffff;
        let distance = u32::try_from(distance).unwrap_or(0) & 0xffff;
        Token(distance << 16 | length)
    }

    /// Returns how far back the match is, or 0 for a literal.
    #[inline]
    pub(crate) fn distance(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// Returns the number of bytes that the token stands for.
    #[inline]
    pub(crate) fn length(self) -> usize {
        if self.is_literal() {
            1
        } else {
            (self.0 & 0xffff) as usize
        }
    }

    /// Whether the token is a literal.
    #[inline]
    pub(crate) fn is_literal(self) -> bool {
        self.0 >> 16 == 0
    }

    /// Returns the byte of a literal.
    #[inline]
    pub(crate) fn byte(self) -> u8 {
        let [byte, ..] = self.0.to_le_bytes();
        byte
    }
}

/// The shortest match.
pub(crate) const MIN_MATCH: usize = 3;
/// The longest match.
pub(crate) const MAX_MATCH: usize = 258;
/// The farthest match.
pub(crate) const MAX_DISTANCE: usize = 32768;
/// The symbol that ends a block.
pub(crate) const END_OF_BLOCK: usize = 256;
/// The most symbols of the literal and length code.
pub(crate) const LITERAL_SYMBOLS: usize = 286;
/// The most symbols of the distance code.
pub(crate) const DISTANCE_SYMBOLS: usize = 30;
/// The symbols of the code that code lengths are written with.
pub(crate) const META_SYMBOLS: usize = 19;
/// The order in which the lengths of that code are written.
pub(crate) const META_ORDER: [usize; META_SYMBOLS] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];
/// The shortest length of each length symbol.
pub(crate) const LENGTH_BASE: [usize; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
/// The extra bits of each length symbol.
pub(crate) const LENGTH_EXTRA: [u8; 29] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
/// The shortest distance of each distance symbol.
pub(crate) const DISTANCE_BASE: [usize; DISTANCE_SYMBOLS] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
/// The extra bits of each distance symbol.
pub(crate) const DISTANCE_EXTRA: [u8; DISTANCE_SYMBOLS] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
];

/// Returns which length symbol, counted from 0, stands for `length`.
#[inline]
pub(crate) fn length_symbol(length: usize) -> usize {
    usize::from(LENGTH_SYMBOL.get(length).copied().unwrap_or(0))
}

/// Returns the distance symbol of `distance`.
#[inline]
pub(crate) fn distance_symbol(distance: usize) -> usize {
    let less = distance.saturating_sub(1);
    if less < 4 {
        return less;
    }
    let top = less.ilog2() as usize;
    2 * top + (less >> (top - 1) & 1)
}

/// Returns the length of each symbol of the fixed literal code.
pub(crate) fn fixed_literal_lengths() -> [u8; 288] {
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    lengths
}

/// The length of every symbol of the fixed distance code.
pub(crate) const FIXED_DISTANCE_LENGTH: u8 = 5;

const LENGTH_SYMBOL: [u8; MAX_MATCH + 1] = {
    let mut symbols = [0; MAX_MATCH + 1];
    let mut symbol = 0;
    let mut length = MIN_MATCH;
    while length <= MAX_MATCH {
        while symbol < 28 && length >= LENGTH_BASE[symbol as usize + 1] {
            symbol += 1;
        }
        symbols[length] = symbol;
        length += 1;
    }
    symbols
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_cover_their_ranges() {
        for (symbol, base) in LENGTH_BASE.iter().enumerate() {
            assert_eq!(length_symbol(*base), symbol);
        }
        for (symbol, base) in DISTANCE_BASE.iter().enumerate() {
            assert_eq!(distance_symbol(*base), symbol);
            assert_eq!(
                distance_symbol(*base + (1 << DISTANCE_EXTRA[symbol]) - 1),
                symbol
            );
        }
        assert_eq!(length_symbol(257), 27);
    }
}
