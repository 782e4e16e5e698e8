use std::collections::HashSet;
use std::ops::Range;

use crate::Limits;
use crate::method::Level;

/// Files to be built that share a context, before they are coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The files, in the order in which they are coded.
    pub(crate) members: Vec<Member>,
    /// Whether they, and what they are coded against, fit the memory of one group.
    pub(crate) fits: bool,
}

/// One file of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The file's index in the new listing.
    pub(crate) file: usize,
    /// How many bytes it has.
    pub(crate) length: u64,
    /// How many it has once it is opened.
    pub(crate) opened_bytes: u64,
    /// Whether it looks compressed even so.
    pub(crate) is_closed: bool,
    /// The old files that it resembles, the closest first.
    pub(crate) counterparts: Vec<usize>,
    /// Bytes of a pixel, where it is an image.
    pub(crate) pixel: Option<usize>,
    /// Whether it shares most of itself with others that are to be built.
    pub(crate) is_alike: bool,
}

impl Draft {
    /// Returns how many opened bytes the draft has.
    pub(crate) fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.opened_bytes).sum()
    }
}

/// Cuts members, those that resemble each other side by side, into drafts under a cap on their bytes and
/// those of what they are coded against. `reference_bytes` tells what an old file adds to a reference.
pub(crate) fn drafts(
    members: Vec<Member>,
    cap: u64,
    reference_bytes: impl Fn(usize) -> u64,
) -> Vec<Draft> {
    let mut open = Filling::new(cap);
    let mut closed = Filling::new(cap);
    let mut drafts = Vec::new();
    for member in members {
        let references = member
            .counterparts
            .iter()
            .map(|index| reference_bytes(*index));
        let alone = references.fold(member.opened_bytes, u64::saturating_add);
        if alone > cap {
            drafts.push(Draft {
                members: vec![member],
                fits: false,
            });
        } else if member.is_closed && member.counterparts.is_empty() {
            drafts.extend(closed.add(member, &reference_bytes));
        } else {
            drafts.extend(open.add(member, &reference_bytes));
        }
    }
    drafts.extend(open.rest());
    drafts.extend(closed.rest());
    // The longest work first leaves no core waiting for it at the end; the sort is stable.
    drafts.sort_by_key(|draft| std::cmp::Reverse(draft.bytes()));
    drafts
}

/// A draft's members while they come.
struct Filling {
    cap: u64,
    members: Vec<Member>,
    counterparts: HashSet<usize>,
    bytes: u64,
}

impl Filling {
    fn new(cap: u64) -> Filling {
        Filling {
            cap,
            members: Vec::new(),
            counterparts: HashSet::new(),
            bytes: 0,
        }
    }

    /// Adds a member and returns those before it when it did not fit beside them.
    fn add(&mut self, member: Member, reference_bytes: impl Fn(usize) -> u64) -> Option<Draft> {
        let more = self.more(&member, &reference_bytes);
        let full = match self.bytes.saturating_add(more) > self.cap {
            true => self.rest(),
            false => None,
        };
        self.bytes += self.more(&member, &reference_bytes);
        self.counterparts.extend(&member.counterparts);
        self.members.push(member);
        full
    }

    /// Returns how much a member adds: itself, and the old files that no other one needs.
    fn more(&self, member: &Member, reference_bytes: impl Fn(usize) -> u64) -> u64 {
        let counterparts = member.counterparts.iter();
        let missing = counterparts.filter(|index| !self.counterparts.contains(index));
        let references = missing.map(|index| reference_bytes(*index));
        references.fold(member.opened_bytes, u64::saturating_add)
    }

    fn rest(&mut self) -> Option<Draft> {
        let filled = std::mem::replace(self, Filling::new(self.cap));
        (!filled.members.is_empty()).then_some(Draft {
            members: filled.members,
            fits: true,
        })
    }
}

/// How much goes into one group, and into one frame of a file that fits no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupSizes {
    /// Opened new bytes and old bytes of a group together.
    pub(crate) group_bytes: u64,
    /// New bytes of one frame of a file that fits no group.
    pub(crate) frame_bytes: u64,
    /// Old bytes of such a frame.
    pub(crate) reference_bytes: u64,
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
        GroupSizes {
            group_bytes: share(match level {
                Level::Fast => FAST_GROUP_BYTES,
                Level::Default | Level::Best => GROUP_BYTES,
            }),
            frame_bytes: share(FRAME_BYTES),
            reference_bytes: share(FRAME_REFERENCE_BYTES),
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
/// The device decodes two groups at once.
const GROUP_BYTES: u64 = 24 << 20;
/// Groups that are coded fast are shorter: zstd's window reaches over all of them.
const FAST_GROUP_BYTES: u64 = 8 << 20;
const FRAME_BYTES: u64 = 8 << 20;
const FRAME_REFERENCE_BYTES: u64 = 14 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn member(file: usize, mebibytes: u64, counterparts: &[usize]) -> Member {
        Member {
            file,
            length: mebibytes * MIB,
            opened_bytes: mebibytes * MIB,
            is_closed: file >= 100,
            counterparts: counterparts.to_vec(),
            pixel: None,
            is_alike: false,
        }
    }

    fn drafted(members: Vec<Member>) -> Vec<(bool, Vec<usize>)> {
        let drafts = drafts(members, GROUP_BYTES, |index| index as u64 * MIB);
        let told = |draft: &Draft| {
            let files = draft.members.iter().map(|member| member.file);
            (draft.fits, files.collect())
        };
        drafts.iter().map(told).collect()
    }

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

    #[test]
    fn groups_keep_their_cap_and_count_a_shared_reference_once() {
        let members = vec![
            member(0, 5, &[10]),
            member(1, 5, &[10]),
            member(2, 4, &[10]),
            member(3, 1, &[9, 2]),
        ];
        assert_eq!(drafted(members), [(true, vec![0, 1, 2]), (true, vec![3])]);
    }

    #[test]
    fn what_fits_no_group_stands_alone_and_what_is_closed_stands_apart() {
        let members = vec![
            member(0, 20, &[5]),
            member(1, 2, &[]),
            member(100, 3, &[]),
            member(101, 2, &[1]),
            member(102, 1, &[]),
        ];
        let expected = [
            (false, vec![0]),
            (true, vec![1, 101]),
            (true, vec![100, 102]),
        ];
        assert_eq!(drafted(members), expected);
    }
}
