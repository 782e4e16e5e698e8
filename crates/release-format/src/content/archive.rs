use std::collections::BTreeMap;
use std::io::{self, Write};

use bincode::{BorrowDecode, Encode};
use diff_core::{Digest, DigestWriter};

use crate::content::binary::{self, Header};
use crate::content::chunk::{Chunk, EncodedChunk};
use crate::{ContentReference, Document, FormatError, Verified};

/// A verified container of chunks, each of which is checked again when it is read.
///
/// A device that wants a few chunks does not need the whole: a [`ChunkMap`](crate::ChunkMap) says
/// which bytes to fetch, and [`Chunk::decode`] checks them alone.
///
/// ```
/// use release_format::{Archive, ArchiveWriter, ChunkEncoder, Verified};
///
/// let mut encoder = ChunkEncoder::new(19)?;
/// let mut writer = ArchiveWriter::new(Vec::new())?;
/// let chunk = encoder.encode(b"lesson")?;
/// writer.push(&chunk)?;
/// let (bytes, reference) = writer.finish()?;
///
/// let archive = Archive::decode(Verified::new(bytes, &reference)?)?;
/// assert_eq!(archive.read(&chunk.chunk().digest()), Some(Ok(b"lesson".to_vec())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/archive.md")]
pub struct Archive<T> {
    bytes: Verified<T>,
    chunks: Vec<ArchivedChunk>,
    /// Indexes into `chunks`, in the order of the digests.
    by_digest: Vec<usize>,
}

/// A chunk and where it begins in its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedChunk {
    /// The chunk.
    pub chunk: Chunk,
    /// Where its encoded bytes begin.
    pub offset: u64,
}

impl<T: AsRef<[u8]>> Archive<T> {
    /// Returns the archive that the bytes hold.
    ///
    /// # Errors
    /// [`FormatError`] names the first rule that header, table or trailer break; a claim above a
    /// limit is refused before anything is allocated for it.
    pub fn decode(bytes: Verified<T>) -> Result<Archive<T>, FormatError> {
        let reader = HEADER.open(&bytes)?;
        let (table_start, table_end) = table_range(bytes.get().as_ref())?;
        let mut reader = reader.within(table_start, table_end);
        let count = reader.count("chunks", MAX_CHUNKS, SMALLEST_CHUNK_BYTES)?;
        let mut chunks = Vec::with_capacity(count);
        let mut offset = Header::LENGTH as u64;
        for _ in 0..count {
            let wire: WireChunk = reader.value("a chunk")?;
            let chunk = wire.chunk()?;
            chunks.push(ArchivedChunk { chunk, offset });
            offset = offset.saturating_add(u64::from(chunk.encoded_length()));
        }
        reader.finish()?;
        if offset != table_start as u64 {
            return Err(FormatError::malformed(
                Document::Archive,
                "the payload",
                format!("an end at byte {table_start}, where the table begins"),
                format!("chunks up to byte {offset}"),
            ));
        }
        let by_digest = in_order_of_digest(&chunks)?;
        Ok(Archive {
            bytes,
            chunks,
            by_digest,
        })
    }

    /// Returns the chunks in the order in which they lie.
    pub fn chunks(&self) -> &[ArchivedChunk] {
        &self.chunks
    }

    /// Returns the chunk with this digest.
    pub fn find(&self, digest: &Digest) -> Option<&ArchivedChunk> {
        let found = self
            .by_digest
            .binary_search_by_key(&Some(*digest), |&index| {
                self.chunks.get(index).map(|stored| stored.chunk.digest())
            });
        self.chunks.get(*self.by_digest.get(found.ok()?)?)
    }

    /// Returns the decoded bytes of the chunk with this digest, if it is here.
    ///
    /// The result within is an error when they are not what the table says; see [`Chunk::decode`].
    pub fn read(&self, digest: &Digest) -> Option<Result<Vec<u8>, FormatError>> {
        self.find(digest).map(|stored| {
            let encoded = self.encoded(stored).unwrap_or_default();
            stored.chunk.decode(encoded)
        })
    }

