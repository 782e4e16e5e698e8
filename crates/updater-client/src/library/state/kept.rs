use diff_core::Digest;
use release_format::{Label, UtcTime};
use serde::{Deserialize, Serialize};

/// A release that lies complete on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstalledRelease {
    /// What people call it.
    pub label: Label,
    /// Its place among the pack's releases.
    pub sequence: u64,
    /// The digest of its manifest: what it is.
    pub manifest: Digest,
    /// Bytes of its files together.
    pub tree_bytes: u64,
}

/// What a device keeps beside what it shows, and what keeps it from switching.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Keeping {
    pub(super) staged: Option<InstalledRelease>,
    pub(super) pins: Vec<Pin>,
    pub(super) holds: Vec<Hold>,
    pub(super) copies: Vec<Copy>,
}

/// A release that is kept because somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The release.
    pub release: InstalledRelease,
    /// Whether the device stays on it; otherwise it is only kept, for attempts that began on it.
    pub stays: bool,
}

/// Somebody's wish that no other release becomes active for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Why, in the words of whoever holds.
    pub reason: String,
    /// What the device's clock showed when it was asked for.
    pub since: UtcTime,
    /// When it ends by itself.
    pub until: UtcTime,
}

impl Hold {
    /// The longest hold, in days: one that everybody forgot must end.
    pub const MAX_DAYS: u32 = 31;

    /// Whether the hold counts at `now`.
    ///
    /// A clock that went back by more than a day since it was asked for ends it: asked for in 2035 by
    /// a clock that was wrong, it would last for years once the clock is right.
    pub fn is_in_force(&self, now: UtcTime) -> bool {
        self.since <= now.plus_days(1) && now < self.until
    }
}

/// Where the tree of a release lies that is not the first one made of it here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copy {
    /// The digest of its manifest.
    pub(super) manifest: Digest,
    /// Its number, from 1 on.
    pub(super) copy: u32,
}
