use crate::UtcTime;

/// Why metadata is not believed: one variant for each rule of the workflow that it breaks.
///
/// `role` is the role whose file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file above the length that its role, or the metadata that names it, allows.
    #[error("{role}: {length} bytes, the limit is {limit}")]
    TooLong {
        /// The role.
        role: String,
        /// Bytes found.
        length: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A file that is no metadata of its role.
    #[error("{role}: {place}: expected {expected}, found {found}")]
    Malformed {
        /// The role.
        role: String,
        /// Where.
        place: String,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Metadata of another major version of the specification.
    #[error("{role}: specification version {found:?}, this Satchel reads 1.x")]
    SpecVersion {
        /// The role.
        role: String,
        /// The version found.
        found: String,
    },
    /// Fewer keys than the role's threshold have signed.
    #[error(
        "{role}: {valid} of its keys, as {delegator} names them, have signed, {threshold} must"
    )]
    Signatures {
        /// The role.
        role: String,
        /// Who names the role's keys.
        delegator: String,
        /// Distinct keys whose signatures are valid.
        valid: usize,
        /// Keys that are needed.
        threshold: u64,
    },
    /// A version below one that was trusted before.
    #[error("{role}: version {found} is older than {trusted}, which was trusted before")]
    Rollback {
        /// The role that would go back.
        role: String,
        /// The version that was trusted.
        trusted: u64,
        /// The version found.
        found: u64,
    },
    /// Another version than the one that the metadata above it names.
    #[error("{role}: expected version {expected}, found {found}")]
    WrongVersion {
        /// The role.
        role: String,
        /// The version named.
        expected: u64,
        /// The version found.
        found: u64,
    },
    /// Another length than the one that the metadata above it names.
    #[error("{role}: expected {expected} bytes, found {found}")]
    WrongLength {
        /// The role, or the target.
        role: String,
        /// Bytes named.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// Another digest than the one that the metadata above it names.
    #[error("{role}: expected the {algorithm} digest {expected}, found {found}")]
    WrongDigest {
        /// The role, or the target.
        role: String,
        /// The digest's algorithm.
        algorithm: &'static str,
        /// The digest named.
        expected: String,
        /// The digest found.
        found: String,
    },
    /// Metadata whose time is over.
    #[error("{role}: expired at {expires}, it is {now}")]
    Expired {
        /// The role.
        role: String,
        /// When it expired.
        expires: UtcTime,
        /// The time that it was compared with.
        now: UtcTime,
    },
    /// A role that the trusted snapshot lists and the new one does not.
    #[error("snapshot: {role} was listed before and is not any more")]
    Disappeared {
        /// The role that is not listed.
        role: String,
    },
    /// A role that is delegated to and that the snapshot does not list.
    #[error("{role}: the snapshot does not list it")]
    Unlisted {
        /// The role.
        role: String,
    },
    /// More new root versions in one update than any fleet needs.
    #[error("root: {limit} rotations in one update are as many as are followed")]
    TooManyRoots {
        /// Rotations allowed.
        limit: u64,
    },
    /// A search for a target that visits more roles than any repository needs.
    #[error("{target}: the search ended after {limit} delegated roles")]
    TooManyDelegations {
        /// The target.
        target: String,
        /// Roles allowed.
        limit: usize,
    },
    /// A step of the workflow before the one that it needs.
    #[error("{role}: {needed} has to be trusted first")]
    OutOfOrder {
        /// The role that was to be trusted.
        role: String,
        /// What is not there yet.
        needed: &'static str,
    },
}

impl TrustError {
    pub(crate) fn malformed(
        role: &str,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> TrustError {
        TrustError::Malformed {
            role: role.to_owned(),
            place: place.into().chars().take(300).collect(),
            expected: expected.into(),
            found: found.into().chars().take(300).collect(),
        }
    }

    /// Whether somebody may be at work, rather than a repository that nobody tends or a newer one.
    pub fn is_attack(&self) -> bool {
        !matches!(
            self,
            TrustError::Expired { .. }
                | TrustError::SpecVersion { .. }
                | TrustError::TooManyRoots { .. }
                | TrustError::OutOfOrder { .. }
        )
    }
}
