//! What a delta makes of an old tree is the new tree, and costs what changed.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use diff_core::{
    Applier, CancelToken, Delta, DeltaError, DiffError, Differ, Level, Limits, Method, Origin,
    Progress, Silent, prove,
};
use proptest::prelude::*;

use support::{MemorySink, MemoryTree, apply, diff, diff_with, noise};

fn page(number: usize) -> String {
    let paragraph = format!("<p>Lesson {number}: cells divide, and divide again.</p>\n");
    paragraph.repeat(20 + number)
}

fn course() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = (0..20)
        .map(|number| (format!("unit/{number:02}.html"), page(number).into_bytes()))
        .collect();
    files.push(("data.db".to_owned(), noise(100_000, 1)));
    files.push(("empty".to_owned(), Vec::new()));
    files
}

fn round_trip(old: &MemoryTree, new: &MemoryTree) -> u64 {
    let (delta, summary) = diff(old, new);
    let made = apply(old, &delta).unwrap();
    assert_eq!(made.listing, new.listing);
    assert!(made.files == new.files);
    summary.length
}

#[test]
fn equal_trees_cost_a_few_bytes() {
    let tree = MemoryTree::new(&course());
    assert!(round_trip(&tree, &tree) < 40);
}

#[test]
fn renames_and_copies_cost_nothing() {
    let old = MemoryTree::new(&course());
    let renamed = |(path, content): &(String, Vec<u8>)| (format!("moved/{path}"), content.clone());
    let mut files: Vec<_> = course().iter().map(renamed).collect();
    files.push(("copy.db".to_owned(), noise(100_000, 1)));
    let new = MemoryTree::new(&files);
    let (delta, summary) = diff(&old, &new);
    assert!(delta.len() < 400, "{} bytes", delta.len());
    assert_eq!(summary.built_files, 0);
    assert_eq!(summary.moved_files, files.len() as u64);
    assert_eq!(apply(&old, &delta).unwrap().listing, new.listing);
}

#[test]
fn a_renamed_folder_costs_its_name() {
    let pages = |folder: &str| {
        let page = |number| (format!("course/{folder}/{number:04}.html"), page(number));
        (0..500).map(page).collect::<Vec<_>>()
    };
    let kept = [
        ("course/aa.html".to_owned(), "first".to_owned()),
        ("course/zz.html".to_owned(), "last".to_owned()),
    ];
    let tree = |folder| MemoryTree::new(&[&kept[..], &pages(folder)].concat());
    for (old, new) in [
        ("library", "a library"),
        ("a library", "library"),
        ("unit", "unit 2/pages"),
    ] {
        let bytes = round_trip(&tree(old), &tree(new));
        assert!(bytes < 80, "{bytes} bytes from {old} to {new}");
    }
}

#[test]
fn new_content_under_several_paths_is_made_once() {
    let content = noise(50_000, 3);
    let new = MemoryTree::new(&[("a", &content), ("b", &content), ("c", &content)]);
    let (delta, summary) = diff(&MemoryTree::empty(), &new);
    assert!(delta.len() < 50_200, "{} bytes", delta.len());
    assert_eq!((summary.built_files, summary.built_bytes), (1, 50_000));
    assert!(apply(&MemoryTree::empty(), &delta).unwrap().files == new.files);
}

#[test]
fn edits_cost_what_changed() {
    let old = MemoryTree::new(&course());
    let mut files = course();
    for (path, content) in &mut files {
        if path.ends_with("5.html") {
            content.splice(100..100, b"one sentence more".iter().copied());
        }
        if path == "data.db" {
            for at in (0..content.len()).step_by(2000) {
                content[at] ^= 1;
            }
        }
    }
    let length = round_trip(&old, &MemoryTree::new(&files));
    assert!(length < 800, "{length} bytes");
}

#[test]
fn a_file_that_becomes_a_folder_and_swapped_files_come_out() {
    let old = MemoryTree::new(&[("a", "one"), ("b", "two"), ("x", "file")]);
    let new = MemoryTree::new(&[("a", "two"), ("b", "one"), ("x/y", "below"), ("z", "")]);
    round_trip(&old, &new);
    round_trip(&new, &old);
    round_trip(&MemoryTree::empty(), &new);
    round_trip(&new, &MemoryTree::empty());
}

#[test]
fn long_files_are_cut_into_frames() {
    let content = noise(17 << 20, 5);
    let mut edited = content.clone();
    edited[9 << 20] ^= 1;
    edited.extend_from_slice(b"appended");
    let old = MemoryTree::new(&[("long.bin", &content)]);
    let new = MemoryTree::new(&[("long.bin", &edited)]);
    let differ = Differ::new(old.tree(), new.tree()).level(Level::Fast);
    let (delta, summary) = diff_with(differ).unwrap();
    assert!(delta.len() < 3000, "{} bytes", delta.len());
    assert_eq!(summary.built_files, 1);
    assert!(apply(&old, &delta).unwrap().files == new.files);
    let nothing = MemoryTree::empty();
    let differ = Differ::new(nothing.tree(), new.tree()).level(Level::Fast);
    let (delta, summary) = diff_with(differ).unwrap();
    assert!(delta.len() < (17 << 20) + 4000);
    assert_eq!(summary.methods, [Method::Store]);
}

#[test]
fn the_same_trees_give_the_same_bytes() {
    let (old, new) = (MemoryTree::new(&course()), MemoryTree::new(&course()[5..]));
    let first = diff(&old, &new).0;
    assert_eq!(first, diff(&old, &new).0);
}

