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
        let steps = parse(&finder, reference.len(), &prices, effort, &heard)?;
        Ok(Draft {
            reference,
            new,
            finder,
            level,
            steps,
        })
    }

    /// Returns how many literals and copies it takes, about.
    pub(crate) fn tokens(&self) -> usize {
        let tokens = self.steps.iter().map(|step| match step {
            Step::Literals(count) => *count,
            Step::Copy { .. } => 1,
        });
        tokens.sum()
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
            steps = parse(&self.finder, self.reference.len(), &prices, effort, &heard)?;
        }
        encode::<M>(self.reference, self.new, &steps, places, advanced)
    }
}

/// Parses what follows the reference, in parts of its own each.
fn parse(
    finder: &Finder,
    reference: usize,
    prices: &Prices,
    effort: Effort,
    heard: &(dyn Fn(u64) -> Result<(), Cancelled> + Sync),
) -> Result<Vec<Step>, Cancelled> {
    let end = finder.all().len();
    let starts: Vec<usize> = (reference..end).step_by(PART_BYTES).collect();
    let parts = starts.into_par_iter().map(|start| {
        let parser = Parser::new(finder, reference, prices, effort);
        parser.run(start, end.min(start + PART_BYTES), heard)
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
