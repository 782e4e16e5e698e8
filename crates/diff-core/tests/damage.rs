//! A delta that was damaged on its way, and what is compared while it is applied.

#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::io::{self, Write};
use std::sync::LazyLock;

use diff_core::{
    Applier, ContentPath, Delta, DeltaError, Differ, Digest, Entry, FileBytes, Limits, Listing,
    PlannedFile, Sink,
};
use proptest::prelude::*;

use support::{MemorySink, MemoryTree, apply, diff_with, noise};

/// A small tree pair whose delta has every kind of record, and the delta, which carries its digest.
static SMALL: LazyLock<(MemoryTree, MemoryTree, Vec<u8>)> = LazyLock::new(|| {
    let text = "cells come from cells ".repeat(12);
    let table: Vec<u8> = (0..400_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let mut edited = table.clone();
    (0..edited.len())
        .step_by(97)
        .for_each(|at| edited[at] ^= 0x33);
    let old = MemoryTree::new(&[
        ("data.db", table),
        ("gone", b"gone".to_vec()),
        ("kept", noise(30, 4)),
        ("text", text.clone().into_bytes()),
    ]);
    let new = MemoryTree::new(&[
        ("data.db", edited),
        ("kept", noise(30, 4)),
        ("kept too", noise(30, 4)),
        ("new", noise(40, 5)),
        ("new too", noise(40, 5)),
        ("text", (text + "alone").into_bytes()),
    ]);
    let differ = Differ::new(old.tree(), new.tree()).carry_digest(true);
    let delta = diff_with(differ).unwrap().0;
    (old, new, delta)
});

fn small() -> (MemoryTree, MemoryTree, Vec<u8>) {
    SMALL.clone()
}

#[test]
fn every_truncation_is_an_error() {
    let (old, _, delta) = small();
    for length in 0..delta.len() {
        assert!(
            apply(&old, &delta[..length]).is_err(),
            "{length} bytes are taken for a delta"
        );
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_harmless() {
    let (old, new, delta) = small();
    let mut harmless = 0;
    for bit in 0..delta.len() * 8 {
        let mut flipped = delta.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(made) = apply(&old, &flipped) {
            assert_eq!(made.listing, new.listing, "bit {bit}");
            harmless += 1;
        }
    }
    assert!(harmless < delta.len(), "{harmless} flips go unnoticed");
}

#[test]
fn a_promised_tree_that_does_not_come_is_told() {
    let (old, _, mut delta) = small();
    let at = delta.len() - 8 - 1;
    delta[at] ^= 1;
    let error = apply(&old, &delta).expect_err("the tree is another");
    assert!(matches!(error, DeltaError::WrongTree { .. }), "{error}");
}

#[test]
fn each_file_is_compared_with_what_is_expected() {
    let (old, new, bytes) = small();
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    let plan = delta.plan(&old.listing).unwrap();
    let applied = |expected: &Listing| {
        let applier = Applier::new(&delta, &plan, old.tree());
        applier.expecting(expected).apply(&MemorySink::default())
    };
    assert_eq!(applied(&new.listing).unwrap(), new.listing);

    let with = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = new.listing.entries().to_vec();
        change(&mut entries);
        applied(&Listing::new(entries, &Limits::standard()).unwrap()).expect_err("it differs")
    };
    for index in 0..new.files.len() {
        let error = with(&|entries| entries[index].digest = Digest::of(b"another"));
        match error {
            DeltaError::WrongDigest { path, .. } => {
                let entry = &new.listing.entries()[index];
                // Of two paths with the same new content, the one that is made is compared first.
                assert!(path == entry.path, "{path}");
            }
            other => panic!("expected a digest, found {other}"),
        }
        let error = with(&|entries| entries[index].length += 1);
        assert!(
            matches!(error, DeltaError::UnexpectedFile { .. }),
            "{error}"
        );
        let error = with(&|entries| drop(entries.remove(index)));
        assert!(
            matches!(
                error,
                DeltaError::UnexpectedFile {
                    expected: None,
                    found: Some(_),
                    ..
                }
            ),
            "{error}"
        );
    }
    let error = with(&|entries| {
        entries.push(Entry {
            path: ContentPath::parse("z").unwrap(),
            length: 0,
            digest: Digest::of(b""),
        });
    });
    assert!(
        matches!(
            error,
            DeltaError::UnexpectedFile {
                expected: Some(0),
                found: None,
                ..
            }
        ),
        "{error}"
    );
}

struct FullDisk;

impl Write for FullDisk {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for FullDisk {
    fn create(&self, _index: usize, _file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(FullDisk))
    }

    fn read(&self, _index: usize, _file: &PlannedFile) -> io::Result<FileBytes> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[test]
fn a_full_disk_is_told_with_the_file() {
    let (old, _, bytes) = small();
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    let plan = delta.plan(&old.listing).unwrap();
    let error = Applier::new(&delta, &plan, old.tree()).apply(&FullDisk);
    match error {
        Err(DeltaError::Output { source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        }
        other => panic!("expected an error of the disk, found {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_damage_to_a_delta_is_an_error_or_harmless(
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let (old, new, mut delta) = small();
        for (at, byte) in edits {
            let at = at % delta.len();
            delta[at] = byte;
        }
        if let Ok(made) = apply(&old, &delta) {
            // The digest that the delta carries may be damaged away, with its flag, alone.
            prop_assert!(made.listing == new.listing || delta[5] == 0);
        }
    }
}
