use crate::container::{Rows, Samples, Wrapper};
use crate::error::DeltaError;
use crate::pixels;
use crate::recompressor::Recompressor;
use crate::wire::{Reader, put_signed, put_varint};

// A step is one variable-length integer, `argument << 2 | kind`, and what its kind adds.
const COPY: u64 = 0;
const OLD: u64 = 1;
const STREAM: u64 = 2;
const END: u64 = 3;

/// The bits that a stream's shape has beside the number of its wrapper. Nothing is nested in an image: of
/// one that is, the rows are coded.
const NESTED: u8 = 1 << 7;
const HAS_OLD: u8 = 1 << 6;
const IMAGE: u8 = 1 << 5;

/// One step of a script, which says how a group's content is closed into what its members hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScriptStep {
    /// The next bytes of the content, as they are.
    Copy(u64),
    /// Bytes of an old file, as they are.
    Old {
        /// The file's index in the old listing.
        index: usize,
        /// Where they start in it.
        offset: u64,
        /// How many they are.
        length: u64,
    },
    /// A compressed stream.
    Stream(StreamStep),
    /// The end of a stream whose plaintext other steps make.
    End,
}

/// A compressed stream, rebuilt from its plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamStep {
    /// Bytes of the plaintext.
    pub(crate) plain_length: u64,
    /// What stands around the deflate stream.
    pub(crate) wrapper: Wrapper,
    /// How the plaintext is filtered, where it is the rows of an image.
    pub(crate) rows: Option<Rows>,
    /// How its rows are coded, where they do not stand in the content as they are.
    pub(crate) coded: Option<CodedRows>,
    /// How the deflate stream is made.
    pub(crate) recipe: Vec<u8>,
    /// The stream that the recipe follows: its number among those that the reference inflates.
    pub(crate) old: Option<usize>,
    /// Whether steps make the plaintext, up to an end, instead of the next bytes of the content.
    pub(crate) is_nested: bool,
}

/// An image's rows as they stand in the content when they are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodedRows {
    /// Their bytes there.
    pub(crate) length: u64,
    /// What their pixels are made of.
    pub(crate) samples: Samples,
}

impl StreamStep {
    /// Returns how many bytes are gathered before the stream is closed: those of the plaintext, or of what
    /// it is made of.
    pub(crate) fn gathered(&self) -> u64 {
        self.coded.map_or(self.plain_length, |coded| coded.length)
    }

    /// Returns how many of them are the next ones of the content, and not what steps make.
    pub(crate) fn taken(&self) -> u64 {
        if self.is_nested { 0 } else { self.gathered() }
    }

    /// Returns the coded rows of which the plaintext is made while it is closed, so that nobody holds it.
    pub(crate) fn passing(&self) -> Option<(Rows, CodedRows)> {
        let coded = self.rows.zip(self.coded);
        coded.filter(|_| Recompressor::takes_parts(&self.recipe))
    }

    /// Returns how many bytes closing the stream holds at most beside its tables: the plaintext, twice where
    /// it is filtered, unless it passes by.
    pub(crate) fn held(&self) -> u64 {
        let Some(rows) = self.rows else {
            return self.plain_length;
        };
        let Some(coded) = self.coded else {
            return self.plain_length.saturating_mul(2);
        };
        let plain = match self.passing() {
            Some(_) => PASSING_BYTES.saturating_add((rows.stride as u64).saturating_mul(2)),
            None => self.plain_length,
        };
        plain
            .saturating_add(coded.length)
            .saturating_add(pixels::memory(rows))
    }
}

/// What is held of a plaintext that passes by, beside twice its last row: zlib's window, a part, and as much
/// again while it grows.
const PASSING_BYTES: u64 = 1 << 19;

/// Writes a script.
#[derive(Default)]
pub(crate) struct ScriptWriter {
    bytes: Vec<u8>,
    next_index: i64,
    next_old: i64,
}

