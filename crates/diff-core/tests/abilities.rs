//! A delta needs only what the devices have that it is for.

#![allow(clippy::unwrap_used)]

mod support;

use diff_core::{Abilities, Delta, DeltaSummary, Differ, Level, Limits, Method, Recompressor};

use support::checks::{edited, text};
use support::containers::{Packed, deflate, gzip, zip};
use support::png::Picture;
use support::{MemoryTree, apply, diff_with, noise};

/// Returns a tree that every method and recompressor has something to do with.
fn tree(is_new: bool) -> MemoryTree {
    let page = |seed| {
        let page = text(seed, 2000);
        if is_new { edited(&page) } else { page }
    };
    let mut database = noise(9000, 5);
    if is_new {
        (0..9000).step_by(700).for_each(|at| database[at] ^= 1);
    }
    MemoryTree::new(&[
        ("a.zip", zip(&[("a", page(1), Packed::Deflated(6))])),
        ("b.zip", zip(&[("b", page(2), Packed::Foreign)])),
        ("c.gz", gzip(&page(3), &deflate(&page(3), 9))),
        ("d.txt", page(4)),
        ("e.db", database),
        ("new.bin", noise(if is_new { 5000 } else { 1 }, 7)),
        ("plan.png", if is_new { plan() } else { Vec::new() }),
    ])
}

/// Returns an image of which no device has anything.
fn plan() -> Vec<u8> {
    let picture = Picture {
        width: 120,
        colours: 3,
        palette: noise(24, 1),
        alphas: Vec::new(),
        pixels: noise(120 * 90, 2).iter().map(|byte| byte % 5).collect(),
    };
    picture.png(&[0], 6, 1 << 13)
}

/// Returns what a delta for a device is that has only these; it has been applied.
fn made_for(methods: &[Method], recompressors: &[Recompressor], level: Level) -> DeltaSummary {
    let (old, new) = (tree(false), tree(true));
    let differ = Differ::new(old.tree(), new.tree()).level(level);
    let (bytes, summary) =
        diff_with(differ.for_devices(&Abilities::of(methods, recompressors))).unwrap();
    assert!(apply(&old, &bytes).unwrap().files == new.files);
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    assert_eq!(delta.plan(&old.listing).unwrap().needs(), summary.needs);
    summary
}

#[test]
fn a_delta_needs_nothing_that_the_device_lacks() {
    let recompressors = [
        vec![],
        vec![Recompressor::Zlib],
        vec![Recompressor::Tokens],
        vec![Recompressor::Pixels],
        Recompressor::ALL.to_vec(),
    ];
    for chosen in 0..16_u8 {
        let methods = Method::ALL.into_iter();
        let methods: Vec<Method> = methods
            .filter(|method| chosen >> method.id() & 1 == 1)
            .collect();
        for recompressors in &recompressors {
            for level in [Level::Fast, Level::Default] {
                let summary = made_for(&methods, recompressors, level);
                let names = methods.iter().map(|method| method.name());
                let mut names: Vec<_> = names.chain(["store"]).collect();
                names.extend(recompressors.iter().map(|one| one.name()));
                for need in &summary.needs {
                    assert!(names.contains(need), "{need} is not of {names:?}");
                }
            }
        }
    }
}

#[test]
fn a_device_of_zstd_alone_gets_zstd_and_no_opened_streams() {
    let summary = made_for(&[Method::Zstd], &[], Level::Default);
    assert_eq!(summary.needs, ["zstd"]);
    let opened = summary.stats.files.iter().map(|file| file.streams.opened);
    assert_eq!(opened.sum::<u64>(), 0);
}

#[test]
fn each_recompressor_opens_what_it_can_rebuild() {
    let opened = |recompressors: &[Recompressor]| {
        let summary = made_for(&Method::ALL, recompressors, Level::Default);
        let files = summary.stats.files.into_iter();
        files.map(|file| file.streams.opened).collect::<Vec<_>>()
    };
    assert_eq!(opened(&[Recompressor::Zlib]), [1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(opened(&[Recompressor::Tokens])[1], 1);
    assert_eq!(opened(&Recompressor::ALL), [1, 1, 1, 0, 0, 0, 1]);
    assert_eq!(opened(&[Recompressor::Pixels]), [0; 7]);
}

#[test]
fn a_device_that_has_everything_gets_what_any_device_gets() {
    let (old, new) = (tree(false), tree(true));
    let usual = diff_with(Differ::new(old.tree(), new.tree())).unwrap();
    let differ = Differ::new(old.tree(), new.tree());
    let all = diff_with(differ.for_devices(&Abilities::all())).unwrap();
    assert_eq!(usual, all);
}
