//! Bytes that are taken for a chunk map are the one encoding of what they mean, and their chunks cover
//! the byte stream without a gap.
#![no_main]

use diff_core::Limits;
use libfuzzer_sys::fuzz_target;
use release_format::{ChunkMap, ContentReference, Verified};

fuzz_target!(|bytes: &[u8]| {
    let reference = ContentReference::of(bytes);
    let verified = Verified::new(bytes, &reference).expect("the reference is that of the bytes");
    if let Ok(map) = ChunkMap::decode(&verified, &Limits::standard()) {
        assert_eq!(map.encode(), bytes);
        let mut end = 0;
        for (start, place) in map.spanning(0..map.total_bytes()) {
            assert_eq!(start, end);
            end += u64::from(place.chunk.length());
            let archive = map.archive_of(place).expect("a chunk lies in an archive");
            assert!(place.range().end <= archive.length);
        }
        assert_eq!(end, map.total_bytes());
    }
});
