use diff_core::Digest;
use release_format::{
    ChannelName, Label, Reason, ReceiptId, ReceiptOutcome, ReceiptRoute, UtcTime,
};
use serde::{Deserialize, Serialize};

use super::kept::InstalledRelease;

/// What is remembered of a trial while it lasts, to be told when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Began {
    /// Which trial it is, drawn at random.
    pub trial: ReceiptId,
    /// When it began: the later of the device's clock and what is proved to have passed.
    pub at: UtcTime,
    /// The channel that offered the release.
    pub channel: ChannelName,
    /// What was fetched for it.
    pub route: ReceiptRoute,
    /// Bytes that were fetched for it.
    pub fetched_bytes: u64,
    /// How long fetching and building it took.
    pub update_seconds: u64,
}

/// A trial that ended, and of which no receipt lies in the outbox yet, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// What was remembered of the trial.
    pub began: Began,
    /// The manifest of the release.
    pub release: Digest,
    /// What it is called.
    pub label: Label,
    /// How the trial ended.
    pub outcome: ReceiptOutcome,
    /// Why, where it did not end well.
    pub reason: Option<Reason>,
    /// When it ended, by the same rule as when it began.
    pub at: UtcTime,
    /// Whether that is what the clock showed.
    pub clock_believed: bool,
}

/// What somebody does to a trial, and when.
#[derive(Debug, Clone)]
pub struct Ending<'a> {
    /// How a trial ends by it.
    pub outcome: ReceiptOutcome,
    /// Why: a code to count by; empty for what undoes nothing, such as the next release.
    pub code: &'a str,
    /// What the device's clock shows.
    pub now: UtcTime,
    /// The earliest moment that it can be.
    pub floor: UtcTime,
    /// The channel that the device follows.
    pub channel: &'a ChannelName,
    /// A name for what has none: a trial that an older Satchel began.
    pub fresh: ReceiptId,
}

/// What a device has still to tell of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reporting {
    pub(super) began: Option<Began>,
    pub(super) ended: Vec<Ended>,
}

/// Returns what is told of `release`, for which `remembered` was kept where it is on trial.
pub(crate) fn ended(
    release: &InstalledRelease,
    outcome: ReceiptOutcome,
    reason: Option<Reason>,
    remembered: Option<Began>,
    ending: &Ending<'_>,
) -> Ended {
    let floor = match &remembered {
        Some(began) => ending.floor.max(began.at),
        None => ending.floor,
    };
    let at = ending.now.max(floor);
    let began = remembered.unwrap_or_else(|| Began {
        trial: ending.fresh,
        at,
        channel: ending.channel.clone(),
        route: ReceiptRoute::Nothing,
        fetched_bytes: 0,
        update_seconds: 0,
    });
    Ended {
        began,
        release: release.manifest,
        label: release.label.clone(),
        outcome,
        reason,
        at,
        clock_believed: ending.now >= floor,
    }
}

impl Ended {
    /// Returns how long the trial lasted.
    pub fn trial_seconds(&self) -> u64 {
        let seconds = self.at.seconds().saturating_sub(self.began.at.seconds());
        u64::try_from(seconds).unwrap_or(0)
    }
}
