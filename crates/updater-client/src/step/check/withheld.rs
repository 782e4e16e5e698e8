use std::fmt;

use release_format::{ClientVersion, Label, Share, UtcTime};

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
    /// The rollout begins later.
    #[error("the rollout starts {starts}")]
    NotYet {
        /// When it begins, by the time that the device trusts.
        starts: UtcTime,
    },
    /// The rollout is for other devices.
    #[error("the rollout is for devices with another label {key}")]
    NotSelected {
        /// The label that this device lacks, or that has another value.
        key: String,
    },
    /// The rollout stands still.
    #[error("the rollout is halted")]
    Halted,
    /// This client cannot apply the release, nor an older one that the device does not have.
    #[error("{0}")]
    Unsupported(Lacking),
    /// The release failed its trial on this device, and is refused until a newer one comes.
    #[error("release {label} failed its trial on this device: {reason}")]
    FailedHere {
        /// The release's label.
        label: String,
        /// What was wrong with it.
        reason: String,
    },
    /// Somebody pinned the device to the release that it has.
    #[error("the device is pinned to {label}")]
    Pinned {
        /// The label of the active release.
        label: String,
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

/// What a client lacks for a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The release.
    pub label: Label,
    /// The oldest client that the release is for, where this one is older.
    pub client: Option<ClientVersion>,
    /// The methods without which there is no way to it.
    pub methods: Vec<String>,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {} needs ", self.label)?;
        if let Some(client) = &self.client {
            write!(f, "Satchel {client} or newer")?;
        }
        if !self.methods.is_empty() {
            let and = if self.client.is_some() { ", and " } else { "" };
            write!(f, "{and}a client that knows {}", self.methods.join(", "))?;
        }
        Ok(())
    }
}
