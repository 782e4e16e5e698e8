use diff_core::Digest;
use release_format::{
    Asker, Catalogue, CatalogueRelease, ClientVersion, Decision, DeviceId, DeviceLabels, Label,
    ReleaseStatus, Rollout, Share, UtcTime,
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
    let asker = Asker {
        device: *device,
        labels: &DeviceLabels::default(),
        client: ClientVersion::new(0, 1, 0),
        now: UtcTime::MIN,
    };
    let withheld = match rollout.decide(&asker) {
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
        None => match state.stays_on() {
            Some(pin) => Offer::Withheld(Withheld::Pinned {
                label: pin.release.label.to_string(),
            }),
            None => Offer::Release(release.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::state::InstalledRelease;
    use release_format::{ChannelName, ContentReference, PackName};

    const LABELS: [&str; 3] = ["1.0", "1.1", "1.2"];

    fn manifest(label: &str) -> ContentReference {
        ContentReference::of(label.as_bytes())
    }

    fn pack() -> PackName {
        PackName::parse("acme/biology-101").unwrap()
    }

    /// Three releases, of which `withdrawn` is withdrawn.
    fn catalogue(withdrawn: &str) -> Catalogue {
        let release = |(label, sequence): (&&str, u64)| CatalogueRelease {
            label: Label::parse(label).unwrap(),
            sequence,
            manifest: manifest(label),
            published: UtcTime::from_seconds(0),
            tree_bytes: 1,
            files: 1,
            chunk_map: ContentReference::of(b"chunk map"),
            archives: Vec::new(),
            deltas: Vec::new(),
            notes: None,
            status: match *label == withdrawn {
                true => ReleaseStatus::Withdrawn {
                    reason: "a wrong key".to_owned(),
                },
                false => ReleaseStatus::Offered,
            },
        };
        Catalogue {
            pack: pack(),
            releases: LABELS.iter().zip(1..).map(release).collect(),
        }
    }

    fn rollout(label: &str, share: &str, otherwise: Option<&str>) -> Rollout {
        let (channel, named) = (ChannelName::default(), Label::parse(label).unwrap());
        Rollout {
            share: Share::parse(share).unwrap(),
            salt: "salt".to_owned(),
            otherwise: otherwise.map(|label| manifest(label).digest),
            ..Rollout::new(pack(), channel, manifest(label).digest, named)
        }
    }

    fn installed(label: &str, sequence: u64) -> InstalledRelease {
        InstalledRelease {
            label: Label::parse(label).unwrap(),
            sequence,
            manifest: manifest(label).digest,
            tree_bytes: 1,
        }
    }

    fn state(label: Option<(&str, u64)>) -> StateRecord {
        let empty = StateRecord::empty(pack());
        match label {
            Some((label, sequence)) => {
                let active = empty.activate(installed(label, sequence), 3).unwrap();
                active.confirm().unwrap()
            }
            None => empty,
        }
    }

    /// The label that is offered, or why none is.
    fn outcome(catalogue: &Catalogue, rollout: &Rollout, state: &StateRecord) -> String {
        let device = DeviceId::parse("00112233445566778899aabbccddeeff").unwrap();
        match offer(catalogue, rollout, &device, state) {
            Offer::Current => "current".to_owned(),
            Offer::Release(release) => release.label.to_string(),
            Offer::Withheld(Withheld::OutsideShare { .. }) => "outside".to_owned(),
            Offer::Withheld(Withheld::Halted) => "halted".to_owned(),
            Offer::Withheld(Withheld::Withdrawn { .. }) => "withdrawn".to_owned(),
            Offer::Withheld(Withheld::FailedHere { .. }) => "failed here".to_owned(),
            Offer::Withheld(Withheld::Pinned { .. }) => "pinned".to_owned(),
            Offer::Withheld(Withheld::Unlisted { .. }) => "unlisted".to_owned(),
        }
    }

    #[test]
    fn device_is_offered_what_the_table_says() {
        let failed = state(Some(("1.0", 1)))
            .activate(installed("1.1", 2), 3)
            .unwrap();
        let failed = failed.fail("the quiz does not open").unwrap();
        let (nothing, old, new) = (
            state(None),
            state(Some(("1.0", 1))),
            state(Some(("1.2", 3))),
        );
        let halted = Rollout {
            halted: true,
            ..rollout("1.1", "100%", None)
        };
        let stranger = rollout("9.9", "100%", None);
        for (claim, rollout, state, expected) in [
            (
                "first install",
                rollout("1.1", "100%", None),
                &nothing,
                "1.1",
            ),
            ("newer release", rollout("1.1", "100%", None), &old, "1.1"),
            (
                "same release",
                rollout("1.0", "100%", None),
                &old,
                "current",
            ),
            (
                "device is ahead",
                rollout("1.1", "100%", None),
                &new,
                "current",
            ),
            (
                "outside the share",
                rollout("1.1", "0%", None),
                &old,
                "outside",
            ),
            (
                "outside, with nothing yet",
                rollout("1.1", "0%", Some("1.0")),
                &nothing,
                "1.0",
            ),
            (
                "outside, with the one before",
                rollout("1.1", "0%", Some("1.0")),
                &old,
                "outside",
            ),
            (
                "has it, share was narrowed",
                rollout("1.2", "0%", Some("1.0")),
                &new,
                "current",
            ),
            ("halted", halted, &old, "halted"),
            (
                "failed here",
                rollout("1.1", "100%", None),
                &failed,
                "failed here",
            ),
            (
                "newer than what failed",
                rollout("1.2", "100%", None),
                &failed,
                "1.2",
            ),
            ("not in the catalogue", stranger, &old, "unlisted"),
        ] {
            assert_eq!(
                outcome(&catalogue("none"), &rollout, state),
                expected,
                "{claim}"
            );
        }
        let rollout = rollout("1.1", "100%", None);
        assert_eq!(outcome(&catalogue("1.1"), &rollout, &old), "withdrawn");
    }
}
