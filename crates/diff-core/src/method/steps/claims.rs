//! What every method that codes steps by a model claims: each method's tests call these.

use crate::Cancelled;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::entropy::{SYMBOLS, WHOLE};
use crate::method::{Codec, Level};

/// A method, and its slow decoder.
pub(crate) struct Claims {
    pub(crate) codec: &'static dyn Codec,
    pub(crate) slow: Slow,
}

/// Returns what a frame decodes to against a reference, where it has this length and is well formed.
type Slow = fn(&[u8], &[u8], usize) -> Option<Vec<u8>>;

impl Claims {
    pub(crate) fn edits_of_text_cost_at_most(&self, most: usize) {
        let old: String = (0..4000)
            .map(|line| format!("line {line} of {}\n", line * 7919 % 1013))
            .collect();
        let new = old
            .replace("line 1000 of", "line 1000 now of")
            .replace(" 77\n", " seventy-seven\n");
        let (old, new) = (old.as_bytes(), new.as_bytes());
        let coded = self.coded(old, new);
        assert!(coded.len() <= most, "{} bytes", coded.len());
        assert!((self.slow)(old, &coded, new.len()).as_deref() == Some(new));
        assert!(self.decoded(old, &coded, new.len()).unwrap() == new);
    }

    pub(crate) fn nothing_is_coded_as_nothing(&self) {
        assert_eq!(self.coded(b"old", b""), b"");
        assert_eq!(self.decoded(b"old", b"", 0).unwrap(), b"");
    }

    pub(crate) fn an_unchanged_file_costs_at_most(&self, most: usize) {
        let old = noise(100_000, 3);
        let coded = self.coded(&old, &old);
        assert!(coded.len() <= most, "{} bytes", coded.len());
    }

    pub(crate) fn bytes_left_over_are_refused(&self) {
        let mut coded = self.coded(b"", b"some words, some of them some words again");
        // A decoder looks at most eight bytes ahead of what it needs.
        coded.extend([1; 9]);
        let refused = self.decoded(b"", &coded, 41);
        assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
    }

    pub(crate) fn a_history_beyond_the_limit_is_refused_at_once(&self) {
        for decoded_length in [1 << 31, 1 << 40, u64::MAX] {
            let frame = EncodedFrame {
                bytes: b"abc",
                offset: 0,
                decoded_length,
                max_window_bytes: 0,
            };
            let refused = self.codec.decode(b"", &frame, &mut |_| Ok(()));
            assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
            assert!(self.codec.decoding_memory(decoded_length, 0) >= decoded_length);
        }
    }

    pub(crate) fn damaged_frames_neither_panic_nor_grow(&self) {
        let old = noise(3000, 7);
        let mut new = old.clone();
        new.splice(1000..1010, noise(100, 9));
        new.extend_from_within(200..900);
        let coded = self.coded(&old, &new);
        let flipped = (0..coded.len() * 8).map(|at| {
            let mut damaged = coded.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            damaged
        });
        let shortened = (0..coded.len()).map(|length| coded[..length].to_vec());
        for damaged in flipped.chain(shortened) {
            if let Ok(decoded) = self.decoded(&old, &damaged, new.len()) {
                assert_eq!(decoded.len(), new.len());
            }
        }
    }

    pub(crate) fn a_stop_is_heard_while_decoding(&self) {
        let new = noise(PIECE_BYTES, 1).repeat(3);
        let coded = self.coded(b"", &new);
        let frame = frame(&coded, new.len());
        let mut pieces = 0;
        let stopped = self.codec.decode(b"", &frame, &mut |_| {
            pieces += 1;
            Err(Cancelled.into())
        });
        assert!(matches!(stopped, Err(DeltaError::Cancelled(Cancelled))));
        assert_eq!(pieces, 1);
    }

    pub(crate) fn a_stop_is_heard_while_encoding(&self) {
        let new = noise(PIECE_BYTES, 1).repeat(3);
        let stopped = self
            .codec
            .encode(b"", &new, Level::Default, &mut |_| Err(Cancelled));
        assert!(matches!(stopped, Err(EncodeError::Cancelled)));
    }

    pub(crate) fn what_is_coded_comes_back(&self, old: &[u8], new: &[u8]) -> TestCaseResult {
        let coded = self.coded(old, new);
        let slow = (self.slow)(old, &coded, new.len());
        prop_assert_eq!(slow.as_deref(), Some(new));
        prop_assert_eq!(self.decoded(old, &coded, new.len()).unwrap(), new);
        Ok(())
    }

