//! The one door of bincode: no other file of Satchel names that crate.
//!
//! A binary document is four bytes of magic, one of version, and values in bincode's standard
//! configuration. They are read one at a time and borrowed from the input, each under a limit of its
//! own, so nothing is allocated here at all; what a list may hold is asked of [`BinaryReader::count`]
//! first. Every value is encoded again and compared, so a document has one encoding alone.

use bincode::error::DecodeError;
use bincode::{BorrowDecode, Encode};

use crate::{Document, FormatError, Verified};

/// How a binary document begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// What the document is.
    pub(crate) document: Document,
    /// Its first four bytes.
    pub(crate) magic: [u8; 4],
    /// The one version that is read and written, in the fifth byte.
    pub(crate) version: u8,
    /// The longest document that is read, in bytes.
    pub(crate) max_bytes: u64,
}

impl Header {
    /// The length of magic and version.
    pub(crate) const LENGTH: usize = 5;

    /// Returns the five bytes that a document begins with.
    pub(crate) fn bytes(&self) -> [u8; Header::LENGTH] {
        let [a, b, c, d] = self.magic;
        [a, b, c, d, self.version]
    }

    /// Returns a reader of the values behind the header of `verified`.
    pub(crate) fn open<'a, T: AsRef<[u8]>>(
        &self,
        verified: &'a Verified<T>,
    ) -> Result<BinaryReader<'a>, FormatError> {
        let bytes = verified.get().as_ref();
        let length = bytes.len() as u64;
        if length > self.max_bytes {
            return Err(FormatError::Limit {
                document: self.document,
                what: "bytes",
                claimed: length,
                limit: self.max_bytes,
            });
        }
        let found = bytes.get(..self.magic.len()).unwrap_or(bytes);
        if found != self.magic {
            return Err(FormatError::WrongMagic {
                document: self.document,
                found: found.to_vec(),
            });
        }
        match bytes.get(self.magic.len()) {
            Some(&version) if version == self.version => Ok(BinaryReader {
                document: self.document,
                bytes,
                offset: Header::LENGTH,
                again: Vec::new(),
            }),
            Some(&version) => Err(FormatError::UnsupportedVersion {
                document: self.document,
                found: u64::from(version),
                supported: u64::from(self.version),
            }),
            None => Err(FormatError::Truncated {
                document: self.document,
                place: "the version",
                offset: self.magic.len() as u64,
            }),
        }
    }
}

/// Reads values from the front of bytes that were verified, and cannot run past their end.
#[derive(Debug)]
pub(crate) struct BinaryReader<'a> {
    document: Document,
    bytes: &'a [u8],
    offset: usize,
    again: Vec<u8>,
}

impl<'a> BinaryReader<'a> {
    /// Returns this reader, moved to the values between `start` and `end`.
    pub(crate) fn within(mut self, start: usize, end: usize) -> BinaryReader<'a> {
        self.bytes = self.bytes.get(..end).unwrap_or(self.bytes);
        self.offset = start.min(self.bytes.len());
        self
    }

    /// Returns the next value, called `place` in errors.
    pub(crate) fn value<V: BorrowDecode<'a, ()> + Encode>(
        &mut self,
        place: &'static str,
    ) -> Result<V, FormatError> {
        let document = self.document;
        let offset = self.offset as u64;
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let configuration = bincode::config::standard().with_limit::<MAX_VALUE_BYTES>();
        let (value, length): (V, usize) = bincode::borrow_decode_from_slice(rest, configuration)
            .map_err(|error| match error {
                DecodeError::UnexpectedEnd { .. } => FormatError::Truncated {
                    document,
                    place,
                    offset,
                },
                DecodeError::LimitExceeded => FormatError::malformed(
                    document,
                    format!("{place} at byte {offset}"),
                    format!("at most {MAX_VALUE_BYTES} bytes"),
                    "a claim of more",
                ),
                other => FormatError::malformed(
                    document,
                    format!("{place} at byte {offset}"),
                    "a value in bincode's standard configuration",
                    other.to_string(),
                ),
            })?;
        let read = rest.get(..length).unwrap_or(rest);
        self.again.clear();
        append(&value, &mut self.again);
        if self.again != read {
            let same = self.again.iter().zip(read).take_while(|(a, b)| a == b);
            return Err(FormatError::NotCanonical {
                document,
                offset: offset + same.count() as u64,
            });
        }
        self.offset += length;
        Ok(value)
    }

    /// Returns how many entries a list claims, once that is at most `limit` and the bytes that are
    /// left can hold so many of `smallest` bytes each: only then may the caller allocate for them.
    pub(crate) fn count(
        &mut self,
        what: &'static str,
        limit: u64,
        smallest: usize,
    ) -> Result<usize, FormatError> {
        let offset = self.offset as u64;
        let claimed: u64 = self.value(what)?;
        if claimed > limit {
            return Err(FormatError::Limit {
                document: self.document,
                what,
                claimed,
                limit,
            });
        }
        let room = self.bytes.len().saturating_sub(self.offset) / smallest.max(1);
        match usize::try_from(claimed) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(FormatError::Truncated {
                document: self.document,
                place: what,
                offset,
            }),
        }
    }

    /// Refuses bytes that were not read.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        let left = self.bytes.len().saturating_sub(self.offset);
        if left > 0 {
            return Err(FormatError::TrailingBytes {
                document: self.document,
                offset: self.offset as u64,
                count: left as u64,
            });
        }
        Ok(())
    }
}

