//! Whatever bytes a segment has, its chunks follow each other, none is empty or too long, and together
//! they are the segment; what looks like a package makes not many more of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use release_format::{Chunk, cut_points};

fuzz_target!(|bytes: &[u8]| {
    let (mut next, mut count) = (0, 0);
    for cut in cut_points(bytes) {
        assert!(cut.start == next && cut.end > next && cut.end <= bytes.len());
        assert!(cut.len() <= Chunk::MAX_LENGTH as usize);
        next = cut.end;
        count += 1;
    }
    assert_eq!(next, bytes.len());
    // Two for each member of a kibibyte, and those of 4 KiB.
    assert!(count <= bytes.len() / 512 + bytes.len() / 4096 + 2);
});
