use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use diff_core::{CancelToken, ContentPath, Digest, Entry};
use release_format::Manifest;

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::disk::{Disk, DiskError, EntryKind, Operation};

/// What comparing every byte of a release with its manifest found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Files compared.
    pub files: u64,
    /// Bytes of those that are as they should be.
    pub bytes: u64,
    /// What is not as the manifest says, in the order of the paths.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Whether every file is there, as it should be, and nothing else is.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// One file that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The file's path within the tree, as it stands on the disk.
    pub path: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is longer or shorter.
    #[error("has {found} bytes, expected {expected}")]
    Length {
        /// Bytes that the manifest gives.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// It has other bytes.
    #[error("has the digest {found}, expected {expected}")]
    Content {
        /// The digest that the manifest gives.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// It cannot be read.
    #[error("cannot be read: {reason}")]
    Unreadable {
        /// What the system said.
        reason: String,
    },
    /// The manifest does not know it.
    #[error("does not belong to the release")]
    Extra,
}

/// Compares every byte below `tree` with `manifest`, on all cores.
pub(crate) fn verify(
    disk: &dyn Disk,
    tree: &Path,
    manifest: &Manifest,
    observer: &dyn Observer,
    cancel: &CancelToken,
) -> Result<VerifyReport, UpdateError> {
    let entries = manifest.listing().entries();
    let total = manifest.listing().total_bytes();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let damage = Mutex::new(Vec::new());
    let work = || {
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            if cancel.is_cancelled() {
                return;
            }
            if let Some(fault) = fault_of(disk, &entry.path.under(tree), entry) {
                let path = entry.path.to_string();
                damage
                    .lock()
                    .unwrap_or_else(|e| e.into_inner())
                    .push(Damage { path, fault });
            }
            let done = done.fetch_add(entry.length, Ordering::Relaxed) + entry.length;
            observer.event(&Event::Verifying { done, total });
        }
    };
    let threads = thread::available_parallelism()
        .map_or(1, |count| count.get())
        .min(MAX_THREADS);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    cancel.check()?;
    let mut damage = damage.into_inner().unwrap_or_else(|e| e.into_inner());
    let known: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    find_extra(disk, tree, "", &known, &mut damage)?;
    damage.sort();
    let bytes = total - damaged_bytes(entries, &damage);
    Ok(VerifyReport {
        files: entries.len() as u64,
        bytes,
        damage,
    })
}

fn fault_of(disk: &dyn Disk, path: &Path, entry: &Entry) -> Option<Fault> {
    let unreadable = |failed: DiskError| Fault::Unreadable {
        reason: failed.source.to_string(),
    };
    match disk.length(path) {
        Ok(None) => return Some(Fault::Missing),
        Ok(Some(found)) if found != entry.length => {
            return Some(Fault::Length {
                expected: entry.length,
                found,
            });
        }
        Ok(Some(_)) => {}
        Err(failed) => return Some(unreadable(failed)),
    }
    let digest = disk.open(path).and_then(|reader| {
        Digest::of_reader(reader).map_err(|e| DiskError::new(Operation::Read, path, e))
    });
    match digest {
        Ok(found) if found == entry.digest => None,
        Ok(found) => Some(Fault::Content {
            expected: entry.digest,
            found,
        }),
        Err(failed) => Some(unreadable(failed)),
    }
}

/// Collects what lies below `folder` and is in no manifest.
fn find_extra(
    disk: &dyn Disk,
    folder: &Path,
    prefix: &str,
    known: &BTreeSet<&str>,
    damage: &mut Vec<Damage>,
) -> Result<(), UpdateError> {
    for entry in disk.list(folder)? {
        let path = format!("{prefix}{}", entry.name.to_string_lossy());
        if entry.kind == EntryKind::Folder {
            find_extra(
                disk,
                &folder.join(&entry.name),
                &format!("{path}/"),
                known,
                damage,
            )?;
        } else if !known.contains(path.as_str()) {
            damage.push(Damage {
                path,
                fault: Fault::Extra,
            });
        }
    }
    Ok(())
}

fn damaged_bytes(entries: &[Entry], damage: &[Damage]) -> u64 {
    let length = |damage: &Damage| {
        let path = ContentPath::parse(&damage.path).ok()?;
        let index = entries
            .binary_search_by(|entry| entry.path.cmp(&path))
            .ok()?;
        entries.get(index).map(|entry| entry.length)
    };
    damage.iter().filter_map(length).sum()
}

/// More readers than this only make a slow disk seek.
const MAX_THREADS: usize = 8;
