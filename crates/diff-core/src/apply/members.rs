use std::io::{self, Write};
use std::slice;

use super::sink::Sink;
use crate::delta::PlannedFile;
use crate::error::DeltaError;
use crate::{Digest, DigestWriter, Listing, Progress};

/// Cuts what the frames of a group give into its members, and digests each while it is written.
pub(super) struct Members<'r> {
    target: Target<'r>,
    waiting: slice::Iter<'r, usize>,
    current: Option<Open<'r>>,
    /// Bytes of all members that were not written yet.
    missing: u64,
    digests: Vec<(usize, Digest)>,
}

/// Where the members of all groups go.
#[derive(Clone, Copy)]
pub(super) struct Target<'r> {
    /// The files of the plan.
    pub(super) files: &'r [PlannedFile],
    /// The listing that their digests are compared with as soon as they are known.
    pub(super) expected: Option<&'r Listing>,
    pub(super) progress: &'r dyn Progress,
    pub(super) sink: &'r dyn Sink,
}

struct Open<'r> {
    index: usize,
    file: &'r PlannedFile,
    left: u64,
    writer: DigestWriter<Box<dyn Write + Send>>,
}

impl<'r> Members<'r> {
    /// Returns a writer of the files with these indices in the plan.
    pub(super) fn new(target: Target<'r>, members: &'r [usize]) -> Members<'r> {
        let files = members
            .iter()
            .filter_map(|member| target.files.get(*member));
        let lengths = files.map(|file| file.length);
        Members {
            target,
            waiting: members.iter(),
            current: None,
            missing: lengths.fold(0, u64::saturating_add),
            digests: Vec::with_capacity(members.len()),
        }
    }

    /// Returns how many bytes are still to be written.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Writes the next bytes of the group.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), DeltaError> {
        while !bytes.is_empty() {
            let Some(mut open) = self.take_open()? else {
                let told = format!("{} bytes belong to no file", bytes.len());
                return Err(DeltaError::malformed("group", 0, told));
            };
            let count =
                usize::try_from(open.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (piece, rest) = bytes.split_at(count);
            let written = open.writer.write_all(piece);
            written.map_err(|source| open.failed(source))?;
            open.left -= count as u64;
            self.missing = self.missing.saturating_sub(count as u64);
            self.target.progress.advanced(count as u64);
            self.current = Some(open);
            bytes = rest;
        }
        Ok(())
    }

    /// Finishes the last file, and those behind it that have no bytes, and returns all digests.
    pub(super) fn finish(mut self) -> Result<Vec<(usize, Digest)>, DeltaError> {
        if let Some(open) = self.take_open()? {
            let told = format!("{} bytes of {} are missing", open.left, open.file.path);
            return Err(DeltaError::malformed("group", 0, told));
        }
        Ok(self.digests)
    }

    /// Returns the file that the next byte belongs to; every one before it is finished.
    fn take_open(&mut self) -> Result<Option<Open<'r>>, DeltaError> {
        loop {
            match self.current.take() {
                Some(open) if open.left > 0 => return Ok(Some(open)),
                Some(open) => self.close(open)?,
                None => {}
            }
            let Some(index) = self.waiting.next() else {
                return Ok(None);
            };
            let file = self.target.files.get(*index);
            let Some(file) = file else {
                let told = format!("a group makes file {index}, which the plan does not have");
                return Err(DeltaError::malformed("group", 0, told));
            };
            let created = self.target.sink.create(*index, file);
            let created = created.map_err(|source| DeltaError::Output {
                path: file.path.clone(),
                source,
            })?;
            self.current = Some(Open {
                index: *index,
                file,
                left: file.length,
                writer: DigestWriter::new(created),
            });
        }
    }

    fn close(&mut self, mut open: Open<'r>) -> Result<(), DeltaError> {
        let flushed = open.writer.flush();
        flushed.map_err(|source| open.failed(source))?;
        let found = open.writer.digest();
        let expected = self
            .target
            .expected
            .and_then(|listing| listing.entries().get(open.index));
        match expected.map(|entry| entry.digest) {
            Some(expected) if expected != found => Err(DeltaError::WrongDigest {
                path: open.file.path.clone(),
                expected,
                found,
            }),
            _ => {
                self.digests.push((open.index, found));
                Ok(())
            }
        }
    }
}

impl Open<'_> {
    fn failed(&self, source: io::Error) -> DeltaError {
        DeltaError::Output {
            path: self.file.path.clone(),
            source,
        }
    }
}
