use diff_core::Digest;
use release_format::{
    Catalogue, CatalogueRelease, Decision, DeviceId, Label, ReleaseStatus, Rollout, Share,
};

use crate::library::state::StateRecord;

/// What the repository offers this device for one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offer {
    /// The device has the newest release that it is offered.
    Current,
    /// A newer release, or the first.
    Release(CatalogueRelease),
    /// There is a newer release, and this device is not to have it.
    Withheld(Withheld),
}

/// Why a device is not offered the release that a rollout names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Withheld {
    /// The rollout reaches a share of the devices, and this one is outside it.
    #[error("the rollout reaches {share} of devices, and this one has bucket {bucket} of 10000")]
    OutsideShare {
        /// The device's bucket, 0 to 9999.
        bucket: u16,
        /// The share reached.
        share: Share,
    },
    /// The rollout stands still.
    #[error("the rollout is halted")]
    Halted,
    /// The release failed its trial on this device, and is refused until a newer one comes.
    #[error("release {label} failed its trial on this device: {reason}")]
    FailedHere {
        /// The release's label.
        label: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The release was withdrawn by its publisher.
    #[error("release {label} was withdrawn: {reason}")]
    Withdrawn {
        /// The release's label.
        label: String,
        /// The publisher's reason.
        reason: String,
    },
    /// The rollout names a release that the catalogue does not list: the two were signed by
    /// different people, and the catalogue has not caught up.
    #[error("the rollout names release {label}, which the catalogue does not list")]
    Unlisted {
        /// The release's label.
        label: String,
    },
}

/// Decides what `device` is offered, from signed documents and the pack's state alone.
pub(crate) fn offer(
    catalogue: &Catalogue,
    rollout: &Rollout,
    device: &DeviceId,
    state: &StateRecord,
) -> Offer {
    if state
        .active()
        .is_some_and(|active| active.manifest == rollout.release)
    {
        return Offer::Current;
    }
    let withheld = match rollout.decide(device) {
        Decision::Offered => {
            return judge(catalogue, &rollout.release, &rollout.label, state);
        }
        Decision::OutsideShare { bucket } => Withheld::OutsideShare {
            bucket,
            share: rollout.share,
        },
        _ => Withheld::Halted,
    };
    // Whoever is not to have the new release may still lack the one before it.
    if let Some(otherwise) = &rollout.otherwise
        && let release @ Offer::Release(_) = judge(catalogue, otherwise, &rollout.label, state)
    {
        return release;
    }
    Offer::Withheld(withheld)
}

fn judge(catalogue: &Catalogue, manifest: &Digest, label: &Label, state: &StateRecord) -> Offer {
    let Some(release) = catalogue.release(manifest) else {
        return Offer::Withheld(Withheld::Unlisted {
            label: label.to_string(),
        });
    };
    let label = release.label.to_string();
    if let ReleaseStatus::Withdrawn { reason } = &release.status {
        return Offer::Withheld(Withheld::Withdrawn {
            label,
            reason: reason.clone(),
        });
    }
    // A rollout that goes back says so by withdrawing: a lower number alone is nothing new.
    if state
        .active()
        .is_some_and(|active| release.sequence <= active.sequence)
    {
        return Offer::Current;
    }
    match state.refusal_of(manifest) {
        Some(refused) => Offer::Withheld(Withheld::FailedHere {
            label,
            reason: refused.reason.clone(),
        }),
        None => Offer::Release(release.clone()),
    }
}