#[test]
fn a_delta_proves_itself_and_a_wrong_one_does_not() {
    let (old, new) = (MemoryTree::new(&course()), MemoryTree::new(&course()[5..]));
    let other = MemoryTree::new(&course()[4..]);
    let delta = diff(&old, &new).0;
    let limits = Limits::standard();
    let proved = |new: &MemoryTree, token: &CancelToken| {
        prove(old.tree(), new.tree(), &delta, &limits, &Silent, token)
    };
    assert!(proved(&new, &CancelToken::new()).is_ok());
    let unproved = proved(&other, &CancelToken::new());
    assert!(matches!(
        unproved,
        Err(DiffError::Unproved(DeltaError::UnexpectedFile { .. }))
    ));
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Progress for Counter {
    fn advanced(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn progress_adds_up_to_the_announced_totals() {
    let old = MemoryTree::new(&course());
    let mut files = course();
    files[3].1.extend_from_slice(b"more");
    files[20].1.truncate(90_000);
    files.push(("new.txt".to_owned(), b"new".repeat(1000)));
    let new = MemoryTree::new(&files);
    let counter = Counter::default();
    let (delta, _) = diff_with(Differ::new(old.tree(), new.tree()).progress(&counter)).unwrap();
    assert_eq!(counter.0.into_inner(), new.listing.total_bytes());

    let delta = Delta::parse(&delta, &Limits::standard()).unwrap();
    let plan = delta.plan(&old.listing).unwrap();
    let counter = Counter::default();
    let applier = Applier::new(&delta, &plan, old.tree()).progress(&counter);
    applier.apply(&MemorySink::default()).unwrap();
    assert_eq!(counter.0.into_inner(), plan.built_bytes());
}

/// Cancels once so many bytes have advanced.
struct Canceller {
    token: CancelToken,
    left: AtomicU64,
}

impl Progress for Canceller {
    fn advanced(&self, bytes: u64) {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(bytes);
        self.left.store(left, Ordering::Relaxed);
        if left == 0 {
            self.token.cancel();
        }
    }
}

#[test]
fn both_halves_stop_inside_one_long_frame() {
    let new = MemoryTree::new(&[("long.txt", &noise(6 << 20, 9))]);
    let old = MemoryTree::empty();
    let canceller = || Canceller {
        token: CancelToken::new(),
        left: AtomicU64::new(1 << 20),
    };
    let (first, second) = (canceller(), canceller());
    let differ = Differ::new(old.tree(), new.tree()).level(Level::Fast);
    let stopped = diff_with(differ.progress(&first).cancel(&first.token));
    assert!(matches!(stopped, Err(DiffError::Cancelled(_))));

    let delta = diff(&old, &new).0;
    let delta = Delta::parse(&delta, &Limits::standard()).unwrap();
    let plan = delta.plan(&old.listing).unwrap();
    let applier = Applier::new(&delta, &plan, old.tree());
    let stopped = applier
        .progress(&second)
        .cancel(&second.token)
        .apply(&MemorySink::default());
    assert!(matches!(stopped, Err(DeltaError::Cancelled(_))));
}

#[test]
fn built_files_alone_reach_the_sink() {
    let old = MemoryTree::new(&[("a", "one"), ("b", "two")]);
    let new = MemoryTree::new(&[("a", "one"), ("b", "2"), ("c", "two"), ("d", "2")]);
    let delta = diff(&old, &new).0;
    let delta = Delta::parse(&delta, &Limits::standard()).unwrap();
    let plan = delta.plan(&old.listing).unwrap();
    let origins: Vec<Origin> = plan.files().iter().map(|file| file.origin).collect();
    let expected = [
        Origin::Old(0),
        Origin::Built,
        Origin::Old(1),
        Origin::SameAs(1),
    ];
    assert_eq!(origins, expected);
    let sink = MemorySink::default();
    let listing = Applier::new(&delta, &plan, old.tree())
        .apply(&sink)
        .unwrap();
    assert_eq!(sink.paths(), ["b"]);
    assert_eq!(listing, new.listing);
}

/// Paths of few letters, so that trees share many of them.
fn tree() -> impl Strategy<Value = MemoryTree> {
    let content = (0_u8..6, 0_usize..400, any::<u8>()).prop_map(|(kind, length, edit)| {
        let mut content = b"All cells come from cells; ".repeat(1 + length / 20);
        content.truncate(length);
        match kind {
            0 => noise(length, edit.into()),
            1 => Vec::new(),
            2 => content,
            _ => {
                if let Some(byte) = content.get_mut(usize::from(edit)) {
                    *byte = edit;
                }
                content
            }
        }
    });
    let name = "[abc]{1,2}(\\.(js|html))?";
    let path = (name, proptest::option::of("f[12]")).prop_map(|(name, folder)| match folder {
        Some(folder) => format!("{folder}/{name}"),
        None => name,
    });
    proptest::collection::btree_map(path, content, 0..12)
        .prop_map(|files| MemoryTree::new(&files.into_iter().collect::<Vec<_>>()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_tree_becomes_any_other(old in tree(), new in tree()) {
        let (delta, _) = diff_with(
            Differ::new(old.tree(), new.tree()).level(Level::Fast).carry_digest(true),
        ).unwrap();
        let made = apply(&old, &delta).unwrap();
        prop_assert_eq!(made.listing, new.listing);
        prop_assert!(made.files == new.files);
    }
}
