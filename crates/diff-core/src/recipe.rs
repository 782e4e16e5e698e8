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
mod seam;
mod search;
mod tokens;
mod walk;
mod zlib;

use crate::DeltaError;
use parsed::Parsed;
pub(crate) use seam::{Hint, Old, Recipe};
use seam::{Output, malformed};

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
    let old = old.filter(|old| old.fits(plain));
    let parsed = Parsed::read(compressed, plain)?;
    let is_short = |recipe: &Recipe| recipe.bytes.len() <= max_bytes;
    let by_zlib = zlib::find(&parsed, plain, compressed, hint).filter(is_short);
    by_zlib.or_else(|| {
        if plain.len() > MAX_PLAIN_BYTES {
            return None;
        }
        let by_tokens = tokens::find(&parsed, plain, old, max_bytes).filter(is_short)?;
        remakes(&by_tokens, plain, old, compressed).then_some(by_tokens)
    })
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

/// Does as [`rebuild`] does with a plaintext of so many bytes, of which `more` appends the next ones until it
/// says that there are none. Held of it are what zlib's window holds, a part of 128 KiB and what `more` appended
/// last.
///
/// # Errors
///
/// Fails when `more` does as well, and for recipes that are not of zlib and its kin.
pub(crate) fn rebuild_in_parts(
    recipe: &[u8],
    plain_length: u64,
    more: &mut dyn FnMut(&mut Vec<u8>) -> Result<bool, DeltaError>,
    max_output: u64,
    out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
) -> Result<(), DeltaError> {
    let mut output = Output {
        left: max_output,
        limit: max_output,
        out,
    };
    zlib::rebuild_in_parts(recipe, plain_length, more, &mut output)
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

/// The longest plaintext that is rebuilt from, unless it comes in parts.
pub(crate) const MAX_PLAIN_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests;
