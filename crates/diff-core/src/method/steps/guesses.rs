//! Where the bytes just seen stood before: a guess of what comes next.

use super::history::History;
use crate::space::Space;

/// For the last bytes before each place of the history, the two last places behind the same bytes.
#[derive(Clone)]
pub(crate) struct Guesses {
    places: Space,
    /// How much of the history is known.
    known: usize,
    /// The last bytes of that, the last one lowest.
    last: u64,
    shift: u32,
}

impl Guesses {
    /// Returns guesses that know of nothing, for a history of so many bytes in the end.
    pub(crate) fn new(history: usize) -> Guesses {
        let bits = (history.max(1).ilog2() + 1).clamp(10, Guesses::MOST_BITS);
        Guesses {
            places: Space::written(PLACES << bits),
            known: 0,
            last: 0,
            shift: 64 - bits,
        }
    }

    /// Returns guesses that know of the end of a reference, behind which so many bytes are to come: what is
    /// farther from them is seldom guessed, and would take its time.
    pub(crate) fn behind(reference: &[u8], coming: usize) -> Guesses {
        let mut guesses = Guesses::new(reference.len() + coming);
        let noted = reference.len().saturating_sub(NOTED_BYTES);
        let (skipped, noted) = reference.split_at(noted);
        guesses.skip(skipped.len());
        for byte in &skipped[skipped.len().saturating_sub(8)..] {
            guesses.last = guesses.last << 8 | u64::from(*byte);
        }
        guesses.note(noted);
        guesses
    }

    /// Leaves out so many bytes of the history.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.known += bytes;
    }

    /// Takes note of more of the history.
    #[inline]
    pub(crate) fn note(&mut self, more: &[u8]) {
        let mut place = u32::try_from(self.known).unwrap_or(u32::MAX);
        let all = self.places.as_chunks_mut::<PLACES>().0;
        for byte in more {
            if let Some(places) = all.get_mut(key(self.last, self.shift)) {
                let before = u64::from_le_bytes(*places) << 32;
                *places = (before | u64::from(place)).to_le_bytes();
            }
            self.last = self.last << 8 | u64::from(*byte);
            place = place.wrapping_add(1);
        }
        self.known += more.len();
    }

    /// Returns the distance to where the same bytes stood before the place behind what is known, unless
    /// it is `except`, and of how many bytes they are the same.
    #[inline]
    pub(crate) fn distance(&self, history: History<'_>, except: usize) -> Option<(usize, u32)> {
        let all = self.places.as_chunks::<PLACES>().0;
        let places = u64::from_le_bytes(*all.get(key(self.last, self.shift))?);
        for place in [places & 0xffff_ffff, places >> 32] {
            let place = usize::try_from(place).unwrap_or(0);
            let distance = self.known.wrapping_sub(place);
            if distance == except || place == 0 || distance == 0 || distance > self.known {
                continue;
            }
            let same = history.same(distance);
            if same >= Guesses::LEAST {
                return Some((distance, same));
            }
        }
        None
    }

    const LEAST: u32 = 4;
    const MOST_BITS: u32 = 18;
}

/// Returns the number of the last bytes.
#[inline]
fn key(last: u64, shift: u32) -> usize {
    let bytes = last & KEYED;
    usize::try_from((bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> shift).unwrap_or(0)
}

/// Bytes of two places, the last one lowest.
const PLACES: usize = 8;
/// Of a reference, its last bytes.
const NOTED_BYTES: usize = 2 << 20;
const KEYED: u64 = (1 << 40) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_reference_its_end_is_known() {
        let known = |more: usize| {
            let reference = [&b"cells divide"[..], &vec![0; NOTED_BYTES - 12 + more]].concat();
            let mut guesses = Guesses::behind(&reference, 7);
            let new = b"cells d";
            guesses.note(new);
            let history = History {
                reference: &reference,
                new,
            };
            guesses.distance(history, 1).map(|(distance, _)| distance)
        };
        assert_eq!(known(0), Some(NOTED_BYTES));
        // The place behind the word is the first that is noted, and then none is.
        assert_eq!(known(7), Some(NOTED_BYTES + 7));
        assert_eq!(known(8), None);
    }
}