    /// Of a long reference the end alone is guessed from.
    pub(crate) fn what_has_a_long_reference_comes_back(&self) -> TestCaseResult {
        let words = noise(4000, 3);
        let old = [&words[..], &vec![b'-'; 2 << 20], &words[..300]].concat();
        let mut new = words;
        for byte in new.iter_mut().step_by(9) {
            *byte ^= 1;
        }
        self.what_is_coded_comes_back(&old, &new)
    }

    pub(crate) fn any_bytes_decode_alike_or_are_refused(
        &self,
        old: &[u8],
        bytes: &[u8],
        length: usize,
    ) -> TestCaseResult {
        let fast = self.decoded(old, bytes, length).ok();
        if let Some(decoded) = &fast {
            prop_assert_eq!(decoded.len(), length);
        }
        prop_assert_eq!((self.slow)(old, bytes, length), fast);
        Ok(())
    }

    /// Frames that say they are as long as can be are refused, or go on until they are stopped.
    pub(crate) fn any_bytes_of_extreme_length_are_taken(
        &self,
        old: &[u8],
        bytes: &[u8],
    ) -> TestCaseResult {
        let frame = frame(bytes, MOST_HISTORY - old.len());
        let decoded = self
            .codec
            .decode(old, &frame, &mut |_| Err(Cancelled.into()));
        let is_refused = matches!(
            decoded,
            Err(DeltaError::Malformed { .. } | DeltaError::Cancelled(Cancelled))
        );
        prop_assert!(is_refused);
        Ok(())
    }

    /// `document` has the coded bytes of the steps that its example names.
    pub(crate) fn the_example_is_what_the_document_says<M: StepModel>(&self, document: &str) {
        let (old, new) = (b"Cells divide.", b"Cells divide, always.");
        let steps = [
            Step::Copy {
                length: 12,
                distance: 13,
            },
            Step::Literals(8),
            Step::Copy {
                length: 1,
                distance: 21,
            },
        ];
        let coded = encode(
            M::new(old, new.len(), 0),
            old,
            new,
            &steps,
            &[],
            &mut |_| Ok(()),
        )
        .unwrap();
        let hex: String = coded
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(document.contains(&format!("\n{hex}\n")), "{hex}");
        let slow = (self.slow)(old, &coded.bytes, new.len());
        assert_eq!(slow.as_deref(), Some(&new[..]));
        assert_eq!(self.decoded(old, &coded.bytes, new.len()).unwrap(), new);
    }

    fn coded(&self, reference: &[u8], new: &[u8]) -> Vec<u8> {
        let coded = self
            .codec
            .encode(reference, new, Level::Default, &mut |_| Ok(()));
        coded.unwrap()
    }

    fn decoded(
        &self,
        reference: &[u8],
        bytes: &[u8],
        length: usize,
    ) -> Result<Vec<u8>, DeltaError> {
        let mut new = Vec::new();
        let frame = frame(bytes, length);
        self.codec.decode(reference, &frame, &mut |piece| {
            new.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(new)
    }
}

/// A copy longer than a model can tell is told in parts.
pub(crate) fn the_longest_copies_come_back<M: StepModel>() {
    let length = 2 * MOST_COPIED + 1;
    let new = vec![b'a'; length + 1];
    let copy = Step::Copy {
        length,
        distance: 1,
    };
    let steps = [Step::Literals(1), copy];
    let middle = length / 2;
    let coded = encode(
        M::new(b"", new.len(), 0),
        b"",
        &new,
        &steps,
        &[middle],
        &mut |_| Ok(()),
    )
    .unwrap();
    assert!(coded.bytes.len() < 40, "{} bytes", coded.bytes.len());
    assert_eq!(coded.bits.len(), 1);
    let mut decoded = 0;
    let frame = frame(&coded.bytes, new.len());
    decode::<M>(b"", &frame, &mut |piece| {
        assert!(piece.iter().all(|byte| *byte == b'a'));
        decoded += piece.len();
        Ok(())
    })
    .unwrap();
    assert_eq!(decoded, new.len());
}

/// Whatever a frame decides, a model takes it, and leaves no symbol without a share of what follows.
pub(crate) fn any_decisions_are_taken<M: StepModel>(
    old: &[u8],
    manners: &[(Manner, u8)],
    seed: u64,
) -> TestCaseResult {
    let mut hostile = Hostile {
        manner: Manner::Any,
        state: seed,
    };
    let mut model = M::new(old, 1 << 20, 2);
    let mut new = Vec::new();
    for (manner, tokens) in manners {
        hostile.manner = *manner;
        for _ in 0..*tokens {
            let history = History {
                reference: old,
                new: &new,
            };
            let from = history.len();
            match model.token(&mut hostile, Token::Literal(0), history) {
                Token::Literal(byte) => new.push(byte),
                Token::Copy { length, distance } => {
                    if distance == 0 || distance > from || length > MOST_MADE - new.len() {
                        // A frame that says this is refused; another goes on from here.
                        model = M::new(old, 1 << 20, 2);
                        new.clear();
                        continue;
                    }
                    let start = new.len();
                    for _ in 0..length {
                        let history = History {
                            reference: old,
                            new: &new,
                        };
                        new.push(history.back(distance));
                    }
                    model.see_copied(&new[start..]);
                }
            }
        }
    }
    Ok(())
}

/// How a frame decides.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    Any,
    /// What is least likely, each time.
    Contrary,
    Likely,
    /// The lowest of all, and the highest.
    Lowest,
    Highest,
    /// Mostly what is likely, so that contexts are sure of it when they are disappointed.
    SometimesContrary,
}

pub(crate) fn manners() -> impl Strategy<Value = Vec<(Manner, u8)>> {
    let manner = prop_oneof![
        Just(Manner::Any),
        Just(Manner::Contrary),
        Just(Manner::Likely),
        Just(Manner::Lowest),
        Just(Manner::Highest),
        Just(Manner::SometimesContrary),
    ];
    prop::collection::vec((manner, any::<u8>()), 0..12)
}

/// Decides as its manner is.
struct Hostile {
    manner: Manner,
    state: u64,
}

impl Hostile {
    fn next(&mut self, below: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).unwrap() % below
    }

