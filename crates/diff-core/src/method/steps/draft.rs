use super::halved::Halved;
use super::parse::{Parser, depth};
use super::{Coding, Prices, Step};
use crate::Cancelled;
use crate::method::Level;

/// A first, quick parse of new content.
pub(crate) struct Draft<'a> {
    reference: &'a [u8],
    new: &'a [u8],
    /// Both.
    all: Vec<u8>,
    level: Level,
    steps: Vec<Step>,
}

impl<'a> Draft<'a> {
    /// Parses `new` by what usually holds; `advanced` hears of half of its bytes.
    pub(crate) fn of(
        reference: &'a [u8],
        new: &'a [u8],
        level: Level,
        advanced: &mut dyn FnMut(u64) -> Result<(), Cancelled>,
    ) -> Result<Draft<'a>, Cancelled> {
        let all = [reference, new].concat();
        let prices = Prices::usual(new, Coding::Mixed);
        // What only tells prices need not be the best.
        let parser = Parser::new(&all, reference.len(), &prices, depth(level, all.len()) / 4);
        let steps = parser.run(&mut Halved::of(advanced))?;
        Ok(Draft {
            reference,
            new,
            all,
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

    /// Returns steps that make the new content in about the fewest bytes, parsed by what the first ones
    /// came to; `advanced` hears of the other half.
    pub(crate) fn steps(
        self,
        coding: Coding,
        advanced: &mut dyn FnMut(u64) -> Result<(), Cancelled>,
    ) -> Result<Vec<Step>, Cancelled> {
        let mut steps = self.steps;
        let passes = match self.level {
            Level::Fast | Level::Default => 1,
            Level::Best => 2,
        };
        let mut halved = Halved::of(advanced);
        for pass in 1..=passes {
            let prices = Prices::of(self.reference, self.new, &steps, coding);
            let parser = Parser::new(
                &self.all,
                self.reference.len(),
                &prices,
                depth(self.level, self.all.len()),
            );
            steps = if pass < passes {
                parser.run(&mut Halved::of(&mut |_| halved.hear(0)))?
            } else {
                parser.run(&mut halved)?
            };
        }
        Ok(steps)
    }
}
