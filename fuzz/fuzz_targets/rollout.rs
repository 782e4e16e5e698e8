//! A rollout that is read can be written, means the same then, and deals every device into a bucket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use release_format::{ContentReference, DeviceId, FormatError, Rollout, Verified};

fn decode(bytes: &[u8]) -> Result<Rollout, FormatError> {
    let reference = ContentReference::of(bytes);
    let verified = Verified::new(bytes, &reference).expect("the reference is that of the bytes");
    Rollout::decode(&verified)
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(rollout) = decode(bytes) {
        let written = rollout.encode().expect("what is read can be written");
        assert_eq!(decode(&written).as_ref(), Ok(&rollout));
        let device = DeviceId::from_bytes([7; DeviceId::LENGTH]);
        assert!(rollout.bucket(&device) < 10_000);
        assert_eq!(rollout.decide(&device), rollout.decide(&device));
    }
});
