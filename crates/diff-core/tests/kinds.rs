//! Containers of every kind and form: opened where that is claimed, and exact in any case.

#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;

use support::checks::{assert_below, counts, edited, of_one_file, round_trip, text};
use support::containers::{
    Packed, ZipForm, deflate, foreign_deflate, gzip, pdf, tar, woff, zip_of, zlib,
};
use support::png::{Header, filtered};
use support::{MemoryTree, noise};

use Packed::{Deflated, Foreign, Stored};

/// The forms of zip archives that programs write.
fn forms() -> Vec<ZipForm> {
    let form = |is_64, has_descriptors| ZipForm {
        is_64,
        has_descriptors,
    };
    vec![
        form(false, false),
        form(false, true),
        form(true, false),
        form(true, true),
    ]
}

#[test]
fn archives_of_every_form_are_opened() {
    let pages = [text(1, 900), text(2, 900), text(3, 900)];
    for form in forms() {
        let packed = |page: &[u8]| {
            zip_of(
                form,
                &[
                    ("a.html", page, Deflated(6)),
                    ("b.html", &pages[1], Deflated(9)),
                    ("c.bin", &noise(500, 4), Stored),
                    ("d.html", &pages[2], Foreign),
                    ("void", b"", Stored),
                ],
            )
        };
        let stats = of_one_file("a.zip", &packed(&pages[0]), &packed(&edited(&pages[0])));
        assert_eq!(counts(&stats), [1, 2, 0], "{form:?}");
        assert_below(&stats, 500);
    }
}

#[test]
fn archives_in_archives_are_opened_whatever_their_forms() {
    let page = text(5, 900);
    for (inner, outer) in forms().into_iter().zip(forms().into_iter().rev()) {
        let packed = |page: &[u8], how| {
            let inner = zip_of(inner, &[("page.html", page, Deflated(6))]);
            zip_of(
                outer,
                &[("inner.zip", &inner, how), ("b", &noise(99, 1), Stored)],
            )
        };
        for (how, opened) in [(Stored, 1), (Deflated(6), 2)] {
            let (old, new) = (packed(&page, how), packed(&edited(&page), how));
            let stats = of_one_file("a.zip", &old, &new);
            assert_eq!(counts(&stats), [opened, 0, 0], "{inner:?} in {outer:?}");
            assert_below(&stats, 500);
        }
    }
}

#[test]
fn an_archive_that_gets_another_form_costs_its_headers() {
    let pages: Vec<Vec<u8>> = (0..4).map(|seed| text(seed, 600)).collect();
    let packed = |form| {
        let entries = pages.iter().zip(["a", "b", "c", "d"]);
        let entries: Vec<_> = entries
            .map(|(page, name)| (name, page, Deflated(6)))
            .collect();
        zip_of(form, &entries)
    };
    for (old, new) in forms().into_iter().zip(forms().into_iter().rev()) {
        let stats = of_one_file("a.zip", &packed(old), &packed(new));
        assert_eq!(counts(&stats), [0, 4, 0]);
        assert_below(&stats, 400);
    }
}

#[test]
fn tables_of_a_font_are_opened() {
    let tables = [text(1, 900), text(2, 500), noise(200, 3)];
    let font = |glyphs: &[u8]| {
        woff(
            &[("glyf", glyphs), ("name", &tables[1]), ("kern", &tables[2])],
            9,
        )
    };
    let stats = of_one_file("a.woff", &font(&tables[0]), &font(&edited(&tables[0])));
    assert_eq!(counts(&stats), [1, 1, 0]);
    assert_below(&stats, 400);
}

#[test]
fn files_of_a_packed_tar_are_opened_with_what_is_in_them() {
    let pages = [text(1, 900), text(2, 900)];
    let packed = |page: &[u8]| {
        let inner = gzip(page, &deflate(page, 6));
        let archive = tar(&[("a.html", &pages[1]), ("b.html.gz", &inner)]);
        gzip(&archive, &deflate(&archive, 6))
    };
    let stats = of_one_file("a.tgz", &packed(&pages[0]), &packed(&edited(&pages[0])));
    assert_eq!(counts(&stats), [2, 0, 0]);
    assert_below(&stats, 500);
}

#[test]
fn members_of_a_gzip_file_are_opened_one_by_one() {
    let pages = [text(1, 900), text(2, 900)];
    let member = |page: &[u8]| gzip(page, &deflate(page, 9));
    let packed = |page: &[u8]| [member(page), member(&pages[1])].concat();
    let stats = of_one_file("a.gz", &packed(&pages[0]), &packed(&edited(&pages[0])));
    assert_eq!(counts(&stats), [1, 1, 0]);
    assert_below(&stats, 400);
}

