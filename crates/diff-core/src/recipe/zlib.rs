use super::parsed::{Parsed, ParsedBlock};
use super::seam::{Hint, Output, Recipe, SearchBudget, malformed};
use crate::DeltaError;
use crate::deflate::{
    BlockKind, Compressor, Flavour, Held, Made, Settings, Strategy, Writer, compress,
};

/// Finds settings with which zlib, or a program with the same ancestor, makes the stream.
/// What is found was tried to the last byte of `compressed`.
pub(super) fn find(
    parsed: &Parsed,
    plain: &[u8],
    compressed: &[u8],
    hint: &mut Hint,
) -> Option<Recipe> {
    if parsed.padding != 0 {
        return None;
    }
    let likely = Likely::of(parsed, plain);
    let remembered = hint.settings.iter().copied();
    let mut candidates: Vec<Settings> = remembered.filter(|one| likely.allows(one)).collect();
    for settings in likely.candidates() {
        if !candidates.contains(&settings) {
            candidates.push(settings);
        }
    }
    let settings = candidates
        .into_iter()
        .find(|one| makes(*one, parsed, plain, compressed))?;
    hint.settings.retain(|other| *other != settings);
    hint.settings.insert(0, settings);
    hint.settings.truncate(REMEMBERED);
    Some(Recipe {
        bytes: written(&settings),
        needs_old: false,
    })
}

/// Rebuilds a stream.
pub(super) fn rebuild(
    recipe: &[u8],
    plain: &[u8],
    output: &mut Output<'_>,
) -> Result<(), DeltaError> {
    let settings = read(recipe)?;
    let mut writer = Writer::default();
    let mut budget = SearchBudget::of(plain.len());
    compress::<DeltaError>(plain, settings, &mut |made| match made {
        Made::Token(_, searched) => budget.check(searched, output),
        Made::Block(block, tokens, bytes) => {
            writer.block(block, tokens, bytes)?;
            output.drain(&mut writer)
        }
    })?;
    writer.end(0);
    output.drain(&mut writer)
}

/// Rebuilds a stream of a plaintext of so many bytes, to which `more` appends the next ones until it says
/// that there are none.
pub(super) fn rebuild_in_parts(
    recipe: &[u8],
    length: u64,
    more: &mut dyn FnMut(&mut Vec<u8>) -> Result<bool, DeltaError>,
    output: &mut Output<'_>,
) -> Result<(), DeltaError> {
    let length = usize::try_from(length).map_err(|_| malformed("is of a plaintext without end"))?;
    let mut compressor = Compressor::new(read(recipe)?);
    let mut writer = Writer::default();
    let mut budget = SearchBudget::of(length);
    let mut each = |made: Made<'_>| match made {
        Made::Token(_, searched) => budget.check(searched, output),
        Made::Block(block, tokens, bytes) => {
            writer.block(block, tokens, bytes)?;
            output.drain(&mut writer)
        }
    };
    let (mut bytes, mut start) = (Vec::new(), 0);
    loop {
        let enough = bytes.len() + PART_BYTES;
        let mut is_whole = false;
        while bytes.len() < enough && !is_whole {
            is_whole = !more(&mut bytes)?;
        }
        if start + bytes.len() > length || is_whole && start + bytes.len() < length {
            return Err(malformed("is of a plaintext of another length"));
        }
        let held = Held {
            bytes: &bytes,
            start,
            length,
        };
        compressor.take(held, &mut each)?;
        if is_whole {
            compressor.finish(held, &mut each)?;
            break;
        }
        let passed = compressor.looks_from().saturating_sub(start);
        bytes.drain(..passed);
        start += passed;
    }
    writer.end(0);
    output.drain(&mut writer)
}

/// What a stream tells about its settings before anything is tried.
struct Likely {
    /// The most tokens of a block.
    most_tokens: usize,
    /// The tokens of the first of several blocks; of a stored one the bytes.
    first_tokens: Option<usize>,
    first_stored: Option<usize>,
    all_literals: bool,
    all_runs: bool,
    all_fixed: bool,
    longest_distance: usize,
    bytes: usize,
}

