use super::model::{Kind, Model};
use super::seam::malformed;
use crate::DeltaError;
use crate::deflate::tree::{code_lengths, code_lengths_sorted};
use crate::deflate::{BlockCounts, END_OF_BLOCK, META_ORDER, META_SYMBOLS, Trees};
use crate::entropy::Coder;

/// How the encoder of a stream makes codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Habits {
    /// Whether it makes them as 7-Zip does, and not as zlib.
    pub(super) sorted: bool,
    /// Whether repeated lengths go on from the literal code's to the distance code's.
    pub(super) crossing: bool,
}

impl Habits {
    /// Codes a block's codes, given what they are for.
    pub(super) fn code<C: Coder>(
        self,
        model: &mut Model<C>,
        counts: &BlockCounts,
        trees: &Trees,
    ) -> Result<Trees, DeltaError> {
        let expected = self.lengths(&counts.literals, 15);
        let literals = lengths(model, 0, &expected, END_OF_BLOCK + 1, &trees.literals)?;
        let expected = self.lengths(&counts.distances, 15);
        let distances = lengths(model, 1, &expected, 1, &trees.distances)?;
        let spelling = self.spelling(model, &literals, &distances, &trees.spelling)?;
        let mut counts = [0_u32; META_SYMBOLS];
        for (symbol, _) in &spelling {
            counts[usize::from(*symbol) % META_SYMBOLS] += 1;
        }
        let expected = self.lengths(&counts, 7);
        let expected: Vec<u8> = META_ORDER.iter().map(|symbol| expected[*symbol]).collect();
        let meta = lengths(model, 2, &expected, 4, &trees.meta)?;
        Ok(Trees {
            literals,
            distances,
            meta,
            spelling,
        })
    }

    fn lengths(self, counts: &[u32], max_bits: usize) -> Vec<u8> {
        if self.sorted {
            code_lengths_sorted(counts, max_bits)
        } else {
            code_lengths(counts, max_bits)
        }
    }

    /// Codes how the lengths are written, one symbol after the other.
    fn spelling<C: Coder>(
        self,
        model: &mut Model<C>,
        literals: &[u8],
        distances: &[u8],
        spelling: &[(u8, u8)],
    ) -> Result<Vec<(u8, u8)>, DeltaError> {
        let all: Vec<u8> = literals.iter().chain(distances).copied().collect();
        let mut written: Vec<(u8, u8)> = Vec::with_capacity(all.len());
        let mut at = 0;
        while let Some(length) = all.get(at).copied() {
            let end = if at < literals.len() && !self.crossing {
                literals.len()
            } else {
                all.len()
            };
            let rest = all.get(at..end).unwrap_or(&[]);
            let run = rest.iter().take_while(|other| **other == length).count();
            let before = at.checked_sub(1).and_then(|at| all.get(at)).copied();
            let expected = expected_step(
                length,
                run,
                before == Some(length),
                at != literals.len() || self.crossing,
            );
            let actual = spelling.get(written.len()).copied().unwrap_or(expected);
            let step = if model.flag(Kind::SameSpelling, 0, actual == expected) {
                expected
            } else {
                let symbol =
                    model.number(Kind::Spelling, 0, usize::from(actual.0.saturating_sub(15)));
                let extra = model.number(Kind::Spelling, 1, usize::from(actual.1));
                let [extra, ..] = extra.to_le_bytes();
                match symbol {
                    0 => (length, 0),
                    1 => (16, extra),
                    2 => (17, extra),
                    _ => (18, extra),
                }
            };
            let (least, most, fits) = match step.0 {
                16 => (3, 6, before == Some(length)),
                17 => (3, 10, length == 0),
                18 => (11, 138, length == 0),
                _ => (1, 1, true),
            };
            let taken = least + usize::from(step.1);
            let same = all
                .iter()
                .skip(at)
                .take(taken)
                .filter(|other| **other == length)
                .count();
            if !fits || taken > most || same < taken {
                return Err(malformed("spells code lengths that are others"));
            }
            written.push(step);
            at += taken;
        }
        Ok(written)
    }
}

/// Returns how zlib goes on where the next `run` lengths are the same.
fn expected_step(length: u8, run: usize, repeats: bool, within: bool) -> (u8, u8) {
    let extra = |taken: usize, least: usize| {
        let [extra, ..] = (taken - least).to_le_bytes();
        extra
    };
    match (length, run) {
        (0, 3..=10) => (17, extra(run, 3)),
        (0, 11..) => (18, extra(run.min(138), 11)),
        (1.., 3..) if repeats && within => (16, extra(run.min(6), 3)),
        _ => (length, 0),
    }
}

/// Codes the lengths of a code, given the expected ones: at least `least`, and beyond those up to the last
/// that is not 0, as a rule.
fn lengths<C: Coder>(
    model: &mut Model<C>,
    code: u32,
    expected: &[u8],
    least: usize,
    lengths: &[u8],
) -> Result<Vec<u8>, DeltaError> {
    let used = |lengths: &[u8]| {
        let last = lengths.iter().rposition(|length| *length > 0);
        last.map_or(0, |last| last + 1).max(least)
    };
    let own = used(expected);
    let count = if model.flag(Kind::Trimmed, code, lengths.len() == own) {
        own
    } else {
        model.number(Kind::Lengths, code, lengths.len())
    };
    if count < least || count > expected.len() {
        return Err(malformed("has a code of too many symbols"));
    }
    let mut coded = Vec::with_capacity(count);
    let (mut wrong, limit) = (0_u32, if code == 2 { 7 } else { 15 });
    for (at, expected) in expected.iter().take(count).enumerate() {
        let actual = lengths.get(at).copied().unwrap_or(*expected);
        let context = code << 8 | u32::from(*expected) << 2 | wrong.min(3);
        let is_same = model.decide(
            Kind::SameLength,
            [
                context,
                code << 2 | wrong.min(3),
                code << 8 | u32::from(*expected),
            ],
            actual == *expected,
        );
        wrong = if is_same { wrong / 2 } else { wrong + 2 };
        if is_same {
            coded.push(*expected);
            continue;
        }
        let can_shrink = *expected > 0;
        let longer = !can_shrink
            || *expected < limit
                && model.flag(
                    Kind::Longer,
                    code << 4 | u32::from(*expected),
                    actual > *expected,
                );
        let less_one = actual.abs_diff(*expected).saturating_sub(1);
        let difference = model.number(
            Kind::LengthDifference,
            code << 1 | u32::from(*expected > 0),
            usize::from(less_one),
        ) + 1;
        let difference = u8::try_from(difference).unwrap_or(u8::MAX);
        let length = if longer {
            expected.checked_add(difference)
        } else {
            expected.checked_sub(difference)
        };
        match length {
            Some(length) if length <= limit => coded.push(length),
            _ => return Err(malformed("has a code that is too long")),
        }
    }
    Ok(coded)
}
