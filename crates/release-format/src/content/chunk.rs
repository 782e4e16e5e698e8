use std::io;

use diff_core::Digest;

use crate::{Document, FormatError};

/// A piece of a release's byte stream as a trusted document describes it: what it must decode to,
/// and from how many bytes.
///
/// A chunk is stored as it is where both lengths are equal, and a zstd frame where it is encoded in
/// fewer bytes; more is never needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk {
    digest: Digest,
    length: u32,
    encoded_length: u32,
}

impl Chunk {
    /// The longest chunk, in decoded bytes: what a device must hold to check one.
    pub const MAX_LENGTH: u32 = 1 << 20;

    /// Returns a chunk that `document` describes, if it can exist.
    pub(crate) fn new(
        document: Document,
        digest: Digest,
        length: u32,
        encoded_length: u32,
    ) -> Result<Chunk, FormatError> {
        if length > Chunk::MAX_LENGTH {
            return Err(FormatError::Limit {
                document,
                what: "bytes of a chunk",
                claimed: u64::from(length),
                limit: u64::from(Chunk::MAX_LENGTH),
            });
        }
        if length == 0 || encoded_length == 0 || encoded_length > length {
            return Err(FormatError::malformed(
                document,
                format!("the chunk {digest}"),
                "1 byte at least, encoded in no more bytes than it has",
                format!("{length} bytes, encoded in {encoded_length}"),
            ));
        }
        Ok(Chunk {
            digest,
            length,
            encoded_length,
        })
    }

    /// Returns the digest of the decoded bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns how many bytes the chunk decodes to.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Returns how many bytes the chunk takes in its archive.
    pub fn encoded_length(&self) -> u32 {
        self.encoded_length
    }

    /// Returns the decoded bytes; whoever sent `encoded`, they are the ones that the digest names.
    ///
    /// At most [`Chunk::MAX_LENGTH`] bytes are allocated, whatever the frame claims.
    ///
    /// # Errors
    /// [`FormatError::WrongLength`], [`FormatError::WrongDigest`], and [`FormatError::Malformed`]
    /// for what is no zstd frame of this length.
    pub fn decode(&self, encoded: &[u8]) -> Result<Vec<u8>, FormatError> {
        if encoded.len() as u64 != u64::from(self.encoded_length) {
            return Err(FormatError::WrongLength {
                expected: u64::from(self.encoded_length),
                found: encoded.len() as u64,
            });
        }
        let bytes = if self.is_stored() {
            encoded.to_vec()
        } else {
            self.decompress(encoded)?
        };
        if bytes.len() as u64 != u64::from(self.length) {
            return Err(FormatError::WrongLength {
                expected: u64::from(self.length),
                found: bytes.len() as u64,
            });
        }
        let found = Digest::of(&bytes);
        if found != self.digest {
            return Err(FormatError::WrongDigest {
                expected: self.digest,
                found,
            });
        }
        Ok(bytes)
    }

    fn is_stored(&self) -> bool {
        self.encoded_length == self.length
    }

    fn decompress(&self, encoded: &[u8]) -> Result<Vec<u8>, FormatError> {
        // The capacity bounds what zstd writes: a bomb ends with an error where the claim ends.
        let mut bytes = Vec::with_capacity(self.length as usize);
        zstd::bulk::Decompressor::new()
            .and_then(|mut zstd| zstd.decompress_to_buffer(encoded, &mut bytes))
            .map_err(|error| {
                FormatError::malformed(
                    Document::Archive,
                    format!("the chunk {}", self.digest),
                    format!("a zstd frame of {} bytes", self.length),
                    error.to_string(),
                )
            })?;
        Ok(bytes)
    }
}

/// A chunk and its bytes as they go into an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChunk {
    chunk: Chunk,
    bytes: Vec<u8>,
}

impl EncodedChunk {
    /// Returns what is known of the chunk.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// Returns the encoded bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Encodes chunks, one after the other; each thread needs one of its own.
pub struct ChunkEncoder {
    compressor: zstd::bulk::Compressor<'static>,
}

impl ChunkEncoder {
    /// The level of zstd at which releases are published, and at which a mirror makes their chunks
    /// again.
    ///
    /// Of course trees, level 19 makes 1 % less in five times the time, and level 6 makes 2 % more in a
    /// fifth; deltas take longer than either.
    pub const LEVEL: i32 = 12;

