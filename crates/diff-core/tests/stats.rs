//! The bytes of a delta are told file by file.

#![allow(clippy::unwrap_used)]

mod support;

use diff_core::Method;

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