/// Appends the encoding of `value` to `bytes`.
pub(crate) fn append(value: &impl Encode, bytes: &mut Vec<u8>) {
    bincode::encode_into_std_write(value, bytes, bincode::config::standard())
        .expect("integers, texts and arrays have an encoding, and writing to memory succeeds");
}

/// Above the longest value of any document, a manifest's file with a path of 1024 bytes.
const MAX_VALUE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentReference;

    const HEADER: Header = Header {
        document: Document::Manifest,
        magic: *b"TEST",
        version: 3,
        max_bytes: 64,
    };

    fn verified(bytes: &[u8]) -> Verified<&[u8]> {
        Verified::new(bytes, &ContentReference::of(bytes)).unwrap()
    }

    fn body(values: &[u8]) -> Vec<u8> {
        [b"TEST\x03", values].concat()
    }

    fn read<V: for<'a> BorrowDecode<'a, ()> + Encode>(values: &[u8]) -> Result<V, FormatError> {
        let bytes = body(values);
        let verified = verified(&bytes);
        let mut reader = HEADER.open(&verified)?;
        let value = reader.value("a value")?;
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn other_magic_version_and_length_are_refused() {
        let refused = |bytes: &[u8]| HEADER.open(&verified(bytes)).map(|_| ()).unwrap_err();
        assert!(matches!(refused(b""), FormatError::WrongMagic { .. }));
        assert!(matches!(refused(b"TES"), FormatError::WrongMagic { .. }));
        assert!(matches!(
            refused(b"PK\x03\x04"),
            FormatError::WrongMagic { .. }
        ));
        assert!(matches!(
            refused(b"TEST"),
            FormatError::Truncated { offset: 4, .. }
        ));
        assert!(matches!(
            refused(b"TEST\x04"),
            FormatError::UnsupportedVersion {
                found: 4,
                supported: 3,
                ..
            }
        ));
        assert!(matches!(
            refused(&[0; 65]),
            FormatError::Limit {
                claimed: 65,
                limit: 64,
                ..
            }
        ));
    }

    #[test]
    fn integers_are_read_at_each_of_their_lengths() {
        assert_eq!(read::<u64>(&[250]), Ok(250));
        assert_eq!(read::<u64>(&[251, 251, 0]), Ok(251));
        assert_eq!(read::<u64>(&[252, 0, 0, 1, 0]), Ok(1 << 16));
        assert_eq!(read::<u64>(&[253, 0, 0, 0, 0, 1, 0, 0, 0]), Ok(1 << 32));
        assert_eq!(
            read::<u64>(&[253, 255, 255, 255, 255, 255, 255, 255, 255]),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn integer_longer_than_it_needs_is_refused() {
        for values in [
            &[251, 250, 0][..],
            &[252, 7, 0, 0, 0],
            &[253, 7, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(
                matches!(
                    read::<u64>(values),
                    Err(FormatError::NotCanonical { offset: 5, .. })
                ),
                "{values:?}"
            );
        }
    }

    #[test]
    fn reserved_and_wider_integers_are_refused() {
        for values in [&[254; 17][..], &[255; 17]] {
            assert!(matches!(
                read::<u64>(values),
                Err(FormatError::Malformed { .. })
            ));
        }
    }

    #[test]
    fn truncated_and_trailing_bytes_are_refused() {
        assert!(matches!(
            read::<u64>(&[]),
            Err(FormatError::Truncated { offset: 5, .. })
        ));
        assert!(matches!(
            read::<u64>(&[251, 1]),
            Err(FormatError::Truncated { offset: 5, .. })
        ));
        assert_eq!(
            read::<u64>(&[1, 2, 3]),
            Err(FormatError::TrailingBytes {
                document: Document::Manifest,
                offset: 6,
                count: 2
            })
        );
    }

    #[test]
    fn text_may_not_claim_more_than_a_value_has() {
        let claims_everything = [253, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(matches!(
            read::<String>(&claims_everything),
            Err(FormatError::Malformed { .. })
        ));
        assert!(matches!(
            read::<String>(&[251, 0x00, 0x08, b'a']),
            Err(FormatError::Truncated { .. })
        ));
        assert!(matches!(
            read::<String>(&[1, 0xff]),
            Err(FormatError::Malformed { .. })
        ));
    }

    #[test]
    fn count_is_bounded_by_the_limit_and_by_the_bytes_that_are_left() {
        let bytes = body(&[4, 0, 0, 0, 0, 0, 0, 0]);
        let verified = verified(&bytes);
        let count = |limit, smallest| {
            let mut reader = HEADER.open(&verified).unwrap();
            reader.count("things", limit, smallest)
        };
        assert_eq!(count(4, 1), Ok(4));
        assert!(matches!(
            count(3, 1),
            Err(FormatError::Limit {
                claimed: 4,
                limit: 3,
                ..
            })
        ));
        assert!(matches!(
            count(4, 2),
            Err(FormatError::Truncated {
                place: "things",
                ..
            })
        ));
    }
}
