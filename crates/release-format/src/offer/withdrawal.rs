use diff_core::Digest;
use serde::{Deserialize, Serialize};

use crate::Label;

/// A release that devices are to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The manifest of the release.
    pub release: Digest,
    /// What it is called.
    pub label: Label,
    /// The manifest of the release that devices go back to; without it, to the newest one that is not
    /// withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Digest>,
    /// Why, in one line for people; may be empty.
    pub reason: String,
    /// Whether a device leaves it even where somebody pinned the device to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security: bool,
}
