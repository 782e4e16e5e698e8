//! The format's document and its golden files say what the program does.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use diff_core::{Delta, Limits, Method, Origin};

use support::{MemoryTree, apply};

#[test]
fn the_documents_example_is_a_delta() {
    let document = include_str!("../../../docs/src/formats/delta.md");
    let example = document.split("## Example").nth(1).unwrap();
    let table = example.split("```").nth(1).unwrap();
    let codes = table.lines().filter_map(|line| line.split("  ").next());
    let bytes: Vec<u8> = codes
        .flat_map(str::split_whitespace)
        .filter_map(|code| u8::from_str_radix(code, 16).ok())
        .collect();

    let old = MemoryTree::new(&[
        ("a.txt", "Hello, class!"),
        ("b.txt", "gone"),
        ("c.txt", "kept"),
    ]);
    let new = MemoryTree::new(&[
        ("a.txt", "Hello, class 2!"),
        ("c.txt", "kept"),
        ("d/e.txt", "kept"),
    ]);
    let made = apply(&old, &bytes).unwrap();
    assert_eq!(made.listing, new.listing);
    assert!(made.files == new.files);
}

#[test]
fn the_golden_delta_of_version_1_is_applied() {
    let folder = fixtures().join("delta-v1");
    let (old, new) = (
        read_tree(&folder.join("old")),
        read_tree(&folder.join("new")),
    );
    let bytes = fs::read(folder.join("delta")).unwrap();
    let made = apply(&old, &bytes).unwrap();
    assert_eq!(made.listing, new.listing);
    assert!(made.files == new.files);

    // It keeps its worth only as long as it has everything that version 1 can say.
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    let plan = delta.plan(&old.listing).unwrap();
    assert_eq!(delta.new_tree_digest(), Some(new.listing.digest()));
    let first = [Method::Store, Method::Zstd, Method::Bsdiff];
    assert_eq!(plan.methods(), first);
    let has = |wanted: fn(&Origin) -> bool| plan.files().iter().any(|file| wanted(&file.origin));
    assert!(has(|origin| matches!(origin, Origin::Old(_))));
    assert!(has(|origin| matches!(origin, Origin::SameAs(_))));
    assert!(has(|origin| matches!(origin, Origin::Built)));
}

#[test]
fn every_damage_to_the_golden_delta_is_an_error_or_harmless() {
    let folder = fixtures().join("delta-v1");
    let (old, new) = (
        read_tree(&folder.join("old")),
        read_tree(&folder.join("new")),
    );
    let bytes = fs::read(folder.join("delta")).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(made) = apply(&old, &flipped) {
            assert_eq!(made.listing, new.listing, "byte {at}");
        }
    }
    for length in 0..bytes.len() {
        assert!(apply(&old, &bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn no_fixture_goes_unread() {
    let names = fs::read_dir(fixtures()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| !name.starts_with('.')).collect();
    assert_eq!(found, BTreeSet::from(["delta-v1".to_owned()]));
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read_tree(root: &Path) -> MemoryTree {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), root.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push((format!("{path}/"), entry.path()));
            } else {
                files.push((path, fs::read(entry.path()).unwrap()));
            }
        }
    }
    MemoryTree::new(&files)
}
