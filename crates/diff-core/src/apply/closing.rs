use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::crew::Crew;
use super::members::Members;
use super::old_files::OldFiles;
use super::reference::Reference;
use super::stream::Stream;
use super::waiting::{Ready, Waiting};
use crate::delta::{MAX_DEPTH, Opened};
use crate::error::DeltaError;
use crate::script::{ScriptReader, ScriptStep, StreamStep};
use crate::space::Space;
use crate::{Cancelled, Digest, Limits, Recompressor};

/// Closes the content of a group into its members: reads the script that it starts with, and follows it
/// while the rest comes. Threads that have no group close streams beside the one that has this one; what
/// they make, and what comes behind it, waits for its turn.
pub(super) struct Closing<'r> {
    members: Members<'r>,
    /// What goes to the members.
    waiting: Waiting<'r>,
    crew: &'r Crew,
    state: State,
    /// The streams whose plaintext is being gathered, the outermost first.
    open: Vec<OpenStream<'r>>,
    /// Bytes of the script and of all plaintexts that are not left to others.
    memory: u64,
    max_memory: u64,
    max_stream_bytes: u64,
    max_image_bytes: u64,
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

struct OpenStream<'r> {
    step: StreamStep,
    plain: Space,
    /// What goes to the plaintext.
    waiting: Waiting<'r>,
}

