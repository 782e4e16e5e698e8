use std::collections::BTreeSet;

use diff_core::Digest;
use serde::{Deserialize, Serialize};

use crate::offer::client_version::ClientVersion;
use crate::offer::cohort;
use crate::offer::device_id::DeviceId;
use crate::offer::flag::FeatureFlag;
use crate::offer::json;
use crate::offer::selector::Selectors;
use crate::offer::share::Share;
use crate::offer::withdrawal::Withdrawal;
use crate::{ChannelName, Document, FormatError, Label, PackName, UtcTime, Verified};

/// Which release a channel of a pack offers, to which of its devices, and from when on.
///
/// A rollout is a signed target, so no server decides who gets what: each device computes the same
/// answer from the same bytes.
///
/// ```
/// use release_format::{Asker, Decision, DeviceId, DeviceLabels, Rollout, Share};
/// # use release_format::{ChannelName, ClientVersion, Label, PackName, UtcTime};
/// # let (pack, channel) = (PackName::parse("acme/biology-101")?, ChannelName::default());
/// # let (release, label) = (diff_core::Digest::of(b"a manifest"), Label::parse("1.4.0")?);
/// # let labels = DeviceLabels::default();
/// let mut rollout = Rollout::new(pack, channel, release, label);
/// let asker = Asker {
///     device: DeviceId::parse("00112233445566778899aabbccddeeff")?,
///     labels: &labels,
///     client: ClientVersion::new(0, 1, 0),
///     now: UtcTime::parse("2026-11-21T00:00:00Z")?,
/// };
/// assert_eq!(rollout.decide(&asker), Decision::Offered);
/// rollout.share = Share::parse("0%")?;
/// assert!(matches!(rollout.decide(&asker), Decision::OutsideShare { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/rollout.md")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The pack.
    pub pack: PackName,
    /// The channel.
    pub channel: ChannelName,
    /// The manifest of the release that is offered.
    pub release: Digest,
    /// What that release is called.
    pub label: Label,
    /// The share of the devices that it is offered to.
    pub share: Share,
    /// Deals the devices into buckets; another salt deals them anew.
    pub salt: String,
    /// Whether it is offered to nobody who does not have it yet.
    pub halted: bool,
    /// Why it is halted, in one line for people; may be empty.
    pub halt_reason: String,
    /// The manifest of the release that is offered to whoever is not offered that one; without it
    /// they stay on what they have.
    pub otherwise: Option<Digest>,
    /// When its present step began: what happened on devices before tells nothing of it.
    pub since: Option<UtcTime>,
    /// What the content shows to a share of the devices.
    pub flags: Vec<FeatureFlag>,
    /// What a device does with the release.
    pub mode: Mode,
    /// Which devices it is for.
    pub select: Selectors,
    /// The moment before which it is offered to nobody who does not have it yet.
    pub starts: Option<UtcTime>,
    /// The oldest client that a release is for, by its manifest, wherever the release is named.
    pub minimum_clients: Vec<MinimumClient>,
    /// Releases that devices are to leave.
    pub withdrawn: Vec<Withdrawal>,
}

/// What a device does with the release that it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It becomes the active one, on trial.
    #[default]
    Standard,
    /// It is rebuilt beside the active one and compared with its manifest, and never becomes active.
    Shadow,
}

/// The oldest client that a release is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinimumClient {
    /// The manifest of the release.
    pub release: Digest,
    /// The version of the client.
    pub client: ClientVersion,
}

impl Rollout {
    /// The longest rollout, in bytes.
    pub const MAX_BYTES: u64 = 64 << 10;
    /// The longest salt, in bytes.
    pub const MAX_SALT_BYTES: usize = cohort::MAX_SALT_BYTES;
    /// The longest reason, in bytes.
    pub const MAX_REASON_BYTES: usize = 500;
    /// The most flags, releases with a minimum client, and withdrawn releases, each.
    pub const MAX_LISTED: usize = 64;

