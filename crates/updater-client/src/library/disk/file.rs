use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{fmt, mem};

use super::error::{DiskError, Operation};
use super::patience::uninterrupted;

/// A file of the library that is being written.
///
/// Once a write or sync failed it refuses all further work: a later sync that succeeds would say
/// nothing of the bytes that the failed one has dropped.
pub struct DiskFile {
    path: PathBuf,
    raw: Box<dyn RawFile>,
    failed: bool,
}

/// What a disk brings for each file that it opens for writing.
pub trait RawFile: Send {
    /// Writes some of `bytes` and returns how many.
    ///
    /// # Errors
    /// As [`Write::write`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts the file off at `length`, or extends it by zeros; what is written next goes to its end.
    ///
    /// # Errors
    /// As [`std::fs::File::set_len`].
    fn set_length(&mut self, length: u64) -> io::Result<()>;

    /// Makes what was written durable, but not the file's name.
    ///
    /// # Errors
    /// As [`std::fs::File::sync_all`].
    fn sync(&mut self) -> io::Result<()>;
}

impl DiskFile {
    /// Returns a file over what a disk opened at `path`.
    pub fn new(path: impl Into<PathBuf>, raw: Box<dyn RawFile>) -> DiskFile {
        DiskFile {
            path: path.into(),
            raw,
            failed: false,
        }
    }

    /// Returns where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of `bytes` behind what was written before.
    ///
    /// # Errors
    /// [`DiskError`]; part of the bytes may have been written.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), DiskError> {
        while !bytes.is_empty() {
            let count = self.attempt(Operation::Write, |raw| {
                match uninterrupted(|| raw.write(bytes)) {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    outcome => outcome,
                }
            })?;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Cuts the file off at `length`, or extends it by zeros; what is written next goes to its end.
    ///
    /// # Errors
    /// [`DiskError`] when the length cannot be changed.
    pub fn set_length(&mut self, length: u64) -> Result<(), DiskError> {
        self.attempt(Operation::SetLength, |raw| {
            uninterrupted(|| raw.set_length(length))
        })
    }

    /// Makes what was written durable, but not the file's name.
    ///
    /// # Errors
    /// [`DiskError`]: nothing that was written since the last sync may then be trusted.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        self.attempt(Operation::Sync, |raw| uninterrupted(|| raw.sync()))
    }

    fn attempt<T>(
        &mut self,
        operation: Operation,
        work: impl FnOnce(&mut dyn RawFile) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        // Set before the work and cleared after it, so that a panic within leaves it set.
        let outcome = if mem::replace(&mut self.failed, true) {
            Err(io::Error::other("an earlier write to this file failed"))
        } else {
            work(self.raw.as_mut())
        };
        match outcome {
            Ok(value) => {
                self.failed = false;
                Ok(value)
            }
            Err(source) => Err(DiskError::new(operation, &self.path, source)),
        }
    }
}

/// Errors carry a [`DiskError`] within, which [`DiskError::from_io`] finds again.
impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskFile({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A file that fails from its nth call on as told.
    struct Script {
        outcomes: Vec<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl RawFile for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.outcomes.remove(0)?;
            self.written.lock().unwrap().extend(&bytes[..count]);
            Ok(count)
        }

        fn set_length(&mut self, _length: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            self.outcomes.remove(0).map(|_| ())
        }
    }

    fn scripted(outcomes: Vec<io::Result<usize>>) -> (DiskFile, Arc<Mutex<Vec<u8>>>) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let script = Script {
            outcomes,
            written: Arc::clone(&written),
        };
        (DiskFile::new("lesson", Box::new(script)), written)
    }

    #[test]
    fn short_and_interrupted_writes_go_on() {
        let interrupted = Err(io::ErrorKind::Interrupted.into());
        let (mut file, written) = scripted(vec![Ok(2), interrupted, Ok(4)]);
        file.write_all(b"lesson").unwrap();
        assert_eq!(*written.lock().unwrap(), b"lesson");
    }

    #[test]
    fn a_file_whose_sync_or_write_failed_refuses_all_further_work() {
        for failure in [Err(io::ErrorKind::StorageFull.into()), Ok(0)] {
            let (mut file, _) = scripted(vec![failure]);
            file.write_all(b"lesson").unwrap_err();
            assert_eq!(file.sync().unwrap_err().operation, Operation::Sync);
            assert_eq!(
                file.set_length(0).unwrap_err().operation,
                Operation::SetLength
            );
        }
        let (mut file, written) = scripted(vec![Err(io::Error::other("lost")), Ok(6)]);
        file.sync().unwrap_err();
        let refused = file.write_all(b"lesson").unwrap_err();
        assert_eq!(refused.operation, Operation::Write);
        assert!(written.lock().unwrap().is_empty());
    }

    #[test]
    fn what_a_writer_reports_is_found_again_within_its_error() {
        let (mut file, _) = scripted(vec![Err(io::ErrorKind::StorageFull.into())]);
        let failed = io::copy(&mut &b"lesson"[..], &mut file).unwrap_err();
        let found = DiskError::from_io(Operation::Read, "elsewhere", failed);
        assert_eq!((found.operation, found.is_full()), (Operation::Write, true));
        assert_eq!(found.path, Path::new("lesson"));
    }
}
