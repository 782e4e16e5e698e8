use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::{Exit, Failure};

/// A file or folder that is written beside its place and takes it once it is whole.
///
/// Dropped before [`Aside::finish`] it leaves nothing.
pub(crate) struct Aside {
    target: PathBuf,
    // Its own permissions keep others out, so what is inside can have ordinary ones.
    folder: TempDir,
}

impl Aside {
    /// Makes room beside `target`.
    pub(crate) fn beside(target: &Path) -> Result<Aside, Failure> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = tempfile::Builder::new()
            .prefix(".satchel-")
            .tempdir_in(parent)
            .map_err(|error| Failure::io("write to", parent, &error))?;
        Ok(Aside {
            target: target.to_path_buf(),
            folder,
        })
    }

    /// As [`Aside::beside`], for a `target` that must not exist, or may be an empty folder.
    pub(crate) fn beside_absent(target: &Path) -> Result<Aside, Failure> {
        let is_free = match fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_free {
            return Aside::beside(target);
        }
        let message = format!("{} exists already", target.display());
        Err(Failure::new(Exit::Other, "exists", message)
            .with_remedy("Choose a path where nothing is, or remove what is there."))
    }

    /// Returns where to write.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("new")
    }

    /// Puts what was written in its place, durably as far as it is one file.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let written = self.path();
        let failed = |error: io::Error| Failure::io("write", &self.target, &error);
        if written.is_file() {
            // Windows flushes only what is open for writing.
            fs::File::options()
                .write(true)
                .open(&written)
                .and_then(|file| file.sync_all())
                .map_err(failed)?;
        } else if self.target.is_dir() {
            // Windows renames no folder over another one, not even over an empty one.
            fs::remove_dir(&self.target).map_err(failed)?;
        }
        fs::rename(&written, &self.target).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_what_was_not_finished() {
        let place = tempfile::tempdir().unwrap();
        let aside = Aside::beside(&place.path().join("delta")).unwrap();
        fs::write(aside.path(), b"half").unwrap();
        drop(aside);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_finished_file_takes_the_place_of_an_older_one() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("delta");
        fs::write(&target, b"older").unwrap();
        let aside = Aside::beside(&target).unwrap();
        fs::write(aside.path(), b"newer").unwrap();
        aside.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"newer");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_not_overwritten_where_nothing_may_be() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("new");
        fs::create_dir(&target).unwrap();
        let aside = Aside::beside_absent(&target).unwrap();
        fs::create_dir(aside.path()).unwrap();
        aside.finish().unwrap();
        fs::write(target.join("file"), b"kept").unwrap();
        for taken in [&target, &target.join("file")] {
            let refused = Aside::beside_absent(taken)
                .err()
                .map(|failure| failure.code);
            assert_eq!(refused, Some("exists"), "{}", taken.display());
        }
    }
}