    fn encoded(&self, stored: &ArchivedChunk) -> Option<&[u8]> {
        let start = usize::try_from(stored.offset).ok()?;
        let length = usize::try_from(stored.chunk.encoded_length()).ok()?;
        let end = start.checked_add(length)?;
        self.bytes.get().as_ref().get(start..end)
    }
}

/// Writes an archive in one pass: the chunks as they come, then the table of what was written.
///
/// The table stands at the end so that nothing is kept, and nothing written twice: those who fetch
/// single chunks know their places from the chunk map, and those who hold the whole archive find the
/// table by its trailer.
pub struct ArchiveWriter<W> {
    out: DigestWriter<W>,
    table: Vec<u8>,
    places: BTreeMap<Digest, u64>,
    failed: bool,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive on `out`.
    ///
    /// # Errors
    /// [`ArchiveError::Output`] when `out` fails.
    pub fn new(out: W) -> Result<ArchiveWriter<W>, ArchiveError> {
        let mut writer = ArchiveWriter {
            out: DigestWriter::new(out),
            table: Vec::new(),
            places: BTreeMap::new(),
            failed: false,
        };
        writer.write(&HEADER.bytes())?;
        Ok(writer)
    }

    /// Whether the archive stays below its limits with one more chunk.
    pub fn has_room_for(&self, encoded: &EncodedChunk) -> bool {
        self.places.contains_key(&encoded.chunk().digest()) || {
            let more = encoded.bytes().len() + LARGEST_CHUNK_BYTES;
            self.length().saturating_add(more as u64) <= ContentReference::MAX_LENGTH
                && (self.places.len() as u64) < MAX_CHUNKS
        }
    }

    /// Returns how many bytes the archive would have if it were finished now, at most.
    pub fn length(&self) -> u64 {
        self.out.length() + (LARGEST_COUNT_BYTES + self.table.len() + TRAILER_BYTES) as u64
    }

    /// Appends a chunk and returns where it begins; one that is there already is not written again.
    ///
    /// # Errors
    /// [`ArchiveError::Full`] when there is no room for it, [`ArchiveError::Output`] when the output
    /// fails, and [`ArchiveError::Broken`] after it has.
    pub fn push(&mut self, encoded: &EncodedChunk) -> Result<u64, ArchiveError> {
        let chunk = encoded.chunk();
        if let Some(&offset) = self.places.get(&chunk.digest()) {
            return Ok(offset);
        }
        if !self.has_room_for(encoded) {
            return Err(ArchiveError::Full {
                length: self.length(),
                chunks: self.places.len() as u64,
            });
        }
        let offset = self.out.length();
        self.write(encoded.bytes())?;
        self.places.insert(chunk.digest(), offset);
        let wire = WireChunk {
            digest: *chunk.digest().as_bytes(),
            length: chunk.length(),
            encoded_length: chunk.encoded_length(),
        };
        binary::append(&wire, &mut self.table);
        Ok(offset)
    }

