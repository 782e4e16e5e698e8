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

    /// Returns how many bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.reference.len() + self.new.len()
    }
}
