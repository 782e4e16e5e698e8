/// How a copy's distance is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The last distance again: as many old bytes were left out as new ones came.
    Aligned,
    /// The last distance and the literals since: the copy goes on where the last one stopped.
    Resumed,
    /// The last distance and a little: `by` is what comes to it, never 0.
    Near {
        /// At most [`Distances::NEAR`] either way.
        by: isize,
    },
    /// Where the last bytes stood before.
    Foreseen,
    /// One of those before: 0 is the one before the last.
    Recent(usize),
    /// Another.
    Far {
        /// The distance itself.
        distance: usize,
    },
}

/// The last distances, which tell the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Distances {
    last: usize,
    before: [usize; Distances::BEFORE],
}

impl Distances {
    /// How many are remembered besides the last.
    pub(crate) const BEFORE: usize = 3;
    /// How much a near distance differs at most.
    pub(crate) const NEAR: usize = 1 << 12;

    /// Returns what holds at the start of a frame: the new bytes stand as far behind the old ones as the
    /// reference is long.
    pub(crate) fn new(reference: usize) -> Distances {
        Distances {
            last: reference.max(1),
            before: [1, 2, 4],
        }
    }

    /// Returns the distances in few bytes; places are counted in 32 bits.
    #[inline]
    pub(super) fn packed(&self) -> [u32; 1 + Distances::BEFORE] {
        let [one, two, three] = self.before;
        [self.last, one, two, three].map(|distance| u32::try_from(distance).unwrap_or(u32::MAX))
    }

    /// Returns the distances that were packed.
    #[inline]
    pub(super) fn unpacked([last, before @ ..]: [u32; 1 + Distances::BEFORE]) -> Distances {
        Distances {
            last: last as usize,
            before: before.map(|distance| distance as usize),
        }
    }

    /// Returns the last distance.
    #[inline]
    pub(crate) fn last(&self) -> usize {
        self.last
    }

    /// Returns one of those before it.
    #[inline]
    pub(crate) fn before(&self, place: usize) -> usize {
        self.before.get(place).copied().unwrap_or(1)
    }

    /// Returns how a distance is told, so many literals behind the last copy.
    #[inline]
    pub(crate) fn kind(&self, distance: usize, literals: usize, foreseen: usize) -> Kind {
        let by = distance.wrapping_sub(self.last).cast_signed();
        if by == 0 {
            Kind::Aligned
        } else if by == literals.cast_signed() {
            Kind::Resumed
        } else if distance == foreseen {
            Kind::Foreseen
        } else if let Some(place) = self.before.iter().position(|known| *known == distance) {
            Kind::Recent(place)
        } else if by.unsigned_abs() <= Distances::NEAR {
            Kind::Near { by }
        } else {
            Kind::Far { distance }
        }
    }

    /// Takes note of a distance that was used.
    #[inline]
    pub(crate) fn take(&mut self, distance: usize) {
        if distance == self.last {
            return;
        }
        let place = self.before.iter().position(|known| *known == distance);
        let place = place.unwrap_or(Distances::BEFORE - 1);
        self.before.copy_within(..place, 1);
        self.before[0] = self.last;
        self.last = distance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_moves_to_the_front() {
        let mut distances = Distances::new(100);
        distances.take(5000);
        distances.take(9);
        assert_eq!(distances.kind(9, 3, 0), Kind::Aligned);
        assert_eq!(distances.kind(12, 3, 0), Kind::Resumed);
        assert_eq!(distances.kind(5000, 3, 0), Kind::Recent(0));
        assert_eq!(distances.kind(100, 3, 0), Kind::Recent(1));
        assert_eq!(distances.kind(7, 3, 0), Kind::Near { by: -2 });
        assert_eq!(distances.kind(9999, 3, 0), Kind::Far { distance: 9999 });
        distances.take(100);
        assert_eq!(distances.kind(9, 0, 0), Kind::Recent(0));
        assert_eq!(distances.kind(5000, 0, 0), Kind::Recent(1));
    }
}
