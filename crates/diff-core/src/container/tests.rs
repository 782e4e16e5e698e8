use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use proptest::prelude::*;

use super::ascii85::LineEnd;
use super::ascii85::Lines;
use super::*;
use crate::wire::Reader;

/// Returns text that deflate makes shorter, another for each seed.
fn text(seed: u32, words: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut text = Vec::new();
    for _ in 0..words {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend(format!("lesson {} ", state >> 20).bytes());
    }
    text
}

/// Returns what a wrapper makes of a plaintext, the deflate data passing in small pieces.
fn wrap(wrapper: Wrapper, plain: &[u8], deflate: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let mut wrapping = Wrapping::new(wrapper);
    for piece in deflate.chunks(7) {
        wrapping.write(piece, &mut out).unwrap();
    }
    wrapping.finish(adler32(plain), &mut out).unwrap();
    bytes
}

fn le32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_le_bytes()
}

/// Returns an entry of a zip, its CRC-32 in front or, with a descriptor, behind.
fn entry(name: &str, plain: &[u8], method: u16, descriptor: Option<&[u8]>) -> Vec<u8> {
    let data = match method {
        8 => compress_to_vec(plain, 6),
        _ => plain.to_vec(),
    };
    let crc = crc32fast::hash(plain).to_le_bytes();
    let [length, plain_length] = [data.len(), plain.len()].map(le32);
    let mut bytes = b"PK\x03\x04\x14\0".to_vec();
    bytes.extend(if descriptor.is_some() { 8_u16 } else { 0 }.to_le_bytes());
    bytes.extend(method.to_le_bytes());
    bytes.extend([0x21, 0x50, 0x65, 0x50]);
    let fields = [crc, length, plain_length].concat();
    bytes.extend(if descriptor.is_some() {
        vec![0; 12]
    } else {
        fields.clone()
    });
    bytes.extend(le32(name.len()).into_iter().take(2));
    bytes.extend([0, 0]);
    bytes.extend(name.bytes());
    bytes.extend(data);
    if let Some(signature) = descriptor {
        bytes.extend(signature);
        bytes.extend(fields);
    }
    bytes
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03lesson.svg\0".to_vec();
    bytes.extend(compress_to_vec(plain, 6));
    bytes.extend(crc32fast::hash(plain).to_le_bytes());
    bytes.extend(le32(plain.len()));
    bytes
}

/// Returns the plaintext of a grey image of 63 pixels a row, and a PNG of it.
fn png(piece: u32) -> (Vec<u8>, Vec<u8>) {
    let mut plain: Vec<u8> = text(9, 800).into_iter().take(64 * 80).collect();
    for (row, filter) in plain.chunks_mut(64).zip((0..5).cycle()) {
        row[0] = filter;
    }
    assert_eq!(plain.len(), 64 * 80);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x3f\0\0\0\x50\x08\0\0\0\0crc.".to_vec();
    let wrapper = Wrapper::Idat {
        header: [0x78, 0xda],
        piece,
    };
    bytes.extend(wrap(wrapper, &plain, &compress_to_vec(&plain, 9)));
    bytes.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    (plain, bytes)
}

fn pdf(plain: &[u8]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n1 0 obj\n<</Filter/FlateDecode>>\nstream\r\n".to_vec();
    bytes.extend(compress_to_vec_zlib(plain, 6));
    bytes
        .extend(b"\nendstream\nendobj\n2 0 obj\n<</Filter[/ASCII85Decode/FlateDecode]>>\nstream\n");
    let lines = Lines {
        width: 65,
        end: LineEnd::Lf,
        closing_line: true,
    };
    let wrapper = Wrapper::Ascii85 {
        header: [0x48, 0x89],
        lines,
    };
    bytes.extend(wrap(wrapper, plain, &compress_to_vec(plain, 6)));
    bytes.extend(b"\nendstream\nendobj\nstream\n\x48\x89");
    bytes.extend(compress_to_vec(plain, 6));
    bytes.extend(b"\nendstream\nendobj\n");
    bytes
}

fn opened(file: &[u8]) -> Vec<Stream> {
    let streams = open(file, &OpeningLimits::of(64 << 20));
    check(file, &streams, 3);
    streams
}