/// What closing needs beside the content.
pub(super) struct Surroundings<'s, 'a> {
    pub(super) old_files: &'s OldFiles<'a>,
    /// The reference of the frame that the content comes from.
    pub(super) reference: &'s Arc<Reference>,
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
        crew: &'r Crew,
    ) -> Closing<'r> {
        Closing {
            members,
            waiting: Waiting::new(crew),
            crew,
            state: State::Length(Vec::new()),
            open: Vec::new(),
            memory: 0,
            max_memory: opened.memory,
            max_stream_bytes: limits.max_stream_bytes,
            max_image_bytes: limits.max_image_bytes,
            recompressors,
        }
    }

    /// Takes the next bytes of the content.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        around: &Surroundings<'_, '_>,
    ) -> Result<(), DeltaError> {
        let taken = self.take(bytes, around);
        taken.map_err(|error| self.first_error(error, around))
    }

    /// Writes all that waits, in its order.
    pub(super) fn settle(&mut self, around: &Surroundings<'_, '_>) -> Result<(), DeltaError> {
        for level in 0..=self.open.len() {
            self.deliver_all(level, around)?;
        }
        Ok(())
    }

    /// Returns the error of what waits, if there is one: it comes before `error`, which is of what came
    /// behind. So errors are the same whatever the number of threads.
    pub(super) fn first_error(
        &mut self,
        error: DeltaError,
        around: &Surroundings<'_, '_>,
    ) -> DeltaError {
        match error {
            DeltaError::Cancelled(_) => error,
            error => self.settle(around).err().unwrap_or(error),
        }
    }

    fn take(&mut self, mut bytes: &[u8], around: &Surroundings<'_, '_>) -> Result<(), DeltaError> {
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
                    self.emit(piece, around)?;
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
                    let takes = step.taken();
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
        match step.passing() {
            Some(_) => {
                DeltaError::check_limit("bytes of an image", plain_length, self.max_image_bytes)
            }
            None => {
                DeltaError::check_limit("bytes of a stream", plain_length, self.max_stream_bytes)
            }
        }?;
        if self.open.len() >= MAX_DEPTH {
            return Err(DeltaError::malformed(
                "script",
                0,
                "streams are nested too deeply",
            ));
        }
        self.claim(step.held())?;
        let gathered = step.gathered();
        DeltaError::check_limit("bytes of a coded image", gathered, self.max_stream_bytes)?;
        let capacity = usize::try_from(gathered).unwrap_or_default();
        self.open.push(OpenStream {
            step,
            plain: Space::for_bytes(capacity),
            waiting: Waiting::new(self.crew),
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
            self.emit(piece, around)?;
        }
        Ok(())
    }

    /// Hands on the next bytes of the innermost open stream's plaintext, or of the members.
    fn emit(&mut self, piece: &[u8], around: &Surroundings<'_, '_>) -> Result<(), DeltaError> {
        let level = self.open.len();
        while let Some((ready, _share)) = self.waiting(level).ready() {
            self.deliver(level, ready, around)?;
        }
        loop {
            let waiting = self.waiting(level);
            if waiting.is_empty() {
                return self.put(level, piece);
            }
            if waiting.push_bytes(piece) {
                return Ok(());
            }
            // What is first gives its memory back.
            if let Some((ready, _share)) = waiting.first(around.check) {
                self.deliver(level, ready, around)?;
            }
        }
    }

    /// Closes the innermost open stream, whose plaintext is complete, or leaves it to others.
    fn close(&mut self, around: &Surroundings<'_, '_>) -> Result<(), DeltaError> {
        self.deliver_all(self.open.len(), around)?;
        let Some(OpenStream { step, plain, .. }) = self.open.pop() else {
            return Ok(());
        };
        let held = step.held();
        let mut stream = Stream::new(step, plain, around.reference, self.recompressors)?;
        let level = self.open.len();
        let has_hands = self.crew.has_hands();
        let mut is_tried = false;
        loop {
            let waiting = self.waiting(level);
            if waiting.is_empty() && !has_hands {
                break;
            }
            match waiting.push_stream(stream) {
                None => {
                    self.memory -= held;
                    return Ok(());
                }
                Some(back) => stream = back,
            }
            // Rather than wait for another thread this one closes what it has: once, since it may be in vain.
            if !is_tried {
                is_tried = true;
                match waiting.push_closed(stream, around.check) {
                    None => {
                        self.memory -= held;
                        return Ok(());
                    }
                    Some(back) => stream = back,
                }
            }
            // What is first gives its memory back.
            let Some((ready, _share)) = waiting.first(around.check) else {
                break;
            };
            self.deliver(level, ready, around)?;
        }
        self.close_here(level, &stream, around)?;
        self.memory -= held;
        Ok(())
    }

    /// Writes all that waits to go to an open stream, counted from 1, or, for 0, to the members.
    fn deliver_all(
        &mut self,
        level: usize,
        around: &Surroundings<'_, '_>,
    ) -> Result<(), DeltaError> {
        while let Some((ready, _share)) = self.waiting(level).first(around.check) {
            self.deliver(level, ready, around)?;
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        level: usize,
        ready: Ready,
        around: &Surroundings<'_, '_>,
    ) -> Result<(), DeltaError> {
        let delivered = match ready {
            Ready::Bytes(bytes) => self.put(level, &bytes),
            Ready::Unclosed(stream) => self.close_here(level, &stream, around),
            Ready::Closed(closed) => {
                let (claimed, room) = (closed.deflated, self.room(level));
                DeltaError::check_limit("a rebuilt stream", claimed, room)
                    .and_then(|()| self.put(level, &closed.bytes))
            }
            Ready::Lost => Err(DeltaError::malformed("script", 0, "a stream was lost")),
        };
        if delivered.is_err() {
            // All that is behind, in streams further in too, is in vain.
            for level in level..=self.open.len() {
                self.waiting(level).clear();
            }
        }
        delivered
    }

    fn close_here(
        &mut self,
        level: usize,
        stream: &Stream,
        around: &Surroundings<'_, '_>,
    ) -> Result<(), DeltaError> {
        let room = self.room(level);
        let closed = stream.close(room, around.check, &mut |piece| self.put(level, piece));
        closed.map(|_| ())
    }

    fn waiting(&mut self, level: usize) -> &mut Waiting<'r> {
        let open = level.checked_sub(1);
        match open.and_then(|open| self.open.get_mut(open)) {
            None => &mut self.waiting,
            Some(open) => &mut open.waiting,
        }
    }

    fn put(&mut self, level: usize, piece: &[u8]) -> Result<(), DeltaError> {
        let open = level.checked_sub(1);
        let Some(open) = open.and_then(|open| self.open.get_mut(open)) else {
            return self.members.write(piece);
        };
        let length = (open.plain.len() + piece.len()) as u64;
        let gathered = open.step.gathered();
        if length > gathered {
            let told = format!("a stream of {gathered} bytes gets {length}");
            return Err(DeltaError::malformed("script", 0, told));
        }
        open.plain.append(piece);
        Ok(())
    }

    /// Returns how many bytes are still missing where a closed stream goes: of the plaintext around it, or
    /// of the members.
    fn room(&self, level: usize) -> u64 {
        let open = level.checked_sub(1);
        match open.and_then(|open| self.open.get(open)) {
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

const LONGEST_VARINT: usize = 10;
const PIECE_BYTES: usize = 1 << 20;
