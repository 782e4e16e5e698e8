use diff_core::Digest;
use release_format::{CatalogueDelta, CatalogueRelease, ContentReference};

/// The way from what the device has to the release that it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The route that costs the fewest bytes.
    pub route: Route,
    /// The routes that would also do, cheapest first: taken when the first turns out unusable.
    pub alternatives: Vec<Route>,
}

/// One delta that leads to the offered release from something that the device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The manifest digest of the installed release that the delta starts from; `None` for the
    /// delta from nothing, which is a full download.
    pub from: Option<Digest>,
    /// The delta.
    pub delta: ContentReference,
    /// Bytes still to fetch: the delta's length less what an earlier attempt left.
    pub fetch_bytes: u64,
    /// Bytes of files that applying the delta writes.
    pub built_bytes: u64,
}

impl Route {
    /// Returns how many bytes must be free before the first byte is fetched.
    ///
    /// Unchanged files are linked and cost no content. Where the file system can neither reflink nor
    /// hard-link they are copied, and running out of space on the way undoes the stage.
    pub fn needed_bytes(&self) -> u64 {
        let content = self.fetch_bytes.saturating_add(self.built_bytes);
        content.saturating_add(RECORDS_BYTES)
    }

    /// Whether the route fetches the release whole.
    pub fn is_full(&self) -> bool {
        self.from.is_none()
    }
}

/// Room for the manifest, the state record and the directories of a release.
const RECORDS_BYTES: u64 = 1 << 20;

/// What a device brings to a plan.
pub(crate) struct Holdings<'a> {
    /// Manifest digests of the releases of the pack that are installed.
    pub(crate) releases: &'a [Digest],
    /// Names of the delta methods that this client can apply.
    pub(crate) methods: &'a [&'a str],
    /// Tells how many bytes of some content an earlier attempt left in the library.
    pub(crate) partial_bytes: &'a dyn Fn(&Digest) -> u64,
}

/// Why there is no way to a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// The catalogue has no delta that starts from something the device holds.
    NoDelta,
    /// There are such deltas, but each needs a method that this client lacks.
    Methods(Vec<String>),
}

/// Returns the cheapest way to `release`, and the others behind it.
///
/// # Errors
/// [`NoRoute`] when no delta both starts from what the device holds and can be applied.
pub(crate) fn plan(release: &CatalogueRelease, holdings: &Holdings<'_>) -> Result<Plan, NoRoute> {
    let mut missing = Vec::new();
    let mut routes = Vec::new();
    for delta in release
        .deltas
        .iter()
        .filter(|delta| starts_from_held(delta, holdings))
    {
        let lacks = |method: &&String| !holdings.methods.contains(&method.as_str());
        match delta.methods.iter().find(lacks) {
            Some(method) => missing.push(method.clone()),
            None => routes.push(route(delta, holdings)),
        }
    }
    routes.sort_by_key(|route| (route.fetch_bytes, route.built_bytes, route.delta.digest));
    let mut routes = routes.into_iter();
    match routes.next() {
        Some(route) => Ok(Plan {
            route,
            alternatives: routes.collect(),
        }),
        None if missing.is_empty() => Err(NoRoute::NoDelta),
        None => {
            missing.sort();
            missing.dedup();
            Err(NoRoute::Methods(missing))
        }
    }
}

fn starts_from_held(delta: &CatalogueDelta, holdings: &Holdings<'_>) -> bool {
    delta
        .from
        .is_none_or(|from| holdings.releases.contains(&from))
}

fn route(delta: &CatalogueDelta, holdings: &Holdings<'_>) -> Route {
    let fetched = (holdings.partial_bytes)(&delta.content.digest);
    Route {
        from: delta.from,
        delta: delta.content,
        fetch_bytes: delta.content.length.saturating_sub(fetched),
        built_bytes: delta.built_bytes,
    }
}
