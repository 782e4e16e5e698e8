//! Taking names away: where Windows refuses it, by which file and why.

use std::fs;
use std::io;
use std::path::Path;

use super::patience::patiently_unnaming;
use super::{DiskError, Operation};

/// Renames a file or folder; a file at `to` is replaced, read-only or not.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    patiently_unnaming(|| rename_once(from, to))
        .map_err(|failed| blame(Operation::Rename, from, Some(to), failed))
}

/// Removes a file, read-only or not.
pub(super) fn remove_file(path: &Path) -> Result<(), DiskError> {
    match patiently_unnaming(|| remove_once(path)) {
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|failed| blame(Operation::Remove, path, None, failed)),
    }
}

#[cfg(not(windows))]
fn rename_once(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[cfg(not(windows))]
fn remove_once(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

#[cfg(not(windows))]
fn blame(operation: Operation, path: &Path, _to: Option<&Path>, failed: io::Error) -> DiskError {
    DiskError::new(operation, path, failed)
}

/// Windows replaces no file that is read-only, as all are in a library that was copied from a disc.
#[cfg(windows)]
fn rename_once(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(refused) if is_denied(&refused) && make_writable(to) => fs::rename(from, to),
        outcome => outcome,
    }
}

/// The standard library removes a file that is read-only, as all files of a release are, but not on
/// FAT, and not before Windows 10 1809. All names of a file lose the attribute, which harms nothing.
#[cfg(windows)]
fn remove_once(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(refused) if is_denied(&refused) && make_writable(path) => fs::remove_file(path),
        outcome => outcome,
    }
}

#[cfg(windows)]
fn is_denied(refused: &io::Error) -> bool {
    refused.raw_os_error() == Some(super::patience::ACCESS_DENIED)
}

/// Takes the attribute from a file that has it; tells whether it did.
#[cfg(windows)]
fn make_writable(path: &Path) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else {
        return false;
    };
    let mut permissions = found.permissions();
    if !found.is_file() || !permissions.readonly() {
        return false;
    }
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).is_ok()
}

/// Returns the failure, of the very file that another program holds where there is one.
///
/// Windows says the same of a file that is open and of one that this user may not touch, and of a
/// folder it does not say which file in it is open.
#[cfg(windows)]
fn blame(operation: Operation, path: &Path, to: Option<&Path>, failed: io::Error) -> DiskError {
    use super::patience::{SHARING_VIOLATION, is_held};

    if !is_denied(&failed) && !is_held(&failed) {
        return DiskError::new(operation, path, failed);
    }
    let is_there = |place: &&Path| fs::symlink_metadata(place).is_ok();
    let places: Vec<&Path> = to.into_iter().chain([path]).filter(is_there).collect();
    let held = || io::Error::from_raw_os_error(SHARING_VIOLATION);
    if let Some(file) = places.iter().find_map(|place| held_below(place)) {
        return DiskError::new(operation, file, held());
    }
    // Open and shared, or mapped: not to be seen from outside, but that nothing else forbids it is.
    let is_granted = |place: &&Path| asking_to_delete(place).is_ok();
    match places.first() {
        Some(place) if places.iter().all(is_granted) => DiskError::new(operation, *place, held()),
        _ => DiskError::new(operation, path, failed),
    }
}

/// Returns the first file, `path` itself or one below it, that somebody has open and does not share.
#[cfg(windows)]
fn held_below(path: &Path) -> Option<std::path::PathBuf> {
    let found = fs::symlink_metadata(path).ok()?;
    if asking_to_delete(path).is_err_and(|failed| super::patience::is_held(&failed)) {
        return Some(path.to_owned());
    }
    if !found.is_dir() {
        return None;
    }
    let entries = fs::read_dir(path).ok()?;
    entries
        .flatten()
        .find_map(|entry| held_below(&entry.path()))
}

/// Opens a file or folder with the right to take its name away, and does not use it.
#[cfg(windows)]
fn asking_to_delete(path: &Path) -> io::Result<fs::File> {
    use std::os::windows::fs::OpenOptionsExt;

    const DELETE: u32 = 0x0001_0000;
    const SHARED_WITH_ALL: u32 = 7;
    /// Folders too, and a link itself rather than what it leads to.
    const FLAGS: u32 = 0x0200_0000 | 0x0020_0000;
    fs::OpenOptions::new()
        .access_mode(DELETE)
        .share_mode(SHARED_WITH_ALL)
        .custom_flags(FLAGS)
        .open(path)
}
