use super::chains::{Chains, match_length};

/// What zlib looks for at a place: the first match that is longest of those that it tries.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// The place.
    pub(super) at: usize,
    /// Only a longer match is wanted.
    pub(super) best: usize,
    /// A match so long ends the search.
    pub(super) nice: usize,
    /// The most places of the chain that are tried.
    pub(super) chain: usize,
    /// Places up to this one are out of reach.
    pub(super) limit: usize,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Longest {
    /// The length that was wanted to be passed, where nothing is longer.
    pub(super) length: usize,
    /// Where it stands.
    pub(super) from: usize,
    /// What searching cost: places looked at, and words compared there.
    pub(super) searched: usize,
}

/// Goes along the chain of `head`, one place after the other, as zlib does. `bytes` start at `origin`, and
/// reach over the best match.
#[inline]
pub(super) fn along(
    chains: &Chains,
    (bytes, origin): (&[u8], usize),
    wanted: Wanted,
    head: usize,
) -> Longest {
    let place = wanted.at - origin;
    let (mut best, mut from, mut here) = (wanted.best, 0, head);
    let (mut left, mut words) = (wanted.chain, 0);
    let mut ending = [bytes[place + best - 1], bytes[place + best]];
    loop {
        // Below the place, so that all that is compared is in reach.
        let there = here - origin;
        if bytes[there + best - 1..=there + best] == ending {
            let length = match_length(bytes, place, there);
            words += length / WORD;
            if length > best {
                (best, from) = (length, here);
                if length >= wanted.nice {
                    break;
                }
                ending = [bytes[place + best - 1], bytes[place + best]];
            }
        }
        here = chains.before(here);
        left -= 1;
        if here <= wanted.limit || left == 0 {
            break;
        }
    }
    Longest {
        length: best,
        from,
        searched: wanted.chain - left + words,
    }
}

/// Finds what [`along`] finds, in fewer steps: what is longer than the best match so far has all of its
/// strings, so that the chain is followed of one that last stood far back. How far down its own chain a
/// place stands tells whether zlib would have come to it.
#[inline]
pub(super) fn across(
    chains: &Chains,
    (bytes, origin): (&[u8], usize),
    wanted: Wanted,
    head: usize,
) -> Longest {
    let Wanted { at, limit, .. } = wanted;
    let place = at - origin;
    let string = chains.string();
    let latest = |ahead: usize| {
        let mut four = [0; 4];
        four[..string].copy_from_slice(&bytes[place + ahead..place + ahead + string]);
        chains.latest(four)
    };
    let first = chains.rank(head);
    let is_passed = |start| first.wrapping_sub(chains.rank(start)) as usize >= wanted.chain;
    let (mut best, mut from, mut searched) = (wanted.best, 0, 0);
    let mut ending = [bytes[place + best - 1], bytes[place + best]];
    let mut strand = Strand {
        here: head,
        ahead: 0,
    };
    let mut is_chosen = best < string;
    while strand.here > limit + strand.ahead {
        let start = strand.here - strand.ahead;
        // Whether all strings of what starts here or before are entered.
        if !is_chosen && start + best + 1 - string <= at {
            let last = best + 1 - string;
            for ahead in last.saturating_sub(TRIED).max(1)..=last {
                strand.take_farther(latest(ahead), ahead);
            }
            searched += last.min(TRIED);
            is_chosen = true;
            continue;
        }
        let there = start - origin;
        searched += 1;
        if strand.ahead == 0 && is_passed(start) {
            break;
        }
        if bytes[there + best - 1..=there + best] == ending {
            let length = match_length(bytes, place, there);
            searched += length / WORD;
            if length >= string && is_passed(start) {
                break;
            }
            if length > best {
                (best, from) = (length, start);
                if length >= wanted.nice {
                    break;
                }
                ending = [bytes[place + best - 1], bytes[place + best]];
                strand = Strand {
                    here: chains.before(start),
                    ahead: 0,
                };
                is_chosen = best < string;
                if !is_chosen && start + best + 1 - string <= at {
                    // What is longer has one that the match has not.
                    let last = best + 1 - string;
                    strand.take_farther(latest(last), last);
                    for ahead in last.saturating_sub(TRIED).max(1)..last {
                        strand.take_farther(chains.before(start + ahead), ahead);
                    }
                    searched += last.min(TRIED) / 4;
                    is_chosen = true;
                }
                continue;
            }
        }
        strand.here = chains.before(strand.here);
    }
    Longest {
        length: best,
        from,
        searched,
    }
}

