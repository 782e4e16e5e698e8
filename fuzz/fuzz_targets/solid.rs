//! Any bytes that are taken for a frame of the method solid decode to what was announced, or are refused.
#![no_main]

mod container_tree;
mod forged;

use forged::{Fields, Forged, ForgedFrame, SOLID, Sources, applied, is_of_plan, limits};
use libfuzzer_sys::fuzz_target;

use container_tree::OLD;

// 1 byte: the old files of the reference; 2 bytes: the decoded length; the frame.
fuzz_target!(|bytes: &[u8]| {
    let mut fields = Fields(bytes);
    let files = fields.byte();
    let decoded = 1 + fields.short() as u64 % (1 << 13);
    let mut sources = Sources::default();
    for index in (0..OLD.files.len()).filter(|index| files >> index & 1 == 1) {
        sources.whole(index);
    }
    let forged = Forged {
        lengths: &[decoded],
        opened: None,
        frames: &[ForgedFrame {
            method: SOLID,
            sources: &sources,
            decoded,
            bytes: fields.rest(),
        }],
    };
    let (_, made) = applied(&OLD, &forged.delta(), &limits());
    assert!(!is_of_plan(&made), "the forged plan is refused");
    if let Ok(files) = made {
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].len() as u64, decoded);
    }
});
