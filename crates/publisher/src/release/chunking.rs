use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};

use diff_core::{CancelToken, Contents, Digest, FileBytes, Listing, Progress};
use rayon::prelude::*;
use release_format::{
    ArchiveError, ArchiveWriter, Chunk, ChunkEncoder, ChunkMap, ChunkPlace, ContentReference,
    EncodedChunk, Segment, cut_points, segments,
};

use crate::PublishError;

/// The chunks of a pack's earlier releases, which are not stored again.
#[derive(Default)]
pub(crate) struct KnownChunks {
    places: HashMap<Digest, Place>,
}

impl KnownChunks {
    /// Adds the chunks of one release; of two places of a chunk the one added first stays.
    pub(crate) fn add(&mut self, map: &ChunkMap) {
        for chunk in map.chunks() {
            if let Some(archive) = map.archive_of(chunk) {
                self.places.entry(chunk.chunk.digest()).or_insert(Place {
                    chunk: chunk.chunk,
                    archive: ArchiveName::Published(*archive),
                    offset: chunk.offset,
                });
            }
        }
    }
}

/// A release's byte stream, cut and stored.
pub(crate) struct Chunked {
    /// Where every chunk lies.
    pub(crate) map: ChunkMap,
    /// The archives that are new, and the files that hold them.
    pub(crate) archives: Vec<(ContentReference, PathBuf)>,
}

/// Cuts releases into content-defined chunks and stores those that are new.
pub(crate) struct Chunker<'a> {
    /// Where new archives are written.
    pub(crate) scratch: &'a Path,
    /// No archive grows beyond this.
    pub(crate) archive_bytes: u64,
    /// Hears of the tree's bytes.
    pub(crate) progress: &'a dyn Progress,
    /// Stops the work.
    pub(crate) cancel: &'a CancelToken,
}

impl Chunker<'_> {
    /// Cuts the files of `listing`, one behind the other.
    ///
    /// # Errors
    /// [`PublishError::FolderChanged`] when a file is not what `listing` says.
    pub(crate) fn cut(
        &self,
        listing: &Listing,
        contents: &dyn Contents,
        known: KnownChunks,
    ) -> Result<Chunked, PublishError> {
        let mut store = ChunkStore::new(self, known);
        let mut stream = Vec::new();
        let segments = segments(listing);
        for lot in lots(&segments) {
            let cut: Vec<CutSegment> = lot
                .par_iter()
                .map(|segment| self.cut_segment(listing, contents, segment))
                .collect::<Result<_, _>>()?;
            store.keep(&cut)?;
            let pieces = cut.iter().flat_map(|segment| &segment.pieces);
            stream.extend(pieces.map(|piece| piece.digest));
        }
        store.finish(&stream)
    }

    fn cut_segment(
        &self,
        listing: &Listing,
        contents: &dyn Contents,
        segment: &Segment,
    ) -> Result<CutSegment, PublishError> {
        self.cancel.check()?;
        let mut files = Vec::with_capacity(segment.files.len());
        for index in segment.files.clone() {
            files.push(read_unchanged(listing, contents, index)?);
        }
        let bytes = match files.len() {
            1 => files.swap_remove(0),
            _ => {
                let files: Vec<&[u8]> = files.iter().map(|file| &**file).collect();
                FileBytes::Owned(files.concat())
            }
        };
        let mut pieces = Vec::new();
        for range in cut_points(&bytes) {
            let digest = Digest::of(bytes.get(range.clone()).unwrap_or_default());
            pieces.push(Piece { range, digest });
        }
        self.progress.advanced(bytes.len() as u64);
        Ok(CutSegment { bytes, pieces })
    }
}

/// Returns the bytes of a file if they are still those of its entry.
fn read_unchanged(
    listing: &Listing,
    contents: &dyn Contents,
    index: usize,
) -> Result<FileBytes, PublishError> {
    let entry = listing
        .entries()
        .get(index)
        .expect("segments are ranges of the listing");
    let changed = || PublishError::FolderChanged {
        path: entry.path.clone(),
    };
    let bytes = contents.read(index).map_err(|_| changed())?;
    if Digest::of(&bytes) == entry.digest {
        Ok(bytes)
    } else {
        Err(changed())
    }
}

/// Divides segments into lots that fit into memory at once; a larger one is mapped, and alone.
fn lots(segments: &[Segment]) -> Vec<&[Segment]> {
    let mut lots = Vec::new();
    let mut rest = segments;
    while !rest.is_empty() {
        let mut bytes = 0_u64;
        let fits = |segment: &&Segment| {
            bytes = bytes.saturating_add(segment.bytes);
            bytes <= LOT_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (lot, behind) = rest.split_at(count);
        lots.push(lot);
        rest = behind;
    }
    lots
}

struct CutSegment {
    bytes: FileBytes,
    pieces: Vec<Piece>,
}

struct Piece {
    range: Range<usize>,
    digest: Digest,
}

/// Every chunk once, in archives that are published already or being written.
struct ChunkStore<'a> {
    chunker: &'a Chunker<'a>,
    places: HashMap<Digest, Place>,
    open: Option<(ArchiveWriter<BufWriter<File>>, PathBuf)>,
    finished: Vec<(ContentReference, PathBuf)>,
}

