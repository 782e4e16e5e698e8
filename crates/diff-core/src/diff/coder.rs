use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::earlier::Earlier;
use super::frame::{CodedFrame, FrameClaim, FrameCoder, FrameContent};
use super::pieces::{Coded, Composed, Composer, OpenedStream, Parts, Piece, Shared, cut};
use super::reference::{Inflated, OldFile, Pictures, Reference, gather};
use super::source::read;
use super::survey::{Opening, StreamKey, Survey};
use crate::container::{Image, Stream};
use crate::covers::covers;
use crate::delta::{Opened, Source};
use crate::error::DiffError;
use crate::group::{Draft, GroupSizes, Member};
use crate::method::Level;
use crate::pixels;
use crate::recipe;
use crate::recompressor::Abilities;
use crate::stats::StreamCounts;
use crate::{CancelToken, FileBytes, Limits, Progress, Recompressor, Tree};

/// Codes drafts: opens their files, and codes what comes of it in frames.
pub(super) struct Coder<'a> {
    pub(super) old: Tree<'a>,
    pub(super) new: Tree<'a>,
    pub(super) survey: &'a Survey,
    pub(super) earlier: &'a Earlier<'a>,
    pub(super) level: Level,
    /// What devices have.
    pub(super) abilities: &'a Abilities,
    /// What devices keep to.
    pub(super) limits: &'a Limits,
    pub(super) sizes: GroupSizes,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a CancelToken,
}

/// A group with its coded bytes.
pub(super) struct CodedGroup {
    pub(super) members: Vec<usize>,
    /// What became of each member.
    pub(super) accounts: Vec<Account>,
    pub(super) opened: Option<Opened>,
    /// What rebuilds its streams.
    pub(super) recompressors: BTreeSet<Recompressor>,
    pub(super) frames: Vec<CodedFrame>,
}

/// What became of a member.
pub(super) struct Account {
    /// Where it stands in the group's content.
    pub(super) parts: Parts,
    pub(super) copied_bytes: u64,
    pub(super) streams: StreamCosts,
    pub(super) counterparts: Vec<usize>,
}

/// What became of streams.
#[derive(Default)]
pub(super) struct StreamCosts {
    pub(super) counts: StreamCounts,
    pub(super) recipe_bytes: u64,
}

impl StreamCosts {
    fn add(&mut self, more: &StreamCosts) {
        self.counts.opened += more.counts.opened;
        self.counts.copied += more.counts.copied;
        self.counts.closed += more.counts.closed;
        self.recipe_bytes += more.recipe_bytes;
    }
}

/// A draft whose files are opened, before its content is coded.
struct Prepared {
    old_files: Vec<OldFile>,
    reference: Reference,
    composed: Composed,
    accounts: Vec<Account>,
}

impl Prepared {
    /// Returns where members' parts end within a part of the content, relative to it.
    fn bounds(&self, part: Range<usize>) -> Vec<usize> {
        let accounts = || self.accounts.iter().map(|account| &account.parts);
        let ends = accounts().map(|parts| parts.script.end);
        let ends = ends.chain(accounts().map(|parts| parts.opened.end));
        let within = ends.filter(|end| part.start < *end && *end < part.end);
        within.map(|end| end - part.start).collect()
    }
}

/// A new file with what was found in it.
struct NewFile {
    bytes: FileBytes,
    shared: Vec<Shared>,
    /// Streams that old files have as they are.
    copied_streams: u64,
    /// Those that they do not have.
    streams: Vec<NewStream>,
}

/// A stream that no old file has as it is.
struct NewStream {
    /// What tells it from others, and whether it is coded as an image, where it is a new one.
    key: (StreamKey, bool),
    stream: Stream,
}

