use super::parser::{Held, Parser, Reached};
use super::reader::{Block, BlockKind};
use super::settings::{Flavour, Settings, Strategy};
use super::tree::{self, cost};
use super::{
    DISTANCE_EXTRA, DISTANCE_SYMBOLS, END_OF_BLOCK, FIXED_DISTANCE_LENGTH, LENGTH_EXTRA,
    LITERAL_SYMBOLS, Token, distance_symbol, fixed_literal_lengths, length_symbol,
};

/// Compresses as zlib does, given all input at once and told to finish; the input may come in parts.
pub(crate) struct Compressor {
    parser: Parser,
    blocks: Blocks,
}

/// What the tokens since the last block are.
struct Blocks {
    settings: Settings,
    tokens: Vec<Token>,
    counts: BlockCounts,
    start: usize,
    end: usize,
}

/// Hands all that zlib makes of `bytes` to `each`.
///
/// # Errors
///
/// Fails when `each` does.
pub(crate) fn compress<E>(
    bytes: &[u8],
    settings: Settings,
    each: &mut dyn FnMut(Made<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut compressor = Compressor::new(settings);
    compressor.take(Held::whole(bytes), each)?;
    compressor.finish(Held::whole(bytes), each)
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

impl Compressor {
    /// Returns what compresses an input of which nothing came yet.
    pub(crate) fn new(settings: Settings) -> Compressor {
        Compressor {
            parser: Parser::new(settings),
            blocks: Blocks {
                settings,
                tokens: Vec::new(),
                counts: BlockCounts::new(),
                start: 0,
                end: 0,
            },
        }
    }

    /// Hands all that can be told by what is held of the input to `each`.
    ///
    /// # Errors
    ///
    /// Fails when `each` does.
    pub(crate) fn take<E>(
        &mut self,
        held: Held<'_>,
        each: &mut dyn FnMut(Made<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let blocks = &mut self.blocks;
        let token = &mut |token, reached: Reached| blocks.token(token, reached, held, each);
        self.parser.run(held, token)
    }

    /// Hands the last block to `each`, once the input's end was taken.
    ///
    /// # Errors
    ///
    /// Fails when `each` does.
    pub(crate) fn finish<E>(
        mut self,
        held: Held<'_>,
        each: &mut dyn FnMut(Made<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.parser.held_at_end(held.length);
        let blocks = &self.blocks;
        let block = blocks.block(first, true);
        let plain = held.part(blocks.start, blocks.end);
        each(Made::Block(&block, &blocks.tokens, plain))
    }

    /// Returns from where on the input must be held.
    pub(crate) fn looks_from(&self) -> usize {
        self.parser.looks_from()
    }
}

impl Blocks {
    fn token<E>(
        &mut self,
        token: Token,
        reached: Reached,
        held: Held<'_>,
        each: &mut dyn FnMut(Made<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        each(Made::Token(token, reached.searched))?;
        self.tokens.push(token);
        self.counts.add(token);
        let seen = self.end;
        self.end += token.length();
        let count = self.tokens.len();
        let is_full = count == self.settings.block_tokens() || self.is_cut(seen - self.start);
        // A literal that waited until the end is not looked at again.
        let is_last = token.is_literal() && self.end == held.length;
        if is_full && !(self.settings.is_lazy() && is_last) {
            let block = self.block(reached.held, false);
            let plain = held.part(self.start, self.end);
            each(Made::Block(&block, &self.tokens, plain))?;
            self.tokens.clear();
            self.counts = BlockCounts::new();
            self.start = self.end;
        }
        Ok(())
    }

    fn block(&self, held: usize, last: bool) -> Block {
        let choice = Choice {
            last,
            storable: self.start >= held,
            fixed: self.settings.strategy == Strategy::Fixed,
        };
        self.counts.block(&choice, self.end - self.start)
    }

    /// Whether zip and gzip end the block here, since it compresses well so far.
    fn is_cut(&self, seen: usize) -> bool {
        let (tokens, counts) = (self.tokens.len(), &self.counts);
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
