//! A receipt that is read was signed and is written as it was; a request of any bytes is answered line by
//! line, within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use release_format::{DeviceKey, Receipted, SignedReceipt, otlp_logs, receipts_of};

fn reads_as_written(receipt: &SignedReceipt) {
    assert_eq!(
        SignedReceipt::decode(&receipt.encode()).as_ref(),
        Ok(receipt)
    );
}

fuzz_target!(|bytes: &[u8]| {
    let key = DeviceKey::from_seed(&[7; DeviceKey::SEED_LENGTH]);
    if let Ok(receipt) = SignedReceipt::decode(bytes) {
        reads_as_written(&receipt);
        let mut own = receipt.receipt().clone();
        own.device = key.id();
        let signed = key.sign(own).expect("what is read can be signed");
        reads_as_written(&signed);
        assert!(!otlp_logs(&[receipt, signed]).is_empty());
    }
    let (receipts, answer) = receipts_of(bytes);
    assert!(receipts.len() <= Receipted::MAX_RECEIPTS);
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty()).count();
    assert!(receipts.len() + answer.refused.len() <= lines);
    if let Some(answer) = Receipted::decode(bytes) {
        assert_eq!(Receipted::decode(&answer.encode()), Some(answer));
    }
});