impl Coder<'_> {
    /// Returns the group that makes the draft's files.
    pub(super) fn code(&self, draft: &Draft) -> Result<CodedGroup, DiffError> {
        let mut opening = Opening::of(self.level, self.abilities, self.limits);
        let mut prepared = self.prepare(draft, opening)?;
        // Long streams are closed where a device could not hold them beside the rest.
        while opening.may_open() && !self.fits(draft, &prepared) {
            opening = opening.shorter();
            prepared = self.prepare(draft, opening)?;
        }
        let frames = match draft.fits {
            true => self.single(draft, &prepared)?,
            false => self.framed(draft, &prepared)?,
        };
        let composed = prepared.composed;
        Ok(CodedGroup {
            members: draft.members.iter().map(|member| member.file).collect(),
            accounts: prepared.accounts,
            opened: composed.memory.map(|memory| Opened {
                bytes: composed.content.len() as u64,
                memory,
            }),
            recompressors: composed.recompressors,
            frames,
        })
    }

    /// Opens the draft's files and what they are coded against, as far as `opening` does.
    fn prepare(&self, draft: &Draft, opening: Opening) -> Result<Prepared, DiffError> {
        self.cancel.check()?;
        let old_files = self.old_files(&draft.members, opening)?;
        let new_files: Result<Vec<NewFile>, DiffError> = draft
            .members
            .par_iter()
            .map(|member| self.new_file(member, &old_files, opening))
            .collect();
        let new_files = new_files?;
        let new_streams = || {
            let streams = new_files.iter().flat_map(|file| &file.streams);
            streams.map(|new| &new.stream)
        };
        let inflated = Inflated::of(&old_files, &self.survey.kept, new_streams());
        // The streams of a frame's window have other numbers.
        let none = Inflated::none();
        let followed = if draft.fits { &inflated } else { &none };
        let pictures = match new_streams().any(Stream::has_image) {
            true => Pictures::of(&old_files),
            false => Pictures::default(),
        };
        let opened_streams = self.opened_streams(&new_files, (followed, &pictures))?;
        let mut composer = Composer::default();
        let mut covered: HashMap<usize, Vec<Range<usize>>> = HashMap::new();
        let mut accounts = Vec::new();
        let files = new_files.into_iter().zip(&draft.members);
        for ((file, member), (opened, streams)) in files.zip(opened_streams) {
            self.cancel.check()?;
            let mut account = Account {
                parts: Parts {
                    script: 0..0,
                    opened: 0..0,
                },
                copied_bytes: 0,
                streams,
                counterparts: member.counterparts.clone(),
            };
            let pieces = cut(file.bytes.len(), opened, file.shared);
            for piece in &pieces {
                if let Piece::Old {
                    index,
                    offset,
                    length,
                } = piece
                {
                    account.copied_bytes += *length as u64;
                    covered
                        .entry(*index)
                        .or_default()
                        .push(*offset..offset + length);
                }
            }
            composer.add(&file.bytes, &pieces);
            accounts.push(account);
        }
        for ranges in covered.values_mut() {
            ranges.sort_by_key(|range| range.start);
        }
        let composed = composer.finish();
        for (account, parts) in accounts.iter_mut().zip(&composed.parts) {
            account.parts = parts.clone();
        }
        let mut reference = Reference::of(&old_files, &inflated, &covered);
        if draft.fits {
            let frame = (&composed.content[..], composed.memory.unwrap_or(0));
            let Reference { sources, bytes } = &mut reference;
            self.earlier.add_to(sources, bytes, draft, frame)?;
        }
        Ok(Prepared {
            reference,
            old_files,
            composed,
            accounts,
        })
    }

    /// Whether devices that keep to the limits can make the group.
    fn fits(&self, draft: &Draft, prepared: &Prepared) -> bool {
        let closing = prepared.composed.memory.unwrap_or(0);
        let fits = |sources: &[Source], decoded: usize| {
            let frame = FrameClaim::of(sources, decoded as u64, self.limits);
            frame.is_within(closing, self.limits)
        };
        let content = prepared.composed.content.len();
        match draft.fits {
            true => fits(&prepared.reference.sources, content),
            false => self.frames_of(content).all(|part| {
                let sources = self.window_of(&part, prepared);
                fits(&sources, part.len())
            }),
        }
    }
}

