use std::fmt;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::flight::{ArrivingReader, Flight};
use super::missing::Missing;
use super::rebuilt::RebuiltReader;
use crate::library::disk::Disk;

/// A file that a mirror serves.
pub struct Served(Source);

enum Source {
    Bytes(Arc<[u8]>),
    File(Arc<dyn Disk>, PathBuf, u64),
    Arriving(Arc<dyn Disk>, Arc<Flight>),
    /// From this byte on.
    Rebuilt(RebuiltReader, u64),
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

    pub(crate) fn rebuilt(reader: RebuiltReader, from: u64) -> Served {
        Served(Source::Rebuilt(reader, from))
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
            Source::Rebuilt(reader, _) => Ok(Some(reader.length())),
        }
    }

    /// Returns behind which byte nothing can be read, where that is before the file's end: of an
    /// archive that is made again of installed files a part may be here.
    pub fn ends_at(&self) -> Option<u64> {
        match &self.0 {
            Source::Rebuilt(reader, _) => {
                Some(reader.ends_at()).filter(|end| *end < reader.length())
            }
            _ => None,
        }
    }

    /// Returns what reads the file from byte `from` on, which it has: the byte that
    /// [`Mirror::open_at`](super::Mirror::open_at) was told.
    ///
    /// # Errors
    /// Whatever looking for the byte fails with; [`io::ErrorKind::InvalidInput`] for another byte of a
    /// file of which that one alone can be read.
    pub fn reader(self, from: u64) -> io::Result<Box<dyn Read + Send>> {
        match self.0 {
            Source::Bytes(bytes) => {
                let mut cursor = Cursor::new(bytes);
                cursor.set_position(from);
                Ok(Box::new(cursor))
            }
            Source::File(disk, path, _) => disk.open_at(&path, from).map_err(io::Error::other),
            Source::Arriving(disk, flight) => Ok(Box::new(ArrivingReader::new(flight, disk, from))),
            Source::Rebuilt(mut reader, begins) => {
                let past = from.checked_sub(begins);
                let past = past.ok_or(io::ErrorKind::InvalidInput)?;
                io::copy(&mut reader.by_ref().take(past), &mut io::sink())?;
                Ok(Box::new(reader))
            }
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Source::Bytes(_) => "bytes",
            Source::File(..) => "file",
            Source::Arriving(..) => "arriving",
            Source::Rebuilt(..) => "rebuilt",
        };
        f.debug_tuple("Served").field(&kind).finish()
    }
}
