//! The slow, short decoder: written from the format's document alone, to check the fast one.

use crate::container::{Rows, Samples};
use crate::entropy::{BitDecoder, Coder};
use crate::mixing::plain::Logistic;

/// Returns the filtered rows; nothing where they are malformed.
pub(super) fn decode(coded: &[u8], length: usize, rows: Rows, samples: Samples) -> Option<Vec<u8>> {
    let width = (rows.stride - 1) / rows.pixel;
    let is_whole =
        (rows.stride - 1).is_multiple_of(rows.pixel) && length.is_multiple_of(rows.stride);
    let is_size = matches!(rows.pixel, 1 | 2 | 3 | 4 | 6 | 8);
    if !is_whole || !is_size || samples == Samples::Symbols && rows.pixel != 1 {
        return None;
    }
    let height = length / rows.stride;
    let mut plain = Plain {
        coder: BitDecoder::new(coded),
        logistic: Logistic::new(),
        bytes: rows.pixel,
        width,
        is_symbols: samples == Samples::Symbols,
        pixels: Vec::new(),
        differences: Vec::new(),
        filters: vec![(2048, 0); 64],
        runs: Question::new(&[5, 12], 16),
        beside: Question::new(&[12, 16, 13, 16], 320),
        symbols: Question::new(&[17; 5], 272),
        numbers: Question::new(&[13, 14, 12, 14, 13], 256),
        last: vec![0; 1 << 16],
        same: 0,
        past: 0,
    };
    let mut filters = Vec::new();
    let mut filter = 0;
    for _ in 0..height {
        filter = plain.filter(filter);
        if filter > 4 {
            return None;
        }
        filters.push(u8::try_from(filter).unwrap());
        plain.row();
    }
    if !plain.coder.is_at_end() {
        return None;
    }
    let bytes = plain
        .pixels
        .iter()
        .flat_map(|pixel| pixel.to_le_bytes().into_iter().take(rows.pixel));
    let opened: Vec<u8> = filters.into_iter().chain(bytes).collect();
    Some(rows.refilter(&opened)?.to_vec())
}

struct Plain<'a> {
    coder: BitDecoder<'a>,
    logistic: Logistic,
    bytes: usize,
    width: usize,
    is_symbols: bool,
    /// All pixels so far, and the differences of each.
    pixels: Vec<u64>,
    differences: Vec<[i64; 8]>,
    filters: Vec<(i64, i64)>,
    runs: Question,
    beside: Question,
    symbols: Question,
    numbers: Question,
    last: Vec<u64>,
    same: usize,
    past: usize,
}

/// A question's counters (probability and how often seen), and its sets of weights.
struct Question {
    tables: Vec<Vec<(i64, i64)>>,
    weights: Vec<Vec<i64>>,
}

impl Question {
    fn new(bits: &[u32], sets: usize) -> Question {
        let weight = i64::try_from(10_400 / bits.len()).unwrap();
        Question {
            tables: bits.iter().map(|bits| vec![(2048, 0); 1 << bits]).collect(),
            weights: vec![vec![weight; bits.len()]; sets],
        }
    }
}

fn learn(counter: &mut (i64, i64), bit: bool) {
    let target = if bit { 4095 } else { 0 };
    let share = 655_360 / (10 * counter.1 + 16);
    counter.0 += ((target - counter.0) * share + 32_768) >> 16;
    counter.1 = (counter.1 + 1).min(15);
}

