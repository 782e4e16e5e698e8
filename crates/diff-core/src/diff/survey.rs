use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::source::read;
use crate::container::{self, Image, OpeningLimits, Stream};
use crate::delta::Origin;
use crate::error::DiffError;
use crate::group::Member;
use crate::method::Level;
use crate::pairing::Pairing;
use crate::recompressor::Abilities;
use crate::similarity::{SimilarityIndex, Sketch, Sketcher};
use crate::{CancelToken, Digest, Limits, Tree};

/// What is known of the files of both trees before any is coded: what they would be opened, and which
/// old ones each new one resembles.
pub(super) struct Survey {
    /// Where the compressed streams of old files stand.
    pub(super) streams: HashMap<StreamKey, Place>,
    /// Those of them that new files have as they are.
    pub(super) kept: HashSet<StreamKey>,
    /// How many bytes each old file that was looked at may add to a reference.
    pub(super) reference_bytes: HashMap<usize, u64>,
}

/// What tells one compressed stream from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StreamKey([u8; 16]);

/// Where a compressed stream stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The old file's index.
    pub(super) index: usize,
    /// Where the stream starts in it.
    pub(super) offset: usize,
}

impl StreamKey {
    /// Returns the key of the stream whose bytes in its file are these.
    pub(super) fn of(bytes: &[u8]) -> StreamKey {
        let mut key = [0; 16];
        let digest = Digest::of(bytes);
        for (to, from) in key.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        StreamKey(key)
    }
}

/// Which streams of files are opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    /// Bytes of the longest plaintext.
    pub(super) longest_plain: u64,
    /// Bytes of the rows of the longest image, which are coded where a plaintext may not be so long.
    longest_image: u64,
    /// Whether the rows of images may be coded.
    can_paint: bool,
}

impl Opening {
    /// Returns what a level opens for devices that have `abilities` and keep to `limits`.
    pub(super) fn of(level: Level, abilities: &Abilities, limits: &Limits) -> Opening {
        let longest = OpeningLimits::of(PLAIN_BYTES).max_stream_bytes;
        let longest_plain = match level {
            Level::Fast => 0,
            _ if !abilities.can_recompress() => 0,
            Level::Default | Level::Best => longest.min(limits.max_stream_bytes),
        };
        Opening {
            longest_plain,
            longest_image: match longest_plain > 0 && abilities.can_paint() {
                true => limits.max_image_bytes.max(longest_plain),
                false => longest_plain,
            },
            can_paint: abilities.can_paint(),
        }
    }

    /// Returns what leaves more streams closed: the longest half of them.
    pub(super) fn shorter(self) -> Opening {
        let half = self.longest_plain / 2;
        let longest = if half < LEAST_PLAIN { 0 } else { half };
        Opening {
            longest_plain: longest,
            longest_image: longest,
            ..self
        }
    }

    /// Returns what is opened of old files: a device must hold it.
    pub(super) fn of_old(self) -> Opening {
        Opening {
            longest_image: self.longest_plain,
            ..self
        }
    }

    /// Whether any stream is opened.
    pub(super) fn may_open(self) -> bool {
        self.longest_plain > 0
    }

    /// Whether a stream of a file that no device has anything of is opened: noise is no less once it is
    /// open, but an image that is coded.
    pub(super) fn opens_new(self, stream: &Stream, is_closed: bool) -> bool {
        !is_closed || self.can_paint && stream.has_image()
    }

    /// Finds the streams of a file.
    pub(super) fn open(self, bytes: &[u8]) -> Vec<Stream> {
        let limits = OpeningLimits {
            max_stream_bytes: self.longest_plain,
            max_image_bytes: self.longest_image,
            ..OpeningLimits::of(PLAIN_BYTES)
        };
        match self.may_open() {
            true => container::open(bytes, &limits),
            false => Vec::new(),
        }
    }
}

/// A stream that stands in a file itself.
struct Outlined {
    key: StreamKey,
    /// Where it starts.
    offset: usize,
    /// How many bytes it has once it is opened.
    opened_bytes: u64,
}

