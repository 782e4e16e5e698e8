use super::chains::{Chains, match_length};
use super::settings::{Effort, Settings, Strategy};
use super::{MAX_MATCH, MIN_MATCH, Token};

/// Chooses tokens as zlib does, all of its input at hand.
pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    settings: Settings,
    effort: Effort,
    chains: Chains,
    window: Window,
    /// How far back a match may be.
    reach: usize,
    searched: u64,
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

impl<'a> Parser<'a> {
    /// Returns a parser of `bytes`.
    pub(super) fn new(bytes: &'a [u8], settings: Settings) -> Parser<'a> {
        let size = 1 << settings.window;
        Parser {
            bytes,
            settings,
            effort: settings.effort(),
            chains: Chains::new(settings.window, settings.hash()),
            window: Window {
                start: 0,
                end: 0,
                size,
            },
            reach: size - MIN_LOOKAHEAD,
            searched: 0,
        }
    }

    /// Hands every token to `each`, and returns where the input starts that zlib holds at the end.
    ///
    /// # Errors
    ///
    /// Fails when `each` does.
    pub(super) fn run<E>(&mut self, each: Each<'_, E>) -> Result<usize, E> {
        match self.settings.strategy {
            Strategy::HuffmanOnly => self.literals(each),
            Strategy::Runs => self.runs(each),
            _ if self.settings.is_lazy() => self.lazy(each),
            _ => self.greedy(each),
        }?;
        self.window.fill(self.bytes.len(), 1, self.bytes.len());
        Ok(self.window.start)
    }

    #[inline]
    fn reached(&self) -> Reached {
        Reached {
            held: self.window.start,
            searched: self.searched,
        }
    }

    fn literals<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        for (at, byte) in self.bytes.iter().enumerate() {
            self.window.fill(at, 1, self.bytes.len());
            each(Token::literal(*byte), self.reached())?;
        }
        Ok(())
    }

    fn runs<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            self.window.fill(at, MAX_MATCH + 1, self.bytes.len());
            let length = match at.checked_sub(1) {
                Some(before) => match_length(self.bytes, at, before),
                None => 0,
            };
            if length >= MIN_MATCH {
                each(Token::matched(length, 1), self.reached())?;
                at += length;
            } else {
                each(Token::literal(*byte), self.reached())?;
                at += 1;
            }
        }
        Ok(())
    }

    fn greedy<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            self.window.fill(at, MIN_LOOKAHEAD, self.bytes.len());
            let head = self.insert(at);
            let (length, from) = self.longest(at, head, MIN_MATCH - 1);
            if length < MIN_MATCH {
                each(Token::literal(*byte), self.reached())?;
                at += 1;
                continue;
            }
            each(Token::matched(length, at - from), self.reached())?;
            let left = self.bytes.len() - at - length;
            let known = length <= self.effort.lazy && left >= MIN_MATCH;
            if known {
                for within in at + 1..at + length {
                    self.insert_any(within);
                }
            }
            at += length;
        }
        Ok(())
    }

    fn lazy<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let mut at = 0;
        // The match in hand starts at the byte before `at`.
        let (mut length, mut from) = (MIN_MATCH - 1, 0);
        let mut waiting = false;
        while at < self.bytes.len() {
            self.window.fill(at, MIN_LOOKAHEAD, self.bytes.len());
            let head = self.insert(at);
            let (previous, previous_from) = (length, from);
            length = MIN_MATCH - 1;
            if previous < self.effort.lazy {
                (length, from) = self.longest(at, head, previous);
                let short = length <= 5 && self.settings.strategy == Strategy::Filtered;
                if short || length == MIN_MATCH && at - from > TOO_FAR {
                    length = MIN_MATCH - 1;
                }
            }
            if previous >= MIN_MATCH && length <= previous {
                let token = Token::matched(previous, at - 1 - previous_from);
                each(token, self.reached())?;
                for within in at + 1..at + previous - 1 {
                    self.insert(within);
                }
                at += previous - 1;
                waiting = false;
                length = MIN_MATCH - 1;
                continue;
            }
            if waiting && let Some(byte) = self.bytes.get(at - 1) {
                each(Token::literal(*byte), self.reached())?;
            }
            waiting = true;
            at += 1;
        }
        if waiting && let Some(byte) = self.bytes.last() {
            each(Token::literal(*byte), self.reached())?;
        }
        Ok(())
    }

    /// Enters `at` and returns the place before it, unless too few bytes are left.
    #[inline]
    fn insert(&mut self, at: usize) -> usize {
        if at + MIN_MATCH > self.bytes.len() {
            return 0;
        }
        self.insert_any(at)
    }

    #[inline]
    fn insert_any(&mut self, at: usize) -> usize {
        let four = match self.bytes.get(at..at + 4) {
            Some(four) => [four[0], four[1], four[2], four[3]],
            None => [0, 1, 2, 3].map(|ahead| self.beyond(at + ahead)),
        };
        self.chains.insert(four, at)
    }

    /// Returns a byte of the window at the input's end and behind it: there it has what it had before.
    fn beyond(&self, at: usize) -> u8 {
        let at = if at < self.bytes.len() || self.window.start == 0 {
            at
        } else {
            at.saturating_sub(self.window.size)
        };
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Returns the length and the place of the first longest match of more than `best` bytes.
    #[inline]
    fn longest(&mut self, at: usize, head: usize, best: usize) -> (usize, usize) {
        if head == 0 || at - head > self.reach {
            return (MIN_MATCH - 1, 0);
        }
        let left = self.bytes.len() - at;
        let mut chain = self.effort.chain;
        if best >= self.effort.good {
            chain >>= 2;
        }
        let (most, mut words) = (chain, 0);
        let nice = self.effort.nice.min(left);
        let limit = at.saturating_sub(self.reach);
        let (mut best, mut from, mut here) = (best, 0, head);
        if best >= left {
            return (left, 0);
        }
        let mut ending = [self.bytes[at + best - 1], self.bytes[at + best]];
        loop {
            // Below `at`, so that all that is compared is in reach.
            if self.bytes[here + best - 1..=here + best] == ending {
                let length = match_length(self.bytes, at, here);
                words += length / WORD;
                if length > best {
                    (best, from) = (length, here);
                    if length >= nice {
                        break;
                    }
                    ending = [self.bytes[at + best - 1], self.bytes[at + best]];
                }
            }
            here = self.chains.before(here);
            chain -= 1;
            if here <= limit || chain == 0 {
                break;
            }
        }
        self.searched += (most - chain + words) as u64;
        (best, from)
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

/// What zlib wants to see before it searches.
const MIN_LOOKAHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
/// Bytes that are compared at once.
const WORD: usize = 8;
/// From this distance on, a match of three bytes is worth less than three literals.
const TOO_FAR: usize = 4096;
