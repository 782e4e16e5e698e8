use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diff_core::Digest;

use super::Figures;
use crate::Outcome;
use crate::measure::is_installed;
use crate::pair::text;

/// A system that keeps releases in a store of chunks or objects.
#[derive(Debug, Clone, Copy)]
pub(super) enum Store {
    /// Objects, and static deltas between releases beside each other and from the first to the last;
    /// of both, a device takes what is smaller.
    Ostree,
    /// Chunks, with an index to each release.
    Casync,
    /// Chunks of a backup: its store alone is compared.
    Borg,
}

/// Bytes of the files of all releases, each content counted once.
#[derive(Debug, Default)]
pub(super) struct Unique {
    pub(super) plain: u64,
    /// Each file through `zstd -19` by itself where that makes it smaller.
    pub(super) compressed: u64,
}

impl Store {
    /// Returns those that this machine has.
    pub(super) fn installed() -> Vec<Store> {
        let mut stores = vec![Store::Ostree, Store::Casync, Store::Borg];
        stores.retain(|store| is_installed(store.name()));
        stores
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Store::Ostree => "ostree",
            Store::Casync => "casync",
            Store::Borg => "borg",
        }
    }

    /// Puts the releases into a store below `work`, and measures what a device with the one before, or
    /// the first, would fetch of it.
    pub(super) fn measure(self, releases: &[PathBuf], work: &Path) -> Outcome<Figures> {
        fs::create_dir_all(work)?;
        let all = self.filled(releases, &work.join("all"))?;
        let mut figures = Figures {
            repository: *all.last().ok_or("there is no release")?,
            ..Figures::default()
        };
        let [first, .., last] = releases else {
            return Err("there are less than two releases".into());
        };
        if matches!(self, Store::Borg) {
            return Ok(figures);
        }
        for (index, release) in releases.iter().enumerate() {
            // A device has the release before it and nothing older.
            let before = index.checked_sub(1).and_then(|before| releases.get(before));
            figures.each.push(self.added(before, release, work)?);
        }
        figures.jump = Some(self.added(Some(first), last, work)?);
        figures.anew = Some(self.added(None, last, work)?);
        if matches!(self, Store::Ostree) {
            let repository = work.join("all");
            for pair in releases.windows(2) {
                let [old, new] = pair else { continue };
                static_delta(&repository, old, new)?;
            }
            static_delta(&repository, first, last)?;
            figures.repository = bytes_below(&repository)?;
        }
        Ok(figures)
    }

    /// Returns what a device that has `old` fetches to have `new`.
    fn added(self, old: Option<&PathBuf>, new: &PathBuf, work: &Path) -> Outcome<u64> {
        let folder = work.join("one");
        let releases: Vec<PathBuf> = old.into_iter().chain([new]).cloned().collect();
        let sizes = self.filled(&releases, &folder)?;
        let before = match sizes.as_slice() {
            [before, _] => *before,
            _ => 0,
        };
        let after = sizes.last().copied().unwrap_or_default();
        let mut added = after.saturating_sub(before);
        if let (Store::Ostree, Some(old)) = (self, old) {
            static_delta(&folder, old, new)?;
            // Its summary of what the delta holds is fetched with it.
            let delta = bytes_below(&folder.join("deltas"))?;
            added = added.min(delta);
        }
        fs::remove_dir_all(&folder)?;
        Ok(added)
    }

    /// Fills a new store at `folder`, and returns its bytes after each release.
    fn filled(self, releases: &[PathBuf], folder: &Path) -> Outcome<Vec<u64>> {
        let at = text(folder)?;
        match self {
            Store::Ostree => run("ostree", &["init", "--mode=archive", "--repo", at])?,
            Store::Casync => fs::create_dir_all(folder.join("store"))?,
            Store::Borg => run("borg", &["init", "--encryption=none", at])?,
        }
        let mut sizes = Vec::new();
        for release in releases {
            let (name, tree) = (branch(release), text(release)?);
            match self {
                Store::Ostree => {
                    let branch = format!("--branch={name}");
                    let mut arguments = vec!["commit", "--repo", at, &branch];
                    arguments.extend(["--no-xattrs", "--owner-uid=0", "--owner-gid=0"]);
                    arguments.extend(["--canonical-permissions", tree]);
                    run("ostree", &arguments)?;
                }
                Store::Casync => {
                    let store = format!("--store={at}/store");
                    let index = format!("{at}/{name}.caidx");
                    run("casync", &["make", "--without=all", &store, &index, tree])?;
                }
                Store::Borg => {
                    let archive = format!("{at}::{name}");
                    run("borg", &["create", "--compression=zstd,19", &archive, tree])?;
                }
            }
            sizes.push(bytes_below(folder)?);
        }
        Ok(sizes)
    }
}

fn static_delta(repository: &Path, old: &Path, new: &Path) -> Outcome<()> {
    let (at, from, to) = (text(repository)?, branch(old), branch(new));
    let (from, to) = (format!("--from={from}"), format!("--to={to}"));
    run(
        "ostree",
        &["static-delta", "generate", "--repo", at, &from, &to],
    )
}

fn branch(release: &Path) -> String {
    let name = release.file_name().unwrap_or_default();
    format!("release-{}", name.to_string_lossy())
}

fn run(program: &str, arguments: &[&str]) -> Outcome<()> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {told}", arguments.join(" ")).into())
}

/// Returns the bytes of all files below `folder`.
pub(super) fn bytes_below(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for path in files_below(folder)? {
        bytes += fs::symlink_metadata(path)?.len();
    }
    Ok(bytes)
}

pub(super) fn unique_bytes(releases: &[PathBuf]) -> Outcome<Unique> {
    let (mut seen, mut unique) = (BTreeSet::new(), Unique::default());
    for release in releases {
        for path in files_below(release)? {
            let bytes = fs::read(&path)?;
            if seen.insert(Digest::of(&bytes)) {
                let compressed = zstd::bulk::compress(&bytes, 19)?;
                unique.plain += bytes.len() as u64;
                unique.compressed += compressed.len().min(bytes.len()) as u64;
            }
        }
    }
    Ok(unique)
}

fn files_below(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    Ok(files)
}
