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
    /// Bytes of unchanged files that are copied: none where the library's disk can share them.
    pub copied_bytes: u64,
    /// Bytes of the release's manifest.
    pub manifest_bytes: u64,
    /// Room for what the file system rounds up, and for folders and records.
    pub slack_bytes: u64,
}

impl Route {
    /// Returns how many bytes must be free before the first byte is fetched: what is still to fetch,
    /// every file that is written, and the records.
    ///
    /// It is exact but for [`Route::slack_bytes`], at most a block for each file.
    pub fn needed_bytes(&self) -> u64 {
        let kept = self.retained_bytes().saturating_add(self.slack_bytes);
        self.fetch_bytes.saturating_add(kept)
    }

    /// Returns how many bytes of files the release adds for as long as it is kept; the delta is gone
    /// by then.
    pub fn retained_bytes(&self) -> u64 {
        let written = self.built_bytes.saturating_add(self.copied_bytes);
        written.saturating_add(self.manifest_bytes)
    }

    /// Whether the route fetches the release whole.
    pub fn is_full(&self) -> bool {
        self.from.is_none()
    }
}

/// What file systems give out at least; more for a file only where they are large.
const BLOCK_BYTES: u64 = 4 << 10;
/// Files beyond these are not reckoned a block each: most are linked and take none, and a small update
/// of a large pack would be refused for space that it does not take.
const ROUNDED_FILES: u64 = 256;
/// Blocks of the release's folders, the state record and the one before it.
const RECORD_BLOCKS: u64 = 4;

/// What a device brings to a plan.
pub(crate) struct Holdings<'a> {
    /// Manifest digests of the releases of the pack that are installed.
    pub(crate) releases: &'a [Digest],
    /// Names of the delta methods that this client can apply.
    pub(crate) methods: &'a [&'a str],
    /// Tells how many bytes of some content an earlier attempt left in the library.
    pub(crate) partial_bytes: &'a dyn Fn(&Digest) -> u64,
    /// Whether the library's disk can give a file a second name without copying it.
    pub(crate) links: bool,
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
            None => routes.push(route(release, delta, holdings)),
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

fn route(release: &CatalogueRelease, delta: &CatalogueDelta, holdings: &Holdings<'_>) -> Route {
    let fetched = (holdings.partial_bytes)(&delta.content.digest);
    let unchanged = release.tree_bytes.saturating_sub(delta.built_bytes);
    Route {
        from: delta.from,
        delta: delta.content,
        fetch_bytes: delta.content.length.saturating_sub(fetched),
        built_bytes: delta.built_bytes,
        copied_bytes: if holdings.links { 0 } else { unchanged },
        manifest_bytes: release.manifest.length,
        slack_bytes: (release.files.min(ROUNDED_FILES) + RECORD_BLOCKS) * BLOCK_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use release_format::{Label, ReleaseStatus, UtcTime};

    /// A delta from the release `from`, or from nothing, of `length` bytes.
    fn delta(from: Option<&str>, length: u64, method: &str) -> CatalogueDelta {
        CatalogueDelta {
            from: from.map(|label| Digest::of(label.as_bytes())),
            content: ContentReference {
                digest: Digest::of(&length.to_le_bytes()),
                length,
            },
            built_bytes: 10 * length,
            methods: vec![method.to_owned()],
        }
    }

    fn release(deltas: &[CatalogueDelta]) -> CatalogueRelease {
        CatalogueRelease {
            label: Label::parse("2.0").unwrap(),
            sequence: 9,
            manifest: ContentReference::of(b"manifest"),
            published: UtcTime::from_seconds(0),
            tree_bytes: 100_000,
            files: 10,
            chunk_map: ContentReference::of(b"chunk map"),
            archives: Vec::new(),
            deltas: deltas.to_vec(),
            notes: None,
            status: ReleaseStatus::Offered,
        }
    }

    /// The lengths of the deltas to fetch, in the order in which they would be tried.
    fn lengths(
        deltas: &[CatalogueDelta],
        held: &[&str],
        partial: (u64, u64),
    ) -> Result<Vec<u64>, NoRoute> {
        let releases: Vec<_> = held
            .iter()
            .map(|label| Digest::of(label.as_bytes()))
            .collect();
        let (of_length, bytes) = partial;
        let begun = Digest::of(&of_length.to_le_bytes());
        let holdings = Holdings {
            releases: &releases,
            methods: &["zstd"],
            partial_bytes: &|digest| if *digest == begun { bytes } else { 0 },
            links: true,
        };
        let plan = plan(&release(deltas), &holdings)?;
        let routes = std::iter::once(plan.route).chain(plan.alternatives);
        Ok(routes.map(|route| route.delta.length).collect())
    }

    #[test]
    fn cheapest_way_from_what_is_held_comes_first() {
        let full = delta(None, 50_000, "zstd");
        let from_one = delta(Some("1.0"), 900, "zstd");
        let from_two = delta(Some("1.1"), 300, "zstd");
        let small_full = delta(None, 100, "zstd");
        let unknown = delta(Some("1.0"), 10, "solid");
        let none = (0, 0);
        let all = [full.clone(), from_one.clone(), from_two.clone()];
        let methods = |name: &str| Err(NoRoute::Methods(vec![name.to_owned()]));
        for (claim, deltas, held, partial, expected) in [
            ("nothing held", &all[..], &[][..], none, Ok(vec![50_000])),
            (
                "the older held",
                &all,
                &["1.0"],
                none,
                Ok(vec![900, 50_000]),
            ),
            (
                "both held",
                &all,
                &["1.0", "1.1"],
                none,
                Ok(vec![300, 900, 50_000]),
            ),
            ("another held", &all, &["0.9"], none, Ok(vec![50_000])),
            (
                "full is smaller",
                &[small_full, from_one.clone()],
                &["1.0"],
                none,
                Ok(vec![100, 900]),
            ),
            (
                "begun before",
                &all,
                &["1.0", "1.1"],
                (900, 800),
                Ok(vec![900, 300, 50_000]),
            ),
            (
                "method lacking",
                &[unknown.clone(), full],
                &["1.0"],
                none,
                Ok(vec![50_000]),
            ),
            ("no other way", &[unknown], &["1.0"], none, methods("solid")),
            ("no way", &[from_one], &[], none, Err(NoRoute::NoDelta)),
        ] {
            assert_eq!(lengths(deltas, held, partial), expected, "{claim}");
        }
    }

    #[test]
    fn space_is_asked_for_what_is_fetched_and_what_is_written() {
        let mut release = release(&[delta(None, 50_000, "zstd")]);
        release.tree_bytes = 600_000;
        for (links, copied) in [(true, 0), (false, 100_000)] {
            let holdings = Holdings {
                releases: &[],
                methods: &["zstd"],
                partial_bytes: &|_| 20_000,
                links,
            };
            let route = plan(&release, &holdings).unwrap().route;
            assert_eq!(route.fetch_bytes, 30_000);
            let kept = 500_000 + copied + release.manifest.length;
            assert_eq!(route.retained_bytes(), kept);
            assert_eq!(route.needed_bytes(), 30_000 + kept + 14 * 4_096);
        }
    }
}
