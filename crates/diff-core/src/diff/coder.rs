use std::collections::HashSet;
use std::ops::Range;

use rayon::prelude::*;

use super::source::read;
use crate::delta::Span;
use crate::error::DiffError;
use crate::group::{Draft, FRAME_BYTES, FRAME_REFERENCE_BYTES, FRESH_BYTES, Member};
use crate::method::{EncodeError, EncodedFrame, Level, Method, codec};
use crate::pairing::Kinship;
use crate::{CancelToken, Cancelled, FileBytes, Progress, Tree};

/// Codes drafts: of all methods that fit, the one with the fewest bytes.
pub(super) struct Coder<'a> {
    pub(super) old: Tree<'a>,
    pub(super) new: Tree<'a>,
    pub(super) level: Level,
    pub(super) max_frame_bytes: u64,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a CancelToken,
}

/// A group with its coded bytes.
pub(super) struct CodedGroup {
    pub(super) members: Vec<usize>,
    pub(super) frames: Vec<CodedFrame>,
}

/// A frame with its coded bytes.
pub(super) struct CodedFrame {
    pub(super) method: Method,
    pub(super) references: Vec<Span>,
    pub(super) decoded_length: u64,
    pub(super) bytes: Vec<u8>,
}

impl CodedGroup {
    /// Returns about how many bytes the group takes in a delta, its part of the plan included.
    fn cost(&self) -> usize {
        let frames = self
            .frames
            .iter()
            .map(|frame| frame.bytes.len() + FRAME_COST);
        frames.sum::<usize>() + GROUP_COST + self.members.len() * MEMBER_COST
    }
}