#[test]
fn streams_of_a_pdf_are_opened_under_text_of_any_width() {
    let pages = [text(1, 900), text(2, 900)];
    for width in [1, 60, 72, 255, 100_000] {
        let file = |page: &[u8]| pdf(&[(page, Some(width)), (&pages[1], None)], 9);
        let stats = of_one_file("a.pdf", &file(&pages[0]), &file(&edited(&pages[0])));
        assert_eq!(counts(&stats), [1, 1, 0], "{width}");
        assert_below(&stats, 500);
    }
}

type Encoder = fn(&[u8]) -> Vec<u8>;

#[test]
fn zlib_data_is_opened_in_any_file_and_by_any_encoder() {
    let page = text(1, 900);
    let encoders: [Encoder; 3] = [
        |page| deflate(page, 1),
        |page| deflate(page, 9),
        foreign_deflate,
    ];
    for encode in encoders {
        let file = |page: &[u8]| {
            let git = [b"blob\0", page].concat();
            let packed = zlib(&git, &encode(&git));
            [&noise(333, 1)[..], &packed, &packed, b"behind"].concat()
        };
        let stats = of_one_file("objects.pack", &file(&page), &file(&edited(&page)));
        assert_eq!(counts(&stats)[0], 2);
        assert_below(&stats, 600);
    }
}

/// Returns bytes of rows in which little changes from row to row.
fn pixels(row_bytes: usize, rows: usize) -> Vec<u8> {
    let dots = noise(row_bytes * rows, 8);
    let pixel = |at: usize| match dots[at] {
        dot @ 0..20 => dot,
        _ => (at % row_bytes / 9 * 37).to_le_bytes()[0],
    };
    (0..row_bytes * rows).map(pixel).collect()
}

/// Returns a PNG's chunks of zlib data, cut at `piece` bytes.
fn pieces(rows: &[u8], piece: usize) -> Vec<([u8; 4], Vec<u8>)> {
    let data = zlib(rows, &deflate(rows, 9));
    let pieces = data.chunks(piece);
    pieces.map(|piece| (*b"IDAT", piece.to_vec())).collect()
}

#[test]
fn images_of_every_depth_are_opened() {
    let (width, height) = (53, 40);
    for (colours, samples, depths) in [
        (0, 1, &[1, 2, 4, 8, 16][..]),
        (2, 3, &[8, 16]),
        (3, 1, &[1, 2, 4, 8]),
        (4, 2, &[8, 16]),
        (6, 4, &[8, 16]),
    ] {
        for depth in depths {
            let bits = samples * usize::from(*depth);
            let row_bytes = (width * bits).div_ceil(8);
            let header = Header {
                sides: [width, height],
                depth: *depth,
                colours,
                is_interlaced: false,
            };
            let file = |pixels: &[u8], filters: &[u8]| {
                let rows = filtered(pixels, row_bytes, (bits / 8).max(1), filters);
                header.file(&[vec![(*b"PLTE", noise(48, 1))], pieces(&rows, 100)].concat())
            };
            let old = pixels(row_bytes, height);
            let mut new = old.clone();
            new[old.len() / 2] ^= 0x55;
            // All of it is filtered otherwise: what matches are the pixels.
            let stats = of_one_file("a.png", &file(&old, &[1, 2]), &file(&new, &[2, 1, 0]));
            assert_eq!(counts(&stats), [1, 0, 0], "{colours} of {depth} bits");
            assert_below(&stats, 250);
        }
    }
}

#[test]
fn an_interlaced_image_is_opened_as_bytes() {
    let header = Header {
        sides: [40, 40],
        depth: 8,
        colours: 2,
        is_interlaced: true,
    };
    // The rows of the seven passes: their numbers and how many pixels they have.
    let passes = [
        (5, 5),
        (5, 5),
        (5, 10),
        (10, 10),
        (10, 20),
        (20, 20),
        (20, 40),
    ];
    let file = |changed: u8| {
        let mut rows = Vec::new();
        for (number, (count, width)) in passes.into_iter().enumerate() {
            let mut pass = pixels(3 * width, count);
            pass[number] ^= changed;
            rows.extend(filtered(&pass, 3 * width, 3, &[1, 2]));
        }
        header.file(&pieces(&rows, 300))
    };
    let stats = of_one_file("a.png", &file(0), &file(9));
    assert_eq!(counts(&stats), [1, 0, 0]);
    assert_below(&stats, 400);
}

#[test]
fn frames_of_an_animated_image_are_opened() {
    let header = Header {
        sides: [40, 40],
        depth: 8,
        colours: 2,
        is_interlaced: false,
    };
    let file = |changed: u8| {
        let mut first = pixels(120, 40);
        first[70] ^= changed;
        let rows = |pixels: &[u8]| filtered(pixels, 120, 3, &[1]);
        let mut second = first.clone();
        second[2000] ^= 3;
        let second = rows(&second);
        let data = [&[0, 0, 0, 2][..], &zlib(&second, &deflate(&second, 9))].concat();
        let control = vec![(*b"acTL", vec![0; 8]), (*b"fcTL", vec![0; 26])];
        let frame = vec![(*b"fcTL", vec![1; 26]), (*b"fdAT", data)];
        header.file(&[control, pieces(&rows(&first), 1 << 13), frame].concat())
    };
    let stats = of_one_file("a.png", &file(0), &file(9));
    assert_eq!(counts(&stats), [2, 0, 0]);
    assert_below(&stats, 300);
}

