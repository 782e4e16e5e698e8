use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use diff_core::Digest;
use release_format::{Catalogue, CatalogueDelta, CatalogueRelease};

use super::holdings::Holdings;
use super::route::Hop;

/// The releases of a catalogue, and the deltas between them that this device can use.
pub(super) struct Graph<'a> {
    holdings: &'a Holdings<'a>,
    /// Whether methods count that this client lacks.
    any_method: bool,
    places: HashMap<Digest, usize>,
    /// The deltas that start from each release, by its place.
    leaving: Vec<Vec<Edge>>,
    /// The deltas that start from nothing.
    from_nothing: Vec<Edge>,
}

struct Edge {
    to: usize,
    hop: Hop,
}

/// Bytes, requests, bytes to build: in the order in which they count.
type Cost = (u64, u64, u64);

impl<'a> Graph<'a> {
    pub(super) fn new(catalogue: &Catalogue, holdings: &'a Holdings<'a>) -> Graph<'a> {
        Graph::of(catalogue, holdings, false)
    }

    fn of(catalogue: &Catalogue, holdings: &'a Holdings<'a>, any_method: bool) -> Graph<'a> {
        let manifests = catalogue.releases.iter().map(|of| of.manifest.digest);
        let places: HashMap<Digest, usize> = manifests.zip(0..).collect();
        let mut graph = Graph {
            holdings,
            any_method,
            leaving: places.iter().map(|_| Vec::new()).collect(),
            places,
            from_nothing: Vec::new(),
        };
        for release in &catalogue.releases {
            for delta in &release.deltas {
                graph.add(release, delta);
            }
        }
        graph
    }

    fn add(&mut self, release: &CatalogueRelease, delta: &CatalogueDelta) {
        let Some(to) = self.places.get(&release.manifest.digest).copied() else {
            return;
        };
        let Some(hop) = self.hop(release, delta) else {
            return;
        };
        match delta.from {
            None => self.from_nothing.push(Edge { to, hop }),
            // From a release that the catalogue has forgotten: of use only where it is installed.
            Some(from) => {
                let next = self.leaving.len();
                let place = *self.places.entry(from).or_insert(next);
                if place == next {
                    self.leaving.push(Vec::new());
                }
                if let Some(leaving) = self.leaving.get_mut(place) {
                    leaving.push(Edge { to, hop });
                }
            }
        }
    }

    /// Returns the hop that a delta is, unless this device cannot use it.
    pub(super) fn hop(&self, release: &CatalogueRelease, delta: &CatalogueDelta) -> Option<Hop> {
        let is_known = self.any_method || lacking(delta, self.holdings).next().is_none();
        let is_usable = is_known
            && !self
                .holdings
                .unusable
                .deltas
                .contains(&delta.content.digest);
        let begun = (self.holdings.partial_bytes)(&delta.content.digest);
        is_usable.then(|| Hop {
            from: delta.from,
            to: release.manifest.digest,
            delta: delta.content,
            fetch_bytes: delta.content.length.saturating_sub(begun),
            built_bytes: delta.built_bytes,
        })
    }

    /// Returns the cheapest hops to `target`, without the delta `lost`; by Dijkstra's algorithm.
    pub(super) fn cheapest(&self, target: &Digest, lost: Option<Digest>) -> Option<Vec<Hop>> {
        let target = *self.places.get(target)?;
        let mut reached: Vec<Option<(Cost, &Hop)>> = vec![None; self.leaving.len()];
        let mut started = vec![false; self.leaving.len()];
        let mut heap = BinaryHeap::new();
        for held in self.held() {
            if let Some(start) = started.get_mut(held) {
                *start = true;
            }
            heap.push(Reverse(((0, 0, 0), held)));
        }
        relax(
            &mut heap,
            &mut reached,
            &started,
            (0, 0, 0),
            &self.from_nothing,
            lost,
        );
        while let Some(Reverse((cost, place))) = heap.pop() {
            if place == target {
                return Some(self.traced(&reached, target));
            }
            let known = reached.get(place).copied().flatten();
            if known.is_some_and(|(least, _)| least < cost) {
                continue;
            }
            if let Some(edges) = self.leaving.get(place) {
                relax(&mut heap, &mut reached, &started, cost, edges, lost);
            }
        }
        None
    }

    /// Returns the hops by which `target` was reached, the first one first.
    fn traced(&self, reached: &[Option<(Cost, &Hop)>], target: usize) -> Vec<Hop> {
        let mut hops = Vec::new();
        let mut place = target;
        while let Some(Some((_, hop))) = reached.get(place) {
            hops.push((*hop).clone());
            let from = hop.from.and_then(|from| self.places.get(&from));
            match from {
                Some(from) if hops.len() < reached.len() => place = *from,
                _ => break,
            }
        }
        hops.reverse();
        hops
    }

    fn held(&self) -> impl Iterator<Item = usize> + '_ {
        let sound = |digest: &&Digest| !self.holdings.unusable.releases.contains(*digest);
        let held = self.holdings.releases.iter().filter(sound);
        held.filter_map(|digest| self.places.get(digest).copied())
    }

    /// Returns the methods without which this client has no way to `target`, though there is one.
    pub(super) fn missing_methods(
        catalogue: &Catalogue,
        holdings: &Holdings<'_>,
        target: &Digest,
    ) -> Vec<String> {
        let way = Graph::of(catalogue, holdings, true).cheapest(target, None);
        let wanted: BTreeSet<Digest> = way.iter().flatten().map(|hop| hop.delta.digest).collect();
        let deltas = catalogue.releases.iter().flat_map(|of| &of.deltas);
        let missing: BTreeSet<&String> = deltas
            .filter(|delta| wanted.contains(&delta.content.digest))
            .flat_map(|delta| lacking(delta, holdings))
            .collect();
        missing.into_iter().cloned().collect()
    }
}

/// Goes on from a release that costs so much over the deltas that leave it.
fn relax<'e>(
    heap: &mut BinaryHeap<Reverse<(Cost, usize)>>,
    reached: &mut [Option<(Cost, &'e Hop)>],
    started: &[bool],
    (bytes, requests, built): Cost,
    edges: &'e [Edge],
    lost: Option<Digest>,
) {
    for Edge { to, hop } in edges {
        // What is installed is reached for nothing.
        if lost == Some(hop.delta.digest) || started.get(*to).copied().unwrap_or(true) {
            continue;
        }
        let cost = (
            bytes.saturating_add(hop.fetch_bytes),
            requests.saturating_add(u64::from(hop.fetch_bytes > 0)),
            built.saturating_add(hop.built_bytes),
        );
        let Some(known) = reached.get_mut(*to) else {
            continue;
        };
        if known.is_none_or(|(least, _)| cost < least) {
            *known = Some((cost, hop));
            heap.push(Reverse((cost, *to)));
        }
    }
}

/// Returns the methods that a delta needs and this client lacks.
fn lacking<'d>(
    delta: &'d CatalogueDelta,
    holdings: &'d Holdings<'_>,
) -> impl Iterator<Item = &'d String> {
    let lacks = |method: &&String| !holdings.methods.contains(&method.as_str());
    delta.methods.iter().filter(lacks)
}
