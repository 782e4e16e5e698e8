//! The format's document and its golden files say what the program does.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use diff_core::{Abilities, Delta, Differ, Level, Limits, Method, Origin, Plan, Recompressor};

use support::containers::{Packed, deflate, gzip, zip};
use support::png::Picture;
use support::{MemoryTree, apply, diff_with, noise};

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
    let (plan, _) = golden("delta-v1", "delta");
    // It keeps its worth only as long as it has everything that version 1 can say.
    assert_eq!(
        plan.methods(),
        [Method::Store, Method::Zstd, Method::Bsdiff]
    );
    assert_has_every_origin(&plan);
}

#[test]
fn the_golden_deltas_of_version_2_are_applied() {
    let (plan, told) = golden("delta-v2", "delta");
    assert_eq!(plan.methods(), [Method::Store, Method::Solid]);
    assert_has_every_origin(&plan);
    for part in [
        "Inflate",
        "Take(",
        "Skip(",
        "converted: Some",
        "opened: Some",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let needs = ["store", "solid", "zlib-1", "tokens-1", "pixels-1"];
    assert_eq!(plan.needs(), needs);
    let (plan, _) = golden("delta-v2", "delta-fast");
    assert_eq!(plan.methods(), [Method::Store, Method::Zstd]);
    let (plan, _) = golden("delta-v2", "delta-light");
    assert_eq!(plan.methods(), [Method::Store, Method::Light]);
    let (plan, told) = golden("delta-v2-long", "delta");
    assert_eq!(plan.methods(), [Method::Solid]);
    // There is one old file: behind it new ones are counted.
    assert!(told.contains("Source { index: 3, "), "{told}");
}

/// Writes the golden files of version 2 anew, which is right only as long as no release has it.
#[test]
#[ignore = "writes fixtures"]
fn the_golden_deltas_of_version_2_are_written() {
    let folder = fixtures().join("delta-v2");
    let (old, new) = (version_2(false), version_2(true));
    write_trees(&folder, &old, &new);
    for (name, level, methods) in [
        ("delta", Level::Best, &Method::ALL[..]),
        ("delta-fast", Level::Fast, &Method::ALL),
        ("delta-light", Level::Default, &[Method::Light]),
    ] {
        let differ = Differ::new(old.tree(), new.tree());
        let differ = differ.for_devices(&Abilities::of(methods, &Recompressor::ALL));
        let differ = differ.level(level).carry_digest(true);
        fs::write(folder.join(name), diff_with(differ).unwrap().0).unwrap();
    }
    let folder = fixtures().join("delta-v2-long");
    let (old, new) = (long(false), long(true));
    write_trees(&folder, &old, &new);
    // A group has 96 KiB.
    let mut limits = Limits::standard();
    limits.max_frame_bytes /= 256;
    let differ = Differ::new(old.tree(), new.tree()).limits(limits);
    let (delta, _) = diff_with(differ.carry_digest(true)).unwrap();
    fs::write(folder.join("delta"), delta).unwrap();
}

fn write_trees(folder: &Path, old: &MemoryTree, new: &MemoryTree) {
    for (name, tree) in [("old", old), ("new", new)] {
        let _ = fs::remove_dir_all(folder.join(name));
        for (entry, content) in tree.listing.entries().iter().zip(&tree.files) {
            let path = folder.join(name).join(entry.path.as_str());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

/// Returns a tree in which two pages share what no group has room for beside both.
fn long(is_new: bool) -> MemoryTree {
    let numbers = |seed: u64| -> String {
        let bytes = noise(3000, seed).into_iter();
        bytes.map(|byte| format!("{byte} ")).collect()
    };
    let page = |seed: u64| format!("{}{}", numbers(seed).repeat(5), numbers(9));
    let mut files = vec![("index.html", "<h1>Numbers</h1>".to_owned())];
    if is_new {
        files.extend([("one.html", page(1)), ("two.html", page(2))]);
    }
    MemoryTree::new(&files)
}

/// Returns a small tree with containers of each kind, before and after an edit of all of them.
fn version_2(is_new: bool) -> MemoryTree {
    let page = |number: usize, is_edited: bool| {
        let mut page = format!("<h1>Lesson {number}</h1>\n");
        for part in 0..12 {
            let animal = ["ants", "bees", "cats", "dogs"][(part * number + part / 3) % 4];
            page += &format!("<p>{part}. Where do {animal} live, and what do they eat?</p>\n");
        }
        if is_edited {
            page += "<p>Look outside, and write down what you see.</p>\n";
        }
        page.into_bytes()
    };
    let folder = if is_new { "units" } else { "unit" };
    let mut files: Vec<(String, Vec<u8>)> = (1..5)
        .map(|number| (format!("{folder}/{number}.html"), page(number, false)))
        .collect();
    let packed = Packed::Deflated(6);
    let inner = zip(&[("8.html", page(8, is_new), packed)]);
    let entries = [
        ("5.html", page(5, false), packed),
        ("6.html", page(6, is_new), packed),
        ("7.html", page(7, is_new), Packed::Foreign),
        ("inner.zip", inner, packed),
    ];
    files.push(("pack.zip".to_owned(), zip(&entries)));
    let page = page(9, is_new);
    files.push(("page.html.gz".to_owned(), gzip(&page, &deflate(&page, 9))));
    files.push(("empty.txt".to_owned(), Vec::new()));
    let image = Picture {
        width: 24,
        colours: 3,
        palette: noise(24, 1),
        alphas: vec![0, 128],
        pixels: noise(24 * 20, 2).iter().map(|byte| byte % 8).collect(),
    };
    files.push((
        "icon.png".to_owned(),
        match is_new {
            false => image.png(&[0], 9, 8192),
            true => image.in_colours().png(&[2, 1], 6, 200),
        },
    ));
    if is_new {
        let photo = noise(4200, 3);
        files.push(("photo copy.jpg".to_owned(), photo.clone()));
        files.push(("photo.jpg".to_owned(), photo));
        let plan = Picture {
            width: 120,
            colours: 3,
            palette: noise(24, 1),
            alphas: Vec::new(),
            pixels: noise(120 * 90, 2).iter().map(|byte| byte % 5).collect(),
        };
        files.push(("plan.png".to_owned(), plan.png(&[0], 6, 8192)));
    } else {
        files.push(("old.txt".to_owned(), b"gone".to_vec()));
    }
    MemoryTree::new(&files)
}

#[test]
fn every_damage_to_the_golden_deltas_is_an_error_or_harmless() {
    for (folder, name) in [
        ("delta-v1", "delta"),
        ("delta-v2", "delta"),
        ("delta-v2", "delta-fast"),
        ("delta-v2", "delta-light"),
        ("delta-v2-long", "delta"),
    ] {
        let folder = fixtures().join(folder);
        let (old, new) = (
            read_tree(&folder.join("old")),
            read_tree(&folder.join("new")),
        );
        let bytes = fs::read(folder.join(name)).unwrap();
        // What takes long to decode is damaged where its plan is.
        let start = match new.files.iter().any(|file| file.len() > 60_000) {
            true => bytes.len() - 100,
            false => 0,
        };
        // One byte in twenty tells of those that are stored as they are.
        let long = new.files.iter().filter(|file| file.len() > 4000);
        let stored = long.filter_map(|file| {
            let mut windows = bytes.windows(file.len());
            let start = windows.position(|window| window == file)?;
            Some(start..start + file.len())
        });
        let stored: Vec<_> = stored.collect();
        for at in start..bytes.len() {
            if at % 20 > 0 && stored.iter().any(|range| range.contains(&at)) {
                continue;
            }
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            if let Ok(made) = apply(&old, &flipped) {
                assert_eq!(made.listing, new.listing, "{name}, byte {at}");
            }
        }
        for length in start..bytes.len() {
            assert!(
                apply(&old, &bytes[..length]).is_err(),
                "{name}, {length} bytes"
            );
        }
    }
}

#[test]
fn no_fixture_goes_unread() {
    let names = fs::read_dir(fixtures()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| !name.starts_with('.')).collect();
    let read = ["delta-v1", "delta-v2", "delta-v2-long"];
    assert_eq!(found, read.map(str::to_owned).into());
}

/// Applies a golden delta and returns its plan, and all of it as it is told for debugging.
fn golden(folder: &str, name: &str) -> (Plan, String) {
    let folder = fixtures().join(folder);
    let (old, new) = (
        read_tree(&folder.join("old")),
        read_tree(&folder.join("new")),
    );
    let bytes = fs::read(folder.join(name)).unwrap();
    let made = apply(&old, &bytes).unwrap();
    assert_eq!(made.listing, new.listing);
    assert!(made.files == new.files);
    let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
    assert_eq!(delta.new_tree_digest(), Some(new.listing.digest()));
    let plan = delta.plan(&old.listing).unwrap();
    let told = format!("{plan:?}");
    (plan, told)
}

fn assert_has_every_origin(plan: &Plan) {
    let has = |wanted: fn(&Origin) -> bool| plan.files().iter().any(|file| wanted(&file.origin));
    assert!(has(|origin| matches!(origin, Origin::Old(_))));
    assert!(has(|origin| matches!(origin, Origin::SameAs(_))));
    assert!(has(|origin| matches!(origin, Origin::Built)));
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