/// What looking at one file told.
struct Outline {
    sketch: Sketch,
    /// The streams that are not known yet.
    streams: Vec<Outlined>,
    /// Those that are.
    known: Vec<StreamKey>,
    raw_bytes: u64,
    is_closed: bool,
    /// The image that the file is, if it is one.
    image: Option<Image>,
}

impl Outline {
    /// Returns how many bytes the file has once it is opened, without the streams that are known.
    fn opened_bytes(&self) -> u64 {
        let opened = self.streams.iter().map(|stream| stream.opened_bytes);
        self.raw_bytes + opened.sum::<u64>()
    }
}

/// A new file that was looked at before what it shares with others is known.
struct Looked {
    member: Member,
    /// Whether most of it are images that no device has anything of.
    is_painted: bool,
    /// The streams of it that old files have.
    known: Vec<StreamKey>,
}

impl Looked {
    /// Returns the file as one of a draft; `shared` are the hashes that several images have.
    fn beside(self, shared: &HashSet<u32>) -> Member {
        let mut member = self.member;
        let novel = member.novel.iter();
        let alike = novel.filter(|hash| shared.contains(hash)).count();
        member.is_alike = self.is_painted && alike > member.novel.len() / ALIKE_PART;
        member.is_closed |= self.is_painted && !member.is_alike;
        if member.is_noise() {
            member.opened_bytes = member.length;
        }
        member
    }
}

/// Returns the hashes that several files have.
fn shared<'s>(files: impl Iterator<Item = &'s [u32]>) -> HashSet<u32> {
    let mut hashes: Vec<u32> = files.flatten().copied().collect();
    hashes.par_sort_unstable();
    let runs = hashes.chunk_by(|one, other| one == other);
    let several = runs.filter(|run| run.len() > 1);
    several.filter_map(|run| run.first().copied()).collect()
}

impl Survey {
    /// Looks at the files to be built and at those old ones that may help; returns the former, too.
    pub(super) fn of(
        old: Tree<'_>,
        new: Tree<'_>,
        pairing: &Pairing,
        opening: Opening,
        cancel: &CancelToken,
    ) -> Result<(Survey, Vec<Member>), DiffError> {
        let candidates = candidates(old, new, pairing);
        let outline = |index: &usize| {
            cancel.check()?;
            let (outline, _) = look(old, *index, opening.of_old(), &HashMap::new())?;
            Ok(outline)
        };
        let outlines: Result<Vec<Outline>, DiffError> =
            candidates.par_iter().map(outline).collect();
        let mut survey = Survey {
            streams: HashMap::new(),
            kept: HashSet::new(),
            reference_bytes: HashMap::new(),
        };
        let mut sketches = Vec::new();
        let mut images = HashMap::new();
        let mut opened = Vec::new();
        for (outline, file) in outlines?.into_iter().zip(&candidates) {
            for stream in &outline.streams {
                survey.streams.entry(stream.key).or_insert(Place {
                    index: *file,
                    offset: stream.offset,
                });
            }
            let bytes = outline.opened_bytes();
            sketches.push((outline.sketch, bytes));
            images.extend(outline.image.map(|image| (*file, (image, bytes))));
            survey.reference_bytes.insert(*file, bytes);
            opened.push((*file, outline.streams));
        }
        let index = SimilarityIndex::of(&sketches);
        let numbers: HashMap<usize, usize> = candidates
            .iter()
            .enumerate()
            .map(|(number, file)| (*file, number))
            .collect();
        let files: Vec<_> = pairing.files.iter().zip(&pairing.counterparts).collect();
        let looked = files
            .par_iter()
            .enumerate()
            .map(|(file, (planned, named))| {
                if planned.origin != Origin::Built {
                    return Ok(None);
                }
                cancel.check()?;
                let (outline, streams) = look(new, file, opening, &survey.streams)?;
                let first = named.and_then(|named| numbers.get(&named.index).copied());
                let nearest = index.nearest(&outline.sketch, first, MOST_COUNTERPARTS);
                let known = nearest.iter().filter_map(|number| sketches.get(*number));
                let novel = outline.sketch.beside(known.map(|(sketch, _)| sketch));
                let counterparts = nearest.iter().filter_map(|number| candidates.get(*number));
                let counterparts: Vec<usize> = counterparts.copied().collect();
                let is_new = counterparts.is_empty();
                Ok(Some(Looked {
                    is_painted: is_new && is_painted(&streams, planned.length),
                    member: Member {
                        file,
                        length: planned.length,
                        opened_bytes: outline.opened_bytes(),
                        is_closed: outline.is_closed,
                        counterparts,
                        pixel: outline.image.map(|image| image.rows.pixel),
                        is_alike: false,
                        novel,
                    },
                    known: outline.known,
                }))
            });
        let looked: Vec<Option<Looked>> = looked.collect::<Result<_, DiffError>>()?;
        let looked: Vec<Looked> = looked.into_iter().flatten().collect();
        let painted = looked.iter().filter(|file| file.is_painted);
        let shared = shared(painted.map(|file| &file.member.novel[..]));
        let known = looked.iter().flat_map(|file| &file.known);
        survey.kept = known.copied().collect();
        survey.leave_out_kept(&opened);
        let members = looked.into_iter().map(|file| file.beside(&shared));
        let members: Vec<Member> = members.collect();
        survey.grow(&members, &images, opening.longest_plain);
        Ok((survey, members))
    }
}

