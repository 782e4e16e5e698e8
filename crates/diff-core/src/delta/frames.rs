use std::collections::HashSet;
use std::ops::Range;

use super::planned::{Frame, Group, Opened, OpeningStep, Origin, PlannedFile, Source};
use super::sources;
use crate::error::DeltaError;
use crate::method::Method;
use crate::wire::{Reader, put_signed, put_varint};
use crate::{ContentPath, Limits, Listing};

// How a frame's references are spelled: 2 for each source that follows, and this where the members'
// counterparts come before them.
const COUNTERPARTS: u64 = 1;

/// Appends each group: its members, then its frames.
pub(super) fn write(out: &mut Vec<u8>, groups: &[Group], files: &[PlannedFile], old: &Listing) {
    let numbers = built_numbers(files);
    let mut next_member = 0_i64;
    let mut next_index = 0_i64;
    for group in groups {
        put_varint(out, group.members.len() as u64);
        for member in &group.members {
            let number = numbers.get(*member).copied().unwrap_or_default();
            put_signed(out, number - next_member);
            next_member = number + 1;
        }
        let opened = u64::from(group.opened.is_some());
        put_varint(out, (group.frames.len() as u64) << 1 | opened);
        if let Some(opened) = group.opened {
            put_varint(out, opened.bytes);
            put_varint(out, opened.memory);
        }
        let mut left = content_bytes(group, files);
        for frame in &group.frames {
            out.push(frame.method.id());
            let sources = &frame.references;
            let (first, rest) = split_counterparts(sources, &group.members, files, old);
            put_varint(out, (rest.len() as u64) << 1 | first);
            for source in rest {
                let index = signed(source.index);
                put_signed(out, index - next_index);
                next_index = index + 1;
                sources::write_steps(out, &source.steps);
            }
            let is_rest = frame.decoded_length == left;
            put_varint(out, if is_rest { 0 } else { frame.decoded_length });
            put_varint(out, frame.encoded.len() as u64);
            left = left.saturating_sub(frame.decoded_length);
        }
    }
}

/// Returns whether the sources start with the members' counterparts, and the sources that then have
/// to be named.
fn split_counterparts<'s>(
    sources: &'s [Source],
    members: &[usize],
    files: &[PlannedFile],
    old: &Listing,
) -> (u64, &'s [Source]) {
    let mut count = 0;
    for counterpart in counterparts(members, &[], files, old) {
        // One that is not next is named behind, or spoils the comparison below.
        count += usize::from(sources.get(count) == Some(&counterpart));
    }
    let (first, rest) = sources.split_at(count);
    match count > 0 && counterparts(members, rest, files, old) == first {
        true => (COUNTERPARTS, rest),
        false => (0, sources),
    }
}

/// Reads the groups, which must make each built file once and fill `payload` exactly.
pub(super) fn read(
    reader: &mut Reader<'_>,
    files: &[PlannedFile],
    old: &Listing,
    payload: Range<usize>,
    version: u8,
    limits: &Limits,
) -> Result<Vec<Group>, DeltaError> {
    let built: Vec<usize> = (0..files.len())
        .filter(|index| is_built(files, *index))
        .collect();
    let count = reader.varint()?;
    DeltaError::check_limit("groups", count, built.len() as u64)?;
    let mut state = State {
        files,
        old,
        version,
        limits,
        made: vec![None; built.len()],
        built,
        group: 0,
        next_member: 0,
        next_index: 0,
        frames_left: limits.max_frames,
        opened_bytes: 0,
        steps_left: limits.max_frames,
        payload,
    };
    let mut groups = Vec::new();
    for number in 0..count {
        state.group = number;
        groups.push(state.group(reader)?);
    }
    let missing = state.made.iter().filter(|made| made.is_none()).count();
    if missing > 0 {
        return Err(reader.malformed(format!("{missing} files are made by no group")));
    }
    check_preparation(&groups, old, limits)?;
    match state.payload.len() {
        0 => Ok(groups),
        left => Err(reader.malformed(format!("{left} bytes belong to no frame"))),
    }
}

/// Checks that the references of all frames together are not far more than there is to read and to make:
/// a frame of one byte may ask for as much as one of many.
fn check_preparation(groups: &[Group], old: &Listing, limits: &Limits) -> Result<(), DeltaError> {
    let frames = || groups.iter().flat_map(|group| &group.frames);
    let sum = |sum: u64, bytes: u64| sum.saturating_add(bytes);
    let old_bytes = old.entries().iter().map(|entry| entry.length).fold(0, sum);
    let bytes = frames()
        .map(|frame| frame.decoded_length)
        .fold(old_bytes, sum);
    let limit = bytes.saturating_mul(PREPARED_PER_BYTE);
    let limit = limit.saturating_add(LEAST_PREPARED);
    let claimed = frames().map(|frame| frame.preparation(limits)).fold(0, sum);
    DeltaError::check_limit("bytes of the references of all frames", claimed, limit)
}