impl ScriptWriter {
    /// Appends a step.
    pub(crate) fn push(&mut self, step: &ScriptStep) {
        let out = &mut self.bytes;
        match step {
            ScriptStep::Copy(length) => put_varint(out, length << 2 | COPY),
            ScriptStep::Old {
                index,
                offset,
                length,
            } => {
                put_varint(out, length << 2 | OLD);
                let index = i64::try_from(*index).unwrap_or(i64::MAX);
                put_signed(out, index - self.next_index);
                self.next_index = index;
                put_varint(out, *offset);
            }
            ScriptStep::Stream(stream) => {
                put_varint(out, stream.plain_length << 2 | STREAM);
                let is_marked = stream.is_nested || stream.coded.is_some();
                let nested = if is_marked { NESTED } else { 0 };
                let has_old = if stream.old.is_some() { HAS_OLD } else { 0 };
                let image = if stream.rows.is_some() { IMAGE } else { 0 };
                // The wrapper's first byte leaves its upper bits for these.
                let first = out.len();
                stream.wrapper.encode(out);
                if let Some(first) = out.get_mut(first) {
                    *first |= nested | has_old | image;
                }
                if let Some(rows) = stream.rows {
                    rows.write(out);
                }
                if let Some(coded) = stream.coded {
                    let numbers = u64::from(coded.samples == Samples::Numbers);
                    put_varint(out, coded.length << 1 | numbers);
                }
                put_varint(out, stream.recipe.len() as u64);
                out.extend_from_slice(&stream.recipe);
                if let Some(old) = stream.old {
                    let old = i64::try_from(old).unwrap_or(i64::MAX);
                    put_signed(out, old - self.next_old);
                    self.next_old = old + 1;
                }
            }
            ScriptStep::End => put_varint(out, END),
        }
    }

    /// Returns how many bytes the steps so far have.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the script with its length before it, as content starts with it.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 4);
        put_varint(&mut out, self.bytes.len() as u64);
        out.extend_from_slice(&self.bytes);
        out
    }
}

/// Reads a script step by step.
pub(crate) struct ScriptReader {
    bytes: Vec<u8>,
    at: usize,
    next_index: i64,
    next_old: i64,
}

impl ScriptReader {
    /// Returns a reader of the script in `bytes`.
    pub(crate) fn new(bytes: Vec<u8>) -> ScriptReader {
        ScriptReader {
            bytes,
            at: 0,
            next_index: 0,
            next_old: 0,
        }
    }

    /// Returns the next step, or nothing at the script's end.
    pub(crate) fn next(&mut self) -> Result<Option<ScriptStep>, DeltaError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new("script", rest);
        let step = reader.varint()?;
        let argument = step >> 2;
        let step = match step & 3 {
            COPY if argument > 0 => ScriptStep::Copy(argument),
            OLD if argument > 0 => {
                let index = self.next_index.checked_add(reader.signed()?);
                let place = index.and_then(|index| usize::try_from(index).ok());
                let (Some(signed), Some(index)) = (index, place) else {
                    return Err(self.malformed("it copies from no old file"));
                };
                self.next_index = signed;
                ScriptStep::Old {
                    index,
                    offset: reader.varint()?,
                    length: argument,
                }
            }
            STREAM => {
                let shape = reader.peek()?;
                let wrapper = Wrapper::decode(&mut reader, !(NESTED | HAS_OLD | IMAGE))?;
                let rows = match shape & IMAGE {
                    0 => None,
                    _ => Some(Rows::read(&mut reader)?),
                };
                let is_marked = shape & NESTED != 0;
                let coded = match rows {
                    Some(_) if is_marked => {
                        let coded = reader.varint()?;
                        Some(CodedRows {
                            length: coded >> 1,
                            samples: match coded & 1 {
                                0 => Samples::Symbols,
                                _ => Samples::Numbers,
                            },
                        })
                    }
                    _ => None,
                };
                let recipe_length = reader.size()?;
                let recipe = reader.slice(recipe_length)?.to_vec();
                let old = match shape & HAS_OLD {
                    0 => None,
                    _ => {
                        let number = self.next_old.checked_add(reader.signed()?);
                        let old = number.and_then(|number| usize::try_from(number).ok());
                        let (Some(number), Some(old)) = (number, old) else {
                            return Err(self.malformed("it follows no old stream"));
                        };
                        self.next_old = number.saturating_add(1);
                        Some(old)
                    }
                };
                ScriptStep::Stream(StreamStep {
                    plain_length: argument,
                    wrapper,
                    rows,
                    coded,
                    recipe,
                    old,
                    is_nested: is_marked && coded.is_none(),
                })
            }
            END if argument == 0 => ScriptStep::End,
            _ => return Err(self.malformed(&format!("a step of unknown kind {step}"))),
        };
        self.at += reader.position();
        Ok(Some(step))
    }

    /// Returns the error of a rule broken in the step that is read.
    pub(crate) fn malformed(&self, problem: &str) -> DeltaError {
        DeltaError::malformed("script", self.at, problem)
    }
}
