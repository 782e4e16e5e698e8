use std::collections::BTreeSet;
use std::path::Path;

use diff_core::{CancelToken, Progress};
use release_format::{
    ContentReference, PackName, Refreshed, TrustError, TrustLimits, TrustedSet, UtcTime,
};

use crate::PublishError;
use crate::progress::{PublishProgress, Stage};
use crate::repository::location::is_of_repository;
use crate::repository::record::numbers;
use crate::repository::roles::{FIRST_ROOT_LOCATION, TIMESTAMP_LOCATION, root_location};
use crate::repository::{Repository, refuse_inside};
use crate::storage::folder::FolderStorage;
use crate::storage::{Source, Storage};
use crate::supply::selection::{ExportReach, ExportedPack, SelectedFile, Selection};

/// What [`Repository::export`] carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The packs; all of them when none is named.
    pub packs: Vec<PackName>,
    /// Which of their bytes.
    pub reach: ExportReach,
    /// Whether the log goes along, for auditors: no device reads it. A full export has it, and a place
    /// that has one gets what is new of it, in any case.
    pub with_log: bool,
}

impl ExportOptions {
    /// Returns the options that carry `reach` of these packs.
    pub fn new(packs: Vec<PackName>, reach: ExportReach) -> ExportOptions {
        ExportOptions {
            packs,
            reach,
            with_log: false,
        }
    }
}

/// What [`Repository::export`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// What is there of each pack.
    pub packs: Vec<ExportedPack>,
    /// Files that the export consists of.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that had to be written.
    pub written_files: u64,
    /// Their bytes.
    pub written_bytes: u64,
    /// Files of an older export that were removed.
    pub removed_files: u64,
    /// Bytes that were free before, where anybody can tell.
    pub available_bytes: Option<u64>,
    /// When devices stop to accept the export, graces aside.
    pub expires: UtcTime,
    /// What people should hear of.
    pub warnings: Vec<String>,
}

impl Repository {
    /// Exports to a folder, as a rule on a stick, from which devices can be updated.
    ///
    /// Every file is compared with its digest as it is read. What the folder has already, with the
    /// right length and digest, is not written again. `timestamp.json` is written when all that it
    /// leads to is durable, and only then is removed what nothing refers to any more: an interrupted
    /// export leaves what was there before, as good as it was.
    ///
    /// # Errors
    /// [`PublishError::NoSpace`] before the first byte; [`PublishError::NewerExport`] and
    /// [`PublishError::OtherRepository`] for what must not be replaced; [`PublishError::Damaged`] and
    /// [`PublishError::Absent`] name a file of the repository that cannot be carried.
    pub fn export(
        &self,
        to: &Path,
        options: &ExportOptions,
        progress: &dyn PublishProgress,
        cancel: &CancelToken,
    ) -> Result<Exported, PublishError> {
        if let Some(folder) = self.folder() {
            refuse_inside(folder, to)?;
        }
        self.export_in(&FolderStorage::removable(to), options, progress, cancel)
    }

    /// Exports to any storage; see [`Repository::export`].
    ///
    /// # Errors
    /// As [`Repository::export`].
    pub fn export_in(
        &self,
        to: &dyn Storage,
        options: &ExportOptions,
        progress: &dyn PublishProgress,
        cancel: &CancelToken,
    ) -> Result<Exported, PublishError> {
        let _span = tracing::info_span!("export", to = %to.address()).entered();
        let mut selection = Selection::of(self.storage(), &options.packs, &options.reach)?;
        to.expect_removal()?;
        let _lock = to.lock()?;
        let is_all = options.reach == ExportReach::Full;
        if options.with_log || is_all || !numbers(to)?.is_empty() {
            selection.add_log(self.storage())?;
        }
        let export = Export {
            from: self.storage(),
            to,
            selection,
            progress,
            cancel,
        };
        export.run()
    }
}

struct Export<'a> {
    from: &'a dyn Storage,
    to: &'a dyn Storage,
    selection: Selection,
    progress: &'a dyn PublishProgress,
    cancel: &'a CancelToken,
}

