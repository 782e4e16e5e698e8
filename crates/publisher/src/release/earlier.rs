use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use diff_core::{
    CancelToken, Contents, Digest, DigestWriter, Entry, FileBytes, Limits, Listing, MappedFile,
};
use rayon::prelude::*;
use release_format::{CatalogueRelease, ChunkMap, ChunkPlace, ContentReference, Manifest};

use crate::PublishError;
use crate::storage::Storage;

/// The files of an earlier release, to be the old side of a delta.
///
/// What the new release still has is read from its folder; only the rest is rebuilt from the
/// archives, into files named by their digest, so that several earlier releases share them.
pub(crate) struct EarlierTree<'a> {
    listing: Listing,
    new_files: &'a HashMap<Digest, PathBuf>,
    rebuilt: PathBuf,
}

impl<'a> EarlierTree<'a> {
    /// Rebuilds a release that a catalogue lists; see [`EarlierTree::rebuild`].
    ///
    /// # Errors
    /// As [`EarlierTree::rebuild`].
    pub(crate) fn of_release(
        release: &CatalogueRelease,
        storage: &dyn Storage,
        new_files: &'a HashMap<Digest, PathBuf>,
        rebuilt: &Path,
        cancel: &CancelToken,
    ) -> Result<EarlierTree<'a>, PublishError> {
        let limits = Limits::standard();
        let manifest =
            storage.content(&release.manifest, |bytes| Manifest::decode(bytes, &limits))?;
        let map = storage.content(&release.chunk_map, |bytes| ChunkMap::decode(bytes, &limits))?;
        EarlierTree::rebuild(&manifest, &map, storage, new_files, rebuilt, cancel)
    }

    /// Rebuilds in the folder `rebuilt` those files of a release that are not among `new_files`.
    ///
    /// # Errors
    /// [`PublishError::Damaged`] and [`PublishError::Absent`] when the repository cannot give back
    /// what it took.
    pub(crate) fn rebuild(
        manifest: &Manifest,
        map: &ChunkMap,
        storage: &dyn Storage,
        new_files: &'a HashMap<Digest, PathBuf>,
        rebuilt: &Path,
        cancel: &CancelToken,
    ) -> Result<EarlierTree<'a>, PublishError> {
        std::fs::create_dir_all(rebuilt)
            .map_err(|error| PublishError::io("create", rebuilt, error))?;
        let tree = EarlierTree {
            listing: manifest.listing().clone(),
            new_files,
            rebuilt: rebuilt.to_owned(),
        };
        let missing = tree.missing();
        let archives = ChunkSource::open(map, &missing, storage)?;
        missing.par_iter().try_for_each(|(start, entry)| {
            cancel.check()?;
            archives.write(*start, entry, &tree.place(&entry.digest))
        })?;
        Ok(tree)
    }

    /// Returns the files of the release.
    pub(crate) fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Returns each content that is nowhere yet, behind its place in the byte stream.
    fn missing(&self) -> Vec<(u64, &Entry)> {
        let mut seen = HashSet::new();
        let mut start = 0_u64;
        let mut missing = Vec::new();
        for entry in self.listing.entries() {
            let is_new = !self.new_files.contains_key(&entry.digest)
                && !self.place(&entry.digest).is_file()
                && seen.insert(entry.digest);
            if is_new {
                missing.push((start, entry));
            }
            start = start.saturating_add(entry.length);
        }
        missing
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.rebuilt.join(digest.to_string())
    }
}

impl Contents for EarlierTree<'_> {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        let entry = self.listing.entries().get(index).ok_or_else(|| {
            let told = format!("no file has the index {index}");
            io::Error::new(io::ErrorKind::InvalidInput, told)
        })?;
        let rebuilt;
        let path = match self.new_files.get(&entry.digest) {
            Some(path) => path,
            None => {
                rebuilt = self.place(&entry.digest);
                &rebuilt
            }
        };
        MappedFile::open(path).map(FileBytes::Mapped)
    }
}

/// The archives of a release, as far as some of its files lie in them.
pub(crate) struct ChunkSource<'a> {
    map: &'a ChunkMap,
    open: HashMap<ContentReference, OpenArchive>,
}

/// What there is of an archive.
enum OpenArchive {
    Whole(FileBytes),
    /// The chunks that are wanted, by their places.
    Parts(HashMap<u64, Vec<u8>>),
}

