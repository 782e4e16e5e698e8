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

impl Old<'_> {
    /// Returns how many plain bytes an old stream may have for a stream of so many to follow it: one that
    /// is far longer costs more than it tells.
    pub(crate) fn longest(plain_bytes: u64) -> u64 {
        let longest = plain_bytes.saturating_mul(FOLLOWED_PER_BYTE);
        longest.saturating_add(LEAST_FOLLOWED)
    }

    /// Whether a stream of this plaintext may follow it.
    pub(super) fn fits(&self, plain: &[u8]) -> bool {
        self.plain.len() as u64 <= Old::longest(plain.len() as u64)
    }
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

/// What searching for the matches of one stream may cost: places looked at, and words compared there. No
/// more than honest data needs, so that a short delta cannot keep a device busy for hours.
pub(super) struct SearchBudget {
    limit: u64,
    /// What it had cost when others were last asked whether to go on.
    asked: u64,
}

impl SearchBudget {
    /// Returns the budget of a stream of so many plain bytes.
    pub(super) fn of(plain_bytes: usize) -> SearchBudget {
        let limit = (plain_bytes as u64).saturating_mul(SEARCHED_PER_BYTE);
        SearchBudget {
            limit: limit.saturating_add(LEAST_SEARCHED),
            asked: 0,
        }
    }

    /// Whether so much is still allowed.
    #[inline]
    pub(super) fn allows(&self, searched: u64) -> bool {
        searched <= self.limit
    }

    /// Checks what searching has cost until now, and that `output` still wants the stream.
    #[inline]
    pub(super) fn check(
        &mut self,
        searched: u64,
        output: &mut Output<'_>,
    ) -> Result<(), DeltaError> {
        if !self.allows(searched) {
            return Err(self.passed(searched));
        }
        if searched - self.asked >= ASKED_AFTER {
            self.asked = searched;
            return (output.out)(&[]);
        }
        Ok(())
    }

    #[cold]
    fn passed(&self, searched: u64) -> DeltaError {
        DeltaError::Limit {
            what: "searches to rebuild a stream",
            claimed: searched,
            limit: self.limit,
        }
    }
}

/// Returns the error of a recipe that cannot be followed.
pub(super) fn malformed(problem: &str) -> DeltaError {
    DeltaError::malformed("recipe", 0, problem)
}

/// What searching may cost for each plain byte, and for any stream.
const SEARCHED_PER_BYTE: u64 = 768;
const LEAST_SEARCHED: u64 = 1 << 16;
/// A stop is heard after some milliseconds.
const ASKED_AFTER: u64 = 1 << 21;
/// Plain bytes of an old stream for each of the stream that follows it, and for any.
const FOLLOWED_PER_BYTE: u64 = 64;
const LEAST_FOLLOWED: u64 = 1 << 16;
