mod coder;
mod earlier;
mod frame;
mod pieces;
mod reference;
mod source;
mod survey;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::delta::{DeltaWriter, Frame, Group, Origin, Plan, PlannedFile, Source};
use crate::error::{DeltaError, DiffError};
use crate::group::{Draft, GroupSizes, Member, drafts};
use crate::method::{Level, Method};
use crate::pairing::Pairing;
use crate::recompressor::Abilities;
use crate::stats::{BuiltFile, DeltaStats};
use crate::{CancelToken, ContentPath, Limits, Progress, Silent, Tree};

use coder::{CodedGroup, Coder};
use earlier::Earlier;
use survey::{Opening, Survey};

/// Makes a delta of two trees.
///
/// The same trees and level give the same bytes, whatever the machine's number of cores. The delta is
/// written from its start to its end; call [`prove`](crate::prove) before anyone relies on it.
pub struct Differ<'a> {
    old: Tree<'a>,
    new: Tree<'a>,
    level: Level,
    abilities: Abilities,
    carry_digest: bool,
    limits: Limits,
    progress: &'a dyn Progress,
    cancel: CancelToken,
}

impl<'a> Differ<'a> {
    /// Returns a differ that makes `new` of `old`; an empty old tree makes the delta from nothing.
    pub fn new(old: Tree<'a>, new: Tree<'a>) -> Differ<'a> {
        Differ {
            old,
            new,
            level: Level::Default,
            abilities: Abilities::all(),
            carry_digest: false,
            limits: Limits::standard(),
            progress: &Silent,
            cancel: CancelToken::new(),
        }
    }

    /// Spends as much time as `level` says.
    pub fn level(mut self, level: Level) -> Differ<'a> {
        self.level = level;
        self
    }

    /// Makes a delta for devices that have only these abilities, instead of all of this build.
    pub fn for_devices(mut self, abilities: &Abilities) -> Differ<'a> {
        self.abilities = abilities.clone();
        self
    }

    /// Puts the digest of the new tree into the delta, for whoever applies it without a manifest.
    pub fn carry_digest(mut self, carry: bool) -> Differ<'a> {
        self.carry_digest = carry;
        self
    }

    /// Makes a delta that keeps to `limits` instead of the standard ones: lower ones make its groups
    /// smaller, and leave streams closed that a device could not hold.
    pub fn limits(mut self, limits: Limits) -> Differ<'a> {
        self.limits = limits;
        self
    }

    /// Tells `progress` of new bytes that are done; the total is [`Listing::total_bytes`] of the new
    /// tree.
    ///
    /// [`Listing::total_bytes`]: crate::Listing::total_bytes
    pub fn progress(mut self, progress: &'a dyn Progress) -> Differ<'a> {
        self.progress = progress;
        self
    }

    /// Stops with [`DiffError::Cancelled`] once `token` is cancelled.
    pub fn cancel(mut self, token: &CancelToken) -> Differ<'a> {
        self.cancel = token.clone();
        self
    }

    /// Writes the delta to `out`, using every core.
    ///
    /// # Errors
    /// [`DiffError`]; what was written until then is no delta.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<DeltaSummary, DiffError> {
        self.cancel.check()?;
        let pairing = Pairing::of(self.old.listing, self.new.listing);
        self.progress.advanced(known_bytes(&pairing.files));
        let digest = self.carry_digest.then(|| self.new.listing.digest());
        let mut writer = DeltaWriter::start(out, digest).map_err(DiffError::Output)?;

        let opening = Opening::of(self.level, &self.abilities, &self.limits);
        let (survey, mut members) =
            Survey::of(self.old, self.new, &pairing, opening, &self.cancel)?;
        self.sort(&mut members, &pairing);
        let sizes = GroupSizes::of(self.level, &self.limits);
        let reference_bytes = |index| survey.reference_bytes.get(&index).copied().unwrap_or(0);
        let mut drafts = drafts(members, sizes, &reference_bytes);
        let mut earlier = Earlier::new(self.old, self.new, sizes.earlier_bytes, &self.limits);
        if self.level != Level::Fast {
            earlier.look_through(&drafts, &self.cancel)?;
        }
        for member in drafts.iter_mut().flat_map(|draft| &mut draft.members) {
            // They take as much as an eighth of the files, and are done with.
            member.novel = Vec::new();
        }
        let mut groups = Vec::new();
        let mut built = Vec::new();
        let mut recompressors = BTreeSet::new();
        for wave in waves(&drafts, sizes) {
            let code = |draft: &Draft| self.coder(&survey, &earlier).code(draft);
            for draft in in_turn(wave, &code) {
                let group = draft?;
                built.extend(self.built_files(&group));
                recompressors.extend(group.recompressors.iter().copied());
                groups.push(write_group(group, &mut writer).map_err(DiffError::Output)?);
            }
        }

        let old_digest = self.old.listing.digest();
        let plan = Plan::new(
            old_digest,
            pairing.files,
            groups,
            recompressors.into_iter().collect(),
        );
        let bytes = plan.encode(self.old.listing);
        self.check_plan(&plan, bytes.len() as u64)?;
        let length = writer.finish(&bytes).map_err(DiffError::Output)?;
        built.sort_by_key(|(index, _)| *index);
        let files: Vec<BuiltFile> = built.into_iter().map(|(_, file)| file).collect();
        let frame_bytes = files.iter().map(|file| file.encoded_bytes).sum();
        let stats = DeltaStats {
            delta_bytes: length,
            frame_bytes,
            plan_bytes: length - frame_bytes,
            files,
        };
        Ok(DeltaSummary::of(&plan, stats, self.old))
    }

    /// Puts files to be built side by side that resemble each other: of a kind, and with the same
    /// counterpart.
    fn sort(&self, members: &mut [Member], pairing: &Pairing) {
        members.sort_by_key(|member| {
            let own = pairing.files.get(member.file).map(|file| &file.path);
            let counterpart = member.counterparts.first();
            let counterpart = counterpart.and_then(|index| self.old.listing.entries().get(*index));
            let place = counterpart.map(|entry| &entry.path).or(own);
            (own.map(ContentPath::extension), place, own)
        });
    }

    /// Returns what each member of a group costs, with its index in the new listing.
    fn built_files(&self, group: &CodedGroup) -> Vec<(usize, BuiltFile)> {
        let mut files = Vec::new();
        for (member, account) in group.members.iter().zip(&group.accounts) {
            let Some(entry) = self.new.listing.entries().get(*member) else {
                continue;
            };
            let old = self.old.listing.entries();
            let counterparts = account.counterparts.iter();
            let counterparts = counterparts.filter_map(|index| old.get(*index));
            let mut file = BuiltFile {
                path: entry.path.clone(),
                length: entry.length,
                encoded_bytes: 0,
                opened_bytes: 0,
                copied_bytes: account.copied_bytes,
                streams: account.streams.counts,
                recipe_bytes: account.streams.recipe_bytes,
                methods: Vec::new(),
                counterparts: counterparts.map(|entry| entry.path.clone()).collect(),
                group_files: group.members.len(),
            };
            file.opened_bytes = account.parts.opened.len() as u64;
            let mut at = 0;
            for frame in &group.frames {
                let end = at + frame.decoded_length;
                for part in [&account.parts.script, &account.parts.opened] {
                    let (first, last) = (at.max(part.start as u64), end.min(part.end as u64));
                    if first < last {
                        file.encoded_bytes += frame.cost_of(first - at..last - at);
                        if !file.methods.contains(&frame.method) {
                            file.methods.push(frame.method);
                        }
                    }
                }
                at = end;
            }
            files.push((*member, file));
        }
        files
    }

    fn coder<'s>(&'s self, survey: &'s Survey, earlier: &'s Earlier<'s>) -> Coder<'s> {
        Coder {
            old: self.old,
            new: self.new,
            survey,
            earlier,
            level: self.level,
            abilities: &self.abilities,
            limits: &self.limits,
            sizes: GroupSizes::of(self.level, &self.limits),
            progress: self.progress,
            cancel: &self.cancel,
        }
    }

    /// Refuses to write what a device with the same limits would refuse to read.
    fn check_plan(&self, plan: &Plan, bytes: u64) -> Result<(), DiffError> {
        let limit = |what, claimed, limit| {
            DeltaError::check_limit(what, claimed, limit).map_err(|_| DiffError::Limit {
                what,
                claimed,
                limit,
            })
        };
        for group in plan.groups() {
            let memory = group.memory(&self.limits);
            limit("memory of a group", memory, self.limits.max_memory_bytes)?;
        }
        let frames = || plan.groups().iter().flat_map(|group| &group.frames);
        for frame in frames() {
            let reference = frame.references.iter().map(Source::length).sum();
            let (decoded, limits) = (frame.decoded_length, &self.limits);
            limit(
                "reference bytes of a frame",
                reference,
                limits.max_reference_bytes,
            )?;
            limit("decoded bytes of a frame", decoded, limits.max_frame_bytes)?;
        }
        let references = frames().map(|frame| frame.references.len() as u64).sum();
        limit("plan bytes", bytes, self.limits.max_plan_bytes)?;
        limit("files", plan.files().len() as u64, self.limits.max_files)?;
        limit("frames", frames().count() as u64, self.limits.max_frames)?;
        limit("references", references, self.limits.max_frames)
    }
}

