/// What metadata may cost before it is refused: a ceiling for each resource, with the attack that it
/// stops.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustLimits {
    /// Bytes of a root: stops endless data where nothing says how long the file is.
    pub root_bytes: u64,
    /// Bytes of a timestamp: likewise.
    pub timestamp_bytes: u64,
    /// Bytes of a snapshot, where the timestamp does not give its length.
    pub snapshot_bytes: u64,
    /// Bytes of a targets role, where the snapshot does not give its length.
    pub targets_bytes: u64,
    /// Root rotations in one update: stops an endless chain of roots by a stolen root key.
    pub root_rotations: u64,
    /// Roles that the search for one target may visit: stops endless delegations.
    pub delegations: usize,
    /// Bytes of a target: stops a stolen key from signing what fills the memory.
    pub target_bytes: u64,
    /// Days of grace for what has expired: stops a tenant from signing that nothing ever does.
    pub offline_grace_days: u32,
}

impl TrustLimits {
    /// Returns the ceilings that every client keeps.
    pub const fn standard() -> TrustLimits {
        TrustLimits {
            root_bytes: 512 << 10,
            timestamp_bytes: 16 << 10,
            snapshot_bytes: 2 << 20,
            targets_bytes: 5 << 20,
            root_rotations: 256,
            delegations: 32,
            target_bytes: 32 << 20,
            offline_grace_days: 366,
        }
    }
}

impl Default for TrustLimits {
    fn default() -> TrustLimits {
        TrustLimits::standard()
    }
}
