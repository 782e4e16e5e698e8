use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::waits::{doubled, jittered};

/// Which mirrors failed of late, by their addresses, and for how long each is asked behind the others.
///
/// A hint and no more: one that rests is asked all the same where no other brings a file.
#[derive(Default)]
pub(crate) struct Health {
    ailing: Mutex<HashMap<String, Ailment>>,
    /// Those of which the next run is to know as well.
    remembered: BTreeSet<String>,
}

#[derive(Clone, Copy)]
struct Ailment {
    failures: u32,
    rests_until: Instant,
    /// Whether it failed in this run, and not in the one before alone.
    is_new: bool,
    /// Whether what it brought was of no use: it is asked on for all else in this run.
    was_of_no_use: bool,
}

/// What the next run is to know of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The mirror.
    pub(crate) address: String,
    /// How often in a row it failed.
    pub(crate) failures: u32,
    /// How long it is to rest from now on.
    pub(crate) left: Duration,
}

impl Health {
    /// The longest rest.
    pub(crate) const LONGEST_REST: Duration = Duration::from_secs(300);

    /// Returns what is known at `now` of the mirrors at these addresses from the run before.
    pub(crate) fn recalled(addresses: BTreeSet<String>, rests: Vec<Rest>, now: Instant) -> Health {
        let known = rests
            .into_iter()
            .filter(|rest| addresses.contains(&rest.address));
        let ailing = known.map(|rest| {
            let ailment = Ailment {
                failures: rest.failures,
                rests_until: now + rest.left.min(Health::LONGEST_REST),
                is_new: false,
                was_of_no_use: false,
            };
            (rest.address, ailment)
        });
        Health {
            ailing: Mutex::new(ailing.collect()),
            remembered: addresses,
        }
    }

    /// Returns what the next run is to know, in the order of the addresses.
    pub(crate) fn told(&self, now: Instant) -> Vec<Rest> {
        let ailing = self.ailing();
        let told = self.remembered.iter().filter_map(|address| {
            let ailment = ailing.get(address)?;
            let left = ailment.rests_until.saturating_duration_since(now);
            // Of one that has rested, and that nobody had to ask, nothing more is known.
            if left.is_zero() && !ailment.is_new {
                return None;
            }
            Some(Rest {
                address: address.clone(),
                failures: ailment.failures,
                left: match ailment {
                    Ailment {
                        was_of_no_use: true,
                        ..
                    } => Health::LONGEST_REST,
                    Ailment { is_new: true, .. } => left.max(LEAST_REST),
                    _ => left,
                },
            })
        });
        told.collect()
    }

    /// Whether a mirror rests at `now`.
    pub(crate) fn rests(&self, address: &str, now: Instant) -> bool {
        let ailing = self.ailing();
        let ailment = ailing.get(address);
        ailment.is_some_and(|ailment| ailment.rests_until > now)
    }

    /// Hears that a mirror brought a file.
    pub(crate) fn brought(&self, address: &str, now: Instant) {
        let mut ailing = self.ailing();
        if let Some(ailment) = ailing.get_mut(address) {
            if ailment.was_of_no_use {
                (ailment.failures, ailment.rests_until) = (1, now);
            } else {
                ailing.remove(address);
            }
        }
    }

    /// Hears that a mirror was not reached: it rests, longer each time.
    pub(crate) fn failed(&self, address: &str, now: Instant) {
        let mut ailing = self.ailing();
        let ailment = ailing.entry(address.to_owned()).or_insert(Ailment {
            failures: 0,
            rests_until: now,
            is_new: true,
            was_of_no_use: false,
        });
        ailment.is_new = true;
        let rest = doubled(FIRST_REST, ailment.failures, Health::LONGEST_REST);
        ailment.rests_until = now + jittered(rest);
        ailment.failures = ailment.failures.saturating_add(1);
    }

    /// Hears that what a mirror brought was of no use.
    pub(crate) fn was_of_no_use(&self, address: &str, now: Instant) {
        let mut ailing = self.ailing();
        let ailment = ailing.entry(address.to_owned()).or_insert(Ailment {
            failures: 1,
            rests_until: now,
            is_new: true,
            was_of_no_use: true,
        });
        (ailment.is_new, ailment.was_of_no_use) = (true, true);
    }

    fn ailing(&self) -> MutexGuard<'_, HashMap<String, Ailment>> {
        self.ailing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FIRST_REST: Duration = Duration::from_secs(2);
/// How long whoever failed rests in the next run: it would begin by waiting for it otherwise.
const LEAST_REST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn recalled(rests: &[(&str, u32, u64)], now: Instant) -> Health {
        let rests = rests.iter().map(|(address, failures, left)| Rest {
            address: (*address).to_owned(),
            failures: *failures,
            left: Duration::from_secs(*left),
        });
        let addresses = ["a", "b"].map(str::to_owned);
        Health::recalled(BTreeSet::from(addresses), rests.collect(), now)
    }

    #[test]
    fn the_next_run_knows_of_what_failed_and_of_nothing_that_recovered() {
        let now = Instant::now();
        let health = recalled(&[], now);
        assert_eq!(health.told(now), []);
        for address in ["a", "b", "given by hand"] {
            health.failed(address, now);
        }
        health.brought("b", now);
        let told = health.told(now);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].address.as_str(), told[0].failures), ("a", 1));
        assert_eq!(told[0].left, LEAST_REST);
        let next = recalled(&[("a", 3, 60), ("stranger", 9, 60)], now);
        assert!(next.rests("a", now) && !next.rests("b", now) && !next.rests("stranger", now));
        assert!(!next.rests("a", now + Duration::from_secs(61)));
        // One that nobody had to ask rests no longer for it.
        assert_eq!(next.told(now)[0].left, Duration::from_secs(60));
        let later = now + Duration::from_secs(50);
        assert_eq!(next.told(later)[0].left, Duration::from_secs(10));
        assert_eq!(next.told(now + Duration::from_secs(60)), []);
        next.failed("a", now);
        assert!(next.rests("a", now + Duration::from_secs(11)));
        next.brought("a", now);
        assert_eq!(next.told(now), []);
    }

    #[test]
    fn one_that_was_of_no_use_is_asked_on_and_rests_in_the_next_run() {
        let now = Instant::now();
        let health = recalled(&[], now);
        health.was_of_no_use("a", now);
        assert!(!health.rests("a", now));
        health.brought("a", now);
        let told = health.told(now);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].left, Health::LONGEST_REST);
    }

    #[test]
    fn no_rest_is_longer_than_the_longest() {
        let now = Instant::now();
        let health = recalled(&[("a", u32::MAX, u64::MAX)], now);
        assert!(!health.rests("a", now + Health::LONGEST_REST));
        health.failed("a", now);
        assert!(!health.rests("a", now + Health::LONGEST_REST));
    }
}
