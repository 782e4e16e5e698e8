use super::ascii85::Lines;
use crate::error::DeltaError;
use crate::wire::{Reader, put_varint};

/// What is written around a stream of deflate data, to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// Nothing.
    Raw,
    /// The two bytes of a zlib header in front, the plaintext's Adler-32 behind.
    Zlib {
        /// The header.
        header: [u8; 2],
    },
    /// A zlib stream in a run of a PNG's IDAT chunks.
    Idat {
        /// The zlib header.
        header: [u8; 2],
        /// The bytes of each chunk but the last, which may have fewer. Above
        /// [`LONGEST_BUFFERED_PIECE`] the last has as many.
        piece: u32,
    },
    /// A zlib stream as ASCII85 text, up to and with the `~>` that ends it.
    Ascii85 {
        /// The zlib header.
        header: [u8; 2],
        /// How the text is broken into lines.
        lines: Lines,
    },
}

/// What is written around a stream, as far as one must know to take it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// Deflate data alone.
    Raw,
    /// A zlib stream.
    Zlib,
    /// A zlib stream in PNG chunks.
    Idat,
    /// A zlib stream as ASCII85 text.
    Ascii85,
}

impl Wrapper {
    /// Returns what one must know of the wrapper to take it off.
    pub(crate) fn shape(self) -> Shape {
        match self {
            Wrapper::Raw => Shape::Raw,
            Wrapper::Zlib { .. } => Shape::Zlib,
            Wrapper::Idat { .. } => Shape::Idat,
            Wrapper::Ascii85 { .. } => Shape::Ascii85,
        }
    }

    /// Appends the wrapper as [`Wrapper::decode`] reads it.
    ///
    /// The first byte is the shape in its low two bits, the zlib header's place in
    /// [`USUAL_HEADERS`] (or [`OTHER_HEADER`]) in the next three. Then follow the header, if it is
    /// another; the bytes of a piece as a varint, for chunks; the line's width as a varint and a
    /// byte for its end, for text.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let shape = self.shape().number();
        let header = match self {
            Wrapper::Raw => return out.push(shape),
            Wrapper::Zlib { header }
            | Wrapper::Idat { header, .. }
            | Wrapper::Ascii85 { header, .. } => header,
        };
        let usual = (0..).zip(USUAL_HEADERS).find(|(_, usual)| *usual == header);
        out.push(shape | usual.map_or(OTHER_HEADER, |(place, _)| place) << 2);
        if usual.is_none() {
            out.extend(header);
        }
        match self {
            Wrapper::Raw | Wrapper::Zlib { .. } => {}
            Wrapper::Idat { piece, .. } => put_varint(out, u64::from(piece)),
            Wrapper::Ascii85 { lines, .. } => lines.encode(out),
        }
    }

    /// Reads a wrapper, of whose first byte only the bits of `mask` are its own.
    pub(crate) fn decode(reader: &mut Reader<'_>, mask: u8) -> Result<Wrapper, DeltaError> {
        let first = reader.byte()? & mask;
        let shape = Shape::of_number(first & 3);
        if shape == Shape::Raw {
            return match first {
                0 => Ok(Wrapper::Raw),
                _ => Err(reader.malformed(format!(
                    "bare deflate data has no zlib header, found number {}",
                    first >> 2
                ))),
            };
        }
        let place = first >> 2;
        let header = match USUAL_HEADERS.get(usize::from(place)) {
            Some(header) => *header,
            None if place == OTHER_HEADER => reader.array()?,
            None => {
                let told = format!("zlib headers have numbers up to {OTHER_HEADER}, found {place}");
                return Err(reader.malformed(told));
            }
        };
        match shape {
            Shape::Raw => Ok(Wrapper::Raw),
            Shape::Zlib => Ok(Wrapper::Zlib { header }),
            Shape::Idat => {
                let told = reader.varint()?;
                let piece = u32::try_from(told).unwrap_or(0);
                if piece == 0 || piece > LONGEST_PIECE {
                    let told = format!("a chunk has 1 to {LONGEST_PIECE} bytes, found {told}");
                    return Err(reader.malformed(told));
                }
                Ok(Wrapper::Idat { header, piece })
            }
            Shape::Ascii85 => {
                let lines = Lines::decode(reader)?;
                Ok(Wrapper::Ascii85 { header, lines })
            }
        }
    }
}

impl Shape {
    /// Returns the number that stands for the shape in a delta.
    pub(crate) fn number(self) -> u8 {
        match self {
            Shape::Raw => 0,
            Shape::Zlib => 1,
            Shape::Idat => 2,
            Shape::Ascii85 => 3,
        }
    }

    /// Returns the shape that the low two bits of `number` stand for.
    pub(crate) fn of_number(number: u8) -> Shape {
        match number & 3 {
            0 => Shape::Raw,
            1 => Shape::Zlib,
            2 => Shape::Idat,
            _ => Shape::Ascii85,
        }
    }
}

/// The zlib headers of a window of 32 KiB without a dictionary, from the fastest level to the best.
const USUAL_HEADERS: [[u8; 2]; 4] = [[0x78, 0x01], [0x78, 0x5e], [0x78, 0x9c], [0x78, 0xda]];

/// Stands for a header that is written out.
const OTHER_HEADER: u8 = 4;

/// The bytes of a chunk above which it is written while it is made, and so must be filled: what a
/// device keeps of a chunk is never more.
pub(crate) const LONGEST_BUFFERED_PIECE: u32 = 1 << 20;

/// The most bytes that PNG allows in a chunk.
const LONGEST_PIECE: u32 = u32::MAX >> 1;