impl Survey {
    /// Reckons without streams that new files take as they are: they stand in no reference, but for the few
    /// that come closest to something new.
    fn leave_out_kept(&mut self, opened: &[(usize, Vec<Outlined>)]) {
        for (file, streams) in opened {
            let kept = streams
                .iter()
                .filter(|stream| self.kept.contains(&stream.key));
            let kept: u64 = kept.map(|stream| stream.opened_bytes).sum();
            if let Some(bytes) = self.reference_bytes.get_mut(file) {
                *bytes -= kept;
            }
        }
    }

    /// Reckons with images whose pixels are made longer, for new ones that have such.
    fn grow(&mut self, members: &[Member], images: &HashMap<usize, (Image, u64)>, longest: u64) {
        for member in members {
            for index in &member.counterparts {
                let (Some((image, bytes)), Some(pixel)) = (images.get(index), member.pixel) else {
                    continue;
                };
                if let Some(converted) = image.converted_bytes(*bytes, pixel, longest) {
                    let known = self.reference_bytes.entry(*index).or_default();
                    *known = converted.max(*known);
                }
            }
        }
    }
}

/// Returns the old files that may help: those that changed or went, those that names tell, and of the
/// others those of the kinds that are to be built, within bounds.
fn candidates(old: Tree<'_>, new: Tree<'_>, pairing: &Pairing) -> Vec<usize> {
    let entries = old.listing.entries();
    let mut kept = HashSet::new();
    for (file, entry) in pairing.files.iter().zip(new.listing.entries()) {
        if let Origin::Old(index) = file.origin
            && entries.get(index).is_some_and(|old| old.path == entry.path)
        {
            kept.insert(index);
        }
    }
    let named = pairing.counterparts.iter().flatten();
    let named: HashSet<usize> = named.map(|counterpart| counterpart.index).collect();
    let built = || {
        pairing
            .files
            .iter()
            .filter(|file| file.origin == Origin::Built)
    };
    let strangers = pairing.files.iter().zip(&pairing.counterparts);
    let strangers = strangers
        .filter(|(file, named)| file.origin == Origin::Built && named.is_none() && file.length > 0);
    let kinds: HashSet<&str> = strangers.map(|(file, _)| file.path.extension()).collect();
    let built_bytes: u64 = built().map(|file| file.length).sum();
    let mut budget = UNCHANGED_BYTES.max(2 * built_bytes);
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let changed = !kept.contains(&index) || named.contains(&index);
        let may_help = || kinds.contains(entry.path.extension()) && entry.length <= budget;
        if entry.length == 0 || !(changed || may_help()) {
            continue;
        }
        if !changed {
            budget -= entry.length;
        }
        found.push(index);
    }
    found
}

