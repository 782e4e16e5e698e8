//! Whatever bytes are taken for an archive, the chunks that they yield are the ones asked for.
#![no_main]

use diff_core::Digest;
use libfuzzer_sys::fuzz_target;
use release_format::{Archive, ContentReference, Verified};

fuzz_target!(|bytes: &[u8]| {
    let reference = ContentReference::of(bytes);
    let verified = Verified::new(bytes, &reference).expect("the reference is that of the bytes");
    if let Ok(archive) = Archive::decode(verified) {
        for stored in archive.chunks() {
            let digest = stored.chunk.digest();
            assert_eq!(archive.find(&digest), Some(stored));
            if let Some(Ok(chunk)) = archive.read(&digest) {
                assert_eq!(Digest::of(&chunk), digest);
                assert_eq!(chunk.len() as u64, u64::from(stored.chunk.length()));
            }
        }
    }
});