#[derive(Clone, Copy)]
struct Place {
    chunk: Chunk,
    archive: ArchiveName,
    offset: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ArchiveName {
    /// One that the repository has.
    Published(ContentReference),
    /// The nth that this release adds.
    New(usize),
}

impl<'a> ChunkStore<'a> {
    fn new(chunker: &'a Chunker<'a>, known: KnownChunks) -> ChunkStore<'a> {
        ChunkStore {
            chunker,
            places: known.places,
            open: None,
            finished: Vec::new(),
        }
    }

    /// Stores what is new of the segments, in their order.
    fn keep(&mut self, cut: &[CutSegment]) -> Result<(), PublishError> {
        let mut seen = std::collections::HashSet::new();
        let mut fresh: Vec<&[u8]> = Vec::new();
        for segment in cut {
            for piece in &segment.pieces {
                if !self.places.contains_key(&piece.digest) && seen.insert(piece.digest) {
                    fresh.extend(segment.bytes.get(piece.range.clone()));
                }
            }
        }
        for batch in fresh.chunks(BATCH_CHUNKS) {
            self.chunker.cancel.check()?;
            let encoded: Vec<EncodedChunk> = batch
                .par_iter()
                .map_init(
                    || ChunkEncoder::new(ChunkEncoder::LEVEL),
                    |encoder, bytes| match encoder {
                        Ok(encoder) => encoder.encode(bytes).map_err(PublishError::Format),
                        Err(_) => {
                            Err(self.failed("compress", std::io::ErrorKind::OutOfMemory.into()))
                        }
                    },
                )
                .collect::<Result<_, _>>()?;
            for chunk in &encoded {
                self.push(chunk)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, encoded: &EncodedChunk) -> Result<(), PublishError> {
        let has_room = self.open.as_ref().is_some_and(|(writer, _)| {
            let length = writer.length().saturating_add(encoded.bytes().len() as u64);
            writer.has_room_for(encoded) && length <= self.chunker.archive_bytes
        });
        if !has_room {
            self.close()?;
            self.open()?;
        }
        let Some((writer, path)) = &mut self.open else {
            unreachable!("an archive was opened above");
        };
        let offset = writer
            .push(encoded)
            .map_err(|error| archive_failed(path, error))?;
        let place = Place {
            chunk: *encoded.chunk(),
            archive: ArchiveName::New(self.finished.len()),
            offset,
        };
        self.places.insert(place.chunk.digest(), place);
        Ok(())
    }

    fn open(&mut self) -> Result<(), PublishError> {
        let name = format!("archive-{}", self.finished.len());
        let path = self.chunker.scratch.join(name);
        let file = File::create(&path).map_err(|error| PublishError::io("create", &path, error))?;
        let writer = ArchiveWriter::new(BufWriter::new(file))
            .map_err(|error| archive_failed(&path, error))?;
        self.open = Some((writer, path));
        Ok(())
    }

    fn close(&mut self) -> Result<(), PublishError> {
        if let Some((writer, path)) = self.open.take() {
            let (_, reference) = writer
                .finish()
                .map_err(|error| archive_failed(&path, error))?;
            self.finished.push((reference, path));
        }
        Ok(())
    }

    fn finish(mut self, stream: &[Digest]) -> Result<Chunked, PublishError> {
        self.close()?;
        let mut archives = Vec::new();
        let mut numbers: HashMap<ContentReference, u32> = HashMap::new();
        let mut chunks = Vec::with_capacity(stream.len());
        for digest in stream {
            let place = self
                .places
                .get(digest)
                .expect("every chunk of the stream was kept");
            let archive = match place.archive {
                ArchiveName::Published(reference) => reference,
                ArchiveName::New(index) => {
                    let (reference, _) = self
                        .finished
                        .get(index)
                        .expect("every archive was finished");
                    *reference
                }
            };
            let next = u32::try_from(archives.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(archive).or_insert_with(|| {
                archives.push(archive);
                next
            });
            chunks.push(ChunkPlace {
                chunk: place.chunk,
                archive: number,
                offset: place.offset,
            });
        }
        Ok(Chunked {
            map: ChunkMap::new(archives, chunks).map_err(PublishError::Format)?,
            archives: self.finished,
        })
    }

    fn failed(&self, operation: &'static str, error: std::io::Error) -> PublishError {
        PublishError::io(operation, self.chunker.scratch, error)
    }
}

fn archive_failed(path: &Path, error: ArchiveError) -> PublishError {
    let source = match error {
        ArchiveError::Output(source) => source,
        other => std::io::Error::other(other),
    };
    PublishError::io("write", path, source)
}

/// What is read at once.
const LOT_BYTES: u64 = 32 << 20;
/// Chunks that are encoded at once: some 16 MiB.
const BATCH_CHUNKS: usize = 1024;

#[cfg(test)]
mod tests {
    use diff_core::{ContentPath, Entry, Limits, Silent};
    use release_format::{Archive, Verified};

    use super::*;

    /// A tree in memory.
    struct Files(Vec<(String, Vec<u8>)>);

    impl Files {
        fn listing(&self) -> Listing {
            let entry = |(path, bytes): &(String, Vec<u8>)| Entry {
                path: ContentPath::parse(path).unwrap(),
                length: bytes.len() as u64,
                digest: Digest::of(bytes),
            };
            Listing::new(self.0.iter().map(entry).collect(), &Limits::standard()).unwrap()
        }

        fn stream(&self) -> Vec<u8> {
            self.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
        }
    }

    impl Contents for Files {
        fn read(&self, index: usize) -> std::io::Result<FileBytes> {
            Ok(FileBytes::Owned(self.0[index].1.clone()))
        }
    }

    /// Bytes that repeat nowhere and still compress.
    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1] & 0x3f
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn course() -> Files {
        let mut files: Vec<_> = (0..150)
            .map(|n| (format!("a/{n:03}.html"), noise(n, 2000 + 37 * n as usize)))
            .collect();
        files.push(("b/empty".to_owned(), Vec::new()));
        files.push(("c/film".to_owned(), noise(1000, 2 << 20)));
        Files(files)
    }

    fn cut(files: &Files, scratch: &Path, known: KnownChunks, archive_bytes: u64) -> Chunked {
        let chunker = Chunker {
            scratch,
            archive_bytes,
            progress: &Silent,
            cancel: &CancelToken::new(),
        };
        chunker.cut(&files.listing(), files, known).unwrap()
    }

    #[test]
    fn chunks_of_the_map_are_the_byte_stream() {
        let folder = tempfile::tempdir().unwrap();
        let files = course();
        let chunked = cut(&files, folder.path(), KnownChunks::default(), 1 << 30);
        chunked.map.check_covers(&files.listing()).unwrap();
        let (reference, path) = &chunked.archives[0];
        let bytes = std::fs::read(path).unwrap();
        let archive = Archive::decode(Verified::new(bytes, reference).unwrap()).unwrap();
        let mut stream = Vec::new();
        for place in chunked.map.chunks() {
            assert_eq!(
                archive.find(&place.chunk.digest()).unwrap().offset,
                place.offset
            );
            stream.extend(archive.read(&place.chunk.digest()).unwrap().unwrap());
        }
        assert_eq!(stream, files.stream());
    }

    #[test]
    fn only_chunks_near_a_change_are_stored_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = course();
        let first = cut(&files, folder.path(), KnownChunks::default(), 1 << 30);
        let mut known = KnownChunks::default();
        known.add(&first.map);
        files.0[70].1.extend_from_slice(b"one sentence more");
        files.0[151].1.splice(1_000_000..1_000_000, *b"a frame");
        let second = cut(&files, folder.path(), known, 1 << 30);
        let (old, new) = (first.archives[0].0.length, second.archives[0].0.length);
        assert!(new < old / 10, "{new} of {old} bytes were stored again");
        assert_eq!(second.map.archives().len(), 2);
    }

    #[test]
    fn release_without_new_chunks_has_no_new_archive() {
        let folder = tempfile::tempdir().unwrap();
        let files = course();
        let first = cut(&files, folder.path(), KnownChunks::default(), 1 << 30);
        let mut known = KnownChunks::default();
        known.add(&first.map);
        let second = cut(&files, folder.path(), known, 1 << 30);
        assert!(second.archives.is_empty());
        assert_eq!(second.map, first.map);
    }

    #[test]
    fn archives_stay_below_their_limit() {
        let folder = tempfile::tempdir().unwrap();
        let chunked = cut(&course(), folder.path(), KnownChunks::default(), 500_000);
        assert!(chunked.archives.len() > 3);
        for (reference, path) in &chunked.archives {
            assert!(reference.length <= 500_000);
            assert_eq!(
                *reference,
                ContentReference::of(&std::fs::read(path).unwrap())
            );
        }
    }

    #[test]
    fn tree_without_bytes_needs_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files(vec![("empty".to_owned(), Vec::new())]);
        let chunked = cut(&files, folder.path(), KnownChunks::default(), 1 << 30);
        assert!(chunked.archives.is_empty() && chunked.map.chunks().is_empty());
    }

    #[test]
    fn file_that_is_not_what_was_listed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = course();
        let listing = files.listing();
        files.0[3].1[0] ^= 1;
        let chunker = Chunker {
            scratch: folder.path(),
            archive_bytes: 1 << 30,
            progress: &Silent,
            cancel: &CancelToken::new(),
        };
        match chunker.cut(&listing, &files, KnownChunks::default()) {
            Err(PublishError::FolderChanged { path }) => assert_eq!(path.as_str(), "a/003.html"),
            other => panic!("expected a refusal, found {:?}", other.err()),
        }
    }
}
