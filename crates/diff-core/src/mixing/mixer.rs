//! Predictions of one decision, mixed by weights that learn which of them to trust.

use super::arithmetic::squash;

/// Sets of weights for `N` predictions, which are 16 bits wide each for the sake of vector instructions.
#[derive(Clone)]
pub(crate) struct Mixer<const N: usize> {
    weights: Vec<[i16; N]>,
    inputs: [i16; N],
    set: usize,
    probability: u32,
}

impl<const N: usize> Mixer<N> {
    /// Returns a mixer with so many sets, in which each prediction has the same weight in 8,192.
    pub(crate) fn new(sets: usize, weight: i16) -> Mixer<N> {
        Mixer {
            weights: vec![[weight; N]; sets],
            inputs: [0; N],
            set: 0,
            probability: 1 << 15,
        }
    }

    /// Returns the logistic number of what the predictions say together.
    #[inline]
    pub(crate) fn mix(&mut self, set: usize, inputs: &[i16; N]) -> i32 {
        self.set = set;
        self.inputs = *inputs;
        let weights = &self.weights[set];
        let mut sum = 0;
        for at in 0..N {
            sum += i32::from(inputs[at]) * i32::from(weights[at]);
        }
        let sum = sum >> 13;
        self.probability = squash(sum);
        sum.clamp(-2815, 2815)
    }

    /// Learns of the decision that was made. Inlined, it does not become vector instructions.
    #[inline(never)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "at rates below 64, inputs within 2,047 move a weight by less than 1,024"
    )]
    pub(crate) fn learn(&mut self, bit: bool, rate: i32) {
        let target = if bit { 65_535 } else { 0 };
        let error = (((target - self.probability.cast_signed()) * rate) >> 7) as i16;
        let weights = &mut self.weights[self.set];
        for (weight, input) in weights.iter_mut().zip(&self.inputs) {
            let moved = (i32::from(*input) * i32::from(error) + 0x8000) >> 16;
            *weight = weight.saturating_add(moved as i16);
        }
    }
}
