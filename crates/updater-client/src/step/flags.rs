use std::collections::BTreeSet;

use release_format::{DeviceId, PackName, Rollout};
use serde::{Deserialize, Serialize};

use crate::UpdateError;
use crate::library::disk::Disk;
use crate::library::layout::LibraryLayout;
use crate::library::record;

/// Keeps which flags of a pack the device shows, for a host that asks without a network.
pub(crate) fn keep(
    (disk, layout): (&dyn Disk, &LibraryLayout),
    rollout: &Rollout,
    device: &DeviceId,
) -> Result<(), UpdateError> {
    let path = layout.flags(&rollout.pack);
    let flags = rollout.flags_of(device);
    let before = disk.read(&path, MAX_BYTES)?;
    let document = Document {
        format: FORMAT,
        flags,
    };
    let bytes = record::write_json(&document).into_bytes();
    // A pack that has no flags, as most have none, has no file.
    let is_current = match &before {
        Some(before) => *before == bytes,
        None => document.flags.is_empty(),
    };
    if !is_current {
        disk.write_durably(&path, &bytes)?;
    }
    Ok(())
}

/// Returns the flags of a pack that were on when the repository was last asked.
pub(crate) fn load(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    pack: &PackName,
) -> Result<BTreeSet<String>, UpdateError> {
    let path = layout.flags(pack);
    let Some(bytes) = disk.read(&path, MAX_BYTES)? else {
        return Ok(BTreeSet::new());
    };
    let document: Document = record::read_json(&bytes, FORMAT).map_err(|error| error.at(&path))?;
    Ok(document.flags)
}

const FORMAT: u64 = 1;
/// More than the flags of a rollout take.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    flags: BTreeSet<String>,
}
