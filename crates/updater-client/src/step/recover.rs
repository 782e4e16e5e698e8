use diff_core::Digest;
use release_format::PackName;

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::disk::Disk;
use crate::library::layout::LibraryLayout;
use crate::library::state::{StateRecord, StateStore};

/// Finishes or undoes what an interrupted run left; the library's lock is held.
///
/// A release that was being built is dropped: nothing refers to it, and what was fetched for it is
/// kept. The state record decides everything else, so there is nothing to finish but its own write.
pub(crate) fn recover(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    pack: &PackName,
    observer: &dyn Observer,
) -> Result<(), UpdateError> {
    for entry in disk.list(&layout.staging())? {
        let path = layout.staging().join(&entry.name);
        disk.remove_tree(&path)?;
        let what = format!("{} was half built and is removed", path.display());
        observer.event(&Event::Recovered { what });
    }
    disk.remove_asides(layout.root())?;
    // A pack without a folder has no record to settle, and shall get neither from being asked for.
    if !layout.pack(pack).is_dir() {
        return Ok(());
    }
    if let Some(damage) = StateStore::new(disk, layout, pack).settle()?.damage {
        let what = format!("the state record of {pack} is written anew: {damage}");
        observer.event(&Event::Recovered { what });
    }
    Ok(())
}

/// Removes the releases of a pack that are neither active nor fallback nor about to be.
pub(crate) fn drop_unneeded(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    record: &StateRecord,
    next: &Digest,
) -> Result<(), UpdateError> {
    let releases = layout.releases(record.pack());
    let needed = [record.active(), record.fallback()].into_iter().flatten();
    let mut needed: Vec<String> = needed.map(|release| release.manifest.short()).collect();
    needed.push(next.short());
    for entry in disk.list(&releases)? {
        if !needed.iter().any(|name| entry.name == name.as_str()) {
            disk.remove_tree(&releases.join(&entry.name))?;
        }
    }
    Ok(())
}
