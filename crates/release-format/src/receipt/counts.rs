/// What the receipts of one release in one channel add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReleaseCounts {
    /// Trials that were confirmed.
    pub confirmed: u64,
    /// Those among them that were confirmed within the time that was asked for.
    pub confirmed_in_time: u64,
    /// Trials that somebody failed; those of a release that is tried out of sight, too.
    pub failed: u64,
    /// Trials that went back by themselves.
    pub reverted: u64,
    /// Confirmations that were taken back.
    pub undone: u64,
    /// Verifications that failed.
    pub failed_verifications: u64,
    /// Different releases that are called by this label: more than one is a contradiction.
    pub releases: u64,
}

impl ReleaseCounts {
    /// Returns how many trials ended by what somebody or the device said of them.
    pub fn ended(&self) -> u64 {
        self.confirmed
            .saturating_add(self.failed)
            .saturating_add(self.reverted)
    }

    /// Returns how many devices went back.
    pub fn went_back(&self) -> u64 {
        self.failed
            .saturating_add(self.reverted)
            .saturating_add(self.undone)
    }
}
