use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::container::{Shape, compressed, unwrap};
use crate::delta::{ImageStep, OpeningStep, Source};
use crate::error::DeltaError;
use crate::space::Space;
use crate::{Cancelled, FileBytes};

/// Reads the file that a source is of, by its index.
pub(super) type Read<'r> = dyn Fn(usize) -> Result<FileBytes, DeltaError> + 'r;

/// Returns the bytes of `sources`, one after the other: a single part of one file where it lies,
/// others assembled.
pub(super) fn reference(
    sources: &[Source],
    read: &Read<'_>,
    check: &dyn Fn() -> Result<(), Cancelled>,
) -> Result<Reference, DeltaError> {
    if let [source] = sources
        && let Some(span) = source.span()
    {
        let bytes = read(source.index)?;
        let range = range(&bytes, span).ok_or_else(|| outside(source.index))?;
        return Ok(Reference::InPlace(bytes, range));
    }
    let lengths = sources.iter().map(Source::length);
    let length = usize::try_from(lengths.fold(0, u64::saturating_add));
    let mut assembled = Assembled {
        bytes: Space::for_bytes(length.unwrap_or_default()),
        streams: Vec::new(),
    };
    for source in sources {
        let bytes = read(source.index)?;
        match source.span() {
            Some(span) => {
                let range = range(&bytes, span).ok_or_else(|| outside(source.index))?;
                let taken = bytes.get(range).unwrap_or_default();
                assembled.bytes.append(taken);
            }
            None => assembled.open(bytes, &source.steps, check)?,
        }
    }
    Ok(Reference::Assembled(assembled))
}

/// Bytes that a frame is coded against.
pub(super) enum Reference {
    /// A part of one file, where it lies.
    InPlace(FileBytes, Range<usize>),
    /// Parts of files, or nothing.
    Assembled(Assembled),
}

/// Parts of files and inflated streams, one after the other.
pub(super) struct Assembled {
    bytes: Space,
    streams: Vec<Inflated>,
}

/// A stream of an old file that stands inflated in the bytes.
struct Inflated {
    file: Arc<FileBytes>,
    shape: Shape,
    /// Where it stands in its file.
    packed: Range<usize>,
    /// Where its plaintext stands in the reference, where all of it does.
    plain: Option<Range<usize>>,
}

impl Assembled {
    /// Appends what `steps` take of a file.
    fn open(
        &mut self,
        file: FileBytes,
        steps: &[OpeningStep],
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Result<(), DeltaError> {
        let file = Arc::new(file);
        let mut at = 0;
        for step in steps {
            check()?;
            let start = self.bytes.len();
            let packed = walk(&mut self.bytes, step, &file, &mut at)?;
            if let (Some((shape, packed)), OpeningStep::Inflate { steps, image, .. }) =
                (packed, step)
            {
                let plain = start..self.bytes.len();
                self.streams.push(Inflated {
                    file: Arc::clone(&file),
                    shape,
                    packed,
                    plain: (steps.is_empty() && image.is_none()).then_some(plain),
                });
            }
        }
        Ok(())
    }
}

/// Takes one step through `bytes` from `at` on, and returns where the stream stood that it inflated.
fn walk(
    out: &mut Space,
    step: &OpeningStep,
    bytes: &[u8],
    at: &mut usize,
) -> Result<Option<(Shape, Range<usize>)>, DeltaError> {
    let outside =
        |at: usize| DeltaError::malformed("opening", at, "a step leaves what it walks through");
    let start = *at;
    match step {
        OpeningStep::Take(length) | OpeningStep::Skip(length) => {
            let length = usize::try_from(*length).ok();
            let end = length.and_then(|length| start.checked_add(length));
            let end = end.ok_or_else(|| outside(start))?;
            let passed = bytes.get(start..end).ok_or_else(|| outside(start))?;
            if let OpeningStep::Take(_) = step {
                out.append(passed);
            }
            *at = end;
            Ok(None)
        }
        OpeningStep::Inflate {
            shape,
            plain_length,
            image,
            steps,
        } => {
            let room = usize::try_from(*plain_length).unwrap_or_default();
            let inflate = |out: &mut Space| {
                let found = unwrap(*shape, bytes, start, *plain_length, &mut |piece| {
                    out.append(piece);
                    Ok(())
                });
                found.map(|found| found.end)
            };
            *at = if let Some(image) = image {
                let mut plain = Space::for_bytes(room);
                let end = inflate(&mut plain)?;
                let opened = open_image(image, &plain, bytes);
                let told = "an old image has no such rows";
                let opened = opened.ok_or_else(|| DeltaError::malformed("opening", start, told))?;
                out.append(&opened);
                end
            } else if steps.is_empty() {
                inflate(out)?
            } else {
                let mut plain = Space::for_bytes(room);
                let end = inflate(&mut plain)?;
                let mut place = 0;
                for step in steps {
                    walk(out, step, &plain, &mut place)?;
                }
                end
            };
            Ok(Some((*shape, start..*at)))
        }
    }
}

/// Takes the filters off the rows of an image, which stands in `file`, and converts its pixels.
fn open_image(image: &ImageStep, plain: &[u8], file: &[u8]) -> Option<Space> {
    let opened = image.rows.unfilter(plain)?;
    match &image.converted {
        None => Some(opened),
        Some((pixels, pixel)) => pixels.convert(&opened, image.rows, file, *pixel),
    }
}

impl Reference {
    /// Returns the inflated stream with this number.
    pub(super) fn stream(&self, number: usize) -> Option<OldStream<'_>> {
        let Reference::Assembled(assembled) = self else {
            return None;
        };
        let stream = assembled.streams.get(number)?;
        let plain = assembled.bytes.get(stream.plain.clone()?)?;
        Some(OldStream { stream, plain })
    }
}

/// A stream of an old file that is taken whole.
pub(super) struct OldStream<'r> {
    stream: &'r Inflated,
    /// What it inflates to.
    pub(super) plain: &'r [u8],
}

impl<'r> OldStream<'r> {
    /// Returns how many bytes it has in its file, which its deflate bytes are hardly more than.
    pub(super) fn compressed_bytes(&self) -> u64 {
        self.stream.packed.len() as u64
    }

    /// Returns its deflate bytes.
    pub(super) fn compressed(&self) -> Result<Cow<'r, [u8]>, DeltaError> {
        let stream = self.stream;
        compressed(stream.shape, &stream.file, stream.packed.clone())
    }
}

impl Deref for Reference {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Reference::InPlace(bytes, range) => bytes.get(range.clone()).unwrap_or_default(),
            Reference::Assembled(assembled) => &assembled.bytes,
        }
    }
}

fn range(bytes: &[u8], span: Range<u64>) -> Option<Range<usize>> {
    let range = usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?;
    bytes.get(range.clone()).map(|_| range)
}

fn outside(index: usize) -> DeltaError {
    DeltaError::malformed("plan", 0, format!("it refers outside file {index}"))
}
