use std::ops::Range;

use super::chunks::Bodies;
use super::trials::{Candidate, Trials};
use super::wrapper::{LONGEST_BUFFERED_PIECE, Shape, Wrapper};
use super::{Image, Pixels, Rows};

/// Opens the run of IDAT chunks whose first has its type at `at`.
pub(crate) fn candidate(
    file: &[u8],
    at: usize,
    header: Option<&Header>,
    trials: &mut Trials<'_>,
) -> Option<Candidate> {
    let start = at.checked_sub(4)?;
    let mut bodies = Bodies::new(file, start);
    let (first, _) = bodies.next()?;
    let mut last = first.len();
    let mut chunks = 1;
    trials.charge(first.len())?;
    for (body, _) in bodies {
        trials.charge(12 + body.len())?;
        if last != first.len() || body.len() > first.len() {
            return None;
        }
        last = body.len();
        chunks += 1;
    }
    let piece = u32::try_from(first.len()).ok()?;
    let piece = match chunks {
        1 => piece.max(LONGEST_BUFFERED_PIECE),
        _ => piece,
    };
    let (found, plain) = trials.inflate(Shape::Idat, file, start)?;
    let image = header.and_then(|header| header.image(file, start, &plain));
    if image.is_none() && trials.is_long(plain.len()) {
        return None;
    }
    Some(Candidate {
        range: start..found.end,
        wrapper: Wrapper::Idat {
            header: found.header,
            piece,
        },
        plain,
        image,
    })
}

/// What a PNG's header says of its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// Where the chunk behind it starts.
    end: usize,
    width: u64,
    height: u64,
    row_bytes: u64,
    pixel_bytes: u64,
    colours: u8,
    depth: u8,
}

impl Header {
    /// Reads the header whose type stands at `at`; `None` if its rows are interlaced.
    pub(crate) fn parse(file: &[u8], at: usize) -> Option<Header> {
        let body = file.get(at..)?.strip_prefix(b"IHDR")?;
        let [
            w0,
            w1,
            w2,
            w3,
            h0,
            h1,
            h2,
            h3,
            depth,
            colour,
            _,
            _,
            interlaced,
            ..,
        ] = *body
        else {
            return None;
        };
        let channels = match colour {
            0 | 3 => 1,
            2 => 3,
            4 => 2,
            6 => 4,
            _ => return None,
        };
        let bits = channels * u64::from(depth);
        let width = u64::from(u32::from_be_bytes([w0, w1, w2, w3]));
        (interlaced == 0).then(|| Header {
            end: at + 4 + 13 + 4,
            width,
            colours: colour,
            depth,
            height: u64::from(u32::from_be_bytes([h0, h1, h2, h3])),
            row_bytes: 1 + (width * bits).div_ceil(8),
            pixel_bytes: (bits / 8).max(1),
        })
    }

    /// Returns the image whose rows a plaintext is, if they fill it; its chunks of pixels start at
    /// `until`.
    fn image(&self, file: &[u8], until: usize, plain: &[u8]) -> Option<Image> {
        let fits = self.row_bytes.checked_mul(self.height)? == plain.len() as u64;
        let rows = Rows {
            stride: usize::try_from(self.row_bytes).ok()?,
            pixel: usize::try_from(self.pixel_bytes).ok()?,
        };
        if !fits || !rows.are(plain) {
            return None;
        }
        let (mut palette, mut alphas) = (0..0, 0..0);
        let mut at = self.end;
        while at < until {
            let (name, body) = chunk(file, at)?;
            at = body.end + 4;
            match name {
                b"PLTE" => palette = body,
                b"tRNS" => alphas = body,
                _ => {}
            }
        }
        Some(Image {
            rows,
            pixels: Pixels {
                colours: self.colours,
                depth: self.depth,
                width: usize::try_from(self.width).ok()?,
                palette,
                alphas,
            },
        })
    }
}

/// Returns the type of the chunk that starts at a place, and where its body stands.
fn chunk(file: &[u8], at: usize) -> Option<(&[u8; 4], Range<usize>)> {
    let (length, rest) = file.get(at..)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let start = at + 8;
    Some((rest.first_chunk()?, start..start.checked_add(length)?))
}
