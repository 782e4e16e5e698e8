//! What passes a device's memory is cut or left closed, never refused by the device.

#![allow(clippy::unwrap_used)]

mod support;

use diff_core::{DeltaStats, Limits};

use support::checks::{assert_below, counts, edited, round_trip, round_trip_within, text};
use support::containers::{Packed, zip};
use support::png::Picture;
use support::{MemoryTree, noise};

/// Returns the limits of a device whose frames are so many times smaller than usual.
fn lowered(times: u64) -> Limits {
    let mut limits = Limits::standard();
    limits.max_frame_bytes /= times;
    limits.max_reference_bytes /= times;
    limits
}

/// Makes the second content of the first in a device that keeps to `limits`.
fn within(limits: &Limits, old: &[u8], new: &[u8]) -> DeltaStats {
    let [old, new] = [old, new].map(|content| MemoryTree::new(&[("unit.bin", content)]));
    round_trip_within(limits, &old, &new)
}

/// Returns an archive of so many texts; `edit` says which of them get a sentence more.
fn archive(count: u64, words: usize, edit: impl Fn(u64) -> bool) -> Vec<u8> {
    let page = |seed| {
        let page = text(seed, words);
        if edit(seed) { edited(&page) } else { page }
    };
    let entry = |seed| (format!("{seed}.html"), page(seed), Packed::Deflated(6));
    let entries: Vec<_> = (0..count).map(entry).collect();
    zip(&entries)
}

#[test]
fn an_archive_that_no_group_holds_comes_out() {
    // A group has 384 KiB of old and new together, a frame 128 KiB against 224 KiB.
    let limits = lowered(64);
    let old = archive(12, 8000, |_| false);
    let stats = within(&limits, &old, &archive(12, 8000, |seed| seed % 5 == 0));
    assert_eq!(counts(&stats), [3, 9, 0]);
    assert_below(&stats, 1500);
    // Where all is new, it takes many frames.
    let others = archive(12, 8000, |_| true);
    let stats = within(&limits, &old, &others);
    assert_eq!(counts(&stats), [12, 0, 0]);
    assert!(stats.files[0].opened_bytes > 4 * (limits.max_frame_bytes / 8));
    assert_below(&stats, others.len() as u64 / 20);
}

#[test]
fn a_long_file_without_streams_is_cut_into_frames() {
    let limits = lowered(256);
    let old = noise(300_000, 1);
    let mut new = [&old[..100_000], &noise(700, 2), &old[100_000..]].concat();
    new[250_000] ^= 1;
    assert_below(&within(&limits, &old, &new), 1500);
    assert_below(&within(&limits, &new, &old), 1500);
}

fn screenshot(side: usize, seed: u64) -> Picture {
    let dots = noise(side * side, seed);
    let pixel = |at: usize| {
        let (row, column) = (at / side, at % side);
        if at.is_multiple_of(97) {
            dots[at] % 16
        } else {
            ((column / 40 + row / 10) % 16).to_le_bytes()[0]
        }
    };
    Picture {
        width: side,
        colours: 3,
        palette: noise(48, 3),
        alphas: vec![9],
        pixels: (0..side * side).map(pixel).collect(),
    }
}

/// Returns an archive of images, with texts around them.
fn gallery(images: &[Vec<u8>]) -> Vec<u8> {
    let entries = images.iter().enumerate().flat_map(|(number, image)| {
        let page = text(number as u64, 300);
        [
            (format!("{number}.html"), page, Packed::Deflated(6)),
            (format!("{number}.png"), image.clone(), Packed::Stored),
        ]
    });
    zip(&entries.collect::<Vec<_>>())
}

#[test]
fn windows_take_the_images_that_they_touch_whole() {
    let pictures: Vec<Picture> = (0..8).map(|seed| screenshot(150, seed)).collect();
    let changed = |picture: &Picture| {
        let mut picture = picture.clone();
        picture.pixels[7777] ^= 5;
        picture
    };
    let saved = |picture: &Picture| picture.png(&[1, 2], 6, 700);
    let old = gallery(&pictures.iter().map(saved).collect::<Vec<_>>());
    let limits = lowered(256);
    let new: Vec<_> = pictures
        .iter()
        .map(|picture| saved(&changed(picture)))
        .collect();
    let stats = within(&limits, &old, &gallery(&new));
    assert_eq!(counts(&stats), [8, 8, 0]);
    assert!(stats.files[0].opened_bytes > 5 * (limits.max_frame_bytes / 8));
    assert_below(&stats, 3000);
    // Their pixels get other colours on the way.
    let coloured: Vec<_> = pictures
        .iter()
        .map(|picture| saved(&changed(picture).in_colours()))
        .collect();
    let stats = within(&lowered(64), &old, &gallery(&coloured));
    assert_eq!(counts(&stats), [8, 8, 0]);
    within(&lowered(64), &gallery(&coloured), &old);
}

