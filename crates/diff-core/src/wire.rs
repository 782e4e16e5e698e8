use crate::error::DeltaError;

/// Reads integers and slices out of untrusted bytes; it can neither run past their end nor leave
/// some of them unread by accident.
pub(crate) struct Reader<'a> {
    place: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `bytes`, which errors call `place`.
    pub(crate) fn new(place: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            place,
            bytes,
            at: 0,
        }
    }

    /// Returns the next `count` bytes.
    pub(crate) fn slice(&mut self, count: usize) -> Result<&'a [u8], DeltaError> {
        let end = self.at.checked_add(count);
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let slice = slice.ok_or_else(|| {
            let left = self.bytes.len() - self.at;
            self.malformed(format!("{count} bytes are wanted and {left} are left"))
        })?;
        self.at += count;
        Ok(slice)
    }

    /// Returns the next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DeltaError> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(N)?);
        Ok(array)
    }

    /// Returns the next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, DeltaError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Returns the next variable-length integer: seven bits a byte, lowest first, the top bit set on
    /// all bytes but the last. Only the shortest spelling is taken.
    pub(crate) fn varint(&mut self) -> Result<u64, DeltaError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.malformed("an integer has more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.malformed("an integer is longer than it needs to be"));
                }
                return Ok(value);
            }
        }
        Err(self.malformed("an integer has more than 64 bits"))
    }

    /// Returns the next signed integer: zigzag, then as [`Reader::varint`].
    pub(crate) fn signed(&mut self) -> Result<i64, DeltaError> {
        self.varint().map(from_zigzag)
    }

    /// Returns a length or an index that fits the machine.
    pub(crate) fn size(&mut self) -> Result<usize, DeltaError> {
        let value = self.varint()?;
        usize::try_from(value).map_err(|_| self.malformed(format!("{value} is out of range")))
    }

    /// Returns the next byte without taking it.
    pub(crate) fn peek(&self) -> Result<u8, DeltaError> {
        let next = self.bytes.get(self.at).copied();
        next.ok_or_else(|| self.malformed("a byte is wanted and none is left"))
    }

    /// Returns how many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Returns the rest of the bytes.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    /// Returns an error when bytes are left.
    pub(crate) fn finish(self) -> Result<(), DeltaError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.malformed(format!("{left} bytes are left over"))),
        }
    }

    /// Returns the error of a rule broken where the reader stands.
    pub(crate) fn malformed(&self, problem: impl Into<String>) -> DeltaError {
        DeltaError::malformed(self.place, self.at, problem)
    }
}

/// Appends `value` as [`Reader::varint`] reads it.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends `value` as [`Reader::signed`] reads it.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, to_zigzag(value));
}

/// Folds a signed integer so that those near zero, of either sign, are small.
pub(crate) fn to_zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Undoes [`to_zigzag`].
pub(crate) fn from_zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_come_back(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            put_signed(&mut bytes, signed);
            let mut reader = Reader::new("test", &bytes);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            prop_assert!(reader.finish().is_ok());
        }
    }

    #[test]
    fn long_spellings_and_overflow_are_refused() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff; 11][..],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02][..],
        ] {
            let refused = Reader::new("test", bytes).varint();
            assert!(
                matches!(refused, Err(DeltaError::Malformed { .. })),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn reading_past_the_end_and_leftovers_are_refused() {
        let mut reader = Reader::new("test", &[1, 2]);
        assert!(matches!(
            reader.slice(3),
            Err(DeltaError::Malformed { offset: 0, .. })
        ));
        assert!(matches!(
            reader.slice(usize::MAX),
            Err(DeltaError::Malformed { .. })
        ));
        assert_eq!(reader.byte().unwrap(), 1);
        assert!(matches!(
            reader.finish(),
            Err(DeltaError::Malformed { offset: 1, .. })
        ));
    }
}
