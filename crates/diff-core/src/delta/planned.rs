use std::ops::Range;

use crate::container::{Pixels, Rows, Shape};
use crate::method::{Method, codec};
use crate::{ContentPath, Limits};

/// One file of the new tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where the file lies within the new tree.
    pub path: ContentPath,
    /// How many bytes it has.
    pub length: u64,
    /// Where its content comes from.
    pub origin: Origin,
}

/// Where the content of a new file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The old file with this index in the old listing, under this path or another.
    Old(usize),
    /// The same content as the file with this index in the plan, which is always a built one.
    SameAs(usize),
    /// Made by the delta.
    Built,
}

/// Files that are made together: the frames, one after the other, give the group's content, which is
/// the members' contents, or what these are closed from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    /// The built files, by their index in the plan, in the order in which they come out.
    pub(crate) members: Vec<usize>,
    /// Where the content is not the members' own: how it is closed into them.
    pub(crate) opened: Option<Opened>,
    /// The frames; none when all members are empty.
    pub(crate) frames: Vec<Frame>,
}

/// Content that starts with a script, which says how the rest is closed into the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Bytes of the content, script included.
    pub(crate) bytes: u64,
    /// Bytes of private memory that closing takes at most.
    pub(crate) memory: u64,
}

impl Group {
    /// Returns the private memory that making the group takes, its frames one after the other.
    pub(crate) fn memory(&self, limits: &Limits) -> u64 {
        let frames = self.frames.iter().map(|frame| frame.memory(limits));
        let closing = self.opened.map_or(0, |opened| opened.memory);
        frames.max().unwrap_or(0).saturating_add(closing)
    }
}

/// A piece of a group that decodes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// How it is coded.
    pub(crate) method: Method,
    /// The bytes that it is coded against, one source after the other.
    pub(crate) references: Vec<Source>,
    /// How many bytes come out.
    pub(crate) decoded_length: u64,
    /// Where the coded bytes lie within the delta.
    pub(crate) encoded: Range<usize>,
}

impl Frame {
    /// Returns how many bytes are copied, inflated or learned from before anything comes out.
    pub(crate) fn preparation(&self, limits: &Limits) -> u64 {
        let assembled = match self.references.as_slice() {
            [source] if source.span().is_some() => 0,
            sources => sum(sources.iter().map(Source::walked)),
        };
        let learned = match self.method {
            Method::Solid | Method::Light => {
                let window = limits.max_window_bytes;
                let memory = codec(self.method).decoding_memory(self.decoded_length, window);
                let tables = memory.saturating_sub(self.decoded_length);
                tables.saturating_add(sum(self.references.iter().map(Source::length)))
            }
            Method::Store | Method::Zstd | Method::Bsdiff => 0,
        };
        assembled.saturating_add(learned)
    }

    /// Returns the private memory that decoding takes: bytes of one old file are used where they are
    /// mapped, others are copied together.
    pub(crate) fn memory(&self, limits: &Limits) -> u64 {
        let copied = match self.references.as_slice() {
            [] => 0,
            [source] if source.span().is_some() => 0,
            sources => sum(sources.iter().map(Source::memory)),
        };
        let window = limits.max_window_bytes;
        codec(self.method)
            .decoding_memory(self.decoded_length, window)
            .saturating_add(copied)
    }
}

/// Bytes of an old file, or of a new one that a group before makes, as it lies there or with some of its
/// compressed streams inflated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The old file's index in the old listing; behind these, the new one's in the plan.
    pub(crate) index: usize,
    /// How many bytes it has.
    pub(crate) file_length: u64,
    /// What is taken of the file, from its start on; nothing here takes all of it as it is.
    pub(crate) steps: Vec<OpeningStep>,
}

/// One step through an old file, or through an inflated stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpeningStep {
    /// The next bytes are taken as they are.
    Take(u64),
    /// The next bytes are left out.
    Skip(u64),
    /// Here stands a compressed stream.
    Inflate {
        /// How it is wrapped.
        shape: Shape,
        /// Bytes of its plaintext.
        plain_length: u64,
        /// What the plaintext is, where it is the rows of an image.
        image: Option<ImageStep>,
        /// What is taken of the plaintext; nothing here takes all of it.
        steps: Vec<OpeningStep>,
    },
}

