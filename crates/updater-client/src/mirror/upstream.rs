use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diff_core::CancelToken;

use super::missing::Missing;
use super::short_way::ShortWay;
use crate::UpdateError;
use crate::step::document::{Documents, Traffic};
use crate::step::pace::FetchPolicy;
use crate::transport::{Mirrors, Transport, TransportError};

/// Where a mirror gets what it does not hold, a few transfers at a time.
pub(crate) struct Upstream {
    transport: Arc<dyn Transport>,
    policy: FetchPolicy,
    cancel: CancelToken,
    requests: AtomicU64,
    bytes: AtomicU64,
    under_way: Mutex<usize>,
    one_ended: Condvar,
    /// Until when small files are not asked for, since a moment ago nothing was in reach, and why.
    rests: Mutex<Option<(Instant, String)>>,
    now: fn() -> Instant,
}

impl Upstream {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        policy: FetchPolicy,
        now: fn() -> Instant,
    ) -> Upstream {
        Upstream {
            transport,
            policy,
            cancel: CancelToken::new(),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            under_way: Mutex::new(0),
            one_ended: Condvar::new(),
            rests: Mutex::new(None),
            now,
        }
    }

    /// Returns what nothing comes from.
    pub(crate) fn nowhere() -> Upstream {
        let nowhere = Arc::new(Mirrors::new(Vec::new()));
        Upstream::new(nowhere, FetchPolicy::default(), Instant::now)
    }

    /// Does `work` with what fetches, once it is its turn.
    pub(crate) fn fetching<T>(&self, work: impl FnOnce(&Documents<'_>) -> T) -> T {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while *under_way >= MAX_TRANSFERS {
            under_way = self
                .one_ended
                .wait(under_way)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *under_way += 1;
        drop(under_way);
        let turn = Turn(self);
        let documents = Documents::new(&*self.transport, &self.cancel).policy(&self.policy);
        let outcome = work(&documents);
        let traffic = documents.traffic();
        self.requests.fetch_add(traffic.requests, Ordering::Relaxed);
        self.bytes.fetch_add(traffic.bytes, Ordering::Relaxed);
        drop(turn);
        outcome
    }

    /// Fetches a small file whole.
    ///
    /// For a while after nothing was in reach nothing is tried: else each of forty devices would wait
    /// for a network that is gone, once for each file.
    pub(crate) fn fetch(&self, location: &str, limit: u64) -> Result<Vec<u8>, Missing> {
        if let Some((until, reason)) = self.rests().clone()
            && (self.now)() < until
        {
            return Err(Missing::OutOfReach { reason });
        }
        let fetched = self.fetching(|documents| documents.fetch(location, limit));
        let fetched = fetched.map_err(|failed| missing(&failed));
        *self.rests() = match &fetched {
            Err(Missing::OutOfReach { reason }) => Some(((self.now)() + REST, reason.clone())),
            _ => None,
        };
        fetched
    }

    /// Fetches a small file whole, by a short way where there is one that leads to it.
    pub(crate) fn bring(
        &self,
        location: &str,
        way: Option<&ShortWay>,
        limit: u64,
    ) -> Result<Vec<u8>, Missing> {
        let is_out_of_reach =
            (self.rests().as_ref()).is_some_and(|(until, _)| (self.now)() < *until);
        if let Some(way) = way.filter(|_| !is_out_of_reach) {
            let patch =
                self.fetching(|documents| documents.attempt(&way.location, way.patch_bytes));
            let led_to = patch.ok().flatten();
            if let Some(file) = led_to.and_then(|patch| way.follow(&patch)) {
                return Ok(file);
            }
        }
        self.fetch(location, limit)
    }

    fn rests(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what was asked and received so far.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Ends what is under way.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
    }
}

/// The right to a transfer, given back also by one that panics.
struct Turn<'a>(&'a Upstream);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self
            .0
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *under_way -= 1;
        self.0.one_ended.notify_one();
    }
}

/// Returns what a neighbour is told of `failed`.
pub(crate) fn missing(failed: &UpdateError) -> Missing {
    let reason = failed.to_string();
    match failed {
        // Buckets that do not let anybody list them answer 403 for what they do not have.
        UpdateError::Transport(
            TransportError::Absent { .. } | TransportError::Forbidden { .. },
        ) => Missing::Absent,
        UpdateError::Transport(unreachable) if unreachable.is_unreachable() => {
            Missing::OutOfReach { reason }
        }
        UpdateError::Transport(_) | UpdateError::Format(_) => Missing::Refused { reason },
        UpdateError::FreeSpace { .. } | UpdateError::DiskFull(_) | UpdateError::Disk(_) => {
            Missing::NoRoom { reason }
        }
        _ => Missing::OutOfReach { reason },
    }
}

/// A thin line is shared by no more.
const MAX_TRANSFERS: usize = 4;
const REST: Duration = Duration::from_secs(15);
