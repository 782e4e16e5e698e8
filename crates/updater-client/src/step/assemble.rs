use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use diff_core::{CancelToken, Digest, DigestWriter, Entry};
use release_format::{Manifest, PackName};

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::content::{HeldReleases, enough};
use crate::library::disk::{Disk, DiskError, Operation};
use crate::library::layout::LibraryLayout;
use crate::step::chunks::{ChunkFetcher, firsts};
use crate::step::stage::{create_folders, place};

/// Puts the tree of a release together of what the library holds and what its chunks bring: beside a
/// damaged one from what is sound of it, or anew.
pub(crate) struct Assembler<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) layout: &'a LibraryLayout,
    pub(crate) held: HeldReleases<'a>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) cancel: &'a CancelToken,
    /// What to tell of bytes that were fetched or found, of how many.
    pub(crate) told: fn(u64, u64) -> Event,
}

/// A tree that is being rebuilt: what is sound stands in it already.
pub(crate) struct Rebuilt {
    staging: PathBuf,
    written: Vec<PathBuf>,
    /// Files that are in no release on the device, by their places in the listing.
    pub(crate) missing: Vec<usize>,
    /// Files that were restored from other releases on the device.
    pub(crate) found: u64,
}

impl Assembler<'_> {
    /// Begins a tree of `manifest`: links all but the files that are `lacking` from the tree `base`,
    /// and the rest from any release on the device that has it, comparing each byte.
    pub(crate) fn begin(
        &self,
        manifest: &Manifest,
        base: &Path,
        lacking: &HashSet<&str>,
    ) -> Result<Rebuilt, UpdateError> {
        let staging = self.layout.staged(&manifest.digest());
        self.disk.remove_tree(&staging)?;
        let tree = LibraryLayout::tree_within(&staging);
        let files = manifest.listing().entries().iter().map(|of| &of.path);
        create_folders(self.disk, self.layout, (&staging, &tree), files)?;
        let mut rebuilt = Rebuilt {
            staging,
            written: Vec::new(),
            missing: Vec::new(),
            found: 0,
        };
        let mut wanted: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (index, entry) in manifest.listing().entries().iter().enumerate() {
            self.cancel.check()?;
            let (from, to) = (entry.path.under(base), entry.path.under(&tree));
            let is_lacking = lacking.contains(entry.path.as_str())
                || self.disk.length(&from)? != Some(entry.length);
            if is_lacking {
                wanted.entry(entry.digest).or_default().push(index);
                continue;
            }
            let link = self.disk.link_or_copy(&from, &to)?;
            if link.needs_sync() {
                rebuilt.written.push(to);
            }
        }
        self.find_on_device(manifest, &tree, &mut wanted, &mut rebuilt)?;
        rebuilt.missing = wanted.into_values().flatten().collect();
        rebuilt.missing.sort_unstable();
        Ok(rebuilt)
    }

    /// Fetches what is on no release of the device.
    pub(crate) fn fetch(
        &self,
        manifest: &Manifest,
        rebuilt: &mut Rebuilt,
        chunks: &mut ChunkFetcher<'_>,
    ) -> Result<(), UpdateError> {
        let tree = LibraryLayout::tree_within(&rebuilt.staging);
        let entries = manifest.listing().entries();
        let missing = std::mem::take(&mut rebuilt.missing);
        let firsts = firsts(entries, &missing);
        chunks.over(&firsts, |chunks| {
            self.take(&missing, (entries, &tree), rebuilt, chunks)
        })
    }

    fn take(
        &self,
        missing: &[usize],
        (entries, tree): (&[Entry], &Path),
        rebuilt: &mut Rebuilt,
        chunks: &mut ChunkFetcher<'_>,
    ) -> Result<(), UpdateError> {
        let entry_at = |index: &usize| entries.get(*index);
        let total = missing
            .iter()
            .filter_map(entry_at)
            .map(|of| of.length)
            .sum();
        let mut done = 0;
        let mut fetched: HashMap<Digest, PathBuf> = HashMap::new();
        for index in missing.iter().copied() {
            let Some(entry) = entries.get(index) else {
                continue;
            };
            let path = entry.path.under(tree);
            if let Some(same) = fetched.get(&entry.digest) {
                self.disk.link_or_copy(same, &path)?;
                rebuilt.written.push(path);
                continue;
            }
            let mut file = self.disk.create(&path)?;
            let mut digest = DigestWriter::new(io::sink());
            chunks.file(index, |piece| {
                file.write_all(piece)?;
                digest
                    .write_all(piece)
                    .map_err(|e| DiskError::new(Operation::Write, &path, e))?;
                done += piece.len() as u64;
                self.observer.event(&(self.told)(done, total));
                Ok(())
            })?;
            drop(file);
            let found = digest.digest();
            if found != entry.digest {
                return Err(UpdateError::Damaged {
                    at: path,
                    expected: entry.digest.to_string(),
                    found: found.to_string(),
                });
            }
            fetched.insert(entry.digest, path.clone());
            rebuilt.written.push(path);
        }
        Ok(())
    }

    /// Makes the tree durable and gives it a place among the pack's releases; returns its number.
    pub(crate) fn finish(
        &self,
        pack: &PackName,
        manifest: &Manifest,
        rebuilt: Rebuilt,
    ) -> Result<u32, UpdateError> {
        let Rebuilt {
            staging,
            mut written,
            ..
        } = rebuilt;
        let path = LibraryLayout::manifest_within(&staging);
        self.disk.create(&path)?.write_all(&manifest.encode())?;
        written.push(path);
        self.observer.event(&Event::Syncing);
        self.disk.sync_tree(&staging, &written)?;
        for file in &written {
            self.disk.set_read_only(file)?;
        }
        place(self.disk, self.layout, pack, (&manifest.digest(), &staging))
    }

    /// Copies wanted files from wherever they stand on the device, this release included, and takes
    /// them off the list.
    fn find_on_device(
        &self,
        manifest: &Manifest,
        tree: &Path,
        wanted: &mut BTreeMap<Digest, Vec<usize>>,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), UpdateError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let entries = manifest.listing().entries();
        self.held.files(|entry, there| {
            let Some(indices) = wanted.get(&entry.digest) else {
                return Ok(ControlFlow::Continue(()));
            };
            let from = entry.path.under(there);
            if !self.is_sound(&from, entry)? {
                return Ok(ControlFlow::Continue(()));
            }
            for target in indices.iter().filter_map(|index| entries.get(*index)) {
                self.cancel.check()?;
                let to = target.path.under(tree);
                if self.disk.link_or_copy(&from, &to)?.needs_sync() {
                    rebuilt.written.push(to);
                }
                rebuilt.found += 1;
            }
            wanted.remove(&entry.digest);
            Ok(enough(wanted.is_empty()))
        })
    }

    /// Whether a file is what its manifest says, byte by byte.
    fn is_sound(&self, path: &Path, entry: &Entry) -> Result<bool, UpdateError> {
        if self.disk.length(path).ok().flatten() != Some(entry.length) {
            return Ok(false);
        }
        // One that cannot be read is as good as none: there may be another.
        Ok(self.digest(path).is_ok_and(|found| found == entry.digest))
    }

    fn digest(&self, path: &Path) -> Result<Digest, DiskError> {
        let reader = self.disk.open(path)?;
        Digest::of_reader(reader).map_err(|e| DiskError::new(Operation::Read, path, e))
    }
}
