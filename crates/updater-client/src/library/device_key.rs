//! The key by which a device signs its receipts.

use release_format::DeviceKey;
use serde::{Deserialize, Serialize};

use super::disk::{Disk, DiskError, Operation};
use super::layout::LibraryLayout;
use super::record::{self, RecordError};
use crate::error::UpdateError;

/// Returns the library's key; `None` where it has none yet.
///
/// # Errors
/// [`UpdateError::Damaged`], [`UpdateError::NewerFormat`], [`UpdateError::Disk`].
pub fn load(disk: &dyn Disk, layout: &LibraryLayout) -> Result<Option<DeviceKey>, UpdateError> {
    let path = layout.device_key();
    let Some(bytes) = disk.read(&path, MAX_BYTES)? else {
        return Ok(None);
    };
    let key = decode(&bytes).map_err(|error| error.at(&path))?;
    Ok(Some(key))
}

/// Returns the library's key, made where there is none, or none that can be read; the library's lock is
/// held.
///
/// A key that is lost is nothing worse: the device is another one from then on to whoever counts.
///
/// # Errors
/// [`UpdateError::NewerFormat`], [`UpdateError::DiskFull`], [`UpdateError::Disk`].
pub(crate) fn load_or_make(
    disk: &dyn Disk,
    layout: &LibraryLayout,
) -> Result<DeviceKey, UpdateError> {
    match load(disk, layout) {
        Ok(Some(key)) => return Ok(key),
        Ok(None) | Err(UpdateError::Damaged { .. }) => {}
        Err(failed) => return Err(failed),
    }
    let mut seed = [0; DeviceKey::SEED_LENGTH];
    getrandom::fill(&mut seed).map_err(|failed| {
        let source = std::io::Error::other(failed.to_string());
        DiskError::new(Operation::Read, "the system's random numbers", source)
    })?;
    let document = Document {
        format: FORMAT,
        seed: hex::encode(seed),
    };
    let bytes = record::digested(record::write_json(&document));
    disk.write_privately(&layout.device_key(), &bytes)?;
    Ok(DeviceKey::from_seed(&seed))
}

fn decode(bytes: &[u8]) -> Result<DeviceKey, RecordError> {
    let document: Document = record::read_json(record::undigested(bytes)?, FORMAT)?;
    let mut seed = [0; DeviceKey::SEED_LENGTH];
    hex::decode_to_slice(&document.seed, &mut seed)
        .map_err(|_| RecordError::damaged("a seed of 64 hexadecimal digits", "another text"))?;
    Ok(DeviceKey::from_seed(&seed))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    seed: String,
}

const FORMAT: u64 = 1;
const MAX_BYTES: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        assert!(load(&disk, &layout).unwrap().is_none());
        let made = load_or_make(&disk, &layout).unwrap().id();
        assert_eq!(load_or_make(&disk, &layout).unwrap().id(), made);
        assert_eq!(load(&disk, &layout).unwrap().unwrap().id(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(layout.device_key())
                .unwrap()
                .permissions();
            assert_eq!(mode.mode() & 0o077, 0);
        }
    }

    #[test]
    fn a_damaged_key_is_told_and_replaced_and_a_newer_one_is_kept() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        let first = load_or_make(&disk, &layout).unwrap().id();
        std::fs::write(layout.device_key(), "{}").unwrap();
        let damaged = load(&disk, &layout);
        assert!(matches!(damaged, Err(UpdateError::Damaged { .. })));
        assert_ne!(load_or_make(&disk, &layout).unwrap().id(), first);
        let newer = record::digested("{\"format\": 2}".to_owned() + "\n");
        std::fs::write(layout.device_key(), newer).unwrap();
        let refused = load_or_make(&disk, &layout);
        assert!(matches!(refused, Err(UpdateError::NewerFormat { .. })));
    }
}
