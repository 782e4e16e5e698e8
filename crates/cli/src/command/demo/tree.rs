use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Returns what differs between two folders, compared byte for byte; nothing when they are equal.
pub(super) fn difference(one: &Path, other: &Path) -> io::Result<Option<String>> {
    let (files, others) = (files(one)?, files(other)?);
    if let Some(path) = files.symmetric_difference(&others).next() {
        return Ok(Some(format!("{} is in one of them only", path.display())));
    }
    for path in &files {
        if fs::read(one.join(path))? != fs::read(other.join(path))? {
            return Ok(Some(format!("{} differs", path.display())));
        }
    }
    Ok(None)
}

/// Copies every file below `from` to `to`.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for path in files(from)? {
        let target = to.join(&path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(from.join(&path), target)?;
    }
    Ok(())
}

/// Changes one bit of a file: of the byte behind `text` where it has that, else in its middle.
pub(super) fn flip_a_bit(path: &Path, text: &str) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    let found = bytes
        .windows(text.len().max(1))
        .position(|window| window == text.as_bytes());
    let place = found.map_or(bytes.len() / 2, |start| start + text.len());
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1;
    }
    fs::write(path, bytes)
}

/// Makes everything below `folder` writable, so that it can be removed: installed releases are not.
pub(super) fn unlock(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        make_writable(&entry.path(), &entry.metadata()?)?;
        if entry.file_type()?.is_dir() {
            unlock(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn make_writable(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o700))
}

#[cfg(not(unix))]
#[allow(clippy::permissions_set_readonly_false)] // Windows has no others to let in.
fn make_writable(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let mut permissions = metadata.permissions();
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions)
}

/// Returns the paths of all files below `root`, relative to it.
fn files(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_until_a_bit_is_flipped_or_a_file_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let (one, other) = (place.path().join("one"), place.path().join("other"));
        fs::create_dir_all(one.join("unit")).unwrap();
        fs::write(one.join("unit/lesson"), b"lesson").unwrap();
        copy(&one, &other).unwrap();
        assert_eq!(difference(&one, &other).unwrap(), None);
        flip_a_bit(&other.join("unit/lesson"), "les").unwrap();
        assert_eq!(fs::read(other.join("unit/lesson")).unwrap(), b"lesron");
        assert!(
            difference(&one, &other)
                .unwrap()
                .unwrap()
                .ends_with("differs")
        );
        fs::remove_file(other.join("unit/lesson")).unwrap();
        assert!(difference(&one, &other).unwrap().unwrap().ends_with("only"));
    }
}
