use super::covers::Covers;
use super::seam::Old;
use crate::deflate::{MAX_DISTANCE, Reader, Token, match_length};

/// What the old stream's encoder did at the places that the new plaintext shares with the old one.
pub(super) struct OldTokens<'a> {
    reader: Reader<'a>,
    /// The token that starts at `at` of the old plaintext.
    next: Option<Token>,
    at: usize,
    covers: Covers,
    cover: usize,
}

/// What the old stream tells of a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OldStep {
    /// Nothing: the place is new, or the old stream has gone astray.
    Unknown,
    /// The old stream was within a token there; it goes on after so many bytes.
    Within(usize),
    /// The old stream has this token there, which the new plaintext allows.
    Token(Token),
    /// The old stream has a match of this length there, of bytes that went or moved out of reach.
    Match(usize),
}

impl<'a> OldTokens<'a> {
    /// Returns the tokens of `old`, of which `covers` tell what is in the new plaintext.
    pub(super) fn new(old: Old<'a>, covers: Covers) -> OldTokens<'a> {
        let mut tokens = OldTokens {
            reader: Reader::new(old.compressed),
            next: None,
            at: 0,
            covers,
            cover: 0,
        };
        tokens.read();
        tokens
    }

    /// Returns what the old stream has at a place of the new plaintext, which is not before the last one
    /// that was asked for.
    #[inline]
    pub(super) fn step(&mut self, plain: &[u8], place: usize) -> OldStep {
        let Some(cover) = self.covers.at(&mut self.cover, place) else {
            return OldStep::Unknown;
        };
        let old_place = place - cover.new + cover.old;
        while self.at < old_place
            && let Some(token) = self.next
        {
            self.at += token.length();
            self.read();
        }
        if self.at > old_place {
            return OldStep::Within(self.at - old_place);
        }
        let Some(token) = self.next else {
            return OldStep::Unknown;
        };
        if token.is_literal() {
            // The byte may be another where the old stream and its plaintext differ.
            let byte = plain.get(place).copied().unwrap_or_default();
            return OldStep::Token(Token::literal(byte));
        }
        let length = token.length();
        let source = old_place.checked_sub(token.distance());
        let source = source.and_then(|source| self.covers.new_place(self.cover, source));
        match source.and_then(|source| place.checked_sub(source).map(|away| (source, away))) {
            Some((source, distance @ 1..=MAX_DISTANCE))
                if match_length(plain, place, source) >= length =>
            {
                OldStep::Token(Token::matched(length, distance))
            }
            _ => OldStep::Match(length),
        }
    }

    /// Reads the next token; at the end, or at the first fault, there is none.
    fn read(&mut self) {
        loop {
            match self.reader.token() {
                Ok(Some(token)) => {
                    self.next = Some(token);
                    return;
                }
                Ok(None) => {}
                Err(_) => break,
            }
            match self.reader.block() {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        self.next = None;
    }
}
