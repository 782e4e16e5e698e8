use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use diff_core::Digest;
use release_format::CatalogueRelease;

/// A delta, as far as ways are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The release that it starts from; none when it starts from nothing.
    pub(crate) from: Option<Digest>,
    /// The release that it leads to.
    pub(crate) to: Digest,
    /// Its length.
    pub(crate) bytes: u64,
}

/// The cheapest ways by deltas, one behind the other where that is cheaper, to one release.
pub(crate) struct Routes {
    /// What each way costs, and where its first delta leads.
    ways: BTreeMap<Option<Digest>, (u64, Digest)>,
}

impl Routes {
    /// Returns the cheapest ways to `target`: the fewest bytes, then the fewest deltas.
    pub(crate) fn to(target: Digest, hops: &[Hop]) -> Routes {
        let mut leading: BTreeMap<Digest, Vec<&Hop>> = BTreeMap::new();
        for hop in hops {
            leading.entry(hop.to).or_default().push(hop);
        }
        let mut ways = BTreeMap::new();
        let mut done = BTreeSet::new();
        let mut open = BinaryHeap::from([Reverse((0_u64, 0_u32, Some(target), target))]);
        while let Some(Reverse((bytes, deltas, at, next))) = open.pop() {
            if !done.insert(at) {
                continue;
            }
            if at != Some(target) {
                ways.insert(at, (bytes, next));
            }
            let Some(release) = at else {
                continue;
            };
            for hop in leading.get(&release).into_iter().flatten() {
                let bytes = bytes.saturating_add(hop.bytes);
                open.push(Reverse((
                    bytes,
                    deltas.saturating_add(1),
                    hop.from,
                    release,
                )));
            }
        }
        Routes { ways }
    }

    /// Returns what a device with the release `from` fetches, that is the way from nothing where that
    /// is cheaper; none when no way leads there.
    pub(crate) fn bytes(&self, from: Option<Digest>) -> Option<u64> {
        let from = self.ways.get(&from).map(|(bytes, _)| *bytes);
        let nothing = self.ways.get(&None).map(|(bytes, _)| *bytes);
        from.into_iter().chain(nothing).min()
    }

    /// Returns the releases between `from` and the target, as far as that way is the cheapest.
    pub(crate) fn between(&self, from: Digest) -> Vec<Digest> {
        let mut between = Vec::new();
        let cheapest = self.bytes(Some(from));
        let mut at = from;
        while let Some((bytes, next)) = self.ways.get(&Some(at)) {
            if at == from && Some(*bytes) != cheapest {
                return between;
            }
            if self.ways.contains_key(&Some(*next)) {
                between.push(*next);
            }
            at = *next;
        }
        between
    }
}

/// Returns those of `candidates`, each one of `hops`, without which no way from one of `starts` to one of
/// `targets` gets longer: all of them may go, the longest first.
pub(crate) fn dispensable(
    hops: &[Hop],
    candidates: &[Hop],
    starts: &[Digest],
    targets: &[Digest],
) -> Vec<Hop> {
    let ways = |hops: &[Hop]| -> Vec<Option<u64>> {
        let to = |target: &Digest| {
            let routes = Routes::to(*target, hops);
            let bytes = starts.iter().map(|start| routes.bytes(Some(*start)));
            bytes.collect::<Vec<_>>()
        };
        targets.iter().flat_map(to).collect()
    };
    let mut left = hops.to_vec();
    let before = ways(&left);
    let mut longest_first = candidates.to_vec();
    longest_first.sort_by_key(|hop| Reverse(hop.bytes));
    longest_first.retain(|candidate| {
        let without: Vec<Hop> = left.iter().copied().filter(|h| h != candidate).collect();
        let may_go = ways(&without) == before;
        if may_go {
            left = without;
        }
        may_go
    });
    longest_first
}

/// Returns every delta that leads to one of these releases.
pub(crate) fn hops(releases: &[CatalogueRelease]) -> Vec<Hop> {
    releases
        .iter()
        .flat_map(|release| {
            release.deltas.iter().map(|delta| Hop {
                from: delta.from,
                to: release.manifest.digest,
                bytes: delta.content.length,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn hop(from: &str, to: &str, bytes: u64) -> Hop {
        Hop {
            from: (from != "nothing").then(|| digest(from)),
            to: digest(to),
            bytes,
        }
    }

    #[test]
    fn cheapest_way_is_taken_whether_direct_or_through_others() {
        let hops = [
            hop("nothing", "c", 100),
            hop("a", "b", 10),
            hop("b", "c", 10),
            hop("a", "c", 30),
            hop("x", "c", 7),
            hop("y", "a", 90),
        ];
        let routes = Routes::to(digest("c"), &hops);
        let bytes = |name: &str| routes.bytes(Some(digest(name)));
        assert_eq!(
            (bytes("a"), bytes("b"), bytes("x")),
            (Some(20), Some(10), Some(7))
        );
        assert_eq!(routes.between(digest("a")), [digest("b")]);
        assert_eq!(routes.between(digest("b")), []);
        // From nothing is cheaper than 90 and 20, and is all that a stranger has.
        assert_eq!((bytes("y"), bytes("unheard of")), (Some(100), Some(100)));
        assert_eq!(routes.between(digest("y")), []);
    }

    #[test]
    fn what_is_on_nobodys_way_may_go_and_all_of_it_together() {
        let old = [hop("a", "c", 30), hop("b", "c", 10), hop("0", "c", 25)];
        let mut hops = vec![hop("nothing", "e", 900)];
        hops.extend(old);
        hops.extend([hop("c", "e", 10), hop("b", "e", 15), hop("a", "b", 12)]);
        let starts = ["0", "a", "b", "c"].map(digest);
        let names = |targets: &[&str]| {
            let targets: Vec<Digest> = targets.iter().map(|name| digest(name)).collect();
            dispensable(&hops, &old, &starts, &targets)
        };
        // 0 has no other way but the one from nothing; a and b come by b.
        assert_eq!(names(&["e"]), [old[0], old[1]]);
        // Where c itself is offered, the ways to it are kept, as far as they are the cheapest.
        assert_eq!(names(&["e", "c"]), [old[0]]);
        // Of two that stand in for each other one stays.
        let twins = [hop("a", "c", 5), hop("a", "d", 5)];
        let mut hops = twins.to_vec();
        hops.extend([hop("c", "e", 5), hop("d", "e", 5)]);
        let gone = dispensable(&hops, &twins, &[digest("a")], &[digest("e")]);
        assert_eq!(gone, [twins[0]]);
    }

    #[test]
    fn direct_way_is_taken_where_another_costs_as_much() {
        let hops = [hop("a", "b", 10), hop("b", "c", 10), hop("a", "c", 20)];
        let routes = Routes::to(digest("c"), &hops);
        assert_eq!(routes.between(digest("a")), []);
    }

    #[test]
    fn circles_and_dead_ends_end() {
        let hops = [hop("a", "b", 1), hop("b", "a", 1), hop("a", "d", 1)];
        let routes = Routes::to(digest("b"), &hops);
        assert_eq!(routes.bytes(Some(digest("a"))), Some(1));
        assert_eq!(routes.bytes(Some(digest("d"))), None);
        assert_eq!(routes.bytes(None), None);
    }
}
