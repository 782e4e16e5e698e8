use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use diff_core::{
    Applier, CancelToken, Delta, DeltaError, Digest, FolderContents, Limits, Listing, MappedFile,
    Origin, PlannedFile, Progress, Sink, Tree,
};
use release_format::{CatalogueRelease, Manifest, PackName, Verified};

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::disk::Disk;
use crate::library::layout::LibraryLayout;
use crate::library::shelf::Shelf;

/// Rebuilds a release beside those that are installed.
pub(crate) struct Stager<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) layout: &'a LibraryLayout,
    pub(crate) limits: &'a Limits,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) cancel: &'a CancelToken,
}

/// An installed release that a delta starts from.
pub(crate) struct OldRelease {
    pub(crate) manifest: Manifest,
    pub(crate) tree: PathBuf,
}

impl Stager<'_> {
    /// Makes the folder of `release` from `old` and `delta`, whole and durable, and moves it to its
    /// place among the pack's releases.
    ///
    /// Each file is digested as it is written, and the manifest of all of them is compared with the
    /// trusted digest before the folder takes its place. Nothing refers to the folder yet: a crash
    /// before [`activate`](crate::step::activate) costs the work and nothing else. Returns the number
    /// of the tree: not the first where somebody has one that nothing refers to any more.
    pub(crate) fn stage(
        &self,
        pack: &PackName,
        release: &CatalogueRelease,
        delta: &Verified<MappedFile>,
        old: Option<&OldRelease>,
    ) -> Result<u32, UpdateError> {
        let staging = self.layout.staged(&release.manifest.digest);
        self.disk.remove_tree(&staging)?;
        let outcome = self.rebuild(pack, release, delta, old, &staging);
        if outcome.is_err() {
            // Only tidiness: whatever stays is removed when the next update begins.
            let _ = self.disk.remove_tree(&staging);
        }
        outcome
    }
}

impl Stager<'_> {
    fn rebuild(
        &self,
        pack: &PackName,
        release: &CatalogueRelease,
        delta: &Verified<MappedFile>,
        old: Option<&OldRelease>,
        staging: &Path,
    ) -> Result<u32, UpdateError> {
        let nothing = Listing::empty();
        let (old_listing, old_root) = match old {
            Some(old) => (old.manifest.listing(), old.tree.as_path()),
            None => (&nothing, Path::new("")),
        };
        let delta = Delta::parse(delta.get(), self.limits)?;
        let plan = delta.plan(old_listing)?;
        agree(release, plan.files())?;

        let tree = LibraryLayout::tree_within(staging);
        self.create_folders(staging, &tree, plan.files())?;
        let mut written = self.link_unchanged(&tree, plan.files(), old_listing, old_root)?;
        let contents = FolderContents::new(old_root, old_listing);
        let sink = StagingSink {
            disk: self.disk,
            tree: &tree,
            written: Mutex::new(Vec::new()),
        };
        let progress = StagingProgress::new(self.observer, plan.built_bytes());
        let old_tree = Tree {
            listing: old_listing,
            contents: &contents,
        };
        let listing = Applier::new(&delta, &plan, old_tree)
            .limits(self.limits.clone())
            .progress(&progress)
            .cancel(self.cancel)
            .apply(&sink)?;
        let built = sink.into_written();
        written.extend(self.link_repeated(&tree, plan.files())?);

        let manifest = Manifest::new(
            pack.clone(),
            release.label.clone(),
            release.sequence,
            listing,
        );
        if manifest.reference() != release.manifest {
            let (expected, found) = (release.manifest.digest, manifest.digest());
            return Err(DeltaError::WrongTree { expected, found }.into());
        }
        let manifest_path = LibraryLayout::manifest_within(staging);
        self.disk
            .create(&manifest_path)?
            .write_all(&manifest.encode())?;
        written.push(manifest_path);
        written.extend(built.iter().cloned());
        // The one barrier of a stage: all that lies below the folder is durable before it has its
        // name among the releases.
        self.observer.event(&Event::Syncing);
        self.disk.sync_tree(staging, &written)?;
        for file in &written {
            self.disk.set_read_only(file)?;
        }
        place(
            self.disk,
            self.layout,
            pack,
            (&release.manifest.digest, staging),
        )
    }

    /// Creates every folder that the files need.
    fn create_folders(
        &self,
        staging: &Path,
        tree: &Path,
        files: &[PlannedFile],
    ) -> Result<(), UpdateError> {
        let mut folders = BTreeSet::new();
        for file in files {
            let text = file.path.as_str();
            let ends = text.match_indices('/').map(|(at, _)| at);
            folders.extend(ends.filter_map(|end| text.get(..end)));
        }
        self.disk.create_dirs(self.layout.root(), staging)?;
        self.disk.create_dir(tree)?;
        // A folder sorts before what it holds.
        for folder in folders {
            let mut path = tree.to_path_buf();
            path.extend(folder.split('/'));
            self.disk.create_dir(&path)?;
        }
        Ok(())
    }

    /// Links the files whose content is in the old release; returns those that have to be synced.
    ///
    /// Their bytes are not read, which would cost as much as the release is long: a file of another
    /// length is found out here, any other damage by `verify`.
    fn link_unchanged(
        &self,
        tree: &Path,
        files: &[PlannedFile],
        old_listing: &Listing,
        old_root: &Path,
    ) -> Result<Vec<PathBuf>, UpdateError> {
        let mut written = Vec::new();
        for file in files {
            let Origin::Old(index) = file.origin else {
                continue;
            };
            let Some(old) = old_listing.entries().get(index) else {
                continue;
            };
            self.cancel.check()?;
            let from = old.path.under(old_root);
            let found = self.disk.length(&from)?;
            if found != Some(old.length) {
                return Err(UpdateError::Damaged {
                    at: from,
                    expected: format!("{} bytes", old.length),
                    found: found.map_or("no file".to_owned(), |found| format!("{found} bytes")),
                });
            }
            let to = file.path.under(tree);
            if self.disk.link_or_copy(&from, &to)?.needs_sync() {
                written.push(to);
            }
        }
        Ok(written)
    }

    /// Links the files whose content stands in another file of the new release as well.
    fn link_repeated(
        &self,
        tree: &Path,
        files: &[PlannedFile],
    ) -> Result<Vec<PathBuf>, UpdateError> {
        let mut written = Vec::new();
        for file in files {
            let Origin::SameAs(index) = file.origin else {
                continue;
            };
            let Some(same) = files.get(index) else {
                continue;
            };
            let to = file.path.under(tree);
            if self
                .disk
                .link_or_copy(&same.path.under(tree), &to)?
                .needs_sync()
            {
                written.push(to);
            }
        }
        Ok(written)
    }
}

