use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use diff_core::{
    Applier, CancelToken, ContentPath, Contents, Delta, DeltaError, Digest, FileBytes, Limits,
    Listing, MappedFile, Origin, Plan, PlannedFile, Progress, Sink, Tree,
};
use release_format::{CatalogueRelease, Manifest, PackName, Verified};

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::disk::{Disk, DiskError, Operation, patiently};
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

/// A tree that a delta starts from, wherever its files lie.
pub(crate) struct OldTree {
    listing: Listing,
    /// Where each file lies, by its place in the listing.
    places: Vec<PathBuf>,
}

impl OldTree {
    /// Returns the tree of an installed release.
    pub(crate) fn installed(manifest: &Manifest, tree: &Path) -> OldTree {
        let listing = manifest.listing().clone();
        let places = listing.entries().iter();
        OldTree {
            places: places.map(|entry| entry.path.under(tree)).collect(),
            listing,
        }
    }

    /// Returns the tree that has nothing.
    pub(crate) fn nothing() -> OldTree {
        OldTree {
            listing: Listing::empty(),
            places: Vec::new(),
        }
    }
}

impl Contents for OldTree {
    fn read(&self, index: usize) -> io::Result<FileBytes> {
        let place = self.places.get(index).ok_or(io::ErrorKind::InvalidInput)?;
        // Others may have it open.
        let mapped = patiently(|| MappedFile::open(place));
        let mapped = mapped.map_err(|failed| DiskError::new(Operation::Read, place, failed));
        Ok(FileBytes::Mapped(mapped?))
    }
}

/// A delta that has arrived, and the release that it makes.
pub(crate) struct ReadyHop<'a> {
    pub(crate) release: &'a CatalogueRelease,
    pub(crate) delta: Verified<MappedFile>,
    /// Bytes of files that applying it writes.
    pub(crate) built_bytes: u64,
}

/// Why a release was not staged.
pub(crate) struct StageFailure {
    /// How many deltas had been applied.
    pub(crate) hop: usize,
    pub(crate) error: UpdateError,
}

