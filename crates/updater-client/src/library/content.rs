//! What the library holds already, by its content.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use diff_core::{Digest, Entry, Limits, MappedFile};
use release_format::{Manifest, PackName, cut_points, segments};

use super::disk::{Disk, DiskError};
use super::layout::LibraryLayout;
use super::shelf::Shelf;

/// Releases that lie on the device, each with where its tree is; the one asked about comes first.
pub(crate) struct HeldReleases {
    releases: Vec<(Manifest, PathBuf)>,
}

impl HeldReleases {
    /// Looks through the library, beginning with the releases of `pack`.
    pub(crate) fn look(
        disk: &dyn Disk,
        layout: &LibraryLayout,
        limits: &Limits,
        pack: &PackName,
    ) -> Result<HeldReleases, DiskError> {
        let shelf = Shelf::new(disk, layout);
        let mut packs = layout.packs_present(disk)?;
        packs.sort_by_key(|other| other != pack);
        let mut releases = Vec::new();
        for pack in packs {
            for folder in shelf.folders(&pack)? {
                if let Some(manifest) = shelf.manifest(&pack, &folder, limits)? {
                    let tree = LibraryLayout::tree_within(&shelf.folder(&pack, &folder));
                    releases.push((manifest, tree));
                }
            }
        }
        Ok(HeldReleases { releases })
    }

    /// Whether there is nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.releases.is_empty()
    }

    /// Returns the digests of all files that should be there; whether they are is found out when they
    /// are taken.
    pub(crate) fn digests(&self) -> HashSet<Digest> {
        let entries = self.releases.iter().map(|(of, _)| of.listing().entries());
        entries.flatten().map(|entry| entry.digest).collect()
    }

    /// Finds the chunks that are `wanted` in the files of `pack`'s releases, by cutting these as a
    /// publisher does; what is damaged is not found, and what is not is.
    ///
    /// Runs of files that are all among `whole` are not looked at: nobody needs their chunks.
    pub(crate) fn chunks(
        &self,
        pack: &PackName,
        wanted: &HashSet<Digest>,
        whole: &HashSet<Digest>,
        cancelled: &dyn Fn() -> bool,
    ) -> HeldChunks {
        let mut held = HeldChunks::default();
        for (manifest, tree) in &self.releases {
            if manifest.pack() != pack {
                continue;
            }
            let entries = manifest.listing().entries();
            for segment in segments(manifest.listing()) {
                let files = entries.get(segment.files).unwrap_or_default();
                let is_needed = files.iter().any(|file| !whole.contains(&file.digest));
                if cancelled() || held.places.len() == wanted.len() {
                    return held;
                }
                if is_needed {
                    held.look(files, tree, wanted);
                }
            }
        }
        held
    }
}

/// Chunks that stand in files of the library, by their digests.
#[derive(Debug, Default)]
pub(crate) struct HeldChunks {
    /// The pieces of files that are each chunk, one behind the other.
    places: HashMap<Digest, Vec<(PathBuf, Range<u64>)>>,
}

impl HeldChunks {
    /// Whether the chunk is here, as far as one look told.
    pub(crate) fn has(&self, chunk: &Digest) -> bool {
        self.places.contains_key(chunk)
    }

    /// Returns the bytes of a chunk, if they are still the ones.
    pub(crate) fn read(&self, chunk: &Digest) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for (path, range) in self.places.get(chunk)? {
            let file = MappedFile::open(path).ok()?;
            let from = usize::try_from(range.start).ok()?;
            let to = usize::try_from(range.end).ok()?;
            bytes.extend_from_slice(file.as_ref().get(from..to)?);
        }
        (Digest::of(&bytes) == *chunk).then_some(bytes)
    }

    /// Cuts one run of files, and remembers where wanted chunks stand.
    fn look(&mut self, files: &[Entry], tree: &Path, wanted: &HashSet<Digest>) {
        let Ok((bytes, ends)) = concatenated(files, tree) else {
            return;
        };
        for cut in cut_points(bytes.as_ref()) {
            let chunk = Digest::of(bytes.as_ref().get(cut.clone()).unwrap_or_default());
            if wanted.contains(&chunk) && !self.has(&chunk) {
                self.places.insert(chunk, pieces(files, tree, &ends, &cut));
            }
        }
    }
}

