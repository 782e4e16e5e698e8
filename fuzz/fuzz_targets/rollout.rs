//! A rollout that is read can be written, means the same then, and deals every device into a bucket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use release_format::{
    Asker, ClientVersion, ContentReference, DeviceId, DeviceLabels, FormatError, Rollout, UtcTime,
    Verified,
};

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
        let mut labels = DeviceLabels::default();
        for (key, values) in rollout.select.iter().take(DeviceLabels::MAX) {
            let value = values.first().expect("a key has a value");
            labels.set(key, value).expect("what is selected by is a label");
        }
        let asker = Asker {
            device,
            labels: &labels,
            client: ClientVersion::new(0, 1, 0),
            now: UtcTime::MAX,
        };
        let (decision, rulings) = rollout.explain(&asker);
        assert_eq!(rollout.decide(&asker), decision);
        assert!(!rulings.is_empty());
    }
});
