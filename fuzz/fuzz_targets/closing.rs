//! Any script over any opened bytes and any steps through old containers end: in an error, or in exactly
//! the files that were announced.
#![no_main]

mod container_tree;
mod forged;
mod made;

use forged::{Fields, Forged, ForgedFrame, STORE, Sources, applied, is_of_plan, limits, varint};
use libfuzzer_sys::fuzz_target;

use container_tree::OLD;

/// The old streams of the reference: gzip, zip, image, and the image without its filters.
const STREAMS: [(u8, usize, bool); 4] = [(1, 0, false), (2, 1, false), (4, 2, false), (8, 2, true)];
/// Steps of the input's own through an old file: 1 byte its index, 1 byte their length, they.
const OWN_STEPS: u8 = 16;
/// The script's length is the input's own as well.
const OWN_LENGTH: u8 = 32;
/// The content comes from two frames, the second of them without a reference.
const TWO_FRAMES: u8 = 64;

// 1 byte: bits as above; 1 byte: memory in KiB; 2 bytes each: lengths of two files, of which the second
// may be absent; what the bits ask for; 2 bytes and the script, unless its length is the input's own; the
// opened bytes.
fuzz_target!(|bytes: &[u8]| {
    let mut fields = Fields(bytes);
    let shape = fields.byte();
    let memory = u64::from(fields.byte()) << 10;
    let lengths = [fields.short() as u64, fields.short() as u64];
    let lengths = match lengths {
        [first, 0] => vec![first],
        lengths => lengths.into(),
    };
    let mut sources = Sources::default();
    for (bit, place, is_image) in STREAMS {
        if shape & bit != 0 {
            sources.stream(place, is_image);
        }
    }
    if shape & OWN_STEPS != 0 {
        let index = usize::from(fields.byte()) % OLD.files.len();
        let length = usize::from(fields.byte());
        sources.file(index, fields.slice(length));
    }
    let mut content = Vec::new();
    if shape & OWN_LENGTH == 0 {
        let length = fields.short();
        let script = fields.slice(length);
        varint(&mut content, script.len() as u64);
        content.extend_from_slice(script);
    }
    content.extend_from_slice(fields.rest());

    let two = shape & TWO_FRAMES != 0 && content.len() > 1;
    let middle = if two {
        content.len() / 2
    } else {
        content.len()
    };
    let (first, second) = content.split_at(middle);
    let none = Sources::default();
    let mut frames = vec![ForgedFrame {
        method: STORE,
        sources: &sources,
        decoded: first.len() as u64,
        bytes: first,
    }];
    if two {
        frames.push(ForgedFrame {
            method: STORE,
            sources: &none,
            decoded: second.len() as u64,
            bytes: second,
        });
    }
    let forged = Forged {
        lengths: &lengths,
        opened: Some(memory),
        frames: &frames,
    };
    let (_, made) = applied(&OLD, &forged.delta(), &limits());
    let is_own = shape & OWN_STEPS != 0 || content.len() < 2;
    assert!(is_own || !is_of_plan(&made), "the forged plan is refused");
    if let Ok(files) = made {
        let made = files.iter().map(|file| file.len() as u64);
        assert_eq!(made.sum::<u64>(), lengths.iter().sum());
    }
});
