use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::covers::covers;
use super::frame::{CodedFrame, FrameCoder};
use super::pieces::{Composed, Composer, OpenedStream, Piece, Shared, cut};
use super::reference::{Inflated, OldFile, Reference};
use super::source::read;
use super::survey::{StreamKey, Survey, open};
use crate::container::Stream;
use crate::delta::Opened;
use crate::error::DiffError;
use crate::group::{Draft, FRAME_BYTES, FRAME_REFERENCE_BYTES, Member};
use crate::method::Level;
use crate::recipe;
use crate::stats::StreamCounts;
use crate::{CancelToken, FileBytes, Progress, Recompressor, Tree};

/// Codes drafts: opens their files, and codes what comes of it in frames.
pub(super) struct Coder<'a> {
    pub(super) old: Tree<'a>,
    pub(super) new: Tree<'a>,
    pub(super) survey: &'a Survey,
    pub(super) level: Level,
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
    /// Where it ends in the group's content.
    pub(super) end: usize,
    pub(super) copied_bytes: u64,
    pub(super) streams: StreamCounts,
    pub(super) recipe_bytes: u64,
    pub(super) counterparts: Vec<usize>,
}

/// A new file with what was found in it.
struct NewFile {
    bytes: FileBytes,
    streams: Vec<Stream>,
    shared: Vec<Shared>,
}

impl NewFile {
    /// Whether old files have a stream as it is.
    fn has(&self, stream: &Stream) -> bool {
        let within = |shared: &Shared| {
            shared.new.start <= stream.range.start && stream.range.end <= shared.new.end
        };
        self.shared.iter().any(within)
    }

    /// Returns the streams that old files do not have as they are.
    fn opened(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(|stream| !self.has(stream))
    }
}

impl Coder<'_> {
    /// Returns the group that makes the draft's files.
    pub(super) fn code(&self, draft: &Draft) -> Result<CodedGroup, DiffError> {
        self.cancel.check()?;
        let old_files = self.old_files(&draft.members)?;
        let new_files: Result<Vec<NewFile>, DiffError> = draft
            .members
            .par_iter()
            .map(|member| self.new_file(member, &old_files))
            .collect();
        let new_files = new_files?;

        let kept: HashSet<StreamKey> = new_files
            .iter()
            .flat_map(|file| file.streams.iter().map(|stream| key(&file.bytes, stream)))
            .collect();
        let opened = new_files.iter().flat_map(NewFile::opened);
        let inflated = Inflated::of(&old_files, &kept, opened);
        // The streams of a frame's window have other numbers.
        let none = Inflated::none();
        let followed = if draft.fits { &inflated } else { &none };
        let mut hints = recipe::Hint::default();
        let mut composer = Composer::default();
        let mut covered: HashMap<usize, Vec<Range<usize>>> = HashMap::new();
        let mut accounts = Vec::new();
        for (file, member) in new_files.into_iter().zip(&draft.members) {
            self.cancel.check()?;
            let length = file.bytes.len();
            let mut account = Account {
                end: 0,
                copied_bytes: 0,
                streams: StreamCounts::default(),
                recipe_bytes: 0,
                counterparts: member.counterparts.clone(),
            };
            let opened = self.opened_streams(&file, followed, &mut hints, &mut account)?;
            let pieces = cut(length, opened, file.shared);
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
        for (account, end) in accounts.iter_mut().zip(&composed.ends) {
            account.end = *end;
        }
        let reference = Reference::of(&old_files, &inflated, &covered);
        let frames = match draft.fits {
            true => self.single(draft, &reference, &composed)?,
            false => self.framed(draft, &old_files, &reference, &composed)?,
        };
        Ok(CodedGroup {
            members: draft.members.iter().map(|member| member.file).collect(),
            recompressors: composed.recompressors.clone(),
            accounts,
            opened: composed.memory.map(|memory| Opened {
                bytes: composed.content.len() as u64,
                memory,
            }),
            frames,
        })
    }
}

