use super::bits::BitReader;
use super::huffman::Decoder;
use super::{
    DISTANCE_BASE, DISTANCE_EXTRA, DISTANCE_SYMBOLS, END_OF_BLOCK, FIXED_DISTANCE_LENGTH,
    LENGTH_BASE, LENGTH_EXTRA, LITERAL_SYMBOLS, META_ORDER, META_SYMBOLS, Token,
    fixed_literal_lengths,
};
use crate::DeltaError;

/// Reads a deflate stream block by block and token by token, in memory that does not grow. The stream
/// is hostile: it may end, or be none, at any point.
pub(crate) struct Reader<'a> {
    bits: BitReader<'a>,
    within: Within,
    ended: bool,
}

/// The head of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    /// Whether it is the last one.
    pub(crate) last: bool,
    /// How its tokens are written.
    pub(crate) kind: BlockKind,
}

/// How a block's tokens are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BlockKind {
    /// As bytes.
    Stored {
        /// The number of bytes.
        length: usize,
        /// The bits between the head and the next byte's start.
        padding: u8,
    },
    /// By the fixed codes.
    Fixed,
    /// By codes of its own.
    Dynamic(Box<Trees>),
}

/// The codes of a block, and how their lengths are written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Trees {
    /// The length of each literal or length symbol, 257 to 286 of them.
    pub(crate) literals: Vec<u8>,
    /// The length of each distance symbol, 1 to 30 of them.
    pub(crate) distances: Vec<u8>,
    /// The lengths of the code that those are written with, in the order in which they are written, 4
    /// to 19 of them.
    pub(crate) meta: Vec<u8>,
    /// What was written with it: symbols and the number in their extra bits.
    pub(crate) spelling: Vec<(u8, u8)>,
}

enum Within {
    Nothing,
    Stored(usize),
    Coded(Box<Codes>),
}

struct Codes {
    literals: Decoder,
    distances: Decoder,
}

