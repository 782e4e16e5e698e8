use crate::deflate::{Chains, Hash, MAX_DISTANCE, MAX_MATCH, MIN_MATCH, match_length};

/// Finds what an encoder could have taken at a place: for each length the nearest match, as a staircase
/// of ever longer and farther ones.
pub(super) struct Search<'a> {
    bytes: &'a [u8],
    chains: Chains,
    effort: SearchEffort,
    /// The places before this one can be found.
    entered: usize,
    /// The one before the last of them in its chain. In chains, places count from 1: 0 is none.
    head: usize,
    at: Staircase,
    ahead: Staircase,
    searched: u64,
}

/// How far is searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SearchEffort {
    /// How many places are looked at.
    pub(super) chain: usize,
    /// A match of this length ends the search.
    pub(super) nice: usize,
    /// Whether places within matches are left out.
    pub(super) skips: bool,
}

/// The matches at a place.
#[derive(Default)]
pub(super) struct Staircase {
    place: Option<usize>,
    head: usize,
    steps: Vec<Match>,
}

/// A match.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Match {
    /// Its length.
    pub(super) length: usize,
    /// How far back it is.
    pub(super) distance: usize,
}

impl<'a> Search<'a> {
    /// Returns a search in `bytes`.
    pub(super) fn new(bytes: &'a [u8], effort: SearchEffort) -> Search<'a> {
        Search {
            bytes,
            chains: Chains::new(15, Hash::three(15)),
            effort,
            entered: 0,
            head: 0,
            at: Staircase::default(),
            ahead: Staircase::default(),
            searched: 0,
        }
    }

    /// Returns what searching has cost until now: places looked at, and words compared there.
    pub(super) fn searched(&self) -> u64 {
        self.searched
    }

    /// Returns the matches at `place`, which is not before the last one, shortest first.
    pub(super) fn matches(&mut self, place: usize) -> &[Match] {
        if self.at.place != Some(place) {
            if self.ahead.place == Some(place) {
                std::mem::swap(&mut self.at, &mut self.ahead);
            } else {
                let mut at = std::mem::take(&mut self.at);
                self.fill(&mut at, place);
                self.at = at;
            }
        }
        &self.at.steps
    }

    /// Returns the longest match one byte behind the last place that was asked for.
    pub(super) fn longest_ahead(&mut self, place: usize) -> Match {
        if self.ahead.place != Some(place) {
            let mut ahead = std::mem::take(&mut self.ahead);
            self.fill(&mut ahead, place);
            self.ahead = ahead;
        }
        self.ahead.steps.last().copied().unwrap_or_default()
    }

    /// Calls `each` with the places behind the last one that was asked for where `length` bytes are the
    /// same, nearest first, until it returns false.
    pub(super) fn occurrences(&mut self, length: usize, each: &mut dyn FnMut(usize) -> bool) {
        let Some(place) = self.at.place else { return };
        let mut here = self.at.head;
        for _ in 0..MOST_CHAIN {
            if !self.reaches(place, here) {
                return;
            }
            let same = match_length(self.bytes, place, here - 1);
            self.searched += 1 + (same / WORD) as u64;
            if same >= length && !each(place + 1 - here) {
                return;
            }
            here = self.chains.before(here);
        }
    }

    fn fill(&mut self, staircase: &mut Staircase, place: usize) {
        if self.effort.skips {
            self.entered = self.entered.max(place);
        }
        while self.entered <= place {
            let four = [0, 1, 2, 3].map(|ahead| self.bytes.get(self.entered + ahead).copied());
            self.head = self
                .chains
                .insert(four.map(Option::unwrap_or_default), self.entered + 1);
            self.entered += 1;
        }
        staircase.place = Some(place);
        staircase.head = self.head;
        staircase.steps.clear();
        let left = self.bytes.len().saturating_sub(place).min(MAX_MATCH);
        if left < MIN_MATCH {
            return;
        }
        let mut best = MIN_MATCH - 1;
        let mut here = self.head;
        for _ in 0..self.effort.chain {
            if !self.reaches(place, here) {
                return;
            }
            self.searched += 1;
            // Both are before the end, since the best is below what is left.
            if self.bytes[here - 1 + best] == self.bytes[place + best] {
                let length = match_length(self.bytes, place, here - 1);
                self.searched += (length / WORD) as u64;
                if length > best {
                    let distance = place + 1 - here;
                    staircase.steps.push(Match { length, distance });
                    best = length;
                    if best >= self.effort.nice.min(left) {
                        return;
                    }
                }
            }
            here = self.chains.before(here);
        }
    }

    #[inline]
    fn reaches(&self, place: usize, here: usize) -> bool {
        here > 0 && here <= place && place + 1 - here <= MAX_DISTANCE
    }
}

/// The most places that are ever looked at.
pub(super) const MOST_CHAIN: usize = 4096;
/// Bytes that are compared at once.
const WORD: usize = 8;
