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
    state: Mutex<State>,
    changed: Condvar,
}

/// What a group needs before it can begin.
pub(super) struct Need {
    /// Bytes of private memory.
    pub(super) memory: u64,
    /// The groups whose files it refers to, each once, all of which come before it.
    pub(super) after: Vec<usize>,
}

#[derive(Default)]
struct State {
    /// The groups that nobody has begun, in their order, and what each needs of the memory.
    groups: VecDeque<(usize, u64)>,
    /// How many others have to be made before each group.
    missing: Vec<usize>,
    /// The groups that each one has to be made before.
    followers: Vec<Vec<usize>>,
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
    pub(super) fn new(threads: usize, limit: u64, needs: Vec<Need>) -> Crew {
        let mut followers = vec![Vec::new(); needs.len()];
        for (number, need) in needs.iter().enumerate() {
            for before in &need.after {
                if let Some(followers) = followers.get_mut(*before) {
                    followers.push(number);
                }
            }
        }
        let memory = needs.iter().map(|need| need.memory);
        Crew {
            threads,
            limit,
            state: Mutex::new(State {
                groups: memory.enumerate().collect(),
                missing: needs.iter().map(|need| need.after.len()).collect(),
                followers,
                ..State::default()
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for something to do; there is nothing once all groups are made or all work is in vain.
    pub(super) fn turn(&self) -> Option<Turn<'_>> {
        let mut state = self.lock();
        loop {
            if state.is_stopped || state.groups.is_empty() && state.running == 0 {
                return None;
            }
            if let Some((number, need)) = self.group(&mut state) {
                state.running += 1;
                let share = self.share(&mut state, need, Some(number));
                return Some(Turn::Group(number, share));
            }
            if self.is_free(&state, TABLE_BYTES)
                && let Some(task) = state.task()
            {
                let share = self.share(&mut state, TABLE_BYTES, None);
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
    /// below a part of the limit, so that another group can begin.
    pub(super) fn spare(&self, bytes: u64) -> Option<Share<'_>> {
        let mut state = self.lock();
        self.is_spare(&state, bytes)
            .then(|| self.share(&mut state, bytes, None))
    }

    /// Leaves a stream to be closed by whoever comes first.
    pub(super) fn offer(&self, task: &Arc<Task>) {
        self.lock().tasks.push_back(Arc::clone(task));
        self.changed.notify_all();
    }

    /// Closes a stream that was offered, and tells those who wait for it.
    pub(super) fn run(&self, task: &Task, check: &dyn Fn() -> Result<(), Cancelled>) {
        let freed = task.run(check);
        // Whoever waits has the lock from its look at the task until it sleeps.
        self.free(freed);
    }

    /// Takes memory back that was spared.
    fn free(&self, bytes: u64) {
        let mut state = self.lock();
        state.taken = state.taken.saturating_sub(bytes);
        state.spared = state.spared.saturating_sub(bytes);
        drop(state);
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

    /// Takes the first group that can begin, of those that come next.
    fn group(&self, state: &mut State) -> Option<(usize, u64)> {
        let is_alone = state.taken == 0;
        let mut groups = state.groups.iter().take(LOOKED_AHEAD);
        let fitting = groups.position(|(number, need)| {
            state.missing.get(*number) == Some(&0) && (is_alone || self.is_free(state, *need))
        })?;
        state.groups.remove(fitting)
    }

    fn is_free(&self, state: &State, bytes: u64) -> bool {
        state.taken.saturating_add(bytes) <= self.limit
    }

    fn is_spare(&self, state: &State, bytes: u64) -> bool {
        let spared = state.spared.saturating_add(bytes);
        spared <= self.limit / SPARE_PART && self.is_free(state, bytes)
    }

    fn share<'c>(&'c self, state: &mut State, bytes: u64, group: Option<usize>) -> Share<'c> {
        state.taken = state.taken.saturating_add(bytes);
        if group.is_none() {
            state.spared += bytes;
        }
        Share {
            crew: self,
            bytes,
            group,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets the groups go on that wait for one which is made now.
    fn follow(&mut self, group: usize) {
        let followers = self.followers.get_mut(group).map(std::mem::take);
        for follower in followers.unwrap_or_default() {
            if let Some(missing) = self.missing.get_mut(follower) {
                *missing -= 1;
            }
        }
    }

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

/// Some of a crew's memory, given back when it is dropped; a group is made then.
pub(super) struct Share<'c> {
    crew: &'c Crew,
    bytes: u64,
    /// The group that is made with it.
    group: Option<usize>,
}

impl Share<'_> {
    /// Gives so many bytes back.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.crew.free(bytes.min(self.bytes));
        self.forget(bytes);
    }

    /// Counts so many bytes no more: the crew has got them back.
    pub(super) fn forget(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut state = self.crew.lock();
        state.taken = state.taken.saturating_sub(self.bytes);
        if let Some(group) = self.group {
            state.running = state.running.saturating_sub(1);
            state.follow(group);
        } else {
            state.spared = state.spared.saturating_sub(self.bytes);
        }
        drop(state);
        self.crew.changed.notify_all();
    }
}

/// What a thread takes to close any stream: tables, and a chunk that is kept until it is full.
const TABLE_BYTES: u64 = 2 << 20;
/// So many groups are looked through for one that fits beside others.
const LOOKED_AHEAD: usize = 32;
/// Of the limit, this part is for what groups have beside their needs.
const SPARE_PART: u64 = 2;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    /// Returns the needs of groups that wait for none.
    fn alone(needs: &[u64]) -> Vec<Need> {
        let alone = |memory: &u64| Need {
            memory: *memory,
            after: Vec::new(),
        };
        needs.iter().map(alone).collect()
    }

    #[test]
    fn a_group_begins_once_those_that_it_refers_to_are_made() {
        let mut needs = alone(&[10, 20, 30, 40]);
        needs[1].after = vec![0];
        needs[3].after = vec![0, 1];
        let crew = Crew::new(4, 200, needs);
        let given = || match crew.turn() {
            Some(Turn::Group(number, share)) => (number, share),
            _ => unreachable!("a group is left"),
        };
        let (first, third) = (given(), given());
        assert_eq!((first.0, third.0), (0, 2));
        let waiting = |crew: &Crew| crew.group(&mut crew.lock()).is_none();
        assert!(waiting(&crew));
        drop(first);
        let second = given();
        assert_eq!(second.0, 1);
        drop(third);
        assert!(waiting(&crew));
        drop(second);
        assert_eq!(given().0, 3);
        assert!(crew.turn().is_none());
    }

    #[test]
    fn shares_never_pass_the_limit_together() {
        let needs = [60, 50, 40, 30, 20, 10].repeat(100);
        let crew = Crew::new(4, 100, alone(&needs));
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
                if let Some(_spare) = crew.spare(5) {
                    take(5);
                    if let Some(_more) = crew.spare(7) {
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
        let crew = Crew::new(1, 1, alone(&[2, 2]));
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
    fn a_group_that_fits_is_begun_beside_a_large_one() {
        let crew = Crew::new(2, 100, alone(&[70, 60, 30]));
        let held = [crew.turn(), crew.turn()];
        let held = held.iter().map(|turn| match turn {
            Some(Turn::Group(number, _)) => *number,
            _ => unreachable!("a group is left"),
        });
        assert_eq!(held.collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_crew_that_is_stopped_goes_home() {
        let crew = Crew::new(2, 10, alone(&[10, 10]));
        let first = crew.turn();
        assert!(first.is_some() && crew.has_hands());
        thread::scope(|scope| {
            let second = scope.spawn(|| crew.turn().is_none());
            crew.stop();
            assert!(second.join().unwrap_or(false));
        });
    }
}
