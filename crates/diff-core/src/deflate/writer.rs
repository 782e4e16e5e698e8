use super::bits::BitWriter;
use super::huffman::codes;
use super::reader::{Block, BlockKind, Trees};
use super::{
    DISTANCE_BASE, DISTANCE_EXTRA, END_OF_BLOCK, FIXED_DISTANCE_LENGTH, LENGTH_BASE, LENGTH_EXTRA,
    META_ORDER, META_SYMBOLS, Token, distance_symbol, fixed_literal_lengths, length_symbol,
};
use crate::DeltaError;

/// Writes the blocks of a deflate stream.
#[derive(Default)]
pub(crate) struct Writer {
    bits: BitWriter,
}

impl Writer {
    /// Writes a block of `tokens`, which stand for `bytes`.
    ///
    /// # Errors
    ///
    /// Fails when the block's codes cannot be written, or lack a symbol of the tokens.
    pub(crate) fn block(
        &mut self,
        block: &Block,
        tokens: &[Token],
        bytes: &[u8],
    ) -> Result<(), DeltaError> {
        self.bits.put(u32::from(block.last), 1);
        match &block.kind {
            BlockKind::Stored { length, padding } => {
                self.bits.put(0, 2);
                self.bits.align(*padding);
                let length = u16::try_from(*length).unwrap_or(0);
                if usize::from(length) != bytes.len() {
                    return Err(error("a stored block has another length than its bytes"));
                }
                self.bits.put(u32::from(length), 16);
                self.bits.put(u32::from(!length), 16);
                self.bits.put_bytes(bytes);
                Ok(())
            }
            BlockKind::Fixed => {
                self.bits.put(1, 2);
                let lengths = [FIXED_DISTANCE_LENGTH; 30];
                self.tokens(tokens, &fixed_literal_lengths(), &lengths)
            }
            BlockKind::Dynamic(trees) => {
                self.bits.put(2, 2);
                self.trees(trees)?;
                self.tokens(tokens, &trees.literals, &trees.distances)
            }
        }
    }

    /// Fills the last byte with `padding`.
    pub(crate) fn end(&mut self, padding: u8) {
        self.bits.align(padding);
        self.bits.put_bytes(&[]);
    }

    /// Returns how many bytes are complete and were not taken yet.
    pub(crate) fn ready(&self) -> usize {
        self.bits.ready()
    }

    /// Takes the complete bytes.
    pub(crate) fn take_ready(&mut self) -> Vec<u8> {
        self.bits.take_ready()
    }

    fn trees(&mut self, trees: &Trees) -> Result<(), DeltaError> {
        self.number(trees.literals.len().wrapping_sub(END_OF_BLOCK + 1), 5)?;
        self.number(trees.distances.len().wrapping_sub(1), 5)?;
        self.number(trees.meta.len().wrapping_sub(4), 4)?;
        let mut lengths = [0_u8; META_SYMBOLS];
        for (symbol, length) in META_ORDER.iter().zip(&trees.meta) {
            self.number(usize::from(*length), 3)?;
            lengths[*symbol] = *length;
        }
        let codes = codes(&lengths).unwrap_or_default();
        for (symbol, extra) in &trees.spelling {
            let symbol = usize::from(*symbol);
            self.symbol(&codes, &lengths, symbol)?;
            match symbol {
                16 => self.number(usize::from(*extra), 2)?,
                17 => self.number(usize::from(*extra), 3)?,
                18 => self.number(usize::from(*extra), 7)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn tokens(
        &mut self,
        tokens: &[Token],
        literals: &[u8],
        distances: &[u8],
    ) -> Result<(), DeltaError> {
        let literal_codes = codes(literals).unwrap_or_default();
        let distance_codes = codes(distances).unwrap_or_default();
        for token in tokens {
            if token.is_literal() {
                self.symbol(&literal_codes, literals, usize::from(token.byte()))?;
                continue;
            }
            let symbol = length_symbol(token.length());
            self.symbol(&literal_codes, literals, END_OF_BLOCK + 1 + symbol)?;
            self.extra(&LENGTH_BASE, &LENGTH_EXTRA, symbol, token.length());
            let symbol = distance_symbol(token.distance());
            self.symbol(&distance_codes, distances, symbol)?;
            self.extra(&DISTANCE_BASE, &DISTANCE_EXTRA, symbol, token.distance());
        }
        self.symbol(&literal_codes, literals, END_OF_BLOCK)
    }

    #[inline]
    fn symbol(&mut self, codes: &[u32], lengths: &[u8], symbol: usize) -> Result<(), DeltaError> {
        match (codes.get(symbol), lengths.get(symbol)) {
            (Some(code), Some(length)) if *length > 0 => {
                self.bits.put(*code, u32::from(*length));
                Ok(())
            }
            _ => Err(error("a block uses a symbol that its code lacks")),
        }
    }

    #[inline]
    fn extra(&mut self, bases: &[usize], extras: &[u8], symbol: usize, value: usize) {
        if let (Some(base), Some(extra)) = (bases.get(symbol), extras.get(symbol)) {
            let bits = u32::try_from(value - base).unwrap_or(0);
            self.bits.put(bits, u32::from(*extra));
        }
    }

    fn number(&mut self, number: usize, bits: u32) -> Result<(), DeltaError> {
        match u32::try_from(number) {
            Ok(number) if number >> bits == 0 => {
                self.bits.put(number, bits);
                Ok(())
            }
            _ => Err(error("a block's codes have lengths that cannot be written")),
        }
    }
}

fn error(problem: &str) -> DeltaError {
    DeltaError::malformed("recipe", 0, problem)
}
