use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// The bytes of one file, mapped where a mapping is safe and read where it is not.
pub enum FileBytes {
    /// Mapped from a file that nobody truncates while it is mapped.
    Mapped(MappedFile),
    /// Read into memory.
    Owned(Vec<u8>),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            FileBytes::Mapped(mapped) => mapped,
            FileBytes::Owned(bytes) => bytes,
        }
    }
}

/// A file mapped into memory for reading.
///
/// Truncating a file under a mapping ends the program that reads it, so only files that Satchel or
/// the publisher owns are mapped: those of a device's library and of a publisher's own folders, never
/// those of a stick or a share.
pub struct MappedFile(Option<memmap2::Mmap>);

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// Whatever opening or mapping the file fails with; [`io::ErrorKind::InvalidInput`] when `path`
    /// is no regular file.
    pub fn open(path: &Path) -> io::Result<MappedFile> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let told = format!("{} is not a regular file", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
        }
        // A mapping of no bytes is an error on some platforms.
        if metadata.len() == 0 {
            return Ok(MappedFile(None));
        }
        map(&file).map(|mapping| MappedFile(Some(mapping)))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The only unsafe code of the workspace.
#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the mapping is read only, and the callers map nothing but files of a library or of a
    // publisher's folder, which are written aside and renamed into place, never truncated.
    unsafe { memmap2::Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_file_maps_to_no_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(&*MappedFile::open(&path).unwrap(), b"");
    }

    #[test]
    fn mapped_file_shows_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lesson");
        std::fs::write(&path, b"lesson").unwrap();
        assert_eq!(MappedFile::open(&path).unwrap().as_ref(), b"lesson");
    }

    #[test]
    fn folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(MappedFile::open(folder.path()).is_err());
    }
}
