use proptest::prelude::*;

use super::*;

/// Filtered rows of an image that is partly flat, partly noise.
fn image() -> impl Strategy<Value = (Rows, Samples, Vec<u8>)> {
    let shape = (
        prop::sample::select(vec![1, 2, 3, 4, 6, 8]),
        1..40_usize,
        0..30_usize,
    );
    let looks = (any::<bool>(), 0..=4_u8, 1..200_u8, any::<u64>());
    (shape, looks).prop_map(
        |((pixel, width, height), (are_numbers, filter, grain, seed))| {
            let rows = Rows {
                stride: width * pixel + 1,
                pixel,
            };
            let mut state = seed | 1;
            let mut plain = Vec::new();
            for row in 0..height {
                plain.push((filter + u8::try_from(row / 7).unwrap()) % 5);
                for at in 0..width * pixel {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let [.., noise] = (state >> 40).to_be_bytes();
                    plain.push(match (at / pixel / 5 + row / 5) % 3 {
                        0 => 0,
                        1 => u8::try_from(at % 7).unwrap(),
                        _ => noise % grain,
                    });
                }
            }
            let samples = if are_numbers || pixel > 1 {
                Samples::Numbers
            } else {
                Samples::Symbols
            };
            (rows, samples, plain)
        },
    )
}

fn decoded(
    coded: &[u8],
    length: usize,
    rows: Rows,
    samples: Samples,
) -> Result<Vec<u8>, DeltaError> {
    let mut decoder = RowsDecoder::new(coded, length as u64, rows, samples)?;
    let mut plain = Vec::new();
    while let Some(row) = decoder.next()? {
        plain.extend_from_slice(row);
    }
    Ok(plain)
}

fn encoded(plain: &[u8], rows: Rows, samples: Samples) -> Result<Vec<u8>, DeltaError> {
    encode(plain, rows, samples, &|| Ok(()))
}

/// An example of the format's document.
#[test]
fn the_example_is_right() {
    let rows = Rows {
        stride: 4,
        pixel: 1,
    };
    let plain = [0, 7, 7, 9, 2, 0, 0, 0];
    let coded = encoded(&plain, rows, Samples::Symbols).unwrap();
    let hex: String = coded.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ff87a168");
    assert_eq!(decoded(&coded, 8, rows, Samples::Symbols).unwrap(), plain);
}

#[test]
fn what_is_no_image_is_refused() {
    let refused = |coded: &[u8], length, rows, samples| {
        let plain = plain::decode(coded, length, rows, samples);
        let error = decoded(coded, length, rows, samples).unwrap_err();
        assert_eq!(plain, None, "{error}");
        error.to_string()
    };
    let rows = Rows {
        stride: 4,
        pixel: 1,
    };
    let parts = Rows {
        stride: 4,
        pixel: 2,
    };
    let wide = Rows {
        stride: 6,
        pixel: 5,
    };
    let two = Rows {
        stride: 5,
        pixel: 2,
    };
    let longer = [&[0xff, 0x87, 0xa1, 0x68], &[1; 40][..]].concat();
    for (error, part) in [
        (
            refused(&[], 9, rows, Samples::Symbols),
            "9 bytes are no whole rows of 4",
        ),
        (
            refused(&[], 8, parts, Samples::Numbers),
            "rows of 3 bytes hold no pixels of 2",
        ),
        (
            refused(&[], 12, wide, Samples::Numbers),
            "its pixels have 5 bytes",
        ),
        (
            refused(&[], 10, two, Samples::Symbols),
            "symbols have a byte each",
        ),
        (refused(&longer, 8, rows, Samples::Symbols), "left over"),
        (refused(&[], 8, rows, Samples::Symbols), "filter"),
    ] {
        assert!(error.contains(part), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_come_back((rows, samples, plain) in image()) {
        let coded = encoded(&plain, rows, samples).unwrap();
        let slowly = plain::decode(&coded, plain.len(), rows, samples);
        prop_assert_eq!(decoded(&coded, plain.len(), rows, samples).unwrap(), plain.clone());
        prop_assert_eq!(slowly, Some(plain));
    }

    #[test]
    fn any_bytes_are_rows_or_refused(
        coded: Vec<u8>, stride in 2..60_usize, pixel in 1..10_usize, length in 0..2000_usize, are_numbers: bool,
    ) {
        let samples = if are_numbers { Samples::Numbers } else { Samples::Symbols };
        let rows = Rows { stride, pixel };
        let plain = decoded(&coded, length, rows, samples);
        prop_assert_eq!(plain::decode(&coded, length, rows, samples), plain.as_ref().ok().cloned());
        if let Ok(plain) = plain {
            prop_assert_eq!(plain.len(), length);
            prop_assert!(rows.are(&plain));
        }
    }
}
