use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use diff_core::{ContentPath, Digest, Entry, Limits, Listing};
use satchel_tests::rig::course::Course;

use crate::Outcome;
use crate::measure;

/// Two trees, the second made of the first.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) old: PathBuf,
    pub(crate) new: PathBuf,
}

/// A pair with what the tools need of it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) old: Side,
    pub(crate) new: Side,
}

/// One tree of a pair.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) folder: PathBuf,
    pub(crate) tar: PathBuf,
    pub(crate) tar_bytes: u64,
    pub(crate) listing: Listing,
}

impl Pair {
    /// Writes a small pair below `folder`: two seasons of a course, a few MiB.
    pub(crate) fn made(folder: &Path) -> Outcome<Pair> {
        let old = Course::bulky(1);
        let pair = Pair {
            name: "made".to_owned(),
            old: folder.join("old"),
            new: folder.join("new"),
        };
        old.write(&pair.old)?;
        old.revised(2).write(&pair.new)?;
        Ok(pair)
    }

    /// Returns the pairs in a folder of corpora, by name.
    pub(crate) fn all_in(corpora: &Path) -> Outcome<Vec<Pair>> {
        let mut pairs = Vec::new();
        for entry in fs::read_dir(corpora)? {
            let entry = entry?;
            let pair = Pair {
                name: entry.file_name().to_string_lossy().into_owned(),
                old: entry.path().join("old"),
                new: entry.path().join("new"),
            };
            if pair.old.is_dir() && pair.new.is_dir() {
                pairs.push(pair);
            }
        }
        pairs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pairs)
    }

    /// Lists both trees and packs them into tars.
    pub(crate) fn prepare(&self, scratch: &Path) -> Outcome<Prepared> {
        fs::create_dir_all(scratch)?;
        Ok(Prepared {
            name: self.name.clone(),
            old: Side::new(&self.old, scratch.join("old.tar"))?,
            new: Side::new(&self.new, scratch.join("new.tar"))?,
        })
    }
}

impl Side {
    fn new(folder: &Path, tar: PathBuf) -> Outcome<Side> {
        let listing = list(folder)?;
        let (from, to) = (text(folder)?, text(&tar)?);
        let arguments = [
            "--sort=name",
            "--mtime=@0",
            "--owner=0",
            "--group=0",
            "-C",
            from,
            "-cf",
            to,
            ".",
        ];
        measure::cost_of("tar", &arguments)?;
        let tar_bytes = fs::metadata(&tar)?.len();
        Ok(Side {
            folder: folder.to_owned(),
            tar,
            tar_bytes,
            listing,
        })
    }
}

/// Lists the tree below `folder`; reads its files, and maps none, so that a measured process does not
/// count them as its memory.
pub(crate) fn list(folder: &Path) -> Outcome<Listing> {
    let mut entries = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
                continue;
            }
            let file = File::open(entry.path())?;
            entries.push(Entry {
                path: ContentPath::parse(&name)?,
                length: file.metadata()?.len(),
                digest: Digest::of_reader(io::BufReader::new(file))?,
            });
        }
    }
    Ok(Listing::new(entries, &Limits::standard())?)
}

/// Returns a path as an argument of a command.
pub(crate) fn text(path: &Path) -> Outcome<&str> {
    path.to_str()
        .ok_or_else(|| format!("{} is no text", path.display()).into())
}
