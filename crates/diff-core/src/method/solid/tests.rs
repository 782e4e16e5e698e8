use proptest::prelude::*;

use super::*;

#[test]
fn edits_of_text_cost_little_and_come_back() {
    let old: String = (0..4000)
        .map(|line| format!("line {line} of {}\n", line * 7919 % 1013))
        .collect();
    let new = old
        .replace("line 1000 of", "line 1000 now of")
        .replace(" 77\n", " seventy-seven\n");
    let coded = coded(old.as_bytes(), new.as_bytes());
    assert!(coded.len() < 150, "{} bytes", coded.len());
    let slow = plain::decode(old.as_bytes(), &coded, new.len());
    assert!(slow.as_deref() == Some(new.as_bytes()));
    assert_eq!(
        decoded(old.as_bytes(), &coded, new.len()).unwrap(),
        new.as_bytes()
    );
}

#[test]
fn nothing_is_coded_as_nothing() {
    assert_eq!(coded(b"old", b""), b"");
    assert_eq!(decoded(b"old", b"", 0).unwrap(), b"");
}

#[test]
fn an_unchanged_file_is_a_few_bytes() {
    let old = noise(100_000, 3);
    assert!(coded(&old, &old).len() < 12);
}

#[test]
fn a_frame_with_bytes_left_over_is_refused() {
    let mut coded = coded(b"", b"some words, some of them some words again");
    coded.extend([1; 5]);
    let refused = decoded(b"", &coded, 41);
    assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
}

#[test]
fn a_history_beyond_the_limit_is_refused_at_once() {
    let frame = EncodedFrame {
        bytes: b"abc",
        offset: 0,
        decoded_length: 1 << 40,
        max_window_bytes: 0,
    };
    let refused = Solid.decode(b"", &frame, &mut |_| Ok(()));
    assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
}

#[test]
fn damaged_frames_neither_panic_nor_grow() {
    let old = noise(3000, 7);
    let mut new = old.clone();
    new.splice(1000..1010, noise(100, 9));
    new.extend_from_within(200..900);
    let coded = coded(&old, &new);
    for at in 0..coded.len() * 8 {
        let mut damaged = coded.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        if let Ok(decoded) = decoded(&old, &damaged, new.len()) {
            assert_eq!(decoded.len(), new.len());
        }
    }
    for length in 0..coded.len() {
        if let Ok(decoded) = decoded(&old, &coded[..length], new.len()) {
            assert_eq!(decoded.len(), new.len());
        }
    }
}

#[test]
fn a_stop_is_heard_while_decoding() {
    let new = noise(PIECE_BYTES, 1).repeat(3);
    let coded = coded(b"", &new);
    let frame = frame(&coded, new.len());
    let mut pieces = 0;
    let stopped = Solid.decode(b"", &frame, &mut |_| {
        pieces += 1;
        Err(frame.malformed("enough"))
    });
    assert!(stopped.is_err());
    assert_eq!(pieces, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_coded_comes_back(pair in related()) {
        let (old, new) = pair;
        let coded = coded(&old, &new);
        prop_assert_eq!(plain::decode(&old, &coded, new.len()), Some(new.clone()));
        prop_assert_eq!(decoded(&old, &coded, new.len()).unwrap(), new);
    }

    #[test]
    fn the_slow_decoder_says_the_same_of_any_bytes(bytes: Vec<u8>, old in prop::collection::vec(0_u8..4, 0..3000)) {
        let fast = decoded(&old, &bytes, 2000).ok();
        prop_assert_eq!(plain::decode(&old, &bytes, 2000), fast);
    }

    #[test]
    fn any_bytes_decode_to_the_length_or_fail(bytes: Vec<u8>, old in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(decoded) = decoded(&old, &bytes, 5000) {
            prop_assert_eq!(decoded.len(), 5000);
        }
    }
}

/// Old bytes, and new ones that are pieces of them and others.
fn related() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
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

fn coded(reference: &[u8], new: &[u8]) -> Vec<u8> {
    Solid
        .encode(reference, new, Level::Default, &mut |_| Ok(()))
        .unwrap()
}

fn decoded(reference: &[u8], bytes: &[u8], length: usize) -> Result<Vec<u8>, DeltaError> {
    let mut new = Vec::new();
    Solid.decode(reference, &frame(bytes, length), &mut |piece| {
        new.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(new)
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
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn the_example_of_the_format_is_what_it_says() {
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
    let (coded, _) = Solid::encode_steps(old, new, &steps, &[], &mut |_| Ok(())).unwrap();
    let hex: String = coded.iter().map(|byte| format!("{byte:02x}")).collect();
    let document = include_str!("../../../../../docs/src/formats/solid.md");
    assert!(document.contains(&format!("\n{hex}\n")), "{hex}");
    assert_eq!(decoded(old, &coded, new.len()).unwrap(), new);
    assert_eq!(plain::decode(old, &coded, new.len()).unwrap(), new);
}
