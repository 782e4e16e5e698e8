use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::Scope;

use release_format::{ChunkPlace, ContentReference};

use crate::UpdateError;
use crate::step::document::{Documents, Transfer};
use crate::transport::TransportError;

/// Chunks of one archive that come by one request: each lies behind the one before it, with no more
/// between than is cheaper to read past than to ask once more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    archive: ContentReference,
    chunks: Vec<ChunkPlace>,
}

/// Whether a chunk that begins at `start` is asked for by the request that has come to `next`.
pub(super) fn is_near(next: u64, start: u64) -> bool {
    next <= start && start - next <= NEAR_BYTES
}

/// Returns the requests that bring these chunks in their order.
pub(super) fn runs(chunks: impl Iterator<Item = (ContentReference, ChunkPlace)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (archive, place) in chunks {
        if let Some(run) = runs.last_mut()
            && run.archive == archive
            && let Some(before) = run.chunks.last()
            && is_near(before.range().end, place.range().start)
        {
            run.chunks.push(place);
            continue;
        }
        runs.push(Run {
            archive,
            chunks: vec![place],
        });
    }
    runs
}

/// Runs that are on their way, a few of them at once; their chunks come out in order.
pub(super) struct Arriving {
    runs: VecDeque<Receiver<Result<Vec<u8>, UpdateError>>>,
}

impl Arriving {
    /// Begins to fetch `runs` in threads of `scope`, as many at once as the policy says.
    ///
    /// Dropping what this returns ends them.
    pub(super) fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        documents: &'env Documents<'env>,
        runs: Vec<Run>,
    ) -> Arriving {
        let lines = documents.most_requests().min(runs.len());
        let mut shares: Vec<Vec<(Run, SyncSender<_>)>> = Vec::new();
        shares.resize_with(lines, Vec::new);
        let mut arriving = VecDeque::new();
        for (number, run) in runs.into_iter().enumerate() {
            let (sender, receiver) = mpsc::sync_channel(CHUNKS_AHEAD);
            arriving.push_back(receiver);
            // In turn: what is needed next is always among those on their way.
            if let Some(share) = shares.get_mut(number % lines) {
                share.push((run, sender));
            }
        }
        for share in shares {
            scope.spawn(move || {
                for (run, sender) in share {
                    let fetched = RunReader::new(documents, run.archive)
                        .each(&run.chunks, |encoded| sender.send(Ok(encoded)).is_ok());
                    let is_wanted = match fetched {
                        Ok(is_wanted) => is_wanted,
                        Err(failed) => {
                            // Whoever waits for it hears of it, if anybody does.
                            let _ = sender.send(Err(failed));
                            false
                        }
                    };
                    if !is_wanted {
                        return;
                    }
                }
            });
        }
        Arriving { runs: arriving }
    }

    /// Returns the encoded bytes of the next chunk; none behind the last.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>, UpdateError>> {
        while let Some(run) = self.runs.front() {
            match run.recv() {
                Ok(arrived) => return Some(arrived),
                Err(_) => self.runs.pop_front(),
            };
        }
        None
    }
}

/// Reads chunks of one archive, each behind the one before, over as many requests as the line takes.
pub(super) struct RunReader<'a> {
    documents: &'a Documents<'a>,
    archive: ContentReference,
    location: String,
    /// The archive as it arrives, and which of its bytes comes next.
    open: Option<(Transfer<'a>, u64)>,
}

impl<'a> RunReader<'a> {
    pub(super) fn new(documents: &'a Documents<'a>, archive: ContentReference) -> RunReader<'a> {
        RunReader {
            documents,
            location: archive.location(),
            archive,
            open: None,
        }
    }

    /// Hands the encoded bytes of each chunk to `taken` until it wants no more; tells whether it does.
    fn each(
        &mut self,
        chunks: &[ChunkPlace],
        mut taken: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<bool, UpdateError> {
        for place in chunks {
            if !taken(self.chunk(place)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the encoded bytes of one chunk.
    pub(super) fn chunk(&mut self, place: &ChunkPlace) -> Result<Vec<u8>, UpdateError> {
        let mut fruitless = 0;
        loop {
            let begins = place.range().start;
            let goes_on = matches!(self.open, Some((_, next)) if is_near(next, begins));
            match self.read(place) {
                // It brought the chunks before, and a mirror that has these and no more ends there.
                Err(UpdateError::Transport(failed)) if goes_on && failed.is_retryable() => {}
                Err(UpdateError::Transport(failed))
                    if self
                        .documents
                        .goes_on(&self.location, &failed, &mut fruitless) => {}
                outcome => return outcome,
            }
        }
    }

    fn read(&mut self, place: &ChunkPlace) -> Result<Vec<u8>, UpdateError> {
        self.documents.check()?;
        let range = place.range();
        let location = &self.location;
        let mut transfer = match self.open.take() {
            Some((mut transfer, next)) if is_near(next, range.start) => {
                // What lies before the chunk is read past.
                transfer.pass(range.start - next);
                transfer.go_on();
                transfer
            }
            _ => self.documents.transfer(location, range.start)?,
        };
        let mut encoded = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut next = range.start;
        while next < range.end {
            let piece = transfer.read(&mut buffer, range.end - next)?;
            if piece.is_empty() {
                return Err(TransportError::Interrupted {
                    location: location.clone(),
                    received: next,
                    expected: Some(range.end.min(self.archive.length)),
                }
                .into());
            }
            self.documents.check()?;
            encoded.extend_from_slice(piece);
            next += piece.len() as u64;
        }
        self.open = Some((transfer, next));
        Ok(encoded)
    }
}

/// A gap that is cheaper to read past than to ask once more.
const NEAR_BYTES: u64 = 8 << 10;
/// Chunks of a run that wait for those of the runs before it, each of 64 KiB at most.
const CHUNKS_AHEAD: usize = 16;
const BUFFER_BYTES: usize = 64 << 10;