    /// Writes table and trailer, flushes, and returns the output with what it is known by.
    ///
    /// # Errors
    /// [`ArchiveError::Output`] when the output fails, and [`ArchiveError::Broken`] after it has.
    pub fn finish(mut self) -> Result<(W, ContentReference), ArchiveError> {
        let mut table = Vec::new();
        binary::append(&(self.places.len() as u64), &mut table);
        table.append(&mut self.table);
        let table_length =
            u32::try_from(table.len()).expect("a table of a million chunks is shorter than 64 MiB");
        self.write(&table)?;
        self.write(&table_length.to_le_bytes())?;
        self.write(&HEADER.magic)?;
        self.out.flush().map_err(ArchiveError::Output)?;
        let reference = ContentReference {
            digest: self.out.digest(),
            length: self.out.length(),
        };
        Ok((self.out.into_inner(), reference))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        if self.failed {
            return Err(ArchiveError::Broken);
        }
        self.out.write_all(bytes).map_err(|error| {
            self.failed = true;
            ArchiveError::Output(error)
        })
    }
}

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The archive has no room for another chunk; the next archive has.
    #[error("the archive is full with {chunks} chunks in {length} bytes")]
    Full {
        /// Bytes that it would have if it were finished now.
        length: u64,
        /// Chunks in it.
        chunks: u64,
    },
    /// The output failed.
    #[error("the archive could not be written: {0}")]
    Output(#[source] io::Error),
    /// The output failed before, so nobody knows what it holds.
    #[error("the archive could not be written before, and is incomplete")]
    Broken,
}

/// A chunk as the table encodes it; its place follows from the chunks before it.
#[derive(Debug, Encode, BorrowDecode)]
struct WireChunk {
    digest: [u8; Digest::LENGTH],
    length: u32,
    encoded_length: u32,
}

impl WireChunk {
    fn chunk(&self) -> Result<Chunk, FormatError> {
        let digest = Digest::from_bytes(self.digest);
        Chunk::new(Document::Archive, digest, self.length, self.encoded_length)
    }
}

/// Returns where the table begins and ends, as the trailer says.
fn table_range(bytes: &[u8]) -> Result<(usize, usize), FormatError> {
    let end = bytes
        .len()
        .saturating_sub(TRAILER_BYTES)
        .max(Header::LENGTH);
    let (length, magic) = bytes
        .get(end..)
        .and_then(|trailer| trailer.split_first_chunk::<4>())
        .ok_or(FormatError::Truncated {
            document: Document::Archive,
            place: "the trailer",
            offset: end as u64,
        })?;
    if magic != HEADER.magic {
        return Err(FormatError::malformed(
            Document::Archive,
            "the last four bytes",
            format!("{:02x?}", HEADER.magic),
            format!("{magic:02x?}"),
        ));
    }
    let length = u32::from_le_bytes(*length);
    usize::try_from(length)
        .ok()
        .and_then(|length| end.checked_sub(length))
        .filter(|start| *start >= Header::LENGTH)
        .map(|start| (start, end))
        .ok_or_else(|| {
            FormatError::malformed(
                Document::Archive,
                "the length of the table",
                format!("at most {} bytes", end - Header::LENGTH),
                format!("{length} bytes"),
            )
        })
}

fn in_order_of_digest(chunks: &[ArchivedChunk]) -> Result<Vec<usize>, FormatError> {
    let digest = |index: &usize| chunks.get(*index).map(|stored| stored.chunk.digest());
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    order.sort_unstable_by_key(digest);
    for pair in order.windows(2) {
        if let [a, b] = pair
            && let (Some(first), Some(second)) = (digest(a), digest(b))
            && first == second
        {
            return Err(FormatError::malformed(
                Document::Archive,
                "the table",
                "each chunk once",
                format!("{first} twice"),
            ));
        }
    }
    Ok(order)
}

