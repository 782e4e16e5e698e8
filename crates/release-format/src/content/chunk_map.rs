use std::ops::Range;

use bincode::{BorrowDecode, Encode};
use diff_core::{Digest, Limits, Listing};

use crate::content::binary::{self, Header};
use crate::content::chunk::Chunk;
use crate::{ContentReference, Document, FormatError, Verified};

/// A chunk and where its encoded bytes lie, so that they can be fetched by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The chunk.
    pub chunk: Chunk,
    /// The archive, by its place in [`ChunkMap::archives`].
    pub archive: u32,
    /// Where the encoded bytes begin in that archive.
    pub offset: u64,
}

impl ChunkPlace {
    /// Returns where the encoded bytes lie in the archive.
    pub fn range(&self) -> Range<u64> {
        let length = u64::from(self.chunk.encoded_length());
        self.offset..self.offset.saturating_add(length)
    }
}

/// Where every chunk of a release lies, in the order of the release's byte stream: its files, one
/// behind the other, in the order of its manifest.
///
/// Apart from the manifest, because only the routes that rebuild files from chunks need it.
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/chunk-map.md")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkMap {
    archives: Vec<ContentReference>,
    chunks: Vec<ChunkPlace>,
    /// Where each chunk begins in the byte stream.
    starts: Vec<u64>,
    total_bytes: u64,
}

impl ChunkMap {
    /// The longest chunk map that is read, in bytes.
    pub const MAX_BYTES: u64 = 256 << 20;
    /// The most archives that a release lies in.
    pub const MAX_ARCHIVES: u64 = 65_536;
    /// The most chunks that a release is cut into.
    pub const MAX_CHUNKS: u64 = 4_000_000;

    /// Returns the map of a release whose byte stream is `chunks`, which lie in `archives`.
    ///
    /// # Errors
    /// [`FormatError`] when an archive is listed twice or too long, when a chunk lies in none or
    /// beyond its end, when two chunks overlap, or when one lies in two places.
    pub fn new(
        archives: Vec<ContentReference>,
        chunks: Vec<ChunkPlace>,
    ) -> Result<ChunkMap, FormatError> {
        within("archives", archives.len(), ChunkMap::MAX_ARCHIVES)?;
        within("chunks", chunks.len(), ChunkMap::MAX_CHUNKS)?;
        check_archives(&archives)?;
        let mut starts = Vec::with_capacity(chunks.len());
        let mut total_bytes = 0_u64;
        for place in &chunks {
            check_place(place, &archives)?;
            starts.push(total_bytes);
            // No overflow: 4 million chunks of a mebibyte.
            total_bytes += u64::from(place.chunk.length());
        }
        check_apart(&chunks)?;
        Ok(ChunkMap {
            archives,
            chunks,
            starts,
            total_bytes,
        })
    }

    /// Returns the chunk map that the bytes hold.
    ///
    /// # Errors
    /// [`FormatError`] names the first rule that the bytes break; a claim above a limit is refused
    /// before anything is allocated for it.
    pub fn decode<T: AsRef<[u8]>>(
        bytes: &Verified<T>,
        limits: &Limits,
    ) -> Result<ChunkMap, FormatError> {
        let mut reader = HEADER.open(bytes)?;
        let count = reader.count("archives", ChunkMap::MAX_ARCHIVES, SMALLEST_ARCHIVE_BYTES)?;
        let mut archives = Vec::with_capacity(count);
        for _ in 0..count {
            let archive: WireArchive = reader.value("an archive")?;
            archives.push(ContentReference {
                digest: Digest::from_bytes(archive.digest),
                length: archive.length,
            });
        }
        let count = reader.count("chunks", ChunkMap::MAX_CHUNKS, SMALLEST_CHUNK_BYTES)?;
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            let chunk: WireChunk = reader.value("a chunk")?;
            chunks.push(chunk.place()?);
        }
        reader.finish()?;
        let map = ChunkMap::new(archives, chunks)?;
        if map.total_bytes > limits.max_tree_bytes {
            return Err(FormatError::Limit {
                document: Document::ChunkMap,
                what: "bytes of a tree",
                claimed: map.total_bytes,
                limit: limits.max_tree_bytes,
            });
        }
        Ok(map)
    }

    /// Returns the bytes that are published.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = HEADER.bytes().to_vec();
        binary::append(&(self.archives.len() as u64), &mut bytes);
        for archive in &self.archives {
            let archive = WireArchive {
                digest: *archive.digest.as_bytes(),
                length: archive.length,
            };
            binary::append(&archive, &mut bytes);
        }
        binary::append(&(self.chunks.len() as u64), &mut bytes);
        for place in &self.chunks {
            let chunk = WireChunk {
                digest: *place.chunk.digest().as_bytes(),
                length: place.chunk.length(),
                archive: place.archive,
                offset: place.offset,
                encoded_length: place.chunk.encoded_length(),
            };
            binary::append(&chunk, &mut bytes);
        }
        bytes
    }

    /// Returns digest and length of the encoded chunk map.
    pub fn reference(&self) -> ContentReference {
        ContentReference::of(&self.encode())
    }

    /// Returns the archives that the chunks lie in.
    pub fn archives(&self) -> &[ContentReference] {
        &self.archives
    }

    /// Returns the archive that a chunk lies in.
    pub fn archive_of(&self, place: &ChunkPlace) -> Option<&ContentReference> {
        self.archives.get(usize::try_from(place.archive).ok()?)
    }

    /// Returns the chunks in the order of the byte stream; one that repeats is there each time.
    pub fn chunks(&self) -> &[ChunkPlace] {
        &self.chunks
    }

    /// Returns the length of the byte stream.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Returns the chunks that hold the bytes of `range` of the byte stream, each behind the place in
    /// the stream where it begins.
    pub fn spanning(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &ChunkPlace)> {
        let first = self.starts.partition_point(|start| *start <= range.start);
        let is_empty = range.is_empty();
        self.starts
            .iter()
            .copied()
            .zip(&self.chunks)
            .skip(first.saturating_sub(1))
            .take_while(move |(start, _)| !is_empty && *start < range.end)
            .filter(move |(start, place)| {
                start.saturating_add(u64::from(place.chunk.length())) > range.start
            })
    }

    /// Refuses a `listing` whose files are not as long as the byte stream.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] with both lengths.
    pub fn check_covers(&self, listing: &Listing) -> Result<(), FormatError> {
        let expected = listing.total_bytes();
        if expected == self.total_bytes {
            return Ok(());
        }
        Err(FormatError::malformed(
            Document::ChunkMap,
            "the length of the byte stream",
            format!("the {expected} bytes of the manifest's files"),
            format!("{} bytes", self.total_bytes),
        ))
    }
}

