use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use diff_core::Digest;
use release_format::{Chunk, ChunkEncoder, EncodedChunk};

use super::stream::Stream;
use crate::library::disk::Disk;

/// Where chunks are made again from installed files, a few at a time.
///
/// A chunk is what it should be, or none: its bytes are compared with the digest that signed content
/// gives before they are encoded, and what they are encoded in with the length that it gives. Another
/// zstd than the publisher's is found out by that.
pub(crate) struct Workshop {
    disk: Arc<dyn Disk>,
    /// Encoders that nobody uses now: who wants one waits for it.
    encoders: Mutex<Encoders>,
    one_is_free: Condvar,
    /// What was made a moment ago: a class asks for the same.
    made: Mutex<Made>,
    /// Archives that are written again from their first byte on.
    wholes: AtomicUsize,
}

/// The right to write an archive again, given back when it is dropped.
pub(crate) struct Turn(Arc<Workshop>);

#[derive(Default)]
struct Encoders {
    free: Vec<ChunkEncoder>,
    lent: usize,
}

#[derive(Default)]
struct Made {
    chunks: HashMap<Digest, Arc<EncodedChunk>>,
    bytes: usize,
}

impl Workshop {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Workshop {
        Workshop {
            disk,
            encoders: Mutex::default(),
            one_is_free: Condvar::new(),
            made: Mutex::default(),
            wholes: AtomicUsize::new(0),
        }
    }

    /// Returns the right to write an archive again; `None` while as many are written as may be, since
    /// each keeps its table in memory.
    pub(crate) fn turn(self: &Arc<Workshop>) -> Option<Turn> {
        let more = |wholes: usize| (wholes < MOST_WHOLES).then_some(wholes + 1);
        let taken = self
            .wholes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Turn(Arc::clone(self)))
    }

    /// Returns the disk that the files are read from.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Returns a chunk as it lies in its archive, from the first of these parts of installed releases
    /// that still is it.
    pub(crate) fn chunk<'s>(
        &self,
        chunk: &Chunk,
        parts: impl Iterator<Item = (&'s Stream, Range<u64>)>,
    ) -> Option<Arc<EncodedChunk>> {
        let known = self.made().chunks.get(&chunk.digest()).cloned();
        if let Some(known) = known {
            return (known.chunk() == chunk).then_some(known);
        }
        for (stream, range) in parts {
            let Ok(bytes) = stream.read(self.disk(), range) else {
                continue;
            };
            if Digest::of(&bytes) != chunk.digest() {
                continue;
            }
            let encoded = Arc::new(self.encoded(&bytes)?);
            if encoded.chunk() != chunk {
                return None;
            }
            self.remember(&encoded);
            return Some(encoded);
        }
        None
    }

    /// Returns a chunk of these bytes, as a publisher encodes it.
    pub(crate) fn encoded(&self, bytes: &[u8]) -> Option<EncodedChunk> {
        let mut encoder = self.borrow()?;
        let encoded = encoder.encode(bytes).ok();
        let mut encoders = self.encoders();
        encoders.free.push(encoder);
        encoders.lent -= 1;
        drop(encoders);
        self.one_is_free.notify_one();
        encoded
    }

    /// Returns an encoder once there is one; `None` where zstd has no memory for it.
    fn borrow(&self) -> Option<ChunkEncoder> {
        let mut encoders = self.encoders();
        while encoders.lent >= MOST_ENCODERS {
            encoders = self
                .one_is_free
                .wait(encoders)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let encoder = encoders.free.pop();
        let encoder = encoder.or_else(|| ChunkEncoder::new(ChunkEncoder::LEVEL).ok())?;
        encoders.lent += 1;
        Some(encoder)
    }

    fn remember(&self, encoded: &Arc<EncodedChunk>) {
        let mut made = self.made();
        if made.bytes >= MADE_BYTES {
            *made = Made::default();
        }
        made.bytes += encoded.bytes().len();
        made.chunks
            .insert(encoded.chunk().digest(), Arc::clone(encoded));
    }

    fn encoders(&self) -> MutexGuard<'_, Encoders> {
        self.encoders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.wholes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Only mirrors of mirrors want the whole.
const MOST_WHOLES: usize = 4;
/// However many neighbours ask, the laptop stays one to work on.
const MOST_ENCODERS: usize = 2;
/// What forty devices that fetch the same, some seconds apart, have in common.
const MADE_BYTES: usize = 16 << 20;
