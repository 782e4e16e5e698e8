use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use diff_core::{Digest, MappedFile};
use release_format::{ContentReference, FormatError};

use super::kept::Kept;
use super::missing::Missing;
use super::upstream::{Upstream, missing};
use crate::UpdateError;
use crate::library::disk::{Disk, DiskError, Operation};
use crate::step::document::Documents;
use crate::transport::TransportError;

/// Content on its way from the repository to everybody who asked for it meanwhile.
///
/// It is passed on while it arrives, since a thin line may need an hour for what a neighbour waits half
/// a minute for; all but its last 64 KiB, which nobody gets before the digest of the whole was
/// compared. So a wrong file is never completed, and what is small is compared before its first byte.
pub(crate) struct Flight {
    content: Digest,
    /// Where it arrives.
    partial: PathBuf,
    /// Where it is kept once it is whole.
    whole: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes that lie in the file.
    arrived: u64,
    /// How many there will be, where the repository says so.
    total: Option<u64>,
    /// Whether the repository has begun to send it, so that its length is known if ever.
    has_begun: bool,
    end: Option<Result<u64, Missing>>,
}

impl Flight {
    /// Returns content that has not begun to arrive.
    pub(crate) fn new(content: Digest, partial: PathBuf, kept: &Kept) -> Flight {
        Flight {
            content,
            partial,
            whole: kept.folder().join(content.to_string()),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Fetches it, and has it kept; returns how many bytes it has, which is to be told by
    /// [`Flight::land`].
    pub(crate) fn run(
        &self,
        disk: &dyn Disk,
        upstream: &Upstream,
        kept: &Kept,
    ) -> Result<u64, Missing> {
        let end = upstream.fetching(|documents| {
            let run = Run {
                flight: self,
                disk,
                kept,
                documents,
            };
            run.fetch()
        });
        end.map_err(|failed| missing(&failed))
    }

    /// Ends it for everybody who waits.
    pub(crate) fn land(&self, end: Result<u64, Missing>) {
        self.change(|state| state.end = Some(end));
    }

    /// Waits until its length is known, if ever it will be before its end.
    pub(crate) fn wait_for_length(&self) -> Result<Option<u64>, Missing> {
        let mut state = self.state();
        loop {
            match &state.end {
                Some(Ok(length)) => return Ok(Some(*length)),
                Some(Err(why)) => return Err(why.clone()),
                None if state.has_begun => return Ok(state.total),
                None => state = self.wait(state),
            }
        }
    }

    /// Waits until byte `position` may be read, and returns behind which byte nothing may be yet;
    /// `position` itself where the content ends there.
    fn wait_for(&self, position: u64) -> Result<u64, Missing> {
        let mut state = self.state();
        loop {
            match &state.end {
                Some(Ok(length)) => return Ok((*length).max(position)),
                Some(Err(why)) => return Err(why.clone()),
                None => {
                    let readable = state.arrived.saturating_sub(HELD_BACK_BYTES);
                    if state.has_begun && readable > position {
                        return Ok(readable);
                    }
                    state = self.wait(state);
                }
            }
        }
    }

    /// Opens the file, which may be moved at any moment, from byte `from` on.
    fn open(&self, disk: &dyn Disk, from: u64) -> Result<Box<dyn Read + Send>, DiskError> {
        match disk.open_at(&self.partial, from) {
            Err(moved) if moved.is_absent() => disk.open_at(&self.whole, from),
            opened => opened,
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one flight is fetched with.
struct Run<'a> {
    flight: &'a Flight,
    disk: &'a dyn Disk,
    kept: &'a Kept,
    documents: &'a Documents<'a>,
}

impl Run<'_> {
    fn fetch(&self) -> Result<u64, UpdateError> {
        let path = &*self.flight.partial;
        let content = &self.flight.content;
        let location = ContentReference {
            digest: *content,
            length: 0,
        }
        .location();
        let mut received = self.begun(path)?;
        if received > 0 && self.digest(path)? == *content {
            // An update of this library has left it, or a mirror that was killed.
            return self.finish(path, received);
        }
        let (mut fruitless, mut resumed) = (0, received > 0);
        loop {
            self.documents.check()?;
            let before = received;
            let outcome = self.append(&location, path, &mut received);
            if received > before {
                fruitless = 0;
            }
            match outcome {
                Ok(()) => {}
                // What was left is no beginning of it.
                Err(UpdateError::Transport(TransportError::PastEnd { .. })) if resumed => {
                    (received, resumed) = (self.start_over(path)?, false);
                    continue;
                }
                Err(UpdateError::Transport(failed))
                    if (received > before && failed.is_retryable())
                        || self.documents.goes_on(&location, &failed, &mut fruitless) =>
                {
                    continue;
                }
                Err(failed) => return Err(failed),
            }
            let found = self.digest(path)?;
            if found == *content {
                return self.finish(path, received);
            }
            // Whoever has read some of it goes on behind its last byte, and finds out by himself.
            self.disk.remove_file(path)?;
            self.documents.pass_over(&location);
            return Err(FormatError::WrongDigest {
                expected: *content,
                found,
            }
            .into());
        }
    }

    /// Returns how many bytes an earlier flight left.
    fn begun(&self, path: &Path) -> Result<u64, UpdateError> {
        let length = self.disk.length(path)?.unwrap_or(0);
        if length > ContentReference::MAX_LENGTH {
            return self.start_over(path);
        }
        Ok(length)
    }

    fn start_over(&self, path: &Path) -> Result<u64, UpdateError> {
        self.disk.remove_file(path)?;
        self.flight
            .change(|state| (state.arrived, state.total) = (0, None));
        Ok(0)
    }

    fn append(&self, location: &str, path: &Path, received: &mut u64) -> Result<(), UpdateError> {
        let mut transfer = self.documents.transfer(location, *received)?;
        let total = transfer.total();
        let most = total.unwrap_or(ContentReference::MAX_LENGTH);
        if most > ContentReference::MAX_LENGTH {
            return Err(TransportError::TooLong {
                location: location.to_owned(),
                limit: ContentReference::MAX_LENGTH,
            }
            .into());
        }
        self.make_room(total.map_or(0, |total| total.saturating_sub(*received)))?;
        let mut file = self.disk.append(path)?;
        self.flight.change(|state| {
            state.total = total;
            state.arrived = *received;
            state.has_begun = true;
        });
        let mut buffer = vec![0; BUFFER_BYTES];
        while *received < most {
            self.documents.check()?;
            let piece = transfer.read(&mut buffer, most - *received)?;
            if piece.is_empty() {
                if total.is_none() {
                    break;
                }
                return Err(TransportError::Interrupted {
                    location: location.to_owned(),
                    received: *received,
                    expected: total,
                }
                .into());
            }
            file.write_all(piece)?;
            *received += piece.len() as u64;
            self.flight.change(|state| state.arrived = *received);
        }
        Ok(())
    }

    fn make_room(&self, bytes: u64) -> Result<(), UpdateError> {
        if self.kept.make_room(bytes)? {
            return Ok(());
        }
        let at = self.kept.folder().to_owned();
        Err(UpdateError::FreeSpace {
            needed: bytes,
            available: self.disk.available_bytes(&at)?,
            at,
        })
    }

    fn digest(&self, path: &Path) -> Result<Digest, UpdateError> {
        if self.disk.length(path)?.is_none() {
            // Content of no bytes: nothing arrived for it.
            self.disk.append(path)?;
        }
        let mapped = MappedFile::open(path)
            .map_err(|failed| UpdateError::io(Operation::Read, path, failed))?;
        Ok(Digest::of(&mapped))
    }

    fn finish(&self, path: &Path, length: u64) -> Result<u64, UpdateError> {
        self.disk.append(path)?.sync()?;
        self.kept
            .take(&self.flight.content.to_string(), path, length)?;
        Ok(length)
    }
}

/// Reads content while it arrives.
pub(crate) struct ArrivingReader {
    flight: Arc<Flight>,
    disk: Arc<dyn Disk>,
    position: u64,
    file: Option<Box<dyn Read + Send>>,
}

impl ArrivingReader {
    /// Returns a reader from byte `position` on.
    pub(crate) fn new(flight: Arc<Flight>, disk: Arc<dyn Disk>, position: u64) -> ArrivingReader {
        ArrivingReader {
            flight,
            disk,
            position,
            file: None,
        }
    }
}

impl Read for ArrivingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.flight.wait_for(self.position);
        let limit = limit.map_err(|why| io::Error::other(why.to_string()))?;
        let most = usize::try_from(limit - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(most);
        if wanted == 0 {
            return Ok(0);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = self.flight.open(&*self.disk, self.position);
                none.insert(file.map_err(io::Error::other)?)
            }
        };
        let count = file.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        Ok(count)
    }
}

const BUFFER_BYTES: usize = 64 << 10;
/// What nobody gets before the whole is proved.
const HELD_BACK_BYTES: u64 = 64 << 10;
