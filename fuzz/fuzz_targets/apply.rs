//! Applying any delta ends: in an error, or in exactly the files that its plan announces.
#![no_main]

mod golden_tree;
mod made;

use std::sync::atomic::{AtomicU64, Ordering};

use diff_core::{Applier, Delta, Limits, Progress, Tree};
use libfuzzer_sys::fuzz_target;

use golden_tree::GoldenTree;
use made::Made;

struct Written(AtomicU64);

impl Progress for Written {
    fn advanced(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let listing = GoldenTree::listing();
    let bytes = golden_tree::delta(bytes, &listing);
    let mut limits = Limits::standard();
    // A bomb within the limits is no finding: it only takes its time.
    limits.max_tree_bytes = 8 << 20;
    let Ok(delta) = Delta::parse(&bytes, &limits) else {
        return;
    };
    let Ok(plan) = delta.plan(&listing) else {
        return;
    };
    let old = Tree {
        listing: &listing,
        contents: &GoldenTree,
    };
    let written = Written(AtomicU64::new(0));
    let applier = Applier::new(&delta, &plan, old)
        .progress(&written)
        .threads(1);
    let made = applier.limits(limits).apply(&Made::default());
    let written = written.0.into_inner();
    assert!(written <= plan.built_bytes());
    if let Ok(made) = made {
        assert_eq!(written, plan.built_bytes());
        assert_eq!(made.entries().len(), plan.files().len());
    }
});