/// A chain that is followed: that of the string so far behind where matches start.
#[derive(Clone, Copy)]
struct Strand {
    here: usize,
    ahead: usize,
}

impl Strand {
    /// Follows another chain where that leads farther back.
    #[inline]
    fn take_farther(&mut self, here: usize, ahead: usize) {
        if here + self.ahead < self.here + ahead {
            *self = Strand { here, ahead };
        }
    }
}

/// So many strings of a match are asked for where they last stood.
const TRIED: usize = 16;
/// Bytes that are compared at once.
const WORD: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chains::Hash;
    use super::*;

    /// Bytes in which strings come again, nearby and far off, and runs.
    fn repetitive() -> impl Strategy<Value = Vec<u8>> {
        let fresh = prop::collection::vec(0_u8..4, 1..30);
        let pieces = prop::collection::vec((any::<u16>(), 0..300_usize, fresh), 1..30);
        pieces.prop_map(|pieces| {
            let mut all: Vec<u8> = Vec::new();
            for (back, length, fresh) in pieces {
                all.extend(fresh);
                let start = all.len() - 1 - usize::from(back) % all.len();
                for place in start..start + length {
                    all.push(all[place]);
                }
            }
            all
        })
    }

    proptest! {
        #[test]
        fn both_ways_find_the_same(
            bytes in repetitive(),
            is_of_four in any::<bool>(),
            hash_bits in 8..16_u32,
            chain in 1..60_usize,
            nice in 3..259_usize,
            wanted_lengths in prop::collection::vec(2..40_usize, 1..20),
        ) {
            let hash = if is_of_four { Hash::four(hash_bits) } else { Hash::three(hash_bits) };
            let mut chains = Chains::new(10, hash).ranked();
            let reach = (1 << 10) - 262;
            for at in 0..bytes.len().saturating_sub(3) {
                let four = bytes[at..].first_chunk().copied().unwrap();
                let head = chains.insert(four, at);
                let limit = at.saturating_sub(reach);
                let best = wanted_lengths[at % wanted_lengths.len()];
                let left = bytes.len() - at;
                if head <= limit || best >= left {
                    continue;
                }
                let wanted = Wanted { at, best, nice: nice.min(left), chain, limit };
                let told = |found: Longest| (found.length, found.from);
                let usual = along(&chains, (&bytes, 0), wanted, head);
                let quick = across(&chains, (&bytes, 0), wanted, head);
                prop_assert_eq!(told(quick), told(usual), "{} of {}", at, bytes.len());
            }
        }
    }

    #[test]
    fn a_place_that_zlib_would_not_come_to_is_not_found() {
        // The long match stands behind three others of the same first bytes.
        let bytes = b"-abcdefgh abc1 abc2 abc3 abcdefgh";
        let mut chains = Chains::new(10, Hash::three(15)).ranked();
        let at = bytes.len() - 8;
        let heads = (0..=at).map(|at| chains.insert(*bytes[at..].first_chunk().unwrap(), at));
        let head = heads.last().unwrap();
        let length = |chain| {
            let wanted = Wanted {
                at,
                best: 2,
                nice: 8,
                chain,
                limit: 0,
            };
            across(&chains, (bytes, 0), wanted, head).length
        };
        assert_eq!((length(3), length(4)), (3, 8));
    }

    #[test]
    fn far_fewer_places_are_looked_at() {
        let line = |number: usize| format!("<li class=\"item\">{}</li>\n", number * 7919 % 1013);
        let bytes: String = (0..1000).map(line).collect();
        let bytes = bytes.as_bytes();
        let mut chains = Chains::new(15, Hash::three(15)).ranked();
        let (mut usual, mut quick) = (0, 0);
        for at in 0..bytes.len() - 300 {
            let head = chains.insert(*bytes[at..].first_chunk().unwrap(), at);
            if head > 0 {
                let wanted = Wanted {
                    at,
                    best: 2,
                    nice: 258,
                    chain: 4096,
                    limit: 0,
                };
                usual += along(&chains, (bytes, 0), wanted, head).searched;
                quick += across(&chains, (bytes, 0), wanted, head).searched;
            }
        }
        assert!(quick * 5 < usual, "{quick} instead of {usual}");
    }
}
