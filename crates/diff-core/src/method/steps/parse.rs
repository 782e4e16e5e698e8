use super::finder::{Finder, common};
use super::{Distances, Guesses, History, Kind, Prices, Step};
use crate::Cancelled;
use crate::method::Level;

/// Finds the cheapest steps, of those that the effort looks at.
pub(super) struct Parser<'a> {
    all: &'a [u8],
    /// How many of them are the reference's.
    reference: usize,
    finder: &'a Finder,
    effort: Effort,
    guesses: Guesses,
    prices: &'a Prices,
    nodes: Vec<Node>,
    found: Vec<(usize, usize)>,
    /// The distance of the longest match that was found last.
    carried: usize,
    /// Up to where the finder is ready.
    loaded: usize,
    /// How many long runs were passed.
    ended_runs: usize,
    steps: Vec<Step>,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Places that are looked at for each match.
    depth: usize,
    /// Of those of short strings, where longer ones are found.
    short_depth: usize,
    /// A copy so long is taken as soon as it is seen.
    long: usize,
    /// Where a known distance gives a copy so long, no other is looked for.
    enough: usize,
    /// So many of the shortest and of the longest lengths of a copy are considered; others are seldom
    /// best.
    edge: usize,
}

impl Effort {
    /// Returns what so many bytes are worth at a level.
    pub(super) fn of(level: Level, bytes: usize) -> Effort {
        let depth = match level {
            Level::Fast => 8,
            Level::Default if bytes > LARGE => 24,
            Level::Default => 64,
            Level::Best => 128,
        };
        let effort = Effort {
            depth,
            short_depth: SHORT_DEPTH,
            long: LONG,
            enough: ENOUGH,
            edge: EDGE,
        };
        match level {
            Level::Best => Effort {
                short_depth: depth,
                enough: usize::MAX,
                edge: usize::MAX,
                ..effort
            },
            _ => effort,
        }
    }

    /// Returns what is enough to tell prices.
    pub(super) fn of_draft(self) -> Effort {
        Effort {
            depth: self.depth / 4,
            short_depth: 1,
            long: DRAFT_LONG,
            enough: DRAFT_ENOUGH,
            edge: DRAFT_EDGE,
        }
    }
}

/// The cheapest way that is known to a place. It is written often, so that its size counts.
#[derive(Clone, Copy)]
struct Node {
    price: u32,
    /// The length of the step that leads here.
    length: u32,
    /// Its distance; none for a literal.
    distance: u32,
    /// Literals since the last copy.
    since: u32,
    distances: [u32; 1 + Distances::BEFORE],
}

impl Node {
    /// A place that no way is known to.
    const UNKNOWN: Node = Node {
        price: u32::MAX,
        length: 0,
        distance: 0,
        since: 0,
        distances: [0; 1 + Distances::BEFORE],
    };
}

/// A copy so long that nothing else is considered.
#[derive(Clone, Copy)]
struct Long {
    length: usize,
    distance: usize,
}

