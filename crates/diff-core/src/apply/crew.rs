use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::task::{Outcome, Task};
use crate::Cancelled;

/// The threads of one run, among which groups, streams to be closed and private memory are shared out.
///
/// A thread makes one group at a time. Those for which there is none, or not the memory, close the streams
/// of others; nobody waits for memory who has a group, so that all groups come to their end.
pub(super) struct Crew {
    threads: usize,
    /// Bytes of private memory that may be taken at once.
    limit: u64,
    /// What each group needs of them, in the order in which the groups are made.
    needs: Vec<u64>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The next group.
    next: usize,
    /// How many groups are being made.
    running: usize,
    /// How much memory is taken.
    taken: u64,
    /// How much of it beside what the groups need.
    spared: u64,
    /// Streams to be closed, the oldest first, those among them that were begun meanwhile.
    tasks: VecDeque<Arc<Task>>,
    is_stopped: bool,
}

/// What a thread does next.
pub(super) enum Turn<'c> {
    /// It makes the group with this number.
    Group(usize, Share<'c>),
    /// It closes a stream.
    Task(Arc<Task>, Share<'c>),
}

impl Crew {
    /// Returns a crew of so many threads that share `limit` bytes among groups with these needs.
    pub(super) fn new(threads: usize, limit: u64, needs: Vec<u64>) -> Crew {
        Crew {
            threads,
            limit,
            needs,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for something to do; there is nothing once all groups are made or all work is in vain.
    pub(super) fn turn(&self) -> Option<Turn<'_>> {
        let mut state = self.lock();
        loop {
            let need = self.needs.get(state.next).copied();
            if state.is_stopped || need.is_none() && state.running == 0 {
                return None;
            }
            if let Some(need) = need
                && (state.taken == 0 || self.is_free(&state, need))
            {
                let number = state.next;
                state.next += 1;
                state.running += 1;
                return Some(Turn::Group(number, self.share(&mut state, need, true)));
            }
            if self.is_free(&state, TABLE_BYTES)
                && let Some(task) = state.task()
            {
                let share = self.share(&mut state, TABLE_BYTES, false);
                return Some(Turn::Task(task, share));
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends every thread home that has no group.
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// Whether there are threads without a group, to close the streams of others.
    pub(super) fn has_hands(&self) -> bool {
        self.lock().running < self.threads
    }

    /// Takes so many bytes beside what the groups need, if they are free: all such shares together stay
    /// below a part of the limit, since memory that threads hand to each other is not reused as well.
    pub(super) fn spare(&self, bytes: u64) -> Option<Share<'_>> {
        let mut state = self.lock();
        self.is_spare(&state, bytes)
            .then(|| self.share(&mut state, bytes, false))
    }

    /// Leaves a stream to be closed by whoever comes first.
    pub(super) fn offer(&self, task: &Arc<Task>) {
        self.lock().tasks.push_back(Arc::clone(task));
        self.changed.notify_all();
    }

    /// Closes a stream that was offered, and tells those who wait for it.
    pub(super) fn run(&self, task: &Task, check: &dyn Fn() -> Result<(), Cancelled>) {
        task.run(check);
        // Whoever waits has the lock from its look at the task until it sleeps.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Waits for a task that another thread has begun, and closes other streams meanwhile.
    pub(super) fn outcome(
        &self,
        task: &Task,
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Outcome {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = task.outcome() {
                return outcome;
            }
            if let Some(other) = state.task() {
                drop(state);
                self.run(&other, check);
                state = self.lock();
            } else {
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn is_free(&self, state: &State, bytes: u64) -> bool {
        state.taken.saturating_add(bytes) <= self.limit
    }

    fn is_spare(&self, state: &State, bytes: u64) -> bool {
        let spared = state.spared.saturating_add(bytes);
        spared <= self.limit / SPARE_PART && self.is_free(state, bytes)
    }

    fn share<'c>(&'c self, state: &mut State, bytes: u64, is_group: bool) -> Share<'c> {
        state.taken = state.taken.saturating_add(bytes);
        if !is_group {
            state.spared += bytes;
        }
        Share {
            crew: self,
            bytes,
            is_group,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the oldest task that nobody has begun.
    fn task(&mut self) -> Option<Arc<Task>> {
        loop {
            let task = self.tasks.pop_front()?;
            if task.is_waiting() {
                return Some(task);
            }
        }
    }
}

/// Some of a crew's memory, given back when it is dropped.
pub(super) struct Share<'c> {
    crew: &'c Crew,
    bytes: u64,
    is_group: bool,
}

impl Share<'_> {
    /// Takes so many more bytes, and returns whether they were free.
    pub(super) fn grow(&mut self, bytes: u64) -> bool {
        let mut state = self.crew.lock();
        let is_spare = self.crew.is_spare(&state, bytes);
        if is_spare {
            state.taken += bytes;
            state.spared += bytes;
            self.bytes += bytes;
        }
        is_spare
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut state = self.crew.lock();
        state.taken = state.taken.saturating_sub(self.bytes);
        if self.is_group {
            state.running = state.running.saturating_sub(1);
        } else {
            state.spared = state.spared.saturating_sub(self.bytes);
        }
        drop(state);
        self.crew.changed.notify_all();
    }
}

/// What a thread takes to close any stream: tables, and a chunk that is kept until it is full.
const TABLE_BYTES: u64 = 2 << 20;
/// Of the limit, this part is for what groups have beside their needs.
const SPARE_PART: u64 = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn shares_never_pass_the_limit_together() {
        let needs = [60, 50, 40, 30, 20, 10].repeat(100);
        let crew = Crew::new(4, 100, needs.clone());
        let (taken, made) = (AtomicU64::new(0), AtomicU64::new(0));
        let take = |bytes: u64| {
            let now = taken.fetch_add(bytes, Ordering::SeqCst) + bytes;
            assert!(now <= 100, "{now} bytes were taken");
            thread::yield_now();
            taken.fetch_sub(bytes, Ordering::SeqCst);
        };
        let work = || {
            while let Some(Turn::Group(number, _share)) = crew.turn() {
                take(needs[number]);
                if let Some(mut spare) = crew.spare(5) {
                    take(5);
                    if spare.grow(7) {
                        take(12);
                    }
                }
                made.fetch_add(1, Ordering::SeqCst);
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(work);
            }
        });
        assert_eq!(made.into_inner(), 600);
        assert_eq!(crew.lock().taken, 0);
    }

    #[test]
    fn a_share_above_the_limit_gets_all_of_it() {
        let crew = Crew::new(1, 1, vec![2, 2]);
        for number in 0..2 {
            let Some(Turn::Group(given, _share)) = crew.turn() else {
                unreachable!("a group is left");
            };
            assert_eq!(given, number);
            assert!(crew.spare(1).is_none());
        }
        assert!(crew.turn().is_none());
    }

    #[test]
    fn a_crew_that_is_stopped_goes_home() {
        let crew = Crew::new(2, 10, vec![10, 10]);
        let first = crew.turn();
        assert!(first.is_some() && crew.has_hands());
        thread::scope(|scope| {
            let second = scope.spawn(|| crew.turn().is_none());
            crew.stop();
            assert!(second.join().unwrap_or(false));
        });
    }
}
