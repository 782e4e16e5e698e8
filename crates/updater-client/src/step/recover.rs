use std::collections::BTreeSet;
use std::path::Path;

use diff_core::Digest;
use release_format::{Catalogue, CatalogueRelease, ContentReference, ReceiptId, TrustLimits};

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::device_key;
use crate::library::disk::Disk;
use crate::library::layout::LibraryLayout;
use crate::library::outbox::Outbox;
use crate::library::reserve;
use crate::library::state::{StateRecord, StateStore, Stored};
use crate::library::trust_store::TrustStore;

/// Finishes or undoes what an interrupted run left; the library's lock is held.
///
/// A release that was being built is dropped: nothing refers to it, and what was fetched for it is
/// kept. The state record decides everything else, so there is nothing to finish but its own write.
pub(crate) fn recover(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    observer: &dyn Observer,
) -> Result<(), UpdateError> {
    if layout.lacks_folders(disk)? {
        layout.create(disk)?;
        let what = "folders of the library were gone and are there again".to_owned();
        observer.event(&Event::Recovered { what });
    }
    let half_done = disk.list(&layout.staging())?;
    if !half_done.is_empty() {
        // What was moved here has left its place for good, before any of it goes.
        for pack in layout.packs_present(disk)? {
            let releases = layout.releases(&pack);
            if disk.length(&releases)?.is_some() {
                disk.sync_dir(&releases)?;
            }
        }
    }
    for entry in half_done {
        let path = layout.staging().join(&entry.name);
        let what = match LibraryLayout::remove_release(disk, &path) {
            // Of use to nobody but who has it open, and in nobody's way.
            Err(held) if held.is_held() => {
                let file = held.path.display();
                format!("{file} was half done and is removed once no other program has it open")
            }
            outcome => {
                outcome?;
                format!("{} was half done and is removed", path.display())
            }
        };
        observer.event(&Event::Recovered { what });
    }
    disk.remove_asides(layout.root())?;
    // An enrolment that was killed between its last rename and its sync leaves a library that
    // everybody sees and a power cut takes back, with all that is done to it from now on.
    disk.sync_dir(layout.root())?;
    reserve::keep(disk, layout)?;
    TrustStore::new(disk, layout.trust(), TrustLimits::standard()).settle()?;
    disk.remove_asides(&layout.outbox())?;
    for pack in layout.packs_present(disk)? {
        match StateStore::new(disk, layout, &pack).settle() {
            Ok(Stored {
                damage: Some(damage),
                ..
            }) => {
                let what = format!("the state record of {pack} is written anew: {damage}");
                observer.event(&Event::Recovered { what });
            }
            Ok(Stored { record, .. }) => report(disk, layout, &record, observer),
            // Told to whoever asks for that pack; the others are not to suffer from it.
            Err(UpdateError::Damaged { .. } | UpdateError::NewerFormat { .. }) => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok(())
}

/// Puts what a record tells of ended trials into the outbox, and lets the record forget it.
///
/// In this order: a receipt leaves the outbox only when no record would bring it back. What cannot be
/// put there now waits in the record, and keeps nobody from an update.
fn report(disk: &dyn Disk, layout: &LibraryLayout, record: &StateRecord, observer: &dyn Observer) {
    if record.ended().is_empty() {
        return;
    }
    let trials: Vec<ReceiptId> = record
        .ended()
        .iter()
        .map(|ended| ended.began.trial)
        .collect();
    let store = StateStore::new(disk, layout, record.pack());
    let told = device_key::load_or_make(disk, layout)
        .and_then(|key| Outbox::new(disk, layout).queue(&key, record))
        .and_then(|()| store.change(|record| Ok(record.told(&trials))));
    if let Err(failed) = told {
        let reason = failed.to_string();
        observer.event(&Event::Unreported { reason });
    }
}

/// Removes the downloads of a pack that lead nowhere any more: those for any release but `next`.
pub(crate) fn drop_downloads(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    catalogue: &Catalogue,
    next: Option<&CatalogueRelease>,
) -> Result<(), UpdateError> {
    let present = disk.list(&layout.downloads())?;
    if present.is_empty() {
        return Ok(());
    }
    let wanted = next.into_iter().flat_map(contents);
    let wanted: BTreeSet<Digest> = wanted.map(|content| content.digest).collect();
    for release in &catalogue.releases {
        for content in contents(release).filter(|content| !wanted.contains(&content.digest)) {
            let path = layout.partial(&content.digest);
            if present
                .iter()
                .any(|entry| Some(&*entry.name) == path.file_name())
            {
                leave(disk, layout, content, &path)?;
            }
        }
    }
    Ok(())
}

/// Returns what may be fetched for a release: deltas, and what tells of its chunks.
fn contents(release: &CatalogueRelease) -> impl Iterator<Item = &ContentReference> {
    let deltas = release.deltas.iter().map(|delta| &delta.content);
    deltas.chain([&release.manifest, &release.chunk_map])
}

/// Leaves a download that this device needs no more to its neighbours, where it is their mirror and
/// has all of it; else removes it.
fn leave(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    content: &ContentReference,
    path: &Path,
) -> Result<(), UpdateError> {
    let is_mirror = disk.length(&layout.mirror_arriving())?.is_some();
    if is_mirror && disk.length(path)? == Some(content.length) {
        // The mirror compares it with its name before anybody gets it.
        match disk.rename(path, &layout.mirror_partial(&content.digest)) {
            // Windows moves nothing onto a file that the mirror has open: it is fetching the same.
            Err(_taken) => {}
            // A crash may undo it: it is left again then, or fetched.
            Ok(()) => return Ok(()),
        }
    }
    match disk.remove_file(path) {
        // Removed by a later update.
        Err(held) if held.is_held() => Ok(()),
        outcome => Ok(outcome?),
    }
}
