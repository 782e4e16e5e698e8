//! A state record that is read means the same when it is written, and every transition from it leads
//! to a record that can be read; damage and foreign records are refused without a panic.
#![no_main]

use diff_core::Digest;
use libfuzzer_sys::fuzz_target;
use release_format::{Label, UtcTime};
use updater_client::library::identity::LibraryRecord;
use updater_client::library::state::{InstalledRelease, StateRecord};

fn reads_as_written(record: &StateRecord) {
    assert_eq!(StateRecord::decode(&record.encode()).as_ref(), Ok(record));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = LibraryRecord::decode(bytes) {
        assert_eq!(LibraryRecord::decode(&record.encode()), Ok(record));
    }
    let json = match bytes.windows(8).rposition(|window| window == b"\ndigest ") {
        Some(end) => &bytes[..=end],
        None => bytes,
    };
    // Nothing but this line keeps made-up records out; what is behind it has to stand by itself.
    let digested = [json, format!("digest {}\n", Digest::of(json)).as_bytes()].concat();
    let _ = StateRecord::decode(bytes);
    let Ok(record) = StateRecord::decode(&digested) else {
        return;
    };
    reads_as_written(&record);
    reads_as_written(&record.count_opening());
    let release = InstalledRelease {
        label: Label::parse("fuzz").expect("four letters are a label"),
        sequence: u64::from(bytes.len() as u32),
        manifest: Digest::of(bytes),
        tree_bytes: 0,
    };
    for next in [
        record.confirm(),
        record.fail("it does not open"),
        record.revert("somebody asked"),
        record.activate(release.clone(), 0),
        record.stage(release, 1),
        record.pin(None, true),
        record.unpin(None),
        record.hold("exam", UtcTime::from_seconds(0), UtcTime::from_seconds(60)),
        Ok(record.unhold(None)),
        Ok(record.unstage()),
    ]
    .into_iter()
    .flatten()
    {
        reads_as_written(&next);
        reads_as_written(&next.count_opening());
    }
});
