use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use diff_core::ContentPath;

use super::{Body, Transport, TransportError, within};

/// A mirror in a folder: a stick, a share, a disk.
///
/// Files are read and never mapped, since a stick may be pulled out at any moment. Below the folder
/// nothing but folders and regular files is followed: a mirror has no links.
#[derive(Debug, Clone)]
pub struct FolderTransport {
    root: PathBuf,
}

impl FolderTransport {
    /// Returns the transport of the mirror at `root`, the folder that holds `metadata`.
    pub fn new(root: impl Into<PathBuf>) -> FolderTransport {
        FolderTransport { root: root.into() }
    }

    /// Looks at each step of the way before anything is opened: opening a pipe would block, and a link
    /// would lead anywhere.
    fn find(&self, location: &ContentPath) -> io::Result<PathBuf> {
        let mut path = self.root.clone();
        let mut found = fs::metadata(&path)?;
        for component in location.components() {
            expect_kind(&path, &found, "a folder", Metadata::is_dir)?;
            path.push(component);
            found = fs::symlink_metadata(&path)?;
        }
        expect_kind(&path, &found, "a regular file", Metadata::is_file)?;
        Ok(path)
    }

    fn read(&self, location: &ContentPath, from: u64) -> Result<Body, TransportError> {
        let failed = |source| self.failed(location, &source);
        let path = self.find(location).map_err(failed)?;
        let mut file = File::open(&path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        expect_kind(&path, &found, "a regular file", Metadata::is_file).map_err(failed)?;
        let length = found.len();
        if from > 0 && from >= length {
            return Err(TransportError::PastEnd {
                location: location.to_string(),
                asked: from,
                total: Some(length),
            });
        }
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let reader = FolderReader {
            file,
            transport: self.clone(),
            location: location.clone(),
            received: from,
            length,
        };
        Ok(Body {
            reader: Box::new(reader),
            starts_at: from,
            total: Some(length),
            content_type: None,
        })
    }

    /// Sorts a failure: a stick that was pulled out looks like a missing file, and is not one.
    fn failed(&self, location: &ContentPath, source: &io::Error) -> TransportError {
        let address = self.address();
        if !self.root.is_dir() {
            let reason = "the folder is gone; was the stick pulled out?".to_owned();
            return TransportError::Unreachable { address, reason };
        }
        if !self.root.join(METADATA).is_dir() {
            let reason = format!("it holds no repository: there is no folder {METADATA:?} in it");
            return TransportError::Unreachable { address, reason };
        }
        let location = location.to_string();
        match source.kind() {
            io::ErrorKind::NotFound => TransportError::Absent { location },
            io::ErrorKind::PermissionDenied => TransportError::Forbidden {
                location,
                reason: source.to_string(),
            },
            _ => TransportError::Unreadable {
                location,
                reason: source.to_string(),
            },
        }
    }
}

impl Transport for FolderTransport {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        self.read(&within(location)?, from)
    }

    fn address(&self) -> String {
        self.root.display().to_string()
    }
}

/// Reads up to the length that the file had when it was opened.
struct FolderReader {
    file: File,
    transport: FolderTransport,
    location: ContentPath,
    received: u64,
    length: u64,
}

impl Read for FolderReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.received).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..wanted).filter(|wanted| !wanted.is_empty()) else {
            return Ok(0);
        };
        match self.file.read(buffer) {
            Ok(0) => Err(TransportError::Interrupted {
                location: self.location.to_string(),
                received: self.received,
                expected: Some(self.length),
            }
            .into()),
            Ok(count) => {
                self.received += count as u64;
                Ok(count)
            }
            Err(again) if again.kind() == io::ErrorKind::Interrupted => Err(again),
            Err(source) => Err(self.transport.failed(&self.location, &source).into()),
        }
    }
}

fn expect_kind(
    path: &Path,
    found: &Metadata,
    expected: &str,
    is_expected: fn(&Metadata) -> bool,
) -> io::Result<()> {
    if is_expected(found) {
        return Ok(());
    }
    let told = format!("expected {} to be {expected}", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, told))
}

const METADATA: &str = "metadata";

#[cfg(test)]
mod tests {
    use super::*;

    struct Stick {
        folder: tempfile::TempDir,
        transport: FolderTransport,
    }

    fn stick() -> Stick {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("stick");
        fs::create_dir_all(root.join("metadata")).unwrap();
        fs::create_dir_all(root.join("content/ab")).unwrap();
        fs::write(root.join("metadata/timestamp.json"), b"{}").unwrap();
        fs::write(root.join("content/ab/abcd"), b"0123456789").unwrap();
        let transport = FolderTransport::new(root);
        Stick { folder, transport }
    }

    impl Stick {
        fn read(&self, location: &str, from: u64) -> Result<Vec<u8>, TransportError> {
            let mut body = self.transport.open(location, from)?;
            assert_eq!(body.starts_at, from);
            let mut bytes = Vec::new();
            let read = body.reader.read_to_end(&mut bytes);
            read.map_err(|source| TransportError::from_body(location, source))?;
            Ok(bytes)
        }

