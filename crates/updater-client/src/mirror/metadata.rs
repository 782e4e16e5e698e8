use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use release_format::{MetaFile, TargetEntry, Timestamp, TrustLimits, TrustedSet};

use super::kept::{Kept, is_keepable};
use super::location::Asked;
use crate::UpdateError;
use crate::library::disk::Disk;
use crate::library::trust_layout::TrustLayout;
use crate::library::trust_store::TrustStore;

/// The metadata that a mirror holds for its neighbours: what its own library trusts, and what it has
/// passed on since and found to follow from that.
///
/// Nobody believes a mirror, so nothing here protects its neighbours. It protects the mirror from
/// keeping what is of no use to them: the login page of a network, an older timestamp, half a file.
/// Time plays no part: whether something has expired is for each device to judge.
pub(crate) struct Metadata {
    disk: Arc<dyn Disk>,
    trust: TrustLayout,
    limits: TrustLimits,
    /// `metadata/`, by the names of its files.
    files: Kept,
    /// `targets/`, by the SHA-256 digests in the names of its files.
    targets: Kept,
    set: Mutex<TrustedSet>,
}

/// What is thought of a file that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It follows from what is trusted, and is kept.
    Proved,
    /// Nothing that is trusted speaks of it: it is passed on, and forgotten soon.
    Unknown,
    /// It is another file than the one that is trusted.
    Refused(String),
}

