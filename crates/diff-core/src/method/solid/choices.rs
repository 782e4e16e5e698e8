//! Decisions about tokens, in contexts that are told by a hash.

use crate::entropy::Coder;
use crate::mixing::{Fine, Mixer, hash, squash, stretch};

/// Counters and mixers of such decisions.
#[derive(Clone)]
pub(super) struct Choices {
    /// By what is decided alone.
    plain: Vec<Fine>,
    counters: Vec<Fine>,
    mixer: Mixer<INPUTS>,
}

impl Choices {
    /// Returns what holds before any decision was made.
    pub(super) fn new() -> Choices {
        Choices {
            plain: vec![Fine::NEW; PLAIN],
            counters: vec![Fine::NEW; 1 << 16],
            mixer: Mixer::new(PLAIN, WEIGHT),
        }
    }

    /// Codes the decision `what` in contexts besides it.
    #[inline]
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        what: usize,
        contexts: &[u32; CONTEXTS],
    ) -> bool {
        let plain = self.plain[what];
        let decision = u32::try_from(what).unwrap_or(0);
        let mut inputs = [0; INPUTS];
        let mut at = [0; CONTEXTS];
        inputs[CONTEXTS] = stretch(plain.probability());
        for (i, salt) in (0..CONTEXTS).zip(8..) {
            at[i] = (hash(salt, contexts[i], decision) >> 16) as usize;
            let counter = &mut self.counters[at[i]];
            if counter.is_new() {
                *counter = Fine::of(plain.probability());
            }
            inputs[i] = stretch(counter.probability());
        }
        let sum = self.mixer.mix(what, &inputs);
        let bit = coder.bit(bit, squash(sum).clamp(16, 65_520));
        self.mixer.learn(bit, RATE);
        for at in at {
            self.counters[at].learn(bit, LIMIT);
        }
        self.plain[what].learn(bit, 255);
        bit
    }
}

/// Contexts of a decision.
pub(super) const CONTEXTS: usize = 6;
const INPUTS: usize = 8;
/// What can be decided.
pub(super) const PLAIN: usize = 4096;
const LIMIT: u32 = 22;
const WEIGHT: i16 = 875;
const RATE: i32 = 20;