impl<'a> ChunkSource<'a> {
    /// Opens the archives of `map` that the files in `wanted` lie in.
    pub(crate) fn open(
        map: &'a ChunkMap,
        wanted: &[(u64, &Entry)],
        storage: &dyn Storage,
    ) -> Result<ChunkSource<'a>, PublishError> {
        let mut parts: HashMap<ContentReference, BTreeMap<u64, Range<u64>>> = HashMap::new();
        for (start, entry) in wanted {
            for (_, place) in map.spanning(*start..start.saturating_add(entry.length)) {
                if let Some(archive) = map.archive_of(place) {
                    let range = place.range();
                    parts
                        .entry(*archive)
                        .or_default()
                        .insert(range.start, range);
                }
            }
        }
        let mut open = HashMap::new();
        for (archive, parts) in parts {
            open.insert(archive, OpenArchive::of(&archive, parts, storage)?);
        }
        Ok(ChunkSource { map, open })
    }

    fn write(&self, start: u64, entry: &Entry, place: &Path) -> Result<(), PublishError> {
        let failed = |error| PublishError::io("write", place, error);
        // Under its final name only once whole: a later release takes it for granted.
        let aside = place.with_extension("part");
        let mut out = BufWriter::new(File::create(&aside).map_err(failed)?);
        let found = self.copy(start, entry, &mut out)?;
        out.flush().map_err(failed)?;
        if found != entry.digest {
            return Err(PublishError::Unrebuildable {
                path: entry.path.clone(),
                expected: entry.digest,
                found,
            });
        }
        drop(out);
        std::fs::rename(&aside, place).map_err(failed)
    }

    /// Copies the file that begins at `start` of the byte stream, and returns the digest of what its
    /// chunks hold.
    ///
    /// # Errors
    /// [`PublishError::Damaged`] when a chunk is not what the map says.
    pub(crate) fn copy(
        &self,
        start: u64,
        entry: &Entry,
        out: &mut dyn Write,
    ) -> Result<Digest, PublishError> {
        let mut out = DigestWriter::new(out);
        let end = start.saturating_add(entry.length);
        for (at, chunk) in self.map.spanning(start..end) {
            let bytes = self.decode(chunk)?;
            let from = usize::try_from(start.saturating_sub(at)).unwrap_or(usize::MAX);
            let to = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let wanted = bytes.get(from..to.min(bytes.len())).unwrap_or_default();
            out.write_all(wanted).map_err(|error| {
                PublishError::io("rebuild", Path::new(entry.path.as_str()), error)
            })?;
        }
        Ok(out.digest())
    }

    fn decode(&self, place: &ChunkPlace) -> Result<Vec<u8>, PublishError> {
        let archive = self.map.archive_of(place);
        let open = archive.and_then(|archive| self.open.get(archive));
        let bytes = open.and_then(|open| open.part(place.range()));
        let bytes = bytes.unwrap_or_default();
        place
            .chunk
            .decode(bytes)
            .map_err(|source| PublishError::Damaged {
                location: archive.map(ContentReference::location).unwrap_or_default(),
                source,
            })
    }
}

impl OpenArchive {
    fn of(
        archive: &ContentReference,
        parts: BTreeMap<u64, Range<u64>>,
        storage: &dyn Storage,
    ) -> Result<OpenArchive, PublishError> {
        let location = archive.location();
        let ranges: Vec<Range<u64>> = parts.into_values().collect();
        if let Some(bytes) = storage.get_parts(&location, &ranges)? {
            let starts = ranges.iter().map(|range| range.start);
            return Ok(OpenArchive::Parts(starts.zip(bytes).collect()));
        }
        match storage.get(&location)? {
            Some(bytes) => Ok(OpenArchive::Whole(bytes)),
            None => Err(PublishError::Absent { location }),
        }
    }

    fn part(&self, range: Range<u64>) -> Option<&[u8]> {
        match self {
            OpenArchive::Whole(bytes) => {
                let from = usize::try_from(range.start).ok()?;
                bytes.get(from..usize::try_from(range.end).ok()?)
            }
            OpenArchive::Parts(parts) => parts.get(&range.start).map(Vec::as_slice),
        }
    }
}
