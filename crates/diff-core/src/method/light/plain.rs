//! The slow, short decoder: written from the format's document alone, to check the fast one.

use crate::method::steps::plain::{PlainCoder, PlainHistory};

/// Returns what a frame decodes to; nothing where it is malformed.
pub(super) fn decode(reference: &[u8], frame: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut plain = Plain::new(reference, frame, length);
    let end = reference.len() + length;
    while plain.history.all.len() < end {
        plain.token(end)?;
    }
    let made = plain.history.all.split_off(reference.len());
    plain.coder.is_at_end().then_some(made)
}

struct Plain<'a> {
    coder: PlainCoder<'a>,
    history: PlainHistory,
    since: usize,
    tokens: usize,
    seen: [u8; 2],
    slot_bits: u32,
    kinds: [Vec<Context>; 2],
    halves: [Vec<Context>; 2],
    lengths: [Vec<Context>; 2],
    long: Context,
    near: [Vec<Context>; 2],
    far: [Vec<Context>; 2],
    kind_weights: Vec<i64>,
    half_weights: Vec<i64>,
    length_weights: Vec<i64>,
}

#[derive(Clone)]
struct Context {
    /// With what ends the last one behind them.
    starts: [i64; 17],
    seen: usize,
}

impl<'a> Plain<'a> {
    fn new(reference: &[u8], frame: &'a [u8], length: usize) -> Plain<'a> {
        let new = Context {
            starts: std::array::from_fn(|symbol| 2048 * i64::try_from(symbol).unwrap()),
            seen: 0,
        };
        let contexts =
            |first: usize, second: usize| [vec![new.clone(); first], vec![new.clone(); second]];
        let slot_bits = (usize::BITS - length.leading_zeros()).clamp(9, 14) - 1;
        Plain {
            coder: PlainCoder::new(frame),
            history: PlainHistory::new(reference, length),
            since: 0,
            tokens: 0,
            seen: [0; 2],
            slot_bits,
            kinds: contexts(1024, 1024),
            halves: contexts(256 * 17, 17 << slot_bits),
            lengths: contexts(1024, 4096),
            long: new.clone(),
            near: contexts(16, 16),
            far: contexts(16, 128),
            kind_weights: vec![32_768; 64],
            half_weights: vec![32_768; 40],
            length_weights: vec![32_768; 16],
        }
    }

    fn token(&mut self, end: usize) -> Option<()> {
        let some = self.since.min(3);
        let one = usize::from(self.seen[0]);
        let [first, second] = &mut self.kinds;
        let kind = by_two(
            &mut self.coder,
            &mut first[some * 256 + self.tokens],
            &mut second[some * 256 + one],
            &mut self.kind_weights[some * 16 + self.tokens % 16],
            23,
        );
        if kind == 0 {
            let byte = self.literal();
            self.since += 1;
            self.tokens = self.tokens * 16 % 256;
            self.seen = [byte, self.seen[0]];
            self.history.append(byte);
            return Some(());
        }
        let length = self.length(kind);
        let last = self.history.distances[0];
        let distance = match kind {
            1 => last,
            2 => last + self.since,
            3 => self.history.guess().0,
            4 => self.near(length)?,
            5 => self.far(length),
            6..=8 => self.history.distances[kind - 5],
            _ => return None,
        };
        let left = end - self.history.all.len();
        for byte in self.history.copy(length, distance, left)? {
            self.seen = [*byte, self.seen[0]];
        }
        self.since = 0;
        self.tokens = (self.tokens * 16 + kind) % 256;
        Some(())
    }

    fn literal(&mut self) -> u8 {
        let [one, two] = self.seen.map(u32::from);
        let after = u32::from(self.since > 0);
        let wide = one + two * 256 + after * 0x0100_0000;
        let slot = wide.wrapping_mul(0x9e37_79b1) >> (32 - self.slot_bits);
        let (one, slot) = (usize::from(self.seen[0]), usize::try_from(slot).unwrap());
        let mut half = |node: usize| {
            let [first, second] = &mut self.halves;
            let second = &mut second[slot * 17 + node];
            let class = match second.seen {
                0 => 0,
                1..=2 => 1,
                3..=6 => 2,
                7..=14 => 3,
                _ => 4,
            };
            let weight = (usize::from(node > 0) * 5 + class) * 4 + self.since.min(3);
            let weight = &mut self.half_weights[weight];
            by_two(
                &mut self.coder,
                &mut first[one * 17 + node],
                second,
                weight,
                31,
            )
        };
        let upper = half(0);
        let lower = half(1 + upper);
        u8::try_from(upper * 16 + lower).unwrap()
    }

    fn length(&mut self, kind: usize) -> usize {
        let [first, second] = &mut self.lengths;
        let symbol = by_two(
            &mut self.coder,
            &mut first[(kind * 16 + self.tokens % 16) * 4 + self.since.min(3)],
            &mut second[kind * 256 + usize::from(self.seen[0])],
            &mut self.length_weights[kind],
            23,
        );
        let bits = match symbol {
            0..8 => return symbol + 1,
            8..15 => symbol - 7,
            _ => 8 + by_one(&mut self.coder, &mut self.long),
        };
        7 + (1 << bits) + self.coder.plain(bits)
    }

    fn near(&mut self, length: usize) -> Option<usize> {
        let [first, second] = &mut self.near;
        let context = self.since.min(3) * 4 + class(length).min(3);
        let bits = by_one(&mut self.coder, &mut first[context]);
        let symbol = by_one(&mut self.coder, &mut second[bits]);
        let by = self.number(bits, symbol % 8);
        let last = self.history.distances[0];
        match symbol / 8 {
            _ if by > 4096 => None,
            0 => Some(last + by),
            _ => last.checked_sub(by),
        }
    }

    fn far(&mut self, length: usize) -> usize {
        let [first, second] = &mut self.far;
        let context = class(length) * 2 + usize::from(self.since > 0);
        let half = by_one(&mut self.coder, &mut first[context]);
        let symbol = by_one(&mut self.coder, &mut second[half * 8 + class(length)]);
        self.number(half * 2 + symbol / 8, symbol % 8)
    }

    fn number(&mut self, bits: usize, behind: usize) -> usize {
        if bits < 3 {
            (8 + behind) >> (3 - bits)
        } else {
            ((8 + behind) << (bits - 3)) + self.coder.plain(bits - 3)
        }
    }
}

fn by_one(coder: &mut PlainCoder<'_>, context: &mut Context) -> usize {
    let symbol = coder.symbol(&context.starts[..16]);
    context.learn(symbol, 23);
    symbol
}

fn by_two(
    coder: &mut PlainCoder<'_>,
    first: &mut Context,
    second: &mut Context,
    weight: &mut i64,
    limit: usize,
) -> usize {
    let starts: Vec<i64> = (0..16)
        .map(|at| (first.starts[at], second.starts[at]))
        .map(|(first, second)| first + (((second - first) * (*weight >> 4)) >> 12))
        .collect();
    let symbol = coder.symbol(&starts);
    let end = starts.get(symbol + 1).copied().unwrap_or(32_768);
    let mixed = end - starts[symbol];
    let share = |context: &Context| context.starts[symbol + 1] - context.starts[symbol];
    // This division rounds towards zero.
    let better = (share(second) - share(first)) * 1024 / mixed;
    *weight = (*weight + better.clamp(-2048, 2048)).clamp(1024, 64_512);
    first.learn(symbol, limit);
    second.learn(symbol, limit);
    symbol
}

impl Context {
    fn learn(&mut self, symbol: usize, limit: usize) {
        let rate = match self.seen {
            0 => 1,
            1..=2 => 2,
            3..=5 => 3,
            6..=11 => 4,
            12..=23 => 5,
            _ => 6,
        };
        for at in 1..16 {
            let above = if at > symbol { 32_640 } else { 0 };
            let target = 8 * i64::try_from(at).unwrap() + above;
            self.starts[at] += (target - self.starts[at]) >> rate;
        }
        self.seen = (self.seen + 1).min(limit);
    }
}

fn class(length: usize) -> usize {
    usize::try_from(length.ilog2()).unwrap().min(7)
}
