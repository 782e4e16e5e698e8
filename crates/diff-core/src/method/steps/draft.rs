use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::finder::Finder;
use super::halved::Halved;
use super::parse::{Effort, Parser};
use super::{Prices, Step, StepModel, encode};
use crate::Cancelled;
use crate::method::{Coded, EncodeError, Level};
use crate::progress::Advanced;

/// A first, quick parse of new content.
pub(crate) struct Draft<'a> {
    reference: &'a [u8],
    new: &'a [u8],
    /// In both.
    finder: Finder,
    level: Level,
    steps: Vec<Step>,
    /// One part of so many was parsed.
    every: usize,
}

impl<'a> Draft<'a> {
    /// Parses `new` by what usually holds; `advanced` hears of half of its bytes.
    pub(crate) fn of(
        reference: &'a [u8],
        new: &'a [u8],
        level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Draft<'a>, Cancelled> {
        let all = [reference, new].concat();
        let prices = Prices::usual(new);
        let finder = Finder::new(all);
        // What only tells prices need not be the best.
        let effort = Effort::of(level, finder.all().len()).of_draft();
        let heard = Mutex::new(Halved::of(advanced));
        let heard = |bytes| hear(&heard, bytes);
        // Of much content, samples tell what it comes to.
        let every = match level {
            Level::Fast | Level::Default if new.len() > WHOLE_BYTES => SAMPLED_OF,
            _ => 1,
        };
        let steps = parse(&finder, reference.len(), &prices, effort, every, &heard)?;
        Ok(Draft {
            reference,
            new,
            finder,
            level,
            steps,
            every,
        })
    }

    /// Returns how many literals and copies it takes, about.
    pub(crate) fn tokens(&self) -> usize {
        let tokens = self.steps.iter().map(|step| match step {
            Step::Literals(count) => *count,
            Step::Copy { .. } => 1,
        });
        tokens.sum::<usize>() * self.every
    }

    /// Returns the new content coded in about the fewest bytes, by steps that are parsed by what the first
    /// ones come to in the model's coding, with the bits at which `places` stand; `advanced` hears of the
    /// other half.
    pub(crate) fn code<M: StepModel>(
        self,
        places: &[usize],
        advanced: &mut Advanced<'_>,
    ) -> Result<Coded, EncodeError> {
        let mut steps = self.steps;
        let passes = match self.level {
            Level::Fast | Level::Default => 1,
            Level::Best => 2,
        };
        let effort = Effort::of(self.level, self.finder.all().len());
        let halved = Mutex::new(Halved::of(advanced));
        for pass in 1..=passes {
            let coded = encode::<M>(self.reference, self.new, &steps, &[], &mut |_| {
                hear(&halved, 0)
            })?;
            let prices = Prices::of(
                self.reference,
                self.new,
                &steps,
                coded.literal_bits,
                M::BESIDE_COPIES,
            );
            // Bytes are done once.
            let heard = |bytes| hear(&halved, if pass < passes { 0 } else { bytes });
            steps = parse(&self.finder, self.reference.len(), &prices, effort, 1, &heard)?;
        }
        encode::<M>(self.reference, self.new, &steps, places, advanced)
    }
}

/// Parses what follows the reference, in parts of its own each: one of `every` so many, the others are
/// taken for copies.
fn parse(
    finder: &Finder,
    reference: usize,
    prices: &Prices,
    effort: Effort,
    every: usize,
    heard: &(dyn Fn(u64) -> Result<(), Cancelled> + Sync),
) -> Result<Vec<Step>, Cancelled> {
    let end = finder.all().len();
    let part_bytes = if every > 1 { SAMPLE_BYTES } else { PART_BYTES };
    let starts: Vec<usize> = (reference..end).step_by(part_bytes).collect();
    let parts = starts.into_par_iter().enumerate().map(|(part, start)| {
        let end = end.min(start + part_bytes);
        if part.is_multiple_of(every) {
            return Parser::new(finder, reference, prices, effort).run(start, end, heard);
        }
        let length = end - start;
        heard(length as u64)?;
        // What a parser starts from.
        let distance = reference.max(1);
        Ok(vec![Step::Copy { length, distance }])
    });
    let parts: Result<Vec<Vec<Step>>, Cancelled> = parts.collect();
    let mut steps = Vec::new();
    for step in parts?.into_iter().flatten() {
        Step::push(&mut steps, step);
    }
    Ok(steps)
}

fn hear(halved: &Mutex<Halved<'_>>, bytes: u64) -> Result<(), Cancelled> {
    let mut halved = halved.lock().unwrap_or_else(PoisonError::into_inner);
    halved.hear(bytes)
}

/// So much is parsed in one go.
const PART_BYTES: usize = 1 << 20;
/// So much is drafted whole; of more, one part in so many.
const WHOLE_BYTES: usize = 4 << 20;
const SAMPLED_OF: usize = 4;
const SAMPLE_BYTES: usize = 1 << 17;
