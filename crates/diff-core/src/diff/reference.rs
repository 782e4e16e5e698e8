use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rayon::prelude::*;

use super::survey::StreamKey;
use crate::FileBytes;
use crate::container::Stream;
use crate::delta::{ImageStep, OpeningStep, Source};
use crate::similarity::{SimilarityIndex, Sketch};

/// An old file that a group is coded against, with the streams that are found in it.
pub(super) struct OldFile {
    /// Its index in the old listing.
    pub(super) index: usize,
    pub(super) bytes: FileBytes,
    pub(super) streams: Vec<Stream>,
    /// Bytes that the pixels of its images get, where a new image has such.
    pub(super) pixel: Option<usize>,
    /// Bytes above which none of its images gets such pixels.
    pub(super) longest_image: u64,
}

impl OldFile {
    /// Returns the pixels that its images get, and the bytes above which none does.
    fn converted(&self) -> Option<(usize, u64)> {
        self.pixel.map(|pixel| (pixel, self.longest_image))
    }
}

/// The pixels of a group's old images, in the forms in which they stand in its reference.
#[derive(Default)]
pub(super) struct Pictures(HashSet<u32>);

impl Pictures {
    /// Returns those of the images in `files`.
    pub(super) fn of(files: &[OldFile]) -> Pictures {
        let hashes = files.par_iter().flat_map_iter(|file| {
            let mut hashes = Vec::new();
            hashes_of(&file.streams, &file.bytes, file.converted(), &mut hashes);
            hashes
        });
        Pictures(hashes.collect())
    }

    /// Whether a new image has anything of these. Where that cannot be told, it may have.
    pub(super) fn share(&self, image: &Stream) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let sketch = Sketch::of(&image.opened());
        let hashes = sketch.hashes();
        hashes.len() < LEAST_HASHES || hashes.iter().any(|hash| self.0.contains(hash))
    }
}

fn hashes_of(
    streams: &[Stream],
    file: &[u8],
    converted: Option<(usize, u64)>,
    hashes: &mut Vec<u32>,
) {
    for stream in streams {
        hashes_of(&stream.inner, &stream.plain, None, hashes);
        let Some(image) = &stream.image else { continue };
        let opened = stream.opened();
        hashes.extend(Sketch::of(&opened).hashes());
        let converted = converted.and_then(|(pixel, most)| {
            image.converted_bytes(opened.len() as u64, pixel, most)?;
            image.pixels.convert(&opened, image.rows, file, pixel)
        });
        hashes.extend(
            converted
                .iter()
                .flat_map(|pixels| Sketch::of(pixels).hashes().to_vec()),
        );
    }
}

/// The old bytes that a group is coded against, and how a device makes them.
#[derive(Default)]
pub(super) struct Reference {
    pub(super) sources: Vec<Source>,
    pub(super) bytes: Vec<u8>,
}

/// Which streams of a group's old files stand inflated in its reference.
pub(super) struct Inflated<'o> {
    /// The streams, by the old file's index and where they start in it.
    places: HashSet<(usize, usize)>,
    /// Those of them that recipes can follow, in the order of the reference.
    streams: Vec<InflatedStream<'o>>,
    index: SimilarityIndex,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct InflatedStream<'o> {
    /// The file that it stands in.
    pub(super) file: &'o [u8],
    pub(super) stream: &'o Stream,
}

impl<'o> Inflated<'o> {
    /// Returns nothing inflated.
    pub(super) fn none() -> Inflated<'o> {
        Inflated {
            places: HashSet::new(),
            streams: Vec::new(),
            index: SimilarityIndex::of(&[]),
        }
    }

    /// Chooses the streams of `files`: those that no new file has as they are, which `kept` are, and of
    /// these the ones that come closest to one of the new plaintexts.
    pub(super) fn of<'n>(
        files: &'o [OldFile],
        kept: &HashSet<StreamKey>,
        new: impl Iterator<Item = &'n Stream>,
    ) -> Inflated<'o> {
        let old = files
            .iter()
            .flat_map(|file| file.streams.iter().map(move |stream| (file, stream)));
        let old: Vec<(&OldFile, &Stream)> = old.collect();
        let sketched = |(_, stream): &(&OldFile, &Stream)| (Sketch::of(&stream.plain), 0);
        let sketches: Vec<(Sketch, u64)> = old.par_iter().map(sketched).collect();
        let all = SimilarityIndex::of(&sketches);
        let new: Vec<&Stream> = new.collect();
        let nearest = |stream: &&Stream| all.nearest(&Sketch::of(&stream.plain), None, 2);
        let mut chosen: HashSet<usize> = new.par_iter().flat_map_iter(nearest).collect();
        for (number, (file, stream)) in old.iter().enumerate() {
            let wrapped = file.bytes.get(stream.range.clone()).unwrap_or_default();
            if !kept.contains(&StreamKey::of(wrapped)) {
                chosen.insert(number);
            }
        }
        let mut places = HashSet::new();
        let mut streams = Vec::new();
        let mut followed = Vec::new();
        for (number, ((file, stream), sketch)) in old.into_iter().zip(sketches).enumerate() {
            if !chosen.contains(&number) {
                continue;
            }
            places.insert((file.index, stream.range.start));
            // A device keeps no plaintext that it opened further.
            followed.push(match stream.inner.is_empty() && stream.image.is_none() {
                true => sketch,
                false => (Sketch::default(), 0),
            });
            streams.push(InflatedStream {
                file: &file.bytes,
                stream,
            });
        }
        Inflated {
            places,
            streams,
            index: SimilarityIndex::of(&followed),
        }
    }

    fn has(&self, file: &OldFile, stream: &Stream) -> bool {
        self.places.contains(&(file.index, stream.range.start))
    }

    /// Returns the stream that resembles a plaintext most, with its number in the reference.
    pub(super) fn nearest(&self, plain: &[u8]) -> Option<(usize, InflatedStream<'o>)> {
        let found = self.index.nearest(&Sketch::of(plain), None, 1);
        let number = *found.first()?;
        Some((number, *self.streams.get(number)?))
    }
}

