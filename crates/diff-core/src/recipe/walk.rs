use super::heads::Habits;
use super::model::{Kind, Model};
use super::old_tokens::{OldStep, OldTokens};
use super::parsed::Parsed;
use super::seam::malformed;
use super::search::{Match, Search, SearchEffort};
use crate::DeltaError;
use crate::deflate::{
    Block, BlockCounts, BlockKind, MAX_DISTANCE, MAX_MATCH, MIN_MATCH, Token, Trees,
};
use crate::entropy::Coder;

/// Goes through a stream's blocks and tokens, and codes whatever is not as expected. Writing, the stream
/// is known; reading, it comes out.
pub(super) struct Walk<'a, C> {
    model: Model<C>,
    plain: &'a [u8],
    manner: Manner,
    search: Search<'a>,
    old: Option<OldTokens<'a>>,
    place: usize,
    /// The kinds of the last tokens: a bit each, set for matches.
    kinds: u32,
    /// Where the old stream was right, lately: a bit each, set where it was.
    rights: u32,
}

/// What is assumed of the stream's encoder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Manner {
    /// How far it searches.
    pub(super) effort: SearchEffort,
    /// Whether it looks at the next byte before it takes a match.
    pub(super) looks_ahead: bool,
    /// How it makes codes.
    pub(super) habits: Habits,
}

/// What a walk comes by.
pub(super) enum Passed<'p> {
    /// Some more tokens; what searching has cost until now.
    Searched(u64),
    /// A block with its tokens and bytes.
    Block(&'p Block, &'p [Token], &'p [u8]),
}