impl Coder<'_> {
    /// Returns the groups that make the draft's files.
    pub(super) fn code(&self, draft: &Draft) -> Result<Vec<CodedGroup>, DiffError> {
        self.cancel.check()?;
        match draft {
            Draft::Fresh(members) => Ok(vec![self.fresh(members)?]),
            Draft::Alone(member) => Ok(vec![self.alone(*member)?]),
            Draft::Together(members) => self.together(members),
        }
    }

    fn fresh(&self, members: &[Member]) -> Result<CodedGroup, DiffError> {
        let new = self.joined(members)?;
        let frame = self.smallest(&Candidates::plain(), &[], &[], &new, true)?;
        Ok(group(members, frame))
    }

    fn alone(&self, member: Member) -> Result<CodedGroup, DiffError> {
        let new = read(self.new, member.file)?;
        let Some(counterpart) = member.counterpart else {
            let pieces: Vec<&[u8]> = new.chunks(as_size(FRESH_BYTES)).collect();
            let coded = pieces
                .par_iter()
                .map(|piece| self.smallest(&Candidates::plain(), &[], &[], piece, true));
            let frames: Result<Vec<_>, _> = coded.collect();
            return Ok(CodedGroup {
                members: vec![member.file],
                frames: frames?.into_iter().flatten().collect(),
            });
        };
        let old = read(self.old, counterpart.index)?;
        let whole = old.len() <= BSDIFF_REFERENCE_BYTES
            && member.length <= self.max_frame_bytes
            && counterpart.kinship < Kinship::Neighbour;
        let candidates = Candidates {
            prefix: true,
            plain: true,
            bsdiff: !whole,
        };
        let (framed, bsdiff) = rayon::join(
            || self.framed(member.file, counterpart.index, &old, &new, &candidates),
            || {
                let span = whole_file(counterpart.index, &old);
                whole.then(|| self.encode(Method::Bsdiff, &span, &old, &new, false))
            },
        );
        let framed = framed?;
        let bsdiff = bsdiff.transpose()?.flatten().map(|frame| CodedGroup {
            members: vec![member.file],
            frames: vec![frame],
        });
        Ok(match bsdiff {
            Some(bsdiff) if bsdiff.cost() < framed.cost() => bsdiff,
            _ => framed,
        })
    }

    /// Codes a long file in frames, each against a window around the same place of its counterpart.
    fn framed(
        &self,
        file: usize,
        counterpart: usize,
        old: &[u8],
        new: &[u8],
        candidates: &Candidates,
    ) -> Result<CodedGroup, DiffError> {
        let pieces: Vec<(usize, &[u8])> = new.chunks(as_size(FRAME_BYTES)).enumerate().collect();
        let coded = pieces.par_iter().map(|(number, piece)| {
            let at = number * as_size(FRAME_BYTES);
            let window = window(at, new.len(), old.len());
            let reference = old.get(window.clone()).unwrap_or_default();
            let span = Span {
                index: counterpart,
                offset: window.start as u64,
                length: reference.len() as u64,
            };
            self.smallest(candidates, &[span], reference, piece, true)
        });
        let frames: Result<Vec<_>, _> = coded.collect();
        Ok(CodedGroup {
            members: vec![file],
            frames: frames?.into_iter().flatten().collect(),
        })
    }

    /// Codes changed files each by itself, all in one frame, and all in one frame but those that
    /// another method does much better on, and takes what is smallest.
    fn together(&self, members: &[Member]) -> Result<Vec<CodedGroup>, DiffError> {
        let coded = members.par_iter().map(|member| self.single(*member));
        let singles: Vec<Single> = coded.collect::<Result<_, _>>()?;
        let apart: usize = singles.iter().map(|single| single.group.cost()).sum();
        if members.len() < 2 {
            return Ok(singles.into_iter().map(|single| single.group).collect());
        }
        let joined: Vec<Member> = members
            .iter()
            .zip(&singles)
            .filter(|(_, single)| !single.stands_out())
            .map(|(member, _)| *member)
            .collect();
        let (all, most) = rayon::join(
            || self.joint(members),
            || match joined.len() {
                0 | 1 => Ok(None),
                count if count == members.len() => Ok(None),
                _ => self.joint(&joined).map(Some),
            },
        );
        let (all, most) = (all?, most?);
        let standing_out = singles.iter().filter(|single| single.stands_out());
        let rest: usize = standing_out.map(|single| single.group.cost()).sum();
        match most {
            Some(most) if most.cost() + rest < apart.min(all.cost()) => {
                let standing_out = singles.into_iter().filter(Single::stands_out);
                let mut groups: Vec<_> = standing_out.map(|single| single.group).collect();
                groups.push(most);
                Ok(groups)
            }
            _ if all.cost() < apart => Ok(vec![all]),
            _ => Ok(singles.into_iter().map(|single| single.group).collect()),
        }
    }

    /// Codes one small changed file by itself.
    fn single(&self, member: Member) -> Result<Single, DiffError> {
        let new = read(self.new, member.file)?;
        let (old, span, candidates) = match member.counterpart {
            Some(counterpart) => {
                let old = read(self.old, counterpart.index)?;
                let span = whole_file(counterpart.index, &old);
                let candidates = Candidates {
                    prefix: true,
                    plain: true,
                    bsdiff: counterpart.kinship < Kinship::Neighbour,
                };
                (old, span, candidates)
            }
            None => (
                FileBytes::Owned(Vec::new()),
                Vec::new(),
                Candidates::plain(),
            ),
        };
        let mut frames = self.candidates(&candidates, &span, &old, &new, false)?;
        let zstd = frames.iter().filter(|frame| frame.method == Method::Zstd);
        let zstd_bytes = zstd.map(|frame| frame.bytes.len()).min();
        let frame = take_smallest(&mut frames);
        self.progress.advanced(member.length);
        Ok(Single {
            zstd_bytes,
            group: group(&[member], frame),
        })
    }

    /// Codes files in one frame against all their counterparts.
    fn joint(&self, members: &[Member]) -> Result<CodedGroup, DiffError> {
        let mut spans = Vec::new();
        let mut references = Vec::new();
        let mut seen = HashSet::new();
        let counterparts = members.iter().filter_map(|member| member.counterpart);
        for counterpart in counterparts {
            if seen.insert(counterpart.index) {
                let old = read(self.old, counterpart.index)?;
                spans.extend(whole_file(counterpart.index, &old));
                references.extend_from_slice(&old);
            }
        }
        let new = self.joined(members)?;
        let candidates = Candidates {
            prefix: true,
            plain: false,
            bsdiff: false,
        };
        let frame = self.smallest(&candidates, &spans, &references, &new, false)?;
        Ok(group(members, frame))
    }

    fn joined(&self, members: &[Member]) -> Result<FileBytes, DiffError> {
        if let [member] = members {
            return read(self.new, member.file);
        }
        let mut joined = Vec::new();
        for member in members {
            joined.extend_from_slice(&read(self.new, member.file)?);
        }
        Ok(FileBytes::Owned(joined))
    }

    /// Returns the smallest coding of `new`, or nothing when there is nothing to code.
    fn smallest(
        &self,
        candidates: &Candidates,
        spans: &[Span],
        reference: &[u8],
        new: &[u8],
        is_progress: bool,
    ) -> Result<Option<CodedFrame>, DiffError> {
        let mut frames = self.candidates(candidates, spans, reference, new, is_progress)?;
        Ok(take_smallest(&mut frames))
    }

    fn candidates(
        &self,
        candidates: &Candidates,
        spans: &[Span],
        reference: &[u8],
        new: &[u8],
        is_progress: bool,
    ) -> Result<Vec<CodedFrame>, DiffError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let has_reference = !reference.is_empty();
        let zstd = || -> Result<Vec<CodedFrame>, DiffError> {
            let mut frames = Vec::new();
            let mut is_progress = is_progress;
            if candidates.prefix && has_reference {
                frames.extend(self.encode(Method::Zstd, spans, reference, new, is_progress)?);
                is_progress = false;
            }
            let with_prefix = frames.iter().map(|frame| frame.bytes.len()).min();
            if candidates.plain && self.may_be_plain(new, with_prefix)? {
                frames.extend(self.encode(Method::Zstd, &[], &[], new, is_progress)?);
            }
            Ok(frames)
        };
        let bsdiff = || match candidates.bsdiff && has_reference {
            true => self.encode(Method::Bsdiff, spans, reference, new, false),
            false => Ok(None),
        };
        let (zstd, bsdiff) = rayon::join(zstd, bsdiff);
        let mut frames = zstd?;
        frames.extend(bsdiff?);
        let best = frames.iter().map(|frame| frame.bytes.len()).min();
        if best.is_none_or(|best| best >= new.len()) {
            frames.extend(self.encode(Method::Store, &[], &[], new, false)?);
        }
        Ok(frames)
    }

    /// Whether plain zstd could beat what the prefix gave: a quick level tells, since the slow ones
    /// hardly ever halve what it makes.
    fn may_be_plain(&self, new: &[u8], with_prefix: Option<usize>) -> Result<bool, DiffError> {
        let Some(with_prefix) = with_prefix else {
            return Ok(true);
        };
        let mut advanced = |_| self.cancel.check();
        let quick = codec(Method::Zstd).encode(&[], new, Level::Fast, &mut advanced);
        let quick = quick.map_err(|error| failed(Method::Zstd, error))?;
        Ok(quick.len() / 2 < with_prefix)
    }

    fn encode(
        &self,
        method: Method,
        spans: &[Span],
        reference: &[u8],
        new: &[u8],
        is_progress: bool,
    ) -> Result<Option<CodedFrame>, DiffError> {
        let mut advanced = |bytes| {
            if is_progress {
                self.progress.advanced(bytes);
            }
            self.cancel.check()
        };
        self.cancel.check()?;
        let encoded = codec(method).encode(reference, new, self.level, &mut advanced);
        let bytes = encoded.map_err(|error| failed(method, error))?;
        if method == Method::Bsdiff && !self.comes_back(method, reference, new, &bytes)? {
            return Ok(None);
        }
        Ok(Some(CodedFrame {
            method,
            references: spans.to_vec(),
            decoded_length: new.len() as u64,
            bytes,
        }))
    }

    /// Whether the frame decodes to `new`: bsdiff's decoder is not its encoder's sibling.
    fn comes_back(
        &self,
        method: Method,
        reference: &[u8],
        new: &[u8],
        bytes: &[u8],
    ) -> Result<bool, Cancelled> {
        let frame = EncodedFrame {
            bytes,
            offset: 0,
            decoded_length: new.len() as u64,
            max_window_bytes: FRAME_BYTES,
        };
        let mut rest = new;
        let decoded = codec(method).decode(reference, &frame, &mut |piece| {
            self.cancel.check()?;
            match rest.strip_prefix(piece) {
                Some(behind) => rest = behind,
                None => return Err(frame.malformed("it decodes to other bytes")),
            }
            Ok(())
        });
        self.cancel.check()?;
        Ok(decoded.is_ok() && rest.is_empty())
    }
}

