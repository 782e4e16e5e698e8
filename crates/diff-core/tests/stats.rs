//! The bytes of a delta are told file by file.

#![allow(clippy::unwrap_used)]

mod support;

use diff_core::{DeltaStats, Limits, Method};

use support::checks::{edited, round_trip, round_trip_within, text};
use support::containers::{Packed, zip};
use support::{MemoryTree, diff, noise};

#[test]
fn every_byte_of_a_delta_belongs_to_a_file_or_the_plan() {
    let lesson = "<p>Cells divide, and divide again.</p>\n".repeat(60);
    let old = MemoryTree::new(&[
        ("one.html", lesson.replacen("Cells", "Cell", 1)),
        ("two.html", lesson.replacen("again", "agate", 1)),
    ]);
    let new = MemoryTree::new(&[
        (
            "folder/two.html",
            lesson.replacen("again", "a gate", 2).into_bytes(),
        ),
        ("noise.bin", noise(5000, 1)),
        ("one.html", lesson.into_bytes()),
        ("void", Vec::new()),
    ]);
    let (_, summary) = diff(&old, &new);
    let stats = &summary.stats;

    assert_eq!(stats.delta_bytes, summary.length);
    assert_eq!(stats.frame_bytes + stats.plan_bytes, stats.delta_bytes);
    let shares: u64 = stats.files.iter().map(|file| file.encoded_bytes).sum();
    assert_eq!(shares, stats.frame_bytes);
    let paths: Vec<&str> = stats.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["folder/two.html", "noise.bin", "one.html", "void"]);
    let [two, noise, one, void] = stats.files.as_slice() else {
        panic!("four files are built");
    };
    assert_eq!(two.counterparts[0].as_str(), "two.html");
    assert_eq!(one.counterparts[0].as_str(), "one.html");
    assert_eq!(
        (noise.encoded_bytes > 4900, noise.counterparts.len()),
        (true, 0)
    );
    assert_eq!(one.methods, [Method::Solid]);
    assert_eq!((void.encoded_bytes, void.methods.len()), (0, 0));
}

/// Returns the bytes that a file costs.
#[track_caller]
fn cost(stats: &DeltaStats, path: &str) -> u64 {
    let mut files = stats.files.iter();
    files
        .find(|file| file.path.as_str() == path)
        .unwrap()
        .encoded_bytes
}

#[track_caller]
fn assert_sums(stats: &DeltaStats) {
    let shares: u64 = stats.files.iter().map(|file| file.encoded_bytes).sum();
    assert_eq!(shares, stats.frame_bytes);
    assert_eq!(stats.frame_bytes + stats.plan_bytes, stats.delta_bytes);
}

#[test]
fn files_of_a_group_cost_what_is_written_for_them() {
    let long = text(1, 4000);
    let old = MemoryTree::new(&[("a.txt", &long), ("b.txt", &text(2, 300))]);
    // The long file has a sentence more, the short one is all new, and the last one is the first again.
    let new = MemoryTree::new(&[
        ("a.txt", edited(&long)),
        ("b.txt", text(3, 300)),
        ("c.txt", [&edited(&long)[..], b"!"].concat()),
    ]);
    let stats = round_trip(&old, &new);
    assert_sums(&stats);
    assert!(stats.files.iter().all(|file| file.group_files == 3));
    let [a, b, c] = ["a.txt", "b.txt", "c.txt"].map(|path| cost(&stats, path));
    assert!(a < 60 && c < 20, "{a}, {b} and {c} bytes");
    assert!(b > 5 * (a + c), "{a}, {b} and {c} bytes");
}

#[test]
fn the_same_stream_of_several_files_counts_in_each_of_them() {
    let (page, shared) = (text(1, 1500), text(2, 3000));
    let archive = |own: u64, shared: &[u8]| {
        let own = text(own, 200);
        zip(&[
            ("own", &own[..], Packed::Deflated(9)),
            ("shared", shared, Packed::Foreign),
            // Where it stands differs, and whether it is first of its file.
            ("page", &page, Packed::Deflated(6)),
        ])
    };
    let files = |shared: &[u8]| {
        let archives = [("a.zip", 3), ("b.zip", 4), ("c.zip", 5)];
        MemoryTree::new(&archives.map(|(path, own)| (path, archive(own, shared))))
    };
    let stats = round_trip(&files(&page), &files(&shared));
    assert_sums(&stats);
    let recipes = stats.files.iter().map(|file| file.recipe_bytes);
    let recipes: Vec<u64> = recipes.collect();
    assert!(recipes[0] > 1, "{recipes:?}");
    assert!(recipes.iter().all(|one| *one == recipes[0]), "{recipes:?}");
    for file in &stats.files {
        assert_eq!((file.streams.opened, file.streams.copied), (1, 2));
    }
    // Telling it once costs nearly all.
    let [a, b, c] = ["a.zip", "b.zip", "c.zip"].map(|path| cost(&stats, path));
    assert!(b + c < a / 4, "{a}, {b} and {c} bytes");
}

#[test]
fn instructions_belong_to_the_file_that_they_close() {
    let page = text(1, 1500);
    let entries: Vec<_> = (0..40)
        .map(|number| (format!("{number}"), text(number, 60), Packed::Foreign))
        .collect();
    let packed = |page: &[u8]| zip(&[("a", page, Packed::Deflated(6))]);
    let old = MemoryTree::new(&[("a.zip", packed(&page))]);
    // The archive of streams that long recipes make comes last.
    let new = MemoryTree::new(&[("a.zip", packed(&edited(&page))), ("z.zip", zip(&entries))]);
    let stats = round_trip(&old, &new);
    assert_sums(&stats);
    let recipes = |path: &str| {
        let mut files = stats.files.iter();
        files
            .find(|file| file.path.as_str() == path)
            .unwrap()
            .recipe_bytes
    };
    assert!(recipes("z.zip") > 200, "{}", recipes("z.zip"));
    assert!(stats.files.iter().all(|file| file.group_files == 2));
    assert!(cost(&stats, "a.zip") < 120, "{}", cost(&stats, "a.zip"));
    assert!(cost(&stats, "z.zip") > recipes("z.zip") / 2);
}

#[test]
fn shares_add_up_over_frames_and_whatever_the_method() {
    let mut small = Limits::standard();
    small.max_frame_bytes /= 512;
    for seed in 0..2 {
        let page = text(seed, 4000);
        let file = |is_new: bool| {
            let page = if is_new { edited(&page) } else { page.clone() };
            MemoryTree::new(&[
                (
                    "long.zip",
                    zip(&[
                        ("a", &page, Packed::Deflated(6)),
                        ("b", &noise(30_000, seed), Packed::Stored),
                    ]),
                ),
                ("one.txt", text(seed + u64::from(is_new), 30)),
                ("two.txt", text(seed + 9 * u64::from(is_new), 3)),
                ("void.txt", Vec::new()),
            ])
        };
        for limits in [&small, &Limits::standard()] {
            assert_sums(&round_trip_within(limits, &file(false), &file(true)));
            assert_sums(&round_trip_within(
                limits,
                &MemoryTree::empty(),
                &file(true),
            ));
        }
    }
}
