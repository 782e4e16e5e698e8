use proptest::prelude::*;

use super::*;
use crate::deflate::{self, Compressor, Flavour, Made};

/// Makes words, runs, repeats and noise, the same for the same seed.
pub(super) fn made(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut bytes: Vec<u8> = Vec::new();
    while bytes.len() < length {
        match next(4) {
            0 if bytes.len() > 10 => {
                let from = bytes.len() - 1 - next(bytes.len().min(40_000) - 1);
                for at in from..from + 3 + next(60) {
                    bytes.push(bytes[at]);
                }
            }
            1 => {
                let byte = u8::try_from(next(256)).unwrap();
                bytes.extend(std::iter::repeat_n(byte, 1 + next(40)));
            }
            2 => (0..next(30)).for_each(|_| bytes.push(u8::try_from(next(256)).unwrap())),
            _ => (0..next(40)).for_each(|_| bytes.push(b"etaoin shrdlu"[next(13)])),
        }
    }
    bytes.truncate(length);
    bytes
}

/// Compresses by the emulation.
pub(super) fn compressed(plain: &[u8], settings: Settings) -> Vec<u8> {
    let mut writer = Writer::default();
    Compressor::new(plain, settings)
        .run(&mut |made| match made {
            Made::Block(block, tokens, bytes) => writer.block(block, tokens, bytes),
            Made::Token(_) => Ok(()),
        })
        .unwrap();
    writer.end(0);
    writer.take_ready()
}

/// Follows a recipe.
pub(super) fn rebuilt(
    recipe: &[u8],
    plain: &[u8],
    old: Option<Old<'_>>,
    max_output: usize,
) -> Result<Vec<u8>, DeltaError> {
    let mut bytes = Vec::new();
    rebuild(recipe, plain, old, max_output as u64, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

fn settings() -> impl Strategy<Value = Settings> {
    let strategies = [
        deflate::Strategy::Default,
        deflate::Strategy::Filtered,
        deflate::Strategy::HuffmanOnly,
        deflate::Strategy::Runs,
        deflate::Strategy::Fixed,
    ];
    (
        1..=9_u8,
        1..=9_u8,
        9..=15_u8,
        prop::sample::select(strategies.to_vec()),
    )
        .prop_map(|(level, memory, window, strategy)| Settings {
            flavour: Flavour::Zlib,
            level,
            memory,
            window,
            strategy,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_zlib_makes_takes_three_bytes(settings in settings(), seed: u64, length in 0..60_000_usize) {
        let plain = made(seed, length);
        let stream = compressed(&plain, settings);
        let recipe = find(&stream, &plain, None, &mut Hint::default(), 3).unwrap();
        prop_assert!(!recipe.needs_old());
        prop_assert_eq!(rebuilt(recipe.bytes(), &plain, None, stream.len()).unwrap(), stream);
    }
}

#[test]
fn a_recipe_never_makes_more_than_allowed() {
    let plain = made(1, 50_000);
    let stream = compressed(&plain, Settings::zlib(6));
    let recipe = find(&stream, &plain, None, &mut Hint::default(), 3).unwrap();
    let refused = rebuilt(recipe.bytes(), &plain, None, stream.len() - 1);
    assert!(matches!(refused, Err(DeltaError::Limit { .. })));
}
