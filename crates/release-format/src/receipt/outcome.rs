use serde::{Deserialize, Serialize};

use crate::{Document, FormatError};

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReceiptOutcome {
    /// The course opened well, and the release stays.
    Confirmed,
    /// The host, or a person, said that it does not open well; the device went back.
    Failed,
    /// The device went back by itself: opened too often without a confirmation, or files gone.
    Reverted,
    /// The device went back after the release had been confirmed.
    Undone,
    /// Another release became active before anybody said anything.
    Superseded,
    /// What was fetched is not what was signed, and no other way led to the release.
    VerificationFailed,
    /// A release that is only tried out of sight was built and found whole.
    ShadowOk,
    /// A release that is only tried out of sight could not be built, or was not whole.
    ShadowFailed,
}

impl ReceiptOutcome {
    /// Every outcome, in the order in which they are documented.
    pub const ALL: [ReceiptOutcome; 8] = [
        ReceiptOutcome::Confirmed,
        ReceiptOutcome::Failed,
        ReceiptOutcome::Reverted,
        ReceiptOutcome::Undone,
        ReceiptOutcome::Superseded,
        ReceiptOutcome::VerificationFailed,
        ReceiptOutcome::ShadowOk,
        ReceiptOutcome::ShadowFailed,
    ];

    /// Returns the name that documents and metrics have for it.
    pub fn name(self) -> &'static str {
        match self {
            ReceiptOutcome::Confirmed => "confirmed",
            ReceiptOutcome::Failed => "failed",
            ReceiptOutcome::Reverted => "reverted",
            ReceiptOutcome::Undone => "undone",
            ReceiptOutcome::Superseded => "superseded",
            ReceiptOutcome::VerificationFailed => "verification-failed",
            ReceiptOutcome::ShadowOk => "shadow-ok",
            ReceiptOutcome::ShadowFailed => "shadow-failed",
        }
    }

    /// Returns the outcome of this name.
    pub fn named(name: &str) -> Option<ReceiptOutcome> {
        let mut all = ReceiptOutcome::ALL.into_iter();
        all.find(|outcome| outcome.name() == name)
    }

    /// Whether a receipt of it says why.
    pub fn needs_reason(self) -> bool {
        !matches!(
            self,
            ReceiptOutcome::Confirmed | ReceiptOutcome::Superseded | ReceiptOutcome::ShadowOk
        )
    }
}

/// What was fetched for a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReceiptRoute {
    /// One delta from another release.
    Delta,
    /// Several deltas in a row.
    Chain,
    /// The chunks that were nowhere on the device.
    Chunks,
    /// The whole release.
    Full,
    /// Nothing: it lay there already, or nobody remembers.
    Nothing,
}

impl ReceiptRoute {
    /// Returns the name that documents have for it.
    pub fn name(self) -> &'static str {
        match self {
            ReceiptRoute::Delta => "delta",
            ReceiptRoute::Chain => "chain",
            ReceiptRoute::Chunks => "chunks",
            ReceiptRoute::Full => "full",
            ReceiptRoute::Nothing => "nothing",
        }
    }
}

/// Why a trial did not end well: a code to count by, and a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireReason", into = "WireReason")]
pub struct Reason {
    code: String,
    text: String,
}

impl Reason {
    /// Characters of a code.
    pub const MAX_CODE_CHARS: usize = 40;
    /// Characters of a text that are kept.
    pub const MAX_TEXT_CHARS: usize = 200;

    /// Returns the reason with this code, and as much of `text` as a receipt carries: no control
    /// characters, [`Reason::MAX_TEXT_CHARS`] at the most.
    ///
    /// # Errors
    /// [`FormatError`] when `code` is not 1 to [`Reason::MAX_CODE_CHARS`] of `a` to `z`, `0` to `9` and
    /// `-`.
    pub fn new(code: &str, text: &str) -> Result<Reason, FormatError> {
        let plain = text.chars().filter(|character| !character.is_control());
        let text = plain.take(Reason::MAX_TEXT_CHARS).collect();
        Reason::exact(code.to_owned(), text)
    }

    /// Returns what to count by.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Returns the words of whoever found the release failing.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn exact(code: String, text: String) -> Result<Reason, FormatError> {
        let is_code = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=Reason::MAX_CODE_CHARS).contains(&code.len()) || !code.bytes().all(is_code) {
            let found: String = code.chars().take(80).collect();
            return Err(FormatError::malformed(
                Document::Receipt,
                "reason",
                "a code of a-z, 0-9 and -",
                found,
            ));
        }
        if text.chars().count() > Reason::MAX_TEXT_CHARS || text.chars().any(char::is_control) {
            let expected = "at most 200 characters, none for control";
            return Err(FormatError::malformed(
                Document::Receipt,
                "reason",
                expected,
                format!("{text:.80?}"),
            ));
        }
        Ok(Reason { code, text })
    }
}

#[derive(Serialize, Deserialize)]
struct WireReason {
    code: String,
    text: String,
}

impl TryFrom<WireReason> for Reason {
    type Error = FormatError;

    fn try_from(wire: WireReason) -> Result<Reason, FormatError> {
        Reason::exact(wire.code, wire.text)
    }
}

impl From<Reason> for WireReason {
    fn from(reason: Reason) -> WireReason {
        WireReason {
            code: reason.code,
            text: reason.text,
        }
    }
}
