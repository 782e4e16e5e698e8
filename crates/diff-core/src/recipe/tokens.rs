use super::covers::Covers;
use super::heads::Habits;
use super::model::Model;
use super::old_tokens::OldTokens;
use super::parsed::Parsed;
use super::seam::{Old, Output, Recipe, SearchBudget, malformed};
use super::search::SearchEffort;
use super::walk::{MOST_TOKENS, Manner, Passed, Walk};
use crate::DeltaError;
use crate::deflate::{BlockCounts, BlockKind, Writer};
use crate::entropy::{BitDecoder, BitEncoder};

/// Codes the stream by what is not as expected of its encoder, or not as in `old`.
pub(super) fn find(
    parsed: &Parsed,
    plain: &[u8],
    old: Option<Old<'_>>,
    max_bytes: usize,
) -> Option<Recipe> {
    if parsed.blocks.iter().any(|block| block.tokens > MOST_TOKENS) {
        return None;
    }
    let habits = habits(parsed);
    let with_old = old.and_then(|old| {
        let manner = Manner {
            effort: effort(OLD_CHAIN, LAST_NICE),
            looks_ahead: true,
            habits,
        };
        write(parsed, plain, Some(old), manner)
    });
    let is_good = |recipe: &Recipe| recipe.bytes.len() * GOOD_SHARE < parsed.tokens.len();
    let best = if with_old.as_ref().is_some_and(is_good) {
        with_old
    } else {
        let manner = manner(parsed, plain, habits);
        let alone = write(parsed, plain, None, manner);
        let again = old.and_then(|old| write(parsed, plain, Some(old), manner));
        let all = [with_old, alone, again].into_iter().flatten();
        all.min_by_key(|recipe| recipe.bytes.len())
    };
    best.filter(|recipe| recipe.bytes.len() <= max_bytes)
}

/// Rebuilds a stream.
pub(super) fn rebuild(
    recipe: &[u8],
    plain: &[u8],
    old: Option<Old<'_>>,
    output: &mut Output<'_>,
) -> Result<(), DeltaError> {
    let [first, second, coded @ ..] = recipe else {
        return Err(malformed("ends too early"));
    };
    let manner = read_manner(*first, *second).ok_or_else(|| malformed("has unknown settings"))?;
    let mut model = Model::new(BitDecoder::new(coded));
    let old = if first & NEEDS_OLD == 0 {
        None
    } else {
        let old = old.ok_or_else(|| malformed("needs the old stream"))?;
        let covers = Covers::default().code(&mut model, old, plain)?;
        Some(OldTokens::new(old, covers))
    };
    let mut writer = Writer::default();
    let mut budget = SearchBudget::of(plain.len());
    let walk = Walk::new(model, plain, manner, old);
    let (padding, coder) = walk.run(None, &mut |passed| match passed {
        Passed::Searched(searched) => budget.check(searched, output),
        Passed::Block(block, tokens, bytes) => {
            writer.block(block, tokens, bytes)?;
            output.drain(&mut writer)
        }
    })?;
    if !coder.is_at_end() {
        return Err(malformed("goes on behind its end"));
    }
    writer.end(padding);
    output.drain(&mut writer)
}

fn write(parsed: &Parsed, plain: &[u8], old: Option<Old<'_>>, manner: Manner) -> Option<Recipe> {
    let mut model = Model::new(BitEncoder::new());
    let old_tokens = match old {
        None => None,
        Some(old) => {
            let covers = Covers::find(old.plain, plain)
                .code(&mut model, old, plain)
                .ok()?;
            Some(OldTokens::new(old, covers))
        }
    };
    let budget = SearchBudget::of(plain.len());
    let walk = Walk::new(model, plain, manner, old_tokens);
    let mut within = |passed: Passed<'_>| match passed {
        Passed::Searched(searched) if !budget.allows(searched) => Err(malformed("costs too much")),
        _ => Ok(()),
    };
    let (_, coder) = walk.run(Some(parsed), &mut within).ok()?;
    let mut bytes = write_manner(manner, old.is_some()).to_vec();
    bytes.extend(coder.finish());
    Some(Recipe {
        bytes,
        needs_old: old.is_some(),
    })
}

/// Finds how the stream's encoder makes codes, by the first block that has its own.
fn habits(parsed: &Parsed) -> Habits {
    let mut first = 0;
    let mut best = (usize::MAX, Habits::default());
    for block in &parsed.blocks {
        let tokens = parsed
            .tokens
            .get(first..first + block.tokens)
            .unwrap_or(&[]);
        first += block.tokens;
        let BlockKind::Dynamic(trees) = &block.block.kind else {
            continue;
        };
        let mut counts = BlockCounts::new();
        tokens.iter().for_each(|token| counts.add(*token));
        for (sorted, crossing) in [(false, false), (true, false), (false, true), (true, true)] {
            let habits = Habits { sorted, crossing };
            let mut model = Model::new(BitEncoder::new());
            if habits.code(&mut model, &counts, trees).is_ok() {
                let length = model.into_coder().finish().len();
                if length < best.0 {
                    best = (length, habits);
                }
            }
        }
        break;
    }
    best.1
}