const HEADER: Header = Header {
    document: Document::Archive,
    magic: *b"SARC",
    version: 1,
    max_bytes: ContentReference::MAX_LENGTH,
};
/// The most chunks in an archive: bounds the table that a reader keeps in memory.
const MAX_CHUNKS: u64 = 1 << 20;
/// A digest and two integers.
const SMALLEST_CHUNK_BYTES: usize = Digest::LENGTH + 2;
/// The same, with integers at their longest.
const LARGEST_CHUNK_BYTES: usize = Digest::LENGTH + 10;
/// A count of up to a million.
const LARGEST_COUNT_BYTES: usize = 5;
/// The length of the table and the magic.
const TRAILER_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChunkEncoder;
    use crate::worked_example;

    fn decode(bytes: &[u8]) -> Result<Archive<&[u8]>, FormatError> {
        Archive::decode(Verified::new(bytes, &ContentReference::of(bytes)).unwrap())
    }

    fn refusal(bytes: &[u8]) -> FormatError {
        decode(bytes).map(|_| ()).unwrap_err()
    }

    fn encode(chunks: &[&[u8]]) -> Vec<u8> {
        let mut encoder = ChunkEncoder::new(19).unwrap();
        let mut writer = ArchiveWriter::new(Vec::new()).unwrap();
        for chunk in chunks {
            writer.push(&encoder.encode(chunk).unwrap()).unwrap();
        }
        let (bytes, reference) = writer.finish().unwrap();
        assert_eq!(reference, ContentReference::of(&bytes));
        bytes
    }

    /// An archive of `payload` whose table holds a count and these chunks.
    fn with_table(payload: &[u8], count: u64, table: &[WireChunk]) -> Vec<u8> {
        let mut bytes = [&HEADER.bytes(), payload].concat();
        let start = bytes.len();
        binary::append(&count, &mut bytes);
        for chunk in table {
            binary::append(chunk, &mut bytes);
        }
        let length = u32::try_from(bytes.len() - start).unwrap();
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&HEADER.magic);
        bytes
    }

    fn stored(bytes: &[u8]) -> WireChunk {
        let length = u32::try_from(bytes.len()).unwrap();
        WireChunk {
            digest: *Digest::of(bytes).as_bytes(),
            length,
            encoded_length: length,
        }
    }

    #[test]
    fn documented_example_decodes_and_encodes() {
        let bytes = worked_example::bytes(include_str!("../../../../docs/src/formats/archive.md"));
        let course = b"lesson ".repeat(40);
        let archive = decode(&bytes).unwrap();
        let offsets: Vec<_> = archive.chunks().iter().map(|at| at.offset).collect();
        assert_eq!(offsets, [5, 11]);
        for expected in [&b"lesson"[..], &course] {
            let read = archive.read(&Digest::of(expected)).unwrap().unwrap();
            assert_eq!(read, expected);
        }
        assert_eq!(archive.read(&Digest::of(b"absent")), None);
        assert_eq!(encode(&[b"lesson", &course]), bytes);
    }

    #[test]
    fn archive_without_chunks_is_an_archive() {
        assert_eq!(decode(&encode(&[])).unwrap().chunks(), []);
    }

    #[test]
    fn chunk_that_is_pushed_twice_lies_there_once() {
        let mut encoder = ChunkEncoder::new(1).unwrap();
        let [one, two] = [b"one", b"two"].map(|bytes| encoder.encode(bytes).unwrap());
        let mut writer = ArchiveWriter::new(Vec::new()).unwrap();
        let offsets = [&one, &two, &one].map(|chunk| writer.push(chunk).unwrap());
        assert_eq!(offsets, [5, 8, 5]);
        let (bytes, _) = writer.finish().unwrap();
        assert_eq!(decode(&bytes).unwrap().chunks().len(), 2);
    }

    #[test]
    fn announced_length_is_never_below_the_real_one() {
        let mut encoder = ChunkEncoder::new(1).unwrap();
        let mut writer = ArchiveWriter::new(Vec::new()).unwrap();
        for number in 0..300_u32 {
            writer
                .push(&encoder.encode(&number.to_le_bytes()).unwrap())
                .unwrap();
        }
        let announced = writer.length();
        let (_, reference) = writer.finish().unwrap();
        assert!((reference.length..=reference.length + 4).contains(&announced));
    }

    #[test]
    fn full_archive_takes_no_more() {
        let mut encoder = ChunkEncoder::new(1).unwrap();
        let mut writer = ArchiveWriter::new(io::sink()).unwrap();
        let mut noise = vec![0; Chunk::MAX_LENGTH as usize];
        let mut fill = Digest::of(b"noise");
        for piece in noise.chunks_mut(Digest::LENGTH) {
            piece.copy_from_slice(fill.as_bytes());
            fill = Digest::of(piece);
        }
        for number in 0..1024_u32 {
            noise[..4].copy_from_slice(&number.to_le_bytes());
            let chunk = encoder.encode(&noise).unwrap();
            if !writer.has_room_for(&chunk) {
                assert_eq!(number, 1023);
                assert!(matches!(
                    writer.push(&chunk),
                    Err(ArchiveError::Full { chunks: 1023, .. })
                ));
                let (_, reference) = writer.finish().unwrap();
                assert!(reference.length <= ContentReference::MAX_LENGTH);
                return;
            }
            writer.push(&chunk).unwrap();
        }
        panic!("1 GiB of chunks went into one archive");
    }

    #[test]
    fn writer_whose_output_failed_refuses_further_work() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let taken = bytes.len().min(self.0);
                self.0 -= taken;
                Ok(taken)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let chunk = ChunkEncoder::new(1).unwrap().encode(b"lesson").unwrap();
        assert!(matches!(
            ArchiveWriter::new(Full(4)),
            Err(ArchiveError::Output(_))
        ));
        let mut writer = ArchiveWriter::new(Full(8)).unwrap();
        assert!(matches!(writer.push(&chunk), Err(ArchiveError::Output(_))));
        assert!(matches!(writer.push(&chunk), Err(ArchiveError::Broken)));
        assert!(matches!(writer.finish(), Err(ArchiveError::Broken)));
    }

    #[test]
    fn repeated_digests_are_refused() {
        let bytes = with_table(b"oneone", 2, &[stored(b"one"), stored(b"one")]);
        assert!(matches!(
            refusal(&bytes),
            FormatError::Malformed { found, .. } if found.contains("twice")
        ));
    }

    #[test]
    fn payload_that_the_table_does_not_fill_or_overruns_is_refused() {
        for payload in [&b"on"[..], b"one!", b""] {
            assert!(matches!(
                refusal(&with_table(payload, 1, &[stored(b"one")])),
                FormatError::Malformed { place, .. } if place == "the payload"
            ));
        }
        assert!(decode(&with_table(b"one", 1, &[stored(b"one")])).is_ok());
    }

    #[test]
    fn table_with_more_or_fewer_chunks_than_it_claims_is_refused() {
        assert!(matches!(
            refusal(&with_table(b"one", 0, &[stored(b"one")])),
            FormatError::TrailingBytes { .. }
        ));
        for count in [2, 1 << 20] {
            assert!(matches!(
                refusal(&with_table(b"one", count, &[stored(b"one")])),
                FormatError::Truncated { .. }
            ));
        }
        assert!(matches!(
            refusal(&with_table(b"one", u64::MAX, &[stored(b"one")])),
            FormatError::Limit { .. }
        ));
    }

    #[test]
    fn trailing_bytes_and_a_lying_trailer_are_refused() {
        let bytes = encode(&[b"lesson"]);
        for more in [&b"x"[..], b"trailing bytes"] {
            let longer = [&bytes, more].concat();
            assert!(matches!(refusal(&longer), FormatError::Malformed { .. }));
        }
        for length in [0, 1, bytes.len(), u32::MAX as usize] {
            let mut lying = bytes.clone();
            let at = lying.len() - TRAILER_BYTES;
            let length = u32::try_from(length).unwrap();
            lying[at..at + 4].copy_from_slice(&length.to_le_bytes());
            assert!(decode(&lying).is_err(), "{length}");
        }
    }

    #[test]
    fn chunk_that_is_not_what_the_table_says_is_refused_when_it_is_read() {
        let bytes = with_table(b"two", 1, &[stored(b"one")]);
        let archive = decode(&bytes).unwrap();
        assert!(matches!(
            archive.read(&Digest::of(b"one")),
            Some(Err(FormatError::WrongDigest { .. }))
        ));
    }
}
