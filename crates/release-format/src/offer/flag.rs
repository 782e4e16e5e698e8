use serde::{Deserialize, Serialize};

use crate::name::is_plain_name;
use crate::offer::cohort::{bucket, is_salt};
use crate::offer::device_id::DeviceId;
use crate::offer::share::Share;

/// Something in the content that a share of the devices shows, and the others keep to themselves.
///
/// A flag has a share and a salt of its own, so that it reaches other devices than the release does,
/// and those whom it reached keep it while its share grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureFlag {
    /// What the content calls it: 1 to 64 of `a-z 0-9 - _ .`.
    pub name: String,
    /// Deals the devices into buckets.
    pub salt: String,
    /// The share of the devices that show it.
    pub share: Share,
}

impl FeatureFlag {
    /// Whether `device` shows it.
    pub fn is_on(&self, device: &DeviceId) -> bool {
        bucket(&self.salt, device) < self.share.basis_points()
    }

    /// Whether name and salt can be written.
    pub(crate) fn is_sound(&self) -> bool {
        is_plain_name(&self.name) && is_salt(&self.salt)
    }
}