fn hash(salt: u32, a: u32, b: u32) -> u32 {
    let x = (a ^ salt.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    let x = (x ^ (x >> 15) ^ b.wrapping_mul(0x27d4_eb2f)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap()
}

fn width(number: i64) -> usize {
    usize::try_from(64 - number.leading_zeros()).unwrap()
}

impl Plain<'_> {
    fn ask(&mut self, which: fn(&mut Self) -> &mut Question, places: &[usize], set: usize) -> bool {
        let mut question = std::mem::replace(
            which(self),
            Question {
                tables: Vec::new(),
                weights: Vec::new(),
            },
        );
        let counters = places
            .iter()
            .zip(&question.tables)
            .map(|(place, table)| table[*place]);
        let inputs: Vec<i64> = counters
            .map(|(probability, _)| self.logistic.stretch[usize::try_from(probability).unwrap()])
            .collect();
        let sum: i64 = inputs
            .iter()
            .zip(&question.weights[set])
            .map(|(input, weight)| input * weight)
            .sum();
        let sum = (sum >> 13).clamp(-2815, 2815);
        let said = self.logistic.squash[usize::try_from(sum + 2815).unwrap()];
        let bit = self.coder.bit(false, u32::try_from(said).unwrap());
        let error = ((if bit { 65_535 } else { 0 } - said) * 32) >> 7;
        for (weight, input) in question.weights[set].iter_mut().zip(&inputs) {
            *weight = (*weight + ((input * error + 32_768) >> 16)).clamp(-32_768, 32_767);
        }
        for (place, table) in places.iter().zip(&mut question.tables) {
            learn(&mut table[*place], bit);
        }
        *which(self) = question;
        bit
    }

    fn filter(&mut self, last: usize) -> usize {
        let mut n = 1;
        for _ in 0..3 {
            let counter = &mut self.filters[last * 8 + n];
            let bit = self
                .coder
                .bit(false, u32::try_from(16 * counter.0 + 8).unwrap());
            learn(counter, bit);
            n = 2 * n + usize::from(bit);
        }
        n - 8
    }

    fn row(&mut self) {
        let start = self.pixels.len();
        let end = start + self.width;
        let mut alone = 0;
        while self.pixels.len() < end {
            let at = self.pixels.len();
            if start > 0 && self.same >= 3 && alone == 0 {
                let most = match self.same {
                    0..=63 => 8,
                    64..=511 => 32,
                    _ => 128,
                };
                let above: Vec<u64> =
                    self.pixels[at - self.width..(at - self.width + most).min(start)].to_vec();
                let above: Vec<u64> = above.into_iter().take(end - at).collect();
                let is_flat = above.iter().all(|pixel| *pixel == above[0]);
                let l = (width(i64::try_from(self.same).unwrap()) - 1).min(12);
                let places = [2 * l + usize::from(is_flat), self.past * 16 + l];
                if self.ask(|plain| &mut plain.runs, &places, l) {
                    self.same += above.len();
                    self.differences.extend(vec![[0; 8]; above.len()]);
                    self.pixels.extend(above);
                    continue;
                }
                alone = 12;
            }
            alone = if alone > 0 { alone - 1 } else { 0 };
            self.pixel(start);
        }
    }

    fn pixel(&mut self, start: usize) {
        let at = self.pixels.len();
        let (x, y) = (at - start, start / self.width);
        let get = |dx: usize, left: bool, dy: usize| -> Option<u64> {
            let x = if left { x.checked_sub(dx)? } else { x + dx };
            (x < self.width && y >= dy)
                .then(|| self.pixels.get((y - dy) * self.width + x).copied())?
        };
        let above = get(0, false, 1);
        let w = get(1, true, 0).or(above).unwrap_or(0);
        let n = above.unwrap_or(w);
        let nw = get(1, true, 1).unwrap_or(n);
        let ne = get(1, false, 1).unwrap_or(n);
        let ww = get(2, true, 0).unwrap_or(w);
        let nn = get(0, false, 2).unwrap_or(n);
        let nne = get(1, false, 2).unwrap_or(ne);
        let f = |pixel: u64| low(pixel) ^ low(pixel >> 32).wrapping_mul(0x9e37_79b1);
        let two = hash(1, f(w), f(n));
        let four = hash(3, two, hash(2, f(nw), f(ne)));
        let all = hash(5, four, hash(6, f(ww), hash(4, f(nn), f(nne))));
        let place = usize::try_from(four >> 16).unwrap();
        let asked = match self.is_symbols {
            true => vec![(1, w), (2, n)],
            false => vec![(0, self.last[place]), (1, w), (2, n), (3, ne), (4, nw)],
        };
        let pairs = [
            (w, n),
            (n, ne),
            (w, nw),
            (n, nw),
            (ww, w),
            (nn, n),
            (nne, ne),
        ];
        let bits = pairs
            .iter()
            .zip(0..)
            .map(|((one, other), bit)| usize::from(one == other) << bit);
        let pattern: usize = bits.sum();
        let mut wrong: Vec<u64> = Vec::new();
        let mut found = None;
        for (number, pixel) in asked {
            if wrong.contains(&pixel) {
                continue;
            }
            let c = wrong.len();
            let q = 5 * c + number;
            let salted = |hash: u32| {
                let salt = u32::try_from(q).unwrap().wrapping_mul(0x9e37_79b1);
                usize::try_from(hash.wrapping_add(salt) >> 16).unwrap()
            };
            let places = [
                pattern * 32 + q,
                salted(four),
                self.past * 32 + q,
                salted(all),
            ];
            if self.ask(|plain| &mut plain.beside, &places, c * 64 + pattern % 64) {
                self.past = (self.past * 4 + c.min(2)) % 256;
                found = Some(pixel);
                break;
            }
            wrong.push(pixel);
        }
        let mut differences = [0; 8];
        let pixel = found.unwrap_or_else(|| {
            self.past = (self.past * 4 + 3) % 256;
            match self.is_symbols {
                true => self.symbol(two, four, [w, n, ww]),
                false => self.samples(x, y, [w, n, nw, ne, ww, nn], &mut differences),
            }
        });
        self.last[place] = pixel;
        self.same = if pixel == n { self.same + 1 } else { 0 };
        self.pixels.push(pixel);
        self.differences.push(differences);
    }

    fn symbol(&mut self, two: u32, four: u32, [w, n, ww]: [u64; 3]) -> u64 {
        let contexts = [
            hash(7, low(w), 0),
            hash(8, low(n), 0),
            two,
            four,
            hash(9, low(w), low(ww)),
        ];
        let mut h = 0;
        let mut byte = 0;
        for _ in 0..2 {
            let mut node = 1;
            for _ in 0..4 {
                let salt = u32::try_from(h).unwrap();
                let places =
                    contexts.map(|x| usize::try_from(hash(10, x, salt) >> 19).unwrap() * 16 + node);
                let bit = self.ask(|plain| &mut plain.symbols, &places, h * 16 + node);
                node = 2 * node + usize::from(bit);
            }
            byte = byte * 16 + node - 16;
            h = 1 + node - 16;
        }
        u64::try_from(byte).unwrap()
    }

    fn samples(&mut self, x: usize, y: usize, around: [u64; 6], differences: &mut [i64; 8]) -> u64 {
        let order: Vec<usize> = match self.bytes {
            3 => vec![1, 0, 2],
            4 => vec![1, 0, 2, 3],
            bytes => (0..bytes).collect(),
        };
        let mut pixel = [0; 8];
        let mut before = 0;
        for (came, place) in order.iter().copied().enumerate() {
            let [w, n, nw, ne, ww, nn] = around.map(|pixel| i64::from(pixel.to_le_bytes()[place]));
            let middle = (w + n - nw).clamp(w.min(n), w.max(n));
            let follows = matches!(self.bytes, 3 | 4) && matches!(came, 1 | 2);
            let expected = match follows {
                true => (middle + differences[order[0]]).clamp(0, 255),
                false => middle,
            };
            let size = |x: Option<usize>, y: Option<usize>| match (x, y) {
                (Some(x), Some(y)) if x < self.width => {
                    self.differences[y * self.width + x][place].abs()
                }
                _ => 0,
            };
            let beside = size(x.checked_sub(1), Some(y));
            let wrong =
                beside + size(Some(x), y.checked_sub(1)) + size(Some(x + 1), y.checked_sub(1));
            let rough = (w - nw).abs() + (n - nw).abs() + (n - ne).abs();
            let i = came.min(3);
            let m = |n: i64| width(n).min(7);
            let r = |n: i64| {
                let steps = [0, 2, 4, 7, 11, 16, 23, 32, 45, 64, 90, 128, 180, 255, 360];
                steps.iter().filter(|step| **step < n).count()
            };
            let d = |n: i64| {
                let far = [0, 2, 7, 20].iter().filter(|most| **most < n.abs()).count();
                if n < 0 { 4 - far } else { 4 + far }
            };
            let contexts = [
                9 * d(2 * n - nn - middle) + d(2 * w - ww - middle),
                64 * i + 8 * m(before) + m(beside),
                16 * i + r(2 * wrong),
                9 * (9 * i.min(1) + d(w + ne - n - middle)) + d(((w + n) >> 1) - middle),
                16 * m(before) + r(wrong + rough / 2),
            ];
            let difference = self.difference(contexts, i);
            differences[place] = difference;
            before = difference.abs();
            pixel[place] = u8::try_from((expected + difference).rem_euclid(256)).unwrap();
        }
        u64::from_le_bytes(pixel)
    }

    fn difference(&mut self, contexts: [usize; 5], i: usize) -> i64 {
        let mut ask = |k: usize| {
            let places = contexts.map(|context| context * 64 + k);
            self.ask(|plain| &mut plain.numbers, &places, 64 * i + k)
        };
        if !ask(0) {
            return 0;
        }
        let is_negative = ask(1);
        let mut b = 0;
        while b < 7 && ask(2 + b) {
            b += 1;
        }
        let mut s = 1;
        for place in 0..b {
            let k = match place {
                0 => 10 + b,
                1 => 18 + 2 * b + s % 2,
                _ => 40 + (b - 1 - place),
            };
            s = 2 * s + usize::from(ask(k));
        }
        let size = i64::try_from(s).unwrap();
        if is_negative { -size } else { size }
    }
}