impl Export<'_> {
    fn run(self) -> Result<Exported, PublishError> {
        self.refuse_newer()?;
        let selection = &self.selection;
        let targets = self.unwritten(&selection.targets)?;
        let log = self.unwritten(&selection.log)?;
        let metadata = self.unwritten(&selection.metadata)?;
        let roots = self.unwritten(&selection.roots)?;
        let content = self.unwritten_content()?;
        let timestamp = SelectedFile {
            location: TIMESTAMP_LOCATION.to_owned(),
            bytes: selection.timestamp.clone(),
        };
        let timestamp = self.unwritten(std::slice::from_ref(&timestamp))?.len() as u64;
        let small = || {
            let beside = log.iter().chain(&metadata).chain(&roots);
            targets.iter().chain(beside).copied()
        };
        let small_bytes: u64 = small().map(|file| file.bytes.len() as u64).sum();
        let content_bytes: u64 = content.iter().map(|reference| reference.length).sum();
        let written_files = small().count() as u64 + content.len() as u64 + timestamp;
        let timestamp_bytes = selection.timestamp.len() as u64;
        let written_bytes = small_bytes + content_bytes + timestamp * timestamp_bytes;
        let available_bytes = self.expect_room(written_files, written_bytes)?;

        let stage = Stage::begin(self.progress, "export", content_bytes);
        for reference in &content {
            self.cancel.check()?;
            self.carry(reference)?;
            stage.advanced(reference.length);
        }
        self.put(&targets)?;
        self.put(&log)?;
        self.to.sync()?;
        self.put(&metadata)?;
        self.to.sync()?;
        // A root may name other keys than the timestamp that is still there was signed with: the moment
        // between the two is as short as it can be.
        self.put(&roots)?;
        self.to.sync()?;
        if timestamp > 0 {
            let source = Source::Bytes(&selection.timestamp);
            self.to.put(TIMESTAMP_LOCATION, source)?;
            self.to.sync()?;
        }
        let removed_files = self.remove_others()?;

        let all = selection.roots.iter().chain(&selection.metadata);
        let all = all.chain(&selection.targets).chain(&selection.log);
        let bytes: u64 = all.map(|file| file.bytes.len() as u64).sum();
        let carried: u64 = selection.content.iter().map(|one| one.length).sum();
        Ok(Exported {
            files: selection.locations().count() as u64 + 1,
            bytes: bytes + carried + timestamp_bytes,
            written_files,
            written_bytes,
            removed_files,
            available_bytes,
            expires: selection.expires,
            warnings: self.warnings(),
            packs: self.selection.packs,
        })
    }

    /// Refuses what is there when devices may have seen more there than they would afterwards.
    fn refuse_newer(&self) -> Result<(), PublishError> {
        let Some(there) = self.to.get(FIRST_ROOT_LOCATION)? else {
            return Ok(());
        };
        let place = || self.to.address();
        let first = self.selection.roots.first();
        if first.is_some_and(|first| *first.bytes != *there) {
            // What a write that was cut short left is no root of anybody's.
            if TrustedSet::pinned(&there, TrustLimits::default()).is_err() {
                return Ok(());
            }
            return Err(PublishError::OtherRepository { place: place() });
        }
        let mut trusted = self.trusted()?;
        let newest = trusted.root().version;
        if let Some(root) = self.to.get(&root_location(newest.saturating_add(1)))?
            && trusted.clone().update_root(&root).is_ok()
        {
            return Err(PublishError::NewerExport {
                place: place(),
                role: "root",
                found: newest.saturating_add(1),
                expected: newest,
            });
        }
        let Some(timestamp) = self.to.get(TIMESTAMP_LOCATION)? else {
            return Ok(());
        };
        let expected = trusted.timestamp().map_or(0, |body| body.version);
        // Older ones, damaged ones and those of keys that are gone are what an export replaces.
        match trusted.update_timestamp(&timestamp, UtcTime::MIN) {
            Ok(Refreshed::Newer) => Err(PublishError::NewerExport {
                place: place(),
                role: "timestamp",
                found: trusted.timestamp().map_or(0, |body| body.version),
                expected,
            }),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Returns what a device trusts that has seen the timestamp of this export.
    fn trusted(&self) -> Result<TrustedSet, PublishError> {
        let refused = |location: &str, source: TrustError| PublishError::Refused {
            location: location.to_owned(),
            source,
        };
        let mut roots = self.selection.roots.iter();
        let first = roots.next().map_or(&[][..], |root| &root.bytes);
        let mut trusted = TrustedSet::pinned(first, TrustLimits::default())
            .map_err(|source| refused(FIRST_ROOT_LOCATION, source))?;
        for root in roots {
            let updated = trusted.update_root(&root.bytes);
            updated.map_err(|source| refused(&root.location, source))?;
        }
        trusted
            .update_timestamp(&self.selection.timestamp, UtcTime::MIN)
            .map_err(|source| refused(TIMESTAMP_LOCATION, source))?;
        Ok(trusted)
    }

    fn unwritten<'b>(
        &self,
        files: &'b [SelectedFile],
    ) -> Result<Vec<&'b SelectedFile>, PublishError> {
        let mut unwritten = Vec::new();
        for file in files {
            let expected = ContentReference::of(&file.bytes);
            if self.to.measure(&file.location)? != Some(expected) {
                unwritten.push(file);
            }
        }
        Ok(unwritten)
    }

    fn unwritten_content(&self) -> Result<Vec<ContentReference>, PublishError> {
        let there: BTreeSet<String> = self.to.list("content/")?.into_iter().collect();
        let mut unwritten = Vec::new();
        for reference in &self.selection.content {
            self.cancel.check()?;
            let location = reference.location();
            let is_there =
                there.contains(&location) && self.to.measure(&location)? == Some(*reference);
            if !is_there {
                unwritten.push(*reference);
            }
        }
        Ok(unwritten)
    }

    /// Nothing is removed before everything is written, so all of it has to fit beside what is there.
    fn expect_room(&self, files: u64, bytes: u64) -> Result<Option<u64>, PublishError> {
        let Some(available) = self.to.available_bytes()? else {
            return Ok(None);
        };
        let needed = bytes.saturating_add(files.saturating_mul(CLUSTER_BYTES));
        if files > 0 && needed > available {
            return Err(PublishError::NoSpace {
                place: self.to.address(),
                needed,
                available,
            });
        }
        Ok(Some(available))
    }

    /// Copies a file under `content/`, once its digest is the one expected.
    fn carry(&self, reference: &ContentReference) -> Result<(), PublishError> {
        self.from.content(reference, |verified| {
            Ok(self
                .to
                .put(&reference.location(), Source::Bytes(verified.get())))
        })?
    }

    fn put(&self, files: &[&SelectedFile]) -> Result<(), PublishError> {
        for file in files {
            self.cancel.check()?;
            self.to.put(&file.location, Source::Bytes(&file.bytes))?;
        }
        Ok(())
    }

    fn remove_others(&self) -> Result<u64, PublishError> {
        let mut kept: BTreeSet<String> = self.selection.locations().collect();
        kept.insert(TIMESTAMP_LOCATION.to_owned());
        let mut removed = 0;
        for folder in ["content/", "targets/", "metadata/"] {
            for location in self.to.list(folder)? {
                if is_of_repository(&location) && !kept.contains(&location) {
                    removed += u64::from(self.to.remove(&location)?);
                }
            }
        }
        self.to.sync()?;
        Ok(removed)
    }

    fn warnings(&self) -> Vec<String> {
        let longest = self.selection.locations().max_by_key(String::len);
        let longest = longest.filter(|location| location.len() > LONG_BYTES);
        let warning = longest.map(|location| {
            let count = location.len();
            format!(
                "{location} has {count} characters: satchel reads it everywhere, other programs on \
                 Windows may not copy it"
            )
        });
        warning.into_iter().collect()
    }
}

/// The largest cluster of FAT32: what a file may take beyond its bytes.
const CLUSTER_BYTES: u64 = 32 << 10;
/// What Windows grants a path, less a drive and a folder.
const LONG_BYTES: usize = 240;