impl<'a> Parser<'a> {
    /// Returns a parser of what follows the reference.
    pub(super) fn new(
        finder: &'a Finder,
        reference: usize,
        prices: &'a Prices,
        effort: Effort,
    ) -> Parser<'a> {
        let all = finder.all();
        Parser {
            all,
            reference,
            finder,
            effort,
            guesses: Guesses::new(all.len()),
            prices,
            nodes: Vec::new(),
            found: Vec::new(),
            carried: 0,
            loaded: 0,
            ended_runs: 0,
            steps: Vec::new(),
        }
    }

    /// Returns the steps that make the bytes from `start` to `end`, guessed by so many before them;
    /// `heard` is told of what is done.
    pub(super) fn run(
        mut self,
        start: usize,
        end: usize,
        known: usize,
        heard: &(dyn Fn(u64) -> Result<(), Cancelled> + Sync),
    ) -> Result<Vec<Step>, Cancelled> {
        let known = start.min(known);
        self.guesses.skip(start - known);
        self.guesses.note(&self.all[start - known..start]);
        self.all = &self.all[..end];
        let (mut at, mut told) = (start, start);
        let mut first = Node {
            price: 0,
            length: 0,
            distance: 0,
            since: 0,
            distances: Distances::new(self.reference).packed(),
        };
        while at < end {
            (at, first) = self.stretch(at, first);
            if at - told >= TOLD_BYTES || at == end {
                heard((at - told) as u64)?;
                told = at;
            }
        }
        Ok(self.steps)
    }

    /// Parses a stretch from `at` on, and returns where it ends and how things stand there.
    fn stretch(&mut self, at: usize, first: Node) -> (usize, Node) {
        let most = (self.all.len() - at).min(STRETCH);
        self.nodes.clear();
        self.nodes.push(Node { price: 0, ..first });
        let (mut place, mut reached) = (0, 0);
        let mut long = None;
        while place < most {
            long = self.copies(at, place, most, &mut reached);
            if long.is_some() {
                break;
            }
            self.literal(at, place);
            self.guesses.note(&self.all[at + place..=at + place]);
            place += 1;
            // What led to a place that nothing spans is settled.
            if place >= SETTLED && reached <= place {
                break;
            }
        }
        let mut end = self.take(place);
        let mut at = at + place;
        if let Some(Long { length, distance }) = long {
            Step::push(&mut self.steps, Step::Copy { length, distance });
            let mut distances = Distances::unpacked(end.distances);
            distances.take(distance);
            end.distances = distances.packed();
            end.since = 0;
            let unnoted = length.saturating_sub(NOTED_BYTES);
            self.guesses.skip(unnoted);
            self.guesses.note(&self.all[at + unnoted..at + length]);
            at += length;
        }
        (at, end)
    }

    /// Considers the copies that start at a place; a long one ends the search.
    fn copies(
        &mut self,
        start: usize,
        place: usize,
        most: usize,
        reached: &mut usize,
    ) -> Option<Long> {
        let node = self.nodes[place];
        let at = start + place;
        let distances = Distances::unpacked(node.distances);
        let since = node.since as usize;
        let last = distances.last();
        let (reference, new) = self.all[..at].split_at(self.reference);
        let guess = self.guesses.distance(History { reference, new }, last);
        let foreseen = guess.map_or(0, |(distance, _)| distance);
        let resumed = if since > 0 { last + since } else { 0 };
        let run = self.finder.run(at, &mut self.ended_runs);
        let known = [
            last,
            resumed,
            foreseen,
            distances.before(0),
            distances.before(1),
            distances.before(2),
            run.unwrap_or(0),
        ];
        let mut long: Option<Long> = None;
        let mut longest = 0;
        for (number, distance) in known.into_iter().enumerate() {
            if distance == 0 || distance > at || known[..number].contains(&distance) {
                continue;
            }
            let length = common(self.all, at - distance, at);
            longest = longest.max(length);
            // The step that leads here was taken to go on.
            let goes_on = number == 0 && node.distance as usize == last;
            if length >= self.effort.long {
                if long.is_none_or(|long| length > long.length) {
                    long = Some(Long { length, distance });
                }
            } else if !goes_on {
                let kind = distances.kind(distance, since, foreseen);
                let least = if kind == Kind::Aligned { 1 } else { 2 };
                self.reach(
                    place,
                    least,
                    length.min(most - place),
                    distance,
                    kind,
                    reached,
                );
            }
        }
        if long.is_some() || longest >= self.effort.enough {
            return long;
        }
        let mut found = std::mem::take(&mut self.found);
        let Effort {
            depth, short_depth, ..
        } = self.effort;
        if at >= self.loaded {
            self.loaded = self.finder.load(at);
        }
        self.finder
            .find(self.all, at, last, depth, short_depth, &mut found);
        // What was found for the byte before goes on; its place may have been one too many to look at.
        let carried = match self.carried {
            0 => 0,
            distance => common(self.all, at - distance, at),
        };
        if found.last().is_none_or(|(longest, _)| *longest < carried) {
            found.push((carried, self.carried));
        }
        self.carried = found.last().map_or(0, |(_, distance)| *distance);
        let mut least = 3;
        for (length, distance) in found.iter().copied() {
            if length >= self.effort.long {
                long = Some(Long { length, distance });
                break;
            }
            let length = length.min(most - place);
            let kind = distances.kind(distance, since, foreseen);
            if let Kind::Near { .. } = kind {
                self.reach(place, 3, length, distance, kind, reached);
            } else if length >= least {
                self.reach(place, least, length, distance, kind, reached);
                least = length + 1;
            }
        }
        self.found = found;
        long
    }

    /// Considers copies of all lengths from `least` to `most` at one distance.
    fn reach(
        &mut self,
        place: usize,
        least: usize,
        most: usize,
        distance: usize,
        kind: Kind,
        reached: &mut usize,
    ) {
        if least > most {
            return;
        }
        let from = self.nodes[place];
        let start = from.price + self.prices.start(kind, from.since as usize);
        let mut distances = Distances::unpacked(from.distances);
        distances.take(distance);
        let distances = distances.packed();
        let distance = u32::try_from(distance).unwrap_or(u32::MAX);
        *reached = (place + most).max(*reached);
        self.make_room(place + most);
        let edge = least.saturating_add(self.effort.edge);
        let short = least..=most.min(edge);
        let long = most
            .saturating_sub(self.effort.edge)
            .max(edge.saturating_add(1))..=most;
        for length in short.chain(long) {
            let node = &mut self.nodes[place + length];
            let price = start + self.prices.length(kind, length);
            if price < node.price {
                *node = Node {
                    price,
                    length: u32::try_from(length).unwrap_or(u32::MAX),
                    distance,
                    since: 0,
                    distances,
                };
            }
        }
    }

    /// Makes room up to a place, where there is none yet: most stretches end long before they could.
    #[inline]
    fn make_room(&mut self, place: usize) {
        if self.nodes.len() <= place {
            self.nodes.resize(place + 1, Node::UNKNOWN);
        }
    }

    fn literal(&mut self, start: usize, place: usize) {
        let node = self.nodes[place];
        let at = start + place;
        let byte = self.all[at];
        let before = at.checked_sub(1).map_or(0, |before| self.all[before]);
        let price = node.price + self.prices.literal(before, byte, node.since as usize);
        self.make_room(place + 1);
        let next = &mut self.nodes[place + 1];
        if price < next.price {
            *next = Node {
                price,
                length: 1,
                distance: 0,
                since: node.since + 1,
                distances: node.distances,
            };
        }
    }

    /// Takes the cheapest steps to a place of the stretch, and returns how things stand there.
    fn take(&mut self, place: usize) -> Node {
        let mut back = Vec::new();
        let mut at = place;
        while at > 0 {
            let node = self.nodes[at];
            let length = usize::try_from(node.length).unwrap_or(usize::MAX);
            back.push(match node.distance {
                0 => Step::Literals(1),
                distance => Step::Copy {
                    length,
                    distance: distance as usize,
                },
            });
            at -= length;
        }
        for step in back.into_iter().rev() {
            Step::push(&mut self.steps, step);
        }
        self.nodes[place]
    }
}

/// Places that are parsed together at most.
const STRETCH: usize = 1 << 13;
/// From here on a stretch ends where nothing spans it.
const SETTLED: usize = 1 << 10;
/// Copies so long lead somewhere by themselves.
const LONG: usize = 384;
const ENOUGH: usize = 32;
const EDGE: usize = 24;
/// Longer strings found, a nearer place of a short one is seldom worth more.
const SHORT_DEPTH: usize = 8;
/// Prices change little by which of many copies are taken.
const DRAFT_LONG: usize = 32;
const DRAFT_ENOUGH: usize = 16;
const DRAFT_EDGE: usize = 8;
/// More is looked through less closely.
const LARGE: usize = 8 << 20;
/// The last bytes of a long copy are enough to guess by.
const NOTED_BYTES: usize = 1 << 19;
const TOLD_BYTES: usize = 1 << 18;
