use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The BLAKE3 digest of some bytes: the name by which content is known everywhere in Satchel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; Digest::LENGTH]);

impl Digest {
    /// The length of a digest in bytes.
    pub const LENGTH: usize = 32;

    /// Returns the digest of `bytes`.
    ///
    /// ```
    /// let digest = diff_core::Digest::of(b"");
    /// assert!(digest.to_string().starts_with("af1349b9"));
    /// ```
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// Returns the digest of everything that `reader` yields, read in pieces of 64 KiB.
    ///
    /// # Errors
    /// Whatever the reader fails with.
    pub fn of_reader(reader: impl Read) -> io::Result<Digest> {
        let mut digesting = DigestReader::new(reader);
        io::copy(&mut digesting, &mut io::sink())?;
        Ok(digesting.digest())
    }

    /// Returns a digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; Digest::LENGTH]) -> Digest {
        Digest(bytes)
    }

    /// Returns the 32 bytes of this digest.
    pub const fn as_bytes(&self) -> &[u8; Digest::LENGTH] {
        &self.0
    }

    /// Returns the first 16 hexadecimal digits, enough to tell releases apart in a line of text.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A text that is not 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lowercase hexadecimal digits, found {found:?}")]
pub struct DigestParseError {
    found: String,
}

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Digest, DigestParseError> {
        let refused = || DigestParseError {
            found: text.chars().take(80).collect(),
        };
        if text.len() != 2 * Digest::LENGTH || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(refused());
        }
        let hash = blake3::Hash::from_hex(text).map_err(|_| refused())?;
        Ok(Digest(*hash.as_bytes()))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestParseError;

    fn try_from(text: String) -> Result<Digest, DigestParseError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// A reader that digests and counts what passes through it.
pub struct DigestReader<R> {
    inner: R,
    hasher: blake3::Hasher,
    length: u64,
}

impl<R: Read> DigestReader<R> {
    /// Wraps `inner`.
    pub fn new(inner: R) -> DigestReader<R> {
        DigestReader {
            inner,
            hasher: blake3::Hasher::new(),
            length: 0,
        }
    }

    /// Returns the digest of what was read so far.
    pub fn digest(&self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }

    /// Returns how many bytes were read so far.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(read) = buffer.get(..count) {
            self.hasher.update(read);
            self.length += count as u64;
        }
        Ok(count)
    }
}

/// A writer that digests and counts what passes through it.
pub struct DigestWriter<W> {
    inner: W,
    hasher: blake3::Hasher,
    length: u64,
}

impl<W: Write> DigestWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> DigestWriter<W> {
        DigestWriter {
            inner,
            hasher: blake3::Hasher::new(),
            length: 0,
        }
    }

    /// Returns the digest of what was written so far.
    pub fn digest(&self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }

    /// Returns how many bytes were written so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the wrapped writer.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        if let Some(written) = bytes.get(..count) {
            self.hasher.update(written);
            self.length += count as u64;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let digest = Digest::of(b"lesson");
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
    }

    #[test]
    fn uppercase_short_and_foreign_digits_are_refused() {
        let text = Digest::of(b"lesson").to_string();
        for wrong in [
            text.to_uppercase(),
            text[..63].to_owned(),
            text.replace(&text[..1], "g"),
        ] {
            assert!(
                wrong.parse::<Digest>().is_err(),
                "{wrong} was taken for a digest"
            );
        }
    }

    #[test]
    fn reader_and_writer_agree_with_the_whole() {
        let bytes = vec![7_u8; 200_000];
        assert_eq!(Digest::of_reader(&bytes[..]).unwrap(), Digest::of(&bytes));
        let mut writer = DigestWriter::new(Vec::new());
        writer.write_all(&bytes).unwrap();
        assert_eq!(
            (writer.digest(), writer.length()),
            (Digest::of(&bytes), 200_000)
        );
    }
}
