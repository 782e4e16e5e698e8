use super::planned::{ImageStep, OpeningStep};
use crate::Limits;
use crate::container::{Pixels, Rows, Shape};
use crate::error::DeltaError;
use crate::wire::{Reader, put_varint};

// A step is one variable-length integer, `argument << 2 | kind`, and what its kind adds.
const TAKE: u64 = 0;
const SKIP: u64 = 1;
const INFLATE: u64 = 2;

/// The bit of an inflated stream's shape that says that steps through its plaintext follow.
const NESTED: u8 = 1 << 7;
/// The bits that say that the plaintext is the rows of an image, and that these are converted.
const IMAGE: u8 = 1 << 6;
const CONVERTED: u8 = 1 << 5;
/// The bits of the shape.
const SHAPE: u8 = 3;

/// Appends the steps of a source: their number, then each.
pub(super) fn write_steps(out: &mut Vec<u8>, steps: &[OpeningStep]) {
    put_varint(out, steps.len() as u64);
    for step in steps {
        match step {
            OpeningStep::Take(length) => put_varint(out, length << 2 | TAKE),
            OpeningStep::Skip(length) => put_varint(out, length << 2 | SKIP),
            OpeningStep::Inflate {
                shape,
                plain_length,
                image,
                steps,
            } => {
                put_varint(out, plain_length << 2 | INFLATE);
                let nested = if steps.is_empty() { 0 } else { NESTED };
                let converted = image.as_ref().and_then(|image| image.converted.as_ref());
                let kind = match (image, converted) {
                    (None, _) => 0,
                    (Some(_), None) => IMAGE,
                    (Some(_), Some(_)) => IMAGE | CONVERTED,
                };
                out.push(shape.number() | nested | kind);
                if let Some(image) = image {
                    image.rows.write(out);
                }
                if let Some((pixels, pixel)) = converted {
                    put_varint(out, *pixel as u64);
                    pixels.write(out);
                }
                if !steps.is_empty() {
                    write_steps(out, steps);
                }
            }
        }
    }
}

/// Reads the steps through a file with this path and length, of which there may be `steps_left` in the whole
/// delta.
pub(super) fn read_steps(
    reader: &mut Reader<'_>,
    (name, length): (&str, u64),
    steps_left: &mut u64,
    limits: &Limits,
) -> Result<Vec<OpeningStep>, DeltaError> {
    let mut walk = Walk {
        steps_left,
        limits,
        name,
    };
    walk.steps(reader, Some(length), 0)
}

struct Walk<'a> {
    steps_left: &'a mut u64,
    limits: &'a Limits,
    name: &'a str,
}

impl Walk<'_> {
    /// Reads steps through `available` bytes. Behind an inflated stream nobody knows how many are
    /// left: whoever walks finds out.
    fn steps(
        &mut self,
        reader: &mut Reader<'_>,
        mut available: Option<u64>,
        depth: usize,
    ) -> Result<Vec<OpeningStep>, DeltaError> {
        let count = reader.varint()?;
        let limit = self.limits.max_frames;
        let claimed = (limit - *self.steps_left).saturating_add(count);
        DeltaError::check_limit("steps through old files", claimed, limit)?;
        *self.steps_left = limit - claimed;
        let mut steps = Vec::new();
        for _ in 0..count {
            let step = reader.varint()?;
            let argument = step >> 2;
            let refused = |reader: &Reader<'_>, problem: &str| {
                reader.malformed(format!(
                    "a step of {argument} bytes in {}: {problem}",
                    self.name
                ))
            };
            if argument == 0 {
                return Err(refused(reader, "it does nothing"));
            }
            match step & 3 {
                kind @ (TAKE | SKIP) => {
                    if let Some(left) = &mut available {
                        let Some(rest) = left.checked_sub(argument) else {
                            let told = format!("{left} are left");
                            return Err(refused(reader, &told));
                        };
                        *left = rest;
                    }
                    steps.push(match kind {
                        TAKE => OpeningStep::Take(argument),
                        _ => OpeningStep::Skip(argument),
                    });
                }
                INFLATE => {
                    let limit = self.limits.max_stream_bytes;
                    DeltaError::check_limit("bytes of an inflated stream", argument, limit)?;
                    let byte = reader.byte()?;
                    if byte & !(NESTED | IMAGE | CONVERTED | SHAPE) != 0 {
                        return Err(refused(reader, "it is wrapped in an unknown way"));
                    }
                    let shape = Shape::of_number(byte);
                    let image = self.image(reader, byte, argument)?;
                    let nested = if byte & NESTED == 0 {
                        Vec::new()
                    } else if depth + 1 >= MAX_DEPTH {
                        return Err(refused(reader, "it is nested too deeply"));
                    } else {
                        let nested = self.steps(reader, Some(argument), depth + 1)?;
                        if nested.is_empty() {
                            return Err(reader.malformed("a nested stream has no steps"));
                        }
                        nested
                    };
                    available = None;
                    steps.push(OpeningStep::Inflate {
                        shape,
                        plain_length: argument,
                        image,
                        steps: nested,
                    });
                }
                kind => return Err(reader.malformed(format!("a step of unknown kind {kind}"))),
            }
        }
        Ok(steps)
    }

    fn image(
        &self,
        reader: &mut Reader<'_>,
        kind: u8,
        plain_length: u64,
    ) -> Result<Option<ImageStep>, DeltaError> {
        if kind & IMAGE == 0 {
            return match kind & CONVERTED {
                0 => Ok(None),
                _ => Err(reader.malformed("what is no image is converted")),
            };
        }
        if kind & NESTED != 0 {
            return Err(reader.malformed("an image has no streams in it"));
        }
        let rows = Rows::read(reader)?;
        let converted = match kind & CONVERTED {
            0 => None,
            _ => {
                let pixel = reader.size()?;
                let pixels = Pixels::read(reader)?;
                if !pixels.can_become(pixel) {
                    return Err(reader.malformed(format!("pixels that cannot have {pixel} bytes")));
                }
                Some((pixels, pixel))
            }
        };
        let image = ImageStep { rows, converted };
        let limit = self.limits.max_stream_bytes;
        DeltaError::check_limit("bytes of an image", image.taken(plain_length), limit)?;
        Ok(Some(image))
    }
}

/// How deeply streams may stand in one another: a PDF in a gzip file in a zip entry.
pub(crate) const MAX_DEPTH: usize = 3;
