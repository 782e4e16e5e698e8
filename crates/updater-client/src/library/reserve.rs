//! Room that is kept for going back.

use super::disk::{Disk, DiskError};
use super::layout::LibraryLayout;

/// Sees to it that the reserve is there, for as long as the disk has room for it.
///
/// # Errors
/// [`DiskError`], but none for a full disk, or where another program has the file open.
pub(crate) fn keep(disk: &dyn Disk, layout: &LibraryLayout) -> Result<(), DiskError> {
    let path = layout.reserve();
    if disk.length(&path)? == Some(RESERVE_BYTES as u64) {
        return Ok(());
    }
    // Not of zeros, which some file systems keep without giving them room.
    match disk.write_durably(&path, &[b'r'; RESERVE_BYTES]) {
        Err(full) if full.is_full() => Ok(()),
        Err(held) if held.is_held() => Ok(()),
        outcome => outcome,
    }
}

/// Gives the reserve up; tells whether there was one.
///
/// # Errors
/// [`DiskError`] when it cannot be removed.
pub(crate) fn give_up(disk: &dyn Disk, layout: &LibraryLayout) -> Result<bool, DiskError> {
    let path = layout.reserve();
    if disk.length(&path)?.is_none() {
        return Ok(false);
    }
    disk.remove_file(&path)?;
    Ok(true)
}

/// A state record, the one before it and what their folder may grow by, several times over.
const RESERVE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn the_reserve_is_given_up_once_and_kept_again() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        for _ in 0..2 {
            keep(&disk, &layout).unwrap();
            keep(&disk, &layout).unwrap();
            let found = disk.length(&layout.reserve()).unwrap();
            assert_eq!(found, Some(RESERVE_BYTES as u64));
            assert!(give_up(&disk, &layout).unwrap());
            assert!(!give_up(&disk, &layout).unwrap());
        }
    }
}