impl Coder<'_> {
    /// Reads the old files that the members resemble: those under the members' own paths first, in the
    /// order of the members, which a plan spells shortest.
    fn old_files(&self, members: &[Member]) -> Result<Vec<OldFile>, DiffError> {
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
            let streams = open(&bytes, self.level);
            let resembled = members
                .iter()
                .filter(|member| member.counterparts.contains(index));
            Ok(OldFile {
                index: *index,
                bytes,
                streams,
                pixel: resembled.filter_map(|member| member.pixel).max(),
            })
        };
        order.par_iter().map(file).collect()
    }

    /// Reads a member, opens it and finds what it shares with old files as it is.
    fn new_file(&self, member: &Member, old_files: &[OldFile]) -> Result<NewFile, DiffError> {
        self.cancel.check()?;
        let bytes = read(self.new, member.file)?;
        // Noise is no less once it is opened, unless a device has much of it.
        let streams = match member.is_closed && member.counterparts.is_empty() {
            true => Vec::new(),
            false => open(&bytes, self.level),
        };
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
        let same = streams.iter().filter_map(|stream| {
            let place = self.survey.streams.get(&key(&bytes, stream))?;
            Some(Shared {
                new: stream.range.clone(),
                index: place.index,
                offset: place.offset,
            })
        });
        shared.extend(same);
        Ok(NewFile {
            bytes,
            streams,
            shared,
        })
    }

    /// Returns the streams of a file that are worth opening, with their recipes: those that no old file
    /// has as they are, and that a short recipe rebuilds.
    fn opened_streams(
        &self,
        file: &NewFile,
        inflated: &Inflated<'_>,
        hint: &mut recipe::Hint,
        account: &mut Account,
    ) -> Result<Vec<OpenedStream>, DiffError> {
        let mut opened = Vec::new();
        for stream in &file.streams {
            self.cancel.check()?;
            if file.has(stream) {
                account.streams.copied += 1;
                continue;
            }
            opened.extend(self.opened_stream(&file.bytes, stream, inflated, hint, account));
        }
        Ok(opened)
    }

    fn opened_stream(
        &self,
        file: &[u8],
        stream: &Stream,
        inflated: &Inflated<'_>,
        hint: &mut recipe::Hint,
        account: &mut Account,
    ) -> Option<OpenedStream> {
        account.streams.closed += 1;
        let compressed = stream.compressed(file).ok()?;
        let nearest = inflated.nearest(&stream.plain);
        let old_compressed = nearest.and_then(|(_, old)| old.stream.compressed(old.file).ok());
        let old = nearest.zip(old_compressed.as_deref());
        let old = old.map(|((_, old), compressed)| recipe::Old {
            compressed,
            plain: &old.stream.plain,
        });
        // What has a counterpart costs little once it is open; what is new costs most of itself.
        let share = if old.is_some() { 2 } else { 8 };
        let most = compressed.len() / share;
        let found = recipe::find(&compressed, &stream.plain, old, hint, most)?;
        account.streams.closed -= 1;
        account.streams.opened += 1;
        account.recipe_bytes += found.bytes().len() as u64;
        let mut nested = Vec::new();
        for inner in &stream.inner {
            nested.extend(self.opened_stream(&stream.plain, inner, inflated, hint, account));
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
            pieces,
        })
    }

    /// Codes content that fits one frame.
    fn single(
        &self,
        draft: &Draft,
        reference: &Reference,
        composed: &Composed,
    ) -> Result<Vec<CodedFrame>, DiffError> {
        let progress = Scaled::new(self.progress, draft, composed.content.len());
        let (sources, old) = (&reference.sources, &reference.bytes);
        let advanced = |bytes| progress.advanced(bytes);
        let coder = self.frame_coder();
        let frame = coder.smallest(sources, old, &composed.content, &advanced)?;
        Ok(frame.into_iter().collect())
    }

    /// Codes long content in frames, each against a window around the same place of the reference.
    fn framed(
        &self,
        draft: &Draft,
        old_files: &[OldFile],
        reference: &Reference,
        composed: &Composed,
    ) -> Result<Vec<CodedFrame>, DiffError> {
        let content = &composed.content;
        let progress = Scaled::new(self.progress, draft, content.len());
        let size = as_size(FRAME_BYTES);
        let pieces: Vec<(usize, &[u8])> = content.chunks(size).enumerate().collect();
        let coded = pieces.par_iter().map(|(number, piece)| {
            let window = window(number * size, content.len(), reference.bytes.len());
            let reference = reference.window(old_files, &window);
            let advanced = |bytes| progress.advanced(bytes);
            let coder = self.frame_coder();
            coder.smallest(&reference.sources, &reference.bytes, piece, &advanced)
        });
        let frames: Result<Vec<_>, DiffError> = coded.collect();
        Ok(frames?.into_iter().flatten().collect())
    }

    fn frame_coder(&self) -> FrameCoder<'_> {
        FrameCoder {
            level: self.level,
            cancel: self.cancel,
        }
    }
}

fn key(bytes: &[u8], stream: &Stream) -> StreamKey {
    StreamKey::of(bytes.get(stream.range.clone()).unwrap_or_default())
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

/// Returns the old bytes around the place that `at` of the new content corresponds to.
fn window(at: usize, new: usize, old: usize) -> Range<usize> {
    let (frame, reference) = (as_size(FRAME_BYTES), as_size(FRAME_REFERENCE_BYTES));
    // Files that grew or shrank did so somewhere: the place moves in proportion.
    let place = (at as u128 * old as u128).checked_div(new as u128);
    let place = place
        .and_then(|place| usize::try_from(place).ok())
        .unwrap_or(0);
    let start = place.saturating_sub((reference - frame) / 2);
    let start = start.min(old.saturating_sub(reference));
    start..old.min(start.saturating_add(reference))
}

fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Files from here on are looked through for what they share with old ones before they are coded.
const LONG_FILE: usize = 12 << 20;
/// Runs that a file without streams must share to take them straight.
const LEAST_LONG: usize = 32 << 10;
const LEAST_SHARED: usize = 256;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_place_and_stay_inside() {
        const MIB: usize = 1 << 20;
        assert_eq!(window(0, 100 * MIB, 100 * MIB), 0..14 * MIB);
        assert_eq!(window(40 * MIB, 100 * MIB, 100 * MIB), 37 * MIB..51 * MIB);
        assert_eq!(window(96 * MIB, 100 * MIB, 100 * MIB), 86 * MIB..100 * MIB);
        assert_eq!(window(40 * MIB, 80 * MIB, 40 * MIB), 17 * MIB..31 * MIB);
        assert_eq!(window(8 * MIB, 16 * MIB, 1000), 0..1000);
    }
}
