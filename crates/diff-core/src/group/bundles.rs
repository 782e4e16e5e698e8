use std::cmp::Reverse;
use std::collections::HashMap;

use super::member::Member;
use super::sizes::GroupSizes;

/// Members that stand in one group, and what they need.
#[derive(Default)]
pub(super) struct Bundle {
    pub(super) members: Vec<Member>,
    pub(super) need: Need,
}

impl Bundle {
    /// Adds the members of another one.
    pub(super) fn join(&mut self, other: Bundle) {
        self.members.extend(other.members);
        self.need.join(other.need);
    }
}

/// What members need together.
#[derive(Default)]
pub(super) struct Need {
    /// Bytes of the members once they are opened.
    opened_bytes: u64,
    /// The old files that they are coded against, and the bytes of each.
    references: HashMap<usize, u64>,
    reference_bytes: u64,
}

impl Need {
    fn of(member: &Member, reference_bytes: &dyn Fn(usize) -> u64) -> Need {
        let counterparts = member.counterparts.iter();
        let references: HashMap<usize, u64> = counterparts
            .map(|index| (*index, reference_bytes(*index)))
            .collect();
        Need {
            opened_bytes: member.opened_bytes,
            reference_bytes: references.values().copied().fold(0, u64::saturating_add),
            references,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.opened_bytes.saturating_add(self.reference_bytes)
    }

    /// Returns how many bytes both need together: old files that both are coded against, once.
    pub(super) fn bytes_with(&self, other: &Need) -> u64 {
        let (few, many) = match self.references.len() < other.references.len() {
            true => (&self.references, &other.references),
            false => (&other.references, &self.references),
        };
        let shared = few.iter().filter(|(index, _)| many.contains_key(index));
        let shared = shared.fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes));
        let both = self.bytes().saturating_add(other.bytes());
        both.saturating_sub(shared)
    }

    fn join(&mut self, mut other: Need) {
        let bytes = self.bytes_with(&other);
        if self.references.len() < other.references.len() {
            std::mem::swap(&mut self.references, &mut other.references);
        }
        self.references.extend(other.references);
        self.opened_bytes = self.opened_bytes.saturating_add(other.opened_bytes);
        self.reference_bytes = bytes.saturating_sub(self.opened_bytes);
    }

    /// Returns how much may stand in a group with it.
    fn most(&self, other: &Need, sizes: GroupSizes) -> u64 {
        match self.references.is_empty() && other.references.is_empty() {
            true => sizes.group_bytes,
            false => sizes.beside_old_bytes,
        }
    }
}

/// Puts members together that share what none of their counterparts has, those first that share most, as
/// far as they fit a group: what several of them have is then coded once. Members keep their order, and
/// bundles that of their first members.
pub(super) fn bundles(
    members: Vec<Member>,
    sizes: GroupSizes,
    reference_bytes: &dyn Fn(usize) -> u64,
) -> Vec<Bundle> {
    let needs = members.iter();
    let needs = needs.map(|member| Need::of(member, reference_bytes));
    let mut needs: Vec<Need> = needs.collect();
    let mut joined: Vec<usize> = (0..members.len()).collect();
    for Tie { one, other, .. } in ties(&members) {
        let (one, other) = (first(&mut joined, one), first(&mut joined, other));
        let (one, other) = (one.min(other), one.max(other));
        let most = needs[one].most(&needs[other], sizes);
        if one != other && needs[one].bytes_with(&needs[other]) <= most {
            let more = std::mem::take(&mut needs[other]);
            needs[one].join(more);
            joined[other] = one;
        }
    }
    let with = |need| Bundle {
        members: Vec::new(),
        need,
    };
    let mut bundles: Vec<Bundle> = needs.into_iter().map(with).collect();
    for (number, member) in members.into_iter().enumerate() {
        bundles[first(&mut joined, number)].members.push(member);
    }
    bundles.retain(|bundle| !bundle.members.is_empty());
    bundles
}

/// Returns the first of the members that one was joined with.
fn first(joined: &mut [usize], mut number: usize) -> usize {
    while joined[number] != number {
        joined[number] = joined[joined[number]];
        number = joined[number];
    }
    number
}

/// Two members that share something new, by their numbers.
struct Tie {
    /// How many hashes they share.
    shared: usize,
    one: usize,
    other: usize,
}

/// Returns which members share what is new, those first that share most. Of members that share the same, each
/// is tied to the next one.
fn ties(members: &[Member]) -> Vec<Tie> {
    let all: usize = members.iter().map(|member| member.novel.len()).sum();
    // Of more hashes, those below a bound tell as well.
    let bound = u32::MAX / u32::try_from(all / MOST_HASHES + 1).unwrap_or(u32::MAX);
    let mut holders: Vec<(u32, usize)> = Vec::new();
    for (number, member) in members.iter().enumerate() {
        if !member.is_noise() {
            let told = member.novel.iter().copied().filter(|hash| *hash <= bound);
            holders.extend(told.map(|hash| (hash, number)));
        }
    }
    holders.sort_unstable();
    let same = holders.chunk_by(|one, other| one.0 == other.0);
    let pairs = same.flat_map(|same| same.windows(2).map(|pair| (pair[0].1, pair[1].1)));
    let mut pairs: Vec<(usize, usize)> = pairs.collect();
    pairs.sort_unstable();
    let runs = pairs.chunk_by(|one, other| one == other);
    let ties = runs.filter_map(|run| {
        let (one, other) = *run.first()?;
        let shared = run.len();
        (shared >= LEAST_SHARED).then_some(Tie { shared, one, other })
    });
    let mut ties: Vec<Tie> = ties.collect();
    // The sort is stable.
    ties.sort_by_key(|tie| Reverse(tie.shared));
    ties
}

/// So many hashes are looked at together.
const MOST_HASHES: usize = 1 << 22;
/// Fewer hashes are shared by chance, or are not worth a place in the group.
const LEAST_SHARED: usize = 2;
