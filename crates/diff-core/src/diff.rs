mod coder;
mod source;

use std::io::Write;

use rayon::prelude::*;

use crate::delta::{DeltaWriter, Frame, Group, Origin, Plan, PlannedFile};
use crate::error::{DeltaError, DiffError};
use crate::group::{Draft, FRESH_BYTES, drafts};
use crate::method::{Level, Method};
use crate::pairing::Pairing;
use crate::{CancelToken, Limits, Progress, Silent, Tree};

use coder::{CodedGroup, Coder};

/// Makes a delta of two trees.
///
/// The same trees and level give the same bytes, whatever the machine's number of cores. The delta is
/// written from its start to its end; call [`prove`](crate::prove) before anyone relies on it.
pub struct Differ<'a> {
    old: Tree<'a>,
    new: Tree<'a>,
    level: Level,
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

    /// Puts the digest of the new tree into the delta, for whoever applies it without a manifest.
    pub fn carry_digest(mut self, carry: bool) -> Differ<'a> {
        self.carry_digest = carry;
        self
    }

    /// Makes a delta that keeps to `limits` instead of the standard ones.
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

        let drafts = drafts(&pairing, self.old.listing, self.new.listing);
        let mut groups = Vec::new();
        for wave in waves(&drafts) {
            let code = |draft: &Draft| self.coder().code(draft);
            let coded: Vec<_> = wave.par_iter().map(code).collect();
            for draft in coded {
                for group in draft? {
                    groups.push(write_group(group, &mut writer).map_err(DiffError::Output)?);
                }
            }
        }

        let old_digest = self.old.listing.digest();
        let plan = Plan::new(old_digest, pairing.files, groups);
        let bytes = plan.encode(self.old.listing);
        self.check_plan(&plan, bytes.len() as u64)?;
        let length = writer.finish(&bytes).map_err(DiffError::Output)?;
        Ok(DeltaSummary::of(&plan, length, self.old))
    }

    fn coder(&self) -> Coder<'_> {
        Coder {
            old: self.old,
            new: self.new,
            level: self.level,
            max_frame_bytes: self.limits.max_frame_bytes,
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
        let frames = || plan.groups().iter().flat_map(|group| &group.frames);
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
}

impl DeltaSummary {
    fn of(plan: &Plan, length: u64, old: Tree<'_>) -> DeltaSummary {
        let mut summary = DeltaSummary {
            length,
            built_files: 0,
            built_bytes: plan.built_bytes(),
            unchanged_files: 0,
            moved_files: 0,
            methods: plan.methods(),
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
        frames,
    })
}

/// Cuts the drafts into runs whose coded bytes are kept until they are written.
fn waves(drafts: &[Draft]) -> Vec<&[Draft]> {
    let cap = rayon::current_num_threads() as u64 * 2 * FRESH_BYTES;
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
