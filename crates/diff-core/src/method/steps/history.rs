/// Old bytes, and behind them the new ones that are known so far.
#[derive(Clone, Copy)]
pub(crate) struct History<'a> {
    pub(crate) reference: &'a [u8],
    pub(crate) new: &'a [u8],
}

impl History<'_> {
    /// Returns the byte so far back, 0 where there is none.
    #[inline]
    pub(crate) fn back(&self, distance: usize) -> u8 {
        let byte = match self.new.len().checked_sub(distance) {
            Some(at) => self.new.get(at),
            None => {
                let before = distance - self.new.len();
                let at = self.reference.len().checked_sub(before);
                at.and_then(|at| self.reference.get(at))
            }
        };
        byte.copied().unwrap_or(0)
    }

    /// Returns how many bytes before the place so far back are the same as the last ones, as far as 16 tell.
    #[inline]
    pub(crate) fn same(&self, distance: usize) -> u32 {
        if let (Some(there), Some(here)) = (self.before(distance), self.before(0)) {
            return (there ^ here).leading_zeros() / u8::BITS;
        }
        let is_same = |back: &usize| self.back(distance + back) == self.back(*back);
        let same = (1..=size_of::<u128>()).take_while(is_same).count();
        u32::try_from(same).unwrap_or(0)
    }

    /// Returns the bytes before the place so far back, the nearest of them highest, where they are all in
    /// one.
    #[inline]
    fn before(&self, distance: usize) -> Option<u128> {
        let end = self.len().checked_sub(distance)?;
        let bytes = match end.checked_sub(self.reference.len()) {
            Some(end) if end > 0 => self.new.get(..end)?,
            _ => self.reference.get(..end)?,
        };
        bytes.last_chunk().map(|bytes| u128::from_le_bytes(*bytes))
    }

    /// Returns how many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.reference.len() + self.new.len()
    }
}