struct State<'a> {
    files: &'a [PlannedFile],
    old: &'a Listing,
    version: u8,
    limits: &'a Limits,
    /// The built files by their number.
    built: Vec<usize>,
    /// The number of the group that makes each of them.
    made: Vec<Option<u64>>,
    /// The number of the group at hand.
    group: u64,
    next_member: i64,
    next_index: i64,
    frames_left: u64,
    opened_bytes: u64,
    /// Sources, and steps through them.
    steps_left: u64,
    /// What no frame has taken yet.
    payload: Range<usize>,
}

impl<'a> State<'a> {
    fn group(&mut self, reader: &mut Reader<'_>) -> Result<Group, DeltaError> {
        let count = reader.varint()?;
        DeltaError::check_limit("files of a group", count, self.built.len() as u64)?;
        if count == 0 {
            return Err(reader.malformed("a group makes no file"));
        }
        let mut group = Group::default();
        for _ in 0..count {
            group.members.push(self.member(reader)?);
        }
        let mut frames = reader.varint()?;
        if self.version > 1 {
            let is_opened = frames & 1 == 1;
            frames >>= 1;
            if is_opened {
                group.opened = Some(self.opened(reader)?);
            }
        }
        let mut left = content_bytes(&group, self.files);
        self.frames_left = self.frames_left.checked_sub(frames).ok_or_else(|| {
            let limit = self.limits.max_frames;
            DeltaError::Limit {
                what: "frames",
                claimed: frames.saturating_add(limit - self.frames_left),
                limit,
            }
        })?;
        for _ in 0..frames {
            let frame = self.frame(&group.members, left, reader)?;
            left -= frame.decoded_length;
            group.frames.push(frame);
        }
        let limit = self.limits.max_memory_bytes;
        DeltaError::check_limit("memory of a group", group.memory(self.limits), limit)?;
        match left {
            0 => Ok(group),
            left => Err(reader.malformed(format!("{left} bytes of a group come from no frame"))),
        }
    }

    fn opened(&mut self, reader: &mut Reader<'_>) -> Result<Opened, DeltaError> {
        let bytes = reader.varint()?;
        let limit = self.limits.max_tree_bytes;
        self.opened_bytes = self.opened_bytes.saturating_add(bytes);
        DeltaError::check_limit("bytes of opened content", self.opened_bytes, limit)?;
        let memory = reader.varint()?;
        Ok(Opened { bytes, memory })
    }

    fn member(&mut self, reader: &mut Reader<'_>) -> Result<usize, DeltaError> {
        let number = self.next_member.checked_add(reader.signed()?);
        let place = number.and_then(|number| usize::try_from(number).ok());
        let made = place.and_then(|place| self.made.get_mut(place));
        let file = place.and_then(|place| self.built.get(place));
        let (Some(number), Some(made), Some(file)) = (number, made, file) else {
            return Err(reader.malformed("a group makes a file that is not to be built"));
        };
        if made.replace(self.group).is_some() {
            return Err(reader.malformed("a file is made twice"));
        }
        self.next_member = number + 1;
        Ok(*file)
    }

    fn frame(
        &mut self,
        members: &[usize],
        left: u64,
        reader: &mut Reader<'_>,
    ) -> Result<Frame, DeltaError> {
        let id = reader.byte()?;
        let method = Method::from_id(id).ok_or(DeltaError::UnsupportedMethod { id })?;
        let references = self.references(members, reader)?;
        let reference_bytes = references.iter().map(Source::length);
        let reference_bytes = reference_bytes.fold(0, u64::saturating_add);
        let limit = self.limits.max_reference_bytes;
        DeltaError::check_limit("reference bytes of a frame", reference_bytes, limit)?;
        let decoded_length = match reader.varint()? {
            0 => left,
            length => length,
        };
        if decoded_length == 0 || decoded_length > left {
            return Err(reader.malformed(format!(
                "a frame decodes to {decoded_length} bytes where {left} are wanted"
            )));
        }
        let limit = self.limits.max_frame_bytes;
        DeltaError::check_limit("decoded bytes of a frame", decoded_length, limit)?;
        let encoded_length = reader.size()?;
        if encoded_length > self.payload.len() {
            let available = self.payload.len();
            return Err(reader.malformed(format!(
                "a frame has {encoded_length} bytes where {available} are left"
            )));
        }
        let start = self.payload.start;
        self.payload.start += encoded_length;
        let frame = Frame {
            method,
            references,
            decoded_length,
            encoded: start..self.payload.start,
        };
        Ok(frame)
    }

