use super::ascii85::Encoder;
use super::inflate::{Output, PLACE};
use super::wrapper::{LONGEST_BUFFERED_PIECE, Wrapper};
use crate::error::DeltaError;

/// Writes what stands around a stream while its deflate data passes through.
pub(crate) struct Wrapping {
    header: Option<[u8; 2]>,
    /// Whether a digest of the plaintext ends it.
    is_zlib: bool,
    carrier: Carrier,
}

/// What carries a zlib stream.
enum Carrier {
    Bare,
    Idat(Chunks),
    Ascii85(Encoder),
}

impl Wrapping {
    /// Returns the wrapping of a stream of which nothing is written yet.
    pub(crate) fn new(wrapper: Wrapper) -> Wrapping {
        let (header, carrier) = match wrapper {
            Wrapper::Raw => (None, Carrier::Bare),
            Wrapper::Zlib { header } => (Some(header), Carrier::Bare),
            Wrapper::Idat { header, piece } => (Some(header), Carrier::Idat(Chunks::new(piece))),
            Wrapper::Ascii85 { header, lines } => {
                (Some(header), Carrier::Ascii85(Encoder::new(lines)))
            }
        };
        Wrapping {
            header,
            is_zlib: header.is_some(),
            carrier,
        }
    }

    /// Writes the next piece of deflate data.
    pub(crate) fn write(&mut self, piece: &[u8], out: &mut Output<'_>) -> Result<(), DeltaError> {
        if let Some(header) = self.header.take() {
            self.carrier.write(&header, out)?;
        }
        self.carrier.write(piece, out)
    }

    /// Writes what is left behind the last piece of a stream whose plaintext has the Adler-32 `adler`.
    pub(crate) fn finish(mut self, adler: u32, out: &mut Output<'_>) -> Result<(), DeltaError> {
        self.write(&[], out)?;
        if self.is_zlib {
            self.carrier.write(&adler.to_be_bytes(), out)?;
        }
        match self.carrier {
            Carrier::Bare => Ok(()),
            Carrier::Idat(chunks) => chunks.finish(out),
            Carrier::Ascii85(encoder) => encoder.finish(out),
        }
    }
}

impl Carrier {
    fn write(&mut self, piece: &[u8], out: &mut Output<'_>) -> Result<(), DeltaError> {
        match self {
            _ if piece.is_empty() => Ok(()),
            Carrier::Bare => out(piece),
            Carrier::Idat(chunks) => chunks.write(piece, out),
            Carrier::Ascii85(encoder) => encoder.write(piece, out),
        }
    }
}

/// Cuts a zlib stream into IDAT chunks. A chunk is kept until its length is known; one that is too
/// long to keep must be filled.
struct Chunks {
    piece: usize,
    kept: Option<Vec<u8>>,
    /// Bytes written of a chunk that is not kept.
    written: usize,
    crc: crc32fast::Hasher,
}

impl Chunks {
    fn new(piece: u32) -> Chunks {
        Chunks {
            piece: usize::try_from(piece).unwrap_or(usize::MAX).max(1),
            kept: (piece <= LONGEST_BUFFERED_PIECE).then(Vec::new),
            written: 0,
            crc: crc32fast::Hasher::new(),
        }
    }

    fn write(&mut self, mut piece: &[u8], out: &mut Output<'_>) -> Result<(), DeltaError> {
        while !piece.is_empty() {
            let have = self.kept.as_ref().map_or(self.written, Vec::len);
            let (fitting, rest) = piece.split_at(piece.len().min(self.piece - have));
            piece = rest;
            let full = have + fitting.len() == self.piece;
            if let Some(kept) = &mut self.kept {
                kept.extend(fitting);
                if full {
                    write_chunk(kept, out)?;
                    kept.clear();
                }
                continue;
            }
            if have == 0 {
                out(&chunk_length(self.piece))?;
                out(IDAT)?;
                self.crc.update(IDAT);
            }
            out(fitting)?;
            self.crc.update(fitting);
            self.written += fitting.len();
            if full {
                out(&std::mem::take(&mut self.crc).finalize().to_be_bytes())?;
                self.written = 0;
            }
        }
        Ok(())
    }

    fn finish(self, out: &mut Output<'_>) -> Result<(), DeltaError> {
        match self.kept {
            Some(kept) if !kept.is_empty() => write_chunk(&kept, out),
            None if self.written > 0 => {
                let problem = format!("a chunk of {} bytes gets {}", self.piece, self.written);
                Err(DeltaError::malformed(PLACE, self.written, problem))
            }
            _ => Ok(()),
        }
    }
}

/// Writes one chunk.
fn write_chunk(body: &[u8], out: &mut Output<'_>) -> Result<(), DeltaError> {
    out(&chunk_length(body.len()))?;
    out(IDAT)?;
    out(body)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(IDAT);
    crc.update(body);
    out(&crc.finalize().to_be_bytes())
}

/// Returns the field that gives a chunk's length, which is never above 2^31 - 1.
fn chunk_length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

const IDAT: &[u8; 4] = b"IDAT";