impl<'a> Reader<'a> {
    /// Returns a reader of the stream that `bytes` start with.
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            bits: BitReader::new(bytes),
            within: Within::Nothing,
            ended: false,
        }
    }

    /// Returns the head of the next block, `None` behind the last one. The tokens of the block before
    /// it were read.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are no deflate stream.
    pub(crate) fn block(&mut self) -> Result<Option<Block>, DeltaError> {
        if self.ended {
            return Ok(None);
        }
        let last = self.bits.take(1)? == 1;
        let kind = match self.bits.take(2)? {
            0 => self.stored()?,
            1 => {
                let literals = Decoder::new(&fixed_literal_lengths());
                let distances = Decoder::new(&[FIXED_DISTANCE_LENGTH; 32]);
                self.enter(literals, distances)?;
                BlockKind::Fixed
            }
            2 => {
                let trees = self.trees()?;
                self.enter(
                    Decoder::new(&trees.literals),
                    Decoder::new(&trees.distances),
                )?;
                BlockKind::Dynamic(Box::new(trees))
            }
            _ => return Err(self.bits.error("has a block of no kind")),
        };
        self.ended = last;
        Ok(Some(Block { last, kind }))
    }

    /// Returns the next token of the block, `None` at its end. The bytes of a stored block are literals.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are no deflate stream.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Option<Token>, DeltaError> {
        let codes = match &mut self.within {
            Within::Nothing => return Ok(None),
            Within::Stored(0) => {
                self.within = Within::Nothing;
                return Ok(None);
            }
            Within::Stored(left) => {
                *left -= 1;
                let [byte, ..] = self.bits.take(8)?.to_le_bytes();
                return Ok(Some(Token::literal(byte)));
            }
            Within::Coded(codes) => codes,
        };
        let symbol = codes.literals.read(&mut self.bits)?;
        if symbol < END_OF_BLOCK {
            let [byte, ..] = symbol.to_le_bytes();
            return Ok(Some(Token::literal(byte)));
        }
        if symbol == END_OF_BLOCK {
            self.within = Within::Nothing;
            return Ok(None);
        }
        let symbol = symbol - END_OF_BLOCK - 1;
        let (Some(base), Some(extra)) = (LENGTH_BASE.get(symbol), LENGTH_EXTRA.get(symbol)) else {
            return Err(self.bits.error("has a length of no kind"));
        };
        let length = base + self.bits.take(u32::from(*extra))?;
        if length == 258 && symbol != 28 {
            return Err(self.bits.error("has a length in an unusual spelling"));
        }
        let symbol = codes.distances.read(&mut self.bits)?;
        let (Some(base), Some(extra)) = (DISTANCE_BASE.get(symbol), DISTANCE_EXTRA.get(symbol))
        else {
            return Err(self.bits.error("has a distance of no kind"));
        };
        let distance = base + self.bits.take(u32::from(*extra))?;
        Ok(Some(Token::matched(length, distance)))
    }

    /// Returns the bytes that the stream takes, and the bits that fill the last of them. The stream was
    /// read to its end.
    pub(crate) fn end(mut self) -> Result<(usize, u8), DeltaError> {
        let padding = self.bits.take(self.bits.unread_of_byte())?;
        let [padding, ..] = padding.to_le_bytes();
        Ok((self.bits.position(), padding))
    }

    fn enter(
        &mut self,
        literals: Option<Decoder>,
        distances: Option<Decoder>,
    ) -> Result<(), DeltaError> {
        let (Some(literals), Some(distances)) = (literals, distances) else {
            return Err(self.bits.error("has an impossible code"));
        };
        self.within = Within::Coded(Box::new(Codes {
            literals,
            distances,
        }));
        Ok(())
    }

    fn stored(&mut self) -> Result<BlockKind, DeltaError> {
        let padding = self.bits.take(self.bits.unread_of_byte())?;
        let [padding, ..] = padding.to_le_bytes();
        let length = self.bits.take(16)?;
        if self.bits.take(16)? != length ^ 0xffff {
            return Err(self.bits.error("has a stored block of unsure length"));
        }
        self.within = Within::Stored(length);
        Ok(BlockKind::Stored { length, padding })
    }

    fn trees(&mut self) -> Result<Trees, DeltaError> {
        let literals = self.bits.take(5)? + END_OF_BLOCK + 1;
        let distances = self.bits.take(5)? + 1;
        let written = self.bits.take(4)? + 4;
        if literals > LITERAL_SYMBOLS || distances > DISTANCE_SYMBOLS {
            return Err(self.bits.error("has a code of too many symbols"));
        }
        let mut meta = Vec::with_capacity(written);
        let mut meta_lengths = [0_u8; META_SYMBOLS];
        for symbol in META_ORDER.iter().take(written) {
            let [length, ..] = self.bits.take(3)?.to_le_bytes();
            meta.push(length);
            meta_lengths[*symbol] = length;
        }
        let Some(decoder) = Decoder::new(&meta_lengths) else {
            return Err(self.bits.error("has an impossible code"));
        };
        let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
        let mut spelling = Vec::new();
        while lengths.len() < literals + distances {
            let [symbol, ..] = decoder.read(&mut self.bits)?.to_le_bytes();
            let (extra, times, length) = match symbol {
                16 => match lengths.last() {
                    Some(last) => (2, 3, *last),
                    None => return Err(self.bits.error("repeats a code length before the first")),
                },
                17 => (3, 3, 0),
                18 => (7, 11, 0),
                length => (0, 1, length),
            };
            let extra = self.bits.take(extra)?;
            let times = times + extra;
            if lengths.len() + times > literals + distances {
                return Err(self.bits.error("has too many code lengths"));
            }
            lengths.resize(lengths.len() + times, length);
            let [extra, ..] = extra.to_le_bytes();
            spelling.push((symbol, extra));
        }
        let distances = lengths.split_off(literals);
        Ok(Trees {
            literals: lengths,
            distances,
            meta,
            spelling,
        })
    }
}
