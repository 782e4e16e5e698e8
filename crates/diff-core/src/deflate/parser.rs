use super::chains::{Chains, match_length};
use super::longest::{Wanted, across, along};
use super::settings::{Effort, Settings, Strategy};
use super::{MAX_MATCH, MIN_MATCH, Token};

/// Chooses tokens as zlib does when all of its input is at hand.
pub(super) struct Parser {
    settings: Settings,
    effort: Effort,
    chains: Chains,
    window: Window,
    /// How far back a match may be.
    reach: usize,
    searched: u64,
    /// The place that is next.
    at: usize,
    lazy: Lazy,
}

/// What lazy matching has in hand: a match that starts at the byte before the next one.
#[derive(Clone, Copy)]
struct Lazy {
    length: usize,
    from: usize,
    /// Whether a byte waits to become a literal or the start of a match.
    is_waiting: bool,
}

/// A part of the input.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where it starts.
    pub(crate) start: usize,
    /// Bytes of all the input.
    pub(crate) length: usize,
}

impl<'a> Held<'a> {
    /// Returns all of an input.
    pub(crate) fn whole(bytes: &'a [u8]) -> Held<'a> {
        Held {
            bytes,
            start: 0,
            length: bytes.len(),
        }
    }

    /// Returns up to where tokens can be told by it.
    fn until(self) -> usize {
        let end = self.start + self.bytes.len();
        match end < self.length {
            true => end.saturating_sub(LONGEST_LOOK),
            false => self.length,
        }
    }

    #[inline]
    fn get(self, at: usize) -> Option<u8> {
        self.bytes.get(at.wrapping_sub(self.start)).copied()
    }

    #[inline]
    fn four(self, at: usize) -> Option<[u8; 4]> {
        let rest = self.bytes.get(at.wrapping_sub(self.start)..)?;
        rest.first_chunk().copied()
    }

    #[inline]
    fn match_length(self, a: usize, b: usize) -> usize {
        match_length(self.bytes, a - self.start, b - self.start)
    }

    /// Returns the bytes from one place to another; nothing where they are no longer held.
    pub(super) fn part(self, start: usize, end: usize) -> &'a [u8] {
        let place = |at: usize| at.checked_sub(self.start);
        let part = place(start).zip(place(end));
        let part = part.and_then(|(start, end)| self.bytes.get(start..end));
        part.unwrap_or(&[])
    }
}

/// How far a parser has come.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    /// Where the input starts that zlib still holds.
    pub(super) held: usize,
    /// What searching has cost: places looked at, and words compared there.
    pub(super) searched: u64,
}

/// Which part of the input zlib holds: two windows' worth, moved on by one when it runs short.
struct Window {
    start: usize,
    end: usize,
    size: usize,
}

/// Takes the tokens, each with how far the parser has come.
pub(super) type Each<'e, E> = &'e mut dyn FnMut(Token, Reached) -> Result<(), E>;

impl Parser {
    /// Returns a parser of an input that nothing was read of.
    pub(super) fn new(settings: Settings) -> Parser {
        let size = 1 << settings.window;
        let effort = settings.effort();
        let chains = Chains::new(settings.window, settings.hash());
        // Where every place is entered, and long chains are followed.
        let is_ranked = settings.is_lazy() && effort.chain >= LONG_CHAIN;
        Parser {
            settings,
            effort,
            chains: if is_ranked { chains.ranked() } else { chains },
            window: Window {
                start: 0,
                end: 0,
                size,
            },
            reach: size - MIN_LOOKAHEAD,
            searched: 0,
            at: 0,
            lazy: Lazy {
                length: MIN_MATCH - 1,
                from: 0,
                is_waiting: false,
            },
        }
    }

    /// Hands every token that can be told by what is held to `each`, all where that is the input's end.
    ///
    /// # Errors
    ///
    /// Fails when `each` does.
    pub(super) fn run<E>(&mut self, held: Held<'_>, each: Each<'_, E>) -> Result<(), E> {
        match self.settings.strategy {
            Strategy::HuffmanOnly => self.literals(held, each),
            Strategy::Runs => self.runs(held, each),
            _ if self.settings.is_lazy() => self.lazy(held, each),
            _ => self.greedy(held, each),
        }
    }

    /// Returns where the input starts that zlib holds at the end.
    pub(super) fn held_at_end(&mut self, length: usize) -> usize {
        self.window.fill(length, 1, length);
        self.window.start
    }

    /// Returns from where on the input is still looked at.
    pub(super) fn looks_from(&self) -> usize {
        self.window.start.saturating_sub(self.window.size)
    }

    #[inline]
    fn reached(&self) -> Reached {
        Reached {
            held: self.window.start,
            searched: self.searched,
        }
    }

    fn literals<E>(&mut self, held: Held<'_>, each: Each<'_, E>) -> Result<(), E> {
        while self.at < held.until()
            && let Some(byte) = held.get(self.at)
        {
            self.window.fill(self.at, 1, held.length);
            each(Token::literal(byte), self.reached())?;
            self.at += 1;
        }
        Ok(())
    }

    fn runs<E>(&mut self, held: Held<'_>, each: Each<'_, E>) -> Result<(), E> {
        let until = held.until();
        let mut at = self.at;
        while at < until
            && let Some(byte) = held.get(at)
        {
            self.window.fill(at, MAX_MATCH + 1, held.length);
            let length = match at.checked_sub(1) {
                Some(before) => held.match_length(at, before),
                None => 0,
            };
            if length >= MIN_MATCH {
                each(Token::matched(length, 1), self.reached())?;
                at += length;
            } else {
                each(Token::literal(byte), self.reached())?;
                at += 1;
            }
        }
        self.at = at;
        Ok(())
    }

