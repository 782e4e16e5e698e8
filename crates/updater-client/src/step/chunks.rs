use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::thread;

use diff_core::{Digest, Entry, Listing};
use release_format::{ChunkMap, ChunkPlace, ContentReference, Document, FormatError};

use crate::UpdateError;
use crate::library::content::HeldChunks;
use crate::step::document::Documents;
use crate::step::runs::{Arriving, RunReader, is_near, runs};

/// Fetches single files of a release from its archives: the chunks that hold them, and no others.
pub(crate) struct ChunkFetcher<'a> {
    documents: &'a Documents<'a>,
    listing: &'a Listing,
    map: &'a ChunkMap,
    /// What need not be fetched.
    held: &'a HeldChunks,
    /// Where each file begins in the byte stream, and where the last one ends.
    bounds: Vec<u64>,
    /// What is on its way.
    arriving: Option<Arriving>,
    /// The chunk read last: small files share one.
    last: Option<(Digest, Vec<u8>)>,
    /// How often chunks will be needed that are kept until then.
    again: HashMap<Digest, u32>,
    kept: HashMap<Digest, Vec<u8>>,
}

/// The chunks to be fetched.
#[derive(Default)]
struct Wanted {
    places: Vec<ChunkPlace>,
    /// Those that are needed more than once with others in between, and how often.
    again: HashMap<Digest, u32>,
}