/// Asserts what holds for the streams of any file: in order, in bounds, and each comes back.
fn check(file: &[u8], streams: &[Stream], depth: u32) {
    let mut free = 0;
    for stream in streams {
        assert!(depth > 0 && stream.range.start >= free && stream.range.end <= file.len());
        free = stream.range.end;
        let mut plain = Vec::new();
        let shape = stream.wrapper.shape();
        let length = stream.plain.len() as u64;
        let unwrapped = unwrap(shape, file, stream.range.start, length, &mut |piece| {
            plain.extend_from_slice(piece);
            Ok(())
        });
        assert_eq!(unwrapped.unwrap().end, stream.range.end);
        assert_eq!(plain, stream.plain);
        let mut encoded = Vec::new();
        stream.wrapper.encode(&mut encoded);
        let mut reader = Reader::new("test", &encoded);
        let wrapper = Wrapper::decode(&mut reader, u8::MAX).unwrap();
        assert!(reader.finish().is_ok());
        let deflate = stream.compressed(file).unwrap();
        assert_eq!(wrap(wrapper, &plain, &deflate), file[stream.range.clone()]);
        check(&stream.plain, &stream.inner, depth - 1);
    }
}

fn plains(streams: &[Stream]) -> Vec<&[u8]> {
    streams
        .iter()
        .map(|stream| stream.plain.as_slice())
        .collect()
}

#[test]
fn entries_of_a_zip_are_opened_with_and_without_descriptors_and_directory() {
    let [a, b, c] = [text(1, 50), text(2, 60), text(3, 70)];
    let mut zip = b"#!/bin/sh\n".to_vec();
    zip.extend(entry("a.html", &a, 8, None));
    zip.extend(b"between");
    zip.extend(entry("b.html", &b, 8, Some(b"PK\x07\x08")));
    zip.extend(entry("c.html", &c, 8, Some(b"")));
    assert_eq!(plains(&opened(&zip)), [&a, &b, &c]);
}

#[test]
fn containers_stored_in_a_zip_are_opened_where_they_stand() {
    let (rows, image) = png(512);
    let page = text(4, 90);
    let mut zip = entry("image.png", &image, 0, None);
    zip.extend(entry("page.svgz", &gzip(&page), 0, None));
    let streams = opened(&zip);
    assert_eq!(plains(&streams), [&rows, &page]);
    assert_eq!(
        streams[0].image.as_ref().map(|image| image.rows),
        Some(Rows {
            stride: 64,
            pixel: 1
        })
    );
}

#[test]
fn containers_deflated_in_others_are_opened_inside_them() {
    let page = text(5, 90);
    let zip = entry("inner.zip", &entry("page.html", &page, 8, None), 8, None);
    let file = gzip(&zip);
    let streams = opened(&file);
    assert_eq!(plains(&streams), [&zip]);
    assert_eq!(streams[0].inner[0].inner[0].plain, page);
}

#[test]
fn chunks_of_an_image_are_opened_if_all_but_the_last_are_equal() {
    for piece in [1, 2, 3, 100, 1 << 20] {
        let (rows, image) = png(piece);
        assert_eq!(plains(&opened(&image)), [&rows], "{piece}");
    }
    let (_, mut image) = png(100);
    let crc = image.windows(4).position(|name| name == b"IDAT").unwrap() + 104;
    image[crc] ^= 1;
    assert_eq!(opened(&image), []);
}

#[test]
fn a_chunk_that_is_not_kept_must_be_filled() {
    let wrapper = Wrapper::Idat {
        header: [0x78, 0x9c],
        piece: (1 << 20) + 1,
    };
    let mut wrapping = Wrapping::new(wrapper);
    wrapping.write(&[0; 1 << 20], &mut |_| Ok(())).unwrap();
    let refused = wrapping.finish(1, &mut |_| Ok(()));
    assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
}

#[test]
fn streams_of_a_pdf_are_opened_as_text_and_without_adler_too() {
    let plain = text(6, 100);
    let file = pdf(&plain);
    let streams = opened(&file);
    assert_eq!(plains(&streams), [&plain, &plain, &plain]);
    let shapes: Vec<Shape> = streams
        .iter()
        .map(|stream| stream.wrapper.shape())
        .collect();
    assert_eq!(shapes, [Shape::Zlib, Shape::Ascii85, Shape::Raw]);
}

#[test]
fn ascii85_text_comes_back_whatever_its_lines() {
    let plain = text(7, 100);
    let deflate = compress_to_vec(&plain, 6);
    for width in [0, 1, 5, 64, 72] {
        for end in [LineEnd::Lf, LineEnd::CrLf, LineEnd::Cr] {
            for closing_line in [false, true] {
                let lines = Lines {
                    width,
                    end,
                    closing_line,
                };
                let wrapper = Wrapper::Ascii85 {
                    header: [0x78, 0x9c],
                    lines,
                };
                let mut file = b"<</Filter[/A85/Fl]>>stream\n".to_vec();
                file.extend(wrap(wrapper, &plain, &deflate));
                let streams = opened(&file);
                assert_eq!(plains(&streams), [&plain]);
                if width > 0 {
                    assert_eq!(streams[0].wrapper, wrapper);
                }
            }
        }
    }
}

