use std::collections::BTreeMap;

use diff_core::Digest;
use release_format::{
    ChannelName, Label, PackName, Receipt, ReceiptOutcome, ReleaseCounts, SignedReceipt, UtcTime,
};

/// What receipts are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TallyKey {
    /// The pack.
    pub pack: PackName,
    /// The channel that offered the release.
    pub channel: ChannelName,
    /// The manifest of the release.
    pub release: Digest,
    /// What it is called.
    pub label: Label,
    /// How the trial ended.
    pub outcome: ReceiptOutcome,
    /// How many hours it lasted, begun ones included; [`Tally::MAX_HOURS`] for all that lasted longer.
    pub hours: u32,
    /// The minute since 1970 in which it counts.
    pub minute: i64,
}

/// How many receipts there are of each kind: what a gate asks, and what is kept beside the receipts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    counts: BTreeMap<TallyKey, u64>,
}

/// One kind of receipt, and how many there are.
pub type Tallied = (TallyKey, u64);

impl Tally {
    /// Hours that are told apart: a month of them.
    pub const MAX_HOURS: u32 = 31 * 24 + 1;

    /// Counts one receipt.
    pub fn add(&mut self, receipt: &Receipt, received: UtcTime) {
        *self.counts.entry(key(receipt, received)).or_default() += 1;
    }

    /// Counts so many receipts of a kind.
    pub fn add_many(&mut self, key: TallyKey, count: u64) {
        *self.counts.entry(key).or_default() += count;
    }

    /// Returns the kinds and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&TallyKey, u64)> {
        self.counts.iter().map(|(key, count)| (key, *count))
    }

    /// Returns what counts of one pack.
    #[must_use]
    pub fn of_pack(mut self, pack: &PackName) -> Tally {
        self.counts.retain(|key, _| key.pack == *pack);
        self
    }

    /// Returns what counts since a moment, of the minute that it lies in as a whole.
    #[must_use]
    pub fn since(mut self, since: UtcTime) -> Tally {
        let minute = since.seconds().div_euclid(60);
        self.counts.retain(|key, _| key.minute >= minute);
        self
    }

    /// Returns how many receipts were counted.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl Tally {
    /// Returns what was counted of the release called `label`; a confirmation is in time that took no
    /// more than so many hours.
    pub fn of_release(
        &self,
        channel: &ChannelName,
        label: &Label,
        in_time_hours: u64,
    ) -> ReleaseCounts {
        let mut found = ReleaseCounts::default();
        let mut releases = std::collections::BTreeSet::new();
        for (key, count) in self.iter() {
            if key.channel != *channel || key.label != *label {
                continue;
            }
            releases.insert(key.release);
            let place = match key.outcome {
                ReceiptOutcome::Confirmed | ReceiptOutcome::ShadowOk => {
                    if u64::from(key.hours) <= in_time_hours {
                        found.confirmed_in_time += count;
                    }
                    &mut found.confirmed
                }
                ReceiptOutcome::Failed | ReceiptOutcome::ShadowFailed => &mut found.failed,
                ReceiptOutcome::Reverted => &mut found.reverted,
                ReceiptOutcome::Undone => &mut found.undone,
                ReceiptOutcome::VerificationFailed => &mut found.failed_verifications,
                _ => continue,
            };
            *place += count;
        }
        found.releases = releases.len() as u64;
        found
    }
}

/// Returns the counts of receipts that lie somewhere, each counted once.
pub fn tally_of(receipts: impl IntoIterator<Item = SignedReceipt>, received: UtcTime) -> Tally {
    let mut seen = std::collections::BTreeSet::new();
    let mut tally = Tally::default();
    for receipt in receipts {
        let receipt = receipt.receipt();
        if seen.insert((receipt.device, receipt.id)) {
            tally.add(receipt, received);
        }
    }
    tally
}

/// A receipt counts when its trial ended, by the device's clock where that can be right; else when it
/// arrived.
fn key(receipt: &Receipt, received: UtcTime) -> TallyKey {
    let is_possible = receipt.clock_believed && receipt.time <= received;
    let at = if is_possible { receipt.time } else { received };
    let hours = receipt.trial_seconds.div_ceil(3_600);
    TallyKey {
        pack: receipt.pack.clone(),
        channel: receipt.channel.clone(),
        release: receipt.release,
        label: receipt.label.clone(),
        outcome: receipt.outcome,
        hours: u32::try_from(hours).map_or(Tally::MAX_HOURS, |hours| hours.min(Tally::MAX_HOURS)),
        minute: at.seconds().div_euclid(60),
    }
}
