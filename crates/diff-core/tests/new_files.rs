//! Groups copy from what groups before them make.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use diff_core::DeltaError;

use support::forge::{Forge, edit, insert_built, insert_old, keep};
use support::{MemoryTree, apply};

fn old() -> MemoryTree {
    MemoryTree::new(&[("index.html", "lessons"), ("kept.html", "as it was")])
}

/// Returns a delta of two groups, the second of which refers to the file with this index.
fn referring(index: i64) -> Vec<u8> {
    let old = old();
    let forge = Forge::over(&old).newest().record(edit(0)).record(keep(1));
    // In the new tree: index.html, kept.html, same.html, unit.html; the first and the last are built.
    let forge = forge
        .record(insert_old(0, "same.html", 1))
        .record(insert_built(0, "unit.html", 5));
    let forge = forge.group(&[0], 1).frame(0, &[], 7, b"lessons");
    let forge = forge.group(&[0], 1);
    forge.frame_with_steps(0, index, &[0], 5, b"cells").delta()
}

#[test]
fn a_source_is_an_old_file_or_a_new_one_that_a_group_before_makes() {
    for index in [0, 1, 2] {
        assert_eq!(apply(&old(), &referring(index)).unwrap().files.len(), 4);
    }
    // Kept, kept elsewhere, its own, none.
    for index in [3, 4, 5, 6, -1, i64::MAX] {
        match apply(&old(), &referring(index)).unwrap_err() {
            DeltaError::Malformed { place, problem, .. } => {
                assert_eq!(place, "plan", "{index}");
                assert!(
                    problem.contains("no old file, and to no new one"),
                    "{problem}"
                );
            }
            other => panic!("expected a refusal of {index}, found {other}"),
        }
    }
}

#[test]
fn the_first_version_knows_of_no_new_sources() {
    let old = old();
    let forge = Forge::over(&old).record(edit(0)).record(keep(1));
    let forge = forge.record(insert_built(0, "unit.html", 5));
    let forge = forge.group(&[0], 1).frame(0, &[], 7, b"lessons");
    let forge = forge.group(&[0], 1).frame(0, &[(2, 0, 7)], 5, b"cells");
    let error = apply(&old, &forge.delta()).unwrap_err();
    assert!(matches!(error, DeltaError::Malformed { place: "plan", .. }));
}