/// An archive as it is encoded.
#[derive(Debug, Encode, BorrowDecode)]
struct WireArchive {
    digest: [u8; Digest::LENGTH],
    length: u64,
}

/// A chunk and its place as they are encoded.
#[derive(Debug, Encode, BorrowDecode)]
struct WireChunk {
    digest: [u8; Digest::LENGTH],
    length: u32,
    archive: u32,
    offset: u64,
    encoded_length: u32,
}

impl WireChunk {
    fn place(&self) -> Result<ChunkPlace, FormatError> {
        let digest = Digest::from_bytes(self.digest);
        Ok(ChunkPlace {
            chunk: Chunk::new(Document::ChunkMap, digest, self.length, self.encoded_length)?,
            archive: self.archive,
            offset: self.offset,
        })
    }
}

fn within(what: &'static str, count: usize, limit: u64) -> Result<(), FormatError> {
    let claimed = count as u64;
    if claimed <= limit {
        return Ok(());
    }
    Err(FormatError::Limit {
        document: Document::ChunkMap,
        what,
        claimed,
        limit,
    })
}

fn check_archives(archives: &[ContentReference]) -> Result<(), FormatError> {
    for archive in archives {
        if archive.length > ContentReference::MAX_LENGTH {
            return Err(FormatError::Limit {
                document: Document::ChunkMap,
                what: "bytes of an archive",
                claimed: archive.length,
                limit: ContentReference::MAX_LENGTH,
            });
        }
    }
    let mut digests: Vec<_> = archives.iter().map(|archive| archive.digest).collect();
    digests.sort_unstable();
    match digests.windows(2).find_map(repeated) {
        Some(digest) => Err(malformed(
            "the archives",
            "each once",
            format!("{digest} twice"),
        )),
        None => Ok(()),
    }
}

fn repeated(pair: &[Digest]) -> Option<Digest> {
    match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    }
}

fn check_place(place: &ChunkPlace, archives: &[ContentReference]) -> Result<(), FormatError> {
    let index = usize::try_from(place.archive).unwrap_or(usize::MAX);
    let Some(archive) = archives.get(index) else {
        return Err(malformed(
            chunk_name(place),
            format!("one of {} archives", archives.len()),
            format!("archive {}", place.archive),
        ));
    };
    let range = place.range();
    if place.offset < Header::LENGTH as u64 || range.end > archive.length {
        return Err(malformed(
            chunk_name(place),
            format!("bytes {} to {}", Header::LENGTH, archive.length),
            format!("bytes {} to {}", range.start, range.end),
        ));
    }
    Ok(())
}