impl Reference {
    /// Makes the reference of `files`; `covered` are the parts of each that new files take straight.
    pub(super) fn of(
        files: &[OldFile],
        inflated: &Inflated<'_>,
        covered: &HashMap<usize, Vec<Range<usize>>>,
    ) -> Reference {
        let mut reference = Reference::default();
        for file in files {
            let mut steps = Steps::default();
            let covered = covered.get(&file.index).map_or(&[][..], Vec::as_slice);
            let mut at = 0;
            for stream in &file.streams {
                steps.gap(at..stream.range.start, covered);
                at = stream.range.end;
                if inflated.has(file, stream) {
                    steps.inflate(stream, file.converted());
                } else {
                    steps.skip(stream.range.len());
                }
            }
            steps.gap(at..file.bytes.len(), covered);
            let source = Source {
                index: file.index,
                file_length: file.bytes.len() as u64,
                steps: steps.finish(file.bytes.len()),
            };
            if source.length() > 0 {
                append(&mut reference.bytes, &source, file);
                reference.sources.push(source);
            }
        }
        reference
    }
}

impl Reference {
    /// Returns the sources of a part of the reference; images that it touches are in it whole.
    pub(super) fn window(&self, files: &[OldFile], part: &Range<usize>) -> Vec<Source> {
        let mut found = Vec::new();
        let mut at = 0;
        for source in &self.sources {
            let end = at + as_size(source.length());
            let (start, stop) = (part.start.max(at), part.end.min(end));
            let file = files.iter().find(|file| file.index == source.index);
            if let (true, Some(file)) = (start < stop, file) {
                let whole = [OpeningStep::Take(source.file_length)];
                let steps = match source.steps.as_slice() {
                    [] => &whole[..],
                    steps => steps,
                };
                let mut part = Part {
                    wanted: start - at..stop - at,
                    at: 0,
                    steps: Steps::default(),
                };
                part.walk(steps, &file.streams);
                found.push(Source {
                    steps: part.steps.finish(file.bytes.len()),
                    ..source.clone()
                });
            }
            at = end;
        }
        found
    }
}

/// Steps that take only a part of what others take.
struct Part {
    wanted: Range<usize>,
    /// How much the others have taken so far.
    at: usize,
    steps: Steps,
}

impl Part {
    fn walk(&mut self, steps: &[OpeningStep], streams: &[Stream]) {
        let mut place = 0;
        for step in steps {
            match step {
                OpeningStep::Skip(length) => {
                    self.steps.skip(as_size(*length));
                    place += as_size(*length);
                }
                OpeningStep::Take(length) => {
                    self.take(as_size(*length));
                    place += as_size(*length);
                }
                OpeningStep::Inflate {
                    plain_length,
                    image,
                    steps,
                    ..
                } => {
                    let stream = streams.iter().find(|stream| stream.range.start == place);
                    let Some(stream) = stream else { return };
                    place = stream.range.end;
                    let outer = std::mem::take(&mut self.steps);
                    match steps.as_slice() {
                        [] => {
                            let taken = image.as_ref().map(|image| image.taken(*plain_length));
                            self.take(as_size(taken.unwrap_or(*plain_length)));
                        }
                        steps => self.walk(steps, &stream.inner),
                    }
                    let inner = std::mem::replace(&mut self.steps, outer);
                    self.nest(step, inner, stream);
                }
            }
        }
    }

    fn take(&mut self, length: usize) {
        let (start, end) = (self.at, self.at + length);
        self.at = end;
        let first = self.wanted.start.clamp(start, end);
        let last = self.wanted.end.clamp(first, end);
        self.steps.skip(first - start);
        self.steps.take(last - first);
        self.steps.skip(end - last);
    }

