use super::light;
use super::solid;
use super::steps::Draft;
use super::{Coded, EncodeError, Level, Method};
use crate::progress::Advanced;

/// Returns `new` coded by [`Method::Solid`], or by [`Method::Light`] where the other would keep devices
/// for long, or is none that they have.
pub(crate) fn encode_modelled(
    reference: &[u8],
    new: &[u8],
    level: Level,
    has: &dyn Fn(Method) -> bool,
    places: &[usize],
    advanced: &mut Advanced<'_>,
) -> Result<(Method, Coded), EncodeError> {
    let draft = Draft::of(reference, new, level, advanced)?;
    let tokens = draft.tokens();
    let is_long = tokens >= MANY_TOKENS && tokens > new.len() / BYTES_OF_TOKEN;
    let is_asked = is_long && level != Level::Best || !has(Method::Solid);
    if has(Method::Light) && is_asked {
        let coded = draft.code::<light::Model>(places, advanced)?;
        Ok((Method::Light, coded))
    } else {
        let coded = draft.code::<solid::Model>(places, advanced)?;
        Ok((Method::Solid, coded))
    }
}

/// Fewer literals and copies are decoded in about a quarter of a second, by mixed probabilities as well.
const MANY_TOKENS: usize = 200_000;
/// Where there are fewer for each byte, that is decoded at 25 MB/s.
const BYTES_OF_TOKEN: usize = 30;
