use proptest::prelude::*;

use super::*;
use crate::deflate::{self, Block, BlockCounts, BlockKind, Flavour, Made, Token, compress, tree};
use crate::deflate::{Settings, Writer};

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
    compress(plain, settings, &mut |made| match made {
        Made::Block(block, tokens, bytes) => writer.block(block, tokens, bytes),
        Made::Token(..) => Ok(()),
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
        any::<bool>(),
        1..=9_u8,
        1..=9_u8,
        9..=15_u8,
        prop::sample::select(strategies.to_vec()),
    )
        .prop_map(|(chromium, level, memory, window, strategy)| Settings {
            flavour: if chromium {
                Flavour::Chromium
            } else {
                Flavour::Zlib
            },
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

/// Follows a recipe with a plaintext that comes in pieces of so many bytes.
fn rebuilt_in_parts(
    recipe: &[u8],
    plain: &[u8],
    piece: usize,
    length: usize,
) -> Result<Vec<u8>, DeltaError> {
    let mut pieces = plain.chunks(piece);
    let mut bytes = Vec::new();
    let mut more = |held: &mut Vec<u8>| {
        let next = pieces.next();
        held.extend_from_slice(next.unwrap_or_default());
        Ok(next.is_some())
    };
    rebuild_in_parts(recipe, length as u64, &mut more, 1 << 30, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_plaintext_may_come_in_parts(
        settings in settings(), seed: u64, length in 0..700_000_usize, piece in 1..70_000_usize, zeros in 0..300_000_usize,
    ) {
        let plain = [made(seed, length), vec![0; zeros], made(!seed, length / 3)].concat();
        let stream = compressed(&plain, settings);
        let recipe = zlib::written(&settings);
        let made = rebuilt_in_parts(&recipe, &plain, piece, plain.len()).unwrap();
        prop_assert!(made == stream);
    }
}

#[test]
fn a_plaintext_in_parts_has_the_length_that_is_told() {
    let plain = made(5, 400_000);
    for length in [399_999, 400_001] {
        let refused = rebuilt_in_parts(&[6], &plain, 5000, length);
        assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
    }
    for settings in (1..=9).flat_map(|level| [Settings::zlib(level), Settings::info_zip(level)]) {
        let made = rebuilt_in_parts(&zlib::written(&settings), &plain, 5000, plain.len());
        assert!(made.unwrap() == compressed(&plain, settings));
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

/// Compresses by a search that is none of zlib's: greedy, with blocks cut where the caller says.
fn strange(plain: &[u8], block_tokens: usize, stored: bool) -> Vec<u8> {
    let mut tokens = Vec::new();
    let settings = Settings {
        window: 11,
        ..Settings::zlib(5)
    };
    compress::<()>(plain, settings, &mut |made| {
        if let Made::Token(token, _) = made {
            tokens.push(token);
        }
        Ok(())
    })
    .unwrap();
    let mut writer = Writer::default();
    let mut start = 0;
    let blocks = tokens.chunks(block_tokens).count();
    for (index, tokens) in tokens.chunks(block_tokens).enumerate() {
        let end = start + tokens.iter().map(|token| token.length()).sum::<usize>();
        let bytes = &plain[start..end];
        start = end;
        let mut counts = BlockCounts::new();
        tokens.iter().for_each(|token| counts.add(*token));
        let kind = match index % 3 {
            0 if stored && bytes.len() < 0xffff => BlockKind::Stored {
                length: bytes.len(),
                padding: 0,
            },
            1 => BlockKind::Fixed,
            _ => BlockKind::Dynamic(Box::new(tree::trees(&counts.literals, &counts.distances))),
        };
        let block = Block {
            last: index + 1 == blocks,
            kind,
        };
        writer.block(&block, tokens, bytes).unwrap();
    }
    writer.end(0);
    writer.take_ready()
}

fn edited(plain: &[u8], at: usize) -> Vec<u8> {
    let at = at % plain.len();
    [
        &plain[..at],
        b"an edit",
        &plain[(at + 5).min(plain.len())..],
    ]
    .concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_a_strange_encoder_makes_is_rebuilt(
        seed: u64,
        length in 1..30_000_usize,
        block_tokens in 50..4000_usize,
        stored: bool,
        edit: usize,
    ) {
        let plain = made(seed, length);
        let stream = strange(&plain, block_tokens, stored);
        let recipe = find(&stream, &plain, None, &mut Hint::default(), usize::MAX).unwrap();
        prop_assert!(!recipe.needs_old());
        prop_assert_eq!(&rebuilt(recipe.bytes(), &plain, None, stream.len()).unwrap(), &stream);

        let edited = edited(&plain, edit);
        let newer = strange(&edited, block_tokens, stored);
        let old = Some(Old { compressed: &stream, plain: &plain });
        let recipe = find(&newer, &edited, old, &mut Hint::default(), usize::MAX).unwrap();
        prop_assert_eq!(rebuilt(recipe.bytes(), &edited, old, newer.len()).unwrap(), newer);
    }

    #[test]
    fn no_damaged_recipe_or_old_stream_panics_or_makes_too_much(
        seed: u64,
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        in_recipe: bool,
    ) {
        let plain = made(seed, 6000);
        let newer_plain = edited(&plain, 3000);
        let (mut stream, newer) = (strange(&plain, 700, false), strange(&newer_plain, 700, false));
        let old = Some(Old { compressed: &stream, plain: &plain });
        let recipe = find(&newer, &newer_plain, old, &mut Hint::default(), usize::MAX).unwrap();
        let mut recipe = recipe.bytes().to_vec();
        let damaged = if in_recipe { &mut recipe } else { &mut stream };
        for (at, byte) in damage {
            let at = at % damaged.len();
            damaged[at] ^= byte;
        }
        let old = Some(Old { compressed: &stream, plain: &plain });
        if let Ok(made) = rebuilt(&recipe, &newer_plain, old, 20_000) {
            prop_assert!(made.len() <= 20_000);
        }
    }

    #[test]
    fn no_bytes_panic_as_a_recipe(recipe: Vec<u8>, first in 0x50..0x60_u8, second in 0..0xc0_u8) {
        let plain = made(7, 3000);
        let stream = strange(&plain, 700, true);
        let old = Some(Old { compressed: &stream, plain: &plain });
        let _ = rebuilt(&recipe, &plain, old, 10_000);
        let tokens = [&[first, second], &recipe[..]].concat();
        let _ = rebuilt(&tokens, &plain, old, 10_000);
    }
}

#[test]
fn an_edit_costs_little_where_the_old_stream_is_known() {
    let plain = made(3, 60_000);
    let edited = edited(&plain, 30_000);
    let (stream, newer) = (strange(&plain, 2500, false), strange(&edited, 2500, false));
    let old = Some(Old {
        compressed: &stream,
        plain: &plain,
    });
    let recipe = find(&newer, &edited, old, &mut Hint::default(), usize::MAX).unwrap();
    assert!(recipe.needs_old());
    assert!(
        recipe.bytes().len() < newer.len() / 100,
        "{}",
        recipe.bytes().len()
    );
}

#[test]
fn blocks_of_nothing_come_to_an_end() {
    let refused = rebuilt(&[0x58, 0xb6], &[0; 5000], None, 1 << 24);
    assert!(
        matches!(refused, Err(DeltaError::Malformed { .. })),
        "{refused:?}"
    );
}

/// The streams of zlib itself, by length and CRC-32.
#[test]
fn the_emulation_is_zlib_to_the_bit() {
    let strategies = [
        deflate::Strategy::Default,
        deflate::Strategy::Filtered,
        deflate::Strategy::HuffmanOnly,
        deflate::Strategy::Runs,
        deflate::Strategy::Fixed,
    ];
    let lines = include_str!("tests/zlib-streams.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (settings_of, crc) = line.rsplit_once(' ').unwrap();
        let numbers: Vec<usize> = settings_of.split(' ').map(|n| n.parse().unwrap()).collect();
        let [level, memory, window, strategy, seed, length, expected] = numbers[..] else {
            panic!("{line}");
        };
        let settings = Settings {
            flavour: Flavour::Zlib,
            level: level.try_into().unwrap(),
            memory: memory.try_into().unwrap(),
            window: window.try_into().unwrap(),
            strategy: strategies[strategy],
        };
        let stream = compressed(&made(seed as u64, length), settings);
        assert_eq!(stream.len(), expected, "{line}");
        assert_eq!(format!("{:08x}", crc_32(&stream)), crc, "{line}");
    }
}

fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

/// The example of the format's document.
#[test]
fn the_example_of_the_document_is_rebuilt() {
    let plain = b"A cell divides. A cell divides. A cell divides.";
    let mut tokens: Vec<_> = plain
        .iter()
        .take(16)
        .map(|byte| Token::literal(*byte))
        .collect();
    tokens.extend([Token::matched(6, 16), Token::matched(25, 16)]);
    let block = Block {
        last: true,
        kind: BlockKind::Fixed,
    };
    let mut writer = Writer::default();
    writer.block(&block, &tokens, plain).unwrap();
    writer.end(0);
    let stream = writer.take_ready();
    assert_eq!(hex(&stream), "7354484ecdc95148c92ccb4c492dd65380f071f201");
    let recipe = find(&stream, plain, None, &mut Hint::default(), 20).unwrap();
    assert_eq!(hex(recipe.bytes()), "500e972e2c");
    assert_eq!(rebuilt(recipe.bytes(), plain, None, 99).unwrap(), stream);
    assert_eq!(
        hex(&rebuilt(&[0x06], plain, None, 99).unwrap()),
        "7354484ecdc95148c92ccb4c492dd65370c4cf0700"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes symbols of an alphabet in no order.
fn drawn(alphabet: &[u8], length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let draw = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        alphabet[usize::try_from(state >> 40).unwrap() % alphabet.len()]
    };
    (0..length).map(draw).collect()
}

/// Returns what zlib's search costs for each byte.
fn searched_per_byte(plain: &[u8], settings: Settings) -> u64 {
    let mut most = 0;
    let searched = compress::<()>(plain, settings, &mut |made| {
        if let Made::Token(_, searched) = made {
            most = searched;
        }
        Ok(())
    });
    searched.unwrap();
    most / plain.len() as u64
}

#[test]
fn honest_data_is_searched_within_the_budget() {
    let gradient: Vec<u8> = (0..400_000_u32)
        .map(|at| u8::try_from(at / 7 % 250 / 9).unwrap())
        .collect();
    let all: Vec<u8> = (0..=255).collect();
    let (noise, chance) = (drawn(&all, 200_000), drawn(&all, 200_007));
    let noise = noise.iter().zip(&chance[7..]);
    let sparse: Vec<u8> = noise
        .map(|(byte, chance)| if *chance < 40 { *byte } else { 0 })
        .collect();
    let rows: Vec<u8> = (0..6000_u32)
        .flat_map(|row| format!("{row:06};0;0;{};0;0.00;0.00;;;;\n", row % 3).into_bytes())
        .collect();
    for (name, plain) in [
        ("zeros", vec![0; 400_000]),
        ("gradient", gradient),
        ("table", rows),
        ("sparse noise", sparse),
        ("genome", drawn(b"ACGT", 400_000)),
        ("bits", drawn(b"01", 200_000)),
        ("digits", drawn(b"0123456789", 400_000)),
        ("made", made(3, 400_000)),
    ] {
        for level in [6, 9] {
            let settings = Settings::zlib(level);
            let searched = searched_per_byte(&plain, settings);
            assert!(searched < 600, "{name}, level {level}: {searched}");
            let stream = compressed(&plain, settings);
            let recipe = find(&stream, &plain, None, &mut Hint::default(), 3);
            assert!(recipe.is_some(), "{name}, level {level}");
        }
    }
}

#[test]
fn a_zlib_recipe_over_endless_chains_is_refused() {
    // Of a hash of eight bits, these symbols leave three.
    let symbols: Vec<u8> = (0..8).map(|symbol| symbol << 5).collect();
    let plain = drawn(&symbols, 200_000);
    let settings = Settings {
        memory: 1,
        ..Settings::zlib(9)
    };
    let searched = searched_per_byte(&plain, settings);
    assert!(searched > 1500, "{searched}");
    let recipe = [4 << 4 | 9, 1 << 4 | 15, 0];
    let refused = rebuilt(&recipe, &plain, None, usize::MAX);
    assert!(matches!(
        refused,
        Err(DeltaError::Limit {
            what: "searches to rebuild a stream",
            ..
        })
    ));
    // A publisher does not offer it either.
    let stream = compressed(&plain, settings);
    assert_eq!(find(&stream, &plain, None, &mut Hint::default(), 3), None);
}

/// Codes a stream by a walk that costs what it may.
fn walked(stream: &[u8], plain: &[u8]) -> Vec<u8> {
    let effort = search::SearchEffort {
        chain: 4096,
        nice: 258,
        skips: false,
    };
    let manner = walk::Manner {
        effort,
        looks_ahead: true,
        habits: heads::Habits::default(),
    };
    let parsed = Parsed::read(stream, plain).unwrap();
    let model = model::Model::new(crate::entropy::BitEncoder::new());
    let walk = walk::Walk::new(model, plain, manner, None);
    let (_, coder) = walk.run(Some(&parsed), &mut |_| Ok(())).unwrap();
    [vec![5 << 4 | 8, 11 << 4 | 6], coder.finish()].concat()
}

#[test]
fn literals_that_are_searched_in_vain_are_refused() {
    let settings = Settings {
        strategy: deflate::Strategy::HuffmanOnly,
        ..Settings::zlib(6)
    };
    for (symbols, is_refused) in [(&b"01"[..], true), (b"0123456789abcdef", false)] {
        let plain = drawn(symbols, 100_000);
        let stream = compressed(&plain, settings);
        let recipe = walked(&stream, &plain);
        match rebuilt(&recipe, &plain, None, stream.len()) {
            Ok(made) => assert!(!is_refused && made == stream),
            Err(DeltaError::Limit { .. }) => assert!(is_refused),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_stop_is_heard_while_a_long_block_is_searched() {
    let plain = drawn(b"ACGT", 300_000);
    let mut asked = 0;
    let stopped = rebuild(&[1 << 4 | 9], &plain, None, u64::MAX, &mut |piece| {
        asked += 1;
        match piece {
            [] => Err(crate::Cancelled.into()),
            _ => Ok(()),
        }
    });
    assert!(matches!(stopped, Err(DeltaError::Cancelled(_))), "{asked}");
}

#[test]
fn an_old_stream_that_is_far_longer_is_not_followed() {
    let long = made(9, 200_000);
    let short = long[150_000..150_800].to_vec();
    let [compressed_long, stream] = [&long, &short].map(|plain| strange(plain, 300, false));
    let old = Old {
        compressed: &compressed_long,
        plain: &long,
    };
    let recipe = find(&stream, &short, Some(old), &mut Hint::default(), 10_000).unwrap();
    assert!(!recipe.needs_old());
    assert_eq!(
        rebuilt(recipe.bytes(), &short, None, stream.len()).unwrap(),
        stream
    );
}
