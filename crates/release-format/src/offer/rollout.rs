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
/// #     otherwise: None,
/// # };
/// let device = DeviceId::parse("00112233445566778899aabbccddeeff")?;
/// rollout.share = Share::parse("100%")?;
/// assert_eq!(rollout.decide(&device), Decision::Offered);
/// rollout.share = Share::parse("0%")?;
/// assert!(matches!(rollout.decide(&device), Decision::OutsideShare { .. }));
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
    /// The manifest of the release that is offered to whoever is not offered that one; without it
    /// they stay on what they have.
    pub otherwise: Option<Digest>,
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
            otherwise: wire.otherwise,
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
            otherwise: self.otherwise,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    otherwise: Option<Digest>,
}

fn malformed(
    place: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> FormatError {
    FormatError::malformed(Document::Rollout, place, expected, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentReference;
    use crate::worked_example;

    fn decode(bytes: &[u8]) -> Result<Rollout, FormatError> {
        Rollout::decode(&Verified::new(bytes, &ContentReference::of(bytes)).unwrap())
    }

    fn rollout(share: &str) -> Rollout {
        Rollout {
            pack: PackName::parse("acme/biology-101").unwrap(),
            channel: ChannelName::default(),
            release: Digest::of(b"a manifest"),
            label: Label::parse("1.4.0").unwrap(),
            share: Share::parse(share).unwrap(),
            salt: "acme/biology-101@1.4.0".to_owned(),
            halted: false,
            otherwise: None,
        }
    }

    fn device(number: u64) -> DeviceId {
        let mut bytes = [0; DeviceId::LENGTH];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        DeviceId::from_bytes(bytes)
    }

    #[test]
    fn documented_example_decodes_and_decides() {
        let document = include_str!("../../../../docs/src/formats/rollout.md");
        let rollout = decode(worked_example::json(document).as_bytes()).unwrap();
        assert_eq!(rollout.share.to_string(), "25%");
        let devices = [[0; 16], [1; 16]].map(DeviceId::from_bytes);
        assert_eq!(
            devices.map(|device| rollout.decide(&device)),
            [Decision::OutsideShare { bucket: 3123 }, Decision::Offered]
        );
        assert_eq!(rollout.bucket(&devices[1]), 2405);
        for device in devices {
            assert!(document.contains(&device.to_string()));
            assert!(document.contains(&rollout.bucket(&device).to_string()));
        }
    }

    #[test]
    fn decisions_follow_share_and_halt() {
        let bucket = rollout("0%").bucket(&device(1));
        for (basis_points, halted, expected) in [
            (0, false, Decision::OutsideShare { bucket }),
            (bucket, false, Decision::OutsideShare { bucket }),
            (bucket + 1, false, Decision::Offered),
            (10_000, false, Decision::Offered),
            (10_000, true, Decision::Halted),
            (0, true, Decision::Halted),
        ] {
            let rollout = Rollout {
                share: Share::from_basis_points(basis_points).unwrap(),
                halted,
                ..rollout("0%")
            };
            assert_eq!(
                rollout.decide(&device(1)),
                expected,
                "{basis_points} {halted}"
            );
        }
    }

    #[test]
    fn cohort_has_the_size_of_the_share() {
        let devices: Vec<_> = (0..100_000).map(device).collect();
        for share in [
            "0%", "0.5%", "1%", "5%", "10%", "25%", "50%", "75%", "99%", "100%",
        ] {
            let rollout = rollout(share);
            let offered = devices
                .iter()
                .filter(|device| rollout.decide(device) == Decision::Offered)
                .count() as u64;
            let expected = u64::from(rollout.share.basis_points()) * 10;
            // 0.2 points of 100,000 devices.
            assert!(offered.abs_diff(expected) <= 200, "{share}: {offered}");
        }
    }

    #[test]
    fn widening_keeps_everyone_who_is_in() {
        for number in 0..2000 {
            let mut was_in = false;
            for share in ["1%", "5%", "20%", "50%", "100%"] {
                let is_in = rollout(share).decide(&device(number)) == Decision::Offered;
                assert!(is_in || !was_in, "device {number} fell out at {share}");
                was_in = is_in;
            }
            assert!(was_in);
        }
    }

    #[test]
    fn another_salt_deals_the_devices_anew() {
        let one = rollout("50%");
        let other = Rollout {
            salt: "acme/biology-101@1.5.0".to_owned(),
            ..one.clone()
        };
        let same = (0..1000)
            .map(device)
            .filter(|device| one.decide(device) == other.decide(device))
            .filter(|device| one.decide(device) == Decision::Offered)
            .count();
        assert!((200..300).contains(&same), "{same}");
    }

    #[test]
    fn rollout_reads_as_it_is_written() {
        let rollout = rollout("12.5%");
        let bytes = rollout.encode().unwrap();
        assert!(bytes.starts_with(b"{\"channel\":\"stable\",\"halted\":false,"));
        assert_eq!(decode(&bytes), Ok(rollout));
    }

    #[test]
    fn rollout_of_another_pack_or_channel_is_refused() {
        let stable = ChannelName::default();
        let beta = ChannelName::parse("beta").unwrap();
        let pack = rollout("5%").pack;
        let other = PackName::parse("acme/chemistry").unwrap();
        assert!(rollout("5%").expect_channel(&pack, &stable).is_ok());
        for (pack, channel) in [(&other, &stable), (&pack, &beta)] {
            assert!(matches!(
                rollout("5%").expect_channel(pack, channel),
                Err(FormatError::Malformed { .. })
            ));
        }
    }

    #[test]
    fn salts_that_have_two_spellings_are_refused() {
        for salt in ["a b", "a\"", "a\\", "a\n", "\u{e9}", &"x".repeat(65)] {
            let rollout = Rollout {
                salt: salt.to_owned(),
                ..rollout("5%")
            };
            assert!(
                matches!(rollout.encode(), Err(FormatError::Malformed { .. })),
                "{salt:?}"
            );
        }
    }

    #[test]
    fn fields_that_lie_or_lack_are_refused() {
        let text = String::from_utf8(rollout("5%").encode().unwrap()).unwrap();
        assert!(decode(text.as_bytes()).is_ok());
        for (from, to) in [
            ("\"share\":500", "\"share\":10001"),
            ("\"share\":500", "\"share\":-1"),
            ("\"share\":500", "\"share\":\"5%\""),
            ("\"halted\":false", "\"halted\":0"),
            ("\"halted\":false", "\"held\":false"),
            ("acme/biology-101\",", "acme/../x\","),
            ("\"1.4.0\"", "\"1 4\""),
            ("\"stable\"", "\"../stable\""),
        ] {
            let lying = text.replacen(from, to, 1);
            assert_ne!(lying, text, "{from}");
            assert!(
                matches!(decode(lying.as_bytes()), Err(FormatError::Malformed { .. })),
                "{to}"
            );
        }
        let newer = text.replacen("\"schema\":1", "\"schema\":2", 1);
        assert!(matches!(
            decode(newer.as_bytes()),
            Err(FormatError::UnsupportedVersion { found: 2, .. })
        ));
    }
}