        fn root(&self) -> &Path {
            &self.transport.root
        }
    }

    #[test]
    fn a_file_is_read_from_where_it_was_asked() {
        let stick = stick();
        assert_eq!(stick.read("content/ab/abcd", 0).unwrap(), b"0123456789");
        assert_eq!(stick.read("content/ab/abcd", 7).unwrap(), b"789");
        let body = stick.transport.open("content/ab/abcd", 7).unwrap();
        assert_eq!(body.total, Some(10));
    }

    #[test]
    fn a_byte_behind_the_end_is_refused() {
        let stick = stick();
        for asked in [10, 11] {
            let refused = stick.read("content/ab/abcd", asked).unwrap_err();
            let location = "content/ab/abcd".to_owned();
            let total = Some(10);
            assert_eq!(
                refused,
                TransportError::PastEnd {
                    location,
                    asked,
                    total
                }
            );
        }
    }

    #[test]
    fn an_empty_file_is_whole() {
        let stick = stick();
        fs::write(stick.root().join("content/ab/empty"), b"").unwrap();
        assert_eq!(stick.read("content/ab/empty", 0).unwrap(), b"");
    }

    #[test]
    fn a_missing_file_is_absent() {
        let location = "content/ff/ffff".to_owned();
        let refused = stick().read(&location, 0).unwrap_err();
        assert_eq!(refused, TransportError::Absent { location });
    }

    #[test]
    fn a_stick_that_was_pulled_out_is_unreachable() {
        let stick = stick();
        fs::remove_dir_all(stick.root()).unwrap();
        let refused = stick.read("metadata/timestamp.json", 0).unwrap_err();
        assert!(
            matches!(&refused, TransportError::Unreachable { reason, .. } if reason.contains("stick")),
            "{refused:?}"
        );
    }

    #[test]
    fn a_folder_without_metadata_is_unreachable_rather_than_empty() {
        let stick = stick();
        fs::remove_dir_all(stick.root().join("metadata")).unwrap();
        let refused = stick.read("content/ff/ffff", 0).unwrap_err();
        assert!(
            matches!(&refused, TransportError::Unreachable { reason, .. } if reason.contains("metadata")),
            "{refused:?}"
        );
    }

    #[test]
    fn a_file_that_shrinks_is_interrupted() {
        let stick = stick();
        let location = "content/ab/abcd";
        let mut body = stick.transport.open(location, 0).unwrap();
        body.reader.read_exact(&mut [0; 4]).unwrap();
        let file = File::options()
            .write(true)
            .open(stick.root().join(location))
            .unwrap();
        file.set_len(4).unwrap();
        let failed = body.reader.read(&mut [0; 4]).unwrap_err();
        assert_eq!(
            TransportError::from_body(location, failed),
            TransportError::Interrupted {
                location: location.to_owned(),
                received: 4,
                expected: Some(10)
            }
        );
    }

    #[test]
    fn a_file_that_grows_ends_where_it_ended_when_opened() {
        let stick = stick();
        let location = "content/ab/abcd";
        let mut body = stick.transport.open(location, 0).unwrap();
        fs::write(stick.root().join(location), b"0123456789abcdef").unwrap();
        let mut bytes = Vec::new();
        body.reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"0123456789");
    }

    #[test]
    fn a_folder_where_a_file_should_be_is_refused() {
        let refused = stick().read("content/ab", 0).unwrap_err();
        assert!(
            matches!(&refused, TransportError::Unreadable { reason, .. } if reason.contains("regular file")),
            "{refused:?}"
        );
    }

    #[test]
    fn locations_that_climb_are_refused_before_the_disk_is_touched() {
        let stick = stick();
        fs::write(stick.folder.path().join("secret"), b"secret").unwrap();
        for location in ["../secret", "/secret", "content\\ab\\abcd", "content/\0"] {
            let refused = stick.read(location, 0).unwrap_err();
            assert!(
                matches!(refused, TransportError::Location(_)),
                "{location:?}: {refused:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_wherever_they_lead() {
        use std::os::unix::fs::symlink;

        let stick = stick();
        let secret = stick.folder.path().join("secret");
        fs::write(&secret, b"secret").unwrap();
        symlink(&secret, stick.root().join("content/ab/link")).unwrap();
        symlink(stick.folder.path(), stick.root().join("content/away")).unwrap();
        for location in ["content/ab/link", "content/away/secret"] {
            let refused = stick.read(location, 0).unwrap_err();
            assert!(
                matches!(refused, TransportError::Unreadable { .. }),
                "{location}: {refused:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_rather_than_waited_for() {
        let stick = stick();
        // A socket stands for all that is neither a folder nor a file.
        let socket = stick.root().join("content/ab/socket");
        let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        let refused = stick.read("content/ab/socket", 0).unwrap_err();
        assert!(
            matches!(refused, TransportError::Unreadable { .. }),
            "{refused:?}"
        );
    }
}
