//! What the library holds already, by its content.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use diff_core::{CancelToken, Digest, Entry, Limits, Listing, MappedFile};
use release_format::{Manifest, PackName, cut_points, segments};

use super::disk::{Disk, DiskError};
use super::layout::LibraryLayout;
use super::shelf::Shelf;
use crate::UpdateError;

/// The releases that lie on the device, looked at one by one: of however many, one manifest is in memory
/// at a time.
#[derive(Clone, Copy)]
pub(crate) struct HeldReleases<'a> {
    disk: &'a dyn Disk,
    layout: &'a LibraryLayout,
    limits: &'a Limits,
}

impl<'a> HeldReleases<'a> {
    pub(crate) fn new(
        disk: &'a dyn Disk,
        layout: &'a LibraryLayout,
        limits: &'a Limits,
    ) -> HeldReleases<'a> {
        HeldReleases {
            disk,
            layout,
            limits,
        }
    }

    /// Shows the manifest and the tree of each release of `packs` to `visit`, until it has seen enough.
    fn walk<E: From<DiskError>>(
        &self,
        packs: &[PackName],
        mut visit: impl FnMut(&Manifest, &Path) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let shelf = Shelf::new(self.disk, self.layout);
        for pack in packs {
            for folder in shelf.folders(pack)? {
                let Some(manifest) = shelf.manifest(pack, &folder, self.limits)? else {
                    continue;
                };
                let tree = LibraryLayout::tree_within(&shelf.folder(pack, &folder));
                if visit(&manifest, &tree)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Shows every file of every release of every pack to `visit`, with the tree that it should lie in,
    /// until it has seen enough.
    pub(crate) fn files<E: From<DiskError>>(
        &self,
        mut visit: impl FnMut(&Entry, &Path) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        self.walk(&self.layout.packs_present(self.disk)?, |manifest, tree| {
            for entry in manifest.listing().entries() {
                if visit(entry, tree)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Whether there is no release at all.
    pub(crate) fn is_empty(&self) -> Result<bool, DiskError> {
        let mut is_empty = true;
        self.walk(&self.layout.packs_present(self.disk)?, |_, _| {
            is_empty = false;
            Ok::<_, DiskError>(ControlFlow::Break(()))
        })?;
        Ok(is_empty)
    }

    /// Returns which contents of `listing` should be there, in a release of whichever pack; whether they
    /// are is found out when they are taken.
    pub(crate) fn known_of(&self, listing: &Listing) -> Result<HashSet<Digest>, DiskError> {
        let wanted = listing.entries().iter().map(|entry| entry.digest);
        let mut wanted: HashSet<Digest> = wanted.collect();
        let mut known = HashSet::new();
        self.files(|entry, _| {
            known.extend(wanted.take(&entry.digest));
            Ok::<_, DiskError>(enough(wanted.is_empty()))
        })?;
        Ok(known)
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
        cancel: &CancelToken,
    ) -> Result<HeldChunks, UpdateError> {
        let mut held = HeldChunks::default();
        self.walk(std::slice::from_ref(pack), |manifest, tree| {
            let entries = manifest.listing().entries();
            for segment in segments(manifest.listing()) {
                cancel.check()?;
                let files = entries.get(segment.files).unwrap_or_default();
                if held.places.len() == wanted.len() {
                    return Ok(ControlFlow::Break(()));
                }
                if files.iter().any(|file| !whole.contains(&file.digest)) {
                    held.look(files, tree, wanted);
                }
            }
            Ok::<_, UpdateError>(ControlFlow::Continue(()))
        })?;
        Ok(held)
    }
}

/// Whether a walk goes on.
pub(crate) fn enough(is_enough: bool) -> ControlFlow<()> {
    match is_enough {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
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
pub(crate) enum RunBytes {
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
pub(crate) fn concatenated(files: &[Entry], tree: &Path) -> io::Result<(RunBytes, Vec<usize>)> {
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
