//! What a device tells of a trial: how it ended, signed by the device and by nobody's name.

pub(crate) mod counts;
pub(crate) mod delivery;
pub(crate) mod identity;
pub(crate) mod otlp;
pub(crate) mod outcome;
pub(crate) mod signed;
#[cfg(test)]
mod tests;

use diff_core::Digest;

use identity::{DeviceKeyId, ReceiptId};
use outcome::{Reason, ReceiptOutcome, ReceiptRoute};

use crate::{ChannelName, ContentVersion, Document, FormatError, Label, PackName, UtcTime};

/// How one trial of a release ended on one device.
///
/// ```
/// use release_format::{DeviceKey, ReceiptOutcome, SignedReceipt};
/// # use release_format::{ChannelName, Label, PackName, Receipt, ReceiptId, ReceiptRoute, UtcTime};
/// # let key = DeviceKey::from_seed(&[7; 32]);
/// # let receipt = Receipt {
/// #     id: ReceiptId::from_bytes([1; 16]),
/// #     device: key.id(),
/// #     pack: PackName::parse("acme/biology-101")?,
/// #     release: diff_core::Digest::of(b"a manifest"),
/// #     label: Label::parse("1.4.0")?,
/// #     channel: ChannelName::default(),
/// #     outcome: ReceiptOutcome::Confirmed,
/// #     reason: None,
/// #     route: ReceiptRoute::Delta,
/// #     fetched_bytes: 7,
/// #     update_seconds: 1,
/// #     trial_seconds: 2,
/// #     time: UtcTime::parse("2026-11-21T00:00:00Z")?,
/// #     clock_believed: true,
/// #     client: "0.1.0".to_owned(),
/// # };
/// let bytes = key.sign(receipt)?.encode();
/// let read = SignedReceipt::decode(&bytes)?;
/// assert_eq!(read.receipt().outcome, ReceiptOutcome::Confirmed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc = ""]
#[doc = include_str!("../../../docs/src/formats/receipt.md")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which trial it is of: two receipts of a device with one id are one.
    pub id: ReceiptId,
    /// Whose signature it carries.
    pub device: DeviceKeyId,
    /// The pack.
    pub pack: PackName,
    /// The manifest of the release that was on trial.
    pub release: Digest,
    /// What that release is called.
    pub label: Label,
    /// The channel that offered it.
    pub channel: ChannelName,
    /// How it ended.
    pub outcome: ReceiptOutcome,
    /// Why, where it did not end well.
    pub reason: Option<Reason>,
    /// What was fetched for it.
    pub route: ReceiptRoute,
    /// Bytes that were fetched for it.
    pub fetched_bytes: u64,
    /// How long fetching and building it took.
    pub update_seconds: u64,
    /// How long it was on trial.
    pub trial_seconds: u64,
    /// When it ended: the later of the device's clock and what is proved to have passed.
    pub time: UtcTime,
    /// Whether that is what the clock showed.
    pub clock_believed: bool,
    /// The version of the client.
    pub client: String,
}

impl Receipt {
    /// The longest signed receipt, in bytes.
    pub const MAX_BYTES: u64 = 4 << 10;
    /// The longest version of a client, in characters.
    pub const MAX_CLIENT_CHARS: usize = 40;

    /// Returns what an LMS would call the release.
    pub fn content_version(&self) -> ContentVersion {
        ContentVersion {
            pack: self.pack.clone(),
            label: self.label.clone(),
            manifest: self.release,
        }
    }

    /// Refuses what no device writes.
    pub(crate) fn check(&self) -> Result<(), FormatError> {
        let is_version = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let length = self.client.len();
        if length == 0 || length > Receipt::MAX_CLIENT_CHARS || !self.client.bytes().all(is_version)
        {
            let found: String = self.client.chars().take(80).collect();
            return Err(FormatError::malformed(
                Document::Receipt,
                "client",
                "1 to 40 printable characters",
                found,
            ));
        }
        if self.outcome.needs_reason() != self.reason.is_some() {
            let expected = if self.outcome.needs_reason() {
                "why it did not end well"
            } else {
                "no reason for what ended well"
            };
            return Err(FormatError::malformed(
                Document::Receipt,
                "reason",
                expected,
                self.outcome.name(),
            ));
        }
        Ok(())
    }
}
