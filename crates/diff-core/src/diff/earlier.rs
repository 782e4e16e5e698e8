use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::frame::FrameClaim;
use super::source::read;
use crate::delta::{OpeningStep, Source};
use crate::error::DiffError;
use crate::group::{Draft, Member};
use crate::similarity::Sketch;
use crate::{CancelToken, Limits, Tree};

/// What a group may copy from new files that groups before it make: what is new in several of them, where no
/// group has room for all.
pub(super) struct Earlier<'a> {
    new: Tree<'a>,
    /// How many old files there are: new ones are counted behind them.
    old_files: usize,
    /// How many bytes a frame gets at most.
    most: u64,
    limits: &'a Limits,
    /// In the order of the groups that make their files.
    parts: Vec<Part>,
    /// Which parts have a hash, by hashes, and of one hash in the order of the parts.
    holders: Vec<Holder>,
    /// The number of the group that makes a file.
    groups: HashMap<usize, usize>,
    /// How many hashes a group shares with others.
    shared: HashMap<usize, usize>,
    /// How many bytes a hash stands for.
    bytes_of_hash: usize,
}

/// A part of a new file.
struct Part {
    /// The number of the group that makes the file.
    group: usize,
    /// The file's index in the new listing.
    file: usize,
    range: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    hash: u32,
    part: u32,
}

