//! A sequence of releases: what they cost a repository, and what they cost a device that follows each of
//! them, that comes back at the end, or that begins there.

mod natural;
mod ours;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::table::grouped;
use store::Store;

/// The argument that asks for this.
pub(crate) const SEQUENCE: &str = "sequence";

/// What one system makes of the releases.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Bytes that a device fetches with each release, the first install first.
    pub(crate) each: Vec<u64>,
    /// Bytes from the first release to the last at once.
    pub(crate) jump: Option<u64>,
    /// Bytes of the last release from nothing.
    pub(crate) anew: Option<u64>,
    /// Bytes of the repository that serves all of this.
    pub(crate) repository: u64,
}

/// Measures the folders in `folder`, each a release, in the order of the numbers in their names.
pub(crate) fn measure(folder: &Path) -> Outcome<()> {
    let releases = releases_in(folder)?;
    let [_, .., _] = releases.as_slice() else {
        return Err(format!("{} has less than two releases", folder.display()).into());
    };
    let work = tempfile::tempdir()?;
    let unique = store::unique_bytes(&releases)?;
    println!(
        "{} releases of {}, {} bytes of distinct files, {} with each of them through zstd -19.",
        releases.len(),
        folder.display(),
        grouped(unique.plain),
        grouped(unique.compressed),
    );
    println!();
    println!(
        "| system | first install | all updates | ratio | first to last | ratio | last from nothing | repository | to distinct, compressed |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut rows = vec![("satchel".to_owned(), ours::measure(&releases, work.path())?)];
    for store in Store::installed() {
        let figures = store.measure(&releases, &work.path().join(store.name()))?;
        rows.push((store.name().to_owned(), figures));
    }
    let updates = |figures: &Figures| figures.each.iter().skip(1).sum::<u64>();
    let ours = (updates(&rows[0].1), rows[0].1.jump);
    for (name, figures) in &rows {
        line(name, figures, ours, unique.compressed);
    }
    for (name, figures) in &rows {
        let each: Vec<String> = figures.each.iter().copied().map(grouped).collect();
        println!();
        println!("{name}, release by release: {}", each.join(" · "));
    }
    Ok(())
}

/// Prints a row; ratios are ours to theirs.
fn line(name: &str, figures: &Figures, ours: (u64, Option<u64>), unique: u64) {
    let ratio = |ours: u64, theirs: u64| format!("{:.3}", ours as f64 / theirs as f64);
    let updates: u64 = figures.each.iter().skip(1).sum();
    let bytes = |bytes: Option<u64>| bytes.map_or_else(String::new, grouped);
    println!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
        bytes(figures.each.first().copied()),
        bytes((updates > 0).then_some(updates)),
        if updates > 0 {
            ratio(ours.0, updates)
        } else {
            String::new()
        },
        bytes(figures.jump),
        figures
            .jump
            .zip(ours.1)
            .map_or_else(String::new, |(theirs, ours)| ratio(ours, theirs)),
        bytes(figures.anew),
        grouped(figures.repository),
        ratio(figures.repository, unique),
    );
}

fn releases_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut releases = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            releases.push(path);
        }
    }
    releases.sort_by_cached_key(|path| natural::key(&path.to_string_lossy()));
    Ok(releases)
}