/// Which methods to try beside storing.
struct Candidates {
    prefix: bool,
    plain: bool,
    bsdiff: bool,
}

impl Candidates {
    fn plain() -> Candidates {
        Candidates {
            prefix: false,
            plain: true,
            bsdiff: false,
        }
    }
}

/// A file coded by itself, and what zstd alone would have made of it.
struct Single {
    group: CodedGroup,
    zstd_bytes: Option<usize>,
}

impl Single {
    /// Whether another method does so much better on this file that it had better stay out of a
    /// shared frame, which is zstd's.
    fn stands_out(&self) -> bool {
        let frames = self.group.frames.iter();
        let bytes: usize = frames.map(|frame| frame.bytes.len() + FRAME_COST).sum();
        let is_zstd = self
            .group
            .frames
            .iter()
            .any(|frame| frame.method == Method::Zstd);
        !is_zstd && self.zstd_bytes.is_some_and(|zstd| bytes + bytes / 4 < zstd)
    }
}

fn group(members: &[Member], frame: Option<CodedFrame>) -> CodedGroup {
    CodedGroup {
        members: members.iter().map(|member| member.file).collect(),
        frames: frame.into_iter().collect(),
    }
}

fn take_smallest(frames: &mut Vec<CodedFrame>) -> Option<CodedFrame> {
    let frames = frames.drain(..);
    frames.min_by_key(|frame| {
        (
            frame.bytes.len() + REFERENCE_COST * frame.references.len(),
            frame.method,
        )
    })
}

