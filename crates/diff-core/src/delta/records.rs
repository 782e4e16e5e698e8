use std::cmp::Ordering;
use std::iter::Peekable;

use super::planned::{Origin, PlannedFile};
use crate::error::DeltaError;
use crate::wire::{Reader, from_zigzag, put_varint, to_zigzag};
use crate::{ContentPath, Entry, Limits, Listing, ListingError, find_collisions};

// A record is one variable-length integer, `argument << 2 | kind`, and what its kind adds.
const KEEP: u64 = 0;
const DROP: u64 = 1;
const EDIT: u64 = 2;
const INSERT: u64 = 3;

// The content of an inserted file: `argument << 2 | kind`.
const CONTENT_OLD: u64 = 0;
const CONTENT_SAME: u64 = 1;
const CONTENT_BUILT: u64 = 2;
/// A run of old files that have another start of their paths now; since version 2.
const CONTENT_MOVED: u64 = 3;

/// Appends the records that make `files` of `old`: their number, then each.
pub(super) fn write(out: &mut Vec<u8>, files: &[PlannedFile], old: &Listing) {
    let mut writer = Writer::default();
    let mut entries = old.entries().iter().enumerate().peekable();
    let mut moved = 0;
    for (place, file) in files.iter().enumerate() {
        while let Some((_, entry)) = entries.next_if(|(_, entry)| entry.path < file.path) {
            writer.run(DROP, &entry.path);
        }
        if place < moved {
            continue;
        }
        let same_path = entries.next_if(|(_, entry)| entry.path == file.path);
        if same_path.is_none()
            && let Some(run) = Moved::start(files.get(place..).unwrap_or_default(), &entries, old)
        {
            writer.moved(&run);
            moved = place + run.count;
            continue;
        }
        match same_path {
            Some((index, entry)) if file.origin == Origin::Old(index) => {
                writer.run(KEEP, &entry.path);
            }
            Some((_, entry)) if file.origin == Origin::Built => {
                let grown = file.length.wrapping_sub(entry.length).cast_signed();
                writer.record(to_zigzag(grown), EDIT);
                writer.path = entry.path.as_str().to_owned();
            }
            Some((_, entry)) => {
                writer.run(DROP, &entry.path);
                writer.insert(file);
            }
            None => writer.insert(file),
        }
    }
    for (_, entry) in entries {
        writer.run(DROP, &entry.path);
    }
    writer.end_run();
    put_varint(out, writer.records);
    out.extend_from_slice(&writer.bytes);
}

/// A run of files that are old files whose paths start otherwise, such as those of a renamed folder.
struct Moved<'a> {
    /// How all their paths start.
    prefix: &'a [u8],
    /// How many bytes of the old paths this stands for.
    stripped: usize,
    /// The first of the old files.
    first: usize,
    count: usize,
    /// The path of the last file.
    last: &'a ContentPath,
}

impl<'a> Moved<'a> {
    /// Returns the run that `files` start with, where it is shorter than naming each. No old file that
    /// is still to come may stand between the new paths.
    fn start<'e>(
        files: &'a [PlannedFile],
        entries: &Peekable<impl Iterator<Item = (usize, &'e Entry)> + Clone>,
        old: &Listing,
    ) -> Option<Moved<'a>> {
        let file = files.first()?;
        let Origin::Old(first) = file.origin else {
            return None;
        };
        let old_path = |index: usize| Some(old.entries().get(index)?.path.as_str().as_bytes());
        let (path, source) = (file.path.as_str().as_bytes(), old_path(first)?);
        let same = path.iter().rev().zip(source.iter().rev());
        let same = same.take_while(|(a, b)| a == b).count();
        let prefix = path.get(..path.len() - same)?;
        let stripped = source.len() - same;
        let next = entries.clone().peek().map(|(_, entry)| entry.path.clone());
        let belongs = |(number, file): &(usize, &'a PlannedFile)| {
            let Some(rest) = old_path(first + number).and_then(|path| path.get(stripped..)) else {
                return false;
            };
            file.origin == Origin::Old(first + number)
                && next.as_ref().is_none_or(|next| file.path < *next)
                && file.path.as_str().as_bytes().strip_prefix(prefix) == Some(rest)
        };
        let run = files.iter().enumerate().take_while(belongs);
        let (count, last) = run.fold((0, &file.path), |(count, _), (_, file)| {
            (count + 1, &file.path)
        });
        (count > 1 || same >= LEAST_SAME).then_some(Moved {
            prefix,
            stripped,
            first,
            count,
            last,
        })
    }
}

/// Bytes that old and new path must share at their ends for a single file.
const LEAST_SAME: usize = 4;

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    records: u64,
    /// The kind of the run that is being counted, and how long it is by now.
    run: Option<(u64, u64)>,
    /// The last path that a record named.
    path: String,
}

impl Writer {
    fn run(&mut self, kind: u64, path: &ContentPath) {
        let length = match self.run {
            Some((running, length)) if running == kind => length,
            _ => {
                self.end_run();
                0
            }
        };
        self.run = Some((kind, length + 1));
        self.path = path.as_str().to_owned();
    }

