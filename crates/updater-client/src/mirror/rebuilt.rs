use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use release_format::{ArchiveWriter, Chunk, ChunkMap, ContentReference, EncodedChunk};

use super::missing::Missing;
use super::stream::Stream;
use super::workshop::{Turn, Workshop};

/// An archive whose chunks stand in installed releases, all of them or some.
///
/// Whoever wants chunks gets these, each proved before its first byte leaves. Whoever wants the whole
/// gets all but its last 64 KiB before the digest of the whole was compared.
pub(crate) struct Rebuilt {
    archive: ContentReference,
    /// In the order in which they lie; none overlaps.
    chunks: Vec<Standing>,
    workshop: Arc<Workshop>,
}

/// A chunk of an archive, and where in installed releases it stands.
struct Standing {
    chunk: Chunk,
    offset: u64,
    places: Vec<(Arc<Stream>, u64)>,
}

impl Standing {
    fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.chunk.encoded_length())
    }
}

impl Rebuilt {
    /// Returns what stands of `archive` in these releases; `None` where nothing does.
    pub(crate) fn of<'m>(
        archive: &ContentReference,
        releases: impl Iterator<Item = (&'m Arc<Stream>, &'m ChunkMap)>,
        workshop: &Arc<Workshop>,
    ) -> Option<Rebuilt> {
        let mut standing: BTreeMap<u64, Standing> = BTreeMap::new();
        for (stream, map) in releases {
            let mut seen = HashSet::new();
            let mut start = 0;
            for place in map.chunks() {
                let begins = start;
                start += u64::from(place.chunk.length());
                let is_of_it = map.archive_of(place) == Some(archive);
                if !is_of_it || !seen.insert(place.offset) {
                    continue;
                }
                let standing = standing.entry(place.offset).or_insert_with(|| Standing {
                    chunk: place.chunk,
                    offset: place.offset,
                    places: Vec::new(),
                });
                if standing.chunk == place.chunk {
                    standing.places.push((Arc::clone(stream), begins));
                }
            }
        }
        (!standing.is_empty()).then(|| Rebuilt {
            archive: *archive,
            chunks: standing.into_values().collect(),
            workshop: Arc::clone(workshop),
        })
    }

    /// Returns how many bytes the archive has.
    pub(crate) fn length(&self) -> u64 {
        self.archive.length
    }

    /// Returns what reads the archive from byte `from` on, once the chunk there is proved; `None` where
    /// it is not. [`Missing::Busy`] while the whole is wanted by too many.
    pub(crate) fn open(self: Arc<Rebuilt>, from: u64) -> Option<Result<RebuiltReader, Missing>> {
        let first = self.chunks.partition_point(|of| of.range().end <= from);
        let is_inside = |of: &&Standing| of.range().contains(&from);
        if let Some(standing) = self.chunks.get(first).filter(is_inside) {
            let encoded = self.chunk(standing)?;
            let within = usize::try_from(from - standing.offset).ok()?;
            let part = Part {
                bytes: Arc::clone(&encoded),
                read: within,
            };
            return Some(Ok(RebuiltReader::Chunks {
                ends_at: self.ends_at(first),
                part: Some(part),
                next: first + 1,
                of: self,
            }));
        }
        let is_within = from < self.archive.length;
        let can_be_whole = is_within && self.may_be_whole();
        if !can_be_whole || self.chunk(self.chunks.first()?).is_none() {
            return None;
        }
        let Some(turn) = self.workshop.turn() else {
            return Some(Err(Missing::Busy));
        };
        let whole = Whole::new(self, turn, from).ok()?;
        Some(Ok(RebuiltReader::Whole(Box::new(whole))))
    }

    /// Whether all chunks stand here, as far as one look tells: what lies behind the last is no longer
    /// than the table of these alone.
    fn may_be_whole(&self) -> bool {
        let begins = self.chunks.first().map_or(u64::MAX, |of| of.offset);
        let mut next = begins;
        let follow = self.chunks.iter().all(|of| {
            let follows = of.offset == next;
            next = of.range().end;
            follows
        });
        let behind = self.archive.length.saturating_sub(next);
        follow
            && begins <= MOST_HEADER_BYTES
            && behind <= MOST_TABLE_BYTES + MOST_ROW_BYTES * self.chunks.len() as u64
    }

    /// Returns where the chunks end that follow the one at `first` without a gap.
    fn ends_at(&self, first: usize) -> u64 {
        let mut end = None;
        for chunk in self.chunks.iter().skip(first) {
            if end.is_some_and(|end| end != chunk.offset) {
                break;
            }
            end = Some(chunk.range().end);
        }
        end.unwrap_or(0)
    }

    fn chunk(&self, standing: &Standing) -> Option<Arc<EncodedChunk>> {
        let length = u64::from(standing.chunk.length());
        let places = standing.places.iter();
        let parts = places.map(|(stream, start)| (&**stream, *start..start.saturating_add(length)));
        self.workshop.chunk(&standing.chunk, parts)
    }
}