fn whole_file(index: usize, old: &[u8]) -> Vec<Span> {
    let span = Span {
        index,
        offset: 0,
        length: old.len() as u64,
    };
    (!old.is_empty()).then_some(span).into_iter().collect()
}

/// Returns the old bytes around the place that `at` of the new file corresponds to.
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

fn failed(method: Method, error: EncodeError) -> DiffError {
    match error {
        EncodeError::Cancelled => DiffError::Cancelled(Cancelled),
        EncodeError::Failed(problem) => DiffError::Encoder {
            method: method.name(),
            problem,
        },
    }
}

fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What a bsdiff encoder may have as reference: its suffix array takes five times as much.
const BSDIFF_REFERENCE_BYTES: usize = 32 << 20;
// What these take of a plan, about, once it is compressed.
const GROUP_COST: usize = 2;
const MEMBER_COST: usize = 1;
const FRAME_COST: usize = 4;
const REFERENCE_COST: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_place_and_stay_inside() {
        const MIB: usize = 1 << 20;
        assert_eq!(window(0, 100 * MIB, 100 * MIB), 0..16 * MIB);
        assert_eq!(window(40 * MIB, 100 * MIB, 100 * MIB), 36 * MIB..52 * MIB);
        assert_eq!(window(96 * MIB, 100 * MIB, 100 * MIB), 84 * MIB..100 * MIB);
        assert_eq!(window(40 * MIB, 80 * MIB, 40 * MIB), 16 * MIB..32 * MIB);
        assert_eq!(window(8 * MIB, 16 * MIB, 1000), 0..1000);
    }
}
