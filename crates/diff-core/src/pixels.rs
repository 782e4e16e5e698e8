//! The rows of an image, coded by what stands around each pixel: for images of which a device has nothing
//! that copies could be taken from.

mod decisions;
mod model;
mod numbers;
mod picture;
mod symbols;
mod vicinity;

#[cfg(test)]
mod plain;

#[cfg(test)]
mod tests;

use crate::Cancelled;
use crate::container::{Rows, Samples};
use crate::entropy::{BitDecoder, BitEncoder, Coder};
use crate::error::DeltaError;
use model::Model;
use picture::Picture;

/// Returns the filtered rows of an image, which `plain` is, coded.
///
/// # Errors
///
/// Fails when it is no such rows, or when `check` does.
pub(crate) fn encode(
    plain: &[u8],
    rows: Rows,
    samples: Samples,
    check: &dyn Fn() -> Result<(), Cancelled>,
) -> Result<Vec<u8>, DeltaError> {
    if !rows.are(plain) {
        return Err(refused("it is no rows of this length"));
    }
    let mut pixels = vec![0; rows.row_bytes(plain.len() as u64)];
    let mut picture = picture(BitEncoder::new(), rows, pixels.len(), samples)?;
    for row in plain.chunks_exact(rows.stride) {
        check()?;
        let Some((filter, filtered)) = row.split_first() else {
            break;
        };
        pixels.copy_from_slice(filtered);
        let [above, _] = picture.last();
        rows.undo(*filter, &mut pixels, above);
        picture.filter(*filter);
        picture.row(&mut pixels);
    }
    Ok(picture.into_coder().finish())
}

/// Reads the rows that [`encode`] coded, one after the other.
pub(crate) struct RowsDecoder<'a> {
    picture: Box<dyn Picture<BitDecoder<'a>> + 'a>,
    rows: Rows,
    /// How many are left.
    left: u64,
    pixels: Vec<u8>,
    filtered: Vec<u8>,
}

impl<'a> RowsDecoder<'a> {
    /// Returns what reads filtered rows of so many bytes in all.
    ///
    /// # Errors
    ///
    /// Fails when there are no such rows.
    pub(crate) fn new(
        coded: &'a [u8],
        plain_length: u64,
        rows: Rows,
        samples: Samples,
    ) -> Result<RowsDecoder<'a>, DeltaError> {
        let stride = rows.stride as u64;
        if !plain_length.is_multiple_of(stride) {
            let told = format!("{plain_length} bytes are no whole rows of {stride}");
            return Err(refused(&told));
        }
        let length = rows.row_bytes(plain_length);
        Ok(RowsDecoder {
            picture: picture(BitDecoder::new(coded), rows, length, samples)?,
            rows,
            left: plain_length / stride,
            pixels: vec![0; length],
            filtered: Vec::with_capacity(length + 1),
        })
    }

    /// Returns the next row with its filter applied, or nothing behind the last one.
    ///
    /// # Errors
    ///
    /// Fails when the row has no filter that exists, or when bytes are left over behind the last one.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, DeltaError> {
        if self.left == 0 {
            return match self.picture.coder().is_at_end() {
                true => Ok(None),
                false => Err(refused("bytes are left over behind its last row")),
            };
        }
        self.left -= 1;
        let filter = self.picture.filter(0);
        self.pixels.fill(0);
        self.picture.row(&mut self.pixels);
        let [row, above] = self.picture.last();
        self.filtered.clear();
        match self.rows.apply(filter, row, above, &mut self.filtered) {
            true => Ok(Some(&self.filtered)),
            false => Err(refused(&format!("a row has the filter {filter}"))),
        }
    }
}

/// Returns how many bytes coding or reading such rows takes beside what is coded and read.
pub(crate) fn memory(rows: Rows) -> u64 {
    // Three rows, the differences of two, the pixels and the filtered bytes of one.
    MODEL_BYTES.saturating_add((rows.stride as u64).saturating_mul(9))
}

fn picture<'c, C: Coder + 'c>(
    coder: C,
    rows: Rows,
    row_bytes: usize,
    samples: Samples,
) -> Result<Box<dyn Picture<C> + 'c>, DeltaError> {
    if !row_bytes.is_multiple_of(rows.pixel) {
        let told = format!("rows of {row_bytes} bytes hold no pixels of {}", rows.pixel);
        return Err(refused(&told));
    }
    if samples == Samples::Symbols && rows.pixel != 1 {
        return Err(refused("symbols have a byte each"));
    }
    let width = row_bytes / rows.pixel;
    Ok(match rows.pixel {
        1 => Box::new(Model::<C, 1>::new(coder, width, samples)),
        2 => Box::new(Model::<C, 2>::new(coder, width, samples)),
        3 => Box::new(Model::<C, 3>::new(coder, width, samples)),
        4 => Box::new(Model::<C, 4>::new(coder, width, samples)),
        6 => Box::new(Model::<C, 6>::new(coder, width, samples)),
        8 => Box::new(Model::<C, 8>::new(coder, width, samples)),
        other => return Err(refused(&format!("its pixels have {other} bytes"))),
    })
}

fn refused(told: &str) -> DeltaError {
    DeltaError::malformed("coded image", 0, told)
}

/// What a model's tables take at most.
const MODEL_BYTES: u64 = 2 << 20;
