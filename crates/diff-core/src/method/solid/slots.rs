//! Counters of contexts that are told by a hash.

use std::hint::black_box;

use crate::mixing::Quick;
use crate::space::Space;

/// Slots of sixteen: one tells which context it is, the others count for the four decisions of half a
/// byte.
#[derive(Clone)]
pub(super) struct Slots {
    counters: Space,
    mask: usize,
}

impl Slots {
    /// Returns 2^`bits` slots.
    pub(super) fn new(bits: u32) -> Slots {
        let mut counters = Space::zeros((COUNTER * SLOT) << bits);
        for counter in counters.as_chunks_mut().0 {
            *counter = Quick::NEW.0.to_le_bytes();
        }
        Slots {
            counters,
            mask: (1 << bits) - 1,
        }
    }

    /// Reads what searches for these contexts read first: memory is asked for all of it at once.
    #[inline]
    pub(super) fn load<const N: usize>(&self, hashes: [u32; N]) {
        let checks = hashes.map(|hash| self.get((hash as usize & self.mask) * SLOT).0);
        black_box(checks.iter().fold(0, |any, check| any | check));
    }

    /// Returns where the slot of a context starts; one that is not there takes the place of another.
    #[inline]
    pub(super) fn find(&mut self, hash: u32) -> usize {
        let [high, low, ..] = hash.to_be_bytes();
        let check = u16::from_be_bytes([high, low]);
        let slot = hash as usize & self.mask;
        let (first, second) = (slot * SLOT, (slot ^ 1) * SLOT);
        if self.get(first).0 == check {
            return first;
        }
        if self.get(second).0 == check {
            return second;
        }
        let seen = |at: usize| self.get(at + 1).seen();
        let taken = if seen(second) < seen(first) {
            second
        } else {
            first
        };
        let counters = &mut self.counters.as_chunks_mut().0[taken..taken + SLOT];
        counters.fill(Quick::NEW.0.to_le_bytes());
        counters[0] = check.to_le_bytes();
        taken
    }

    /// Returns a counter.
    #[inline]
    pub(super) fn get(&self, at: usize) -> Quick {
        Quick(u16::from_le_bytes(self.counters.as_chunks().0[at]))
    }

    /// Lets a counter learn of a decision.
    #[inline]
    pub(super) fn learn(&mut self, at: usize, bit: bool) {
        let place = &mut self.counters.as_chunks_mut().0[at];
        let mut counter = Quick(u16::from_le_bytes(*place));
        counter.learn(bit);
        *place = counter.0.to_le_bytes();
    }
}

const SLOT: usize = 16;
/// Bytes of a counter.
const COUNTER: usize = 2;
