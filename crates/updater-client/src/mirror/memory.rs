use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::missing::Missing;

/// An answer about a small file.
pub(crate) type Answer = Result<Arc<[u8]>, Missing>;

/// What was answered a moment ago, so that forty devices that ask at once are one question.
///
/// Whoever asks what somebody else is asking already waits for that answer.
pub(crate) struct Memory {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    now: fn() -> Instant,
}

type Slot = Mutex<Option<Remembered>>;

struct Remembered {
    until: Instant,
    answer: Answer,
}

impl Memory {
    /// Returns a memory without a past, by the clock `now`.
    pub(crate) fn new(now: fn() -> Instant) -> Memory {
        Memory {
            slots: Mutex::default(),
            now,
        }
    }

    /// Returns what is remembered of `location`, or else what `ask` brings, which says for how long it
    /// is remembered.
    pub(crate) fn answer(
        &self,
        location: &str,
        ask: impl FnOnce() -> (Answer, Duration),
    ) -> Answer {
        let slot = self.slot(location);
        let mut remembered = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remembered) = &*remembered
            && (self.now)() < remembered.until
        {
            return remembered.answer.clone();
        }
        let (answer, lasts) = ask();
        let is_small = answer
            .as_ref()
            .map_or(true, |bytes| bytes.len() <= MAX_BYTES);
        *remembered = is_small.then(|| Remembered {
            until: (self.now)() + lasts,
            answer: answer.clone(),
        });
        answer
    }

    fn slot(&self, location: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_SLOTS && !slots.contains_key(location) {
            // What is being asked just now lives on with whoever asks.
            slots.clear();
        }
        Arc::clone(slots.entry(location.to_owned()).or_default())
    }
}

/// With [`MAX_BYTES`], what all answers may take: a neighbour can ask for any name.
const MAX_SLOTS: usize = 512;
/// What is larger and proved is kept on the disk; what is larger and not proved is not kept.
const MAX_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn forty_that_ask_at_once_are_one_question() {
        let memory = Memory::new(Instant::now);
        let asked = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let answer = memory.answer("metadata/timestamp.json", || {
                        asked.fetch_add(1, Ordering::SeqCst);
                        (Ok(Arc::from(&b"{}"[..])), LONG)
                    });
                    assert_eq!(answer.as_deref(), Ok(&b"{}"[..]));
                });
            }
        });
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_too_long_ago_or_too_large_is_asked_again() {
        let memory = Memory::new(Instant::now);
        for (bytes, lasts, times) in [
            (1, LONG, 1),
            (1, Duration::ZERO, 2),
            (MAX_BYTES + 1, LONG, 2),
        ] {
            let location = format!("{bytes} {lasts:?}");
            let mut asked = 0;
            for _ in 0..2 {
                let answer = memory.answer(&location, || {
                    asked += 1;
                    (Ok(vec![7; bytes].into()), lasts)
                });
                assert_eq!(answer.map(|bytes| bytes.len()), Ok(bytes));
            }
            assert_eq!(asked, times, "{location}");
        }
    }

    #[test]
    fn that_there_is_nothing_is_remembered_too_and_names_have_a_ceiling() {
        let memory = Memory::new(Instant::now);
        for name in 0..3 * MAX_SLOTS {
            let answer = memory.answer(&name.to_string(), || (Err(Missing::Absent), LONG));
            assert_eq!(answer, Err(Missing::Absent));
        }
        assert!(memory.slots.lock().unwrap().len() <= MAX_SLOTS);
        let last = (3 * MAX_SLOTS - 1).to_string();
        let again = memory.answer(&last, || (Err(Missing::Busy), LONG));
        assert_eq!(again, Err(Missing::Absent));
    }
}
