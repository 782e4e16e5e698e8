use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::finder::Finder;
use super::halved::Halved;
use super::parse::{Effort, Parser};
use super::{Measured, Prices, Step, StepModel, encode};
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
    /// How many literals and copies it takes, about.
    tokens: usize,
}

impl<'a> Draft<'a> {
    /// Parses `new` by what usually holds; `advanced` hears of half of its bytes.
    pub(crate) fn of(
        reference: &'a [u8],
        new: &'a [u8],
        level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Draft<'a>, Cancelled> {
        let prices = Prices::usual(new);
        let finder = Finder::new(reference, new);
        // What only tells prices need not be the best.
        let effort = Effort::of(level, finder.all().len()).of_draft();
        let heard = Mutex::new(Halved::of(advanced));
        let heard = |bytes| hear(&heard, bytes);
        let whole = Parts {
            finder: &finder,
            reference: reference.len(),
            bytes: PART_BYTES,
            prices: &prices,
            effort,
            heard: &heard,
        };
        // Samples tell what much that is new comes to; of little, they know too little.
        if level != Level::Best && new.len() >= LONG_BYTES {
            let unheard = |_| heard(0);
            let samples = Parts {
                bytes: SAMPLE_BYTES,
                heard: &unheard,
                ..whole
            };
            let sampled = samples.parse(&|part| part.is_multiple_of(SAMPLED_OF))?;
            let tokens = SAMPLED_OF * tokens_of(&sampled);
            if tokens >= MANY_TOKENS {
                heard(new.len() as u64)?;
                return Ok(Draft {
                    reference,
                    new,
                    level,
                    steps: samples.joined(sampled),
                    tokens,
                    finder,
                });
            }
        }
        let drafted = whole.parse(&|_| true)?;
        Ok(Draft {
            reference,
            new,
            level,
            tokens: tokens_of(&drafted),
            steps: whole.joined(drafted),
            finder,
        })
    }

    /// Returns how many literals and copies it takes, about.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns how many bytes a model makes of the first of the steps.
    pub(crate) fn sampled<M: StepModel>(
        &self,
        advanced: &mut Advanced<'_>,
    ) -> Result<usize, EncodeError> {
        let samples = M::worthwhile(self.tokens);
        let model = M::new(self.reference, self.new.len(), samples);
        let (first, _) = sample(&self.steps);
        let (reference, new) = (self.reference, self.new);
        let coded = encode(model, reference, new, first, &[], &mut |_| advanced(0))?;
        Ok(coded.bytes.len())
    }

    /// Returns the new content coded in about the fewest bytes, by steps that are parsed by what the first
    /// ones come to in the model's coding, with the bits at which `places` stand. Literals that a copy could
    /// make are taken to cost `beside_copies` percent of what all cost, or `otherwise` percent where a trial is
    /// clearly shorter by that. `advanced` hears of the other half.
    pub(crate) fn code<M: StepModel>(
        &self,
        beside_copies: u32,
        otherwise: Option<u32>,
        places: &[usize],
        advanced: &mut Advanced<'_>,
    ) -> Result<Coded, EncodeError> {
        let mut steps = Cow::Borrowed(&self.steps);
        let passes = match self.level {
            Level::Fast | Level::Default => 1,
            Level::Best => 2,
        };
        let effort = Effort::of(self.level, self.finder.all().len());
        let halved = Mutex::new(Halved::of(advanced));
        let unheard = |_: u64| hear(&halved, 0);
        let samples = M::worthwhile(self.tokens);
        let model = M::new(self.reference, self.new.len(), samples);
        for pass in 1..=passes {
            let (sample, sampled_bytes) = sample(&steps);
            let coded = encode(
                model.clone(),
                self.reference,
                self.new,
                sample,
                &[],
                &mut |bytes| unheard(bytes),
            )?;
            let sampled = (sampled_bytes, coded.literal_bits);
            let measured = Measured::of(self.reference, self.new, &steps, sampled);
            let beside = match otherwise {
                Some(other) => self.cheaper(beside_copies, other, &model, &measured, &unheard)?,
                None => beside_copies,
            };
            let prices = measured.prices(beside);
            // Bytes are done once.
            let heard = |bytes| hear(&halved, if pass < passes { 0 } else { bytes });
            let parts = Parts {
                finder: &self.finder,
                reference: self.reference.len(),
                bytes: PART_BYTES,
                prices: &prices,
                effort,
                heard: &heard,
            };
            steps = Cow::Owned(parts.joined(parts.parse(&|_| true)?));
        }
        encode(model, self.reference, self.new, &steps, places, advanced)
    }

    /// Returns `other` where its prices make a few busy parts clearly shorter than those of `usual`.
    fn cheaper<M: StepModel>(
        &self,
        usual: u32,
        other: u32,
        model: &M,
        measured: &Measured,
        heard: &(dyn Fn(u64) -> Result<(), Cancelled> + Sync),
    ) -> Result<u32, EncodeError> {
        let busy = self.busy_parts();
        if busy.is_empty() {
            return Ok(usual);
        }
        let coded_bytes = |share| {
            let parts = Parts {
                finder: &self.finder,
                reference: self.reference.len(),
                bytes: TRIED_BYTES,
                prices: &measured.prices(share),
                effort: Effort::of(self.level, self.finder.all().len()),
                heard,
            };
            let steps = parts.joined(parts.parse(&|part| busy.contains(&part))?);
            let coded = encode(
                model.clone(),
                self.reference,
                self.new,
                &steps,
                &[],
                &mut |_| heard(0),
            )?;
            Ok::<usize, EncodeError>(coded.bytes.len())
        };
        let (by_usual, by_other) = rayon::join(|| coded_bytes(usual), || coded_bytes(other));
        let (by_usual, by_other) = (by_usual?, by_other?);
        let is_clear = by_other < by_usual - by_usual / TRIAL_GAIN;
        Ok(if is_clear { other } else { usual })
    }