/// Finds what makes the stream's start cheapest.
fn manner(parsed: &Parsed, plain: &[u8], habits: Habits) -> Manner {
    let (start, bytes) = parsed.start(TRIED_TOKENS, TRIED_BYTES);
    let plain = plain.get(..bytes).unwrap_or(plain);
    let cost = |manner| {
        let recipe = write(&start, plain, None, manner);
        recipe.map_or(usize::MAX, |recipe| recipe.bytes.len())
    };
    // What is searched in vain is paid for by every device: more must save a little at least.
    let cheapest = |manners: &mut dyn Iterator<Item = Manner>| {
        let costs = manners.map(|manner| (cost(manner), manner));
        costs.reduce(|best, next| {
            if next.0 < best.0 - best.0 / 256 {
                next
            } else {
                best
            }
        })
    };
    let roughly = [0, 3, 6, 9].into_iter().flat_map(|chain| {
        [(false, true), (false, false), (true, false)].map(|(looks_ahead, skips)| Manner {
            effort: SearchEffort {
                skips,
                ..effort(chain, LAST_NICE)
            },
            looks_ahead,
            habits,
        })
    });
    let with_effort = |manner: Manner, effort| Manner { effort, ..manner };
    let rough = cheapest(&mut roughly.into_iter());
    let chained = rough.and_then(|(_, rough)| {
        let efforts = (0..=LAST_CHAIN).map(|chain| SearchEffort {
            chain: 2 << chain,
            ..rough.effort
        });
        cheapest(&mut efforts.map(|effort| with_effort(rough, effort)))
    });
    let ended = chained.and_then(|(_, chained)| {
        let efforts = NICE.iter().map(|nice| SearchEffort {
            nice: *nice,
            ..chained.effort
        });
        cheapest(&mut efforts.rev().map(|effort| with_effort(chained, effort)))
    });
    ended.map_or_else(
        || Manner {
            effort: effort(OLD_CHAIN, LAST_NICE),
            looks_ahead: true,
            habits,
        },
        |(_, manner)| manner,
    )
}

fn effort(chain: u8, nice: u8) -> SearchEffort {
    SearchEffort {
        chain: 2 << chain,
        nice: NICE[usize::from(nice)],
        skips: false,
    }
}

fn write_manner(manner: Manner, needs_old: bool) -> [u8; 2] {
    let mut first = TOKENS << 4;
    first |= if needs_old { NEEDS_OLD } else { 0 };
    first |= if manner.habits.sorted { SORTED } else { 0 };
    first |= if manner.habits.crossing { CROSSING } else { 0 };
    first |= if manner.looks_ahead { LOOKS_AHEAD } else { 0 };
    let [chain, ..] = (manner.effort.chain.ilog2() - 1).to_le_bytes();
    let nice = NICE
        .iter()
        .position(|nice| *nice == manner.effort.nice)
        .unwrap_or(0);
    let [nice, ..] = nice.to_le_bytes();
    let skips = if manner.effort.skips { SKIPS } else { 0 };
    [first, chain << 4 | skips | nice]
}

fn read_manner(first: u8, second: u8) -> Option<Manner> {
    let chain = second >> 4;
    let nice = *NICE.get(usize::from(second & 7))?;
    (first >> 4 == TOKENS && chain <= LAST_CHAIN).then_some(Manner {
        effort: SearchEffort {
            chain: 2 << chain,
            nice,
            skips: second & SKIPS != 0,
        },
        looks_ahead: first & LOOKS_AHEAD != 0,
        habits: Habits {
            sorted: first & SORTED != 0,
            crossing: first & CROSSING != 0,
        },
    })
}

/// The first four bits of a recipe of this kind.
pub(super) const TOKENS: u8 = 5;
const NEEDS_OLD: u8 = 1;
const SORTED: u8 = 2;
const CROSSING: u8 = 4;
const LOOKS_AHEAD: u8 = 8;
const SKIPS: u8 = 8;
/// The lengths that may end a search.
const NICE: [usize; 7] = [8, 16, 32, 64, 128, 130, 258];
const LAST_NICE: u8 = 6;
/// The most that is searched: 2^12 places.
const LAST_CHAIN: u8 = 11;
const OLD_CHAIN: u8 = 9;
/// How many tokens are tried to find what is expected best, and how many bytes: in flat images a token is many.
const TRIED_TOKENS: usize = 8_000;
const TRIED_BYTES: usize = 1 << 17;
/// A recipe of so small a share of the number of tokens needs no better one.
const GOOD_SHARE: usize = 40;
