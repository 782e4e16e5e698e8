//! Bytes that are taken for a manifest are the one encoding of what they mean.
#![no_main]

use diff_core::Limits;
use libfuzzer_sys::fuzz_target;
use release_format::{ContentReference, Manifest, Verified};

fuzz_target!(|bytes: &[u8]| {
    let reference = ContentReference::of(bytes);
    let verified = Verified::new(bytes, &reference).expect("the reference is that of the bytes");
    if let Ok(manifest) = Manifest::decode(&verified, &Limits::standard()) {
        assert_eq!(manifest.encode(), bytes);
        assert_eq!(manifest.reference(), reference);
    }
});