/// Chunks may repeat in the byte stream; in the archives each lies once, apart from the others.
fn check_apart(chunks: &[ChunkPlace]) -> Result<(), FormatError> {
    let mut places: Vec<&ChunkPlace> = chunks.iter().collect();
    places.sort_unstable_by_key(|place| (place.archive, place.offset, place.chunk));
    places.dedup();
    for pair in places.windows(2) {
        if let [a, b] = pair
            && a.archive == b.archive
            && a.range().end > b.offset
        {
            return Err(malformed(
                chunk_name(b),
                format!("a place behind byte {} of its archive", a.range().end),
                format!("byte {}, where {} lies", b.offset, a.chunk.digest()),
            ));
        }
    }
    places.sort_unstable_by_key(|place| place.chunk.digest());
    for pair in places.windows(2) {
        if let [a, b] = pair
            && a.chunk.digest() == b.chunk.digest()
        {
            return Err(malformed(chunk_name(a), "one place", "two"));
        }
    }
    Ok(())
}

fn chunk_name(place: &ChunkPlace) -> String {
    format!("the chunk {}", place.chunk.digest())
}

fn malformed(
    place: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> FormatError {
    FormatError::malformed(Document::ChunkMap, place, expected, found)
}

const HEADER: Header = Header {
    document: Document::ChunkMap,
    magic: *b"SMAP",
    version: 1,
    max_bytes: ChunkMap::MAX_BYTES,
};
/// A digest and a length.
const SMALLEST_ARCHIVE_BYTES: usize = Digest::LENGTH + 1;
/// A digest and four integers.
const SMALLEST_CHUNK_BYTES: usize = Digest::LENGTH + 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worked_example;

    fn decode(bytes: &[u8]) -> Result<ChunkMap, FormatError> {
        let reference = ContentReference::of(bytes);
        let verified = Verified::new(bytes, &reference).unwrap();
        ChunkMap::decode(&verified, &Limits::standard())
    }

    fn archive(name: u8) -> ContentReference {
        ContentReference {
            digest: Digest::from_bytes([name; Digest::LENGTH]),
            length: 1000,
        }
    }

    /// A chunk of 100 bytes, encoded in 10.
    fn place(name: u8, archive: u32, offset: u64) -> ChunkPlace {
        let digest = Digest::from_bytes([name; Digest::LENGTH]);
        ChunkPlace {
            chunk: Chunk::new(Document::ChunkMap, digest, 100, 10).unwrap(),
            archive,
            offset,
        }
    }

    fn refusal(archives: &[ContentReference], chunks: &[ChunkPlace]) -> String {
        match ChunkMap::new(archives.to_vec(), chunks.to_vec()) {
            Err(FormatError::Malformed {
                place,
                expected,
                found,
                ..
            }) => format!("{place}: expected {expected}, found {found}"),
            other => panic!("expected Malformed, found {other:?}"),
        }
    }

    #[test]
    fn documented_example_decodes_and_encodes() {
        let bytes =
            worked_example::bytes(include_str!("../../../../docs/src/formats/chunk-map.md"));
        let map = decode(&bytes).unwrap();
        let offsets: Vec<_> = map.chunks().iter().map(|place| place.offset).collect();
        assert_eq!(offsets, [5, 11, 5]);
        assert_eq!(map.total_bytes(), 292);
        assert_eq!(map.encode(), bytes);
        assert_eq!(map.reference(), ContentReference::of(&bytes));
        // The two documents tell of the same archive.
        let archive =
            worked_example::bytes(include_str!("../../../../docs/src/formats/archive.md"));
        assert_eq!(map.archives(), [ContentReference::of(&archive)]);
        assert_eq!(
            map.archive_of(&map.chunks()[0]),
            Some(&ContentReference::of(&archive))
        );
        for place in map.chunks() {
            let start = usize::try_from(place.range().start).unwrap();
            let end = usize::try_from(place.range().end).unwrap();
            assert!(place.chunk.decode(&archive[start..end]).is_ok());
        }
    }

    #[test]
    fn empty_stream_has_a_map() {
        let map = ChunkMap::new(Vec::new(), Vec::new()).unwrap();
        assert_eq!(decode(&map.encode()), Ok(map.clone()));
        assert_eq!(map.total_bytes(), 0);
        assert_eq!(map.spanning(0..10).count(), 0);
    }

    #[test]
    fn overlapping_chunks_are_refused() {
        let told = refusal(&[archive(1)], &[place(1, 0, 5), place(2, 0, 14)]);
        assert!(told.contains("behind byte 15"), "{told}");
        // Two digests for the same bytes.
        let told = refusal(&[archive(1)], &[place(1, 0, 5), place(2, 0, 5)]);
        assert!(told.contains("behind byte 15"), "{told}");
        let apart = vec![place(2, 0, 15), place(1, 0, 5), place(3, 1, 8)];
        assert!(ChunkMap::new(vec![archive(1), archive(2)], apart).is_ok());
    }

    #[test]
    fn chunk_in_two_places_is_refused() {
        let archives = [archive(1), archive(2)];
        for second in [place(1, 0, 50), place(1, 1, 5)] {
            let told = refusal(&archives, &[place(1, 0, 5), second]);
            assert!(told.contains("one place"), "{told}");
        }
        let repeated = vec![place(1, 0, 5), place(2, 0, 15), place(1, 0, 5)];
        assert!(ChunkMap::new(archives.to_vec(), repeated).is_ok());
    }

    #[test]
    fn places_outside_the_archives_are_refused() {
        for outside in [
            place(1, 1, 5),
            place(1, u32::MAX, 5),
            place(1, 0, 4),
            place(1, 0, 991),
            place(1, 0, u64::MAX),
        ] {
            refusal(&[archive(1)], &[outside]);
        }
        assert!(ChunkMap::new(vec![archive(1)], vec![place(1, 0, 990)]).is_ok());
    }

    #[test]
    fn repeated_and_overlong_archives_are_refused() {
        assert!(refusal(&[archive(1), archive(1)], &[]).contains("twice"));
        let long = ContentReference {
            length: ContentReference::MAX_LENGTH + 1,
            ..archive(1)
        };
        assert!(matches!(
            ChunkMap::new(vec![long], Vec::new()),
            Err(FormatError::Limit { .. })
        ));
    }

    #[test]
    fn claimed_counts_allocate_nothing() {
        let claiming = |archives: u64, chunks: u64| {
            let mut bytes = HEADER.bytes().to_vec();
            binary::append(&archives, &mut bytes);
            binary::append(&chunks, &mut bytes);
            bytes
        };
        for (bytes, what) in [
            (claiming(u64::MAX, 0), "archives"),
            (claiming(0, 10_000_000), "chunks"),
        ] {
            match decode(&bytes) {
                Err(FormatError::Limit { what: found, .. }) => assert_eq!(found, what),
                other => panic!("expected Limit, found {other:?}"),
            }
        }
        for bytes in [claiming(65_536, 0), claiming(0, 4_000_000)] {
            assert!(matches!(decode(&bytes), Err(FormatError::Truncated { .. })));
        }
    }

    #[test]
    fn impossible_chunks_are_refused() {
        let with = |length, encoded_length| {
            let mut bytes = HEADER.bytes().to_vec();
            binary::append(&0_u64, &mut bytes);
            binary::append(&1_u64, &mut bytes);
            let chunk = WireChunk {
                digest: [1; Digest::LENGTH],
                length,
                archive: 0,
                offset: 5,
                encoded_length,
            };
            binary::append(&chunk, &mut bytes);
            decode(&bytes)
        };
        for (length, encoded_length) in [(0, 0), (1, 0), (1, 2), (0, 1)] {
            assert!(matches!(
                with(length, encoded_length),
                Err(FormatError::Malformed { .. })
            ));
        }
        for length in [Chunk::MAX_LENGTH + 1, u32::MAX] {
            assert!(matches!(with(length, 1), Err(FormatError::Limit { .. })));
        }
    }

    #[test]
    fn stream_longer_than_a_tree_may_be_is_refused() {
        let map = ChunkMap::new(vec![archive(1)], vec![place(1, 0, 5)]).unwrap();
        let mut limits = Limits::standard();
        limits.max_tree_bytes = 99;
        let verified = Verified::new(map.encode(), &map.reference()).unwrap();
        assert!(matches!(
            ChunkMap::decode(&verified, &limits),
            Err(FormatError::Limit { claimed: 100, .. })
        ));
    }

    #[test]
    fn map_of_another_tree_is_refused() {
        let map = ChunkMap::new(vec![archive(1)], vec![place(1, 0, 5)]).unwrap();
        let listing = |length| {
            let entry = diff_core::Entry {
                path: diff_core::ContentPath::parse("a").unwrap(),
                length,
                digest: Digest::of(b"a"),
            };
            Listing::new(vec![entry], &Limits::standard()).unwrap()
        };
        assert_eq!(map.check_covers(&listing(100)), Ok(()));
        assert!(matches!(
            map.check_covers(&listing(101)),
            Err(FormatError::Malformed { .. })
        ));
    }

    #[test]
    fn spanning_chunks_are_exactly_those_that_hold_a_byte_of_the_range() {
        let chunks = vec![place(1, 0, 5), place(2, 0, 15), place(1, 0, 5)];
        let map = ChunkMap::new(vec![archive(1)], chunks).unwrap();
        for (range, expected) in [
            (0..1, vec![0]),
            (0..100, vec![0]),
            (99..101, vec![0, 100]),
            (100..200, vec![100]),
            (50..250, vec![0, 100, 200]),
            (299..1000, vec![200]),
            (300..1000, vec![]),
            (120..120, vec![]),
        ] {
            let starts: Vec<_> = map.spanning(range.clone()).map(|(at, _)| at).collect();
            assert_eq!(starts, expected, "{range:?}");
        }
    }
}
