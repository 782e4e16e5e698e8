use std::ops::Range;

use diff_core::Listing;
use fastcdc::v2020::FastCDC;

use crate::content::zip_member::member_data;

/// Files whose bytes are cut together: a large one, or a run of small ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The files, by their places in the listing.
    pub files: Range<usize>,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// Divides a tree so that its parts can be cut side by side, and apart from one another.
///
/// A run ends where the digest of its last file says so: a file that comes, goes or changes moves the
/// ends near it alone, and the chunks of all other runs stay as they are.
pub fn segments(listing: &Listing) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut run = empty_at(0);
    for (index, entry) in listing.entries().iter().enumerate() {
        let is_large = entry.length >= LARGE_FILE_BYTES;
        if is_large || run.bytes.saturating_add(entry.length) > MAX_RUN_BYTES {
            let end = std::mem::replace(&mut run, empty_at(index));
            segments.push(end);
        }
        run.files.end = index + 1;
        run.bytes = run.bytes.saturating_add(entry.length);
        let [first, ..] = entry.digest.as_bytes();
        if is_large || first % RUN_FILES == 0 {
            let end = std::mem::replace(&mut run, empty_at(index + 1));
            segments.push(end);
        }
    }
    segments.push(run);
    segments.retain(|segment| segment.bytes > 0);
    segments
}

fn empty_at(index: usize) -> Segment {
    Segment {
        files: index..index,
        bytes: 0,
    }
}

/// Returns the ranges of the chunks that a segment's bytes are cut into: at the data of zip members, and
/// in between by FastCDC as of 2020.
///
/// What is the same in two releases is cut alike in both, but for the chunks next to a change. The data
/// of a member stays the same when others are packed anew, while its header says when that was.
pub fn cut_points(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let members = member_data(bytes).filter(|data| data.len() >= LEAST_MEMBER_BYTES);
    let ends = members.flat_map(|data| [data.start, data.end]);
    let mut start = 0_usize;
    ends.chain([bytes.len()]).flat_map(move |end| {
        let begun = std::mem::replace(&mut start, end);
        cut_piece(bytes.get(begun..end).unwrap_or_default())
            .map(move |cut| begun + cut.start..begun + cut.end)
    })
}

fn cut_piece(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let cutter = (!bytes.is_empty())
        .then(|| FastCDC::new(bytes, MIN_CHUNK_BYTES, MEAN_CHUNK_BYTES, MAX_CHUNK_BYTES));
    cutter
        .into_iter()
        .flatten()
        .map(|cut| cut.offset..cut.offset + cut.length)
}

