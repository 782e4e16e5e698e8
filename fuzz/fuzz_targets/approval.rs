//! What holders of keys are asked to sign: an approval or a proposal that is read is told in words, and
//! means the same when it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use publisher::{Approval, Proposal};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(approval) = Approval::parse("fuzz", bytes) {
        assert!(!approval.describe().is_empty());
        let mut again = Approval::parse("fuzz", &approval.encode()).expect("it is written well");
        again.merge(&approval).expect("it is the same");
        assert_eq!(again.signers(), approval.signers());
    }
    if let Ok(proposal) = Proposal::parse("fuzz", bytes) {
        let _ = (proposal.describe(), proposal.shortfalls());
        let mut again = Proposal::parse("fuzz", &proposal.encode()).expect("it is written well");
        again.merge(&proposal).expect("it is the same");
        assert_eq!(again.signatures(), proposal.signatures());
    }
});