/// What a delta came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeltaSummary {
    /// Bytes of the delta.
    pub length: u64,
    /// Files that applying makes.
    pub built_files: u64,
    /// Bytes of those files.
    pub built_bytes: u64,
    /// Files that stay as they are.
    pub unchanged_files: u64,
    /// Files whose content the old tree has under another path.
    pub moved_files: u64,
    /// The methods that applying needs.
    pub methods: Vec<Method>,
    /// The names of all methods and recompressors that applying needs.
    pub needs: Vec<&'static str>,
    /// Where the bytes went.
    pub stats: DeltaStats,
}

impl DeltaSummary {
    fn of(plan: &Plan, stats: DeltaStats, old: Tree<'_>) -> DeltaSummary {
        let mut summary = DeltaSummary {
            length: stats.delta_bytes,
            built_files: 0,
            built_bytes: plan.built_bytes(),
            unchanged_files: 0,
            moved_files: 0,
            methods: plan.methods(),
            needs: plan.needs(),
            stats,
        };
        for file in plan.files() {
            match file.origin {
                Origin::Built => summary.built_files += 1,
                Origin::SameAs(_) => {}
                Origin::Old(index) => {
                    let entry = old.listing.entries().get(index);
                    if entry.is_some_and(|entry| entry.path == file.path) {
                        summary.unchanged_files += 1;
                    } else {
                        summary.moved_files += 1;
                    }
                }
            }
        }
        summary
    }
}