impl Metadata {
    /// Returns what the library trusts, and what is kept in these folders and follows from it.
    ///
    /// # Errors
    /// [`UpdateError`] when the library trusts no root, or cannot be read.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        trust: TrustLayout,
        files: Kept,
        targets: Kept,
    ) -> Result<Metadata, UpdateError> {
        let limits = TrustLimits::standard();
        let set = TrustStore::new(&*disk, trust.clone(), limits.clone()).load()?;
        let metadata = Metadata {
            disk,
            trust,
            limits,
            files,
            targets,
            set: Mutex::new(set),
        };
        metadata.look_again()?;
        Ok(metadata)
    }

    /// Takes up what the library trusts by now: an update may have gone further than the neighbours.
    ///
    /// # Errors
    /// As [`Metadata::open`].
    pub(crate) fn look_again(&self) -> Result<(), UpdateError> {
        let mut store = TrustStore::new(&*self.disk, self.trust.clone(), self.limits.clone());
        let mut set = store.load()?;
        while let Some(root) = self.kept(&format!("{}.root.json", set.root().version + 1)) {
            if set.update_root(&root).is_err() {
                break;
            }
        }
        self.recall_kept(&mut set);
        *self.set() = set;
        Ok(())
    }

    /// Goes on from the library's timestamp to the one that is kept, if its snapshot is there too.
    fn recall_kept(&self, set: &mut TrustedSet) {
        let mut newer = set.clone();
        let Some(timestamp) = self.kept(TIMESTAMP) else {
            return;
        };
        if newer.recall_timestamp(&timestamp).is_err() {
            return;
        }
        let named = newer.timestamp().and_then(Timestamp::snapshot);
        let snapshot = named.and_then(|named| self.kept(&snapshot_name(named.version)));
        if snapshot.is_some_and(|bytes| newer.recall_snapshot(&bytes).is_ok()) {
            *set = newer;
        }
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.files.read(name, self.limits.targets_bytes)
    }

    /// Returns how many bytes a file may have.
    pub(crate) fn limit(&self, asked: &Asked) -> u64 {
        match asked {
            Asked::Timestamp => self.limits.timestamp_bytes,
            Asked::Root(_) => self.limits.root_bytes,
            Asked::Role { role, .. } if role == SNAPSHOT => self.limits.snapshot_bytes,
            Asked::Role { .. } => self.limits.targets_bytes,
            Asked::Target(_) | Asked::Content(_) => self.limits.target_bytes,
        }
    }

    /// Returns the version of the root that is trusted.
    pub(crate) fn root_version(&self) -> u64 {
        self.set().root().version
    }

    /// Returns the file that is asked for, if it is held.
    pub(crate) fn held(&self, asked: &Asked) -> Option<Vec<u8>> {
        match asked {
            Asked::Timestamp => self.set().file("timestamp").map(<[u8]>::to_vec),
            Asked::Root(version) => self.held_root(*version),
            Asked::Role { version, role } if role == SNAPSHOT => {
                let set = self.set();
                let is_it = set.snapshot().is_some_and(|of| of.version == *version);
                let trusted = set.file(SNAPSHOT).filter(|_| is_it).map(<[u8]>::to_vec);
                drop(set);
                trusted.or_else(|| self.kept(&snapshot_name(*version)))
            }
            Asked::Role { version, role } => self.held_role(*version, role),
            Asked::Target(digest) => self.held_target(digest),
            Asked::Content(_) => None,
        }
    }

    fn held_root(&self, version: u64) -> Option<Vec<u8>> {
        if version > self.root_version() {
            return None;
        }
        let kept = self.kept(&format!("{version}.root.json"));
        kept.or_else(|| self.read(&self.trust.root(version), self.limits.root_bytes))
    }

    fn held_role(&self, version: u64, role: &str) -> Option<Vec<u8>> {
        if let Some(kept) = self.kept(&format!("{version}.{role}.json")) {
            return Some(kept);
        }
        // A library keeps each role once, under a name without a version.
        let name = format!("{role}.json");
        if !is_keepable(&name) {
            return None;
        }
        let path = match role {
            "targets" => self.trust.top_role(&name),
            _ => self.trust.delegated_role(&name),
        };
        let bytes = self.read(&path, self.limits.targets_bytes)?;
        (self.judge_role(version, role, &bytes) == Verdict::Proved).then_some(bytes)
    }

    fn held_target(&self, digest: &str) -> Option<Vec<u8>> {
        let bytes = self.targets.read(digest, self.limits.target_bytes)?;
        if TargetEntry::of(&bytes).sha256() == Some(digest) {
            return Some(bytes);
        }
        // It has rotted: the next one who asks has it fetched again.
        let _ = self.targets.remove(digest);
        None
    }

    fn read(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        let bytes = self.disk.read(path, most.saturating_add(1)).ok()??;
        (bytes.len() as u64 <= most).then_some(bytes)
    }

    /// Judges a file that came, and keeps it if it is proved; all but timestamps and snapshots, which
    /// come in pairs.
    pub(crate) fn judge(&self, asked: &Asked, bytes: &[u8]) -> Verdict {
        match asked {
            Asked::Root(version) => self.judge_root(*version, bytes),
            Asked::Role { version, role } if role != SNAPSHOT => {
                let verdict = self.judge_role(*version, role, bytes);
                if verdict == Verdict::Proved {
                    self.keep(&format!("{version}.{role}.json"), bytes);
                }
                verdict
            }
            Asked::Target(digest) => {
                let found = TargetEntry::of(bytes);
                if found.sha256() != Some(digest) {
                    return Verdict::Refused("its digest is another than its name".to_owned());
                }
                // That it is not kept keeps nobody from having it.
                let _ = self.targets.put(digest, bytes);
                Verdict::Proved
            }
            _ => Verdict::Unknown,
        }
    }

    fn judge_root(&self, version: u64, bytes: &[u8]) -> Verdict {
        let mut set = self.set();
        if version != set.root().version + 1 {
            return Verdict::Unknown;
        }
        if let Err(refused) = set.update_root(bytes) {
            return Verdict::Refused(refused.to_string());
        }
        drop(set);
        self.keep(&format!("{version}.root.json"), bytes);
        Verdict::Proved
    }

    fn judge_role(&self, version: u64, role: &str, bytes: &[u8]) -> Verdict {
        let set = self.set();
        let named = set
            .snapshot()
            .and_then(|of| of.meta.get(&format!("{role}.json")));
        match named {
            Some(named) if named.version == version && named.hashes.is_some() => {
                if named.hashes == MetaFile::of(version, bytes).hashes {
                    Verdict::Proved
                } else {
                    Verdict::Refused("the snapshot names another".to_owned())
                }
            }
            _ => Verdict::Unknown,
        }
    }

    /// Trusts a timestamp and the snapshot that it names, which `fetch` brings if it is not held: both
    /// or neither, so that what is held is of one piece when the line goes.
    ///
    /// # Errors
    /// What `fetch` fails with, or, as `refused` makes it, what is wrong with what came.
    pub(crate) fn renew<E>(
        &self,
        timestamp: &[u8],
        fetch: impl FnOnce(&str) -> Result<Vec<u8>, E>,
        refused: impl Fn(String) -> E,
    ) -> Result<(), E> {
        let mut set = self.set().clone();
        let before = set.file("timestamp").map(<[u8]>::to_vec);
        if before.as_deref() == Some(timestamp) {
            return Ok(());
        }
        let wrong = |error: release_format::TrustError| refused(error.to_string());
        set.recall_timestamp(timestamp).map_err(wrong)?;
        let Some(named) = set.timestamp().and_then(Timestamp::snapshot).cloned() else {
            return Err(refused("it names no snapshot".to_owned()));
        };
        let is_held = set
            .snapshot()
            .is_some_and(|held| held.version == named.version);
        if !is_held {
            let snapshot = fetch(&format!("metadata/{}", snapshot_name(named.version)))?;
            set.recall_snapshot(&snapshot).map_err(wrong)?;
            self.keep(&snapshot_name(named.version), &snapshot);
        }
        // Last, as where it is published.
        self.keep(TIMESTAMP, timestamp);
        *self.set() = set;
        Ok(())
    }

    /// That a file is not kept keeps nobody from having it now.
    fn keep(&self, name: &str, bytes: &[u8]) {
        if is_keepable(name) {
            let _ = self.files.put(name, bytes);
        }
    }

    fn set(&self) -> MutexGuard<'_, TrustedSet> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn snapshot_name(version: u64) -> String {
    format!("{version}.{SNAPSHOT}.json")
}

const SNAPSHOT: &str = "snapshot";
const TIMESTAMP: &str = "timestamp.json";
