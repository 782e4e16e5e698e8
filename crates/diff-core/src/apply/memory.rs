use std::sync::{Condvar, Mutex, PoisonError};

/// Private memory that is shared out among the groups that run at once.
pub(super) struct Memory {
    limit: u64,
    taken: Mutex<u64>,
    given_back: Condvar,
}

impl Memory {
    /// Returns `limit` bytes to share out.
    pub(super) fn new(limit: u64) -> Memory {
        Memory {
            limit,
            taken: Mutex::new(0),
            given_back: Condvar::new(),
        }
    }

    /// Waits until so many bytes are free, or all are, and takes them until the share is dropped.
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken > 0 && taken.saturating_add(bytes) > self.limit {
            let woken = self.given_back.wait(taken);
            taken = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *taken = taken.saturating_add(bytes);
        Share {
            memory: self,
            bytes,
        }
    }
}

/// Some of a [`Memory`], given back when it is dropped.
pub(super) struct Share<'m> {
    memory: &'m Memory,
    bytes: u64,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let taken = self.memory.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(self.bytes);
        self.memory.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn shares_never_pass_the_limit_together() {
        let memory = Memory::new(100);
        let taken = AtomicU64::new(0);
        thread::scope(|scope| {
            for bytes in [60, 50, 40, 30, 20, 10] {
                let (memory, taken) = (&memory, &taken);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let _share = memory.take(bytes);
                        let now = taken.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(now <= 100, "{now} bytes were taken");
                        thread::yield_now();
                        taken.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn a_share_above_the_limit_gets_all_of_it() {
        let memory = Memory::new(1);
        drop(memory.take(2));
        drop(memory.take(2));
    }
}
