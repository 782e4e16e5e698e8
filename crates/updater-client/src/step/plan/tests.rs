use std::collections::BTreeSet;

use diff_core::Digest;
use release_format::{CatalogueDelta, ContentReference, Label, PackName, ReleaseStatus, UtcTime};

use super::*;

/// Returns the manifest digest of the release with this label.
fn manifest(label: &str) -> Digest {
    Digest::of(label.as_bytes())
}

/// A delta from the release `from`, or from nothing where that is empty, of `length` bytes.
fn delta(from: &str, length: u64, method: &str) -> CatalogueDelta {
    CatalogueDelta {
        from: (!from.is_empty()).then(|| manifest(from)),
        content: ContentReference {
            digest: Digest::of(&length.to_le_bytes()),
            length,
        },
        built_bytes: 10 * length,
        methods: vec![method.to_owned()],
    }
}

fn release(label: &str, sequence: u64, deltas: Vec<CatalogueDelta>) -> CatalogueRelease {
    CatalogueRelease {
        label: Label::parse(label).unwrap(),
        sequence,
        manifest: ContentReference {
            digest: manifest(label),
            length: 800,
        },
        published: UtcTime::from_seconds(0),
        tree_bytes: 600_000,
        files: 10,
        chunk_map: ContentReference::of(b"chunk map"),
        archives: Vec::new(),
        deltas,
        notes: None,
        translations: Default::default(),
        provenance: None,
        sbom: None,
        status: ReleaseStatus::Offered,
    }
}

fn catalogue(releases: Vec<CatalogueRelease>) -> Catalogue {
    Catalogue {
        pack: PackName::parse("acme/biology").unwrap(),
        releases,
    }
}

/// Deltas as `FROM>TO:LENGTH`, with `!` behind those whose method is unknown; the last release named
/// is the one that is offered.
fn of(text: &str) -> Catalogue {
    let mut releases: Vec<(String, Vec<CatalogueDelta>)> = Vec::new();
    for word in text.split_whitespace() {
        let (method, word) = match word.strip_suffix('!') {
            Some(word) => ("unknown", word),
            None => ("zstd", word),
        };
        let (from, rest) = word.split_once('>').unwrap();
        let (to, length) = rest.split_once(':').unwrap();
        let delta = delta(from, length.parse().unwrap(), method);
        match releases.iter_mut().find(|(label, _)| label == to) {
            Some((_, deltas)) => deltas.push(delta),
            None => releases.push((to.to_owned(), vec![delta])),
        }
    }
    let numbered = releases.into_iter().zip(1..);
    catalogue(
        numbered
            .map(|((label, deltas), sequence)| release(&label, sequence, deltas))
            .collect(),
    )
}

struct Device<'a> {
    held: &'a [&'a str],
    begun: (u64, u64),
    available: u64,
    unusable: Unusable,
}

impl Device<'_> {
    const NEW: Device<'static> = Device {
        held: &[],
        begun: (0, 0),
        available: u64::MAX,
        unusable: Unusable {
            deltas: BTreeSet::new(),
            releases: BTreeSet::new(),
            chunks: false,
        },
    };

    fn plan(&self, catalogue: &Catalogue) -> Result<Plan, NoRoute> {
        let releases: Vec<Digest> = self.held.iter().map(|label| manifest(label)).collect();
        let begun = Digest::of(&self.begun.0.to_le_bytes());
        let holdings = Holdings {
            releases: &releases,
            methods: &["zstd"],
            partial_bytes: &|digest| if *digest == begun { self.begun.1 } else { 0 },
            links: true,
            available_bytes: self.available,
            unusable: &self.unusable,
        };
        plan(catalogue, catalogue.releases.last().unwrap(), &holdings)
    }
}

fn lengths(route: &Route) -> Vec<u64> {
    route.hops.iter().map(|hop| hop.delta.length).collect()
}