/// Moves a finished folder to a place among the pack's releases that nothing has; returns its number.
pub(crate) fn place(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    pack: &PackName,
    (manifest, staging): (&Digest, &Path),
) -> Result<u32, UpdateError> {
    let releases = layout.releases(pack);
    disk.create_dirs(layout.root(), &releases)?;
    let newest = Shelf::new(disk, layout).copies(pack, manifest)?;
    let copy = newest.first().map_or(0, |newest| newest.saturating_add(1));
    disk.rename(staging, &layout.copy(pack, manifest, copy))?;
    layout.sync_move(disk, pack)?;
    Ok(copy)
}

/// Compares what a delta means to make with what the catalogue says of the release, before a byte of
/// it is written.
fn agree(release: &CatalogueRelease, files: &[PlannedFile]) -> Result<(), UpdateError> {
    let bytes = files
        .iter()
        .fold(0_u64, |sum, file| sum.saturating_add(file.length));
    let count = files.len() as u64;
    if (count, bytes) == (release.files, release.tree_bytes) {
        return Ok(());
    }
    Err(UpdateError::WrongRelease {
        label: release.label.clone(),
        expected: format!("{} files of {} bytes", release.files, release.tree_bytes),
        found: format!("{count} files of {bytes} bytes"),
    })
}

/// Takes the files that a delta builds, and remembers which they are.
struct StagingSink<'a> {
    disk: &'a dyn Disk,
    tree: &'a Path,
    written: Mutex<Vec<PathBuf>>,
}

impl StagingSink<'_> {
    fn into_written(self) -> Vec<PathBuf> {
        let mut written = self
            .written
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // Groups finish in any order; what follows is the same from run to run.
        written.sort();
        written
    }
}

impl Sink for StagingSink<'_> {
    fn create(&self, _index: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        let path = file.path.under(self.tree);
        let created = self.disk.create(&path)?;
        self.written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path);
        Ok(Box::new(created))
    }
}

/// Adds up the bytes that the groups report from their threads.
struct StagingProgress<'a> {
    observer: &'a dyn Observer,
    done: AtomicU64,
    total: u64,
}

impl StagingProgress<'_> {
    fn new(observer: &dyn Observer, total: u64) -> StagingProgress<'_> {
        StagingProgress {
            observer,
            done: AtomicU64::new(0),
            total,
        }
    }
}

impl Progress for StagingProgress<'_> {
    fn advanced(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.observer.event(&Event::Staging {
            done,
            total: self.total,
        });
    }
}
