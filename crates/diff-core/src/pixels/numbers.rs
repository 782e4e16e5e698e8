use super::decisions::Decisions;
use super::vicinity::Vicinity;
use crate::entropy::Coder;

/// Pixels that are none of those beside them, by how each sample differs from what they make expect.
pub(super) struct Numbers<const BYTES: usize> {
    decisions: Decisions<5>,
    /// The differences of the row that is coded, and of the one above it, with one more at both ends.
    differences: [Vec<[i16; BYTES]>; 2],
    /// The last pixel in a vicinity, by its hash.
    seen: Vec<u64>,
}

impl<const BYTES: usize> Numbers<BYTES> {
    /// Returns what codes rows of so many pixels.
    pub(super) fn new(width: usize) -> Numbers<BYTES> {
        let differences = || vec![[0; BYTES]; width + 2];
        Numbers {
            decisions: Decisions::new([13, 14, 12, 14, 13], 4 << NODE_BITS),
            differences: [differences(), differences()],
            seen: vec![0; 1 << SEEN_BITS],
        }
    }

    /// Returns what stood where the vicinity had this hash.
    #[inline]
    pub(super) fn seen(&self, four: u32) -> u64 {
        self.seen[(four >> (u32::BITS - SEEN_BITS)) as usize]
    }

    /// Learns of the pixel that stands in a vicinity.
    #[inline]
    pub(super) fn learn(&mut self, four: u32, pixel: u64) {
        self.seen[(four >> (u32::BITS - SEEN_BITS)) as usize] = pixel;
    }

    /// Learns that pixels from a place on, so many, were as expected.
    #[inline]
    pub(super) fn expected(&mut self, x: usize, count: usize) {
        self.differences[0][x + 1..=x + count].fill([0; BYTES]);
    }

    /// Goes on to the next row.
    pub(super) fn end_row(&mut self) {
        self.differences.swap(0, 1);
    }

    /// Codes a pixel, or reads and returns another.
    #[inline]
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        pixel: [u8; BYTES],
        around: &Vicinity,
        x: usize,
    ) -> [u8; BYTES] {
        let mut read = [0; BYTES];
        let (mut leading, mut before) = (0, 0);
        for place in 0..BYTES {
            let channel = match (BYTES, place) {
                // Green comes first, since it tells most of red and blue.
                (3 | 4, 0 | 1) => 1 - place,
                _ => place,
            };
            let sample = |pixel: u64| i32::from(pixel.to_le_bytes()[channel]);
            let (west, north) = (sample(around.west), sample(around.north));
            let (north_west, north_east) = (sample(around.north_west), sample(around.north_east));
            let (least, most) = (west.min(north), west.max(north));
            let middle = (west + north - north_west).clamp(least, most);
            let follows = matches!((BYTES, place), (3 | 4, 1 | 2));
            let expected = match follows {
                true => (middle + leading).clamp(0, 255),
                false => middle,
            };
            let [here, above] = &self.differences;
            let beside = i32::from(here[x][channel]).unsigned_abs();
            let over = i32::from(above[x + 1][channel]).unsigned_abs();
            let wrong = beside + over + i32::from(above[x + 2][channel]).unsigned_abs();
            let rough = (west - north_west).unsigned_abs()
                + (north - north_west).unsigned_abs()
                + (north - north_east).unsigned_abs();
            let place = place.min(3);
            let bends = [
                2 * north - sample(around.far_north) - middle,
                2 * west - sample(around.far_west) - middle,
                west + north_east - north - middle,
                ((west + north) >> 1) - middle,
            ];
            let [a, b, c, d] = bends.map(leaning);
            let contexts = [
                a * 9 + b,
                place << 6 | magnitude(before) << 3 | magnitude(beside),
                place << 4 | roughness(2 * wrong),
                (place.min(1) * 9 + c) * 9 + d,
                magnitude(before) << 4 | roughness(wrong + rough / 2),
            ];
            let difference = i32::from(pixel[channel]) - expected;
            let difference = ((difference + 128) & 255) - 128;
            let difference = self.difference(coder, difference, contexts, place);
            self.differences[0][x + 1][channel] = i16::try_from(difference).unwrap_or(0);
            if place == 0 {
                leading = difference;
            }
            before = difference.unsigned_abs();
            let [low, ..] = (expected + difference).to_le_bytes();
            read[channel] = low;
        }
        read
    }

    /// Codes a difference, -128 to 127, or reads and returns another, -255 to 255.
    #[inline]
    fn difference<C: Coder>(
        &mut self,
        coder: &mut C,
        difference: i32,
        contexts: [usize; 5],
        place: usize,
    ) -> i32 {
        let mut decide = |node: usize, bit: bool| {
            let contexts = contexts.map(|context| context << NODE_BITS | node);
            let set = place << NODE_BITS | node;
            self.decisions.code(coder, bit, contexts, set)
        };
        if !decide(0, difference != 0) {
            return 0;
        }
        let is_negative = decide(1, difference < 0);
        let size = difference.unsigned_abs();
        let bits = size.max(1).ilog2() as usize;
        let mut length = 0;
        while length < 7 && decide(2 + length, bits > length) {
            length += 1;
        }
        let mut read = 1;
        for below in (0..length).rev() {
            let node = match length - below {
                1 => 10 + length,
                2 => 18 + 2 * length + (read & 1),
                _ => 40 + below,
            };
            read = read << 1 | usize::from(decide(node, size >> below & 1 == 1));
        }
        let read = i32::try_from(read).unwrap_or(0);
        if is_negative { -read } else { read }
    }
}

/// Returns the bits of a number, seven at most.
#[inline]
fn magnitude(number: u32) -> usize {
    ((u32::BITS - number.leading_zeros()) as usize).min(7)
}

/// Returns how rough a place is, in sixteen steps.
#[inline]
fn roughness(sum: u32) -> usize {
    STEPS.iter().map(|step| usize::from(sum > *step)).sum()
}

/// Returns whither a number leans, and how far, in nine steps.
#[inline]
fn leaning(number: i32) -> usize {
    let far = match number.unsigned_abs() {
        0 => 0,
        1..=2 => 1,
        3..=7 => 2,
        8..=20 => 3,
        _ => 4,
    };
    if number < 0 { 4 - far } else { 4 + far }
}

const STEPS: [u32; 15] = [0, 2, 4, 7, 11, 16, 23, 32, 45, 64, 90, 128, 180, 255, 360];
/// A difference is at most so many decisions of different kinds, as bits.
const NODE_BITS: usize = 6;
const SEEN_BITS: u32 = 16;
