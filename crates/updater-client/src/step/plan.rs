mod graph;
mod holdings;
mod route;

use diff_core::Digest;
use release_format::{Catalogue, CatalogueRelease};

use graph::Graph;
pub(crate) use holdings::{Holdings, Unusable};
pub use route::{ChunkWay, Hop, Route};

/// The way from what the device has to the release that it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The route that costs the fewest bytes of those that fit the disk; the fewest of all where none
    /// does.
    pub route: Route,
    /// Other routes, cheapest first.
    pub alternatives: Vec<Route>,
}

/// What file systems give out at least; more for a file only where they are large.
const BLOCK_BYTES: u64 = 4 << 10;
/// Files beyond these are not reckoned a block each: most are linked and take none, and a small update
/// of a large pack would be refused for space that it does not take.
const ROUNDED_FILES: u64 = 256;
/// Blocks of the release's folders, the state record and the one before it.
const RECORD_BLOCKS: u64 = 4;
/// How many times as long a full download has to be as the manifest and the chunk map for these to be
/// fetched: a twentieth more at worst.
const TELLING_SHARE: u64 = 20;
/// Deltas of a route whose loss is thought through beforehand; another one's is when it comes.
const LOSSES: usize = 4;
/// Routes that are told beside the chosen one.
const ALTERNATIVES: usize = 4;

/// What a client that puts nothing together of chunks is told to lack.
const CHUNKS: &str = "chunks";

/// Why there is no way to a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// The catalogue has no deltas that lead there from something the device holds.
    NoDelta,
    /// There are such deltas, but each way needs a method that this client lacks.
    Methods(Vec<String>),
}

impl Plan {
    /// Adds the way over chunks, where it belongs among the others.
    pub(crate) fn with_chunks(mut self, route: Route, available_bytes: u64) -> Plan {
        let fits = |route: &Route| route.needed_bytes() <= available_bytes;
        let is_better = (!fits(&self.route), self.route.cost()) > (!fits(&route), route.cost());
        let other = match is_better {
            true => std::mem::replace(&mut self.route, route),
            false => route,
        };
        self.alternatives.push(other);
        self.alternatives.sort_by_key(Route::cost);
        self.alternatives.truncate(ALTERNATIVES);
        self
    }
}

/// Returns the way over chunks.
pub(crate) fn chunk_route(release: &CatalogueRelease, chunks: ChunkWay, links: bool) -> Route {
    let unchanged = release.tree_bytes.saturating_sub(chunks.built_bytes);
    Route {
        hops: Vec::new(),
        chunks: Some(chunks),
        copied_bytes: if links { 0 } else { unchanged },
        manifest_bytes: release.manifest.length,
        slack_bytes: slack_bytes(release),
    }
}

/// Whether chunks may be cheaper than `route`, so that it is worth fetching what tells: never where a
/// delta leads on from what is installed.
pub(crate) fn may_chunks_pay(release: &CatalogueRelease, route: &Route) -> bool {
    route.is_full() && route.fetch_bytes() > telling_bytes(release).saturating_mul(TELLING_SHARE)
}

/// Returns what it takes to find out what chunks cost.
pub(crate) fn telling_bytes(release: &CatalogueRelease) -> u64 {
    let (manifest, map) = (release.manifest.length, release.chunk_map.length);
    manifest.saturating_add(map)
}

/// Returns the methods that a client which has `methods` lacks for every way over deltas from what is
/// `held` to `release`; none where there is a way, and chunks where no method would make one.
pub(crate) fn missing_methods(
    catalogue: &Catalogue,
    release: &CatalogueRelease,
    held: &[Digest],
    methods: &[&str],
) -> Vec<String> {
    let holdings = Holdings {
        releases: held,
        methods,
        partial_bytes: &|_| 0,
        links: true,
        available_bytes: u64::MAX,
        unusable: &Unusable::default(),
    };
    let manifest = &release.manifest.digest;
    let known = Graph::new(catalogue, &holdings);
    match known.cheapest(manifest, None) {
        Some(_) => Vec::new(),
        None => {
            let missing = Graph::missing_methods(catalogue, &holdings, manifest);
            if missing.is_empty() {
                return vec![CHUNKS.to_owned()];
            }
            missing
        }
    }
}

/// Returns the cheapest way to `release` over all deltas of `catalogue`, and others behind it.
///
/// # Errors
/// [`NoRoute`] when no deltas lead there from what the device holds that can be applied.
pub(crate) fn plan(
    catalogue: &Catalogue,
    release: &CatalogueRelease,
    holdings: &Holdings<'_>,
) -> Result<Plan, NoRoute> {
    let graph = Graph::new(catalogue, holdings);
    let Some(best) = graph.cheapest(&release.manifest.digest, None) else {
        let missing = Graph::missing_methods(catalogue, holdings, &release.manifest.digest);
        return Err(match missing.is_empty() {
            true => NoRoute::NoDelta,
            false => NoRoute::Methods(missing),
        });
    };
    // Without each of its deltas in turn, of a long chain the first ones, and from nothing: what would be
    // taken if one were lost.
    let mut ways = vec![best.clone()];
    let without = best.iter().take(LOSSES).map(|lost| Some(lost.delta.digest));
    for lost in without {
        ways.extend(graph.cheapest(&release.manifest.digest, lost));
    }
    let full = release.deltas.iter().filter(|delta| delta.from.is_none());
    ways.extend(full.filter_map(|delta| Some(vec![graph.hop(release, delta)?])));
    let mut routes: Vec<Route> = ways
        .into_iter()
        .map(|hops| route(release, hops, holdings.links))
        .collect();
    routes.sort_by_key(Route::cost);
    routes.dedup();
    let fits = |route: &Route| route.needed_bytes() <= holdings.available_bytes;
    let chosen = routes.iter().position(fits).unwrap_or(0);
    let route = routes.remove(chosen);
    routes.truncate(ALTERNATIVES);
    Ok(Plan {
        route,
        alternatives: routes,
    })
}

fn route(release: &CatalogueRelease, hops: Vec<Hop>, links: bool) -> Route {
    let built_last = hops.last().map_or(0, |hop| hop.built_bytes);
    let unchanged = release.tree_bytes.saturating_sub(built_last);
    Route {
        hops,
        chunks: None,
        copied_bytes: if links { 0 } else { unchanged },
        manifest_bytes: release.manifest.length,
        slack_bytes: slack_bytes(release),
    }
}

fn slack_bytes(release: &CatalogueRelease) -> u64 {
    (release.files.min(ROUNDED_FILES) + RECORD_BLOCKS) * BLOCK_BYTES
}

#[cfg(test)]
mod tests;
