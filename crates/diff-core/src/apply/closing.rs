use std::sync::atomic::{AtomicU64, Ordering};

use super::members::Members;
use super::old_files::{OldFiles, Reference};
use crate::container::{Wrapping, adler32};
use crate::delta::{MAX_DEPTH, Opened};
use crate::error::DeltaError;
use crate::recipe::{self, Old};
use crate::script::{ScriptReader, ScriptStep, StreamStep};
use crate::{Cancelled, Digest, Limits, Recompressor};

/// Closes the content of a group into its members: reads the script that it starts with, and follows it
/// while the rest comes.
pub(super) struct Closing<'r> {
    members: Members<'r>,
    state: State,
    /// The streams whose plaintext is being gathered, the outermost first.
    open: Vec<OpenStream>,
    /// Bytes of the script and of all plaintexts at hand.
    memory: u64,
    max_memory: u64,
    max_stream_bytes: u64,
    /// What the plan says that streams are rebuilt by.
    recompressors: &'r [Recompressor],
}

enum State {
    /// The length of the script is being read.
    Length(Vec<u8>),
    /// So many bytes of the script are missing.
    Script { missing: u64, bytes: Vec<u8> },
    /// The next `left` bytes of the content go where the innermost open stream is, or to the members.
    Content { script: ScriptReader, left: u64 },
}

struct OpenStream {
    step: StreamStep,
    plain: Vec<u8>,
}

/// What closing needs beside the content.
pub(super) struct Surroundings<'s, 'a> {
    pub(super) old_files: &'s OldFiles<'a>,
    /// The reference of the frame that the content comes from.
    pub(super) reference: &'s Reference,
    /// How many more steps all scripts of the delta may have.
    pub(super) steps_left: &'s StepsLeft,
    pub(super) check: &'s dyn Fn() -> Result<(), Cancelled>,
}

/// How many more steps the scripts of all groups may have together: each costs some time, however little
/// it makes.
pub(super) struct StepsLeft {
    limit: u64,
    taken: AtomicU64,
}

impl StepsLeft {
    /// Returns the count before the first step.
    pub(super) fn new(limit: u64) -> StepsLeft {
        StepsLeft {
            limit,
            taken: AtomicU64::new(0),
        }
    }

    fn take(&self) -> Result<(), DeltaError> {
        let claimed = 1 + self.taken.fetch_add(1, Ordering::Relaxed);
        DeltaError::check_limit("steps of scripts", claimed, self.limit)
    }
}