    fn end_run(&mut self) {
        if let Some((kind, length)) = self.run.take() {
            self.records += 1;
            put_varint(&mut self.bytes, (length - 1) << 2 | kind);
        }
    }

    fn record(&mut self, argument: u64, kind: u64) {
        self.end_run();
        self.records += 1;
        put_varint(&mut self.bytes, argument << 2 | kind);
    }

    fn insert(&mut self, file: &PlannedFile) {
        self.path(file.path.as_str().as_bytes());
        let content = match file.origin {
            Origin::Old(index) => (index as u64) << 2 | CONTENT_OLD,
            Origin::SameAs(index) => (index as u64) << 2 | CONTENT_SAME,
            Origin::Built => file.length << 2 | CONTENT_BUILT,
        };
        put_varint(&mut self.bytes, content);
        self.path = file.path.as_str().to_owned();
    }

    fn moved(&mut self, run: &Moved<'_>) {
        self.path(run.prefix);
        put_varint(&mut self.bytes, (run.first as u64) << 2 | CONTENT_MOVED);
        put_varint(&mut self.bytes, run.count as u64 - 1);
        put_varint(&mut self.bytes, run.stripped as u64);
        self.path = run.last.as_str().to_owned();
    }

    /// Starts an insertion: spells a path, or the start of some, after the last one.
    fn path(&mut self, path: &[u8]) {
        let shared = self.path.bytes().zip(path);
        let shared = shared.take_while(|(a, b)| a == *b).count();
        let suffix = path.get(shared..).unwrap_or_default();
        self.record(shared as u64, INSERT);
        put_varint(&mut self.bytes, suffix.len() as u64);
        self.bytes.extend_from_slice(suffix);
    }
}

/// Reads the records and returns the files that they make of `old`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    old: &Listing,
    version: u8,
    limits: &Limits,
) -> Result<Vec<PlannedFile>, DeltaError> {
    let records = reader.varint()?;
    // Each record takes an old file, makes a new one, or both.
    let most = limits.max_files.saturating_add(old.entries().len() as u64);
    DeltaError::check_limit("records", records, most)?;
    let mut state = State {
        old,
        version,
        limits,
        next_old: 0,
        path: String::new(),
        files: Vec::new(),
        total: 0,
        inserted: false,
    };
    for _ in 0..records {
        state.record(reader)?;
    }
    let left = old.entries().len() - state.next_old;
    if left > 0 {
        return Err(reader.malformed(format!("the records leave out {left} old files")));
    }
    if state.inserted {
        // Keeping, editing and dropping files of a tree cannot make paths collide.
        let paths = state.files.iter().map(|file| &file.path);
        if let Some(collision) = find_collisions(paths).into_iter().next() {
            return Err(ListingError::Collision(collision).into());
        }
    }
    Ok(state.files)
}

struct State<'a> {
    old: &'a Listing,
    version: u8,
    limits: &'a Limits,
    next_old: usize,
    path: String,
    files: Vec<PlannedFile>,
    total: u64,
    inserted: bool,
}

