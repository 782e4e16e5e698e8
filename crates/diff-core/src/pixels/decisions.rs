use crate::entropy::Coder;
use crate::mixing::{Mixer, Quick, squash, stretch};

/// Decisions, each by what was decided before in `N` contexts.
pub(super) struct Decisions<const N: usize> {
    counters: [Vec<Quick>; N],
    mixer: Mixer<N>,
}

impl<const N: usize> Decisions<N> {
    /// Returns decisions with 2^`bits` contexts of each sort, mixed by as many sets of weights.
    pub(super) fn new(bits: [u32; N], sets: usize) -> Decisions<N> {
        let weight = i16::try_from(WEIGHTS / N).unwrap_or(i16::MAX);
        Decisions {
            counters: bits.map(|bits| vec![Quick::NEW; 1 << bits]),
            mixer: Mixer::new(sets, weight),
        }
    }

    /// Codes a decision, or reads and returns another.
    #[inline(always)]
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        contexts: [usize; N],
        set: usize,
    ) -> bool {
        let mut inputs = [0; N];
        for ((input, counters), context) in inputs.iter_mut().zip(&self.counters).zip(contexts) {
            *input = stretch(u32::from(counters[context].0));
        }
        let bit = coder.bit(bit, squash(self.mixer.mix(set, &inputs)));
        self.mixer.learn(bit, RATE);
        for (counters, context) in self.counters.iter_mut().zip(contexts) {
            counters[context].learn(bit);
        }
        bit
    }
}

/// All weights of a set at first, in 8,192.
const WEIGHTS: usize = 10_400;
const RATE: i32 = 32;