const MIN_CHUNK_BYTES: usize = 4 << 10;
const MEAN_CHUNK_BYTES: usize = 16 << 10;
const MAX_CHUNK_BYTES: usize = 64 << 10;
/// Members from this length are cut by themselves: each costs two lines of the chunk map.
const LEAST_MEMBER_BYTES: usize = 1 << 10;
/// Files from this length are cut by themselves: a device that lacks one fetches none of its neighbours'
/// bytes.
const LARGE_FILE_BYTES: u64 = 8 << 10;
/// One file in so many ends a run of small ones.
const RUN_FILES: u8 = 64;
const MAX_RUN_BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use diff_core::{ContentPath, Digest, Entry, Limits};

    use super::*;

    fn listing(files: &[(u64, u64)]) -> Listing {
        let entries = files.iter().map(|(number, length)| Entry {
            path: ContentPath::parse(&format!("{number:05}")).unwrap(),
            length: *length,
            digest: Digest::of(&number.to_le_bytes()),
        });
        Listing::new(entries.collect(), &Limits::standard()).unwrap()
    }

    #[test]
    fn every_file_that_has_bytes_is_in_one_segment_and_none_is_too_long() {
        let files: Vec<_> = (0..2_000)
            .map(|number| (number, number * 997 % 300_000))
            .collect();
        let listing = listing(&files);
        let mut next = 0;
        for segment in segments(&listing) {
            let skipped = listing.entries().get(next..segment.files.start).unwrap();
            assert!(skipped.iter().all(|entry| entry.length == 0));
            let inside = listing.entries().get(segment.files.clone()).unwrap();
            assert_eq!(
                segment.bytes,
                inside.iter().map(|of| of.length).sum::<u64>()
            );
            assert!(segment.bytes <= MAX_RUN_BYTES);
            next = segment.files.end;
        }
        assert!(
            listing
                .entries()
                .iter()
                .skip(next)
                .all(|entry| entry.length == 0)
        );
    }

    #[test]
    fn a_large_file_is_a_segment_of_its_own() {
        let segments = segments(&listing(&[
            (1, 10),
            (2, LARGE_FILE_BYTES),
            (3, 10),
            (4, 10),
        ]));
        let large = segments.iter().find(|of| of.files.contains(&1)).unwrap();
        assert_eq!(large.files, 1..2);
    }

    #[test]
    fn a_file_more_moves_the_ends_near_it_alone() {
        let files: Vec<_> = (0..3_000).map(|number| (2 * number, 1_000)).collect();
        let mut more = files.clone();
        more.push((2_001, 1_000));
        let (old, new) = (listing(&files), listing(&more));
        let digests = |of: &Listing| -> Vec<Vec<Digest>> {
            let inside = |segment: &Segment| {
                let files = of.entries().get(segment.files.clone()).unwrap();
                files.iter().map(|file| file.digest).collect()
            };
            segments(of).iter().map(inside).collect()
        };
        let (old, new) = (digests(&old), digests(&new));
        let moved = new.iter().filter(|segment| !old.contains(segment)).count();
        assert!(moved <= 2 && new.len() > 20, "{moved} of {}", new.len());
    }

    #[test]
    fn chunks_follow_each_other_and_have_their_bounds() {
        let bytes = noise(7, 1 << 20);
        let cuts: Vec<_> = cut_points(&bytes).collect();
        let mut next = 0;
        for cut in &cuts {
            assert_eq!(cut.start, next);
            assert!(cut.len() <= MAX_CHUNK_BYTES);
            next = cut.end;
        }
        assert_eq!(next, bytes.len());
        assert!(cuts.len() > 20);
        assert_eq!(cut_points(&[]).count(), 0);
    }

    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    /// A package whose members were packed at a time of day, each with its data.
    fn package(time: u8, members: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for data in members {
            bytes.extend(b"PK\x03\x04\x14\0\0\0\x08\0");
            bytes.extend([time; 16]);
            bytes.extend(b"\x04\0\0\0page");
            bytes.extend(data);
        }
        bytes.extend(b"PK\x01\x02 and the directory");
        bytes
    }

    #[test]
    fn package_that_is_packed_anew_keeps_the_chunks_of_its_members() {
        let mut members: Vec<_> = (0..40).map(|seed| noise(seed, 9_000)).collect();
        let old = package(1, &members);
        members[20] = noise(99, 12_000);
        members.insert(7, noise(98, 500));
        let new = package(2, &members);
        let cut = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let cuts = cut_points(bytes).map(|cut| bytes[cut].to_vec());
            cuts.collect()
        };
        let (old, cut_new) = (cut(&old), cut(&new));
        assert_eq!(cut_new.concat(), new);
        let fresh = cut_new.iter().filter(|chunk| !old.contains(chunk));
        let fresh: usize = fresh.map(Vec::len).sum();
        // Two members, and the headers of all.
        assert!(fresh < 12_000 + 500 + 41 * 40 + 100, "{fresh}");
    }

    #[test]
    fn short_members_are_cut_together() {
        let members: Vec<_> = (0..200).map(|seed| noise(seed, 300)).collect();
        let package = package(1, &members);
        assert!(cut_points(&package).count() <= package.len() / MIN_CHUNK_BYTES + 1);
    }
}
