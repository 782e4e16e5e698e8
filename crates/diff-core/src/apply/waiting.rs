use std::collections::VecDeque;
use std::sync::Arc;

use super::crew::{Crew, Share};
use super::stream::{Closed, Stream};
use super::task::{Outcome, Task};
use crate::Cancelled;

/// What has its place behind streams that are still being closed, and these, in order: each holds memory
/// that was free beside what the groups need.
pub(super) struct Waiting<'r> {
    crew: &'r Crew,
    items: VecDeque<(Item, Share<'r>)>,
}

enum Item {
    Bytes(Vec<u8>),
    Stream(Arc<Task>),
}

/// What is next, and can be written.
pub(super) enum Ready {
    Bytes(Vec<u8>),
    Closed(Closed),
    /// A stream that is closed where it goes.
    Unclosed(Stream),
    /// A stream that went down with its thread.
    Lost,
}

impl<'r> Waiting<'r> {
    /// Returns the place of what waits for the threads of `crew`.
    pub(super) fn new(crew: &'r Crew) -> Waiting<'r> {
        Waiting {
            crew,
            items: VecDeque::new(),
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) {
        self.items.clear();
    }

    /// Appends bytes, or returns false where there is no memory for them.
    pub(super) fn push_bytes(&mut self, piece: &[u8]) -> bool {
        if let Some((Item::Bytes(bytes), share)) = self.items.back_mut() {
            let grown = share.grow(piece.len() as u64);
            if grown {
                bytes.extend_from_slice(piece);
            }
            return grown;
        }
        let Some(share) = self.crew.spare(piece.len() as u64 + ITEM_BYTES) else {
            return false;
        };
        self.items.push_back((Item::Bytes(piece.to_vec()), share));
        true
    }

    /// Appends a stream for any thread to close, or gives it back where there is no memory for that.
    pub(super) fn push_stream(&mut self, stream: Stream) -> Option<Stream> {
        let Some(share) = self.crew.spare(stream.kept() + ITEM_BYTES) else {
            return Some(stream);
        };
        let task = Arc::new(Task::new(stream));
        self.crew.offer(&task);
        self.items.push_back((Item::Stream(task), share));
        None
    }

    /// Takes what is first, if it is ready.
    pub(super) fn ready(&mut self) -> Option<(Ready, Share<'r>)> {
        match self.items.front()? {
            (Item::Stream(task), _) if !task.is_done() => None,
            _ => self.first(&|| Ok(())),
        }
    }

    /// Takes what is first: a stream that another thread has begun is waited for, one that none has is
    /// given to be closed.
    pub(super) fn first(
        &mut self,
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Option<(Ready, Share<'r>)> {
        let (item, share) = self.items.pop_front()?;
        let ready = match item {
            Item::Bytes(bytes) => Ready::Bytes(bytes),
            Item::Stream(task) => match task.start() {
                Some(stream) => Ready::Unclosed(stream),
                None => match self.crew.outcome(&task, check) {
                    Outcome::Closed(closed) => Ready::Closed(closed),
                    Outcome::Unclosed(stream) => Ready::Unclosed(stream),
                    Outcome::Lost => Ready::Lost,
                },
            },
        };
        Some((ready, share))
    }
}

/// What an item takes beside its bytes.
const ITEM_BYTES: u64 = 256;