#[test]
fn zlib_streams_in_a_font_or_any_file_are_opened_by_trial() {
    let [glyphs, names] = [text(8, 300), text(9, 40)];
    let mut file = b"wOFF\0\x01\0\0".to_vec();
    for table in [&glyphs, &names] {
        file.extend(compress_to_vec_zlib(table, 9));
        file.extend([0; 3]);
    }
    assert_eq!(plains(&opened(&file)), [&glyphs, &names]);
    file[40] ^= 1;
    assert_eq!(
        opened(&file).len(),
        1,
        "a wrong Adler-32 leaves a stream closed"
    );
}

#[test]
fn what_is_encrypted_long_short_or_too_much_stays_closed() {
    let page = text(10, 400);
    let mut encrypted = entry("a", &page, 8, None);
    encrypted[6] |= 1;
    assert_eq!(opened(&encrypted), []);
    assert_eq!(opened(&entry("a", b"short", 8, None)), []);
    let two = [entry("a", &page, 8, None), entry("b", &page, 8, None)].concat();
    let length = page.len() as u64;
    let open_within = |limits: OpeningLimits| open(&two, &limits).len();
    let limits = OpeningLimits::of(2 * length);
    assert_eq!(open_within(limits), 2);
    assert_eq!(open_within(OpeningLimits::of(2 * length - 1)), 1);
    assert_eq!(
        open_within(OpeningLimits {
            max_streams: 1,
            ..limits
        }),
        1
    );
    assert_eq!(
        open_within(OpeningLimits {
            max_stream_bytes: length - 1,
            ..limits
        }),
        0
    );
    assert_eq!(
        open_within(OpeningLimits {
            max_depth: 0,
            ..limits
        }),
        0
    );
}

#[test]
fn starts_of_streams_without_end_cost_linear_time() {
    let starts: [&[u8]; 5] = [
        b"\x78\x9c\0\0\0\xff\xff",
        b"PK\x03\x04\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff",
        b"\x1f\x8b\x08\x18aaaa",
        b"/A85 stream\n!!!!",
        b"\0\0\0\0IDAT\0\0\0\0",
    ];
    for start in starts {
        assert_eq!(opened(&start.repeat(200_000)), []);
    }
}

#[test]
fn an_unwrapped_stream_has_exactly_the_declared_length() {
    let page = text(11, 400);
    let file = compress_to_vec_zlib(&page, 6);
    for wrong in [page.len() as u64 - 1, page.len() as u64 + 1] {
        let mut made = 0;
        let refused = unwrap(Shape::Zlib, &file, 0, wrong, &mut |piece| {
            made += piece.len() as u64;
            Ok(())
        });
        assert!(matches!(refused, Err(DeltaError::Malformed { .. })));
        assert!(made <= wrong);
    }
}

#[test]
fn wrappers_that_no_publisher_writes_are_refused() {
    for bytes in [
        &[4][..],
        &[0x15],
        &[0x02, 0],
        &[0x0b, 0, 3],
        &[0x0b, 0, 8],
        &[0x11, 0x78],
    ] {
        let refused = Wrapper::decode(&mut Reader::new("test", bytes), u8::MAX);
        assert!(
            matches!(refused, Err(DeltaError::Malformed { .. })),
            "{bytes:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_containers_open_to_streams_that_come_back(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut: prop::sample::Index,
    ) {
        let page = text(12, 120);
        let mut file = [
            entry("a", &pdf(&page), 8, None),
            entry("b", &png(300).1, 0, Some(b"PK\x07\x08")),
            gzip(&entry("c", &page, 8, Some(b""))),
            pdf(&page),
        ].concat();
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        opened(&file);
        file.truncate(cut.index(file.len()));
        opened(&file);
    }

    #[test]
    fn any_bytes_unwrap_to_something_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        number: u8,
    ) {
        let shape = Shape::of_number(number);
        let _ = unwrap(shape, &bytes, 0, 1000, &mut |_| Ok(()));
        let _ = compressed(shape, &bytes, 0..bytes.len());
        let _ = Wrapper::decode(&mut Reader::new("test", &bytes), u8::MAX);
    }
}
