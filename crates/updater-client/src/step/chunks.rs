use std::collections::HashSet;
use std::ops::Range;
use std::thread;

use diff_core::{Digest, Listing};
use release_format::{ChunkMap, ChunkPlace, ContentReference, Document, FormatError};

use crate::UpdateError;
use crate::library::content::HeldChunks;
use crate::step::document::Documents;
use crate::step::runs::{Arriving, RunReader, is_near, runs};

/// Fetches single files of a release from its archives: the chunks that hold them, and no others.
pub(crate) struct ChunkFetcher<'a> {
    documents: &'a Documents<'a>,
    map: &'a ChunkMap,
    /// What need not be fetched.
    held: &'a HeldChunks,
    /// Where each file begins in the byte stream, and where the last one ends.
    bounds: Vec<u64>,
    /// What is on its way.
    arriving: Option<Arriving>,
    /// The chunk read last: small files share one.
    last: Option<(Digest, Vec<u8>)>,
}

impl<'a> ChunkFetcher<'a> {
    /// Returns what fetches files of the release whose listing and chunk map these are.
    pub(crate) fn new(
        documents: &'a Documents<'a>,
        listing: &Listing,
        map: &'a ChunkMap,
        held: &'a HeldChunks,
    ) -> Result<ChunkFetcher<'a>, UpdateError> {
        map.check_covers(listing)?;
        let bounds = bounds(listing);
        Ok(ChunkFetcher {
            documents,
            map,
            held,
            bounds,
            arriving: None,
            last: None,
        })
    }

    /// Returns what the files with these places in the listing cost to fetch.
    pub(crate) fn cost(&self, files: &[usize]) -> ChunkCost {
        let mut seen = HashSet::new();
        let mut cost = ChunkCost::default();
        let mut open = None;
        for file in files {
            for (_, place) in self.map.spanning(self.range(*file)) {
                let digest = place.chunk.digest();
                if self.held.has(&digest) || !seen.insert(digest) {
                    continue;
                }
                let range = place.range();
                let goes_on = open.is_some_and(|(archive, next)| {
                    archive == place.archive && is_near(next, range.start)
                });
                cost.bytes = cost.bytes.saturating_add(range.end - range.start);
                cost.requests += u64::from(!goes_on);
                open = Some((place.archive, range.end));
            }
        }
        cost
    }

    /// Fetches the files with these places in the listing while `work` takes them, by
    /// [`ChunkFetcher::file`], in their order and each once: several requests are on their way at once.
    pub(crate) fn over<T>(
        &mut self,
        files: &[usize],
        work: impl FnOnce(&mut Self) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        let mut wanted = Vec::new();
        let mut last = None;
        for file in files {
            for (_, place) in self.map.spanning(self.range(*file)) {
                let digest = place.chunk.digest();
                if last.replace(digest) != Some(digest) && !self.held.has(&digest) {
                    wanted.push((self.archive_of(place)?, *place));
                }
            }
        }
        let runs = runs(wanted.into_iter());
        let documents = self.documents;
        thread::scope(|scope| {
            self.arriving = Some(Arriving::start(scope, documents, runs));
            let outcome = work(self);
            // Nobody waits for what still comes.
            self.arriving = None;
            outcome
        })
    }

    /// Hands the bytes of the file with this place in the listing to `sink`, piece by piece.
    ///
    /// Each chunk is compared with its digest before any of it is handed on.
    pub(crate) fn file(
        &mut self,
        file: usize,
        mut sink: impl FnMut(&[u8]) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        let range = self.range(file);
        let places: Vec<(u64, ChunkPlace)> = self
            .map
            .spanning(range.clone())
            .map(|(start, place)| (start, *place))
            .collect();
        for (start, place) in places {
            let bytes = self.chunk(&place)?;
            let within = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
            let end = within(range.end).min(bytes.len());
            sink(bytes.get(within(range.start)..end).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Returns where a file lies in the byte stream of its release.
    fn range(&self, file: usize) -> Range<u64> {
        let bound = |index: usize| self.bounds.get(index).copied().unwrap_or(u64::MAX);
        bound(file)..bound(file.saturating_add(1))
    }

    fn chunk(&mut self, place: &ChunkPlace) -> Result<&[u8], UpdateError> {
        let digest = place.chunk.digest();
        if self.last.as_ref().is_none_or(|(last, _)| *last != digest) {
            if let Some(held) = self.held.read(&digest) {
                let last = self.last.insert((digest, held));
                return Ok(&last.1);
            }
            let arrived = match &mut self.arriving {
                // What is held was not asked for: it has turned out damaged.
                Some(arriving) if !self.held.has(&digest) => arriving.next(),
                _ => None,
            };
            let encoded = match arrived {
                Some(encoded) => encoded?,
                None => RunReader::new(self.documents, self.archive_of(place)?).chunk(place)?,
            };
            self.last = Some((digest, place.chunk.decode(&encoded)?));
        }
        let last = self.last.as_ref();
        Ok(last.map_or(&[], |(_, bytes)| bytes.as_slice()))
    }

    fn archive_of(&self, place: &ChunkPlace) -> Result<ContentReference, UpdateError> {
        let archive = self.map.archive_of(place).copied();
        let absent = || FormatError::Malformed {
            document: Document::ChunkMap,
            place: "a chunk".to_owned(),
            expected: "an archive that is listed".to_owned(),
            found: place.archive.to_string(),
        };
        Ok(archive.ok_or_else(absent)?)
    }
}

/// What fetching chunks costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ChunkCost {
    /// Bytes of the chunks, as they travel.
    pub(crate) bytes: u64,
    /// Requests on a line that holds.
    pub(crate) requests: u64,
}

/// Returns the chunks that hold the files with these places in the listing.
pub(crate) fn chunks_of(listing: &Listing, map: &ChunkMap, files: &[usize]) -> HashSet<Digest> {
    let bounds = bounds(listing);
    let bound = |index: usize| bounds.get(index).copied().unwrap_or(u64::MAX);
    let ranges = files.iter().map(|file| bound(*file)..bound(*file + 1));
    let chunks = ranges.flat_map(|range| map.spanning(range));
    chunks.map(|(_, place)| place.chunk.digest()).collect()
}

/// Returns where each file begins in the byte stream, and where the last one ends.
fn bounds(listing: &Listing) -> Vec<u64> {
    let mut end = 0_u64;
    let ends = listing.entries().iter().map(|entry| {
        end = end.saturating_add(entry.length);
        end
    });
    std::iter::once(0).chain(ends).collect()
}
