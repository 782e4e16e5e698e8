use crate::Cancelled;
use crate::progress::Advanced;

/// Tells of half of the bytes that it hears of.
pub(super) struct Halved<'a> {
    advanced: &'a mut Advanced<'a>,
    heard: u64,
}

impl<'a> Halved<'a> {
    /// Returns one that passes on what it tells.
    pub(super) fn of(advanced: &'a mut Advanced<'a>) -> Halved<'a> {
        Halved { advanced, heard: 0 }
    }

    /// Hears of bytes that are done.
    pub(super) fn hear(&mut self, bytes: u64) -> Result<(), Cancelled> {
        let told = self.heard / 2;
        self.heard += bytes;
        (self.advanced)(self.heard / 2 - told)
    }
}
