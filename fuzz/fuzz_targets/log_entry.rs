//! An entry of the log that is read means the same when it is written, and names places inside the
//! repository alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use release_format::{LogEntry, RoleDraft};

fuzz_target!(|bytes: &[u8]| {
    let parse = |bytes: &[u8]| RoleDraft::<LogEntry>::parse("entry", bytes, LogEntry::MAX_BYTES);
    let Ok(draft) = parse(bytes) else {
        return;
    };
    let again = parse(&draft.encode()).expect("what is read can be written");
    assert_eq!(again.body(), draft.body());
    let entry = draft.body();
    let location = LogEntry::location(entry.number);
    assert!(location.starts_with("audit/") && !location.contains(".."));
    let _ = entry.subject.is_empty();
    for target in entry.targets.values() {
        let _ = target.rollout_bytes();
    }
});