    /// Returns the rollout that offers a release to every device of a channel, dealt by the label.
    pub fn new(pack: PackName, channel: ChannelName, release: Digest, label: Label) -> Rollout {
        Rollout {
            pack,
            channel,
            release,
            salt: label.to_string(),
            label,
            share: Share::FULL,
            halted: false,
            halt_reason: String::new(),
            otherwise: None,
            since: None,
            flags: Vec::new(),
            mode: Mode::Standard,
            select: Selectors::default(),
            starts: None,
            minimum_clients: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    /// Returns the rollout that the bytes hold.
    ///
    /// # Errors
    /// [`FormatError`] names the first rule that the bytes break.
    pub fn decode<T: AsRef<[u8]>>(bytes: &Verified<T>) -> Result<Rollout, FormatError> {
        let (schema, wire): (u64, WireRollout) = json::read_up_to(
            Document::Rollout,
            bytes.get().as_ref(),
            Rollout::MAX_BYTES,
            JUDGED_SCHEMA,
        )?;
        let rollout = Rollout {
            pack: wire.pack,
            channel: wire.channel,
            release: wire.release,
            label: wire.label,
            share: wire.share,
            salt: wire.salt,
            halted: wire.halted,
            halt_reason: wire.halt_reason,
            otherwise: wire.otherwise,
            since: wire.since,
            flags: wire.flags,
            mode: wire.mode,
            select: wire.select,
            starts: wire.starts,
            minimum_clients: wire.minimum_clients,
            withdrawn: wire.withdrawn,
        };
        rollout.check()?;
        // An older reader takes schema 1 and would pass over what changes the answer.
        if schema < rollout.schema() {
            let found = format!("schema {schema} with fields of schema {}", rollout.schema());
            return Err(malformed("schema", rollout.schema().to_string(), found));
        }
        Ok(rollout)
    }

    /// Returns the bytes that are signed: canonical JSON.
    ///
    /// # Errors
    /// [`FormatError`] when [`Rollout::decode`] would refuse them.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        let bytes = json::write(&WireRollout {
            schema: self.schema(),
            pack: self.pack.clone(),
            channel: self.channel.clone(),
            release: self.release,
            label: self.label.clone(),
            share: self.share,
            salt: self.salt.clone(),
            halted: self.halted,
            halt_reason: self.halt_reason.clone(),
            otherwise: self.otherwise,
            since: self.since,
            flags: self.flags.clone(),
            mode: self.mode,
            select: self.select.clone(),
            starts: self.starts,
            minimum_clients: self.minimum_clients.clone(),
            withdrawn: self.withdrawn.clone(),
        });
        let length = bytes.len() as u64;
        if length > Rollout::MAX_BYTES {
            return Err(FormatError::Limit {
                document: Document::Rollout,
                what: "bytes",
                claimed: length,
                limit: Rollout::MAX_BYTES,
            });
        }
        Ok(bytes)
    }

    /// Returns this rollout if it is the one of `channel` of `pack`: a target of one channel may not
    /// speak for another.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] with both names.
    pub fn expect_channel(
        self,
        pack: &PackName,
        channel: &ChannelName,
    ) -> Result<Rollout, FormatError> {
        let expected = pack.rollout_target(channel);
        let found = self.pack.rollout_target(&self.channel);
        if expected == found {
            Ok(self)
        } else {
            Err(malformed("pack and channel", expected, found))
        }
    }

    /// Returns the version of the format that says all of it: 2 where a reader of schema 1 would offer
    /// the release to others than the rollout does.
    pub fn schema(&self) -> u64 {
        let changes_the_answer = self.mode != Mode::Standard
            || !self.select.is_empty()
            || self.starts.is_some()
            || !self.minimum_clients.is_empty()
            || !self.withdrawn.is_empty();
        if changes_the_answer {
            JUDGED_SCHEMA
        } else {
            json::SCHEMA
        }
    }

    /// Returns the bucket that the salt deals `device` into, 0 to 9999; the share takes the lowest.
    ///
    /// It is the first eight bytes of the BLAKE3 digest of salt and device id, as a little-endian
    /// number, modulo 10,000.
    pub fn bucket(&self, device: &DeviceId) -> u16 {
        cohort::bucket(&self.salt, device)
    }

    /// Returns the oldest client that the release with this manifest is for, if it asks for one.
    pub fn minimum_client(&self, release: &Digest) -> Option<ClientVersion> {
        let mut minimums = self.minimum_clients.iter();
        let minimum = minimums.find(|minimum| minimum.release == *release);
        minimum.map(|minimum| minimum.client)
    }

    /// Returns why the release with this manifest is to be left, if it is.
    pub fn withdrawal(&self, release: &Digest) -> Option<&Withdrawal> {
        self.withdrawn
            .iter()
            .find(|withdrawal| withdrawal.release == *release)
    }

    /// Returns the flags that `device` shows, in the order of their names.
    pub fn flags_of(&self, device: &DeviceId) -> BTreeSet<String> {
        let on = self.flags.iter().filter(|flag| flag.is_on(device));
        on.map(|flag| flag.name.clone()).collect()
    }

    /// Whether every device of the channel is offered the release at `now`, as far as its client can.
    pub fn is_for_all(&self, now: UtcTime) -> bool {
        self.share == Share::FULL
            && !self.halted
            && self.mode == Mode::Standard
            && self.select.is_empty()
            && self.starts.is_none_or(|starts| starts <= now)
    }

    /// Returns the manifests of all releases that some device may be offered, or go back to.
    pub fn named(&self) -> impl Iterator<Item = Digest> + '_ {
        let fallbacks = self.withdrawn.iter().filter_map(|of| of.fallback);
        [Some(self.release), self.otherwise]
            .into_iter()
            .flatten()
            .chain(fallbacks)
    }

    fn check(&self) -> Result<(), FormatError> {
        if !cohort::is_salt(&self.salt) {
            let found: String = self.salt.chars().take(80).collect();
            return Err(malformed("salt", SALT_RULE, found));
        }
        let reasons = self.withdrawn.iter().map(|of| ("withdrawn", &of.reason));
        for (place, reason) in reasons.chain([("halt_reason", &self.halt_reason)]) {
            if reason.len() > Rollout::MAX_REASON_BYTES || reason.chars().any(char::is_control) {
                let found = format!("{} bytes", reason.len());
                return Err(malformed(
                    place,
                    "a reason of one line, 500 bytes at most",
                    found,
                ));
            }
        }
        if !self.halted && !self.halt_reason.is_empty() {
            return Err(malformed(
                "halt_reason",
                "none while it is not halted",
                "one",
            ));
        }
        for (what, count) in [
            ("flags", self.flags.len()),
            ("releases with a minimum client", self.minimum_clients.len()),
            ("withdrawn releases", self.withdrawn.len()),
        ] {
            if count > Rollout::MAX_LISTED {
                return Err(FormatError::Limit {
                    document: Document::Rollout,
                    what,
                    claimed: count as u64,
                    limit: Rollout::MAX_LISTED as u64,
                });
            }
        }
        if let Some(flag) = self.flags.iter().find(|flag| !flag.is_sound()) {
            return Err(malformed(
                "flags",
                "a plain name and a salt",
                flag.name.clone(),
            ));
        }
        // Lists in the order of what names their entries: one spelling alone, and nothing twice.
        if !self.flags.is_sorted_by(|a, b| a.name < b.name) {
            return Err(malformed("flags", IN_ORDER, "another order"));
        }
        if !self
            .minimum_clients
            .is_sorted_by(|a, b| a.release < b.release)
        {
            return Err(malformed("minimum_clients", IN_ORDER, "another order"));
        }
        if !self.withdrawn.is_sorted_by(|a, b| a.release < b.release) {
            return Err(malformed("withdrawn", IN_ORDER, "another order"));
        }
        self.check_withdrawn()
    }

    fn check_withdrawn(&self) -> Result<(), FormatError> {
        // A pack's only release has nothing in its place: it is withdrawn by a halt of its rollout.
        let offered = [Some(self.release).filter(|_| !self.halted), self.otherwise];
        for release in offered.into_iter().flatten() {
            if self.withdrawal(&release).is_some() {
                let expected = "no release that is offered";
                return Err(malformed("withdrawn", expected, release.to_string()));
            }
        }
        for withdrawal in &self.withdrawn {
            let fallback = withdrawal.fallback.as_ref();
            if fallback.is_some_and(|fallback| self.withdrawal(fallback).is_some()) {
                let expected = "fallbacks that are not withdrawn themselves";
                return Err(malformed("withdrawn", expected, withdrawal.label.as_str()));
            }
        }
        Ok(())
    }
}

/// The schema of rollouts whose answer a reader of schema 1 would get wrong.
const JUDGED_SCHEMA: u64 = 2;
const SALT_RULE: &str =
    "at most 64 printable ASCII characters without quotes, backslashes and spaces";
const IN_ORDER: &str = "its entries in order, each once";

/// The whole as it is written.
#[derive(Serialize, Deserialize)]
struct WireRollout {
    schema: u64,
    pack: PackName,
    channel: ChannelName,
    release: Digest,
    label: Label,
    share: Share,
    salt: String,
    halted: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    halt_reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    otherwise: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<UtcTime>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    flags: Vec<FeatureFlag>,
    #[serde(default, skip_serializing_if = "is_standard")]
    mode: Mode,
    #[serde(default, skip_serializing_if = "Selectors::is_empty")]
    select: Selectors,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts: Option<UtcTime>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    minimum_clients: Vec<MinimumClient>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withdrawn: Vec<Withdrawal>,
}

fn is_standard(mode: &Mode) -> bool {
    *mode == Mode::Standard
}

fn malformed(
    place: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> FormatError {
    FormatError::malformed(Document::Rollout, place, expected, found)
}

#[cfg(test)]
mod tests;
