use std::collections::BTreeSet;
use std::ops::Range;

use crate::Recompressor;
use crate::container::{Samples, Stream};
use crate::script::{CodedRows, ScriptStep, ScriptWriter, StreamStep};

/// A part of a new file, in the form in which it goes into a group.
#[derive(Clone)]
pub(super) enum Piece {
    /// Bytes of the file, or of a plaintext, as they are.
    Raw(Range<usize>),
    /// Bytes that an old file has.
    Old {
        index: usize,
        offset: usize,
        length: usize,
    },
    /// A stream that its recipe rebuilds.
    Stream(Box<OpenedStream>),
}

/// A stream with what rebuilds it.
#[derive(Clone)]
pub(super) struct OpenedStream {
    pub(super) stream: Stream,
    pub(super) recipe: Vec<u8>,
    /// The number of the old stream that the recipe follows.
    pub(super) old: Option<usize>,
    /// The rows of the image that the plaintext is, where they are coded.
    pub(super) coded: Option<Coded>,
    /// The plaintext's own pieces; none where it stands in the content as it is.
    pub(super) pieces: Vec<Piece>,
}

/// The rows of an image, coded.
#[derive(Clone)]
pub(super) struct Coded {
    pub(super) samples: Samples,
    pub(super) bytes: Vec<u8>,
}

/// A run of a new file that an old file has.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) new: Range<usize>,
    pub(super) index: usize,
    pub(super) offset: usize,
}

/// Cuts a file of so many bytes at its opened streams, in order and disjoint, and between these at what
/// it shares with old files.
pub(super) fn cut(
    length: usize,
    streams: Vec<OpenedStream>,
    mut shared: Vec<Shared>,
) -> Vec<Piece> {
    // Where two runs overlap, the longer one stays whole.
    shared.sort_by_key(|shared| std::cmp::Reverse(shared.new.len()));
    let mut pieces = Vec::new();
    let mut at = 0;
    for stream in streams {
        let range = stream.stream.range.clone();
        gap(&mut pieces, at..range.start, &shared);
        at = range.end;
        pieces.push(Piece::Stream(Box::new(stream)));
    }
    gap(&mut pieces, at..length, &shared);
    pieces
}

/// Cuts what stands between opened streams, by the longest run first.
fn gap(pieces: &mut Vec<Piece>, gap: Range<usize>, shared: &[Shared]) {
    let within = |run: &Shared| {
        let (start, end) = (run.new.start.max(gap.start), run.new.end.min(gap.end));
        (end > start && end - start >= LEAST_SHARED).then(|| Shared {
            new: start..end,
            index: run.index,
            offset: run.offset + (start - run.new.start),
        })
    };
    let mut runs: Vec<Shared> = Vec::new();
    for run in shared.iter().filter_map(within) {
        let is_free =
            |other: &Shared| other.new.end <= run.new.start || run.new.end <= other.new.start;
        if runs.iter().all(is_free) {
            runs.push(run);
        }
    }
    runs.sort_by_key(|run| run.new.start);
    let mut at = gap.start;
    for run in runs {
        raw(pieces, at..run.new.start);
        at = run.new.end;
        pieces.push(Piece::Old {
            index: run.index,
            offset: run.offset,
            length: run.new.len(),
        });
    }
    raw(pieces, at..gap.end);
}

fn raw(pieces: &mut Vec<Piece>, range: Range<usize>) {
    if !range.is_empty() {
        pieces.push(Piece::Raw(range));
    }
}

/// The content of a group while its members are added: the script, and what it closes.
#[derive(Default)]
pub(super) struct Composer {
    script: ScriptWriter,
    content: Vec<u8>,
    /// Bytes that the script copies as they are, not written yet.
    copied: u64,
    /// Whether the script does more than copy.
    needs_script: bool,
    follows_old: bool,
    /// The largest plaintext, with those around it.
    largest: u64,
    /// Where each member ends in the script, and among the opened bytes.
    ends: Vec<(usize, usize)>,
    recompressors: BTreeSet<Recompressor>,
}

/// What came of it.
pub(super) struct Composed {
    /// The script, where one is needed, and the opened bytes behind it.
    pub(super) content: Vec<u8>,
    /// Where each member stands in the content.
    pub(super) parts: Vec<Parts>,
    /// What rebuilds its streams.
    pub(super) recompressors: BTreeSet<Recompressor>,
    /// Whether recipes follow streams of the reference.
    pub(super) follows_old: bool,
    /// Private memory that closing takes, where there is a script.
    pub(super) memory: Option<u64>,
}

