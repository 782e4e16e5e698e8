//! Containers: where the deflate streams of a file stand, and what is written around each.
//!
//! The publisher opens files by [`open`]. The device never parses a container: it is told where a
//! stream starts and how it is wrapped, takes the wrapping off by [`unwrap`] and puts it on again by
//! a [`Wrapping`].

mod ascii85;
mod chunks;
mod gzip;
mod image;
mod inflate;
mod pdf;
mod png;
mod search;
mod trials;
mod unwrap;
mod wrap;
mod wrapper;
mod zip;
mod zlib;

pub(crate) use image::{Pixels, Rows, Samples};
pub(crate) use search::open;
pub(crate) use trials::OpeningLimits;
pub(crate) use unwrap::{compressed, unwrap};
pub(crate) use wrap::Wrapping;
pub(crate) use wrapper::{Shape, Wrapper};

use std::borrow::Cow;
use std::ops::Range;

use crate::error::DeltaError;

/// A deflate stream of a file, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Where the stream stands in the file, its wrapping included.
    pub(crate) range: Range<usize>,
    /// What is written around the deflate data.
    pub(crate) wrapper: Wrapper,
    /// The inflated bytes.
    pub(crate) plain: Vec<u8>,
    /// The streams inside the plaintext, with ranges relative to it.
    pub(crate) inner: Vec<Stream>,
    /// What the plaintext is, if it is an image's.
    pub(crate) image: Option<Image>,
}

/// An image as its rows and what their pixels are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// How the rows are filtered.
    pub(crate) rows: Rows,
    /// What the pixels are.
    pub(crate) pixels: Pixels,
}

impl Image {
    /// Returns how many bytes the image, of so many, has once its pixels have `pixel`, where they can
    /// and that is `most` at most.
    pub(crate) fn converted_bytes(&self, bytes: u64, pixel: usize, most: u64) -> Option<u64> {
        let bytes = usize::try_from(bytes).ok()?;
        let rows = bytes.checked_div(self.rows.stride)?;
        let converted = self.pixels.converted_bytes(rows, pixel)? as u64;
        (self.pixels.can_become(pixel) && converted <= most).then_some(converted)
    }
}

impl Stream {
    /// Returns the deflate data alone, out of the file that the stream was found in.
    pub(crate) fn compressed<'a>(&self, file: &'a [u8]) -> Result<Cow<'a, [u8]>, DeltaError> {
        compressed(self.wrapper.shape(), file, self.range.clone())
    }

    /// Whether the stream is an image's, or one inside it is.
    pub(crate) fn has_image(&self) -> bool {
        self.image.is_some() || self.inner.iter().any(Stream::has_image)
    }

    /// Returns the plaintext in the form in which it is coded: the rows of images without filters.
    pub(crate) fn opened(&self) -> Cow<'_, [u8]> {
        let rows = self.image.as_ref().map(|image| image.rows);
        let opened = rows.and_then(|rows| rows.unfilter(&self.plain));
        opened.map_or(Cow::Borrowed(&self.plain), |opened| {
            Cow::Owned(opened.to_vec())
        })
    }
}

/// Returns the digest that ends a zlib stream of `plain`.
pub(crate) fn adler32(plain: &[u8]) -> u32 {
    adler32_behind(1, plain)
}

/// Returns the digest of what had another, 1 at first, once `more` stands behind it.
pub(crate) fn adler32_behind(digest: u32, more: &[u8]) -> u32 {
    zlib_rs::adler32::adler32(digest, more)
}

#[cfg(test)]
mod tests;
