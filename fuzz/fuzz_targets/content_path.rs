//! A content path that is accepted stays below the folder that it is joined to.
#![no_main]

use std::path::Path;

use diff_core::ContentPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(path) = ContentPath::parse(text) {
        let root = Path::new("library");
        let joined = path.under(root);
        assert!(joined.starts_with(root));
        assert_eq!(joined.components().count(), 1 + path.components().count());
        assert_eq!(ContentPath::parse(path.as_str()).as_ref(), Ok(&path));
    }
});
