use std::ops::Range;

use crate::error::DeltaError;
use crate::space::Space;
use crate::wire::{Reader, put_varint};

/// The filtered rows of an image: each starts with the number of its filter (PNG, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Bytes of a row, the filter's included.
    pub(crate) stride: usize,
    /// Bytes of a pixel, one where several share a byte.
    pub(crate) pixel: usize,
}

/// What the pixels of an image are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pixels {
    /// The colour type of PNG: 0 grey, 2 colours, 3 palette, 4 grey and alpha, 6 colours and alpha.
    pub(crate) colours: u8,
    /// Bits of a sample: 1, 2, 4 or 8.
    pub(crate) depth: u8,
    /// Pixels of a row.
    pub(crate) width: usize,
    /// Where the palette stands in the file, three bytes a colour, and the alphas of its first colours.
    pub(crate) palette: Range<usize>,
    pub(crate) alphas: Range<usize>,
}

/// What the bytes of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Samples {
    /// Numbers without an order: places in a palette, or several of them in a byte.
    Symbols,
    /// Brightness: what is near in the image is near in number.
    Numbers,
}

const LAST_FILTER: u8 = 4;
const GREY: u8 = 0;
const COLOURS: u8 = 2;
const PALETTE: u8 = 3;
const GREY_ALPHA: u8 = 4;
const COLOURS_ALPHA: u8 = 6;

impl Rows {
    /// Returns the numbers of the filters, and behind them the rows without their filters; nothing where
    /// the plaintext is no such rows.
    pub(crate) fn unfilter(self, plain: &[u8]) -> Option<Space> {
        let height = self.height(plain.len()).filter(|_| self.are(plain))?;
        let mut opened = Space::for_bytes(plain.len());
        for row in plain.chunks_exact(self.stride) {
            opened.append(row.get(..1)?);
        }
        let mut above = vec![0; self.row_bytes(plain.len() as u64)];
        for row in plain.chunks_exact(self.stride) {
            let (filter, row) = row.split_first()?;
            let start = opened.len();
            opened.append(row);
            let row = opened.get_mut(start..)?;
            undo(*filter, row, &above, self.pixel);
            above.copy_from_slice(row);
        }
        debug_assert_eq!(opened.len(), height * self.stride);
        Some(opened)
    }

    /// Whether a plaintext is such rows.
    pub(crate) fn are(self, plain: &[u8]) -> bool {
        let first = |row: &[u8]| row.first().is_some_and(|filter| *filter <= LAST_FILTER);
        self.height(plain.len()).is_some() && plain.chunks_exact(self.stride).all(first)
    }

    /// Returns the plaintext of which [`Rows::unfilter`] made `opened`.
    pub(crate) fn refilter(self, opened: &[u8]) -> Option<Space> {
        let height = self.height(opened.len())?;
        let (filters, pixels) = opened.split_at_checked(height)?;
        let mut plain = Space::for_bytes(opened.len());
        let row_bytes = self.row_bytes(opened.len() as u64);
        let mut filtered = Vec::with_capacity(row_bytes + 1);
        let mut above = &vec![0; row_bytes][..];
        for (filter, row) in filters.iter().zip(pixels.chunks_exact(self.stride - 1)) {
            filtered.clear();
            if !self.apply(*filter, row, above, &mut filtered) {
                return None;
            }
            plain.append(&filtered);
            above = row;
        }
        Some(plain)
    }

    /// Undoes the filter of a row in place.
    pub(crate) fn undo(self, filter: u8, row: &mut [u8], above: &[u8]) {
        undo(filter, row, above, self.pixel);
    }

    /// Appends a row with its filter applied, the filter's number first; nothing where there is no such.
    pub(crate) fn apply(self, filter: u8, row: &[u8], above: &[u8], out: &mut Vec<u8>) -> bool {
        if filter > LAST_FILTER {
            return false;
        }
        out.push(filter);
        apply(filter, row, above, self.pixel, out);
        true
    }

    fn height(self, length: usize) -> Option<usize> {
        let is_rows = self.stride > 1 && self.pixel > 0 && length.is_multiple_of(self.stride);
        is_rows.then(|| length / self.stride)
    }