#[test]
fn an_image_that_no_device_holds_twice_stays_closed() {
    let picture = screenshot(700, 1).in_colours();
    let mut new = picture.clone();
    for at in (0..new.pixels.len()).step_by(100_003) {
        new.pixels[at] ^= 9;
    }
    let [old, new] = [picture, new].map(|picture| picture.png(&[1, 2], 6, 1 << 13));
    let mut limits = Limits::standard();
    assert_eq!(counts(&within(&limits, &old, &new)), [1, 0, 0]);
    limits.max_memory_bytes = 12 << 20;
    assert_eq!(counts(&within(&limits, &old, &new)), [0, 0, 0]);
}

#[test]
fn a_new_image_passes_by_where_no_device_holds_its_rows() {
    let picture = screenshot(700, 1).in_colours();
    let mut limits = Limits::standard();
    limits.max_stream_bytes = 100_000;
    let made = |limits: &Limits, level| {
        let stats = within(limits, b"nothing", &picture.png(&[1, 2], level, 1 << 13));
        counts(&stats)
    };
    for level in [1, 6, 9] {
        assert_eq!(made(&limits, level), [1, 0, 0]);
    }
    limits.max_image_bytes = 700 * 2000;
    assert_eq!(made(&limits, 6), [0, 0, 0]);
    // What may be held may be copied together.
    limits.max_stream_bytes = Limits::standard().max_stream_bytes;
    assert_eq!(made(&limits, 6), [1, 0, 0]);
}

#[test]
fn an_old_image_is_not_converted_into_more_than_a_device_holds() {
    let mut limits = Limits::standard();
    limits.max_stream_bytes = 100_000;
    let old = screenshot(200, 1);
    let new = screenshot(150, 1).in_colours();
    let stats = within(&limits, &old.png(&[1], 6, 500), &new.png(&[1], 6, 500));
    assert_eq!(counts(&stats), [1, 0, 0]);
}

#[test]
fn streams_above_a_devices_limit_stay_closed() {
    let mut limits = Limits::standard();
    let (old, new) = (
        archive(3, 2000, |_| false),
        archive(3, 2000, |seed| seed == 1),
    );
    assert_eq!(counts(&within(&limits, &old, &new)), [1, 2, 0]);
    limits.max_stream_bytes = 1000;
    assert_eq!(counts(&within(&limits, &old, &new)), [0; 3]);
}

#[test]
fn a_device_with_less_memory_gets_smaller_groups() {
    let files = |edit: bool| {
        let file = |seed| {
            let page = text(seed, 9000);
            (
                format!("{seed}.txt"),
                if edit { edited(&page) } else { page },
            )
        };
        MemoryTree::new(&(0..12).map(file).collect::<Vec<_>>())
    };
    let (old, new) = (files(false), files(true));
    let largest = |stats: DeltaStats| {
        let files = stats.files.iter().map(|file| file.group_files);
        files.max().unwrap()
    };
    assert_eq!(largest(round_trip(&old, &new)), 12);
    let mut limits = Limits::standard();
    limits.max_memory_bytes = 13 << 20;
    assert!(largest(round_trip_within(&limits, &old, &new)) < 9);
    assert!(largest(round_trip_within(&lowered(128), &old, &new)) < 3);
}

#[test]
fn what_several_files_have_is_coded_once_though_others_stand_between_them() {
    // One group has room for three such pages beside what they are coded against, where they share what is new.
    let limits = lowered(64);
    let pages = |changed: &dyn Fn(u64, Vec<u8>) -> Vec<u8>| {
        let page = |seed| (format!("{seed}.txt"), changed(seed, text(seed, 3000)));
        MemoryTree::new(&(10..31).map(page).collect::<Vec<_>>())
    };
    let told = text(1, 1500);
    let old = pages(&|_, page| page);
    let edits = pages(&|_, page| edited(&page));
    let telling = pages(&|seed, page| match seed % 10 {
        0 => [edited(&page), told.clone()].concat(),
        _ => edited(&page),
    });
    let bytes = |old: &MemoryTree, new: &MemoryTree| {
        let stats = round_trip_within(&limits, old, new);
        stats.delta_bytes
    };
    let nothing = MemoryTree::new::<&str, &[u8]>(&[]);
    let once = bytes(&nothing, &MemoryTree::new(&[("told.txt", &told)]));
    let more = bytes(&old, &telling) - bytes(&old, &edits);
    assert!(more < once + once / 2, "{more} bytes, once {once}");
}