    /// Returns one of so many, which are so likely each.
    fn choose(&mut self, likely: &[u32]) -> usize {
        let mut places = 0..likely.len();
        let is_contrary = match self.manner {
            Manner::SometimesContrary => self.next(16) == 0,
            manner => matches!(manner, Manner::Contrary),
        };
        let chosen = match self.manner {
            Manner::Any => Some(self.next(likely.len())),
            Manner::Lowest => places.next(),
            Manner::Highest => places.last(),
            _ if is_contrary => places.min_by_key(|place| likely[*place]),
            _ => places.max_by_key(|place| likely[*place]),
        };
        chosen.unwrap()
    }
}

impl Coder for Hostile {
    fn bit(&mut self, _bit: bool, set: u32) -> bool {
        assert!(set > 0 && set < WHOLE);
        self.choose(&[WHOLE - set, set]) == 1
    }

    fn symbol(&mut self, _symbol: usize, starts: &[i16; SYMBOLS]) -> usize {
        assert_eq!(starts[0], 0);
        let ends = starts.iter().skip(1).map(|end| i32::from(*end));
        let shares: Vec<u32> = ends
            .chain([1 << 15])
            .zip(starts)
            .map(|(end, start)| u32::try_from(end - i32::from(*start)).unwrap())
            .collect();
        assert!(shares.iter().all(|share| *share > 0), "{starts:?}");
        self.choose(&shares)
    }

    fn plain(&mut self, _value: usize, bits: u32) -> usize {
        assert!(bits <= 16);
        let most = (1 << bits) - 1;
        match self.manner {
            Manner::Lowest => 0,
            Manner::Highest => most,
            _ => self.next(most + 1),
        }
    }
}

/// Old bytes, and new ones that are pieces of them and others.
pub(crate) fn related() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let byte = prop_oneof![Just(b'a'), Just(b' '), b'a'..b'h', any::<u8>()];
    let old = prop::collection::vec(byte.clone(), 0..3000);
    let fresh = prop::collection::vec(byte, 0..40);
    let pieces = prop::collection::vec((any::<u16>(), 0..400_usize, fresh), 0..12);
    (old, pieces).prop_map(|(old, pieces)| {
        let mut new = Vec::new();
        for (place, length, fresh) in pieces {
            let all = [&old[..], &new[..]].concat();
            let start = usize::from(place).min(all.len());
            let end = (start + length).min(all.len());
            new.extend_from_slice(&all[start..end]);
            new.extend(fresh);
        }
        (old, new)
    })
}

/// Old bytes that repeat, and any bytes for a frame.
pub(crate) fn forged() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let old = prop::collection::vec(0_u8..4, 0..3000);
    (old, prop::collection::vec(any::<u8>(), 0..600))
}

fn frame(bytes: &[u8], length: usize) -> EncodedFrame<'_> {
    EncodedFrame {
        bytes,
        offset: 0,
        decoded_length: length as u64,
        max_window_bytes: 0,
    }
}

/// Bytes that do not repeat.
pub(crate) fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// What a frame of any decisions makes, at most.
const MOST_MADE: usize = 1 << 20;