impl<'a> Earlier<'a> {
    /// Returns nothing yet that frames of devices which keep to `limits` may copy, each so many bytes at most.
    pub(super) fn new(old: Tree<'_>, new: Tree<'a>, most: u64, limits: &'a Limits) -> Earlier<'a> {
        Earlier {
            new,
            old_files: old.listing.entries().len(),
            most,
            limits,
            parts: Vec::new(),
            holders: Vec::new(),
            groups: HashMap::new(),
            shared: HashMap::new(),
            bytes_of_hash: BYTES_OF_HASH,
        }
    }

    /// Looks for what several of the drafts, which become groups in this order, have anew.
    pub(super) fn look_through(
        &mut self,
        drafts: &[Draft],
        cancel: &CancelToken,
    ) -> Result<(), DiffError> {
        let novel = members(drafts).map(|(_, member)| member.novel.len());
        // Of more hashes, those below a bound tell as well.
        let one_in = novel.sum::<usize>() / MOST_HASHES + 1;
        let bound = u32::MAX / u32::try_from(one_in).unwrap_or(u32::MAX);
        let shared = shared(drafts, bound);
        if shared.is_empty() {
            return Ok(());
        }
        let groups = members(drafts).map(|(group, member)| (member.file, group));
        let groups: HashMap<usize, usize> = groups.collect();
        let has = |hash: &u32| shared.binary_search(hash).is_ok();
        for (group, member) in members(drafts) {
            let shared = member.novel.iter().filter(|hash| has(hash)).count();
            *self.shared.entry(group).or_default() += shared;
        }
        let files = members(drafts).filter(|(_, member)| {
            member.opened_bytes == member.length && member.novel.iter().any(has)
        });
        let files: Vec<(usize, usize)> =
            files.map(|(group, member)| (group, member.file)).collect();
        let looked = files.par_iter().map(|(group, file)| {
            cancel.check()?;
            let bytes = read(self.new, *file)?;
            let parts = (0..bytes.len()).step_by(PART_BYTES).map(|start| {
                let range = start..bytes.len().min(start + PART_BYTES);
                let sketch = Sketch::of(bytes.get(range.clone()).unwrap_or_default());
                let hashes = sketch.hashes().iter().copied().filter(has);
                let hashes: Vec<u32> = hashes.collect();
                let part = Part {
                    group: *group,
                    file: *file,
                    range,
                };
                (part, hashes)
            });
            Ok(parts.filter(|(_, hashes)| !hashes.is_empty()).collect())
        });
        let looked: Vec<Vec<(Part, Vec<u32>)>> = looked.collect::<Result<_, DiffError>>()?;
        self.groups = groups;
        self.bytes_of_hash = one_in * BYTES_OF_HASH;
        for (number, (part, hashes)) in (0_u32..).zip(looked.into_iter().flatten()) {
            self.parts.push(part);
            let holders = hashes.into_iter();
            let holders = holders.map(|hash| Holder { hash, part: number });
            self.holders.extend(holders);
        }
        self.holders.par_sort_unstable();
        Ok(())
    }

    /// Adds to the sources of a frame, and to their bytes, what it may copy; closing its content takes
    /// so much memory.
    pub(super) fn add_to(
        &self,
        sources: &mut Vec<Source>,
        reference: &mut Vec<u8>,
        draft: &Draft,
        (content, closing): (&[u8], u64),
    ) -> Result<(), DiffError> {
        let Some(member) = draft.members.first() else {
            return Ok(());
        };
        let (known, known_bytes) = (sources.len(), reference.len());
        let parts = self.beside(member.file, (content, reference));
        for parts in parts.chunk_by(|one, other| one.0 == other.0) {
            self.add_file(sources, reference, parts)?;
        }
        let claim = FrameClaim::of(sources, content.len() as u64, self.limits);
        if !claim.is_within(closing, self.limits) {
            sources.truncate(known);
            reference.truncate(known_bytes);
        }
        Ok(())
    }

    /// Adds parts of one file.
    fn add_file(
        &self,
        sources: &mut Vec<Source>,
        reference: &mut Vec<u8>,
        parts: &[(usize, Range<usize>)],
    ) -> Result<(), DiffError> {
        let Some((file, _)) = parts.first() else {
            return Ok(());
        };
        let bytes = read(self.new, *file)?;
        let mut steps: Vec<OpeningStep> = Vec::new();
        let mut at = 0;
        for (_, range) in parts {
            match steps.last_mut() {
                Some(OpeningStep::Take(taken)) if range.start == at => {
                    *taken += range.len() as u64;
                }
                _ => {
                    if range.start > at {
                        steps.push(OpeningStep::Skip((range.start - at) as u64));
                    }
                    steps.push(OpeningStep::Take(range.len() as u64));
                }
            }
            at = range.end;
            reference.extend_from_slice(bytes.get(range.clone()).unwrap_or_default());
        }
        if steps == [OpeningStep::Take(bytes.len() as u64)] {
            steps.clear();
        }
        sources.push(Source {
            index: self.old_files + file,
            file_length: bytes.len() as u64,
            steps,
        });
        Ok(())
    }

    /// Returns the parts that have most of what `content` has and `reference` has not, for the group that
    /// makes the new file `member`.
    fn beside(
        &self,
        member: usize,
        (content, reference): (&[u8], &[u8]),
    ) -> Vec<(usize, Range<usize>)> {
        let group = self.groups.get(&member).copied().unwrap_or(0);
        let is_before = |part: &u32| {
            let part = self.parts.get(*part as usize);
            part.is_some_and(|part| part.group < group)
        };
        let shared = self.shared.get(&group).copied().unwrap_or(0) * self.bytes_of_hash;
        if group == 0 || shared == 0 || shared < content.len() / LEAST_GAIN {
            return Vec::new();
        }
        let wanted = Sketch::of(content).beside([Sketch::of(reference)].iter());
        let mut choice = Choice::default();
        for hash in wanted {
            let first = self.holders.partition_point(|holder| holder.hash < hash);
            let holders = self.holders.iter().skip(first);
            let holders = holders.take_while(|holder| holder.hash == hash);
            let holders = holders.map(|holder| holder.part).filter(is_before);
            choice.add(holders.take(MOST_HOLDERS).collect());
        }
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        let mut gains: HashMap<usize, usize> = HashMap::new();
        while (bytes + PART_BYTES) as u64 <= self.most
            && let Some((number, has)) = choice.best()
            && let Some(part) = self.parts.get(number as usize)
        {
            let gain = has * self.bytes_of_hash;
            if has < LEAST_SHARED || gain < part.range.len() / WORTH {
                break;
            }
            choice.take(number);
            bytes += part.range.len();
            *gains.entry(part.group).or_default() += gain;
            chosen.push(part);
        }
        let pays = |part: &&Part| {
            let gain = gains.get(&part.group).copied().unwrap_or(0);
            gain >= content.len() / LEAST_GAIN
        };
        let chosen = chosen.into_iter().filter(pays);
        let chosen = chosen.map(|part| (part.file, part.range.clone()));
        let mut chosen: Vec<(usize, Range<usize>)> = chosen.collect();
        chosen.sort_by_key(|(file, range)| (*file, range.start));
        chosen
    }
}

/// Which parts have what is wanted and not yet taken.
#[derive(Default)]
struct Choice {
    /// The parts that have each hash; none once one of them is taken.
    holders: Vec<Vec<u32>>,
    /// The places in `holders` of the hashes that a part has.
    places: HashMap<u32, Vec<usize>>,
    /// How many of them are not yet taken.
    counts: HashMap<u32, usize>,
}

impl Choice {
    /// Adds a hash that these parts have.
    fn add(&mut self, parts: Vec<u32>) {
        for part in &parts {
            self.places
                .entry(*part)
                .or_default()
                .push(self.holders.len());
            *self.counts.entry(*part).or_default() += 1;
        }
        self.holders.push(parts);
    }