impl<'a> ChunkFetcher<'a> {
    /// Returns what fetches files of the release whose listing and chunk map these are.
    pub(crate) fn new(
        documents: &'a Documents<'a>,
        listing: &'a Listing,
        map: &'a ChunkMap,
        held: &'a HeldChunks,
    ) -> Result<ChunkFetcher<'a>, UpdateError> {
        map.check_covers(listing)?;
        let bounds = bounds(listing);
        Ok(ChunkFetcher {
            documents,
            listing,
            map,
            held,
            bounds,
            arriving: None,
            last: None,
            again: HashMap::new(),
            kept: HashMap::new(),
        })
    }

    /// Returns what the files with these places in the listing cost to fetch, each content once.
    pub(crate) fn cost(&self, files: &[usize]) -> ChunkCost {
        let entries = self.listing.entries();
        let firsts = firsts(entries, files);
        let built = firsts.iter().filter_map(|file| entries.get(*file));
        let mut cost = ChunkCost {
            built_bytes: built.map(|entry| entry.length).sum(),
            ..ChunkCost::default()
        };
        let mut open = None;
        for place in self.wanted(&firsts).places {
            let range = place.range();
            let goes_on = open.is_some_and(|(archive, next)| {
                archive == place.archive && is_near(next, range.start)
            });
            cost.bytes = cost.bytes.saturating_add(range.end - range.start);
            cost.requests += u64::from(!goes_on);
            open = Some((place.archive, range.end));
        }
        cost
    }

    /// Returns the chunks to be fetched for the files with these places in the listing, in the order in
    /// which they are needed; each once, as long as what is needed again can be kept until then.
    fn wanted(&self, files: &[usize]) -> Wanted {
        let mut times: HashMap<Digest, u32> = HashMap::new();
        let mut needed: Vec<ChunkPlace> = Vec::new();
        let mut last = None;
        for file in files {
            for (_, place) in self.map.spanning(self.range(*file)) {
                let digest = place.chunk.digest();
                let is_at_hand = last.replace(digest) == Some(digest);
                if !is_at_hand && !self.held.has(&digest) {
                    *times.entry(digest).or_default() += 1;
                    needed.push(*place);
                }
            }
        }
        let mut wanted = Wanted::default();
        let mut room = KEPT_BYTES;
        for place in needed {
            let digest = place.chunk.digest();
            if wanted.again.contains_key(&digest) {
                continue;
            }
            let length = u64::from(place.chunk.length());
            let times = times.get(&digest).copied().unwrap_or_default();
            if times > 1 && length <= room {
                room -= length;
                wanted.again.insert(digest, times);
            }
            wanted.places.push(place);
        }
        wanted
    }

    /// Fetches the files with these places in the listing while `work` takes them, by
    /// [`ChunkFetcher::file`], in their order and each once: several requests are on their way at once.
    pub(crate) fn over<T>(
        &mut self,
        files: &[usize],
        work: impl FnOnce(&mut Self) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        let wanted = self.wanted(files);
        let mut places = Vec::new();
        for place in wanted.places {
            places.push((self.archive_of(&place)?, place));
        }
        self.again = wanted.again;
        let runs = runs(places.into_iter());
        let documents = self.documents;
        thread::scope(|scope| {
            self.arriving = Some(Arriving::start(scope, documents, runs));
            let outcome = work(self);
            // Nobody waits for what still comes.
            self.arriving = None;
            self.kept.clear();
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
            if let Some(kept) = self.take_kept(&digest) {
                let last = self.last.insert((digest, kept));
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
            let bytes = place.chunk.decode(&encoded)?;
            if self.arriving.is_some()
                && let Some(times) = self.again.get_mut(&digest)
            {
                *times = times.saturating_sub(1);
                self.kept.insert(digest, bytes.clone());
            }
            self.last = Some((digest, bytes));
        }
        let last = self.last.as_ref();
        Ok(last.map_or(&[], |(_, bytes)| bytes.as_slice()))
    }

    /// Returns a chunk that was kept because it is needed again; with the last time it goes.
    fn take_kept(&mut self, digest: &Digest) -> Option<Vec<u8>> {
        let times = self.again.get_mut(digest)?;
        *times = times.saturating_sub(1);
        match times {
            0 => self.kept.remove(digest),
            _ => self.kept.get(digest).cloned(),
        }
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
    /// Bytes of the files that are put together.
    pub(crate) built_bytes: u64,
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
pub(crate) fn bounds(listing: &Listing) -> Vec<u64> {
    let mut end = 0_u64;
    let ends = listing.entries().iter().map(|entry| {
        end = end.saturating_add(entry.length);
        end
    });
    std::iter::once(0).chain(ends).collect()
}

/// Returns of these places in a listing the first of each content: the others are given its bytes.
pub(crate) fn firsts(entries: &[Entry], files: &[usize]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let files = files.iter().copied();
    let is_first = |file: &usize| entries.get(*file).is_some_and(|of| seen.insert(of.digest));
    files.filter(is_first).collect()
}

/// Decoded chunks that are kept because they are needed again; what has no room is fetched again.
const KEPT_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use diff_core::{CancelToken, ContentPath, Limits};
    use release_format::{ArchiveWriter, ChunkEncoder};

    use super::*;
    use crate::transport::{Body, Transport, TransportError};

    /// Serves one file from any byte on.
    struct One(Vec<u8>);

    impl Transport for One {
        fn open(&self, _: &str, from: u64) -> Result<Body, TransportError> {
            let mut reader = Cursor::new(self.0.clone());
            reader.set_position(from);
            Ok(Body {
                reader: Box::new(reader),
                starts_at: from,
                total: None,
                content_type: None,
            })
        }

        fn address(&self) -> String {
            "one".to_owned()
        }
    }

    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn a_chunk_that_is_needed_again_is_fetched_and_counted_once() {
        let [x, y, z] = [1, 2, 3].map(|seed| noise(seed, 3_000));
        let files = [
            ("a", x.clone()),
            ("b", y.clone()),
            ("c", [&*x, &z].concat()),
        ];
        let entries = files.iter().map(|(path, bytes)| Entry {
            path: ContentPath::parse(path).unwrap(),
            length: bytes.len() as u64,
            digest: Digest::of(bytes),
        });
        let listing = Listing::new(entries.collect(), &Limits::standard()).unwrap();
        let mut encoder = ChunkEncoder::new(3).unwrap();
        let mut writer = ArchiveWriter::new(Vec::new()).unwrap();
        let places = [&x, &y, &z].map(|bytes| {
            let encoded = encoder.encode(bytes).unwrap();
            let offset = writer.push(&encoded).unwrap();
            let chunk = *encoded.chunk();
            ChunkPlace {
                chunk,
                archive: 0,
                offset,
            }
        });
        let (archive, reference) = writer.finish().unwrap();
        let [first, second, third] = places;
        let map = ChunkMap::new(vec![reference], vec![first, second, first, third]).unwrap();
        let (transport, cancel) = (One(archive), CancelToken::new());
        let documents = Documents::new(&transport, &cancel);
        let held = HeldChunks::default();
        let mut chunks = ChunkFetcher::new(&documents, &listing, &map, &held).unwrap();

        let cost = chunks.cost(&[0, 1, 2]);
        let bytes: u32 = places.iter().map(|of| of.chunk.encoded_length()).sum();
        assert_eq!((cost.bytes, cost.requests), (u64::from(bytes), 1));
        chunks
            .over(&[0, 1, 2], |chunks| {
                for (number, (_, expected)) in files.iter().enumerate() {
                    let mut found = Vec::new();
                    chunks.file(number, |piece| {
                        found.extend_from_slice(piece);
                        Ok(())
                    })?;
                    assert_eq!(found, *expected);
                }
                Ok(())
            })
            .unwrap();
        let traffic = documents.traffic();
        assert_eq!(
            (traffic.bytes, traffic.requests),
            (cost.bytes, cost.requests)
        );
        assert!(chunks.kept.is_empty());
    }
}