impl State<'_> {
    fn record(&mut self, reader: &mut Reader<'_>) -> Result<(), DeltaError> {
        let record = reader.varint()?;
        let argument = record >> 2;
        match record & 3 {
            KEEP => self.keep(argument, reader),
            DROP => self.skip(argument, reader),
            EDIT => self.edit(from_zigzag(argument), reader),
            _ => self.insert(argument, reader),
        }
    }

    /// Returns the indices of the next `more + 1` old files, which the record takes.
    fn take(
        &mut self,
        more: u64,
        reader: &Reader<'_>,
    ) -> Result<std::ops::Range<usize>, DeltaError> {
        let left = self.old.entries().len() - self.next_old;
        match usize::try_from(more) {
            Ok(more) if more < left => {
                let start = self.next_old;
                self.next_old += more + 1;
                Ok(start..self.next_old)
            }
            _ => Err(reader.malformed(format!(
                "a record takes {more} old files and one where {left} are left"
            ))),
        }
    }

    fn keep(&mut self, more: u64, reader: &Reader<'_>) -> Result<(), DeltaError> {
        for index in self.take(more, reader)? {
            if let Some(entry) = self.old.entries().get(index) {
                self.push(
                    PlannedFile {
                        path: entry.path.clone(),
                        length: entry.length,
                        origin: Origin::Old(index),
                    },
                    reader,
                )?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, more: u64, reader: &Reader<'_>) -> Result<(), DeltaError> {
        let last = self.take(more, reader)?.last();
        if let Some(entry) = last.and_then(|index| self.old.entries().get(index)) {
            self.path = entry.path.as_str().to_owned();
        }
        Ok(())
    }

    fn edit(&mut self, grown: i64, reader: &Reader<'_>) -> Result<(), DeltaError> {
        let taken = self.take(0, reader)?;
        let Some(entry) = self.old.entries().get(taken.start) else {
            return Ok(());
        };
        let length = entry.length.checked_add_signed(grown);
        let length = length.ok_or_else(|| {
            let told = format!("a file of {} bytes grows by {grown}", entry.length);
            reader.malformed(told)
        })?;
        let file = PlannedFile {
            path: entry.path.clone(),
            length,
            origin: Origin::Built,
        };
        self.push(file, reader)
    }

    fn insert(&mut self, shared: u64, reader: &mut Reader<'_>) -> Result<(), DeltaError> {
        let path = self.read_path(shared, reader)?;
        let content = reader.varint()?;
        let argument = content >> 2;
        let index = usize::try_from(argument).ok();
        self.inserted = true;
        if content & 3 == CONTENT_MOVED && self.version > 1 {
            return self.moved(&path, index, reader);
        }
        let path = parse_path(path, reader)?;
        let (length, origin) = match content & 3 {
            CONTENT_OLD => {
                let entry = index.and_then(|index| Some((index, self.old.entries().get(index)?)));
                let (index, entry) = entry.ok_or_else(|| {
                    reader.malformed(format!("{path} is a copy of no old file: {argument}"))
                })?;
                (entry.length, Origin::Old(index))
            }
            CONTENT_SAME => {
                let file = index.and_then(|index| Some((index, self.files.get(index)?)));
                let file = file.filter(|(_, file)| file.origin == Origin::Built);
                let (index, file) = file.ok_or_else(|| {
                    reader.malformed(format!("{path} is the same as no built file: {argument}"))
                })?;
                (file.length, Origin::SameAs(index))
            }
            CONTENT_BUILT => (argument, Origin::Built),
            kind => return Err(reader.malformed(format!("content of unknown kind {kind}"))),
        };
        let file = PlannedFile {
            path,
            length,
            origin,
        };
        self.push(file, reader)
    }

    /// Reads the rest of a run of old files whose paths start with `prefix` now.
    fn moved(
        &mut self,
        prefix: &[u8],
        first: Option<usize>,
        reader: &mut Reader<'_>,
    ) -> Result<(), DeltaError> {
        let more = reader.size()?;
        let stripped = reader.size()?;
        let entries = self.old.entries();
        let end = first.and_then(|first| first.checked_add(more)?.checked_add(1));
        let run = first
            .zip(end)
            .and_then(|(first, end)| entries.get(first..end));
        let run =
            run.ok_or_else(|| reader.malformed("a run of moved files leaves the old tree"))?;
        for (index, entry) in (first.unwrap_or_default()..).zip(run) {
            let rest = entry.path.as_str().as_bytes().get(stripped..);
            let rest = rest.ok_or_else(|| {
                reader.malformed(format!("{stripped} bytes are more than {} has", entry.path))
            })?;
            let file = PlannedFile {
                path: parse_path([prefix, rest].concat(), reader)?,
                length: entry.length,
                origin: Origin::Old(index),
            };
            self.push(file, reader)?;
        }
        Ok(())
    }

    /// Reads a path, or the start of some.
    fn read_path(&self, shared: u64, reader: &mut Reader<'_>) -> Result<Vec<u8>, DeltaError> {
        let shared_bytes = usize::try_from(shared).ok();
        let shared_bytes = shared_bytes.and_then(|shared| self.path.as_bytes().get(..shared));
        let shared_bytes = shared_bytes.ok_or_else(|| {
            reader.malformed(format!("a path shares {shared} bytes with a shorter one"))
        })?;
        let suffix_length = reader.varint()?;
        let longest = ContentPath::MAX_BYTES as u64;
        DeltaError::check_limit("bytes of a path", suffix_length, longest)?;
        let suffix = reader.slice(usize::try_from(suffix_length).unwrap_or(usize::MAX))?;
        Ok([shared_bytes, suffix].concat())
    }

    fn push(&mut self, file: PlannedFile, reader: &Reader<'_>) -> Result<(), DeltaError> {
        let in_order = self.files.last().map(|last| last.path.cmp(&file.path));
        if !matches!(in_order, None | Some(Ordering::Less)) {
            return Err(reader.malformed(format!("{} is out of order", file.path)));
        }
        let count = self.files.len() as u64 + 1;
        DeltaError::check_limit("files", count, self.limits.max_files)?;
        let limit = self.limits.max_file_bytes;
        DeltaError::check_limit("bytes of a file", file.length, limit)?;
        self.total = self.total.saturating_add(file.length);
        DeltaError::check_limit("bytes of the tree", self.total, self.limits.max_tree_bytes)?;
        self.path = file.path.as_str().to_owned();
        self.files.push(file);
        Ok(())
    }
}

fn parse_path(bytes: Vec<u8>, reader: &Reader<'_>) -> Result<ContentPath, DeltaError> {
    let text = String::from_utf8(bytes).map_err(|_| reader.malformed("a path is not UTF-8"))?;
    ContentPath::parse(&text).map_err(|error| reader.malformed(error.to_string()))
}