    /// Returns the bytes of a row without its filter, of so many in all: where there is no row, its length is a
    /// mere claim.
    pub(crate) fn row_bytes(self, all: u64) -> usize {
        match all {
            0 => 0,
            _ => self.stride - 1,
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        put_varint(out, self.stride as u64);
        put_varint(out, self.pixel as u64);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Rows, DeltaError> {
        let rows = Rows {
            stride: reader.size()?,
            pixel: reader.size()?,
        };
        match rows.stride > 1 && rows.pixel > 0 {
            true => Ok(rows),
            false => Err(reader.malformed("rows of no pixels")),
        }
    }
}

/// Undoes the filter of a row in place.
fn undo(filter: u8, row: &mut [u8], above: &[u8], pixel: usize) {
    match (filter, pixel) {
        (0, _) => {}
        (2, _) => {
            for (byte, above) in row.iter_mut().zip(above) {
                *byte = byte.wrapping_add(*above);
            }
        }
        (_, 1) => undo_pixels::<1>(filter, row, above),
        (_, 2) => undo_pixels::<2>(filter, row, above),
        (_, 3) => undo_pixels::<3>(filter, row, above),
        (_, 4) => undo_pixels::<4>(filter, row, above),
        _ => undo_bytes(filter, row, above, 0, pixel),
    }
}

/// Undoes the filter of a row whose pixels have so many bytes.
fn undo_pixels<const BYTES: usize>(filter: u8, row: &mut [u8], above: &[u8]) {
    let (mut left, mut corner) = ([0; BYTES], [0; BYTES]);
    let whole = row.len() - row.len() % BYTES;
    let over = above.as_chunks::<BYTES>().0;
    for (pixel, over) in row.as_chunks_mut::<BYTES>().0.iter_mut().zip(over) {
        for at in 0..BYTES {
            let expected = predicted(filter, left[at], over[at], corner[at]);
            pixel[at] = pixel[at].wrapping_add(expected);
        }
        (left, corner) = (*pixel, *over);
    }
    undo_bytes(filter, row, above, whole, BYTES);
}

/// Undoes the filter of what stands from a place on.
fn undo_bytes(filter: u8, row: &mut [u8], above: &[u8], from: usize, pixel: usize) {
    for at in from..row.len() {
        let (left, corner) = match at.checked_sub(pixel) {
            Some(before) => (row[before], above[before]),
            None => (0, 0),
        };
        row[at] = row[at].wrapping_add(predicted(filter, left, above[at], corner));
    }
}

/// Appends a row with its filter applied.
fn apply(filter: u8, row: &[u8], above: &[u8], pixel: usize, out: &mut Vec<u8>) {
    if filter == 0 {
        out.extend_from_slice(row);
        return;
    }
    // Left of a row is nothing.
    let nothing = std::iter::repeat_n((&0, &0), pixel);
    let before = nothing.chain(row.iter().zip(above));
    let filtered = row.iter().zip(above).zip(before);
    out.extend(filtered.map(|((byte, over), (left, corner))| {
        byte.wrapping_sub(predicted(filter, *left, *over, *corner))
    }));
}

/// Returns what a filter expects of a byte.
fn predicted(filter: u8, left: u8, above: u8, corner: u8) -> u8 {
    match filter {
        1 => left,
        2 => above,
        3 => left.midpoint(above),
        4 => {
            let (a, b, c) = (i16::from(left), i16::from(above), i16::from(corner));
            let estimate = a + b - c;
            let apart = |value: i16| (estimate - value).abs();
            if apart(a) <= apart(b) && apart(a) <= apart(c) {
                left
            } else if apart(b) <= apart(c) {
                above
            } else {
                corner
            }
        }
        _ => 0,
    }
}

impl Pixels {
    /// Returns what the bytes of the pixels may be taken for.
    pub(crate) fn samples(&self) -> Vec<Samples> {
        match (self.colours, self.depth) {
            (PALETTE, _) | (_, 0..8) => vec![Samples::Symbols],
            // Few greys are like colours of a palette.
            (GREY, 8) => vec![Samples::Symbols, Samples::Numbers],
            _ => vec![Samples::Numbers],
        }
    }

    /// Whether pixels can be made those of so many bytes: colours, or colours and alpha, of 8 bits each,
    /// out of less.
    pub(crate) fn can_become(&self, pixel: usize) -> bool {
        let has = match (self.colours, self.depth) {
            (COLOURS, 8) => 3,
            (COLOURS_ALPHA, 8) => 4,
            (GREY | PALETTE, 1 | 2 | 4 | 8) => 1,
            (GREY_ALPHA, 8) => 2,
            _ => return false,
        };
        matches!(pixel, 3 | 4) && pixel > has
    }

    /// Returns how many bytes an image of so many rows has once its pixels have so many.
    pub(crate) fn converted_bytes(&self, rows: usize, pixel: usize) -> Option<usize> {
        rows.checked_mul(self.width)?
            .checked_mul(pixel)?
            .checked_add(rows)
    }

    /// Returns an image, as [`Rows::unfilter`] gives it, with pixels of `pixel` bytes instead. `file` is
    /// where the palette stands.
    pub(crate) fn convert(
        &self,
        opened: &[u8],
        rows: Rows,
        file: &[u8],
        pixel: usize,
    ) -> Option<Space> {
        if !self.can_become(pixel) {
            return None;
        }
        let height = rows.height(opened.len())?;
        let (filters, pixels) = opened.split_at_checked(height)?;
        let length = self.converted_bytes(height, pixel)?;
        let samples = match self.colours {
            COLOURS => 3,
            GREY_ALPHA => 2,
            _ => 1,
        };
        let row_bits = self.width.checked_mul(samples * usize::from(self.depth))?;
        if row_bits.div_ceil(8) != rows.stride - 1 {
            return None;
        }
        let palette = file.get(self.palette.clone())?;
        let alphas = file.get(self.alphas.clone())?;
        let mut converted = Space::for_bytes(length.min(opened.len() * 32));
        converted.append(filters);
        let mut colours = Vec::new();
        for row in pixels.chunks_exact(rows.stride - 1) {
            for place in 0..self.width {
                let [red, green, blue, alpha] = match self.colours {
                    COLOURS => {
                        let at = place * 3;
                        [row[at], row[at + 1], row[at + 2], u8::MAX]
                    }
                    GREY_ALPHA => {
                        let grey = row[place * 2];
                        [grey, grey, grey, row[place * 2 + 1]]
                    }
                    GREY => {
                        let most = u8::MAX >> (8 - self.depth);
                        let grey = self.sample(row, place) * (u8::MAX / most);
                        [grey, grey, grey, u8::MAX]
                    }
                    _ => {
                        let index = usize::from(self.sample(row, place));
                        let colour = palette.get(3 * index..3 * index + 3).unwrap_or(&[0; 3]);
                        let alpha = alphas.get(index).copied().unwrap_or(u8::MAX);
                        [colour[0], colour[1], colour[2], alpha]
                    }
                };
                colours.extend_from_slice([red, green, blue, alpha].get(..pixel)?);
            }
            converted.append(&colours);
            colours.clear();
        }
        Some(converted)
    }

    /// Returns a sample of a row that has one a pixel.
    fn sample(&self, row: &[u8], place: usize) -> u8 {
        let depth = usize::from(self.depth);
        let bit = place * depth;
        let shift = 8 - depth - bit % 8;
        row[bit / 8] >> shift & (u8::MAX >> (8 - depth))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.colours, self.depth]);
        put_varint(out, self.width as u64);
        for range in [&self.palette, &self.alphas] {
            put_varint(out, range.start as u64);
            put_varint(out, range.len() as u64);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Pixels, DeltaError> {
        let [colours, depth] = reader.array()?;
        let width = reader.size()?;
        let palette = read_range(reader)?;
        let alphas = read_range(reader)?;
        Ok(Pixels {
            colours,
            depth,
            width,
            palette,
            alphas,
        })
    }
}

fn read_range(reader: &mut Reader<'_>) -> Result<Range<usize>, DeltaError> {
    let (start, length) = (reader.size()?, reader.size()?);
    let end = start.checked_add(length);
    end.map(|end| start..end)
        .ok_or_else(|| reader.malformed("a palette without end"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the standard has it, byte by byte: section 9.2.
    fn expected(filter: u8, row: &[u8], above: &[u8], pixel: usize, at: usize) -> u8 {
        let before = |bytes: &[u8]| at.checked_sub(pixel).map_or(0, |at| i32::from(bytes[at]));
        let (a, b, c) = (before(row), i32::from(above[at]), before(above));
        let p = a + b - c;
        let nearest = [a, b, c]
            .into_iter()
            .min_by_key(|value: &i32| (p - value).abs());
        let expected = [0, a, b, (a + b) / 2, nearest.unwrap()][usize::from(filter)];
        u8::try_from(expected).unwrap()
    }

    proptest! {
        #[test]
        fn filters_are_those_of_the_standard(
            (row, above) in (1..60_usize).prop_flat_map(|length| {
                let bytes = || prop::collection::vec(any::<u8>(), length);
                (bytes(), bytes())
            }),
            filter in 0..=LAST_FILTER,
            pixel in 1..9_usize,
        ) {
            let place = |at: usize| row[at].wrapping_sub(expected(filter, &row, &above, pixel, at));
            let filtered: Vec<u8> = (0..row.len()).map(place).collect();
            let mut applied = Vec::new();
            apply(filter, &row, &above, pixel, &mut applied);
            prop_assert_eq!(&applied, &filtered);
            undo(filter, &mut applied, &above, pixel);
            prop_assert_eq!(&applied, &row);
        }

        #[test]
        fn filtered_rows_come_back(
            width in 1..40_usize,
            pixel in 1..9_usize,
            rows in prop::collection::vec((0..=LAST_FILTER, any::<u64>()), 0..12),
        ) {
            let mut plain = Vec::new();
            for (filter, seed) in &rows {
                plain.push(*filter);
                let byte = |at: usize| seed.wrapping_mul(at as u64 | 1).to_be_bytes()[at % 3];
                plain.extend((0..width * pixel).map(byte));
            }
            let shape = Rows { stride: width * pixel + 1, pixel };
            let opened = shape.unfilter(&plain).unwrap();
            prop_assert_eq!(&*shape.refilter(&opened).unwrap(), &plain);
        }

        #[test]
        fn anything_is_rows_or_is_not(
            bytes: Vec<u8>, stride in 0..50_usize, pixel in 0..9_usize, width in 0..80_usize,
            colours in 0..8_u8, depth in 0..18_u8,
        ) {
            let rows = Rows { stride, pixel };
            let pixels = Pixels { colours, depth, width, palette: 0..bytes.len().min(9), alphas: 0..0 };
            for opened in [rows.unfilter(&bytes).map(|opened| opened.to_vec()), Some(bytes.clone())].into_iter().flatten() {
                prop_assert_eq!(rows.are(&opened), rows.unfilter(&opened).is_some());
                let _ = rows.refilter(&opened);
                let _ = pixels.convert(&opened, rows, &bytes, 4);
            }
        }
    }

    #[test]
    fn rows_of_nothing_take_no_memory() {
        let rows = Rows {
            stride: usize::MAX,
            pixel: 1,
        };
        assert!(rows.unfilter(&[]).unwrap().is_empty());
        assert!(rows.refilter(&[]).unwrap().is_empty());
    }

    #[test]
    fn pixels_get_the_colours_that_they_stand_for() {
        let file = [1, 2, 3, 250, 251, 252, 77];
        let indexed = Pixels {
            colours: PALETTE,
            depth: 4,
            width: 3,
            palette: 0..6,
            alphas: 6..7,
        };
        let rows = Rows {
            stride: 3,
            pixel: 1,
        };
        let opened = [0, 0x01, 0x90];
        assert_eq!(
            *indexed.convert(&opened, rows, &file, 4).unwrap(),
            [0, 1, 2, 3, 77, 250, 251, 252, 255, 0, 0, 0, 255]
        );
        let grey = Pixels {
            colours: GREY,
            depth: 1,
            width: 3,
            ..indexed
        };
        let rows = Rows {
            stride: 2,
            pixel: 1,
        };
        assert_eq!(
            *grey.convert(&[0, 0b1010_0000], rows, &file, 3).unwrap(),
            [0, 255, 255, 255, 0, 0, 0, 255, 255, 255]
        );
        assert!(grey.convert(&[0, 0], rows, &file, 1).is_none());
    }
}