/// The rows of an image, which are taken without their filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageStep {
    /// How they are filtered.
    pub(crate) rows: Rows,
    /// What their pixels are, and how many bytes each of them gets, where they are converted.
    pub(crate) converted: Option<(Pixels, usize)>,
}

impl ImageStep {
    /// Returns how many bytes are taken of so many.
    pub(crate) fn taken(&self, plain_length: u64) -> u64 {
        let converted = self.converted.as_ref().and_then(|(pixels, pixel)| {
            let height = plain_length.checked_div(self.rows.stride as u64)?;
            let bytes = pixels.converted_bytes(usize::try_from(height).ok()?, *pixel)?;
            u64::try_from(bytes).ok()
        });
        converted.unwrap_or(plain_length)
    }
}

impl Source {
    /// Returns the source that is the whole file as it is.
    pub(crate) fn whole(index: usize, file_length: u64) -> Source {
        Source {
            index,
            file_length,
            steps: Vec::new(),
        }
    }

    /// Returns how many bytes the source adds to a reference.
    pub(crate) fn length(&self) -> u64 {
        match self.steps.as_slice() {
            [] => self.file_length,
            steps => taken(steps),
        }
    }

    /// Returns the part of the file that the source is, where it is one as it lies there.
    pub(crate) fn span(&self) -> Option<Range<u64>> {
        match self.steps.as_slice() {
            [] => Some(0..self.file_length),
            [OpeningStep::Take(length)] => Some(0..*length),
            [OpeningStep::Skip(offset), OpeningStep::Take(length)] => {
                Some(*offset..offset.checked_add(*length)?)
            }
            _ => None,
        }
    }

    /// Returns how many bytes assembling copies or inflates.
    fn walked(&self) -> u64 {
        match self.steps.as_slice() {
            [] => self.file_length,
            steps => walked(steps),
        }
    }

    /// Returns how much memory assembling takes: what is taken, and the largest plaintext of which
    /// only parts are.
    fn memory(&self) -> u64 {
        self.length().saturating_add(passing(&self.steps))
    }
}

fn taken(steps: &[OpeningStep]) -> u64 {
    sum(steps.iter().map(|step| match step {
        OpeningStep::Take(length) => *length,
        OpeningStep::Skip(_) => 0,
        OpeningStep::Inflate {
            plain_length,
            image,
            steps,
            ..
        } if steps.is_empty() => match image {
            None => *plain_length,
            Some(image) => image.taken(*plain_length),
        },
        OpeningStep::Inflate { steps, .. } => taken(steps),
    }))
}

fn walked(steps: &[OpeningStep]) -> u64 {
    sum(steps.iter().map(|step| match step {
        OpeningStep::Take(length) => *length,
        OpeningStep::Skip(_) => 0,
        OpeningStep::Inflate {
            plain_length,
            image,
            steps,
            ..
        } => {
            let image = image.as_ref().map_or(0, |image| image.taken(*plain_length));
            plain_length
                .saturating_add(image)
                .saturating_add(walked(steps))
        }
    }))
}

fn passing(steps: &[OpeningStep]) -> u64 {
    let passing = steps.iter().map(|step| match step {
        OpeningStep::Inflate {
            plain_length,
            image,
            steps,
            ..
        } => {
            let image = image.as_ref().map_or(0, |image| match image.converted {
                // The rows as they are filtered, then as they are, then converted.
                Some(_) => plain_length.saturating_mul(2),
                None => *plain_length,
            });
            let nested = match steps.is_empty() {
                true => 0,
                false => plain_length.saturating_add(passing(steps)),
            };
            image.saturating_add(nested)
        }
        OpeningStep::Take(_) | OpeningStep::Skip(_) => 0,
    });
    passing.max().unwrap_or(0)
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}