    /// Adds an inflated stream of which `inner` takes parts, or passes it by where it takes none. Of an
    /// image all is taken.
    fn nest(&mut self, step: &OpeningStep, mut inner: Steps, stream: &Stream) {
        if let Some(OpeningStep::Skip(_)) = inner.0.last() {
            inner.0.pop();
        }
        if inner.0.is_empty() {
            self.steps.skip(stream.range.len());
            return;
        }
        let mut step = step.clone();
        if let OpeningStep::Inflate {
            plain_length,
            image: None,
            steps,
            ..
        } = &mut step
        {
            let is_whole = inner.0.as_slice() == [OpeningStep::Take(*plain_length)];
            *steps = if is_whole { Vec::new() } else { inner.0 };
        }
        self.steps.0.push(step);
    }
}

/// Returns what a device makes of sources, which are of `files`.
pub(super) fn gather(sources: &[Source], files: &[OldFile]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for source in sources {
        if let Some(file) = files.iter().find(|file| file.index == source.index) {
            append(&mut bytes, source, file);
        }
    }
    bytes
}

/// Appends what the steps take of a file.
fn append(out: &mut Vec<u8>, source: &Source, file: &OldFile) {
    if source.steps.is_empty() {
        out.extend_from_slice(&file.bytes);
        return;
    }
    walk(out, &source.steps, &file.bytes, &file.streams);
}

fn walk(out: &mut Vec<u8>, steps: &[OpeningStep], bytes: &[u8], streams: &[Stream]) {
    let mut at = 0;
    for step in steps {
        match step {
            OpeningStep::Take(length) => {
                let end = at + as_size(*length);
                out.extend_from_slice(bytes.get(at..end).unwrap_or_default());
                at = end;
            }
            OpeningStep::Skip(length) => at += as_size(*length),
            OpeningStep::Inflate { steps, image, .. } => {
                let stream = streams.iter().find(|stream| stream.range.start == at);
                let Some(stream) = stream else { continue };
                at = stream.range.end;
                match steps.as_slice() {
                    [] => {
                        let opened = stream.opened();
                        let converted = image.as_ref().and_then(|image| {
                            let (pixels, pixel) = image.converted.as_ref()?;
                            pixels.convert(&opened, image.rows, bytes, *pixel)
                        });
                        out.extend_from_slice(converted.as_deref().unwrap_or(&opened));
                    }
                    steps => walk(out, steps, &stream.plain, &stream.inner),
                }
            }
        }
    }
}

/// Steps while they are collected, neighbours of a kind joined.
#[derive(Default)]
struct Steps(Vec<OpeningStep>);

impl Steps {
    fn take(&mut self, length: usize) {
        match self.0.last_mut() {
            _ if length == 0 => {}
            Some(OpeningStep::Take(last)) => *last += length as u64,
            _ => self.0.push(OpeningStep::Take(length as u64)),
        }
    }

    fn skip(&mut self, length: usize) {
        match self.0.last_mut() {
            _ if length == 0 => {}
            Some(OpeningStep::Skip(last)) => *last += length as u64,
            _ => self.0.push(OpeningStep::Skip(length as u64)),
        }
    }

    /// Takes what is between streams, without what new files take straight and without the crumbs that
    /// this leaves.
    fn gap(&mut self, gap: Range<usize>, covered: &[Range<usize>]) {
        let mut at = gap.start;
        for cover in covered {
            let (start, end) = (cover.start.max(at), cover.end.min(gap.end));
            if start >= end {
                continue;
            }
            self.piece(start - at);
            self.skip(end - start);
            at = end;
        }
        if at == gap.start && covered.is_empty() {
            self.take(gap.end - at);
        } else {
            self.piece(gap.end.saturating_sub(at));
        }
    }

    fn piece(&mut self, length: usize) {
        match length {
            0..CRUMB => self.skip(length),
            length => self.take(length),
        }
    }

    fn inflate(&mut self, stream: &Stream, converted: Option<(usize, u64)>) {
        let plain_length = stream.plain.len() as u64;
        let mut inner = Steps::default();
        if !stream.inner.is_empty() {
            let mut at = 0;
            for nested in &stream.inner {
                inner.take(nested.range.start - at);
                inner.inflate(nested, None);
                at = nested.range.end;
            }
            inner.take(stream.plain.len() - at);
        }
        self.0.push(OpeningStep::Inflate {
            shape: stream.wrapper.shape(),
            plain_length,
            image: stream.image.as_ref().map(|image| ImageStep {
                rows: image.rows,
                converted: converted.and_then(|(pixel, most)| {
                    image.converted_bytes(plain_length, pixel, most)?;
                    Some((image.pixels.clone(), pixel))
                }),
            }),
            steps: inner.0,
        });
    }

    /// Returns the steps, none where they take the whole file.
    fn finish(mut self, length: usize) -> Vec<OpeningStep> {
        if let Some(OpeningStep::Skip(_)) = self.0.last() {
            self.0.pop();
        }
        match self.0.as_slice() {
            [OpeningStep::Take(taken)] if *taken == length as u64 => Vec::new(),
            [] => vec![OpeningStep::Skip(length.max(1) as u64)],
            _ => self.0,
        }
    }
}

fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Fewer do not tell whether images share something.
const LEAST_HASHES: usize = 16;
/// Less than this between two covers is not worth a step.
const CRUMB: usize = 24;
