use super::decisions::Decisions;
use super::numbers::Numbers;
use super::picture::Picture;
use super::symbols::Symbols;
use super::vicinity::{Vicinity, number, pixel};
use crate::container::Samples;
use crate::entropy::Coder;
use crate::mixing::Quick;

/// The model of an image whose pixels have so many bytes.
pub(super) struct Model<C, const BYTES: usize> {
    coder: C,
    /// The row that is coded, the one above it and the one above that.
    rows: [Vec<[u8; BYTES]>; 3],
    /// How many rows there are above, two at most.
    known: usize,
    filters: [[Quick; 8]; 8],
    last_filter: usize,
    runs: Decisions<2>,
    beside: Decisions<4>,
    others: Others<BYTES>,
    /// How many pixels in a row were as those above them.
    same: usize,
    /// What became of the last four pixels, two bits each.
    past: usize,
}

/// What codes pixels that are none of those beside them.
enum Others<const BYTES: usize> {
    Symbols(Symbols),
    Numbers(Numbers<BYTES>),
}

impl<C: Coder, const BYTES: usize> Model<C, BYTES> {
    /// Returns the model of an image of which nothing is known.
    pub(super) fn new(coder: C, width: usize, samples: Samples) -> Model<C, BYTES> {
        let row = || vec![[0; BYTES]; width];
        Model {
            coder,
            rows: [row(), row(), row()],
            known: 0,
            filters: [[Quick::NEW; 8]; 8],
            last_filter: 0,
            runs: Decisions::new([5, 12], 16),
            beside: Decisions::new([12, 16, 13, 16], PLACES << 6),
            others: match samples {
                Samples::Symbols => Others::Symbols(Symbols::new()),
                Samples::Numbers => Others::Numbers(Numbers::new(width)),
            },
            same: 0,
            past: 0,
        }
    }

    /// Codes whether the next pixels are those above them, and returns how many are.
    #[inline]
    fn run(&mut self, x: usize) -> usize {
        let level = (self.same.max(1).ilog2() as usize).min(12);
        let count = match self.same {
            0..64 => 8,
            64..512 => 32,
            _ => 128,
        };
        let [row, above, _] = &mut self.rows;
        let end = row.len().min(x + count);
        let (row, above) = (&mut row[x..end], &above[x..end]);
        let is_flat = above.windows(2).all(|two| two[0] == two[1]);
        let contexts = [level << 1 | usize::from(is_flat), self.past << 4 | level];
        let is_same = row == above;
        if !self.runs.code(&mut self.coder, is_same, contexts, level) {
            return 0;
        }
        row.copy_from_slice(above);
        let count = row.len();
        self.same += count;
        if let Others::Numbers(numbers) = &mut self.others {
            numbers.expected(x, count);
        }
        count
    }

    #[inline]
    fn pixel(&mut self, x: usize) {
        let around = Vicinity::of(&self.rows, self.known, x);
        let hashes = around.hashes();
        let [_, four, _] = hashes;
        let actual = self.rows[0][x];
        let told = match self.beside(number(actual), &around, hashes) {
            Some(told) => {
                if let Others::Numbers(numbers) = &mut self.others {
                    numbers.expected(x, 1);
                }
                told
            }
            None => number(match &mut self.others {
                Others::Symbols(symbols) => {
                    let byte = symbols.code(&mut self.coder, actual[0], &around, hashes);
                    [byte; BYTES]
                }
                Others::Numbers(numbers) => numbers.code(&mut self.coder, actual, &around, x),
            }),
        };
        if let Others::Numbers(numbers) = &mut self.others {
            numbers.learn(four, told);
        }
        self.rows[0][x] = pixel(told);
        self.same = match told == around.north {
            true => self.same + 1,
            false => 0,
        };
    }

    /// Codes which of the pixels beside it one is, if it is one of them, or reads and returns another.
    #[inline]
    fn beside(&mut self, actual: u64, around: &Vicinity, hashes: [u32; 3]) -> Option<u64> {
        let [_, four, all] = hashes;
        let pattern = around.pattern();
        let seen = match &self.others {
            Others::Symbols(_) => None,
            Others::Numbers(numbers) => Some(numbers.seen(four)),
        };
        let corners = match &self.others {
            Others::Symbols(_) => [None; 2],
            Others::Numbers(_) => [Some(around.north_east), Some(around.north_west)],
        };
        let [east, west] = corners;
        let pixels = [seen, Some(around.west), Some(around.north), east, west];
        let mut tried = [0; PLACES];
        let mut count = 0;
        for (which, pixel) in pixels.into_iter().enumerate() {
            let Some(pixel) = pixel.filter(|pixel| !tried[..count].contains(pixel)) else {
                continue;
            };
            let question = count * PLACES + which;
            let salt = u32::try_from(question).unwrap_or(0).wrapping_mul(SALT);
            let contexts = [
                pattern << 5 | question,
                (four.wrapping_add(salt) >> 16) as usize,
                self.past << 5 | question,
                (all.wrapping_add(salt) >> 16) as usize,
            ];
            let set = count << 6 | pattern & 63;
            let is_it = self
                .beside
                .code(&mut self.coder, actual == pixel, contexts, set);
            if is_it {
                self.past = (self.past << 2 | count.min(2)) & 255;
                return Some(pixel);
            }
            tried[count] = pixel;
            count += 1;
        }
        self.past = (self.past << 2 | 3) & 255;
        None
    }
}

impl<C: Coder, const BYTES: usize> Picture<C> for Model<C, BYTES> {
    fn filter(&mut self, filter: u8) -> u8 {
        let counters = &mut self.filters[self.last_filter];
        let mut node = 1;
        for bit in (0..3).rev() {
            let counter = &mut counters[node];
            let likely = u32::from(counter.0 >> 4 << 4 | 8);
            let set = self.coder.bit(filter >> bit & 1 == 1, likely);
            counter.learn(set);
            node = node << 1 | usize::from(set);
        }
        self.last_filter = node & 7;
        u8::try_from(self.last_filter).unwrap_or(0)
    }

    fn row(&mut self, row: &mut [u8]) {
        let width = self.rows[0].len();
        self.rows.rotate_right(1);
        self.rows[0].as_flattened_mut().copy_from_slice(row);
        let (mut x, mut wait) = (0, 0);
        while x < width {
            if self.known > 0 && self.same >= LEAST_SAME && wait == 0 {
                let count = self.run(x);
                x += count;
                if count > 0 {
                    continue;
                }
                wait = PATIENCE;
            }
            wait = usize::saturating_sub(wait, 1);
            self.pixel(x);
            x += 1;
        }
        self.known = (self.known + 1).min(2);
        if let Others::Numbers(numbers) = &mut self.others {
            numbers.end_row();
        }
        row.copy_from_slice(self.rows[0].as_flattened());
    }

    fn last(&self) -> [&[u8]; 2] {
        let [row, above, _] = &self.rows;
        [row.as_flattened(), above.as_flattened()]
    }

    fn coder(&self) -> &C {
        &self.coder
    }

    fn into_coder(self: Box<Self>) -> C {
        self.coder
    }
}

/// So many pixels beside one are asked for at most.
const PLACES: usize = 5;
/// Runs are asked for behind so many pixels that are as those above.
const LEAST_SAME: usize = 3;
/// So many pixels are coded one by one where a run was none.
const PATIENCE: usize = 12;
const SALT: u32 = 0x9e37_79b1;