/// The bytes of a run of files: those of a large one stay where they are.
enum RunBytes {
    Mapped(MappedFile),
    Read(Vec<u8>),
}

impl AsRef<[u8]> for RunBytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            RunBytes::Mapped(file) => file.as_ref(),
            RunBytes::Read(bytes) => bytes,
        }
    }
}

/// Returns the bytes of files, and where each of them ends.
fn concatenated(files: &[Entry], tree: &Path) -> io::Result<(RunBytes, Vec<usize>)> {
    if let [file] = files {
        let mapped = MappedFile::open(&file.path.under(tree))?;
        let end = mapped.as_ref().len();
        return Ok((RunBytes::Mapped(mapped), vec![end]));
    }
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for file in files {
        // A file that is gone takes none of the others along.
        if let Ok(mapped) = MappedFile::open(&file.path.under(tree)) {
            bytes.extend_from_slice(mapped.as_ref());
        }
        ends.push(bytes.len());
    }
    Ok((RunBytes::Read(bytes), ends))
}

/// Returns which parts of which files a part of their bytes is.
fn pieces(
    files: &[Entry],
    tree: &Path,
    ends: &[usize],
    cut: &Range<usize>,
) -> Vec<(PathBuf, Range<u64>)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (file, end) in files.iter().zip(ends) {
        let (from, to) = (cut.start.max(start), cut.end.min(*end));
        if from < to {
            let range = (from - start) as u64..(to - start) as u64;
            pieces.push((file.path.under(tree), range));
        }
        start = *end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use diff_core::ContentPath;

    use super::*;

    #[test]
    fn a_part_of_several_files_is_told_file_by_file() {
        let file = |path: &str| Entry {
            path: ContentPath::parse(path).unwrap(),
            length: 0,
            digest: Digest::of(b""),
        };
        let (files, tree) = ([file("a"), file("b"), file("c")], Path::new("t"));
        let ends = [10, 10, 25];
        for (cut, expected) in [
            (0..10, vec![("a", 0..10)]),
            (4..12, vec![("a", 4..10), ("c", 0..2)]),
            (10..25, vec![("c", 0..15)]),
            (0..25, vec![("a", 0..10), ("c", 0..15)]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(path, range)| (tree.join(path), range))
                .collect();
            assert_eq!(pieces(&files, tree, &ends, &cut), expected, "{cut:?}");
        }
    }

    #[test]
    fn a_chunk_is_found_in_files_and_no_other_bytes_are_taken_for_it() {
        let temporary = tempfile::tempdir().unwrap();
        let tree = temporary.path();
        let (one, two) = (vec![1_u8; 900], vec![2_u8; 700]);
        let mut files = Vec::new();
        for (path, bytes) in [("one", &one), ("two", &two)] {
            std::fs::write(tree.join(path), bytes).unwrap();
            files.push(Entry {
                path: ContentPath::parse(path).unwrap(),
                length: bytes.len() as u64,
                digest: Digest::of(bytes),
            });
        }
        let both = [one, two].concat();
        // So few bytes are one chunk.
        let chunk = Digest::of(&both);
        let mut held = HeldChunks::default();
        held.look(&files, tree, &HashSet::from([Digest::of(b"another")]));
        assert!(!held.has(&chunk));
        held.look(&files, tree, &HashSet::from([chunk]));
        assert_eq!(held.read(&chunk), Some(both));
        std::fs::write(tree.join("two"), vec![3; 700]).unwrap();
        assert!(held.has(&chunk));
        assert_eq!(held.read(&chunk), None);
        std::fs::remove_file(tree.join("two")).unwrap();
        assert_eq!(held.read(&chunk), None);
    }
}