/// Takes what a walk comes by.
pub(super) type Each<'e> = &'e mut dyn FnMut(Passed<'_>) -> Result<(), DeltaError>;

impl<'a, C: Coder> Walk<'a, C> {
    /// Returns a walk through the stream of `plain`.
    pub(super) fn new(
        model: Model<C>,
        plain: &'a [u8],
        manner: Manner,
        old: Option<OldTokens<'a>>,
    ) -> Walk<'a, C> {
        Walk {
            model,
            plain,
            manner,
            search: Search::new(plain, manner.effort),
            old,
            place: 0,
            kinds: 0,
            rights: 0xff,
        }
    }

    /// Goes through the whole stream, and returns the bits that fill its last byte.
    ///
    /// # Errors
    ///
    /// Fails when what is read makes no stream of the plaintext, and when `each` fails.
    pub(super) fn run(
        mut self,
        known: Option<&Parsed>,
        each: Each<'_>,
    ) -> Result<(u8, C), DeltaError> {
        let mut blocks = known.map_or(&[][..], |known| &known.blocks).iter();
        let mut rest = known.map_or(&[][..], |known| &known.tokens);
        let (mut before, mut kind_before) = (0, 3);
        let mut tokens = Vec::new();
        // Blocks cost time even where they make nothing.
        for _ in 0..FEWEST_BLOCKS + self.plain.len() / BLOCK_BYTES {
            let block = blocks.next();
            let known_kind = block.map(|block| &block.block.kind);
            let start = self.place;
            let count = block.map_or(0, |block| block.tokens);
            let (known_tokens, behind) = rest.split_at_checked(count).unwrap_or_default();
            rest = behind;
            let number = match known_kind {
                None | Some(BlockKind::Stored { .. }) => 0,
                Some(BlockKind::Fixed) => 1,
                Some(BlockKind::Dynamic(_)) => 2,
            };
            let number = self.kind(kind_before, number);
            kind_before = number;
            tokens.clear();
            let kind = if number == 0 {
                self.stored(known_kind)?
            } else {
                let counts = self.tokens(&mut before, known_tokens, &mut tokens, each)?;
                if number == 1 {
                    BlockKind::Fixed
                } else {
                    let none = Trees::default();
                    let known = match known_kind {
                        Some(BlockKind::Dynamic(trees)) => trees,
                        _ => &none,
                    };
                    let habits = self.manner.habits;
                    BlockKind::Dynamic(Box::new(habits.code(&mut self.model, &counts, known)?))
                }
            };
            let is_end = self.place == self.plain.len();
            let is_last = block.is_some_and(|block| block.block.last);
            let as_expected = self
                .model
                .flag(Kind::Last, u32::from(is_end), is_last == is_end);
            let block = Block {
                last: is_end == as_expected,
                kind,
            };
            let bytes = self.plain.get(start..self.place).unwrap_or(&[]);
            each(Passed::Block(&block, &tokens, bytes))?;
            if block.last && self.place < self.plain.len() {
                return Err(malformed("leaves out the end of the plaintext"));
            }
            if block.last {
                let padding = self.padding(known.map_or(0, |known| known.padding));
                return Ok((padding, self.model.into_coder()));
            }
        }
        Err(malformed("has too many blocks"))
    }

    fn kind(&mut self, before: u32, number: u32) -> u32 {
        if self.model.flag(Kind::Block, before, number == 2) {
            2
        } else {
            u32::from(self.model.flag(Kind::Block, before + 4, number == 1))
        }
    }

    fn padding(&mut self, padding: u8) -> u8 {
        let [padding, ..] = self
            .model
            .number(Kind::Padding, 0, usize::from(padding))
            .to_le_bytes();
        padding
    }

    fn stored(&mut self, known: Option<&BlockKind>) -> Result<BlockKind, DeltaError> {
        let (length, padding) = match known {
            Some(BlockKind::Stored { length, padding }) => (*length, *padding),
            _ => (0, 0),
        };
        let length = self.model.number(Kind::Tokens, 0, length);
        let padding = self.padding(padding);
        if length > 0xffff || length > self.plain.len() - self.place {
            return Err(malformed("has a stored block that is too long"));
        }
        self.place += length;
        Ok(BlockKind::Stored { length, padding })
    }

    /// Codes a block's tokens and returns their counts.
    fn tokens(
        &mut self,
        before: &mut usize,
        known: &[Token],
        tokens: &mut Vec<Token>,
        each: Each<'_>,
    ) -> Result<BlockCounts, DeltaError> {
        let known_bytes: usize = known.iter().map(|token| token.length()).sum();
        let is_rest = known_bytes == self.plain.len() - self.place;
        let count = if self.model.flag(Kind::SameTokens, 0, known.len() == *before) {
            Some(*before)
        } else if self.model.flag(Kind::Rest, 0, is_rest) {
            None
        } else {
            Some(self.model.number(Kind::Tokens, 1, known.len()))
        };
        let mut counts = BlockCounts::new();
        while count.map_or(self.place < self.plain.len(), |count| tokens.len() < count) {
            if self.place >= self.plain.len() || tokens.len() >= MOST_TOKENS {
                return Err(malformed("has a block of too many tokens"));
            }
            let token = self.token(known.get(tokens.len()).copied())?;
            each(Passed::Searched(self.search.searched()))?;
            counts.add(token);
            tokens.push(token);
        }
        *before = tokens.len();
        Ok(counts)
    }

    #[inline]
    fn token(&mut self, known: Option<Token>) -> Result<Token, DeltaError> {
        let (token, was_right) = self.by_old(known);
        self.rights = self.rights << 1 | u32::from(was_right);
        let token = match token {
            Ok(token) => token,
            Err(step) => self.by_search(step, known)?,
        };
        if token.length() > self.plain.len() - self.place {
            return Err(malformed("has a match that is too long"));
        }
        self.kinds = self.kinds << 1 | u32::from(!token.is_literal());
        self.place += token.length();
        Ok(token)
    }

    /// Takes the old stream's token, if that is right.
    #[inline]
    fn by_old(&mut self, known: Option<Token>) -> (Result<Token, OldStep>, bool) {
        let Some(old) = &mut self.old else {
            return (Err(OldStep::Unknown), true);
        };
        let step = old.step(self.plain, self.place);
        let expected = match step {
            OldStep::Token(token) => token,
            OldStep::Match(length) => match nearest(self.search.matches(self.place), length) {
                Some(distance) => Token::matched(length, distance),
                None => return (Err(step), false),
            },
            OldStep::Unknown | OldStep::Within(_) => return (Err(step), false),
        };
        let length = u32::try_from(expected.length()).unwrap_or(0);
        let shape = if expected.is_literal() { 0 } else { length };
        let is_moved = u32::from(matches!(step, OldStep::Match(_)));
        let contexts = [
            is_moved << 16 | self.rights & 0xff,
            is_moved << 16 | shape.min(31) << 4 | self.rights & 0xf | 1 << 17,
            is_moved << 16 | log(expected.distance()) << 8 | shape.min(15) << 2 | self.rights & 3,
        ];
        if self
            .model
            .decide(Kind::OldToken, contexts, known == Some(expected))
        {
            return (Ok(expected), true);
        }
        (Err(step), false)
    }

    /// Codes a token by what could be taken here.
    fn by_search(&mut self, step: OldStep, known: Option<Token>) -> Result<Token, DeltaError> {
        let (old, old_length) = match step {
            OldStep::Unknown => (0, 0),
            OldStep::Within(left) => (1, left),
            OldStep::Token(token) if token.is_literal() => (2, 1),
            OldStep::Token(token) => (3, token.length()),
            OldStep::Match(length) => (4, length),
        };
        let matches = self.search.matches(self.place);
        let best = matches.last().copied().unwrap_or_default();
        let nice = self.manner.effort.nice;
        let is_literal = known.is_some_and(Token::is_literal);
        let byte = self.plain.get(self.place).copied().unwrap_or(0);
        let ahead = if best.length >= MIN_MATCH && best.length < nice && self.manner.looks_ahead {
            self.search.longest_ahead(self.place + 1)
        } else {
            Match::default()
        };
        let is_literal = if best.length < MIN_MATCH {
            self.model.flag(Kind::Unmatched, old, is_literal)
        } else {
            let (length, next) = (small(best.length, 63), small(ahead.length, 63));
            let gain = if ahead.length > best.length {
                2 + u32::from(ahead.length > best.length + 1)
            } else {
                u32::from(ahead.length == best.length)
            };
            let far = log(best.distance);
            let farther = (log(ahead.distance) + 16 - far).min(31);
            let until = small(old_length, 15);
            let contexts = [
                old << 28 | far << 20 | length.min(15) << 8 | gain << 4 | self.kinds & 3,
                old << 28 | length << 16 | next << 8 | self.kinds & 1 | farther << 2,
                old << 28 | until << 20 | length << 8 | gain << 4 | self.kinds & 0xf,
            ];
            self.model.decide(Kind::Literal, contexts, is_literal)
        };
        if is_literal {
            return Ok(Token::literal(byte));
        }
        let length = self.length(old, old_length, known.map_or(MIN_MATCH, Token::length))?;
        let distance = self.distance(length, known.map(Token::distance))?;
        Ok(Token::matched(length, distance))
    }

    fn length(&mut self, old: u32, old_length: usize, known: usize) -> Result<usize, DeltaError> {
        let matches = self.search.matches(self.place);
        let best = matches.last().map_or(0, |best| best.length);
        let steps = matches.iter().rev().take(MOST_STEPS).enumerate();
        for (index, step) in steps {
            let below = small(best - step.length, 15);
            let index = small(index, 15);
            let is_old = u32::from(step.length == old_length);
            let contexts = [
                index << 16 | small(step.length, 31) << 8 | is_old << 4 | old,
                index << 16 | below << 8 | is_old << 4 | old,
                index << 16 | log(step.distance) << 8 | small(step.length, 15),
            ];
            if self
                .model
                .decide(Kind::Step, contexts, known == step.length)
            {
                return Ok(step.length);
            }
        }
        let context = old << 5 | small(best, 31);
        let length = self
            .model
            .number(Kind::Length, context, known.saturating_sub(MIN_MATCH));
        if length > MAX_MATCH - MIN_MATCH {
            return Err(malformed("has a match that is too long"));
        }
        Ok(length + MIN_MATCH)
    }

    fn distance(&mut self, length: usize, known: Option<usize>) -> Result<usize, DeltaError> {
        let expected = nearest(self.search.matches(self.place), length);
        if let Some(expected) = expected {
            let context = small(length, 15) << 4 | log(expected);
            if self
                .model
                .flag(Kind::Nearest, context, known == Some(expected))
            {
                return Ok(expected);
            }
        }
        // One more than the number of nearer places with the same bytes; 0 where it is none of them.
        let (mut index, mut found) = (0, 0);
        if known.is_some() {
            self.search.occurrences(length, &mut |distance| {
                index += 1;
                if Some(distance) == known {
                    found = index;
                }
                found == 0
            });
        }
        let wanted = self.model.number(Kind::Skipped, small(length, 7), found);
        if wanted > 0 {
            let (mut index, mut found) = (0, None);
            self.search.occurrences(length, &mut |distance| {
                index += 1;
                if index == wanted {
                    found = Some(distance);
                }
                found.is_none()
            });
            return found.ok_or_else(|| malformed("has a match that is nowhere"));
        }
        let distance = self.model.number(
            Kind::Distance,
            0,
            known.map_or(0, |known| known.saturating_sub(1)),
        ) + 1;
        if distance > MAX_DISTANCE {
            return Err(malformed("has a match that is too far"));
        }
        Ok(distance)
    }
}

/// Returns the distance of the nearest match of `length` bytes or more.
fn nearest(matches: &[Match], length: usize) -> Option<usize> {
    let found = matches.iter().find(|one| one.length >= length);
    found.map(|one| one.distance)
}

fn small(number: usize, most: u32) -> u32 {
    u32::try_from(number).unwrap_or(most).min(most)
}

fn log(number: usize) -> u32 {
    number.checked_ilog2().map_or(0, |log| log + 1)
}

/// The most tokens of a block.
pub(super) const MOST_TOKENS: usize = 1 << 20;
/// The most blocks: so many, and one more for every so many bytes.
const FEWEST_BLOCKS: usize = 256;
const BLOCK_BYTES: usize = 128;
/// The most lengths that are asked for one by one.
const MOST_STEPS: usize = 6;
