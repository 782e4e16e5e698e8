//! A catalogue that is read can be written, and then means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use release_format::{Catalogue, ContentReference, FormatError, Verified};

fn decode(bytes: &[u8]) -> Result<Catalogue, FormatError> {
    let reference = ContentReference::of(bytes);
    let verified = Verified::new(bytes, &reference).expect("the reference is that of the bytes");
    Catalogue::decode(&verified)
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(catalogue) = decode(bytes) {
        let written = catalogue.encode().expect("what is read can be written");
        assert_eq!(decode(&written).as_ref(), Ok(&catalogue));
        assert_eq!(catalogue.encode().as_ref(), Ok(&written));
    }
});
