use proptest::prelude::*;

use super::*;
use crate::method::steps::claims::{self, Claims};

const CLAIMS: Claims = Claims {
    codec: &SOLID,
    slow: plain::decode,
};

#[test]
fn edits_of_text_cost_little_and_come_back() {
    CLAIMS.edits_of_text_cost_at_most(150);
}

#[test]
fn nothing_is_coded_as_nothing() {
    CLAIMS.nothing_is_coded_as_nothing();
}

#[test]
fn an_unchanged_file_is_a_few_bytes() {
    CLAIMS.an_unchanged_file_costs_at_most(12);
}

#[test]
fn a_frame_with_bytes_left_over_is_refused() {
    CLAIMS.bytes_left_over_are_refused();
}

#[test]
fn a_history_beyond_the_limit_is_refused_at_once() {
    CLAIMS.a_history_beyond_the_limit_is_refused_at_once();
}

#[test]
fn damaged_frames_neither_panic_nor_grow() {
    CLAIMS.damaged_frames_neither_panic_nor_grow();
}

#[test]
fn what_has_a_long_reference_comes_back() {
    CLAIMS.what_has_a_long_reference_comes_back().unwrap();
}

#[test]
fn a_stop_is_heard() {
    CLAIMS.a_stop_is_heard_while_decoding();
    CLAIMS.a_stop_is_heard_while_encoding();
}

#[test]
fn copies_that_are_too_long_to_tell_come_back() {
    claims::the_longest_copies_come_back::<Model>();
}

#[test]
fn the_example_of_the_format_is_what_it_says() {
    let document = include_str!("../../../../../docs/src/formats/solid.md");
    CLAIMS.the_example_is_what_the_document_says::<Model>(document);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_coded_comes_back(pair in claims::related()) {
        CLAIMS.what_is_coded_comes_back(&pair.0, &pair.1)?;
    }

    #[test]
    fn the_slow_decoder_says_the_same_of_any_bytes(pair in claims::forged()) {
        CLAIMS.any_bytes_decode_alike_or_are_refused(&pair.0, &pair.1, 2000)?;
    }

    #[test]
    fn any_bytes_of_extreme_length_are_taken(pair in claims::forged()) {
        CLAIMS.any_bytes_of_extreme_length_are_taken(&pair.0, &pair.1)?;
    }

    #[test]
    fn any_decisions_are_taken(
        old in prop::collection::vec(0_u8..4, 0..3000),
        manners in claims::manners(),
        seed: u64,
    ) {
        claims::any_decisions_are_taken::<Model>(&old, &manners, seed)?;
    }
}
