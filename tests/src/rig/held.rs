//! Files that another program has open.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is open as some programs open theirs: on Windows, others can then not do everything
/// with it. Elsewhere it is only open.
///
/// Who may do what is decided handle by handle, so it is all one whether the other program is one.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    _file: File,
}

/// What whoever has a file open lets others do with it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// To read it: what most programs do that play or show a file.
    Reading,
    /// Nothing at all: what scanners and backups do for a moment.
    Nothing,
}

impl Held {
    /// Opens the file at `path` for reading, and keeps it open.
    ///
    /// # Errors
    /// Whatever opening it fails with.
    pub fn open(path: &Path, sharing: Sharing) -> io::Result<Held> {
        let mut options = OpenOptions::new();
        options.read(true);
        share(&mut options, sharing);
        Ok(Held {
            path: path.to_owned(),
            _file: options.open(path)?,
        })
    }

    /// Returns the name of the file, without its folders: it may be known by several.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

#[cfg(windows)]
fn share(options: &mut OpenOptions, sharing: Sharing) {
    use std::os::windows::fs::OpenOptionsExt;
    options.share_mode(match sharing {
        Sharing::Reading => 1,
        Sharing::Nothing => 0,
    });
}

#[cfg(not(windows))]
fn share(_options: &mut OpenOptions, _sharing: Sharing) {}
