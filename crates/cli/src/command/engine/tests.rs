use std::collections::BTreeMap;

use diff_core::{CancelToken, Recompressor};

use super::*;
use crate::arguments::{Ability, DeltaArguments, OutputArguments, Strength};

struct Rig {
    place: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        Rig {
            place: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn diff(&self, old: &str, new: &str) -> Result<Exit, Failure> {
        diff(&self.arguments(old, new), quiet())
    }

    fn arguments(&self, old: &str, new: &str) -> DiffArguments {
        DiffArguments {
            old: self.path(old),
            new: self.path(new),
            delta: self.path("delta"),
            making: DeltaArguments {
                level: Strength::Fast,
                methods: Vec::new(),
            },
            stats: false,
        }
    }

    fn apply(&self, old: &str, new: &str) -> Result<Exit, Failure> {
        let (old, delta, new) = (self.path(old), self.path("delta"), self.path(new));
        apply(&ApplyArguments { old, delta, new }, quiet())
    }

    /// Returns every file below the rig but the delta, those that are hidden too.
    fn files(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.path(below);
        let (mut files, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_path_buf();
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        files
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn quiet() -> Output {
    Output::new(OutputArguments {
        json: false,
        quiet: true,
        verbose: false,
    })
}

fn lesson(edit: &str) -> Vec<u8> {
    let mut text = String::new();
    for line in 0..2_000 {
        text.push_str(&format!(
            "line {line} of the lesson, {}\n",
            line * line % 977
        ));
    }
    text.replace("line 1000 ", edit).into_bytes()
}

#[test]
fn a_delta_for_a_device_needs_only_what_it_has() {
    let rig = Rig::new();
    let page = "cells divide ".repeat(200);
    rig.write("old/a.txt", page.as_bytes());
    rig.write("new/a.txt", format!("{page}and divide again").as_bytes());
    let old = Side::read(&rig.path("old"), quiet(), &CancelToken::new()).unwrap();
    for (methods, needs) in [
        (Vec::new(), "solid"),
        (vec![Ability::Method(Method::Zstd)], "zstd"),
        (vec![Ability::Recompressor(Recompressor::Zlib)], "store"),
    ] {
        let arguments = DiffArguments {
            making: DeltaArguments {
                level: Strength::Default,
                methods,
            },
            ..rig.arguments("old", "new")
        };
        assert_eq!(diff(&arguments, quiet()).unwrap(), Exit::Done);
        let bytes = fs::read(&arguments.delta).unwrap();
        let delta = Delta::parse(&bytes, &Limits::standard()).unwrap();
        assert_eq!(delta.plan(old.listing()).unwrap().needs(), [needs]);
        fs::remove_file(&arguments.delta).unwrap();
    }
}

#[test]
fn two_files_make_a_small_delta_that_makes_the_new_one() {
    let rig = Rig::new();
    rig.write("old", &lesson("line 1000 "));
    rig.write("new", &lesson("line one thousand "));
    assert_eq!(rig.diff("old", "new"), Ok(Exit::Done));
    assert!(fs::metadata(rig.path("delta")).unwrap().len() < 500);
    assert_eq!(rig.apply("old", "made"), Ok(Exit::Done));
    assert_eq!(
        fs::read(rig.path("made")).unwrap(),
        lesson("line one thousand ")
    );
    assert_eq!(rig.names(), ["delta", "made", "new", "old"]);
}

#[test]
fn two_folders_with_edits_renames_and_copies_make_the_new_one() {
    let rig = Rig::new();
    rig.write("old/unit/a.html", &lesson("a"));
    rig.write("old/unit/b.html", &lesson("b"));
    rig.write("old/gone", b"gone");
    rig.write("new/unit/a.html", &lesson("edited"));
    rig.write("new/renamed/b.html", &lesson("b"));
    rig.write("new/twin-1", b"the same, and new");
    rig.write("new/twin-2", b"the same, and new");
    rig.write("new/empty", b"");
    assert_eq!(rig.diff("old", "new"), Ok(Exit::Done));
    assert_eq!(rig.apply("old", "made"), Ok(Exit::Done));
    assert_eq!(rig.files("made"), rig.files("new"));
    assert_eq!(rig.names(), ["delta", "made", "new", "old"]);
}

#[test]
fn an_empty_folder_is_the_nothing_that_a_first_install_starts_from() {
    let rig = Rig::new();
    fs::create_dir(rig.path("old")).unwrap();
    fs::create_dir(rig.path("made")).unwrap();
    rig.write("new/unit/a.html", &lesson("a"));
    assert_eq!(rig.diff("old", "new"), Ok(Exit::Done));
    assert_eq!(rig.apply("old", "made"), Ok(Exit::Done));
    assert_eq!(rig.files("made"), rig.files("new"));
}

#[test]
fn folder_with_something_in_it_is_not_written_over() {
    let rig = Rig::new();
    rig.write("old/a", b"a");
    rig.write("new/a", b"b");
    rig.write("made/mine", b"mine");
    assert_eq!(rig.diff("old", "new"), Ok(Exit::Done));
    let refused = rig
        .apply("old", "made")
        .map_err(|failure| (failure.exit, failure.code));
    assert_eq!(refused, Err((Exit::Other, "exists")));
    assert_eq!(rig.names(), ["delta", "made", "new", "old"]);
}

#[test]
fn another_old_tree_and_damaged_deltas_are_refused_and_leave_nothing() {
    let rig = Rig::new();
    rig.write("old/a", &lesson("a"));
    rig.write("other/a", &lesson("c"));
    rig.write("new/a", &lesson("b"));
    assert_eq!(rig.diff("old", "new"), Ok(Exit::Done));
    let refused = rig
        .apply("other", "made")
        .map_err(|failure| (failure.exit, failure.code));
    assert_eq!(refused, Err((Exit::Refused, "wrong-old")));
    let delta = fs::read(rig.path("delta")).unwrap();
    for place in [0, delta.len() / 2, delta.len() - 1] {
        let mut damaged = delta.clone();
        damaged[place] ^= 1;
        rig.write("delta", &damaged);
        let exit = rig.apply("old", "made").map_err(|failure| failure.exit);
        assert_eq!(exit, Err(Exit::Refused), "byte {place}");
    }
    rig.write("delta", b"<html>");
    let refused = rig.apply("old", "made").map_err(|failure| failure.code);
    assert_eq!(refused, Err("not-a-delta"));
    assert_eq!(rig.names(), ["delta", "new", "old", "other"]);
}

#[test]
fn a_file_and_a_folder_are_wrong_usage() {
    let rig = Rig::new();
    rig.write("old/a", b"a");
    rig.write("new", b"b");
    let refused = rig.diff("old", "new").map_err(|failure| failure.exit);
    assert_eq!(refused, Err(Exit::Usage));
}