#[test]
fn the_cheapest_way_in_bytes_comes_first_whatever_its_hops() {
    const FULL: &str = ">3:50000";
    for (claim, deltas, held, expected) in [
        ("nothing held", FULL, &[][..], &[50_000][..]),
        ("a direct delta", ">3:50000 1>3:900", &["1"], &[900]),
        ("both held", ">3:50000 1>3:900 2>3:300", &["1", "2"], &[300]),
        ("another held", ">3:50000 1>3:900", &["0"], &[50_000]),
        ("full is smaller", ">3:100 1>3:900", &["1"], &[100]),
        (
            "a chain",
            "1>2:100 >3:50000 2>3:300 1>3:900",
            &["1"],
            &[100, 300],
        ),
        (
            "a chain that costs as much takes more requests",
            "1>2:100 2>3:300 1>3:400",
            &["1"],
            &[400],
        ),
        (
            "a chain from nothing",
            ">1:1000 1>2:100 2>3:300 >3:50000",
            &[],
            &[1_000, 100, 300],
        ),
        (
            "a chain over a release that is held begins there",
            "1>2:100 2>3:300",
            &["1", "2"],
            &[300],
        ),
        (
            "from a release that the catalogue has forgotten",
            "gone>2:100 2>3:300 >3:50000",
            &["gone"],
            &[100, 300],
        ),
        ("circles", "1>2:1 2>1:1 2>3:5 3>2:1 1>3:9", &["1"], &[1, 5]),
        ("an unknown method", "1>3:10! >3:50000", &["1"], &[50_000]),
        (
            "an unknown method in the middle",
            "1>2:1! 2>3:1 1>3:900",
            &["1"],
            &[900],
        ),
    ] {
        let plan = Device {
            held,
            ..Device::NEW
        }
        .plan(&of(deltas))
        .unwrap();
        assert_eq!(lengths(&plan.route), expected, "{claim}");
    }
}

#[test]
fn where_there_is_no_way_it_is_told_why() {
    let methods = || Err(NoRoute::Methods(vec!["unknown".to_owned()]));
    for (claim, deltas, held, expected) in [
        ("no delta", "1>3:10", &[][..], Err(NoRoute::NoDelta)),
        ("a gap", "1>2:10 3>4:10", &["1"], Err(NoRoute::NoDelta)),
        ("a method", "1>3:10!", &["1"], methods()),
        ("a method on the way", "1>2:10! 2>3:10", &["1"], methods()),
        (
            "a method elsewhere",
            "1>2:10! 4>3:10",
            &["1"],
            Err(NoRoute::NoDelta),
        ),
    ] {
        let found = Device {
            held,
            ..Device::NEW
        }
        .plan(&of(deltas));
        assert_eq!(found.map(|_| ()), expected, "{claim}");
    }
}

#[test]
fn what_was_begun_counts_by_what_is_left() {
    let catalogue = of("1>3:900 2>3:300 >3:50000");
    let held = &["1", "2"][..];
    for (begun, expected) in [((0, 0), 300), ((900, 800), 900), ((900, 500), 300)] {
        let device = Device {
            held,
            begun,
            ..Device::NEW
        };
        let plan = device.plan(&catalogue).unwrap();
        assert_eq!(lengths(&plan.route), [expected], "{begun:?}");
        assert_eq!(
            plan.route.fetch_bytes(),
            expected - begun.1 * u64::from(expected == 900)
        );
    }
}

#[test]
fn without_what_is_of_no_use_there_is_another_way() {
    let catalogue = of("1>2:100 2>3:300 1>3:900 0>3:950 >3:50000");
    let content = |length: u64| Digest::of(&length.to_le_bytes());
    for (deltas, releases, expected) in [
        (&[][..], &[][..], &[100, 300][..]),
        (&[300], &[], &[900]),
        (&[100], &[], &[900]),
        (&[100, 900], &[], &[950]),
        (&[], &["1"], &[950]),
        (&[], &["0", "1"], &[50_000]),
    ] {
        let unusable = Unusable {
            deltas: deltas.iter().copied().map(content).collect(),
            releases: releases.iter().map(|label| manifest(label)).collect(),
            chunks: false,
        };
        let held = &["0", "1"];
        let device = Device {
            held,
            unusable,
            ..Device::NEW
        };
        let plan = device.plan(&catalogue).unwrap();
        assert_eq!(lengths(&plan.route), expected, "{deltas:?} {releases:?}");
    }
}

#[test]
fn the_other_ways_are_told_cheapest_first_and_each_once() {
    let catalogue = of("1>2:100 2>3:300 1>3:900 0>3:950 >3:50000");
    let held = &["0", "1"];
    let plan = Device {
        held,
        ..Device::NEW
    }
    .plan(&catalogue)
    .unwrap();
    let others: Vec<Vec<u64>> = plan.alternatives.iter().map(lengths).collect();
    assert_eq!(others, [vec![900], vec![50_000]]);
}

