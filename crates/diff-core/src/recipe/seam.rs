use crate::DeltaError;
use crate::deflate::{Settings, Writer};

/// How a stream is rebuilt from its plaintext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Recipe {
    pub(super) bytes: Vec<u8>,
    pub(super) needs_old: bool,
}

/// A stream that the device has, and its plaintext: what the same encoder did with something alike.
#[derive(Clone, Copy)]
pub(crate) struct Old<'a> {
    /// The deflate stream.
    pub(crate) compressed: &'a [u8],
    /// What it inflates to.
    pub(crate) plain: &'a [u8],
}

/// What earlier streams of the same files were made with, and is tried first.
#[derive(Default)]
pub(crate) struct Hint {
    pub(super) settings: Vec<Settings>,
}

impl Recipe {
    /// Returns what is written into a delta.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether rebuilding takes the old stream as well.
    pub(crate) fn needs_old(&self) -> bool {
        self.needs_old
    }
}

/// Where a rebuilt stream goes: no more than what is allowed.
pub(super) struct Output<'o> {
    pub(super) left: u64,
    pub(super) limit: u64,
    pub(super) out: &'o mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
}

impl Output<'_> {
    /// Hands on what the writer has ready.
    pub(super) fn drain(&mut self, writer: &mut Writer) -> Result<(), DeltaError> {
        let ready = writer.ready() as u64;
        let over = DeltaError::Limit {
            what: "a rebuilt stream",
            claimed: self.limit - self.left + ready,
            limit: self.limit,
        };
        self.left = self.left.checked_sub(ready).ok_or(over)?;
        let bytes = writer.take_ready();
        if bytes.is_empty() {
            return Ok(());
        }
        (self.out)(&bytes)
    }
}

/// Returns the error of a recipe that cannot be followed.
pub(super) fn malformed(problem: &str) -> DeltaError {
    DeltaError::malformed("recipe", 0, problem)
}