#[test]
fn an_image_cut_into_odd_chunks_stays_closed_and_comes_out() {
    let header = Header {
        sides: [40, 40],
        depth: 8,
        colours: 2,
        is_interlaced: false,
    };
    let file = |changed: u8| {
        let mut pixels = pixels(120, 40);
        pixels[70] ^= changed;
        let rows = filtered(&pixels, 120, 3, &[1]);
        let [(_, data)] = pieces(&rows, 1 << 16).try_into().unwrap();
        let (first, rest) = data.split_at(100);
        let (second, third) = rest.split_at(150);
        let chunks = [first, second, &[], third];
        header.file(&chunks.map(|data| (*b"IDAT", data.to_vec())))
    };
    let stats = of_one_file("a.png", &file(0), &file(9));
    assert_eq!(counts(&stats), [0, 0, 0]);
}

#[test]
fn images_that_say_what_is_not_so_come_out() {
    let rows = filtered(&pixels(120, 40), 120, 3, &[1]);
    for (sides, depth, colours) in [
        ([40, 41], 8, 2),
        ([41, 40], 8, 2),
        ([0, 0], 8, 2),
        ([40, 40], 3, 2),
        ([40, 40], 8, 7),
        ([0xffff_ffff, 0xffff_ffff], 16, 6),
    ] {
        let header = Header {
            sides,
            depth,
            colours,
            is_interlaced: false,
        };
        let stats = of_one_file("a.png", b"another", &header.file(&pieces(&rows, 300)));
        // The rows are unknown, the stream is not.
        assert_eq!(counts(&stats), [1, 0, 0], "{header:?}");
    }
}

/// One container of each kind.
fn container(kind: u8, seed: u64, words: usize) -> Vec<u8> {
    let (page, other) = (text(seed, words), text(seed + 1, 150));
    let gzipped = gzip(&page, &deflate(&page, 6));
    match kind {
        form @ 0..4 => zip_of(
            forms()[usize::from(form)],
            &[
                ("a.html", &page, Deflated(6)),
                ("b.gz", &gzipped, Stored),
                ("c.html", &other, Foreign),
            ],
        ),
        4 => {
            let archive = tar(&[("a.html", &page), ("b.gz", &gzipped)]);
            gzip(&archive, &deflate(&archive, 1))
        }
        5 => woff(&[("glyf", &page), ("name", &other)], 9),
        6 => pdf(&[(&page, Some(72)), (&other, None)], 6),
        7 => [noise(50, seed), zlib(&page, &foreign_deflate(&page))].concat(),
        _ => {
            let header = Header {
                sides: [words, 20],
                depth: 8,
                colours: 2,
                is_interlaced: seed == 0,
            };
            let rows = filtered(&pixels(3 * words, 20), 3 * words, 3, &[1, 2, 0]);
            header.file(&pieces(&rows, 200))
        }
    }
}

/// What happens to bytes on the way: a bit turns, the rest is lost, a part is lost, doubled or zeroed.
fn damage(file: &mut Vec<u8>, kind: u8, place: usize, length: usize) {
    let start = place % file.len();
    let end = file.len().min(start + length);
    match kind {
        0 => file[start] ^= 1 << (length % 8),
        1 => file.truncate(start.max(1)),
        2 => drop(file.drain(start.max(1)..end.max(start.max(1)))),
        3 => {
            let part = file[start..end].to_vec();
            file.splice(start..start, part);
        }
        _ => file[start..end].fill(0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn damaged_containers_come_out(
        files in prop::collection::vec((0..9_u8, 0..3_u64, 30..300_usize), 1..4),
        damages in prop::collection::vec(
            (any::<bool>(), any::<usize>(), 0..5_u8, any::<usize>(), 1..200_usize), 1..6,
        ),
    ) {
        let made = |(number, (kind, seed, words)): (usize, &(u8, u64, usize))| {
            (format!("{number}.bin"), container(*kind, *seed, *words))
        };
        let mut old: Vec<(String, Vec<u8>)> = files.iter().enumerate().map(made).collect();
        let mut new = old.clone();
        for (is_old, file, kind, place, length) in damages {
            let tree = if is_old { &mut old } else { &mut new };
            let file = file % tree.len();
            damage(&mut tree[file].1, kind, place, length);
        }
        round_trip(&MemoryTree::new(&old), &MemoryTree::new(&new));
    }
}