impl Stager<'_> {
    /// Makes the folder of a release from `old` and the deltas that lead to it, whole and durable, and
    /// moves it to its place among the pack's releases.
    ///
    /// Each file is digested as it is written, and the manifest of all of them is compared with the
    /// trusted digest before the folder takes its place. Nothing refers to the folder yet: a crash
    /// before [`activate`](crate::step::activate) costs the work and nothing else. Returns the number
    /// of the tree: not the first where somebody has one that nothing refers to any more.
    ///
    /// Of the releases in between only the files are written that their deltas change, and none of
    /// them is synced: they go with the folder's other half before it is durable.
    pub(crate) fn stage(
        &self,
        pack: &PackName,
        hops: &[ReadyHop<'_>],
        old: OldTree,
    ) -> Result<u32, StageFailure> {
        let Some((last, between)) = hops.split_last() else {
            let pack = pack.clone();
            let error = UpdateError::UnknownPack { pack };
            return Err(StageFailure { hop: 0, error });
        };
        let staging = self.layout.staged(&last.release.manifest.digest);
        let total = hops.iter().map(|hop| hop.built_bytes).sum();
        let progress = StagingProgress::new(self.observer, total);
        let failing = |hop| move |error: UpdateError| StageFailure { hop, error };
        let outcome = (|| {
            self.disk
                .remove_tree(&staging)
                .map_err(|failed| failing(0)(failed.into()))?;
            let mut old = old;
            for (number, hop) in between.iter().enumerate() {
                let folder = staging.join(BETWEEN).join(number.to_string());
                old = self
                    .pass(pack, hop, &old, (&folder, &progress))
                    .map_err(failing(number))?;
            }
            self.rebuild(pack, last, &old, (&staging, &progress))
                .map_err(failing(between.len()))
        })();
        if outcome.is_err() {
            // Only tidiness: whatever stays is removed when the next update begins.
            let _ = self.disk.remove_tree(&staging);
        }
        outcome
    }

    /// Makes the tree of a release on the way: what its delta changes in `folder`, and the rest where
    /// it lies.
    fn pass(
        &self,
        pack: &PackName,
        hop: &ReadyHop<'_>,
        old: &OldTree,
        (folder, progress): (&Path, &dyn Progress),
    ) -> Result<OldTree, UpdateError> {
        let delta = Delta::parse(hop.delta.get(), self.limits)?;
        let plan = delta.plan(&old.listing)?;
        agree(hop.release, plan.files())?;
        let built = plan.files().iter();
        let built = built.filter(|file| file.origin == Origin::Built);
        let built = built.map(|file| &file.path);
        create_folders(self.disk, self.layout, (folder, folder), built)?;
        let (listing, _) = self.build((&delta, &plan), old, folder, progress)?;
        let manifest = self.agreed(pack, hop.release, listing)?;
        let files = plan.files();
        let place = |file: &PlannedFile| match file.origin {
            Origin::Old(index) => old.places.get(index).cloned(),
            Origin::SameAs(index) => files.get(index).map(|same| same.path.under(folder)),
            Origin::Built => Some(file.path.under(folder)),
        };
        let mut places = BTreeMap::new();
        for file in files {
            if let Some(place) = place(file) {
                places.insert(file.path.as_str(), place);
            }
        }
        let listing = manifest.listing().clone();
        let entries = listing.entries().iter();
        let places = entries.filter_map(|entry| places.remove(entry.path.as_str()));
        Ok(OldTree {
            places: places.collect(),
            listing,
        })
    }

    fn rebuild(
        &self,
        pack: &PackName,
        hop: &ReadyHop<'_>,
        old: &OldTree,
        (staging, progress): (&Path, &dyn Progress),
    ) -> Result<u32, UpdateError> {
        let delta = Delta::parse(hop.delta.get(), self.limits)?;
        let plan = delta.plan(&old.listing)?;
        agree(hop.release, plan.files())?;

        let tree = LibraryLayout::tree_within(staging);
        let files = plan.files().iter().map(|file| &file.path);
        create_folders(self.disk, self.layout, (staging, &tree), files)?;
        let mut written = self.link_unchanged(&tree, plan.files(), old, staging)?;
        let (listing, built) = self.build((&delta, &plan), old, &tree, progress)?;
        written.extend(self.link_repeated(&tree, plan.files())?);
        let manifest = self.agreed(pack, hop.release, listing)?;
        let manifest_path = LibraryLayout::manifest_within(staging);
        self.disk
            .create(&manifest_path)?
            .write_all(&manifest.encode())?;
        written.push(manifest_path);
        written.extend(built);
        self.disk.remove_tree(&staging.join(BETWEEN))?;
        // The one barrier of a stage: all that lies below the folder is durable before it has its
        // name among the releases.
        self.observer.event(&Event::Syncing);
        self.disk.sync_tree(staging, &written)?;
        for file in &written {
            self.disk.set_read_only(file)?;
        }
        let manifest = &hop.release.manifest.digest;
        place(self.disk, self.layout, pack, (manifest, staging))
    }

    /// Builds the files of a delta below `tree`; returns what it makes of all files, and the paths of
    /// those that are built.
    fn build(
        &self,
        (delta, plan): (&Delta<'_>, &Plan),
        old: &OldTree,
        tree: &Path,
        progress: &dyn Progress,
    ) -> Result<(Listing, Vec<PathBuf>), UpdateError> {
        let sink = StagingSink {
            disk: self.disk,
            tree,
            written: Mutex::new(Vec::new()),
        };
        let old_tree = Tree {
            listing: &old.listing,
            contents: old,
        };
        let listing = Applier::new(delta, plan, old_tree)
            .limits(self.limits.clone())
            .progress(progress)
            .cancel(self.cancel)
            .apply(&sink)?;
        Ok((listing, sink.into_written()))
    }

    /// Returns the manifest of what was built, if it is the one that is trusted.
    fn agreed(
        &self,
        pack: &PackName,
        release: &CatalogueRelease,
        listing: Listing,
    ) -> Result<Manifest, UpdateError> {
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
        Ok(manifest)
    }

    /// Links the files whose content is in the old tree; returns those that have to be synced.
    ///
    /// Their bytes are not read, which would cost as much as the release is long: a file of another
    /// length is found out here, any other damage by `verify`.
    fn link_unchanged(
        &self,
        tree: &Path,
        files: &[PlannedFile],
        old: &OldTree,
        staging: &Path,
    ) -> Result<Vec<PathBuf>, UpdateError> {
        let mut written = Vec::new();
        for file in files {
            let Origin::Old(index) = file.origin else {
                continue;
            };
            let entry = old.listing.entries().get(index);
            let Some((entry, from)) = entry.zip(old.places.get(index)) else {
                continue;
            };
            self.cancel.check()?;
            let found = self.disk.length(from)?;
            if found != Some(entry.length) {
                return Err(UpdateError::Damaged {
                    at: from.clone(),
                    expected: format!("{} bytes", entry.length),
                    found: found.map_or("no file".to_owned(), |found| format!("{found} bytes")),
                });
            }
            let to = file.path.under(tree);
            // What a delta on the way wrote is not durable under its first name either.
            let is_new = from.starts_with(staging);
            if self.disk.link_or_copy(from, &to)?.needs_sync() || is_new {
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

/// A virus scanner looks at each file of a new tree, and Windows moves no folder meanwhile: the work of
/// a whole stage is worth ten seconds of waiting.
const ATTEMPTS_TO_PLACE: u32 = 8;

/// Creates every folder below `tree` that the files need.
pub(crate) fn create_folders<'p>(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    (staging, tree): (&Path, &Path),
    files: impl Iterator<Item = &'p ContentPath>,
) -> Result<(), UpdateError> {
    let mut folders = BTreeSet::new();
    for file in files {
        let text = file.as_str();
        let ends = text.match_indices('/').map(|(at, _)| at);
        folders.extend(ends.filter_map(|end| text.get(..end)));
    }
    disk.create_dirs(layout.root(), staging)?;
    disk.create_dir(tree)?;
    // A folder sorts before what it holds.
    for folder in folders {
        let mut path = tree.to_path_buf();
        path.extend(folder.split('/'));
        disk.create_dir(&path)?;
    }
    Ok(())
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
    let place = layout.copy(pack, manifest, copy);
    for _ in 1..ATTEMPTS_TO_PLACE {
        match disk.rename(staging, &place) {
            Err(held) if held.is_held() => {}
            outcome => {
                outcome?;
                layout.sync_move(disk, pack)?;
                return Ok(copy);
            }
        }
    }
    disk.rename(staging, &place)?;
    layout.sync_move(disk, pack)?;
    Ok(copy)
}

/// Where, below a release that is being built, what lies of those on the way to it.
const BETWEEN: &str = "between";

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

    fn read(&self, _index: usize, file: &PlannedFile) -> io::Result<FileBytes> {
        let path = file.path.under(self.tree);
        patiently(|| MappedFile::open(&path)).map(FileBytes::Mapped)
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
