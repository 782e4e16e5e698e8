use super::parser::Parser;
use super::reader::{Block, BlockKind};
use super::settings::{Flavour, Settings, Strategy};
use super::tree::{self, cost};
use super::{
    DISTANCE_EXTRA, DISTANCE_SYMBOLS, END_OF_BLOCK, FIXED_DISTANCE_LENGTH, LENGTH_EXTRA,
    LITERAL_SYMBOLS, Token, distance_symbol, fixed_literal_lengths, length_symbol,
};

/// Compresses as zlib does, given all input at once and told to finish.
pub(crate) struct Compressor<'a> {
    bytes: &'a [u8],
    settings: Settings,
}

/// What a [`Compressor`] makes, in the order in which it is known.
pub(crate) enum Made<'m> {
    /// A token, and what searching has cost until it was found: places looked at, and words compared
    /// there.
    Token(Token, u64),
    /// The block that the tokens since the last one make, and the bytes they stand for.
    Block(&'m Block, &'m [Token], &'m [u8]),
}

/// How often a block's tokens use each symbol.
#[derive(Clone)]
pub(crate) struct BlockCounts {
    /// Literals, the block's end, and lengths.
    pub(crate) literals: [u32; LITERAL_SYMBOLS],
    /// Distances.
    pub(crate) distances: [u32; DISTANCE_SYMBOLS],
}

/// What of a block is known beside its tokens.
pub(crate) struct Choice {
    /// Whether the block is the last.
    pub(crate) last: bool,
    /// Whether it may be stored.
    pub(crate) storable: bool,
    /// Whether its codes are the fixed ones.
    pub(crate) fixed: bool,
}

impl<'a> Compressor<'a> {
    /// Returns what compresses `bytes`.
    pub(crate) fn new(bytes: &'a [u8], settings: Settings) -> Compressor<'a> {
        Compressor { bytes, settings }
    }

    /// Hands all that is made to `each`.
    ///
    /// # Errors
    ///
    /// Fails when `each` does.
    pub(crate) fn run<E>(&self, each: &mut dyn FnMut(Made<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut tokens = Vec::new();
        let mut counts = BlockCounts::new();
        let (mut start, mut end) = (0, 0);
        let limit = self.settings.block_tokens();
        let lazy = self.settings.is_lazy();
        let held = Parser::new(self.bytes, self.settings).run(&mut |token, reached| {
            each(Made::Token(token, reached.searched))?;
            tokens.push(token);
            counts.add(token);
            let seen = end;
            end += token.length();
            let full = tokens.len() == limit || self.is_cut(tokens.len(), &counts, seen - start);
            // A literal that waited until the end is not looked at again.
            if full && !(lazy && token.is_literal() && end == self.bytes.len()) {
                let block = self.block(&counts, start, end, reached.held, false);
                each(Made::Block(
                    &block,
                    &tokens,
                    self.bytes.get(start..end).unwrap_or(&[]),
                ))?;
                tokens.clear();
                counts = BlockCounts::new();
                start = end;
            }
            Ok(())
        })?;
        let block = self.block(&counts, start, end, held, true);
        each(Made::Block(
            &block,
            &tokens,
            self.bytes.get(start..end).unwrap_or(&[]),
        ))
    }

    fn block(
        &self,
        counts: &BlockCounts,
        start: usize,
        end: usize,
        held: usize,
        last: bool,
    ) -> Block {
        let choice = Choice {
            last,
            storable: start >= held,
            fixed: self.settings.strategy == Strategy::Fixed,
        };
        counts.block(&choice, end - start)
    }

    /// Whether zip and gzip end the block here, since it compresses well so far.
    fn is_cut(&self, tokens: usize, counts: &BlockCounts, seen: usize) -> bool {
        if self.settings.flavour != Flavour::InfoZip
            || self.settings.level <= 2
            || !tokens.is_multiple_of(0x1000)
        {
            return false;
        }
        // Lazy matching has gone one byte further when it decides.
        let ahead = usize::from(self.settings.is_lazy());
        let input = seen + ahead;
        let mut output = 8 * tokens as u64;
        let mut matches = 0;
        for (count, extra) in counts.distances.iter().zip(DISTANCE_EXTRA) {
            output += u64::from(*count) * (5 + u64::from(extra));
            matches += *count as usize;
        }
        matches < tokens / 2 && output / 8 < input as u64 / 2
    }
}

impl BlockCounts {
    /// Returns the counts of no token and the block's end.
    pub(crate) fn new() -> BlockCounts {
        let mut counts = BlockCounts {
            literals: [0; LITERAL_SYMBOLS],
            distances: [0; DISTANCE_SYMBOLS],
        };
        counts.literals[END_OF_BLOCK] = 1;
        counts
    }

    /// Counts a token.
    #[inline]
    pub(crate) fn add(&mut self, token: Token) {
        if token.is_literal() {
            self.literals[usize::from(token.byte())] += 1;
        } else {
            self.literals[END_OF_BLOCK + 1 + length_symbol(token.length())] += 1;
            self.distances[distance_symbol(token.distance())] += 1;
        }
    }

    /// Returns the block that zlib makes of tokens with these counts, which stand for `length` bytes.
    pub(crate) fn block(&self, choice: &Choice, length: usize) -> Block {
        let trees = tree::trees(&self.literals, &self.distances);
        let of_length = |symbol: usize| {
            let symbol = symbol.checked_sub(END_OF_BLOCK + 1);
            symbol
                .and_then(|symbol| LENGTH_EXTRA.get(symbol))
                .copied()
                .unwrap_or(0)
        };
        let of_distance = |symbol: usize| DISTANCE_EXTRA.get(symbol).copied().unwrap_or(0);
        let spelled: u64 = spelled_bits(&trees.spelling, &trees.meta);
        let head = 3 + 5 + 5 + 4 + 3 * trees.meta.len() as u64 + spelled;
        let own = head
            + cost(&self.literals, &trees.literals, of_length)
            + cost(&self.distances, &trees.distances, of_distance);
        let fixed = 3
            + cost(&self.literals, &fixed_literal_lengths(), of_length)
            + cost(
                &self.distances,
                &[FIXED_DISTANCE_LENGTH; DISTANCE_SYMBOLS],
                of_distance,
            );
        let (own, fixed) = (own.div_ceil(8), fixed.div_ceil(8));
        let best = if choice.fixed { fixed } else { own.min(fixed) };
        let kind = if length as u64 + 4 <= best && choice.storable && length <= 0xffff {
            BlockKind::Stored { length, padding: 0 }
        } else if best == fixed {
            BlockKind::Fixed
        } else {
            BlockKind::Dynamic(Box::new(trees))
        };
        Block {
            last: choice.last,
            kind,
        }
    }
}

fn spelled_bits(spelling: &[(u8, u8)], meta: &[u8]) -> u64 {
    let length_of = |symbol: u8| {
        let at = super::META_ORDER
            .iter()
            .position(|other| *other == usize::from(symbol));
        let length = at.and_then(|at| meta.get(at)).copied().unwrap_or(0);
        u64::from(length)
    };
    let extra_of = |symbol| match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    };
    spelling
        .iter()
        .map(|(symbol, _)| length_of(*symbol) + extra_of(*symbol))
        .sum()
}
