//! Trees in memory, and the two halves of a round trip.
#![allow(dead_code, reason = "each test that shares it uses its own part")]

pub(crate) mod checks;
pub(crate) mod containers;
pub(crate) mod forge;
pub(crate) mod forged;
pub(crate) mod png;
pub(crate) mod script;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use diff_core::{
    Applier, ContentPath, Contents, Delta, DeltaError, DeltaSummary, DiffError, Differ, Digest,
    Entry, FileBytes, Limits, Listing, Origin, PlannedFile, Sink, Tree,
};

/// A tree whose files are held in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryTree {
    pub(crate) listing: Listing,
    pub(crate) files: Vec<Vec<u8>>,
}

impl MemoryTree {
    pub(crate) fn new<P: AsRef<str>, C: AsRef<[u8]>>(files: &[(P, C)]) -> MemoryTree {
        let entry = |(path, content): &(P, C)| Entry {
            path: ContentPath::parse(path.as_ref()).unwrap(),
            length: content.as_ref().len() as u64,
            digest: Digest::of(content.as_ref()),
        };
        let entries = files.iter().map(entry).collect();
        let listing = Listing::new(entries, &Limits::standard()).unwrap();
        let content = |entry: &Entry| {
            let mut files = files.iter();
            let found = files.find(|(path, _)| path.as_ref() == entry.path.as_str());
            found.unwrap().1.as_ref().to_vec()
        };
        let files = listing.entries().iter().map(content).collect();
        MemoryTree { listing, files }
    }

    pub(crate) fn empty() -> MemoryTree {
        MemoryTree::new::<&str, &[u8]>(&[])
    }

    pub(crate) fn tree(&self) -> Tree<'_> {
        Tree {
            listing: &self.listing,
            contents: self,
        }
    }
}

impl Contents for MemoryTree {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        Ok(FileBytes::Owned(self.files[index].clone()))
    }
}

/// Keeps what is written to it, by the file's path.
#[derive(Default)]
pub(crate) struct MemorySink {
    files: Mutex<BTreeMap<String, Arc<Mutex<Vec<u8>>>>>,
}

struct MemoryFile(Arc<Mutex<Vec<u8>>>);

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for MemorySink {
    fn create(&self, _index: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let path = file.path.to_string();
        let before = self.files.lock().unwrap().insert(path, Arc::clone(&bytes));
        assert!(before.is_none(), "{} is made twice", file.path);
        Ok(Box::new(MemoryFile(bytes)))
    }

    fn read(&self, _index: usize, file: &PlannedFile) -> io::Result<FileBytes> {
        Ok(FileBytes::Owned(self.bytes(file.path.as_str())))
    }
}

impl MemorySink {
    pub(crate) fn paths(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap()[path].lock().unwrap().clone()
    }
}

pub(crate) fn diff(old: &MemoryTree, new: &MemoryTree) -> (Vec<u8>, DeltaSummary) {
    diff_with(Differ::new(old.tree(), new.tree())).unwrap()
}

pub(crate) fn diff_with(differ: Differ<'_>) -> Result<(Vec<u8>, DeltaSummary), DiffError> {
    let mut delta = Vec::new();
    let summary = differ.write_to(&mut delta)?;
    assert_eq!(summary.length, delta.len() as u64);
    Ok((delta, summary))
}

/// Applies `delta` to `old` and returns the complete new tree.
pub(crate) fn apply(old: &MemoryTree, delta: &[u8]) -> Result<MemoryTree, DeltaError> {
    apply_within(old, delta, &Limits::standard())
}

/// Applies `delta` to `old` on a device that keeps to `limits`.
pub(crate) fn apply_within(
    old: &MemoryTree,
    delta: &[u8],
    limits: &Limits,
) -> Result<MemoryTree, DeltaError> {
    let delta = Delta::parse(delta, limits)?;
    let plan = delta.plan(&old.listing)?;
    let sink = MemorySink::default();
    let applier = Applier::new(&delta, &plan, old.tree()).limits(limits.clone());
    let listing = applier.apply(&sink)?;
    let bytes = |file: &PlannedFile| match file.origin {
        Origin::Old(index) => old.files[index].clone(),
        Origin::SameAs(index) => sink.bytes(plan.files()[index].path.as_str()),
        Origin::Built => sink.bytes(file.path.as_str()),
    };
    let files = plan.files().iter().map(bytes).collect();
    Ok(MemoryTree { listing, files })
}

/// Bytes that no method makes smaller, the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    (0..length).map(next).collect()
}
