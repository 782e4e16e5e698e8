//! Whatever a patch claims, it leads to the bytes that were asked for or to none; and one that is made
//! leads where it was made to lead.
#![no_main]

use libfuzzer_sys::fuzz_target;
use release_format::{Patch, Patches};

fuzz_target!(|input: (&[u8], &[u8], u16)| {
    let (old, patch, length) = input;
    let length = u64::from(length);
    for from in [Patch::FROM_NOTHING, Patch::from_old(old)] {
        if let Ok(new) = from.apply(patch, length) {
            assert_eq!(new.len() as u64, length);
            let made = from.make(&new).expect("anything can be led to");
            assert_eq!(from.apply(&made, length).as_ref(), Ok(&new));
        }
        let made = from.make(patch).expect("anything can be led to");
        let led = from.apply(&made, patch.len() as u64);
        assert_eq!(led.as_deref(), Ok(patch));
    }
    let patches: Patches = serde_json::from_slice(patch).unwrap_or_default();
    if let Some(listed) = patches.shortest(Some(old), ("ab", length)) {
        assert!(listed.length < length);
        assert!(listed.location.starts_with("metadata/patches/ab"));
    }
});