fn write_group(group: CodedGroup, writer: &mut DeltaWriter<'_>) -> std::io::Result<Group> {
    let mut frames = Vec::with_capacity(group.frames.len());
    for frame in group.frames {
        let start = writer.write(&frame.bytes)?;
        let start = usize::try_from(start).map_err(std::io::Error::other)?;
        frames.push(Frame {
            method: frame.method,
            references: frame.references,
            decoded_length: frame.decoded_length,
            encoded: start..start + frame.bytes.len(),
        });
    }
    Ok(Group {
        members: group.members,
        opened: group.opened,
        frames,
    })
}

/// Does the same for each of `all`, on every core, and returns what came of them in their order. Whoever is
/// free takes the next one: the longest come first, and none is left for the end while others are done.
fn in_turn<T: Sync, R: Send>(all: &[T], work: &(dyn Fn(&T) -> R + Sync)) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = |_: &T| {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        Some((turn, work(all.get(turn)?)))
    };
    let mut done: Vec<(usize, R)> = all.par_iter().with_max_len(1).filter_map(take).collect();
    done.sort_by_key(|(turn, _)| *turn);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Cuts the drafts into runs whose coded bytes are kept until they are written.
fn waves(drafts: &[Draft], sizes: GroupSizes) -> Vec<&[Draft]> {
    let cap = rayon::current_num_threads() as u64 * 2 * sizes.group_bytes;
    let mut waves = Vec::new();
    let (mut start, mut bytes) = (0, 0_u64);
    for (index, draft) in drafts.iter().enumerate() {
        if bytes > 0 && bytes.saturating_add(draft.bytes()) > cap {
            waves.extend(drafts.get(start..index));
            (start, bytes) = (index, 0);
        }
        bytes = bytes.saturating_add(draft.bytes());
    }
    waves.extend(drafts.get(start..));
    waves
}

fn known_bytes(files: &[PlannedFile]) -> u64 {
    let known = files.iter().filter(|file| file.origin != Origin::Built);
    known.map(|file| file.length).sum()
}