    /// Returns the numbers of short parts in which much is new, all over the content: few enough to be parsed
    /// twice.
    fn busy_parts(&self) -> Vec<usize> {
        let mut tokens_of_parts = vec![0; self.new.len().div_ceil(TRIED_BYTES)];
        let mut at = 0;
        for step in &self.steps {
            match *step {
                Step::Literals(count) => {
                    for place in at..at + count {
                        tokens_of_parts[place / TRIED_BYTES] += 1;
                    }
                    at += count;
                }
                Step::Copy { length, .. } => {
                    tokens_of_parts[at / TRIED_BYTES] += 1;
                    at += length;
                }
            }
        }
        let all: usize = tokens_of_parts.iter().sum();
        if all < LEAST_TRIED.max(self.new.len() / TRIED_OF) {
            return Vec::new();
        }
        let average = all / tokens_of_parts.len();
        let busy = tokens_of_parts.iter().enumerate();
        let busy = busy.filter(|(_, tokens)| **tokens >= average);
        let busy: Vec<usize> = busy.map(|(part, _)| part).collect();
        let tokens: usize = busy.iter().map(|part| tokens_of_parts[*part]).sum();
        let apart = tokens.div_ceil(TRIED_TOKENS);
        busy.into_iter().step_by(apart).collect()
    }
}

/// What follows the reference, in parts that are parsed each by itself.
struct Parts<'p> {
    finder: &'p Finder,
    reference: usize,
    /// How long a part is.
    bytes: usize,
    prices: &'p Prices,
    effort: Effort,
    heard: &'p (dyn Fn(u64) -> Result<(), Cancelled> + Sync),
}

impl Parts<'_> {
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let (end, bytes) = (self.finder.all().len(), self.bytes);
        let starts = (self.reference..end).step_by(bytes);
        starts.map(move |start| start..end.min(start + bytes))
    }

    /// Parses those parts that are wanted, by their numbers.
    fn parse(
        &self,
        is_wanted: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<Vec<Option<Vec<Step>>>, Cancelled> {
        let ranges: Vec<Range<usize>> = self.ranges().collect();
        let parts = ranges.into_par_iter().enumerate().map(|(part, range)| {
            let parser = || Parser::new(self.finder, self.reference, self.prices, self.effort);
            let run = || parser().run(range.start, range.end, GUESSED_BYTES, self.heard);
            is_wanted(part).then(run).transpose()
        });
        parts.collect()
    }

    /// Returns the steps of all parts; those that were not parsed are taken for copies from where a
    /// parser looks first.
    fn joined(&self, parts: Vec<Option<Vec<Step>>>) -> Vec<Step> {
        let mut steps = Vec::new();
        for (part, range) in parts.into_iter().zip(self.ranges()) {
            let copy = Step::Copy {
                length: range.len(),
                distance: self.reference.max(1),
            };
            for step in part.unwrap_or_else(|| vec![copy]) {
                Step::push(&mut steps, step);
            }
        }
        steps
    }
}

/// Returns the first of many steps, and how many bytes they make: what a model makes of these tells what it
/// makes of all.
fn sample(steps: &[Step]) -> (&[Step], usize) {
    let most = (steps.iter().map(tokens).sum::<usize>() / CODED_OF).max(LEAST_CODED);
    let (mut bytes, mut seen) = (0, 0);
    for (count, step) in steps.iter().enumerate() {
        if seen >= most {
            return (steps.get(..count).unwrap_or(steps), bytes);
        }
        seen += tokens(step);
        bytes += match step {
            Step::Literals(length) | Step::Copy { length, .. } => length,
        };
    }
    (steps, bytes)
}

/// Returns how many literals and copies a step is.
fn tokens(step: &Step) -> usize {
    match step {
        Step::Literals(count) => *count,
        Step::Copy { .. } => 1,
    }
}

fn tokens_of(parts: &[Option<Vec<Step>>]) -> usize {
    parts.iter().flatten().flatten().map(tokens).sum()
}

fn hear(halved: &Mutex<Halved<'_>>, bytes: u64) -> Result<(), Cancelled> {
    let mut halved = halved.lock().unwrap_or_else(PoisonError::into_inner);
    halved.hear(bytes)
}

/// So much is parsed in one go.
const PART_BYTES: usize = 1 << 20;
/// So much of what comes before a part is enough to guess by.
const GUESSED_BYTES: usize = 1 << 19;
/// Of as much, one part of so many is parsed first, in shorter ones, and no more where these come to many
/// tokens.
const LONG_BYTES: usize = 4 << 20;
const SAMPLE_BYTES: usize = 1 << 16;
const SAMPLED_OF: usize = 4;
const MANY_TOKENS: usize = 500_000;
/// Of a first parse, one token of so many is coded, and so many at least.
const CODED_OF: usize = 8;
const LEAST_CODED: usize = 50_000;
/// Which prices are better, so many literals and copies of a few places tell, and fewer do not.
const TRIED_BYTES: usize = 1 << 14;
const TRIED_TOKENS: usize = 12_000;
const LEAST_TRIED: usize = 2_000;
/// Where fewer bytes are one, coding them takes less time than the trial.
const TRIED_OF: usize = 128;
/// Others than the usual ones are taken where they spare one byte of so many of the trial.
const TRIAL_GAIN: usize = 32;
