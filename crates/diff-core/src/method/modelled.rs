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
    let sampled = || {
        let solid = draft.sampled::<solid::Model>(advanced)?;
        Ok((solid, draft.sampled::<light::Model>(advanced)?))
    };
    let is_light = match [Method::Solid, Method::Light].map(has) {
        [_, false] => false,
        [false, true] => true,
        [true, true] => level != Level::Best && takes_long(draft.tokens(), new.len(), sampled)?,
    };
    if is_light {
        let usual = light::Model::BESIDE_COPIES;
        let coded = draft.code::<light::Model>(usual, None, places, advanced)?;
        return Ok((Method::Light, coded));
    }
    let usual = solid::Model::BESIDE_COPIES;
    if level != Level::Best {
        let coded = draft.code::<solid::Model>(usual, Some(BESIDE_NOISE), places, advanced)?;
        return Ok((Method::Solid, coded));
    }
    let coded = draft.code::<solid::Model>(usual, None, places, advanced)?;
    // Bytes are done once.
    let mut unheard = |_| advanced(0);
    let other = draft.code::<solid::Model>(BESIDE_NOISE, None, places, &mut unheard)?;
    let shorter = std::cmp::min_by_key(coded, other, |coded| coded.bytes.len());
    let best = (Method::Solid, shorter);
    drop(draft);
    // By luck a quicker search finds less now and then.
    let usual = encode_modelled(reference, new, Level::Default, has, places, &mut unheard)?;
    Ok(std::cmp::min_by_key(best, usual, |(_, coded)| {
        coded.bytes.len()
    }))
}

/// Whether mixed probabilities would keep devices longer over so many tokens and bytes than what they save is
/// worth. `sampled` returns what they make of a sample, and what light makes of it.
fn takes_long(
    tokens: usize,
    bytes: usize,
    sampled: impl FnOnce() -> Result<(usize, usize), EncodeError>,
) -> Result<bool, EncodeError> {
    if tokens < MANY_TOKENS || tokens <= bytes / BYTES_OF_TOKEN {
        return Ok(false);
    }
    if tokens >= MOST_TOKENS {
        return Ok(true);
    }
    let (solid, light) = sampled()?;
    Ok(solid > light - light / WORTH_A_SECOND)
}

/// Fewer literals and copies are decoded in less than half a second, by mixed probabilities as well.
const MANY_TOKENS: usize = 300_000;
/// More are decoded by them in more than a second.
const MOST_TOKENS: usize = 1_000_000;
/// What saves one byte in so many is worth that.
const WORTH_A_SECOND: usize = 5;
/// Where there are fewer for each byte, that is decoded at 15 MB/s and more.
const BYTES_OF_TOKEN: usize = 20;
/// What a literal that a copy could make costs, in percent of what all cost, where nothing foretells it: a
/// trial tells, and at the best level a whole second parse.
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

    /// Returns how long what [`encode_modelled`] makes is, and what the usual parse makes.
    fn lengths(level: Level, old: &[u8], new: &[u8]) -> (usize, usize) {
        let coded = encode_modelled(old, new, level, &|_| true, &[], &mut |_| Ok(()));
        let usual = codec(Method::Solid).encode(old, new, level, &mut |_| Ok(()));
        (coded.unwrap().1.bytes.len(), usual.unwrap().len())
    }

    #[test]
    fn mixed_probabilities_take_a_second_where_they_save_a_fifth() {
        let takes = |tokens, bytes, solid| takes_long(tokens, bytes, || Ok((solid, 1000)));
        let many = 299_999;
        assert!(!takes(many, 1_000_000, 1000).unwrap());
        assert!(takes(many + 1, 1_000_000, 801).unwrap());
        assert!(!takes(many + 1, 1_000_000, 800).unwrap());
        assert!(!takes(999_999, 1_000_000, 800).unwrap());
        // Where copies dominate, that takes less time than the bytes are worth.
        assert!(!takes(999_999, 20_000_000, 1000).unwrap());
        let unasked = || -> Result<_, EncodeError> { unreachable!("more are too many anyway") };
        assert!(takes_long(1_000_000, 1_000_000, unasked).unwrap());
    }

    #[test]
    fn edits_that_nothing_foretells_leave_copies_whole() {
        let mut random = noise();
        let mut letter = || u8::try_from(random() + 60).unwrap();
        // As source maps are: much is the same everywhere, the rest tells little of itself.
        let old: Vec<u8> = (0..20_000)
            .flat_map(|_| [letter() / 2, b'A', letter() / 8, letter(), b','])
            .collect();
        let mut new = Vec::new();
        for byte in &old {
            match letter() {
                60..72 => new.push(letter()),
                72..80 => new.extend([*byte, letter()]),
                _ => new.push(*byte),
            }
        }
        for level in [Level::Default, Level::Best] {
            let (coded, usual) = lengths(level, &old, &new);
            assert!(coded < usual - usual / 50, "{coded} of {usual}, {level:?}");
        }
    }

    #[test]
    fn edits_of_words_are_parsed_as_usual() {
        let page = |word: &str| -> String {
            let line = |n: usize| format!("{n}: the {word} of lesson {}\n", n * n % 97);
            (0..2_000).map(line).collect()
        };
        let (old, new) = (page("page"), page("first page"));
        for level in [Level::Default, Level::Best] {
            let (coded, usual) = lengths(level, old.as_bytes(), new.as_bytes());
            assert_eq!(coded, usual, "{level:?}");
        }
    }

    #[test]
    fn the_best_level_is_never_longer_than_the_usual_one() {
        let mut random = noise();
        let words = [
            "cell", "arcade", "self", "def ", "return ", "(x, y)", "import", "window", "    ",
            "\n", ".", "=",
        ];
        let mut some = |count: u32| -> String {
            let word = |_| words[usize::try_from(random() % 12).unwrap()];
            (0..count).map(word).collect()
        };
        for round in 0..24 {
            let lines: Vec<String> = (0..700).map(|_| some(6)).collect();
            let mut new = lines.clone();
            for line in (round..600).step_by(71) {
                new[line] = some(9);
                new[line + 20] = new[line + 17].replace("cell", &some(1));
                new.remove(line + 33);
                let moved = new[line + 3].clone();
                new.insert(line + 40, moved + "self");
            }
            let (old, new) = (lines.join("\n"), new.join("\n"));
            let length = |level| lengths(level, old.as_bytes(), new.as_bytes()).0;
            let (best, usual) = (length(Level::Best), length(Level::Default));
            assert!(best <= usual, "{round}: {best}, {usual}");
        }
    }
}