impl Coder<'_> {
    /// Reads the old files that the members resemble: those under the members' own paths first, in the
    /// order of the members, which a plan spells shortest.
    fn old_files(&self, members: &[Member], opening: Opening) -> Result<Vec<OldFile>, DiffError> {
        let mut seen = HashSet::new();
        let own = members.iter().filter_map(|member| {
            let path = &self.new.listing.entries().get(member.file)?.path;
            let entries = self.old.listing.entries();
            let index = entries
                .binary_search_by(|entry| entry.path.cmp(path))
                .ok()?;
            member.counterparts.contains(&index).then_some(index)
        });
        let all = members
            .iter()
            .flat_map(|member| member.counterparts.iter().copied());
        let order: Vec<usize> = own.chain(all).filter(|index| seen.insert(*index)).collect();
        let file = |index: &usize| {
            self.cancel.check()?;
            let bytes = read(self.old, *index)?;
            let streams = opening.of_old().open(&bytes);
            let resembled = members
                .iter()
                .filter(|member| member.counterparts.contains(index));
            Ok(OldFile {
                index: *index,
                bytes,
                streams,
                pixel: resembled.filter_map(|member| member.pixel).max(),
                longest_image: opening.longest_plain,
            })
        };
        order.par_iter().map(file).collect()
    }

    /// Reads a member, opens it and finds what it shares with old files as it is.
    fn new_file(
        &self,
        member: &Member,
        old_files: &[OldFile],
        opening: Opening,
    ) -> Result<NewFile, DiffError> {
        self.cancel.check()?;
        let bytes = read(self.new, member.file)?;
        // Noise is no less once it is opened, unless a device has much of it.
        let is_new = member.counterparts.is_empty();
        let mut streams = opening.open(&bytes);
        if is_new {
            streams.retain(|stream| opening.opens_new(stream, member.is_closed));
        }
        let mut shared = Vec::new();
        if !streams.is_empty() || member.is_closed || bytes.len() >= LONG_FILE {
            let least = if streams.is_empty() {
                LEAST_LONG
            } else {
                LEAST_SHARED
            };
            for index in &member.counterparts {
                let old = old_files.iter().find(|old| old.index == *index);
                let Some(old) = old else { continue };
                let runs = covers(&old.bytes, &bytes, least).into_iter();
                shared.extend(runs.map(|cover| Shared {
                    new: cover.new,
                    index: *index,
                    offset: cover.old,
                }));
            }
        }
        let streams = streams.into_iter().map(|stream| {
            let wrapped = bytes.get(stream.range.clone()).unwrap_or_default();
            (StreamKey::of(wrapped), stream)
        });
        let streams: Vec<(StreamKey, Stream)> = streams.collect();
        let same = streams.iter().filter_map(|(key, stream)| {
            let place = self.survey.streams.get(key)?;
            Some(Shared {
                new: stream.range.clone(),
                index: place.index,
                offset: place.offset,
            })
        });
        shared.extend(same);
        let is_copied = |stream: &Stream| {
            let (start, end) = (stream.range.start, stream.range.end);
            let mut shared = shared.iter();
            shared.any(|shared| shared.new.start <= start && end <= shared.new.end)
        };
        let all = streams.len();
        let paints = self.abilities.can_paint() && !member.is_alike;
        let new = streams.into_iter().filter(|(_, stream)| !is_copied(stream));
        let streams: Vec<NewStream> = new
            .map(|(key, stream)| NewStream {
                key: (key, paints),
                stream,
            })
            .collect();
        Ok(NewFile {
            bytes,
            shared,
            copied_streams: (all - streams.len()) as u64,
            streams,
        })
    }

    /// Returns of each file the streams that are worth opening, with their recipes: those that no old file
    /// has as they are, and that a short recipe rebuilds.
    fn opened_streams(
        &self,
        files: &[NewFile],
        (inflated, pictures): (&Inflated<'_>, &Pictures),
    ) -> Result<Vec<(Vec<OpenedStream>, StreamCosts)>, DiffError> {
        // The same picture may stand in every archive.
        let mut uses: HashMap<(StreamKey, bool), usize> = HashMap::new();
        let mut different: Vec<(&NewFile, &NewStream)> = Vec::new();
        for file in files {
            for new in &file.streams {
                let used = uses.entry(new.key).or_default();
                if *used == 0 {
                    different.push((file, new));
                }
                *used += 1;
            }
        }
        // Streams side by side are mostly made alike.
        let opened = different.par_chunks(HINTED).map(|streams| {
            let mut hint = recipe::Hint::default();
            let opened = streams.iter().map(|(file, new)| {
                self.cancel.check()?;
                let (_, paints) = new.key;
                let known = (inflated, paints.then_some(pictures));
                let mut costs = StreamCosts::default();
                let opened =
                    self.opened_stream(&file.bytes, &new.stream, known, &mut hint, &mut costs);
                Ok((new.key, (opened, costs)))
            });
            opened.collect::<Result<Vec<_>, DiffError>>()
        });
        let opened: Vec<Vec<_>> = opened.collect::<Result<_, DiffError>>()?;
        let mut opened: HashMap<_, _> = opened.into_iter().flatten().collect();
        let of_file = |file: &NewFile| {
            let mut costs = StreamCosts::default();
            costs.counts.copied = file.copied_streams;
            let mut streams = Vec::new();
            for new in &file.streams {
                let Some((opened, more)) = opened.get_mut(&new.key) else {
                    continue;
                };
                costs.add(more);
                streams.extend(match uses.get(&new.key) {
                    Some(1) => opened.take(),
                    _ => opened.clone().map(|opened| OpenedStream {
                        stream: new.stream.clone(),
                        ..opened
                    }),
                });
            }
            (streams, costs)
        };
        Ok(files.iter().map(of_file).collect())
    }

    fn opened_stream(
        &self,
        file: &[u8],
        stream: &Stream,
        (inflated, pictures): (&Inflated<'_>, Option<&Pictures>),
        hint: &mut recipe::Hint,
        costs: &mut StreamCosts,
    ) -> Option<OpenedStream> {
        costs.counts.closed += 1;
        let compressed = stream.compressed(file).ok()?;
        let nearest = inflated.nearest(&stream.plain);
        let old_compressed = nearest.and_then(|(_, old)| old.stream.compressed(old.file).ok());
        let old = nearest.zip(old_compressed.as_deref());
        let old = old.map(|((_, old), compressed)| recipe::Old {
            compressed,
            plain: &old.stream.plain,
        });
        let plain_bytes = stream.plain.len() as u64;
        let is_long = plain_bytes > self.limits.max_stream_bytes;
        let allowed = pictures.filter(|_| plain_bytes <= self.limits.max_image_bytes);
        let coded = match (&stream.image, allowed) {
            (Some(image), Some(pictures)) if is_long || !pictures.share(stream) => {
                Some(self.painted(&stream.plain, image)?)
            }
            // What no device can hold.
            _ if is_long => return None,
            _ => None,
        };
        let most = match &coded {
            // What is saved is worth a device's time.
            Some(coded) => {
                let worth = compressed.len() - compressed.len() / PAINTED_GAIN;
                let longest = usize::try_from(self.limits.max_stream_bytes).ok()?;
                worth.min(longest).checked_sub(coded.bytes.len())?
            }
            // What has a counterpart costs little once it is open; what is new costs most of itself.
            None if old.is_some() => compressed.len() / 2,
            None => compressed.len() / 8,
        };
        let found = recipe::find(&compressed, &stream.plain, old, hint, most)
            .filter(|found| self.abilities.can_follow(found.bytes()))?;
        // Its rows must pass by where they are closed.
        if is_long && !Recompressor::takes_parts(found.bytes()) {
            return None;
        }
        costs.counts.closed -= 1;
        costs.counts.opened += 1;
        costs.recipe_bytes += found.bytes().len() as u64;
        let mut nested = Vec::new();
        for inner in &stream.inner {
            nested.extend(self.opened_stream(
                &stream.plain,
                inner,
                (inflated, pictures),
                hint,
                costs,
            ));
        }
        let pieces = match nested.is_empty() {
            true => Vec::new(),
            false => cut(stream.plain.len(), nested, Vec::new()),
        };
        Some(OpenedStream {
            old: nearest
                .map(|(number, _)| number)
                .filter(|_| found.needs_old()),
            recipe: found.bytes().to_vec(),
            stream: stream.clone(),
            coded,
            pieces,
        })
    }

    /// Returns the rows of an image, coded.
    fn painted(&self, plain: &[u8], image: &Image) -> Option<Coded> {
        let check = || self.cancel.check();
        let coded = |samples| {
            let bytes = pixels::encode(plain, image.rows, samples, &check).ok()?;
            Some(Coded { samples, bytes })
        };
        let looked = image.pixels.samples().into_iter().filter_map(coded);
        looked.min_by_key(|coded| coded.bytes.len())
    }

    /// Codes content that fits one frame.
    fn single(&self, draft: &Draft, prepared: &Prepared) -> Result<Vec<CodedFrame>, DiffError> {
        let (reference, content) = (&prepared.reference, &prepared.composed.content);
        let progress = Scaled::new(self.progress, draft, content.len());
        let advanced = |bytes| progress.advanced(bytes);
        let (sources, old) = (&reference.sources, &reference.bytes);
        let content = FrameContent {
            bytes: content,
            places: &prepared.bounds(0..content.len()),
            follows_old: prepared.composed.follows_old,
        };
        let coder = self.frame_coder();
        let frame = coder.smallest(sources, old, &content, &advanced)?;
        Ok(frame.into_iter().collect())
    }

    /// Codes long content in frames, each against a window around the same place of the reference.
    fn framed(&self, draft: &Draft, prepared: &Prepared) -> Result<Vec<CodedFrame>, DiffError> {
        let content = &prepared.composed.content;
        let progress = Scaled::new(self.progress, draft, content.len());
        let parts: Vec<Range<usize>> = self.frames_of(content.len()).collect();
        let coded = parts.par_iter().map(|part| {
            let mut sources = self.window_of(part, prepared);
            let mut old = gather(&sources, &prepared.old_files);
            let bytes = content.get(part.clone()).unwrap_or_default();
            let frame = (bytes, prepared.composed.memory.unwrap_or(0));
            self.earlier.add_to(&mut sources, &mut old, draft, frame)?;
            let piece = FrameContent {
                bytes,
                places: &prepared.bounds(part.clone()),
                follows_old: false,
            };
            let advanced = |bytes| progress.advanced(bytes);
            let coder = self.frame_coder();
            coder.smallest(&sources, &old, &piece, &advanced)
        });
        let frames: Result<Vec<_>, DiffError> = coded.collect();
        Ok(frames?.into_iter().flatten().collect())
    }

    /// Returns the parts of long content that go into a frame each.
    fn frames_of(&self, content: usize) -> impl Iterator<Item = Range<usize>> {
        let size = usize::try_from(self.sizes.frame_bytes).unwrap_or(usize::MAX);
        let starts = (0..content).step_by(size);
        starts.map(move |start| start..content.min(start.saturating_add(size)))
    }

    /// Returns what a part of long content is coded against.
    fn window_of(&self, part: &Range<usize>, prepared: &Prepared) -> Vec<Source> {
        let (content, reference) = (&prepared.composed.content, &prepared.reference);
        let old = reference.bytes.len();
        let window = self.sizes.window(part.start, content.len(), old);
        reference.window(&prepared.old_files, &window)
    }

    fn frame_coder(&self) -> FrameCoder<'_> {
        FrameCoder {
            level: self.level,
            abilities: self.abilities,
            max_window_bytes: self.limits.max_window_bytes,
            cancel: self.cancel,
        }
    }
}

