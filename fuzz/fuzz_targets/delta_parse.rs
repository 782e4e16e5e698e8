//! A plan that is accepted describes a tree that can be installed, out of old files that exist.
#![no_main]

mod golden_tree;

use diff_core::{Delta, Limits, Origin};
use libfuzzer_sys::fuzz_target;

use golden_tree::GoldenTree;

fuzz_target!(|bytes: &[u8]| {
    let old = GoldenTree::listing();
    let bytes = golden_tree::delta(bytes, &old);
    let limits = Limits::standard();
    let Ok(delta) = Delta::parse(&bytes, &limits) else {
        return;
    };
    let Ok(plan) = delta.plan(&old) else {
        return;
    };
    let files = plan.files();
    assert!(files.is_sorted_by(|a, b| a.path < b.path));
    for file in files {
        match file.origin {
            Origin::Old(index) => assert_eq!(old.entries()[index].length, file.length),
            Origin::SameAs(index) => {
                assert_eq!(files[index].origin, Origin::Built);
                assert_eq!(files[index].length, file.length);
            }
            Origin::Built => assert!(file.length <= limits.max_file_bytes),
        }
    }
    assert!(plan.built_bytes() <= limits.max_tree_bytes);
});
