use std::path::PathBuf;

use release_format::{ChannelName, Label, PackName};

/// Why a rollout was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SteeringError {
    /// The channel offers nothing yet.
    #[error("{pack} has no channel {channel}: offer a release there first")]
    NoChannel {
        /// The pack.
        pack: PackName,
        /// The channel.
        channel: ChannelName,
    },
    /// The rollout stands still, and only to resume it changes that.
    #[error("the rollout of {label} in {channel} is halted: {reason}")]
    Halted {
        /// The channel.
        channel: ChannelName,
        /// The release.
        label: Label,
        /// Why it was halted.
        reason: String,
    },
    /// The release was withdrawn, and is not offered again.
    #[error("release {label} was withdrawn: {reason}")]
    Withdrawn {
        /// The release.
        label: Label,
        /// Why.
        reason: String,
    },
    /// The release to go back to is the one that is withdrawn.
    #[error("{label} cannot be the fallback of its own withdrawal")]
    OwnFallback {
        /// The release.
        label: Label,
    },
    /// A channel does not offer the release that is to be promoted from it.
    #[error("no channel offers release {label} to all of its devices: {found}")]
    NotOffered {
        /// The release.
        label: Label,
        /// What the channels offer.
        found: String,
    },
    /// A rollout that says too much, or what cannot be written.
    #[error("expected {expected}, found {found}")]
    Unfit {
        /// What a rollout takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// A plan of a rollout that says what no plan can.
    #[error("{}: {place}: expected {expected}, found {found}", file.display())]
    Plan {
        /// The plan's file.
        file: PathBuf,
        /// The key.
        place: String,
        /// What it takes.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A rollout that a plan does not know.
    #[error("{channel} offers {label} to {found}, which is no step of the plan")]
    NotInPlan {
        /// The channel.
        channel: ChannelName,
        /// The release that is offered.
        label: Label,
        /// To whom.
        found: String,
    },
}
