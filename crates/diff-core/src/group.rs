mod bundles;
mod member;
mod sizes;

pub(crate) use member::Member;
pub(crate) use sizes::GroupSizes;

use bundles::{Bundle, bundles};

/// Files to be built that share a context, before they are coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The files, in the order in which they are coded.
    pub(crate) members: Vec<Member>,
    /// Whether they, and what they are coded against, fit the memory of one group.
    pub(crate) fits: bool,
}

impl Draft {
    /// Returns how many opened bytes the draft has.
    pub(crate) fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.opened_bytes).sum()
    }
}

/// Cuts members, those that resemble each other side by side, into drafts of certain sizes. What several of
/// them have stands in one draft where it can. `reference_bytes` tells what an old file adds to a reference.
pub(crate) fn drafts(
    members: Vec<Member>,
    sizes: GroupSizes,
    reference_bytes: &dyn Fn(usize) -> u64,
) -> Vec<Draft> {
    let mut open = Filling::new(sizes.filled_bytes);
    let mut closed = Filling::new(sizes.filled_bytes);
    let mut drafts = Vec::new();
    for bundle in bundles(members, sizes, reference_bytes) {
        if bundle.need.bytes() > sizes.group_bytes {
            drafts.push(Draft {
                members: bundle.members,
                fits: false,
            });
        } else if bundle.members.iter().all(Member::is_noise) {
            drafts.extend(closed.add(bundle));
        } else {
            drafts.extend(open.add(bundle));
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
    most: u64,
    bundle: Bundle,
}

impl Filling {
    fn new(most: u64) -> Filling {
        Filling {
            most,
            bundle: Bundle::default(),
        }
    }

    /// Adds members and returns those before them when they did not fit beside these.
    fn add(&mut self, more: Bundle) -> Option<Draft> {
        let full = match self.bundle.need.bytes_with(&more.need) > self.most {
            true => self.rest(),
            false => None,
        };
        self.bundle.join(more);
        full
    }

    fn rest(&mut self) -> Option<Draft> {
        let members = std::mem::take(&mut self.bundle).members;
        (!members.is_empty()).then_some(Draft {
            members,
            fits: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::method::Level;

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
            novel: Vec::new(),
        }
    }

    /// Returns which members stand in which draft, where an old file has as many mebibytes as its index.
    fn drafted(members: Vec<Member>) -> Vec<(bool, Vec<usize>)> {
        let sizes = GroupSizes::of(Level::Default, &Limits::standard());
        let drafts = drafts(members, sizes, &|index| index as u64 * MIB);
        let told = |draft: &Draft| {
            let files = draft.members.iter().map(|member| member.file);
            (draft.fits, files.collect())
        };
        drafts.iter().map(told).collect()
    }

    /// Returns the member with what is new of it.
    fn with(member: Member, novel: &[u32]) -> Member {
        Member {
            novel: novel.to_vec(),
            ..member
        }
    }

    #[test]
    fn drafts_keep_their_sizes_and_count_a_shared_reference_once() {
        let members = vec![
            member(0, 1, &[4]),
            member(1, 1, &[4]),
            member(2, 2, &[4]),
            member(3, 1, &[3, 2]),
        ];
        assert_eq!(drafted(members), [(true, vec![0, 1, 2]), (true, vec![3])]);
    }

    #[test]
    fn members_that_share_what_is_new_stand_together_wherever_they_are() {
        let members = vec![
            with(member(0, 3, &[3]), &[7, 8, 9]),
            with(member(1, 3, &[2]), &[1, 2]),
            with(member(2, 3, &[3]), &[1, 2, 3]),
            with(member(3, 3, &[3]), &[4, 7, 9]),
            with(member(4, 2, &[2]), &[9, 10]),
        ];
        let expected = [
            (true, vec![0, 3]),
            (true, vec![1, 2]),
            // One hash may be shared by chance.
            (true, vec![4]),
        ];
        assert_eq!(drafted(members), expected);
    }

    #[test]
    fn what_is_shared_makes_no_draft_longer_than_devices_make_two_of_at_once() {
        let members = vec![
            with(member(0, 6, &[5]), &[1, 2, 3, 4]),
            with(member(1, 6, &[6]), &[1, 2, 3, 4, 5, 6, 7]),
            with(member(2, 3, &[1]), &[5, 6, 7]),
        ];
        // The first two share most, but need 23 MiB together.
        assert_eq!(drafted(members), [(true, vec![1, 2]), (true, vec![0])]);
        let alone = |file| with(member(file, 8, &[]), &[1, 2, 3]);
        let members = (0..4).map(alone).collect();
        // Nothing stands beside these.
        assert_eq!(drafted(members), [(true, vec![0, 1, 2]), (true, vec![3])]);
    }

    #[test]
    fn many_hashes_are_told_by_those_below_a_bound() {
        let all: Vec<u32> = (0..5_u32 << 20)
            .map(|at| at.wrapping_mul(0x9e37_79b1))
            .collect();
        let members = vec![
            with(member(0, 7, &[]), &all[..3 << 20]),
            with(member(1, 7, &[]), &all[3 << 20..]),
            with(member(2, 7, &[]), &all[..1000]),
        ];
        assert_eq!(drafted(members), [(true, vec![0, 2]), (true, vec![1])]);
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