    /// Returns the part that has most, the first of several, and how much.
    fn best(&self) -> Option<(u32, usize)> {
        let counts = self.counts.iter().map(|(part, count)| (*part, *count));
        counts.max_by_key(|(part, count)| (*count, Reverse(*part)))
    }

    /// Takes a part; others are left with what it has not.
    fn take(&mut self, part: u32) {
        for place in self.places.remove(&part).unwrap_or_default() {
            let holders = self.holders.get_mut(place).map(std::mem::take);
            for other in holders.unwrap_or_default() {
                if let Some(count) = self.counts.get_mut(&other) {
                    *count -= 1;
                }
            }
        }
        self.counts.remove(&part);
    }
}

/// Returns the members of which something is known, each with the number of its draft.
fn members(drafts: &[Draft]) -> impl Iterator<Item = (usize, &Member)> {
    let drafts = drafts.iter().enumerate();
    let members =
        drafts.flat_map(|(number, draft)| draft.members.iter().map(move |member| (number, member)));
    members.filter(|(_, member)| !member.is_noise())
}

/// Returns the hashes, up to a bound, of what is new in several drafts, in rising order.
fn shared(drafts: &[Draft], bound: u32) -> Vec<u32> {
    let hashes = members(drafts).flat_map(|(group, member)| {
        let group = u32::try_from(group).unwrap_or(u32::MAX);
        let told = member.novel.iter().filter(|hash| **hash <= bound);
        told.map(move |hash| (*hash, group))
    });
    let mut hashes: Vec<(u32, u32)> = hashes.collect();
    hashes.par_sort_unstable();
    hashes.dedup();
    let same = hashes.chunk_by(|one, other| one.0 == other.0);
    let several = same.filter(|same| same.len() > 1);
    several.filter_map(|same| Some(same.first()?.0)).collect()
}

/// Bytes that are taken or left together.
const PART_BYTES: usize = 64 << 10;
/// A hash stands for so many bytes.
const BYTES_OF_HASH: usize = 32;
/// What stands everywhere is looked for in the first few alone.
const MOST_HOLDERS: usize = 12;
const LEAST_SHARED: usize = 8;
/// So many hashes are looked at together.
const MOST_HASHES: usize = 1 << 22;
/// A part is taken where one byte of so many is wanted.
const WORTH: usize = 16;
/// A group waits for another where one byte of so many comes of it.
const LEAST_GAIN: usize = 128;