    fn references(
        &mut self,
        members: &[usize],
        reader: &mut Reader<'_>,
    ) -> Result<Vec<Source>, DeltaError> {
        let spelled = reader.varint()?;
        let (has_counterparts, named) = match (self.version, spelled) {
            (1, 0 | 1) => (spelled == 1, 0),
            (1, more) => (false, more - 1),
            (_, spelled) => (spelled & COUNTERPARTS != 0, spelled >> 1),
        };
        self.count_steps(named)?;
        let named: Result<Vec<Source>, DeltaError> =
            (0..named).map(|_| self.source(reader)).collect();
        let named = named?;
        if !has_counterparts {
            return Ok(named);
        }
        self.count_steps(members.len() as u64)?;
        let mut sources = counterparts(members, &named, self.files, self.old);
        sources.extend(named);
        Ok(sources)
    }

    fn count_steps(&mut self, count: u64) -> Result<(), DeltaError> {
        let limit = self.limits.max_frames;
        let claimed = (limit - self.steps_left).saturating_add(count);
        DeltaError::check_limit("references", claimed, limit)?;
        self.steps_left = limit - claimed;
        Ok(())
    }

    fn source(&mut self, reader: &mut Reader<'_>) -> Result<Source, DeltaError> {
        let index = self.next_index.checked_add(reader.signed()?);
        let place = index.and_then(|index| usize::try_from(index).ok());
        let file = place.and_then(|place| self.file(place));
        let (Some(signed), Some(index), Some((path, length))) = (index, place, file) else {
            let told =
                "a frame refers to no old file, and to no new one that a group before it makes";
            return Err(reader.malformed(told));
        };
        self.next_index = signed + 1;
        let steps = match self.version {
            1 => span(reader, path, length)?,
            _ => {
                let walked = (path.as_str(), length);
                sources::read_steps(reader, walked, &mut self.steps_left, self.limits)?
            }
        };
        let source = Source {
            index,
            file_length: length,
            steps,
        };
        if source.length() == 0 {
            return Err(reader.malformed(format!("a frame refers to nothing of {path}")));
        }
        Ok(source)
    }

    /// Returns path and length of an old file, or, counted behind these, of a new one that a group before this
    /// one makes.
    fn file(&self, index: usize) -> Option<(&'a ContentPath, u64)> {
        let old = self.old.entries();
        let Some(new) = index.checked_sub(old.len()) else {
            return old.get(index).map(|entry| (&entry.path, entry.length));
        };
        let built = self.built.binary_search(&new).ok()?;
        let made = self.made.get(built).copied().flatten();
        let file = self.files.get(new)?;
        let is_before = self.version > 1 && made.is_some_and(|group| group < self.group);
        is_before.then_some((&file.path, file.length))
    }
}

/// Reads a span of version 1: an offset and a length, or 0 for all that follows.
fn span(
    reader: &mut Reader<'_>,
    path: &ContentPath,
    file_length: u64,
) -> Result<Vec<OpeningStep>, DeltaError> {
    let offset = reader.varint()?;
    let available = file_length.saturating_sub(offset);
    let length = match reader.varint()? {
        0 => available,
        length => length,
    };
    if length == 0 || length > available {
        return Err(reader.malformed(format!(
            "a frame refers to {length} bytes from {offset} of {path}, which has {file_length}"
        )));
    }
    Ok(match offset {
        0 if length == file_length => Vec::new(),
        0 => vec![OpeningStep::Take(length)],
        offset => vec![OpeningStep::Skip(offset), OpeningStep::Take(length)],
    })
}

/// Returns, for each file of the plan, how many built files come before it.
fn built_numbers(files: &[PlannedFile]) -> Vec<i64> {
    let mut next = 0;
    let number = |file: &PlannedFile| {
        let number = next;
        next += i64::from(file.origin == Origin::Built);
        number
    };
    files.iter().map(number).collect()
}

/// Returns the whole old files under the members' own paths, without the empty ones and those that
/// are named besides.
fn counterparts(
    members: &[usize],
    named: &[Source],
    files: &[PlannedFile],
    old: &Listing,
) -> Vec<Source> {
    let named: HashSet<usize> = named.iter().map(|source| source.index).collect();
    let counterpart = |member: &usize| {
        let path = &files.get(*member)?.path;
        let found = old.entries().binary_search_by(|entry| entry.path.cmp(path));
        let index = found.ok()?;
        let length = old.entries().get(index)?.length;
        (length > 0 && !named.contains(&index)).then_some(Source::whole(index, length))
    };
    members.iter().filter_map(counterpart).collect()
}

/// Returns how many bytes the frames of a group decode to.
fn content_bytes(group: &Group, files: &[PlannedFile]) -> u64 {
    let lengths = group.members.iter().filter_map(|member| files.get(*member));
    let members = lengths.map(|file| file.length).fold(0, u64::saturating_add);
    group.opened.map_or(members, |opened| opened.bytes)
}

fn is_built(files: &[PlannedFile], index: usize) -> bool {
    files
        .get(index)
        .is_some_and(|file| file.origin == Origin::Built)
}

fn signed(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// What all references together may be for each byte of the old tree and of the content, and for any
/// delta: streams of old files inflate to many times what they are, and several groups use one file.
const PREPARED_PER_BYTE: u64 = 64;
const LEAST_PREPARED: u64 = 1 << 30;
