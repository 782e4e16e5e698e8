use std::ops::Deref;

use diff_core::Digest;

use crate::{ContentReference, FormatError};

/// Bytes whose whole length and digest were compared with those that a trusted document gives.
///
/// No other way leads to a value of this type, so a function that takes one cannot be handed bytes
/// that nobody vouches for. `T` is whatever holds the bytes: a `Vec<u8>`, a slice, a
/// [`MappedFile`](diff_core::MappedFile).
///
/// ```
/// use release_format::{ContentReference, Verified};
/// let expected = ContentReference::of(b"lesson");
/// assert!(Verified::new(b"lesson", &expected).is_ok());
/// assert!(Verified::new(b"poison", &expected).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T: AsRef<[u8]>> Verified<T> {
    /// Returns `bytes` once their length and digest are those that are `expected`.
    ///
    /// # Errors
    /// [`FormatError::WrongLength`] and [`FormatError::WrongDigest`].
    pub fn new(bytes: T, expected: &ContentReference) -> Result<Verified<T>, FormatError> {
        let length = bytes.as_ref().len() as u64;
        if length != expected.length {
            return Err(FormatError::WrongLength {
                expected: expected.length,
                found: length,
            });
        }
        let digest = Digest::of(bytes.as_ref());
        if digest != expected.digest {
            return Err(FormatError::WrongDigest {
                expected: expected.digest,
                found: digest,
            });
        }
        Ok(Verified::trusted(bytes))
    }
}

impl<T> Verified<T> {
    /// Wraps bytes that the caller has itself compared with a digest from signed metadata.
    pub(crate) fn trusted(bytes: T) -> Verified<T> {
        Verified(bytes)
    }

    /// Returns what holds the bytes.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Returns what holds the bytes, and gives up the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_another_length_are_refused_before_they_are_digested() {
        let expected = ContentReference::of(b"lesson");
        let refused = Verified::new(b"lessons".as_slice(), &expected);
        assert_eq!(
            refused,
            Err(FormatError::WrongLength {
                expected: 6,
                found: 7
            })
        );
    }

    #[test]
    fn bytes_of_another_digest_are_refused() {
        let expected = ContentReference::of(b"lesson");
        let refused = Verified::new(b"lessoN".to_vec(), &expected);
        assert_eq!(
            refused,
            Err(FormatError::WrongDigest {
                expected: expected.digest,
                found: Digest::of(b"lessoN")
            })
        );
    }

    #[test]
    fn verified_bytes_are_the_ones_handed_in() {
        let expected = ContentReference::of(b"lesson");
        let verified = Verified::new(b"lesson".to_vec(), &expected).unwrap();
        assert_eq!(verified.get(), b"lesson");
        assert_eq!(verified.len(), 6);
        assert_eq!(verified.into_inner(), b"lesson");
    }
}
