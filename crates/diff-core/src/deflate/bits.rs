use crate::DeltaError;

/// Reads bits, lowest first.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    /// Returns a reader of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader {
            bytes,
            at: 0,
            held: 0,
            count: 0,
        }
    }

    /// Returns how many bytes were begun.
    pub(super) fn position(&self) -> usize {
        self.at - (self.count / 8) as usize
    }

    /// Returns the next bits, zeros behind the end, at least 32 of them.
    #[inline]
    pub(super) fn peek(&mut self) -> u64 {
        if self.count < 32 {
            self.refill();
        }
        self.held
    }

    /// Drops `count` bits, at most 32.
    ///
    /// # Errors
    ///
    /// Fails when there are fewer.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) -> Result<(), DeltaError> {
        if self.count < count {
            self.refill();
            if self.count < count {
                return Err(self.error("ends too early"));
            }
        }
        self.held >>= count;
        self.count -= count;
        Ok(())
    }

    /// Returns the next `count` bits, at most 16.
    ///
    /// # Errors
    ///
    /// Fails when there are fewer.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<usize, DeltaError> {
        let bits = self.peek() & ((1 << count) - 1);
        self.skip(count)?;
        // At most 16 bits.
        Ok(usize::try_from(bits).unwrap_or(0))
    }

    /// Returns how many bits of the byte at hand were not read yet.
    pub(super) fn unread_of_byte(&self) -> u32 {
        self.count % 8
    }

    /// Returns an error that tells where the reader stands.
    pub(super) fn error(&self, problem: &str) -> DeltaError {
        DeltaError::malformed("deflate stream", self.position(), problem)
    }

    fn refill(&mut self) {
        if let Some(bytes) = self.bytes.get(self.at..self.at + 4) {
            let mut word = [0; 4];
            word.copy_from_slice(bytes);
            if self.count <= 32 {
                self.held |= u64::from(u32::from_le_bytes(word)) << self.count;
                self.count += 32;
                self.at += 4;
            }
            return;
        }
        while self.count <= 56 {
            let Some(byte) = self.bytes.get(self.at) else {
                return;
            };
            self.held |= u64::from(*byte) << self.count;
            self.count += 8;
            self.at += 1;
        }
    }
}

/// Writes bits, lowest first.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `bits`, at most 32; the others must be 0.
    #[inline]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.held |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= 32 {
            let [a, b, c, d, ..] = self.held.to_le_bytes();
            self.bytes.extend_from_slice(&[a, b, c, d]);
            self.held >>= 32;
            self.count -= 32;
        }
    }

    /// Fills the byte at hand with the lowest bits of `padding`.
    pub(super) fn align(&mut self, padding: u8) {
        let missing = (8 - self.count % 8) % 8;
        self.put(u32::from(padding) & ((1 << missing) - 1), missing);
    }

    /// Appends whole bytes; the writer stands between two bytes.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        while self.count >= 8 {
            let [byte, ..] = self.held.to_le_bytes();
            self.bytes.push(byte);
            self.held >>= 8;
            self.count -= 8;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns how many bytes are complete and were not taken yet.
    pub(super) fn ready(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the complete bytes.
    pub(super) fn take_ready(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