#[test]
fn a_way_that_fits_the_disk_is_taken_before_a_cheaper_one_that_does_not() {
    let catalogue = of("1>2:1000 2>3:1000 1>3:2500");
    let held = &["1"];
    let plan = |available| {
        Device {
            held,
            available,
            ..Device::NEW
        }
        .plan(&catalogue)
        .unwrap()
    };
    let (chain, direct) = (plan(u64::MAX).route, vec![2_500]);
    assert_eq!(lengths(&chain), [1_000, 1_000]);
    // Of the same length to build, and less to keep: the chain takes less room here.
    assert!(chain.needed_bytes() < plan(u64::MAX).alternatives[0].needed_bytes());
    let mut costly = catalogue.clone();
    costly.releases[0].deltas[0].built_bytes = 1 << 30;
    let tight = Device {
        held,
        available: 1 << 20,
        ..Device::NEW
    };
    assert_eq!(lengths(&tight.plan(&costly).unwrap().route), direct);
    // Nothing fits: what is cheapest is told to be too much.
    let none = Device {
        held,
        available: 10,
        ..Device::NEW
    };
    assert_eq!(lengths(&none.plan(&costly).unwrap().route), [1_000, 1_000]);
}

#[test]
fn space_is_asked_for_what_is_fetched_and_what_is_written() {
    let catalogue = of(">3:50000");
    for (links, copied) in [(true, 0), (false, 100_000)] {
        let unusable = Unusable::default();
        let holdings = Holdings {
            releases: &[],
            methods: &["zstd"],
            partial_bytes: &|_| 20_000,
            links,
            available_bytes: u64::MAX,
            unusable: &unusable,
        };
        let release = catalogue.releases.last().unwrap();
        let route = plan(&catalogue, release, &holdings).unwrap().route;
        assert_eq!((route.fetch_bytes(), route.requests()), (30_000, 1));
        let kept = 500_000 + copied + release.manifest.length;
        assert_eq!(route.retained_bytes(), kept);
        assert_eq!(route.needed_bytes(), 30_000 + kept + 14 * 4_096);
    }
}

#[test]
fn chunks_are_taken_where_they_cost_less_and_told_where_they_do_not() {
    let catalogue = of("1>3:900 >3:50000");
    let release = catalogue.releases.last().unwrap();
    let way = |fetch_bytes| ChunkWay {
        fetch_bytes,
        requests: 3,
        built_bytes: 1_000,
    };
    let plan = |held, chunks| {
        let plan = Device {
            held,
            ..Device::NEW
        }
        .plan(&catalogue)
        .unwrap();
        plan.with_chunks(chunk_route(release, way(chunks), true), u64::MAX)
    };
    let cheap = plan(&[], 700);
    assert_eq!(cheap.route.chunks, Some(way(700)));
    assert_eq!(
        (cheap.route.fetch_bytes(), cheap.route.requests()),
        (700, 3)
    );
    assert!(!cheap.route.is_full() && cheap.alternatives[0].is_full());
    let dear = plan(&["1"], 1_000);
    assert_eq!(lengths(&dear.route), [900]);
    assert_eq!(dear.alternatives[0].chunks, Some(way(1_000)));
}

#[test]
fn chunks_are_asked_for_where_a_full_download_is_left_and_is_long() {
    let catalogue = of("1>3:900 >3:50000");
    let release = catalogue.releases.last().unwrap();
    let plan = |held| {
        Device {
            held,
            ..Device::NEW
        }
        .plan(&catalogue)
        .unwrap()
        .route
    };
    assert!(may_chunks_pay(release, &plan(&[])));
    assert!(!may_chunks_pay(release, &plan(&["1"])));
    let mut small = release.clone();
    small.chunk_map.length = 5_000;
    assert!(!may_chunks_pay(&small, &plan(&[])));
}

#[test]
fn a_thousand_releases_with_ten_thousand_deltas_have_a_cheapest_way() {
    // From each of the ten releases before: a step of one costs 1,000 bytes, and each further one saves
    // a little, so that the cheapest way is one of a hundred large steps.
    let releases = (1..=1_000_u64).map(|number| {
        let steps = 1..=number.min(10).min(number.saturating_sub(1));
        let deltas = steps.map(|step| {
            let mut delta = delta(&(number - step).to_string(), 1_000 * step - step, "zstd");
            delta.content.digest = Digest::of(format!("{number}-{step}").as_bytes());
            delta
        });
        release(&number.to_string(), number, deltas.collect())
    });
    let catalogue = catalogue(releases.collect());
    let count: usize = catalogue.releases.iter().map(|of| of.deltas.len()).sum();
    assert_eq!(count, 9_945);
    let plan = Device {
        held: &["1"],
        ..Device::NEW
    }
    .plan(&catalogue)
    .unwrap();
    assert_eq!(plan.route.fetch_bytes(), 999 * 1_000 - 999);
    // All ways cost the same bytes: the fewest requests decide.
    assert_eq!(plan.route.requests(), 100);
}