/// Where a member stands in a group's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// The steps that close it. One that copies beyond a member's end is the next one's, the script's
    /// length the first one's.
    pub(super) script: Range<usize>,
    /// Its opened bytes.
    pub(super) opened: Range<usize>,
}

impl Composer {
    /// Adds a member's pieces, which are of `bytes`.
    pub(super) fn add(&mut self, bytes: &[u8], pieces: &[Piece]) {
        self.pieces(bytes, pieces, 0);
        self.ends.push((self.script.length(), self.content.len()));
    }

    fn pieces(&mut self, bytes: &[u8], pieces: &[Piece], around: u64) {
        for piece in pieces {
            match piece {
                Piece::Raw(range) => {
                    let raw = bytes.get(range.clone()).unwrap_or_default();
                    self.content.extend_from_slice(raw);
                    self.copied += raw.len() as u64;
                }
                Piece::Old {
                    index,
                    offset,
                    length,
                } => self.step(&ScriptStep::Old {
                    index: *index,
                    offset: *offset as u64,
                    length: *length as u64,
                }),
                Piece::Stream(opened) => self.stream(opened, around),
            }
        }
    }

    fn stream(&mut self, opened: &OpenedStream, around: u64) {
        let plain = &opened.stream.plain;
        let is_nested = !opened.pieces.is_empty();
        self.follows_old |= opened.old.is_some();
        self.recompressors
            .extend(Recompressor::of_recipe(&opened.recipe));
        let coded = opened.coded.as_ref().map(|coded| CodedRows {
            length: coded.bytes.len() as u64,
            samples: coded.samples,
        });
        if coded.is_some() {
            self.recompressors.insert(Recompressor::Pixels);
        }
        let step = StreamStep {
            plain_length: plain.len() as u64,
            wrapper: opened.stream.wrapper,
            recipe: opened.recipe.clone(),
            rows: opened.stream.image.as_ref().map(|image| image.rows),
            coded,
            old: opened.old,
            is_nested,
        };
        let memory = around + step.held();
        self.largest = self.largest.max(memory);
        self.step(&ScriptStep::Stream(step));
        if is_nested {
            self.pieces(plain, &opened.pieces, memory);
            self.step(&ScriptStep::End);
        } else if let Some(coded) = &opened.coded {
            self.content.extend_from_slice(&coded.bytes);
        } else {
            self.content.extend_from_slice(&opened.stream.opened());
        }
    }

    fn step(&mut self, step: &ScriptStep) {
        self.needs_script = true;
        self.flush();
        self.script.push(step);
    }

    fn flush(&mut self) {
        if self.copied > 0 {
            self.script.push(&ScriptStep::Copy(self.copied));
            self.copied = 0;
        }
    }

    /// Returns the content.
    pub(super) fn finish(mut self) -> Composed {
        if !self.needs_script {
            return Composed {
                parts: parts(&self.ends, 0, 0),
                content: self.content,
                recompressors: self.recompressors,
                follows_old: false,
                memory: None,
            };
        }
        self.flush();
        let steps_bytes = self.script.length();
        if let Some((end, _)) = self.ends.last_mut() {
            *end = steps_bytes;
        }
        let mut content = self.script.finish();
        let script_bytes = content.len();
        content.append(&mut self.content);
        Composed {
            content,
            recompressors: self.recompressors,
            follows_old: self.follows_old,
            parts: parts(&self.ends, script_bytes - steps_bytes, script_bytes),
            memory: Some(self.largest + script_bytes as u64 + CLOSING_BYTES),
        }
    }
}

/// Returns where members stand that end there; the steps start behind so many bytes of the content, the
/// opened bytes behind so many.
fn parts(ends: &[(usize, usize)], steps_start: usize, opened_start: usize) -> Vec<Parts> {
    let (mut script, mut opened) = (0, opened_start);
    let mut parts = Vec::with_capacity(ends.len());
    for (steps_end, opened_end) in ends {
        let ends = (steps_start + steps_end, opened_start + opened_end);
        parts.push(Parts {
            script: script..ends.0,
            opened: opened..ends.1,
        });
        (script, opened) = ends;
    }
    parts
}

/// What rebuilding a stream takes beside its plaintext.
const CLOSING_BYTES: u64 = 1 << 20;
/// Less is cheaper as it is, beside other bytes.
const LEAST_SHARED: usize = 64;
