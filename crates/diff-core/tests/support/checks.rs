//! Round trips of trees of containers, and what became of their streams.

use diff_core::{DeltaStats, Differ, Limits, StreamCounts};

use super::{MemoryTree, apply_within, diff_with, noise};

/// Returns text of its own for each seed, which deflate makes about three times shorter.
pub(crate) fn text(seed: u64, words: usize) -> Vec<u8> {
    let choices = [
        "cells", "divide", "and", "lesson", "water", "light", "grows", "the", "leaf",
    ];
    let mut text = Vec::new();
    for (number, byte) in noise(words, seed).into_iter().enumerate() {
        let word = choices[usize::from(byte) % choices.len()];
        text.extend(format!("{word}{} ", usize::from(byte) * number % 97).bytes());
    }
    text
}

/// Returns a text with one sentence more in its midst.
pub(crate) fn edited(text: &[u8]) -> Vec<u8> {
    let (before, behind) = text.split_at(text.len() / 2);
    [before, b"A sentence that nobody wrote before. ", behind].concat()
}

/// Applies the delta of two trees, and returns what the delta is.
pub(crate) fn round_trip(old: &MemoryTree, new: &MemoryTree) -> DeltaStats {
    round_trip_within(&Limits::standard(), old, new)
}

/// The same for devices that keep to `limits`.
pub(crate) fn round_trip_within(limits: &Limits, old: &MemoryTree, new: &MemoryTree) -> DeltaStats {
    let differ = Differ::new(old.tree(), new.tree()).limits(limits.clone());
    let (delta, summary) = diff_with(differ).unwrap();
    let made = apply_within(old, &delta, limits).unwrap();
    assert_eq!(made.listing, new.listing);
    assert!(made.files == new.files);
    assert_eq!(summary.stats.delta_bytes, delta.len() as u64);
    summary.stats
}

pub(crate) fn of_one_file(path: &str, old: &[u8], new: &[u8]) -> DeltaStats {
    round_trip(
        &MemoryTree::new(&[(path, old)]),
        &MemoryTree::new(&[(path, new)]),
    )
}

pub(crate) fn counts(stats: &DeltaStats) -> [u64; 3] {
    let all = stats.files.iter().map(|file| file.streams);
    all.fold([0; 3], |[opened, copied, closed], streams: StreamCounts| {
        [
            opened + streams.opened,
            copied + streams.copied,
            closed + streams.closed,
        ]
    })
}

#[track_caller]
pub(crate) fn assert_below(stats: &DeltaStats, most: u64) {
    assert!(stats.delta_bytes < most, "{} bytes", stats.delta_bytes);
}