impl Likely {
    fn of(parsed: &Parsed, plain: &[u8]) -> Likely {
        let distances = || parsed.tokens.iter().map(|token| token.distance());
        let is_stored = |block: &&ParsedBlock| matches!(block.block.kind, BlockKind::Stored { .. });
        let is_coded = |block: &&ParsedBlock| !is_stored(block);
        let mut kinds = parsed.blocks.iter().map(|block| &block.block.kind);
        let first = parsed.blocks.first().filter(|_| parsed.blocks.len() > 1);
        let coded = parsed.blocks.iter().filter(is_coded);
        Likely {
            most_tokens: coded.map(|block| block.tokens).max().unwrap_or(0),
            first_tokens: first.filter(is_coded).map(|block| block.tokens),
            first_stored: first.filter(is_stored).map(|block| block.bytes),
            all_literals: distances().all(|distance| distance == 0),
            all_runs: distances().all(|distance| distance <= 1),
            all_fixed: kinds.all(|kind| !matches!(kind, BlockKind::Dynamic(_))),
            longest_distance: distances().max().unwrap_or(0),
            bytes: plain.len(),
        }
    }

    /// Whether nothing speaks against `settings`.
    fn allows(&self, settings: &Settings) -> bool {
        let limit = settings.block_tokens();
        let is_cut =
            |tokens: usize| settings.flavour == Flavour::InfoZip && tokens.is_multiple_of(0x1000);
        let blocks = self
            .first_tokens
            .is_none_or(|tokens| tokens == limit || is_cut(tokens));
        // What is stored has few matches, so that its bytes are hardly more than its tokens.
        let stored = self
            .first_stored
            .is_none_or(|bytes| bytes >= limit && bytes <= limit + limit / 4);
        let strategy = match settings.strategy {
            Strategy::Default | Strategy::Filtered => true,
            Strategy::HuffmanOnly => self.all_literals,
            Strategy::Runs => self.all_runs,
            Strategy::Fixed => self.all_fixed,
        };
        self.most_tokens <= limit
            && blocks
            && stored
            && strategy
            && self.longest_distance < 1 << settings.window
    }

    /// Returns all settings that nothing speaks against, what is frequent first.
    fn candidates(&self) -> Vec<Settings> {
        let levels = [6, 9, 1, 5, 8, 7, 4, 3, 2];
        let mut all = Vec::new();
        for level in levels {
            all.push(Settings::zlib(level));
            all.push(Settings {
                memory: 9,
                ..Settings::zlib(level)
            });
            all.push(Settings::info_zip(level));
            all.push(Settings::chromium(level));
        }
        let strategies = [
            Strategy::Default,
            Strategy::Filtered,
            Strategy::HuffmanOnly,
            Strategy::Runs,
            Strategy::Fixed,
        ];
        for window in (9..=15_u8).rev() {
            // Where all is within reach, the window makes no difference.
            if window < 15 && self.bytes < (1 << window) - 262 {
                continue;
            }
            for (strategy, memory) in strategies
                .iter()
                .flat_map(|s| (1..=9).rev().map(|m| (*s, m)))
            {
                // Without a search, the level makes no difference.
                let searches = !matches!(strategy, Strategy::HuffmanOnly | Strategy::Runs);
                for level in levels.iter().take(if searches { levels.len() } else { 1 }) {
                    for flavour in [Flavour::Zlib, Flavour::Chromium] {
                        all.push(Settings {
                            flavour,
                            level: *level,
                            memory,
                            window,
                            strategy,
                        });
                    }
                }
            }
        }
        all.retain(|settings| self.allows(settings));
        all
    }
}

