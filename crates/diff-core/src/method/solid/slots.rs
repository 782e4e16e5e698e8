//! Counters of contexts that are told by a hash.

use super::counter::Quick;

/// Slots of sixteen: one tells which context it is, the others count for the four decisions of half a
/// byte.
pub(super) struct Slots {
    counters: Vec<u16>,
    mask: usize,
}

impl Slots {
    /// Returns 2^`bits` slots.
    pub(super) fn new(bits: u32) -> Slots {
        Slots {
            counters: vec![Quick::NEW.0; SLOT << bits],
            mask: (1 << bits) - 1,
        }
    }

    /// Returns where the slot of a context starts; one that is not there takes the place of another.
    #[inline]
    pub(super) fn find(&mut self, hash: u32) -> usize {
        let [high, low, ..] = hash.to_be_bytes();
        let check = u16::from_be_bytes([high, low]);
        let slot = hash as usize & self.mask;
        let (first, second) = (slot * SLOT, (slot ^ 1) * SLOT);
        if self.counters[first] == check {
            return first;
        }
        if self.counters[second] == check {
            return second;
        }
        let seen = |at: usize| Quick(self.counters[at + 1]).seen();
        let taken = if seen(second) < seen(first) {
            second
        } else {
            first
        };
        let counters = &mut self.counters[taken..taken + SLOT];
        counters.fill(Quick::NEW.0);
        counters[0] = check;
        taken
    }

    /// Returns a counter.
    #[inline]
    pub(super) fn get(&self, at: usize) -> Quick {
        Quick(self.counters[at])
    }

    /// Lets a counter learn of a decision.
    #[inline]
    pub(super) fn learn(&mut self, at: usize, bit: bool) {
        let mut counter = Quick(self.counters[at]);
        counter.learn(bit);
        self.counters[at] = counter.0;
    }
}

const SLOT: usize = 16;
