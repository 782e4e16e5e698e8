use diff_core::Digest;
use serde::{Deserialize, Serialize};

use crate::offer::device_id::DeviceId;
use crate::offer::json;
use crate::offer::share::Share;
use crate::{ChannelName, Document, FormatError, Label, PackName, Verified};

/// Which release a channel of a pack offers, and to which share of its devices.
///
/// A rollout is a signed target, so no server decides who gets what: each device computes the same
/// answer from the same bytes.
///
/// ```
/// use release_format::{Decision, DeviceId, Rollout, Share};
/// # use release_format::{ChannelName, Label, PackName};
/// # let mut rollout = Rollout {
/// #     pack: PackName::parse("acme/biology-101")?,
/// #     channel: ChannelName::default(),
/// #     release: diff_core::Digest::of(b"a manifest"),
/// #     label: Label::parse("1.4.0")?,
/// #     share: Share::FULL,
/// #     salt: "1.4.0".to_owned(),
/// #     halted: false,
/// # };
/// let device = DeviceId::parse("00112233445566778899aabbccddeeff")?;
/// rollout.share = Share::parse("100%")?;
/// assert_eq!(rollout.decide(&device), Decision::Offered);
/// rollout.share = Share::parse("0%")?;
/// assert!(matches!(rollout.decide(&device), Decision::OutsideShare { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
}

impl Rollout {
    /// The longest rollout, in bytes.
    pub const MAX_BYTES: u64 = 64 << 10;
    /// The longest salt, in bytes.
    pub const MAX_SALT_BYTES: usize = 64;

    /// Returns the rollout that the bytes hold.
    ///
    /// # Errors
    /// [`FormatError`] names the first rule that the bytes break.
    pub fn decode<T: AsRef<[u8]>>(bytes: &Verified<T>) -> Result<Rollout, FormatError> {
        let wire: WireRollout =
            json::read(Document::Rollout, bytes.get().as_ref(), Rollout::MAX_BYTES)?;
        let rollout = Rollout {
            pack: wire.pack,
            channel: wire.channel,
            release: wire.release,
            label: wire.label,
            share: wire.share,
            salt: wire.salt,
            halted: wire.halted,
        };
        rollout.check()?;
        Ok(rollout)
    }

    /// Returns the bytes that are signed: canonical JSON.
    ///
    /// # Errors
    /// [`FormatError`] when [`Rollout::decode`] would refuse them.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        Ok(json::write(&WireRollout {
            schema: json::SCHEMA,
            pack: self.pack.clone(),
            channel: self.channel.clone(),
            release: self.release,
            label: self.label.clone(),
            share: self.share,
            salt: self.salt.clone(),
            halted: self.halted,
        }))
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

    /// Returns whether the release is offered to `device`, and why where it is not.
    pub fn decide(&self, device: &DeviceId) -> Decision {
        if self.halted {
            return Decision::Halted;
        }
        let bucket = self.bucket(device);
        if bucket < self.share.basis_points() {
            Decision::Offered
        } else {
            Decision::OutsideShare { bucket }
        }
    }

    /// Returns the bucket that the salt deals `device` into, 0 to 9999; the share takes the lowest.
    ///
    /// It is the first eight bytes of the BLAKE3 digest of salt and device id, as a little-endian
    /// number, modulo 10,000.
    pub fn bucket(&self, device: &DeviceId) -> u16 {
        let digest = Digest::of(&[self.salt.as_bytes(), device.as_bytes()].concat());
        let (first, _) = digest
            .as_bytes()
            .split_first_chunk::<8>()
            .expect("a digest has 32 bytes");
        let bucket = u64::from_le_bytes(*first) % u64::from(Share::FULL.basis_points());
        u16::try_from(bucket).expect("a remainder of 10,000 is below it")
    }

    fn check(&self) -> Result<(), FormatError> {
        let printable = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if self.salt.len() <= Rollout::MAX_SALT_BYTES && self.salt.bytes().all(printable) {
            return Ok(());
        }
        Err(malformed(
            "salt",
            "at most 64 printable ASCII characters without quotes, backslashes and spaces",
            self.salt.chars().take(80).collect::<String>(),
        ))
    }
}

/// What a rollout means for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The release is offered.
    Offered,
    /// The share does not reach the device's bucket yet.
    OutsideShare {
        /// The bucket, 0 to 9999.
        bucket: u16,
    },
    /// The rollout is halted: who has the release keeps it, nobody else is offered it.
    Halted,
}

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
}

fn malformed(
    place: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> FormatError {
    FormatError::malformed(Document::Rollout, place, expected, found)
}