/// Whether `settings` make the stream, written as [`rebuild`] writes it. Ends with the first difference.
fn makes(settings: Settings, parsed: &Parsed, plain: &[u8], compressed: &[u8]) -> bool {
    let mut writer = Writer::default();
    let mut rest = compressed;
    let mut is_written = |writer: &mut Writer| {
        let behind = rest.strip_prefix(&*writer.take_ready());
        rest = behind.unwrap_or(rest);
        behind.is_some()
    };
    let mut blocks = parsed.blocks.iter();
    let mut block = blocks.next();
    // The token of the stream that is next, and the bytes of the block so far.
    let (mut at, mut bytes) = (0, 0);
    let budget = SearchBudget::of(plain.len());
    let same = compress(plain, settings, &mut |made| {
        let Some(expected) = block else {
            return Err(());
        };
        let same = match made {
            Made::Token(_, searched) if !budget.allows(searched) => false,
            Made::Token(token, _) => {
                bytes += token.length();
                let is_next = if let BlockKind::Stored { .. } = expected.block.kind {
                    // Its tokens are not written: any will do.
                    at += token.length();
                    true
                } else {
                    at += 1;
                    parsed.tokens.get(at - 1) == Some(&token)
                };
                is_next && bytes <= expected.bytes
            }
            Made::Block(made, tokens, plain) => {
                let is_same = expected.block == *made && expected.bytes == bytes;
                (block, bytes) = (blocks.next(), 0);
                is_same && writer.block(made, tokens, plain).is_ok() && is_written(&mut writer)
            }
        };
        if same { Ok(()) } else { Err(()) }
    });
    writer.end(0);
    same.is_ok() && block.is_none() && is_written(&mut writer) && rest.is_empty()
}

/// Returns the recipe: the usual settings in one byte.
pub(super) fn written(settings: &Settings) -> Vec<u8> {
    let flavour = match (settings.flavour, settings.memory) {
        (Flavour::Zlib, 8) => ZLIB,
        (Flavour::Zlib, _) => ZLIB_LARGE,
        (Flavour::InfoZip, _) => INFO_ZIP,
        (Flavour::Chromium, _) => CHROMIUM,
    };
    if usual(flavour, settings.level) == Some(*settings) {
        return vec![flavour << 4 | settings.level];
    }
    let strategy = match settings.strategy {
        Strategy::Default => 0,
        Strategy::Filtered => 1,
        Strategy::HuffmanOnly => 2,
        Strategy::Runs => 3,
        Strategy::Fixed => 4,
    };
    let flag = if settings.flavour == Flavour::Chromium {
        CHROMIUM_FLAG
    } else {
        0
    };
    vec![
        ZLIB_ANY << 4 | settings.level,
        settings.memory << 4 | settings.window,
        strategy | flag,
    ]
}

fn read(recipe: &[u8]) -> Result<Settings, DeltaError> {
    let settings = match *recipe {
        [first] => usual(first >> 4, first & 15),
        [first, second, strategy] if first >> 4 == ZLIB_ANY => {
            let flavour = if strategy & CHROMIUM_FLAG == 0 {
                Flavour::Zlib
            } else {
                Flavour::Chromium
            };
            let strategy = match strategy & !CHROMIUM_FLAG {
                0 => Strategy::Default,
                1 => Strategy::Filtered,
                2 => Strategy::HuffmanOnly,
                3 => Strategy::Runs,
                4 => Strategy::Fixed,
                _ => return Err(malformed("has a strategy that does not exist")),
            };
            Some(Settings {
                flavour,
                level: first & 15,
                memory: second >> 4,
                window: second & 15,
                strategy,
            })
        }
        _ => None,
    };
    let in_range = |settings: &Settings| {
        (1..=9).contains(&settings.level)
            && (1..=9).contains(&settings.memory)
            && (9..=15).contains(&settings.window)
    };
    let settings = settings.filter(in_range);
    settings.ok_or_else(|| malformed("has settings that do not exist"))
}

fn usual(flavour: u8, level: u8) -> Option<Settings> {
    match flavour {
        ZLIB => Some(Settings::zlib(level)),
        ZLIB_LARGE => Some(Settings {
            memory: 9,
            ..Settings::zlib(level)
        }),
        INFO_ZIP => Some(Settings::info_zip(level)),
        CHROMIUM => Some(Settings::chromium(level)),
        _ => None,
    }
}

const ZLIB: u8 = 0;
const ZLIB_LARGE: u8 = 1;
const INFO_ZIP: u8 = 2;
const CHROMIUM: u8 = 3;
const ZLIB_ANY: u8 = 4;
/// Set in the strategy of Chromium's zlib.
const CHROMIUM_FLAG: u8 = 8;
const REMEMBERED: usize = 4;
/// Plaintext is taken by so many bytes at least where it comes in parts.
const PART_BYTES: usize = 1 << 17;
