use std::collections::HashMap;
use std::io::{self, Sink};

use diff_core::Digest;
use release_format::{
    ArchiveWriter, Chunk, ChunkMap, ChunkPlace, ContentReference, cut_points, segments,
};

use super::stream::Stream;
use super::workshop::Workshop;
use crate::library::content::concatenated;

/// Cuts an installed release as its publisher did, and finds out where each chunk lies without keeping
/// any: for a device that has no chunk map of what it installed by a delta.
///
/// Nothing proves what comes of it but its digest, which is for the caller to compare.
pub(crate) struct Recut<'a> {
    workshop: &'a Workshop,
    places: HashMap<Digest, Place>,
    open: Option<ArchiveWriter<Sink>>,
    finished: Vec<ContentReference>,
}

#[derive(Clone, Copy)]
struct Place {
    chunk: Chunk,
    archive: Archive,
    offset: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Archive {
    Earlier(ContentReference),
    /// The nth that the release adds.
    Added(usize),
}

impl<'a> Recut<'a> {
    /// Begins where a publisher does that has published the releases with these chunk maps.
    pub(crate) fn behind<'m>(
        earlier: impl Iterator<Item = &'m ChunkMap>,
        workshop: &'a Workshop,
    ) -> Recut<'a> {
        let mut places = HashMap::new();
        for map in earlier {
            for place in map.chunks() {
                if let Some(archive) = map.archive_of(place) {
                    places.entry(place.chunk.digest()).or_insert(Place {
                        chunk: place.chunk,
                        archive: Archive::Earlier(*archive),
                        offset: place.offset,
                    });
                }
            }
        }
        Recut {
            workshop,
            places,
            open: None,
            finished: Vec::new(),
        }
    }

    /// Returns the chunk map of the release with these files, if they are all as they should be.
    ///
    /// # Errors
    /// Whatever keeps files from being read, or archives from being laid out.
    pub(crate) fn chunk_map(mut self, stream: &Stream) -> io::Result<ChunkMap> {
        let mut cut = Vec::new();
        for segment in segments(stream.listing()) {
            let files = stream.listing().entries().get(segment.files);
            let (bytes, _) = concatenated(files.unwrap_or_default(), stream.tree())?;
            if bytes.as_ref().len() as u64 != segment.bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for range in cut_points(bytes.as_ref()) {
                let piece = bytes.as_ref().get(range).unwrap_or_default();
                let digest = Digest::of(piece);
                if !self.places.contains_key(&digest) {
                    self.add(piece)?;
                }
                cut.push(digest);
            }
        }
        self.close()?;
        self.laid_out(&cut)
    }

    fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        let encoded = self.workshop.encoded(piece);
        let encoded = encoded.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let has_room = self.open.as_ref().is_some_and(|writer| {
            let length = writer.length().saturating_add(encoded.bytes().len() as u64);
            writer.has_room_for(&encoded) && length <= ContentReference::MAX_LENGTH
        });
        if !has_room {
            self.close()?;
        }
        let mut writer = match self.open.take() {
            Some(writer) => writer,
            None => ArchiveWriter::new(io::sink()).map_err(io::Error::other)?,
        };
        let offset = writer.push(&encoded).map_err(io::Error::other)?;
        self.open = Some(writer);
        let place = Place {
            chunk: *encoded.chunk(),
            archive: Archive::Added(self.finished.len()),
            offset,
        };
        self.places.insert(place.chunk.digest(), place);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some(writer) = self.open.take() {
            let (_, reference) = writer.finish().map_err(io::Error::other)?;
            self.finished.push(reference);
        }
        Ok(())
    }

    /// Returns the map of the chunks with these digests, in their order.
    fn laid_out(&self, cut: &[Digest]) -> io::Result<ChunkMap> {
        let mut archives = Vec::new();
        let mut numbers: HashMap<ContentReference, u32> = HashMap::new();
        let mut chunks = Vec::with_capacity(cut.len());
        let places = cut.iter().filter_map(|digest| self.places.get(digest));
        for place in places {
            let archive = match place.archive {
                Archive::Earlier(reference) => Some(reference),
                Archive::Added(number) => self.finished.get(number).copied(),
            };
            let Some(archive) = archive else {
                continue;
            };
            let next = u32::try_from(archives.len()).unwrap_or(u32::MAX);
            let archive = *numbers.entry(archive).or_insert_with(|| {
                archives.push(archive);
                next
            });
            chunks.push(ChunkPlace {
                chunk: place.chunk,
                archive,
                offset: place.offset,
            });
        }
        ChunkMap::new(archives, chunks).map_err(io::Error::other)
    }
}
