use super::{Distances, Prices, Step};
use crate::Cancelled;
use crate::method::Level;

/// Returns steps that make `new`: at each place the copy that the prices say saves most, of those at
/// the last distance and at the last place with the same bytes, few or many.
pub(crate) fn parse(
    reference: &[u8],
    new: &[u8],
    _level: Level,
    prices: &Prices,
    advanced: &mut dyn FnMut(u64) -> Result<(), Cancelled>,
) -> Result<Vec<Step>, Cancelled> {
    let all = [reference, new].concat();
    let mut places = [6, 24].map(|width| (width, vec![0_usize; 1 << PLACE_BITS]));
    let mut noted = 0;
    let mut distances = Distances::new(reference.len());
    let mut steps = Vec::new();
    let (mut at, mut literals, mut told) = (reference.len(), 0, reference.len());
    while at < all.len() {
        while noted < at {
            for (width, places) in &mut places {
                if let Some(place) = key(&all, noted, *width) {
                    places[place] = noted;
                }
            }
            noted += 1;
        }
        let found = places
            .each_ref()
            .map(|(width, places)| key(&all, at, *width).map_or(0, |place| at - places[place]));
        let mut best: Option<(usize, usize, usize)> = None;
        let before = [0, 1, 2].map(|place| distances.before(place));
        let resumed = distances.last().saturating_add(literals);
        for distance in [distances.last(), resumed]
            .into_iter()
            .chain(before)
            .chain(found)
        {
            if distance == 0 || distance > at {
                continue;
            }
            let pairs = all[at - distance..].iter().zip(&all[at..]);
            let length = pairs.take_while(|(one, other)| one == other).count();
            if length == 0 {
                continue;
            }
            let kind = distances.kind(distance, literals, 0);
            let price = prices.start(kind, literals) + prices.length(kind, length);
            let spared = length.saturating_mul(LITERAL);
            let saved = spared.saturating_sub(price as usize);
            if saved > best.map_or(0, |(saved, ..)| saved) {
                best = Some((saved, length, distance));
            }
        }
        if let Some((_, length, distance)) = best {
            if literals > 0 {
                steps.push(Step::Literals(literals));
            }
            steps.push(Step::Copy { length, distance });
            distances.take(distance);
            literals = 0;
            at += length;
        } else {
            literals += 1;
            at += 1;
        }
        if at - told >= ADVANCED_BYTES || at == all.len() {
            advanced((at - told) as u64)?;
            told = at;
        }
    }
    if literals > 0 {
        steps.push(Step::Literals(literals));
    }
    Ok(steps)
}

/// Returns where the last place with these bytes is noted.
fn key(all: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = all.get(at..at + width)?;
    let bytes = bytes.iter().fold(0_u64, |bytes, byte| {
        (bytes.wrapping_mul(0x2c91) + u64::from(*byte)).rotate_left(7)
    });
    usize::try_from(bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACE_BITS)).ok()
}

/// What a literal costs about.
const LITERAL: usize = 1400;
const PLACE_BITS: u32 = 18;
const ADVANCED_BYTES: usize = 1 << 16;
