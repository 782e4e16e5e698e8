use std::collections::HashSet;
use std::path::Path;

use diff_core::{CancelToken, Digest, Listing};
use release_format::{CatalogueRelease, ChunkMap, Manifest};

use super::Updater;
use crate::UpdateError;
use crate::event::Event;
use crate::library::content::{HeldChunks, HeldReleases};
use crate::library::state::StateRecord;
use crate::step::assemble::Assembler;
use crate::step::chunks::{ChunkFetcher, chunks_of};
use crate::step::fetch::Fetcher;
use crate::step::plan::ChunkWay;

/// What it takes to put a release together of chunks.
pub(super) struct ChunkMeans {
    pub(super) manifest: Manifest,
    map: ChunkMap,
    held: HeldChunks,
    pub(super) way: ChunkWay,
}

impl Updater {
    /// Finds out what it would cost to put `release` together of what the library holds and of chunks.
    pub(super) fn chunk_means(
        &self,
        release: &CatalogueRelease,
        fetcher: &Fetcher<'_>,
        cancel: &CancelToken,
    ) -> Result<ChunkMeans, UpdateError> {
        let limits = &self.config.limits;
        let manifest = Manifest::decode(&fetcher.content(&release.manifest)?, limits)?;
        let map = ChunkMap::decode(&fetcher.content(&release.chunk_map)?, limits)?;
        let listing = manifest.listing();
        let missing = missing(listing, &self.held().known_of(listing)?);
        let held = self.held_chunks(&manifest, &map, &missing, cancel)?;
        let cost = ChunkFetcher::new(fetcher.documents(), listing, &map, &held)?.cost(&missing);
        let way = ChunkWay {
            fetch_bytes: cost.bytes,
            requests: cost.requests,
            built_bytes: cost.built_bytes,
        };
        Ok(ChunkMeans {
            manifest,
            map,
            held,
            way,
        })
    }

    /// Returns the chunks of the files with these places in the listing that stand in the pack's releases
    /// on the device.
    pub(super) fn held_chunks(
        &self,
        manifest: &Manifest,
        map: &ChunkMap,
        missing: &[usize],
        cancel: &CancelToken,
    ) -> Result<HeldChunks, UpdateError> {
        let listing = manifest.listing();
        let is_missing = |index: &usize| missing.binary_search(index).is_ok();
        let whole = listing.entries().iter().enumerate();
        let whole = whole.filter(|(index, _)| !is_missing(index));
        let whole = whole.map(|(_, entry)| entry.digest).collect();
        let wanted = chunks_of(listing, map, missing);
        self.held().chunks(manifest.pack(), &wanted, &whole, cancel)
    }

    /// Returns the releases of all packs that lie on the device.
    pub(super) fn held(&self) -> HeldReleases<'_> {
        HeldReleases::new(self.disk(), &self.layout, &self.config.limits)
    }

    /// Puts a release together of what the library holds and of chunks; returns the number of its
    /// tree.
    pub(super) fn take_chunks(
        &self,
        record: &StateRecord,
        means: &ChunkMeans,
        budget: Option<u64>,
        (fetcher, cancel): (&Fetcher<'_>, &CancelToken),
    ) -> Result<u32, UpdateError> {
        let assembler = Assembler {
            disk: self.disk(),
            layout: &self.layout,
            held: self.held(),
            observer: self.observer(),
            cancel,
            told: |done, total| Event::Staging { done, total },
        };
        let manifest = &means.manifest;
        let listing = manifest.listing();
        let base = record.active().map(|active| {
            let known = self.manifest(record, active);
            (known, self.tree(record, active))
        });
        // A release whose manifest is damaged is looked for file by file like any other.
        let (known, tree) = match &base {
            Some((Ok(known), tree)) => (Some(known.listing()), tree.as_path()),
            _ => (None, Path::new("")),
        };
        let lacking = lacking(listing, known);
        let outcome = (|| {
            let mut rebuilt = assembler.begin(manifest, tree, &lacking)?;
            let mut chunks =
                ChunkFetcher::new(fetcher.documents(), listing, &means.map, &means.held)?;
            // What was held may have turned out damaged.
            let needed = chunks.cost(&rebuilt.missing).bytes;
            if let Some(budget) = budget
                && needed > budget
            {
                return Err(UpdateError::OverBudget { needed, budget });
            }
            assembler.fetch(manifest, &mut rebuilt, &mut chunks)?;
            assembler.finish(record.pack(), manifest, rebuilt)
        })();
        if outcome.is_err() {
            // Only tidiness: whatever stays is removed by the next recovery.
            let staging = self.layout.staged(&manifest.digest());
            let _ = self.disk().remove_tree(&staging);
        }
        outcome
    }
}

/// Returns the places of the files whose content is not `known`.
fn missing(listing: &Listing, known: &HashSet<Digest>) -> Vec<usize> {
    let entries = listing.entries().iter().enumerate();
    let missing = entries.filter(|(_, entry)| !known.contains(&entry.digest));
    missing.map(|(index, _)| index).collect()
}

/// Returns the paths of the files that do not stand in `known` as they are in `listing`.
fn lacking<'l>(listing: &'l Listing, known: Option<&Listing>) -> HashSet<&'l str> {
    let known: HashSet<(&str, Digest)> = known
        .into_iter()
        .flat_map(Listing::entries)
        .map(|entry| (entry.path.as_str(), entry.digest))
        .collect();
    let entries = listing.entries().iter();
    entries
        .map(|entry| (entry.path.as_str(), entry.digest))
        .filter(|entry| !known.contains(entry))
        .map(|(path, _)| path)
        .collect()
}
