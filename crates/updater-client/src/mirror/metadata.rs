use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use release_format::{
    Lookup, MetaFile, TargetEntry, TargetFile, Timestamp, TrustLimits, TrustedSet, UtcTime,
};

use super::kept::{Kept, is_keepable};
use super::location::{Asked, target_path};
use super::short_way::ShortWay;
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
        let bytes = self.read(&self.own_role(role)?, self.limits.targets_bytes)?;
        (self.judge_role(version, role, &bytes) == Verdict::Proved).then_some(bytes)
    }

    /// Returns where the library keeps a role: each once, under a name without a version.
    fn own_role(&self, role: &str) -> Option<PathBuf> {
        let name = format!("{role}.json");
        is_keepable(&name).then(|| match role {
            "targets" => self.trust.top_role(&name),
            _ => self.trust.delegated_role(&name),
        })
    }

    fn held_target(&self, digest: &str) -> Option<Vec<u8>> {
        let is_it = |bytes: &Vec<u8>| TargetEntry::of(bytes).sha256() == Some(digest);
        if let Some(bytes) = self.targets.read(digest, self.limits.target_bytes) {
            if is_it(&bytes) {
                return Some(bytes);
            }
            // It has rotted: the next one who asks has it fetched again.
            let _ = self.targets.remove(digest);
        }
        // A library keeps those that it has seen last under names of its own.
        let folder = self.trust.targets()?;
        let entries = self.disk.list(&folder).ok()?;
        entries.into_iter().find_map(|entry| {
            let bytes = self.read(&folder.join(entry.name), self.limits.target_bytes);
            bytes.filter(is_it)
        })
    }

    fn read(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        let bytes = self.disk.read(path, most.saturating_add(1)).ok()??;
        (bytes.len() as u64 <= most).then_some(bytes)
    }

    /// Returns the patch by which a device would get the file, if there is one: over what the library
    /// or this mirror held before it.
    pub(crate) fn short_way(&self, asked: &Asked, location: &str) -> Option<ShortWay> {
        match asked {
            Asked::Role { version, role } if role != SNAPSHOT => {
                let set = self.set();
                let named = set.snapshot()?.meta.get(&format!("{role}.json"))?.clone();
                drop(set);
                let is_it = named.version == *version;
                way_to(Some(&named).filter(|_| is_it)?, self.older_roles(role))
            }
            Asked::Target(digest) => {
                let path = target_path(location)?;
                let entry = self.target(&path)?.entry;
                let patches = entry.patches();
                if entry.sha256() != Some(digest) || patches.is_empty() {
                    return None;
                }
                let starts: Vec<&str> = patches.starts().collect();
                let mut names = self.targets.names();
                names.retain(|name| starts.iter().any(|start| name.starts_with(start)));
                let kept = names.iter().map(|name| self.targets.folder().join(name));
                let held = kept.chain(self.trust.target(&path));
                let held = held.filter_map(|path| self.read(&path, self.limits.target_bytes));
                ShortWay::to((digest, entry.length), &patches, held)
            }
            _ => None,
        }
    }

    /// Returns what is held of a role, whichever version it is.
    fn older_roles(&self, role: &str) -> impl Iterator<Item = Vec<u8>> {
        let of_role = |name: &String| {
            let version = name.strip_suffix(&format!(".{role}.json"));
            version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let names = self.files.names().into_iter().filter(of_role);
        let kept: Vec<_> = names.map(|name| self.files.folder().join(name)).collect();
        let own = self.own_role(role);
        kept.into_iter()
            .chain(own)
            .filter_map(|path| self.read(&path, self.limits.targets_bytes))
    }

    /// Returns what the roles that are held say of a target.
    fn target(&self, path: &str) -> Option<TargetFile> {
        let mut set = self.set().clone();
        loop {
            let request = match set.lookup(path).ok()? {
                Lookup::Found(target) => return Some(target),
                Lookup::Absent => return None,
                Lookup::Needs(request) => request,
            };
            let role = self.held(&Asked::parse(&request.location)?)?;
            // Whether it has expired is for those who ask to judge.
            set.update_targets(&request, &role, UtcTime::from_seconds(0))
                .ok()?;
        }
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

    /// Trusts a timestamp and the snapshot that it names, which `fetch` brings if it is not held, by a
    /// short way where there is one: both or neither, so that what is held is of one piece when the line
    /// goes.
    ///
    /// # Errors
    /// What `fetch` fails with, or, as `refused` makes it, what is wrong with what came.
    pub(crate) fn renew<E>(
        &self,
        timestamp: &[u8],
        fetch: impl FnOnce(&str, Option<ShortWay>) -> Result<Vec<u8>, E>,
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
            let way = way_to(&named, set.file(SNAPSHOT).map(<[u8]>::to_vec).into_iter());
            let snapshot = fetch(&format!("metadata/{}", snapshot_name(named.version)), way)?;
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

fn way_to(named: &MetaFile, held: impl Iterator<Item = Vec<u8>>) -> Option<ShortWay> {
    let (sha256, length) = (named.sha256()?, named.length?);
    ShortWay::to((sha256, length), &named.patches, held)
}

fn snapshot_name(version: u64) -> String {
    format!("{version}.{SNAPSHOT}.json")
}

const SNAPSHOT: &str = "snapshot";
const TIMESTAMP: &str = "timestamp.json";
