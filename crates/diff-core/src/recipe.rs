//! Recipes: how a deflate stream's exact bytes are made of its plaintext again.
//!
//! The publisher finds the smallest recipe for a stream, and the device follows it. What a stream's
//! encoder would have done is emulated, and only what is different is told: nothing at all where zlib
//! made the stream and its settings are found out.

mod covers;
mod heads;
mod model;
mod old_tokens;
mod parsed;
mod search;
mod tokens;
mod walk;
mod zlib;

use crate::DeltaError;
use crate::deflate::{Settings, Writer};
use parsed::Parsed;

/// How a stream is rebuilt from its plaintext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Recipe {
    bytes: Vec<u8>,
    needs_old: bool,
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
    settings: Vec<Settings>,
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

/// Finds how `compressed`, a deflate stream and nothing behind it, is rebuilt from `plain` by a recipe of
/// `max_bytes` at most. `old` is the stream's counterpart, where there is one. What is found was tried:
/// it is exact.
pub(crate) fn find(
    compressed: &[u8],
    plain: &[u8],
    old: Option<Old<'_>>,
    hint: &mut Hint,
    max_bytes: usize,
) -> Option<Recipe> {
    if plain.len() > MAX_PLAIN_BYTES {
        return None;
    }
    let parsed = Parsed::read(compressed, plain)?;
    let fits = |recipe: &Recipe| {
        recipe.bytes.len() <= max_bytes && remakes(recipe, plain, old, compressed)
    };
    let by_zlib = zlib::find(&parsed, plain, hint).filter(fits);
    by_zlib.or_else(|| tokens::find(&parsed, plain, old, max_bytes).filter(fits))
}

/// Rebuilds the stream of which `recipe` tells from `plain`, and hands it piece by piece to `out`: never
/// more than `max_output` bytes in all. `old` is what the recipe was found with; one that needs none
/// ignores it.
///
/// # Errors
///
/// Fails when the recipe cannot be followed, when the stream would be longer, or when `out` fails.
pub(crate) fn rebuild(
    recipe: &[u8],
    plain: &[u8],
    old: Option<Old<'_>>,
    max_output: u64,
    out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
) -> Result<(), DeltaError> {
    DeltaError::check_limit(
        "the plaintext of a stream",
        plain.len() as u64,
        MAX_PLAIN_BYTES as u64,
    )?;
    let mut output = Output {
        left: max_output,
        limit: max_output,
        out,
    };
    match recipe.first() {
        Some(first) if first >> 4 == tokens::TOKENS => {
            tokens::rebuild(recipe, plain, old, &mut output)
        }
        _ => zlib::rebuild(recipe, plain, &mut output),
    }
}

/// Where a rebuilt stream goes: no more than what is allowed.
struct Output<'o> {
    left: u64,
    limit: u64,
    out: &'o mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
}

impl Output<'_> {
    /// Hands on what the writer has ready.
    fn drain(&mut self, writer: &mut Writer) -> Result<(), DeltaError> {
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

fn remakes(recipe: &Recipe, plain: &[u8], old: Option<Old<'_>>, compressed: &[u8]) -> bool {
    let mut rest = compressed;
    let made = rebuild(
        &recipe.bytes,
        plain,
        old,
        compressed.len() as u64,
        &mut |bytes| {
            match rest.strip_prefix(bytes) {
                Some(behind) => rest = behind,
                None => return Err(malformed("makes another stream")),
            }
            Ok(())
        },
    );
    made.is_ok() && rest.is_empty()
}

fn malformed(problem: &str) -> DeltaError {
    DeltaError::malformed("recipe", 0, problem)
}

/// The longest plaintext that is rebuilt from.
pub(crate) const MAX_PLAIN_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests;