fn look(
    tree: Tree<'_>,
    index: usize,
    opening: Opening,
    known: &HashMap<StreamKey, Place>,
) -> Result<(Outline, Vec<Stream>), DiffError> {
    let bytes = read(tree, index)?;
    let streams = opening.open(&bytes);
    let mut sketcher = Sketcher::default();
    let mut raw_bytes = 0;
    let (mut outlined, mut kept) = (Vec::new(), Vec::new());
    let mut at = 0;
    let mut sample = Vec::new();
    for stream in &streams {
        let gap = bytes.get(at..stream.range.start).unwrap_or_default();
        sketcher.add(gap);
        raw_bytes += gap.len() as u64;
        at = stream.range.end;
        let wrapped = bytes.get(stream.range.clone()).unwrap_or_default();
        let key = StreamKey::of(wrapped);
        if known.contains_key(&key) {
            kept.push(key);
        } else {
            outlined.push(Outlined {
                key,
                offset: stream.range.start,
                opened_bytes: add_plain(&stream.opened(), &stream.inner, &mut sketcher),
            });
            take_sample(&mut sample, &stream.plain);
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    sketcher.add(rest);
    raw_bytes += rest.len() as u64;
    // What stands between streams tells little of what is in them.
    if outlined.is_empty() {
        take_sample(&mut sample, &bytes);
    }
    let images = || streams.iter().filter_map(|stream| stream.image.as_ref());
    let outline = Outline {
        sketch: sketcher.finish(),
        streams: outlined,
        known: kept,
        raw_bytes,
        is_closed: looks_compressed(&sample),
        image: images().next().cloned(),
    };
    Ok((outline, streams))
}

/// Adds the opened form of a plaintext to a sketch and returns how many bytes it has.
fn add_plain(plain: &[u8], inner: &[Stream], sketcher: &mut Sketcher) -> u64 {
    let mut bytes = 0;
    let mut at = 0;
    for stream in inner {
        let gap = plain.get(at..stream.range.start).unwrap_or_default();
        sketcher.add(gap);
        bytes += gap.len() as u64 + add_plain(&stream.opened(), &stream.inner, sketcher);
        at = stream.range.end;
    }
    let rest = plain.get(at..).unwrap_or_default();
    sketcher.add(rest);
    bytes + rest.len() as u64
}

/// Whether most of a file that no device has are images of which nothing is left to share.
fn is_painted(streams: &[Stream], length: u64) -> bool {
    let images = streams.iter().filter(|stream| stream.image.is_some());
    let painted: usize = images.map(|stream| stream.range.len()).sum();
    painted as u64 > length / 2
}

/// Adds bytes from all over a content.
fn take_sample(sample: &mut Vec<u8>, content: &[u8]) {
    for piece in content.chunks((content.len() / SAMPLES).max(SAMPLE_BYTES)) {
        sample.extend_from_slice(piece.get(..SAMPLE_BYTES).unwrap_or(piece));
    }
}

/// Whether the bytes are spread so evenly that nothing is left to compress.
fn looks_compressed(sample: &[u8]) -> bool {
    if sample.len() < SAMPLE_BYTES {
        return false;
    }
    let mut counts = [0_u64; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    // The chance that two bytes are equal is 1/256 where all are as likely; text has 1/16.
    let total = sample.len() as u64;
    let pairs: u64 = counts.iter().map(|count| count * count).sum();
    pairs * 256 * 10 < total * total * 13
}

/// How many old files one new file may be coded against.
const MOST_COUNTERPARTS: usize = 4;
/// Bytes of unchanged old files that are looked at for what no name tells.
const UNCHANGED_BYTES: u64 = 64 << 20;
/// Closing streams below this would save a device nothing.
const LEAST_PLAIN: u64 = 1 << 18;
/// Bytes of all plaintexts of one file.
const PLAIN_BYTES: u64 = 256 << 20;
/// Images that share one byte of so many with others are copied from these.
const ALIKE_PART: usize = 3;
const SAMPLES: usize = 16;
const SAMPLE_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_looks_open_and_noise_does_not() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let noise: Vec<u8> = (0..10_000).map(|_| next()).collect();
        assert!(looks_compressed(&noise));
        assert!(!looks_compressed("cells divide ".repeat(1000).as_bytes()));
        assert!(!looks_compressed(b"short"));
    }
}
