use std::fmt;

use release_format::KeyId;

/// Why a step of a ceremony was refused; nothing was signed or published then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The file is no proposal, or one whose parts do not fit together.
    #[error("{place}: expected {expected}, found {found}")]
    Malformed {
        /// The proposal.
        place: String,
        /// What a proposal has there.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A change names what is not there, or leads to a role that nobody could sign for.
    #[error("the role {role}: expected {expected}, found {found}")]
    Unfit {
        /// The role that would change.
        role: String,
        /// What a change asks for.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Nothing would be otherwise than it is.
    #[error("expected a change, found that everything is so already")]
    Nothing,
    /// A signature that does not fit what is proposed: one of the two was changed since.
    #[error(
        "{place}: expected a signature of key {} over {role} {version} as it is proposed, found one over something else",
        short(key)
    )]
    Tampered {
        /// The proposal.
        place: String,
        /// Whose signature it says to be.
        key: KeyId,
        /// The role whose file it stands in.
        role: String,
        /// The version that is proposed.
        version: u64,
    },
    /// A signature, or a key to sign with, that belongs to none of the roles that are proposed,
    /// neither as they are nor as they will be.
    #[error("{place}: expected a key of {expected}, found {found}")]
    UnknownKey {
        /// The proposal.
        place: String,
        /// The roles.
        expected: String,
        /// The key.
        found: String,
    },
    /// The repository is not what the proposal was made from.
    #[error("{place}: expected to follow {expected}, found that it follows {found}")]
    Stale {
        /// The proposal.
        place: String,
        /// What the repository has.
        expected: String,
        /// What the proposal replaces.
        found: String,
    },
    /// A name in the repository is taken by other bytes.
    #[error("{location}: expected no file or the one that is proposed, found another")]
    Taken {
        /// The location.
        location: String,
    },
    /// Two files that propose different things cannot be merged.
    #[error("{place}: expected the same proposal as in {first}, found another")]
    Different {
        /// The file that is the odd one out.
        place: String,
        /// The file that it was compared with.
        first: String,
    },
    /// Not enough holders have signed.
    #[error("{place}: {}", told(shortfalls))]
    TooFewSignatures {
        /// The proposal.
        place: String,
        /// What each role lacks.
        shortfalls: Vec<Shortfall>,
    },
}

/// What a proposed file lacks until devices would follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// The role whose file is proposed, with its version.
    pub file: String,
    /// Whose keys count: the root that devices trust, or the new one.
    pub judge: String,
    /// The threshold.
    pub expected: u64,
    /// Keys whose signatures are valid.
    pub found: u64,
    /// The keys that have not signed.
    pub missing: Vec<KeyId>,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {} signatures by the keys that {} names, found {}; not yet signed by {}",
            self.file,
            self.expected,
            self.judge,
            self.found,
            short_ids(&self.missing)
        )
    }
}

fn told(shortfalls: &[Shortfall]) -> String {
    let told: Vec<_> = shortfalls.iter().map(Shortfall::to_string).collect();
    told.join("; ")
}

/// Returns key ids as people compare them, with commas between.
pub(crate) fn short_ids(keys: &[KeyId]) -> String {
    let short: Vec<_> = keys.iter().map(short).collect();
    short.join(", ")
}

/// Returns as much of a key id as people compare.
pub(crate) fn short(id: &KeyId) -> String {
    id.as_str().chars().take(SHORT_DIGITS).collect()
}

/// Eight bytes.
const SHORT_DIGITS: usize = 16;