impl<'r> Closing<'r> {
    /// Returns what closes content into `members`.
    pub(super) fn new(
        members: Members<'r>,
        opened: Opened,
        recompressors: &'r [Recompressor],
        limits: &Limits,
    ) -> Closing<'r> {
        Closing {
            members,
            state: State::Length(Vec::new()),
            open: Vec::new(),
            memory: 0,
            max_memory: opened.memory,
            max_stream_bytes: limits.max_stream_bytes,
            recompressors,
        }
    }

    /// Takes the next bytes of the content.
    pub(super) fn write(
        &mut self,
        mut bytes: &[u8],
        around: &Surroundings<'_, '_>,
    ) -> Result<(), DeltaError> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Length(_) => self.length(bytes, around)?,
                State::Script { .. } => self.script(bytes, around)?,
                State::Content { left: 0, .. } => {
                    let told = format!("{} bytes of content are left over", bytes.len());
                    return Err(DeltaError::malformed("script", 0, told));
                }
                State::Content { left, .. } => {
                    let count =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= count as u64;
                    let is_done = *left == 0;
                    let (piece, _) = bytes.split_at(count);
                    self.emit(piece)?;
                    if is_done {
                        self.advance(around)?;
                    }
                    count
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Finishes the last member and returns all digests.
    pub(super) fn finish(self) -> Result<Vec<(usize, Digest)>, DeltaError> {
        match self.state {
            State::Content { left: 0, .. } if self.open.is_empty() => self.members.finish(),
            _ => Err(DeltaError::malformed("script", 0, "content is missing")),
        }
    }

    fn length(&mut self, bytes: &[u8], around: &Surroundings<'_, '_>) -> Result<usize, DeltaError> {
        let State::Length(read) = &mut self.state else {
            return Ok(0);
        };
        let Some(byte) = bytes.first() else {
            return Ok(0);
        };
        read.push(*byte);
        if byte & 0x80 == 0 || read.len() > LONGEST_VARINT {
            let missing = crate::wire::Reader::new("script", read).varint()?;
            self.claim(missing)?;
            self.state = State::Script {
                missing,
                bytes: Vec::new(),
            };
            if missing == 0 {
                self.start(Vec::new(), around)?;
            }
        }
        Ok(1)
    }

    fn script(&mut self, piece: &[u8], around: &Surroundings<'_, '_>) -> Result<usize, DeltaError> {
        let State::Script { missing, bytes } = &mut self.state else {
            return Ok(0);
        };
        let count =
            usize::try_from(*missing).map_or(piece.len(), |missing| missing.min(piece.len()));
        *missing -= count as u64;
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        if *missing == 0 {
            let bytes = std::mem::take(bytes);
            self.start(bytes, around)?;
        }
        Ok(count)
    }

    fn start(&mut self, script: Vec<u8>, around: &Surroundings<'_, '_>) -> Result<(), DeltaError> {
        self.state = State::Content {
            script: ScriptReader::new(script),
            left: 0,
        };
        self.advance(around)
    }

    /// Follows the script up to the next step that takes content, or to its end.
    fn advance(&mut self, around: &Surroundings<'_, '_>) -> Result<(), DeltaError> {
        loop {
            (around.check)()?;
            // Content that is complete makes the stream that it belongs to.
            if self.open.last().is_some_and(|open| !open.step.is_nested) {
                self.close(around)?;
            }
            let State::Content { script, left } = &mut self.state else {
                return Ok(());
            };
            let Some(step) = script.next()? else {
                return match self.open.is_empty() {
                    true => Ok(()),
                    false => Err(script.malformed("a nested stream has no end")),
                };
            };
            around.steps_left.take()?;
            match step {
                ScriptStep::Copy(length) => {
                    *left = length;
                    return Ok(());
                }
                ScriptStep::Old {
                    index,
                    offset,
                    length,
                } => self.old(index, offset, length, around)?,
                ScriptStep::Stream(step) => {
                    let plain_length = step.plain_length;
                    let takes = if step.is_nested { 0 } else { plain_length };
                    *left = takes;
                    self.open_stream(step)?;
                    if takes > 0 {
                        return Ok(());
                    }
                }
                ScriptStep::End => {
                    if self.open.is_empty() {
                        return Err(script.malformed("an end without a stream"));
                    }
                    self.close(around)?;
                }
            }
        }
    }

    fn open_stream(&mut self, step: StreamStep) -> Result<(), DeltaError> {
        let plain_length = step.plain_length;
        DeltaError::check_limit("bytes of a stream", plain_length, self.max_stream_bytes)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(DeltaError::malformed(
                "script",
                0,
                "streams are nested too deeply",
            ));
        }
        self.claim(held(&step))?;
        self.open.push(OpenStream {
            step,
            plain: Vec::new(),
        });
        Ok(())
    }

    fn old(
        &mut self,
        index: usize,
        offset: u64,
        length: u64,
        around: &Surroundings<'_, '_>,
    ) -> Result<(), DeltaError> {
        let bytes = around.old_files.read(index, around.check)?;
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(usize::try_from(length).ok()?));
        let taken = start
            .zip(end)
            .and_then(|(start, end)| bytes.get(start..end));
        let taken = taken.ok_or_else(|| {
            let told = format!("{length} bytes from {offset} leave old file {index}");
            DeltaError::malformed("script", 0, told)
        })?;
        for piece in taken.chunks(PIECE_BYTES) {
            (around.check)()?;
            self.emit(piece)?;
        }
        Ok(())
    }

    /// Hands on the next bytes of the innermost open stream's plaintext, or of the members.
    fn emit(&mut self, piece: &[u8]) -> Result<(), DeltaError> {
        let Some(open) = self.open.last_mut() else {
            return self.members.write(piece);
        };
        let length = (open.plain.len() + piece.len()) as u64;
        if length > open.step.plain_length {
            let told = format!("a stream of {} bytes gets {length}", open.step.plain_length);
            return Err(DeltaError::malformed("script", 0, told));
        }
        open.plain.extend_from_slice(piece);
        Ok(())
    }

    /// Rebuilds the innermost open stream, whose plaintext is complete.
    fn close(&mut self, around: &Surroundings<'_, '_>) -> Result<(), DeltaError> {
        let Some(OpenStream { step, plain }) = self.open.pop() else {
            return Ok(());
        };
        let refused = |told: String| DeltaError::malformed("script", 0, told);
        if plain.len() as u64 != step.plain_length {
            let told = format!(
                "a stream of {} bytes has {}",
                step.plain_length,
                plain.len()
            );
            return Err(refused(told));
        }
        let plain = match step.rows {
            None => plain,
            Some(rows) => {
                let filtered = rows.refilter(&plain);
                filtered.ok_or_else(|| refused("an image has no such rows".to_owned()))?
            }
        };
        let old = match step.old {
            None => None,
            Some(number) => {
                let found = around.reference.stream(number);
                let found =
                    found.ok_or_else(|| refused(format!("there is no old stream {number}")))?;
                let claimed = found.plain.len() as u64;
                let most = Old::longest(plain.len() as u64);
                DeltaError::check_limit("bytes of a stream that is followed", claimed, most)?;
                Some((found.compressed()?, found.plain))
            }
        };
        let old = old
            .as_ref()
            .map(|(compressed, plain)| Old { compressed, plain });
        let recompressor = Recompressor::of_recipe(&step.recipe);
        if !recompressor.is_some_and(|needed| self.recompressors.contains(&needed)) {
            return Err(refused(
                "a recipe of which the plan does not tell".to_owned(),
            ));
        }
        let mut wrapping = Wrapping::new(step.wrapper, adler32(&plain));
        let room = self.room();
        recipe::rebuild(&step.recipe, &plain, old, room, &mut |piece| {
            (around.check)()?;
            wrapping.write(piece, &mut |piece| self.emit(piece))
        })?;
        wrapping.finish(&mut |piece| self.emit(piece))?;
        self.memory -= held(&step);
        Ok(())
    }

    /// Returns how many bytes are still missing where a closed stream goes: of the plaintext around it, or
    /// of the members.
    fn room(&self) -> u64 {
        match self.open.last() {
            None => self.members.missing(),
            Some(open) => {
                let has = open.plain.len() as u64;
                open.step.plain_length.saturating_sub(has)
            }
        }
    }

    fn claim(&mut self, bytes: u64) -> Result<(), DeltaError> {
        let claimed = self.memory.saturating_add(bytes);
        DeltaError::check_limit("memory of closing a group", claimed, self.max_memory)?;
        self.memory = claimed;
        Ok(())
    }
}

/// Returns how many bytes a stream holds at most: its plaintext, twice where it is filtered.
fn held(step: &StreamStep) -> u64 {
    match step.rows {
        None => step.plain_length,
        Some(_) => step.plain_length.saturating_mul(2),
    }
}

const LONGEST_VARINT: usize = 10;
const PIECE_BYTES: usize = 1 << 20;