/// Reads an archive that is made again while it is read.
pub(crate) enum RebuiltReader {
    /// Chunks that follow each other.
    Chunks {
        of: Arc<Rebuilt>,
        part: Option<Part>,
        next: usize,
        ends_at: u64,
    },
    /// All of it.
    Whole(Box<Whole>),
}

/// An encoded chunk, and how much of it was read.
pub(crate) struct Part {
    bytes: Arc<EncodedChunk>,
    read: usize,
}

impl RebuiltReader {
    /// Returns how many bytes the archive has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            RebuiltReader::Chunks { of, .. } => of.length(),
            RebuiltReader::Whole(whole) => whole.of.length(),
        }
    }

    /// Returns behind which byte there is nothing to be read.
    pub(crate) fn ends_at(&self) -> u64 {
        match self {
            RebuiltReader::Chunks { ends_at, .. } => *ends_at,
            RebuiltReader::Whole(whole) => whole.of.length(),
        }
    }
}

impl Read for RebuiltReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (of, part, next, ends_at) = match self {
            RebuiltReader::Whole(whole) => return whole.read(buffer),
            RebuiltReader::Chunks {
                of,
                part,
                next,
                ends_at,
            } => (of, part, next, *ends_at),
        };
        loop {
            if let Some(Part { bytes, read }) = part {
                let count = bytes
                    .bytes()
                    .get(*read..)
                    .unwrap_or_default()
                    .read(buffer)?;
                *read += count;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
            }
            let chunk = of.chunks.get(*next);
            let Some(chunk) = chunk.filter(|chunk| chunk.range().end <= ends_at) else {
                return Ok(0);
            };
            let bytes = of.chunk(chunk).ok_or_else(damaged)?;
            *part = Some(Part { bytes, read: 0 });
            *next += 1;
        }
    }
}

/// An archive that is written again from its first byte on, as its publisher wrote it.
pub(crate) struct Whole {
    of: Arc<Rebuilt>,
    /// `None` once it is finished, and proved.
    writer: Option<ArchiveWriter<Pipe>>,
    pipe: Pipe,
    next: usize,
    ready: VecDeque<u8>,
    /// Bytes before the first that is wanted.
    skip: u64,
    _turn: Turn,
}

impl Whole {
    fn new(of: Arc<Rebuilt>, turn: Turn, from: u64) -> io::Result<Whole> {
        let pipe = Pipe::default();
        let writer = ArchiveWriter::new(pipe.clone()).map_err(io::Error::other)?;
        Ok(Whole {
            of,
            writer: Some(writer),
            pipe,
            next: 0,
            ready: VecDeque::new(),
            skip: from,
            _turn: turn,
        })
    }

    /// Writes the next chunk, or the end.
    fn advance(&mut self) -> io::Result<()> {
        let Some(standing) = self.of.chunks.get(self.next) else {
            if let Some(writer) = self.writer.take() {
                let (_, found) = writer.finish().map_err(io::Error::other)?;
                if found != self.of.archive {
                    self.ready.clear();
                    return Err(damaged());
                }
            }
            self.pipe.drain_into(&mut self.ready);
            return Ok(());
        };
        let encoded = self.of.chunk(standing).ok_or_else(damaged)?;
        if let Some(writer) = &mut self.writer {
            let offset = writer.push(&encoded).map_err(io::Error::other)?;
            if offset != standing.offset {
                return Err(damaged());
            }
        }
        self.next += 1;
        self.pipe.drain_into(&mut self.ready);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let held_back = match self.writer {
                Some(_) => HELD_BACK_BYTES,
                None => 0,
            };
            let readable = self.ready.len().saturating_sub(held_back);
            let past = usize::try_from(self.skip).map_or(readable, |skip| skip.min(readable));
            if past > 0 {
                self.ready.drain(..past);
                self.skip -= past as u64;
            }
            let wanted = (readable - past).min(buffer.len());
            if wanted > 0 || buffer.is_empty() {
                let room = buffer.get_mut(..wanted).unwrap_or_default();
                return self.ready.read(room);
            }
            if self.writer.is_none() {
                return Ok(0);
            }
            self.advance()?;
        }
    }
}

/// Takes what an archive's writer writes, to be taken out again.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Pipe {
    fn drain_into(&self, ready: &mut VecDeque<u8>) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready.extend(written.drain(..));
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn damaged() -> io::Error {
    let what = "an installed file is not what it was when the release was installed";
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What nobody gets before the whole is proved.
const HELD_BACK_BYTES: usize = 64 << 10;
/// The header of an archive, and then some.
const MOST_HEADER_BYTES: u64 = 16;
/// What a table has beside its rows.
const MOST_TABLE_BYTES: u64 = 16;
/// A digest, and two numbers.
const MOST_ROW_BYTES: u64 = 42;
