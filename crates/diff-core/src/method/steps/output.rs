use super::history::History;
use crate::error::DeltaError;

/// What is decoded, all of which later copies may ask for.
pub(super) struct Output<'a> {
    reference: &'a [u8],
    new: Vec<u8>,
    handed: usize,
    out: &'a mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
}

impl<'a> Output<'a> {
    /// Returns an output of nothing yet.
    pub(super) fn new(
        reference: &'a [u8],
        out: &'a mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Output<'a> {
        Output {
            reference,
            new: Vec::new(),
            handed: 0,
            out,
        }
    }

    /// Returns how many bytes there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.new.len()
    }

    /// Returns the reference and what is decoded.
    #[inline]
    pub(super) fn history(&self) -> History<'_> {
        History {
            reference: self.reference,
            new: &self.new,
        }
    }

    /// Appends a literal.
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        self.new.push(byte);
    }

    /// Appends bytes of the history, and returns them; the caller has checked that there are any at this
    /// distance.
    pub(super) fn copy(&mut self, length: usize, distance: usize) -> Result<&[u8], DeltaError> {
        let start = self.new.len();
        let mut left = length;
        while left > 0 {
            let most = left.min(PIECE_BYTES);
            let copied = match distance.checked_sub(self.new.len()) {
                Some(before @ 1..) => {
                    let start = self.reference.len().saturating_sub(before);
                    let found = self.reference.get(start..).unwrap_or(&[]);
                    let found = found.get(..most).unwrap_or(found);
                    self.new.extend_from_slice(found);
                    found.len()
                }
                _ => {
                    let copied = most.min(distance);
                    let start = self.new.len() - distance;
                    self.new.extend_from_within(start..start + copied);
                    copied
                }
            };
            left -= copied;
            self.hand_on(PIECE_BYTES)?;
        }
        Ok(self.new.get(start..).unwrap_or(&[]))
    }

    /// Hands on what was not yet, where it is so much.
    #[inline]
    pub(super) fn hand_on(&mut self, least: usize) -> Result<(), DeltaError> {
        let piece = self.new.get(self.handed..).unwrap_or(&[]);
        if piece.len() >= least {
            (self.out)(piece)?;
            self.handed = self.new.len();
        }
        Ok(())
    }
}

/// How much is handed on at once, so that a stop is heard in time.
pub(super) const PIECE_BYTES: usize = 1 << 18;
