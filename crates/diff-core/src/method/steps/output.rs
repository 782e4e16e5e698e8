use super::history::History;
use crate::error::DeltaError;

/// What is decoded, all of which later copies may ask for.
pub(super) struct Output<'a> {
    reference: &'a [u8],
    /// As many bytes as there will be.
    new: &'a mut [u8],
    /// How many of them are decoded.
    length: usize,
    handed: usize,
    out: &'a mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
}

impl<'a> Output<'a> {
    /// Returns an output of nothing yet, which will fill `new`.
    pub(super) fn new(
        reference: &'a [u8],
        new: &'a mut [u8],
        out: &'a mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Output<'a> {
        Output {
            reference,
            new,
            length: 0,
            handed: 0,
            out,
        }
    }

    /// Returns how many bytes there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Returns the reference and what is decoded.
    #[inline]
    pub(super) fn history(&self) -> History<'_> {
        History {
            reference: self.reference,
            new: self.new.get(..self.length).unwrap_or(&[]),
        }
    }

    /// Appends a literal; the caller has checked that one is missing.
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.new.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// Appends bytes of the history, and returns them; the caller has checked that there are any at this
    /// distance, and that so many are missing.
    pub(super) fn copy(&mut self, length: usize, distance: usize) -> Result<&[u8], DeltaError> {
        let start = self.length;
        let mut left = length;
        while left > 0 {
            let most = left.min(PIECE_BYTES);
            let copied = match distance.checked_sub(self.length) {
                Some(before @ 1..) => {
                    let start = self.reference.len().saturating_sub(before);
                    let found = self.reference.get(start..).unwrap_or(&[]);
                    let found = found.get(..most).unwrap_or(found);
                    self.new[self.length..self.length + found.len()].copy_from_slice(found);
                    found.len()
                }
                _ => {
                    let copied = most.min(distance);
                    let start = self.length - distance;
                    self.new.copy_within(start..start + copied, self.length);
                    copied
                }
            };
            self.length += copied;
            left -= copied;
            self.hand_on(PIECE_BYTES)?;
        }
        Ok(self.new.get(start..self.length).unwrap_or(&[]))
    }

    /// Hands on what was not yet, where it is so much.
    #[inline]
    pub(super) fn hand_on(&mut self, least: usize) -> Result<(), DeltaError> {
        let piece = self.new.get(self.handed..self.length).unwrap_or(&[]);
        if piece.len() >= least {
            (self.out)(piece)?;
            self.handed = self.length;
        }
        Ok(())
    }
}

/// How much is handed on at once, so that a stop is heard in time.
pub(super) const PIECE_BYTES: usize = 1 << 18;
