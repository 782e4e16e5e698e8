use super::light;
use super::solid;
use super::steps::{Draft, StepModel};
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
        let coded = draft.code::<light::Model>(light::Model::BESIDE_COPIES, places, advanced)?;
        return Ok((Method::Light, coded));
    }
    let coded = draft.code::<solid::Model>(solid::Model::BESIDE_COPIES, places, advanced)?;
    if level != Level::Best {
        return Ok((Method::Solid, coded));
    }
    // Bytes are done once.
    let mut unheard = |_| advanced(0);
    let other = draft.code::<solid::Model>(BESIDE_NOISE, places, &mut unheard)?;
    let shorter = std::cmp::min_by_key(coded, other, |coded| coded.bytes.len());
    Ok((Method::Solid, shorter))
}

/// Fewer literals and copies are decoded in about a quarter of a second, by mixed probabilities as well.
const MANY_TOKENS: usize = 200_000;
/// Where there are fewer for each byte, that is decoded at 25 MB/s.
const BYTES_OF_TOKEN: usize = 30;
/// What a literal that a copy could make costs, in percent of what all cost, where nothing foretells it: at
/// the best level such a parse is tried as well.
const BESIDE_NOISE: u32 = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::codec;

    /// Returns numbers below 60 that follow no order.
    fn noise() -> impl FnMut() -> u32 {
        let mut state = 7_u32;
        move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state % 60
        }
    }

    fn best(old: &[u8], new: &[u8]) -> (usize, usize) {
        let coded = encode_modelled(old, new, Level::Best, &|_| true, &[], &mut |_| Ok(()));
        let alone = codec(Method::Solid).encode(old, new, Level::Best, &mut |_| Ok(()));
        (coded.unwrap().1.bytes.len(), alone.unwrap().len())
    }

    #[test]
    fn at_the_best_level_edits_that_nothing_foretells_leave_copies_whole() {
        let mut random = noise();
        let old: Vec<u8> = (0..40_000)
            .map(|_| u8::try_from(random() + 60).unwrap())
            .collect();
        let new = old.iter().map(|byte| match random() {
            0..12 => u8::try_from(random() + 60).unwrap(),
            _ => *byte,
        });
        let (coded, alone) = best(&old, &new.collect::<Vec<u8>>());
        assert!(coded < alone - alone / 50, "{coded} of {alone}");
    }

    #[test]
    fn at_the_best_level_edits_of_words_are_parsed_as_ever() {
        let page = |word: &str| -> String {
            let line = |n: usize| format!("{n}: the {word} of lesson {}\n", n * n % 97);
            (0..2_000).map(line).collect()
        };
        let (coded, alone) = best(page("page").as_bytes(), page("first page").as_bytes());
        assert_eq!(coded, alone);
    }
}