    /// Returns an encoder of zstd's `level`, 1 to 22.
    ///
    /// # Errors
    /// When zstd cannot have the memory that it needs.
    pub fn new(level: i32) -> io::Result<ChunkEncoder> {
        Ok(ChunkEncoder {
            compressor: zstd::bulk::Compressor::new(level)?,
        })
    }

    /// Returns the chunk with these `bytes`: compressed where that is shorter, stored where not.
    ///
    /// # Errors
    /// [`FormatError`] when there are no bytes, or more than [`Chunk::MAX_LENGTH`].
    pub fn encode(&mut self, bytes: &[u8]) -> Result<EncodedChunk, FormatError> {
        let digest = Digest::of(bytes);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let stored = Chunk::new(Document::Archive, digest, length, length)?;
        let mut shorter = Vec::with_capacity(bytes.len() - 1);
        // An error says that the frame does not fit into fewer bytes than it holds.
        let encoded = match self.compressor.compress_to_buffer(bytes, &mut shorter) {
            Ok(_) if !shorter.is_empty() && shorter.len() < bytes.len() => shorter,
            _ => bytes.to_vec(),
        };
        let encoded_length = u32::try_from(encoded.len()).unwrap_or(length);
        Ok(EncodedChunk {
            chunk: Chunk {
                encoded_length,
                ..stored
            },
            bytes: encoded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(bytes: &[u8]) -> EncodedChunk {
        ChunkEncoder::new(19).unwrap().encode(bytes).unwrap()
    }

    /// Bytes that no compressor makes shorter.
    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend_from_slice(Digest::of(&bytes).as_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn compressible_chunk_is_a_zstd_frame_and_noise_is_stored() {
        let text = encode(&b"lesson ".repeat(1000));
        assert!(text.bytes().len() < 100);
        assert_eq!(text.chunk().decode(text.bytes()).unwrap().len(), 7000);
        for length in [1, 2, 31, 5000] {
            let noise = noise(length);
            let stored = encode(&noise);
            assert_eq!(stored.bytes(), noise);
            assert_eq!(stored.chunk().decode(stored.bytes()), Ok(noise));
        }
    }

    #[test]
    fn empty_and_overlong_chunks_are_refused() {
        let mut encoder = ChunkEncoder::new(1).unwrap();
        assert!(matches!(
            encoder.encode(b""),
            Err(FormatError::Malformed { .. })
        ));
        let limit = Chunk::MAX_LENGTH as usize;
        assert!(encoder.encode(&vec![0; limit]).is_ok());
        assert!(matches!(
            encoder.encode(&vec![0; limit + 1]),
            Err(FormatError::Limit { .. })
        ));
    }

    #[test]
    fn decompression_bomb_ends_at_the_claimed_length() {
        let bomb = encode(&vec![0; Chunk::MAX_LENGTH as usize]);
        let digest = Digest::of(b"small");
        let encoded_length = bomb.chunk().encoded_length();
        let claim = Chunk::new(
            Document::Archive,
            digest,
            encoded_length + 1,
            encoded_length,
        )
        .unwrap();
        assert!(matches!(
            claim.decode(bomb.bytes()),
            Err(FormatError::Malformed { .. })
        ));
    }

    #[test]
    fn frame_that_decodes_to_fewer_bytes_is_refused() {
        let text = encode(&b"lesson ".repeat(1000));
        let longer = Chunk {
            length: 7001,
            ..*text.chunk()
        };
        assert_eq!(
            longer.decode(text.bytes()),
            Err(FormatError::WrongLength {
                expected: 7001,
                found: 7000
            })
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let text = encode(&b"lesson ".repeat(40));
        for stored in [text, encode(&noise(64))] {
            let whole = stored.chunk().decode(stored.bytes()).unwrap();
            for bit in 0..stored.bytes().len() * 8 {
                let mut flipped = stored.bytes().to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // A bit that zstd ignores may leave the bytes as they are, never change them.
                if let Ok(bytes) = stored.chunk().decode(&flipped) {
                    assert_eq!(bytes, whole);
                }
            }
            for end in 0..stored.bytes().len() {
                assert!(matches!(
                    stored.chunk().decode(&stored.bytes()[..end]),
                    Err(FormatError::WrongLength { .. })
                ));
            }
        }
    }
}
