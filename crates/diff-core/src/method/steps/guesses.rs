//! Where the bytes just seen stood before: a guess of what comes next.

use super::history::History;

/// For the last bytes before each place of the history, the two last places behind the same bytes.
pub(crate) struct Guesses {
    places: Vec<[u32; 2]>,
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
            places: vec![[0; 2]; 1 << bits],
            known: 0,
            last: 0,
            shift: 64 - bits,
        }
    }

    /// Leaves out so many bytes of the history.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.known += bytes;
    }

    /// Takes note of more of the history.
    #[inline]
    pub(crate) fn note(&mut self, more: &[u8]) {
        let mut place = u32::try_from(self.known).unwrap_or(u32::MAX);
        for byte in more {
            let key = self.key();
            if let Some(places) = self.places.get_mut(key) {
                *places = [place, places[0]];
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
        let places = self.places.get(self.key())?;
        for place in places {
            let distance = self.known.wrapping_sub(*place as usize);
            if distance == except || *place == 0 || distance == 0 || distance > self.known {
                continue;
            }
            let mut same = 0;
            while same < Guesses::SAME
                && (history.back(distance + same as usize + 1) == (self.before(same, history)))
            {
                same += 1;
            }
            if same >= Guesses::LEAST {
                return Some((distance, same));
            }
        }
        None
    }

    #[inline]
    fn before(&self, more: u32, history: History<'_>) -> u8 {
        history.back(more as usize + 1)
    }

    #[inline]
    fn key(&self) -> usize {
        let bytes = self.last & KEYED;
        usize::try_from((bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> self.shift).unwrap_or(0)
    }

    const LEAST: u32 = 4;
    const SAME: u32 = 16;
    const MOST_BITS: u32 = 18;
}

const KEYED: u64 = (1 << 40) - 1;