    fn greedy<E>(&mut self, held: Held<'_>, each: Each<'_, E>) -> Result<(), E> {
        let until = held.until();
        let mut at = self.at;
        while at < until
            && let Some(byte) = held.get(at)
        {
            self.window.fill(at, MIN_LOOKAHEAD, held.length);
            let head = self.insert(held, at);
            let (length, from) = self.longest(held, at, head, MIN_MATCH - 1);
            if length < MIN_MATCH {
                each(Token::literal(byte), self.reached())?;
                at += 1;
                continue;
            }
            each(Token::matched(length, at - from), self.reached())?;
            let left = held.length - at - length;
            let known = length <= self.effort.lazy && left >= MIN_MATCH;
            if known {
                for within in at + 1..at + length {
                    self.insert_any(held, within);
                }
            }
            at += length;
        }
        self.at = at;
        Ok(())
    }

    fn lazy<E>(&mut self, held: Held<'_>, each: Each<'_, E>) -> Result<(), E> {
        let until = held.until();
        let mut at = self.at;
        let Lazy {
            mut length,
            mut from,
            mut is_waiting,
        } = self.lazy;
        while at < until {
            self.window.fill(at, MIN_LOOKAHEAD, held.length);
            let head = self.insert(held, at);
            let (previous, previous_from) = (length, from);
            length = MIN_MATCH - 1;
            if previous < self.effort.lazy {
                (length, from) = self.longest(held, at, head, previous);
                let short = length <= 5 && self.settings.strategy == Strategy::Filtered;
                if short || length == MIN_MATCH && at - from > TOO_FAR {
                    length = MIN_MATCH - 1;
                }
            }
            if previous >= MIN_MATCH && length <= previous {
                let token = Token::matched(previous, at - 1 - previous_from);
                each(token, self.reached())?;
                for within in at + 1..at + previous - 1 {
                    self.insert(held, within);
                }
                at += previous - 1;
                is_waiting = false;
                length = MIN_MATCH - 1;
                continue;
            }
            if is_waiting && let Some(byte) = held.get(at - 1) {
                each(Token::literal(byte), self.reached())?;
            }
            is_waiting = true;
            at += 1;
        }
        if at == held.length
            && is_waiting
            && let Some(byte) = held.get(at - 1)
        {
            each(Token::literal(byte), self.reached())?;
            is_waiting = false;
        }
        self.at = at;
        self.lazy = Lazy {
            length,
            from,
            is_waiting,
        };
        Ok(())
    }

    /// Enters `at` and returns the place before it, unless too few bytes are left.
    #[inline]
    fn insert(&mut self, held: Held<'_>, at: usize) -> usize {
        if at + MIN_MATCH > held.length {
            return 0;
        }
        self.insert_any(held, at)
    }

    #[inline]
    fn insert_any(&mut self, held: Held<'_>, at: usize) -> usize {
        let four = match held.four(at) {
            Some(four) => four,
            None => [0, 1, 2, 3].map(|ahead| self.beyond(held, at + ahead)),
        };
        self.chains.insert(four, at)
    }

    /// Returns a byte of the window at the input's end and behind it: there it has what it had before.
    fn beyond(&self, held: Held<'_>, at: usize) -> u8 {
        let at = if at < held.length || self.window.start == 0 {
            at
        } else {
            at.saturating_sub(self.window.size)
        };
        held.get(at).unwrap_or(0)
    }

    /// Returns the length and the place of the first longest match of more than `best` bytes.
    #[inline]
    fn longest(&mut self, held: Held<'_>, at: usize, head: usize, best: usize) -> (usize, usize) {
        if head == 0 || at - head > self.reach {
            return (MIN_MATCH - 1, 0);
        }
        let left = held.length - at;
        let mut chain = self.effort.chain;
        if best >= self.effort.good {
            chain >>= 2;
        }
        if best >= left {
            return (left, 0);
        }
        let wanted = Wanted {
            at,
            best,
            nice: self.effort.nice.min(left),
            chain,
            limit: at.saturating_sub(self.reach),
        };
        let bytes = (held.bytes, held.start);
        // The first place may be the farthest that is in reach, the others may not.
        let found = match self.chains.are_ranked() && head > wanted.limit {
            true => across(&self.chains, bytes, wanted, head),
            false => along(&self.chains, bytes, wanted, head),
        };
        self.searched += found.searched as u64;
        (found.length, found.from)
    }
}

impl Window {
    /// Reads on when there are fewer than `wanted` bytes from `at`.
    #[inline]
    fn fill(&mut self, at: usize, wanted: usize, length: usize) {
        while self.end - at < wanted && self.end < length {
            if at - self.start >= 2 * self.size - MIN_LOOKAHEAD {
                self.start += self.size;
            }
            self.end = (self.start + 2 * self.size).min(length);
        }
        // At the input's end zlib looks for more once again, and makes room first.
        if self.end - at < wanted && at - self.start >= 2 * self.size - MIN_LOOKAHEAD {
            self.start += self.size;
        }
    }
}

/// A token is told by no more bytes than these from its start on, nor are those within it.
const LONGEST_LOOK: usize = 1024;
/// What zlib wants to see before it searches.
const MIN_LOOKAHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
/// Chains that are worth their places' ranks.
const LONG_CHAIN: usize = 256;
/// From this distance on, a match of three bytes is worth less than three literals.
const TOO_FAR: usize = 4096;
