//! Groups copy from what groups before them make.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{self, Write};

use diff_core::{Applier, Delta, DeltaError, Differ, Digest, FileBytes, Limits, PlannedFile, Sink};

use support::checks::text;
use support::forge::{Forge, edit, insert_built, insert_old, keep};
use support::{MemorySink, MemoryTree, apply, diff_with};

/// Limits of devices on which a group has 96 KiB.
fn narrow() -> Limits {
    let mut limits = Limits::standard();
    limits.max_frame_bytes /= 256;
    limits.max_reference_bytes /= 256;
    limits
}

/// Returns a page of its own, with a part that others have too.
fn page(seed: u64, common: u64) -> Vec<u8> {
    [text(seed, 3500), text(common, 4500)].concat()
}

fn old() -> MemoryTree {
    MemoryTree::new(&[("index.html", "lessons"), ("kept.html", "as it was")])
}

/// Returns a release of pages too long for one group, by the seeds of what each shares with others.
fn release(common: &[u64]) -> MemoryTree {
    let mut files = vec![("kept.html".to_owned(), b"as it was".to_vec())];
    for (number, common) in (0..).zip(common) {
        files.push((format!("unit-{number}.html"), page(number, *common)));
    }
    MemoryTree::new(&files)
}

fn delta_of(new: &MemoryTree) -> Vec<u8> {
    let old = old();
    let differ = Differ::new(old.tree(), new.tree()).limits(narrow());
    diff_with(differ).unwrap().0
}

/// Applies a delta by so many threads.
fn applied(delta: &[u8], threads: usize, sink: &dyn Sink) -> Result<(), DeltaError> {
    let old = old();
    let delta = Delta::parse(delta, &narrow())?;
    let plan = delta.plan(&old.listing)?;
    let applier = Applier::new(&delta, &plan, old.tree()).limits(narrow());
    applier.threads(threads).apply(sink).map(|_| ())
}

#[test]
fn what_no_group_has_room_for_comes_once() {
    let different = delta_of(&release(&[100, 101, 102, 103]));
    let new = release(&[100, 100, 100, 100]);
    let alike = delta_of(&new);
    // A common part takes 5.7 kB.
    let saved = different.len() - alike.len();
    assert!(saved > 16_000, "{saved} bytes of {}", different.len());
    for threads in [1, 2, 4] {
        let sink = MemorySink::default();
        applied(&alike, threads, &sink).unwrap();
        for (entry, content) in new.listing.entries().iter().zip(&new.files).skip(1) {
            assert!(sink.bytes(entry.path.as_str()) == *content);
        }
    }
    // A device with more memory makes the same of it.
    let made = apply(&old(), &alike).unwrap();
    assert!(made.files == new.files);
}

#[test]
fn a_long_file_that_is_cut_copies_from_others_too() {
    let long = |seed: u64, common: u64| {
        let pieces = [text(seed, 9000), text(common, 4500), text(seed + 1, 9000)];
        pieces.concat()
    };
    let tree = |common: [u64; 2]| {
        MemoryTree::new(&[
            ("one.html", long(7, common[0])),
            ("two.html", long(9, common[1])),
        ])
    };
    let (different, alike) = (delta_of(&tree([100, 101])), delta_of(&tree([100, 100])));
    assert!(alike.len() + 5000 < different.len());
    assert!(apply(&old(), &alike).unwrap().files == tree([100, 100]).files);
}

/// Gives files back otherwise than they were written.
struct Forgetful {
    files: MemorySink,
    is_lost: bool,
}

impl Sink for Forgetful {
    fn create(&self, index: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        self.files.create(index, file)
    }

    fn read(&self, _index: usize, file: &PlannedFile) -> io::Result<FileBytes> {
        if self.is_lost {
            return Err(io::Error::other("the disk is gone"));
        }
        let mut bytes = self.files.bytes(file.path.as_str());
        bytes[1000] ^= 1;
        Ok(FileBytes::Owned(bytes))
    }
}

#[test]
fn a_file_that_is_not_as_it_was_written_is_named() {
    let delta = delta_of(&release(&[100, 100]));
    let sink = |is_lost| Forgetful {
        files: MemorySink::default(),
        is_lost,
    };
    for threads in [1, 2] {
        let damaged = sink(false);
        match applied(&delta, threads, &damaged).unwrap_err() {
            DeltaError::DamagedNew {
                path,
                expected,
                found,
            } => {
                let written = damaged.files.bytes(path.as_str());
                assert_eq!(expected, Digest::of(&written));
                assert_ne!(found, expected);
            }
            other => panic!("expected damage, found {other}"),
        }
        match applied(&delta, threads, &sink(true)).unwrap_err() {
            DeltaError::Again { path, source } => {
                assert!(path.as_str().starts_with("unit-"));
                assert_eq!(source.to_string(), "the disk is gone");
            }
            other => panic!("expected a lost disk, found {other}"),
        }
    }
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
