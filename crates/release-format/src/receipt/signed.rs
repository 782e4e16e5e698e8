use diff_core::Digest;
use serde::{Deserialize, Serialize};

use super::Receipt;
use super::identity::{DeviceKey, DeviceKeyId, ReceiptId};
use super::outcome::{Reason, ReceiptOutcome, ReceiptRoute};
use crate::offer::json;
use crate::{ChannelName, Document, FormatError, Label, PackName, UtcTime};

/// A receipt whose signature was verified: there is no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt: Receipt,
    signature: [u8; 64],
}

impl SignedReceipt {
    /// Returns the receipt that `bytes` hold, if its device signed it.
    ///
    /// # Errors
    /// [`ReceiptError::Format`] for what is no receipt, [`ReceiptError::Signature`] for one that its
    /// device did not sign.
    pub fn decode(bytes: &[u8]) -> Result<SignedReceipt, ReceiptError> {
        let (receipt, signature) = read_wire(bytes)?;
        receipt.check()?;
        let signed = signed_bytes(&receipt);
        if !receipt.device.verifies(&signed, &signature) {
            return Err(ReceiptError::Signature {
                device: receipt.device,
            });
        }
        Ok(SignedReceipt { receipt, signature })
    }

    /// Returns the receipt as it travels: canonical JSON on one line, without an end of line.
    pub fn encode(&self) -> Vec<u8> {
        write_wire(&self.receipt, &self.signature)
    }

    /// Returns what the device says.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Returns the name of the receipt: the beginning of its device's key, and its id.
    pub fn name(&self) -> String {
        let device = self.receipt.device.to_string();
        let device: String = device.chars().take(16).collect();
        format!("{device}-{}", self.receipt.id)
    }

    /// Returns the name of the file that the receipt lies in.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name(), SignedReceipt::EXTENSION)
    }

    /// What the names of files end in that hold a receipt.
    pub const EXTENSION: &'static str = "receipt";
}

impl DeviceKey {
    /// Signs `receipt`, in which this key is named as the device.
    ///
    /// # Errors
    /// [`FormatError`] when [`SignedReceipt::decode`] would refuse it.
    pub fn sign(&self, receipt: Receipt) -> Result<SignedReceipt, FormatError> {
        receipt.check()?;
        if receipt.device != self.id() {
            return Err(malformed(
                "device",
                self.id().to_string(),
                receipt.device.to_string(),
            ));
        }
        let signature = self.signature(&signed_bytes(&receipt));
        Ok(SignedReceipt { receipt, signature })
    }
}

/// Why bytes are no receipt that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// They are no receipt.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The device that it names did not sign it.
    #[error("receipt: expected the signature of device {device}, found another")]
    Signature {
        /// The device.
        device: DeviceKeyId,
    },
}

/// Returns the bytes that a device signs: a line that belongs to this purpose alone, and the canonical
/// JSON of the receipt.
fn signed_bytes(receipt: &Receipt) -> Vec<u8> {
    let mut bytes = PURPOSE.to_vec();
    append(&mut bytes, &WireReceipt::from(receipt.clone()));
    bytes
}

/// Returns the receipt as it travels.
fn write_wire(receipt: &Receipt, signature: &[u8; 64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    let wire = WireSigned {
        receipt: WireReceipt::from(receipt.clone()),
        schema: SCHEMA,
        signature: hex::encode(signature),
    };
    append(&mut bytes, &wire);
    bytes
}

/// Returns what `bytes` claim, and by which signature; nothing of it is verified.
fn read_wire(bytes: &[u8]) -> Result<(Receipt, [u8; 64]), FormatError> {
    let wire: WireSigned = json::read(Document::Receipt, bytes, Receipt::MAX_BYTES)?;
    let mut signature = [0; 64];
    hex::decode_to_slice(&wire.signature, &mut signature).map_err(|_| {
        let found: String = wire.signature.chars().take(20).collect();
        malformed("signature", "128 hexadecimal digits", found)
    })?;
    Ok((wire.receipt.into(), signature))
}

/// The members stand in the order of their names, so what serde writes is canonical.
fn append(bytes: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(bytes, value).expect("writing to memory succeeds");
}

#[derive(Serialize, Deserialize)]
struct WireSigned {
    receipt: WireReceipt,
    schema: u64,
    signature: String,
}

/// Unknown members are refused: what is signed is what is read, and nothing beside it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireReceipt {
    channel: ChannelName,
    client: String,
    clock_believed: bool,
    device: DeviceKeyId,
    fetched_bytes: u64,
    id: ReceiptId,
    label: Label,
    outcome: ReceiptOutcome,
    pack: PackName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    release: Digest,
    route: ReceiptRoute,
    time: UtcTime,
    trial_seconds: u64,
    update_seconds: u64,
}

impl From<Receipt> for WireReceipt {
    fn from(receipt: Receipt) -> WireReceipt {
        WireReceipt {
            channel: receipt.channel,
            client: receipt.client,
            clock_believed: receipt.clock_believed,
            device: receipt.device,
            fetched_bytes: receipt.fetched_bytes,
            id: receipt.id,
            label: receipt.label,
            outcome: receipt.outcome,
            pack: receipt.pack,
            reason: receipt.reason,
            release: receipt.release,
            route: receipt.route,
            time: receipt.time,
            trial_seconds: receipt.trial_seconds,
            update_seconds: receipt.update_seconds,
        }
    }
}

impl From<WireReceipt> for Receipt {
    fn from(wire: WireReceipt) -> Receipt {
        Receipt {
            id: wire.id,
            device: wire.device,
            pack: wire.pack,
            release: wire.release,
            label: wire.label,
            channel: wire.channel,
            outcome: wire.outcome,
            reason: wire.reason,
            route: wire.route,
            fetched_bytes: wire.fetched_bytes,
            update_seconds: wire.update_seconds,
            trial_seconds: wire.trial_seconds,
            time: wire.time,
            clock_believed: wire.clock_believed,
            client: wire.client,
        }
    }
}

fn malformed(place: &str, expected: impl Into<String>, found: impl Into<String>) -> FormatError {
    FormatError::malformed(Document::Receipt, place, expected, found)
}

/// No other signature of Satchel's is over bytes that begin so.
const PURPOSE: &[u8] = b"satchel receipt 1\n";
const SCHEMA: u64 = 1;
const USUAL_BYTES: usize = 1 << 10;
