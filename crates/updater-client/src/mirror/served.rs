use std::fmt;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::flight::{ArrivingReader, Flight};
use super::missing::Missing;
use crate::library::disk::Disk;

/// A file that a mirror serves.
pub struct Served(Source);

enum Source {
    Bytes(Arc<[u8]>),
    File(Arc<dyn Disk>, PathBuf, u64),
    Arriving(Arc<dyn Disk>, Arc<Flight>),
}

impl Served {
    pub(crate) fn bytes(bytes: Arc<[u8]>) -> Served {
        Served(Source::Bytes(bytes))
    }

    pub(crate) fn file(disk: &Arc<dyn Disk>, path: PathBuf, length: u64) -> Served {
        Served(Source::File(Arc::clone(disk), path, length))
    }

    pub(crate) fn arriving(disk: &Arc<dyn Disk>, flight: Arc<Flight>) -> Served {
        Served(Source::Arriving(Arc::clone(disk), flight))
    }

    /// Returns how many bytes the file has, once that is known; `None` where it is known at its end
    /// alone.
    ///
    /// # Errors
    /// [`Missing`] for what could not be fetched.
    pub fn length(&self) -> Result<Option<u64>, Missing> {
        match &self.0 {
            Source::Bytes(bytes) => Ok(Some(bytes.len() as u64)),
            Source::File(_, _, length) => Ok(Some(*length)),
            Source::Arriving(_, flight) => flight.wait_for_length(),
        }
    }

    /// Returns what reads the file from byte `from` on, which it has.
    ///
    /// # Errors
    /// Whatever looking for the byte fails with.
    pub fn reader(self, from: u64) -> io::Result<Box<dyn Read + Send>> {
        match self.0 {
            Source::Bytes(bytes) => {
                let mut cursor = Cursor::new(bytes);
                cursor.set_position(from);
                Ok(Box::new(cursor))
            }
            Source::File(disk, path, _) => disk.open_at(&path, from).map_err(io::Error::other),
            Source::Arriving(disk, flight) => Ok(Box::new(ArrivingReader::new(flight, disk, from))),
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Source::Bytes(_) => "bytes",
            Source::File(..) => "file",
            Source::Arriving(..) => "arriving",
        };
        f.debug_tuple("Served").field(&kind).finish()
    }
}
