//! The same trees give the same delta, whatever the machine.

#![allow(clippy::unwrap_used)]

mod support;

use diff_core::{Differ, Level, Limits};

use support::checks::{edited, text};
use support::containers::{Packed, deflate, gzip, pdf, zip};
use support::{MemoryTree, apply_within, diff_with, noise};

/// Returns a tree of all that is grouped apart: texts, containers, noise and a file that no group holds.
fn tree(is_new: bool) -> MemoryTree {
    let page = |seed, words| {
        let page = text(seed, words);
        if is_new { edited(&page) } else { page }
    };
    let mut files = Vec::new();
    for seed in 0..3 {
        let page = page(seed, 1500);
        files.push((
            format!("{seed}.zip"),
            zip(&[("a", &page, Packed::Deflated(6))]),
        ));
        files.push((format!("{seed}.gz"), gzip(&page, &deflate(&page, 9))));
        files.push((format!("{seed}.txt"), page));
    }
    let lost = if is_new { 1 } else { 0 };
    files.push(("noise.bin".into(), noise(20_000, 3)[lost..].to_vec()));
    files.push((
        "long.pdf".into(),
        pdf(&[(page(9, 4000), Some(72)), (page(8, 4000), None)], 6),
    ));
    files.push((format!("only-{is_new}.txt"), page(20, 500)));
    MemoryTree::new(&files)
}

/// Returns the delta that so many threads make.
fn made_by(threads: usize, level: Level, limits: &Limits) -> Vec<u8> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let (old, new) = (tree(false), tree(true));
    let differ = Differ::new(old.tree(), new.tree());
    let differ = differ.level(level).limits(limits.clone());
    let (delta, _) = pool.build().unwrap().install(|| diff_with(differ)).unwrap();
    let made = apply_within(&old, &delta, limits).unwrap();
    assert!(made.files == new.files);
    delta
}

#[test]
fn any_number_of_threads_makes_the_same_delta() {
    let mut small = Limits::standard();
    small.max_frame_bytes /= 256;
    for limits in [Limits::standard(), small] {
        for level in [Level::Fast, Level::Default, Level::Best] {
            let delta = made_by(1, level, &limits);
            assert!(delta == made_by(1, level, &limits), "{level:?} again");
            assert!(
                delta == made_by(2, level, &limits),
                "{level:?} by two threads"
            );
        }
    }
}
