use std::path::Path;

use diff_core::MappedFile;
use release_format::{ContentReference, FormatError, Verified};

use crate::UpdateError;
use crate::event::{Event, Observer};
use crate::library::disk::{Disk, Operation, patiently};
use crate::library::layout::LibraryLayout;
use crate::step::document::{Documents, Traffic};
use crate::transport::TransportError;

/// Fetches content resumably into a library's downloads.
pub(crate) struct Fetcher<'a> {
    documents: Documents<'a>,
    disk: &'a dyn Disk,
    layout: &'a LibraryLayout,
    observer: &'a dyn Observer,
}

const BUFFER_BYTES: usize = 64 << 10;

impl<'a> Fetcher<'a> {
    pub(crate) fn new(
        documents: Documents<'a>,
        disk: &'a dyn Disk,
        layout: &'a LibraryLayout,
        observer: &'a dyn Observer,
    ) -> Fetcher<'a> {
        Fetcher {
            documents,
            disk,
            layout,
            observer,
        }
    }

    /// Returns what fetches from the same mirror, and counts as one with this.
    pub(crate) fn documents(&self) -> &Documents<'a> {
        &self.documents
    }

    /// Returns what was sent and received so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.documents.traffic()
    }

    /// Returns `content` from the library's downloads, fetching what is missing of it.
    ///
    /// What arrived is kept when the line drops, the fetch is cancelled or the power fails, and the
    /// next call goes on behind its last byte. Bytes whose digest is wrong are dropped.
    pub(crate) fn content(
        &self,
        content: &ContentReference,
    ) -> Result<Verified<MappedFile>, UpdateError> {
        let path = self.layout.partial(&content.digest);
        let location = content.location();
        loop {
            let (wrong, resumed) = match self.complete(content, &path) {
                Ok(resumed) => match self.verify(content, &path)? {
                    Ok(verified) => return Ok(verified),
                    Err(wrong) => (wrong, resumed),
                },
                Err(UpdateError::Format(wrong)) => (wrong, false),
                Err(failed) => return Err(failed),
            };
            // What an earlier attempt left may have rotted, or have come from a mirror that lied: once
            // more, from the start; then from another mirror.
            if !resumed && !self.documents.pass_over(&location) {
                return Err(wrong.into());
            }
        }
    }

    /// Compares the download at `path` with `content`, and drops it when it is something else.
    fn verify(
        &self,
        content: &ContentReference,
        path: &Path,
    ) -> Result<Result<Verified<MappedFile>, FormatError>, UpdateError> {
        let mapped = patiently(|| MappedFile::open(path))
            .map_err(|e| UpdateError::io(Operation::Read, path, e))?;
        match Verified::new(mapped, content) {
            Ok(verified) => Ok(Ok(verified)),
            Err(wrong) => {
                self.disk.remove_file(path)?;
                Ok(Err(wrong))
            }
        }
    }

    /// Appends to the download at `path` until it is as long as `content`; tells whether an earlier
    /// attempt had begun it.
    fn complete(&self, content: &ContentReference, path: &Path) -> Result<bool, UpdateError> {
        let location = content.location();
        let mut received = self.begun(content, path)?;
        let resumed = received > 0;
        if content.length == 0 {
            // Nothing will arrive for it, and it is looked at all the same.
            self.disk.append(path)?;
        }
        let mut fruitless = 0;
        while received < content.length {
            self.documents.check()?;
            let before = received;
            let outcome = self.append(content, &location, path, &mut received);
            if received > before {
                fruitless = 0;
            }
            match outcome {
                Err(UpdateError::Transport(failed))
                    if (received > before && failed.is_retryable())
                        || self.documents.goes_on(&location, &failed, &mut fruitless) => {}
                outcome => outcome?,
            }
        }
        Ok(resumed)
    }

    /// Returns how many bytes an earlier attempt left; more than `content` has are no beginning of it.
    fn begun(&self, content: &ContentReference, path: &Path) -> Result<u64, UpdateError> {
        let length = self.disk.length(path)?.unwrap_or(0);
        if length > content.length {
            self.disk.remove_file(path)?;
            return Ok(0);
        }
        Ok(length)
    }

    /// Fetches from byte `received` on until the body ends, the content is whole, or something fails.
    fn append(
        &self,
        content: &ContentReference,
        location: &str,
        path: &Path,
        received: &mut u64,
    ) -> Result<(), UpdateError> {
        let mut transfer = self.documents.transfer(location, *received)?;
        if let Some(found) = transfer.total()
            && found != content.length
        {
            return Err(FormatError::WrongLength {
                expected: content.length,
                found,
            }
            .into());
        }
        let mut file = self.disk.append(path)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        while *received < content.length {
            self.documents.check()?;
            let piece = transfer.read(&mut buffer, content.length - *received)?;
            if piece.is_empty() {
                return Err(TransportError::Interrupted {
                    location: location.to_owned(),
                    received: *received,
                    expected: Some(content.length),
                }
                .into());
            }
            file.write_all(piece)?;
            *received += piece.len() as u64;
            self.observer.event(&Event::Fetching {
                received: *received,
                total: content.length,
            });
        }
        Ok(())
    }
}
