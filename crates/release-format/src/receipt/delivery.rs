use serde::{Deserialize, Serialize};

use super::signed::{ReceiptError, SignedReceipt};

/// What became of receipts that were handed over: an answer to a request, and its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Receipted {
    /// 1.
    pub schema: u64,
    /// The names of receipts that arrived, now or before: they need not be sent again.
    pub accepted: Vec<String>,
    /// Those that were not taken, and why.
    pub refused: Vec<RefusedReceipt>,
}

/// A receipt that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReceipt {
    /// Its name, or its line where it is no receipt.
    pub name: String,
    /// Why.
    pub reason: Refusal,
}

/// Why a receipt was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// It is no receipt, and never will be.
    Malformed,
    /// Its device did not sign it.
    Signature,
    /// Its device is not known there.
    Device,
    /// Its device, or somebody, sent too many.
    Rate,
    /// There is no room for it now.
    Room,
    /// A reason that this Satchel does not know.
    #[serde(other)]
    Other,
}

impl Refusal {
    /// Whether sending it again is of no use.
    pub fn is_final(self) -> bool {
        matches!(self, Refusal::Malformed | Refusal::Signature)
    }
}

impl Receipted {
    /// The longest answer, in bytes.
    pub const MAX_BYTES: u64 = 1 << 20;
    /// Receipts of one request.
    pub const MAX_RECEIPTS: usize = 1_000;
    /// Bytes of one request.
    pub const MAX_REQUEST_BYTES: usize = 2 << 20;
    /// Where receipts are taken, below an address.
    pub const LOCATION: &'static str = "v1/receipts";

    /// Returns an answer that names nothing yet.
    pub fn new() -> Receipted {
        Receipted {
            schema: 1,
            ..Receipted::default()
        }
    }

    /// Returns the answer that `bytes` spell, if they spell one.
    pub fn decode(bytes: &[u8]) -> Option<Receipted> {
        let answer: Receipted = serde_json::from_slice(bytes).ok()?;
        (answer.schema == 1).then_some(answer)
    }

    /// Returns the answer as it travels: JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("writing to memory succeeds")
    }

    /// Notes that a receipt was not taken.
    pub fn refuse(&mut self, name: impl Into<String>, reason: Refusal) {
        let name = name.into();
        self.refused.push(RefusedReceipt { name, reason });
    }
}

/// Returns the receipts of a request, one a line, and an answer that names those that are none.
pub fn receipts_of(body: &[u8]) -> (Vec<SignedReceipt>, Receipted) {
    let (mut receipts, mut answer) = (Vec::new(), Receipted::new());
    let lines = body.split(|byte| *byte == b'\n');
    for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.is_empty()) {
        if receipts.len() >= Receipted::MAX_RECEIPTS {
            answer.refuse(format!("line {number}"), Refusal::Room);
            break;
        }
        match SignedReceipt::decode(line) {
            Ok(receipt) => receipts.push(receipt),
            Err(ReceiptError::Signature { .. }) => {
                answer.refuse(format!("line {number}"), Refusal::Signature);
            }
            Err(_) => answer.refuse(format!("line {number}"), Refusal::Malformed),
        }
    }
    (receipts, answer)
}
