use release_format::{ChannelName, Label, PackName, Rollout, UtcTime};

use crate::govern::audit_log::AuditLog;

/// Where the outcomes of trials come from that devices have sent.
pub trait ReceiptSource {
    /// Returns how many trials of a pack ended on each day, the first day first.
    ///
    /// # Errors
    /// What stands in the way, in words for people.
    fn days(&self, pack: &PackName) -> Result<Vec<ReceiptDay>, String>;
}

/// How many trials of a pack ended on one day, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptDay {
    /// The day, such as `2026-11-21`.
    pub day: String,
    /// Trials that were confirmed.
    pub confirmed: u64,
    /// Trials that ended in a revert.
    pub reverted: u64,
    /// Releases that could not be verified.
    pub failed: u64,
}

/// All that the page tells.
pub(crate) struct Figures {
    pub(crate) repository: String,
    pub(crate) now: UtcTime,
    pub(crate) expires: Option<UtcTime>,
    pub(crate) packs: Vec<PackFigures>,
    pub(crate) log: AuditLog,
    pub(crate) has_receipts: bool,
}

/// What the page tells of one pack.
pub(crate) struct PackFigures {
    pub(crate) pack: PackName,
    pub(crate) releases: Vec<ReleaseFigures>,
    pub(crate) rollouts: Vec<Rollout>,
    /// What a device on the release of the row fetches for the one of the column.
    pub(crate) downloads: Vec<Vec<Option<u64>>>,
    /// Bytes of the newest release's files by their kind, the most first.
    pub(crate) kinds: Vec<(String, u64)>,
    /// Shares of each channel, as they changed.
    pub(crate) steps: Vec<Step>,
    pub(crate) receipts: Result<Vec<ReceiptDay>, String>,
}

/// What the page tells of one release.
pub(crate) struct ReleaseFigures {
    pub(crate) label: Label,
    pub(crate) published: UtcTime,
    pub(crate) files: u64,
    pub(crate) tree_bytes: u64,
    pub(crate) first_install: Option<u64>,
    pub(crate) stored_bytes: u64,
    pub(crate) withdrawn: Option<String>,
}

/// A change of what a channel offers.
pub(crate) struct Step {
    pub(crate) channel: ChannelName,
    pub(crate) time: UtcTime,
    pub(crate) label: Label,
    pub(crate) basis_points: u16,
    pub(crate) halted: bool,
    pub(crate) action: String,
    pub(crate) reason: Option<String>,
    /// The arithmetic of the gate that decided it; none where a person did.
    pub(crate) grounds: Vec<String>,
}
