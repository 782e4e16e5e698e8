use std::ops::Range;

use crate::Limits;
use crate::method::Level;

/// How much goes into one group, and into one frame of a file that fits no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupSizes {
    /// Opened new bytes and old bytes of a group together, at most.
    pub(crate) group_bytes: u64,
    /// The same of a group whose members share what is new, and are coded against old bytes.
    pub(crate) beside_old_bytes: u64,
    /// The same of a group whose members share nothing new.
    pub(crate) filled_bytes: u64,
    /// New bytes of one frame of a file that fits no group.
    pub(crate) frame_bytes: u64,
    /// Old bytes of such a frame.
    pub(crate) reference_bytes: u64,
    /// Bytes of new files, which other groups make, that a frame may have beside those.
    pub(crate) earlier_bytes: u64,
}

impl GroupSizes {
    /// Returns the sizes for devices that keep to `limits`: less than usual where those are lower than
    /// the standard ones.
    pub(crate) fn of(level: Level, limits: &Limits) -> GroupSizes {
        let standard = Limits::standard();
        let beside_tables = |limits: &Limits| limits.max_memory_bytes.saturating_sub(TABLE_BYTES);
        let pairs = [
            (beside_tables(limits), beside_tables(&standard)),
            (limits.max_frame_bytes, standard.max_frame_bytes),
            (limits.max_reference_bytes, standard.max_reference_bytes),
        ];
        let share = |bytes: u64| {
            let shares = pairs.map(|(limit, standard)| {
                let share = u128::from(bytes) * u128::from(limit.min(standard));
                u64::try_from(share / u128::from(standard)).unwrap_or(bytes)
            });
            shares.into_iter().fold(bytes, u64::min).max(LEAST_BYTES)
        };
        let group_bytes = share(match level {
            Level::Fast => FAST_GROUP_BYTES,
            Level::Default | Level::Best => GROUP_BYTES,
        });
        GroupSizes {
            group_bytes,
            beside_old_bytes: group_bytes.min(share(BESIDE_OLD_BYTES)),
            filled_bytes: group_bytes.min(share(FILLED_BYTES)),
            frame_bytes: share(FRAME_BYTES),
            reference_bytes: share(FRAME_REFERENCE_BYTES),
            earlier_bytes: share(EARLIER_BYTES),
        }
    }

    /// Returns the old bytes around the place that `at` of the new content corresponds to.
    pub(crate) fn window(&self, at: usize, new: usize, old: usize) -> Range<usize> {
        let [frame, reference] = [self.frame_bytes, self.reference_bytes]
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        // Files that grew or shrank did so somewhere: the place moves in proportion.
        let place = (at as u128 * old as u128).checked_div(new as u128);
        let place = place
            .and_then(|place| usize::try_from(place).ok())
            .unwrap_or(0);
        let start = place.saturating_sub(reference.saturating_sub(frame) / 2);
        let start = start.min(old.saturating_sub(reference));
        start..old.min(start.saturating_add(reference))
    }
}

/// What decoders take beside what they decode, however short that is.
const TABLE_BYTES: u64 = 12 << 20;
/// Shorter groups would cost more than any device has to spare.
const LEAST_BYTES: u64 = 64 << 10;
/// What is new is coded in fewer bytes the more of it stands together.
const GROUP_BYTES: u64 = 24 << 20;
/// The device decodes two such groups at once. Longer ones were no shorter once they were coded.
const BESIDE_OLD_BYTES: u64 = 16 << 20;
/// What shares nothing is coded in fewer bytes apart.
const FILLED_BYTES: u64 = 8 << 20;
/// Groups that are coded fast are shorter: zstd's window reaches over all of them.
const FAST_GROUP_BYTES: u64 = 8 << 20;
const FRAME_BYTES: u64 = 8 << 20;
const FRAME_REFERENCE_BYTES: u64 = 14 << 20;
const EARLIER_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_place_and_stay_inside() {
        let sizes = GroupSizes::of(Level::Default, &Limits::standard());
        let window = |at, new, old| sizes.window(at, new, old);
        const MIB: usize = 1 << 20;
        assert_eq!(window(0, 100 * MIB, 100 * MIB), 0..14 * MIB);
        assert_eq!(window(40 * MIB, 100 * MIB, 100 * MIB), 37 * MIB..51 * MIB);
        assert_eq!(window(96 * MIB, 100 * MIB, 100 * MIB), 86 * MIB..100 * MIB);
        assert_eq!(window(40 * MIB, 80 * MIB, 40 * MIB), 17 * MIB..31 * MIB);
        assert_eq!(window(8 * MIB, 16 * MIB, 1000), 0..1000);
    }

    #[test]
    fn sizes_shrink_with_the_limits_and_never_grow() {
        let usual = GroupSizes::of(Level::Default, &Limits::standard());
        let mut limits = Limits::standard();
        limits.max_frame_bytes *= 4;
        assert_eq!(GroupSizes::of(Level::Default, &limits), usual);
        limits.max_memory_bytes = ((60 - 12) / 4 + 12) << 20;
        let small = GroupSizes::of(Level::Default, &limits);
        assert_eq!(small.group_bytes, usual.group_bytes / 4);
        assert_eq!(small.frame_bytes, usual.frame_bytes / 4);
        limits.max_reference_bytes = 0;
        assert_eq!(
            GroupSizes::of(Level::Fast, &limits).frame_bytes,
            LEAST_BYTES
        );
    }
}
