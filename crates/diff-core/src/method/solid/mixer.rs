//! Predictions of one decision, mixed by weights that learn which of them to trust.

use super::arithmetic::squash;

/// `SETS` sets of weights for `N` predictions.
pub(super) struct Mixer<const N: usize> {
    weights: Vec<[i32; N]>,
    inputs: [i32; N],
    set: usize,
    probability: u32,
}

impl<const N: usize> Mixer<N> {
    /// Returns a mixer with so many sets, in which each prediction has the same weight in 65,536.
    pub(super) fn new(sets: usize, weight: i32) -> Mixer<N> {
        Mixer {
            weights: vec![[weight; N]; sets],
            inputs: [0; N],
            set: 0,
            probability: 1 << 15,
        }
    }

    /// Returns the logistic number of what the predictions say together.
    #[inline]
    pub(super) fn mix(&mut self, set: usize, inputs: &[i32; N]) -> i32 {
        self.set = set;
        self.inputs = *inputs;
        let weights = &self.weights[set];
        let mut sum = 0;
        for at in 0..N {
            sum += (inputs[at] * weights[at]) >> 8;
        }
        let sum = sum >> 8;
        self.probability = squash(sum);
        sum.clamp(-2815, 2815)
    }

    /// Learns of the decision that was made.
    #[inline]
    pub(super) fn learn(&mut self, bit: bool, rate: i32) {
        let target = if bit { 65_535 } else { 0 };
        let error = ((target - self.probability.cast_signed()) * rate) >> 4;
        let weights = &mut self.weights[self.set];
        for (weight, input) in weights.iter_mut().zip(&self.inputs) {
            let moved = *weight + ((input * error + 0x8000) >> 16);
            *weight = moved.clamp(-WEIGHT, WEIGHT);
        }
    }
}

const WEIGHT: i32 = (1 << 19) - 1;
