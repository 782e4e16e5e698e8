use std::collections::VecDeque;
use std::sync::Arc;

use super::crew::{Crew, Share};
use super::stream::{Closed, Stream};
use super::task::{Outcome, Task};
use crate::Cancelled;
use crate::space::Space;

/// What has its place behind streams that are still being closed, and these, in order: each holds memory
/// that was free beside what the groups need.
pub(super) struct Waiting<'r> {
    crew: &'r Crew,
    items: VecDeque<(Item, Share<'r>)>,
}

enum Item {
    Bytes(Space),
    Stream(Arc<Task>),
    Closed(Closed),
}

/// What is next, and can be written.
pub(super) enum Ready {
    Bytes(Space),
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
        if let Some((Item::Bytes(bytes), _)) = self.items.back_mut()
            && piece.len() <= bytes.free()
        {
            bytes.append(piece);
            return true;
        }
        let room = piece.len().max(LEAST_ROOM);
        let Some(share) = self.crew.spare(room as u64 + ITEM_BYTES) else {
            return false;
        };
        let mut bytes = Space::for_bytes(room);
        bytes.append(piece);
        self.items.push_back((Item::Bytes(bytes), share));
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

    /// Closes a stream here and now, while another thread has the first one, and appends what comes of it;
    /// gives it back where there is no memory for that, or it cannot be closed aside. The stream's own
    /// memory is the caller's.
    pub(super) fn push_closed(
        &mut self,
        stream: Stream,
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Option<Stream> {
        let is_begun = match self.items.front() {
            Some((Item::Stream(task), _)) => !task.is_waiting() && !task.is_done(),
            _ => false,
        };
        let room = stream.room_aside();
        let share = is_begun.then(|| self.crew.spare(room + ITEM_BYTES));
        let Some(mut share) = share.flatten() else {
            return Some(stream);
        };
        let Some(closed) = stream.close_aside(check) else {
            return Some(stream);
        };
        share.give_back(room.saturating_sub(closed.bytes.len() as u64));
        self.items.push_back((Item::Closed(closed), share));
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
        let (item, mut share) = self.items.pop_front()?;
        let ready = match item {
            Item::Bytes(bytes) => Ready::Bytes(bytes),
            Item::Closed(closed) => Ready::Closed(closed),
            Item::Stream(task) => match task.start() {
                Some(stream) => Ready::Unclosed(stream),
                None => match self.crew.outcome(&task, check) {
                    Outcome::Closed(closed) => {
                        share.forget(closed.freed);
                        Ready::Closed(closed)
                    }
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
/// Few bytes get room for those that follow.
const LEAST_ROOM: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recompressor;
    use crate::apply::crew::{Need, Turn};
    use crate::apply::reference::{Reference, reference};
    use crate::container::Wrapper;
    use crate::error::DeltaError;
    use crate::script::StreamStep;

    fn stream(length: usize) -> Stream {
        let step = StreamStep {
            plain_length: length as u64,
            wrapper: Wrapper::Raw,
            recipe: vec![6],
            rows: None,
            coded: None,
            old: None,
            is_nested: false,
        };
        let none = |_| Err(DeltaError::malformed("plan", 0, "there is no file"));
        let reference: Arc<Reference> = Arc::new(reference(&[], &none, &|| Ok(())).unwrap());
        let mut plain = Space::for_bytes(length);
        plain.append(&b"the cell divides ".repeat(length)[..length]);
        Stream::new(step, plain, &reference, &Recompressor::ALL).unwrap()
    }

    fn alone(memory: u64) -> Vec<Need> {
        let after = Vec::new();
        vec![Need { memory, after }]
    }

    #[test]
    fn streams_that_claim_too_much_are_closed_one_after_another() {
        let (length, kept) = (40_000, stream(40_000).kept() + ITEM_BYTES);
        // There is room for two of them beside the group.
        let crew = Crew::new(2, 6 * kept, alone(3 * kept + kept / 2));
        let group = crew.turn();
        assert!(matches!(group, Some(Turn::Group(0, _))));
        let mut waiting = Waiting::new(&crew);
        assert!(waiting.push_stream(stream(length)).is_none());
        assert!(waiting.push_stream(stream(length)).is_none());
        let refused = waiting.push_stream(stream(length));
        assert!(refused.is_some() && waiting.items.len() == 2);
        assert!(!waiting.push_bytes(&vec![0; length * 3]));
        // Nobody has begun the first one, so that it is closed where it goes, and gives its memory back.
        let first = waiting.first(&|| Ok(()));
        assert!(matches!(first, Some((Ready::Unclosed(_), _))));
        drop(first);
        assert!(waiting.push_stream(stream(length)).is_none());
    }

    #[test]
    fn what_a_closed_stream_takes_no_more_is_given_back_at_once() {
        let (length, kept) = (40_000, stream(40_000).kept() + ITEM_BYTES);
        let crew = Crew::new(2, 4 * kept, alone(kept));
        let _group = crew.turn();
        let mut waiting = Waiting::new(&crew);
        assert!(waiting.push_stream(stream(length)).is_none());
        assert!(crew.spare(kept + kept / 2).is_none());
        let Some((Item::Stream(task), _)) = waiting.items.front() else {
            unreachable!("a stream was pushed");
        };
        crew.run(task, &|| Ok(()));
        assert!(crew.spare(kept + kept / 2).is_some());
        let ready = waiting.ready();
        assert!(matches!(ready, Some((Ready::Closed(_), _))));
        drop(ready);
        assert!(crew.spare(2 * kept).is_some());
        assert!(crew.spare(2 * kept + 1).is_none());
    }
}