/// Tells how much of a draft's files is done while its content is coded, which has another length.
struct Scaled<'p> {
    progress: &'p dyn Progress,
    files: u64,
    content: u64,
    coded: AtomicU64,
}

impl<'p> Scaled<'p> {
    fn new(progress: &'p dyn Progress, draft: &Draft, content: usize) -> Scaled<'p> {
        let files = draft.members.iter().map(|member| member.length).sum();
        if content == 0 {
            progress.advanced(files);
        }
        Scaled {
            progress,
            files,
            content: content as u64,
            coded: AtomicU64::new(0),
        }
    }

    fn advanced(&self, bytes: u64) {
        let before = self.coded.fetch_add(bytes, Ordering::Relaxed);
        let told = |coded: u64| {
            let coded = u128::from(coded.min(self.content)) * u128::from(self.files);
            let told = coded.checked_div(self.content.into()).unwrap_or(0);
            u64::try_from(told).unwrap_or(self.files)
        };
        self.progress.advanced(told(before + bytes) - told(before));
    }
}

/// Files from here on are looked through for what they share with old ones before they are coded.
const LONG_FILE: usize = 12 << 20;
/// Coding the rows of an image saves one byte of so many at least.
const PAINTED_GAIN: usize = 16;
/// So many streams are tried first with what made those before them.
const HINTED: usize = 8;
/// Runs that a file without streams must share to take them straight.
const LEAST_LONG: usize = 32 << 10;
const LEAST_SHARED: usize = 256;
