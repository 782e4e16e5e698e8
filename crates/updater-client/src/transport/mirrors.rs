use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::health::Health;
use super::{Body, Transport, TransportError};

/// Several mirrors of one repository, in the order of preference: each file comes from the first that
/// brings it.
///
/// A mirror that fails rests for a while, longer each time, and is asked again before then only when
/// no other is left. A file that one mirror does not have is asked of the next, except for roots: that
/// there is no newer one is what a mirror says most often.
pub struct Mirrors {
    /// With their addresses.
    mirrors: Vec<(Arc<dyn Transport>, String)>,
    health: Arc<Health>,
    memory: Mutex<Memory>,
    now: fn() -> Instant,
}

/// What is remembered of locations, by the places of the mirrors.
#[derive(Default)]
struct Memory {
    /// Which mirror brought a location last, and which are not asked for it any more.
    served: HashMap<String, usize>,
    passed_over: HashMap<String, Vec<usize>>,
}

impl Mirrors {
    /// Returns the transport over these mirrors, the preferred one first.
    pub fn new(mirrors: Vec<Arc<dyn Transport>>) -> Mirrors {
        Mirrors::knowing(mirrors, Arc::default())
    }

    /// Returns the transport over these mirrors, of which so much is known already.
    pub(crate) fn knowing(mirrors: Vec<Arc<dyn Transport>>, health: Arc<Health>) -> Mirrors {
        let addressed = mirrors.into_iter().map(|mirror| {
            let address = mirror.address();
            (mirror, address)
        });
        Mirrors {
            mirrors: addressed.collect(),
            health,
            memory: Mutex::default(),
            now: Instant::now,
        }
    }

    /// Returns the places of the mirrors to ask for `location`, those that rest behind the others.
    fn order(&self, location: &str) -> Vec<usize> {
        let now = (self.now)();
        let memory = self.memory();
        let passed_over = memory.passed_over.get(matter(location));
        let rests = |place: &usize| {
            let mirror = self.mirrors.get(*place);
            mirror.is_some_and(|(_, address)| self.health.rests(address, now))
        };
        let mut order: Vec<usize> = (0..self.mirrors.len())
            .filter(|place| passed_over.is_none_or(|of| !of.contains(place)))
            .collect();
        order.sort_by_key(rests);
        order
    }

    fn brought(&self, (place, address): (usize, &str), location: &str) {
        self.health.brought(address, (self.now)());
        let mut memory = self.memory();
        if memory.served.len() >= MOST_REMEMBERED {
            memory.served.clear();
        }
        memory.served.insert(matter(location).to_owned(), place);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Mirrors {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        let mut told: Option<TransportError> = None;
        for place in self.order(location) {
            let Some((mirror, address)) = self.mirrors.get(place) else {
                continue;
            };
            let failed = match mirror.open(location, from) {
                Ok(body) => {
                    self.brought((place, address), location);
                    return Ok(body);
                }
                Err(failed) => failed,
            };
            if failed.is_unreachable() {
                self.health.failed(address, (self.now)());
            } else if !may_be_elsewhere(&failed, location) {
                return Err(failed);
            }
            // What a mirror said that was reached tells more than one that was not.
            let tells_more = told.as_ref().is_none_or(TransportError::is_unreachable);
            if told.is_none() || (tells_more && !failed.is_unreachable()) {
                told = Some(failed);
            }
        }
        Err(told.unwrap_or_else(|| TransportError::Unreachable {
            address: self.address(),
            reason: "no mirror is left to ask".to_owned(),
        }))
    }

    fn address(&self) -> String {
        let addresses = self.mirrors.iter().map(|(_, address)| address.as_str());
        addresses.collect::<Vec<_>>().join(", ")
    }

    fn pass_over(&self, location: &str) -> bool {
        let mut memory = self.memory();
        let matter = matter(location);
        let Some(place) = memory.served.remove(matter) else {
            return false;
        };
        if let Some((_, address)) = self.mirrors.get(place) {
            self.health.was_of_no_use(address, (self.now)());
        }
        let passed_over = memory.passed_over.entry(matter.to_owned()).or_default();
        let has_another = passed_over.len() + 1 < self.mirrors.len();
        // The last one is asked again when there is nobody else to ask.
        if has_another {
            passed_over.push(place);
        }
        has_another
    }
}

/// Returns what is passed over with a location: all metadata of a mirror and what it tells of, catalogues and
/// rollouts, belong together.
fn matter(location: &str) -> &str {
    match location.split_once('/') {
        Some((METADATA | TARGETS, _)) => METADATA,
        _ => location,
    }
}

/// Whether to ask another mirror for what this one has not: all but the end of the chain of roots, which
/// every mirror has, and patches, where a mirror close by that has none has the whole file.
fn may_be_elsewhere(failed: &TransportError, location: &str) -> bool {
    let is_missing = matches!(
        failed,
        TransportError::Absent { .. } | TransportError::PastEnd { .. }
    );
    is_missing && !location.ends_with(".root.json") && !location.starts_with(PATCHES)
}

const METADATA: &str = "metadata";
const TARGETS: &str = "targets";
const PATCHES: &str = "metadata/patches/";
/// Locations, of which one update asks a few dozen.
const MOST_REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Brings its own name as every file that it has, and counts how often it was asked.
    struct Named {
        name: &'static str,
        has: &'static [&'static str],
        is_reachable: bool,
        asked: AtomicU32,
    }

    impl Named {
        fn new(name: &'static str, has: &'static [&'static str]) -> Arc<Named> {
            Named::made(name, has, true)
        }

        fn made(
            name: &'static str,
            has: &'static [&'static str],
            is_reachable: bool,
        ) -> Arc<Named> {
            Arc::new(Named {
                name,
                has,
                is_reachable,
                asked: AtomicU32::new(0),
            })
        }

        fn out_of_reach(name: &'static str) -> Arc<Named> {
            Named::made(name, &[], false)
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::Relaxed)
        }
    }

    impl Transport for Named {
        fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if !self.is_reachable {
                return Err(TransportError::Unreachable {
                    address: self.address(),
                    reason: "no such host".to_owned(),
                });
            }
            if !self.has.contains(&location) {
                let location = location.to_owned();
                return Err(TransportError::Absent { location });
            }
            Ok(Body {
                reader: Box::new(self.name.as_bytes()),
                starts_at: from,
                total: None,
                content_type: None,
            })
        }

        fn address(&self) -> String {
            self.name.to_owned()
        }
    }

    fn over(mirrors: &[&Arc<Named>]) -> Mirrors {
        let mirrors = mirrors.iter().map(|mirror| {
            let mirror: Arc<dyn Transport> = Arc::clone(mirror) as _;
            mirror
        });
        Mirrors::new(mirrors.collect())
    }

    fn bring(mirrors: &Mirrors, location: &str) -> Result<String, TransportError> {
        let mut text = String::new();
        let mut body = mirrors.open(location, 0)?;
        body.reader.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn what_the_first_lacks_comes_from_the_next() {
        let (stick, cdn) = (Named::new("stick", &["a"]), Named::new("cdn", &["a", "b"]));
        let mirrors = over(&[&stick, &cdn]);
        assert_eq!(bring(&mirrors, "a").unwrap(), "stick");
        assert_eq!(bring(&mirrors, "b").unwrap(), "cdn");
        assert_eq!(bring(&mirrors, "a").unwrap(), "stick");
        assert_eq!(bring(&mirrors, "c").unwrap_err().code(), "absent");
    }

    #[test]
    fn a_mirror_out_of_reach_rests_and_is_asked_again_behind_the_others() {
        let (dead, live) = (Named::out_of_reach("dead"), Named::new("live", &["a"]));
        let mirrors = over(&[&dead, &live]);
        for _ in 0..5 {
            assert_eq!(bring(&mirrors, "a").unwrap(), "live");
        }
        assert_eq!((dead.asked(), live.asked()), (1, 5));
        // What the other has not is asked of all.
        assert_eq!(bring(&mirrors, "b").unwrap_err().code(), "absent");
        assert_eq!(dead.asked(), 2);
    }

    #[test]
    fn a_mirror_that_rested_long_enough_is_preferred_again() {
        let (dead, live) = (Named::out_of_reach("dead"), Named::new("live", &["a"]));
        let mut mirrors = over(&[&dead, &live]);
        bring(&mirrors, "a").unwrap();
        mirrors.now = || Instant::now() + Health::LONGEST_REST;
        bring(&mirrors, "a").unwrap();
        assert_eq!(dead.asked(), 2);
    }

    #[test]
    fn nothing_in_reach_is_told_as_such() {
        let (one, two) = (Named::out_of_reach("one"), Named::out_of_reach("two"));
        let failed = bring(&over(&[&one, &two]), "a").unwrap_err();
        assert!(failed.is_unreachable(), "{failed}");
        assert_eq!((one.asked(), two.asked()), (1, 1));
        let failed = bring(&over(&[]), "a").unwrap_err();
        assert!(failed.is_unreachable(), "{failed}");
    }

    #[test]
    fn the_end_of_the_chain_of_roots_is_asked_of_one_mirror() {
        let (one, two) = (Named::new("one", &[]), Named::new("two", &[]));
        let mirrors = over(&[&one, &two]);
        let failed = bring(&mirrors, "metadata/2.root.json").unwrap_err();
        assert_eq!(failed.code(), "absent");
        assert_eq!((one.asked(), two.asked()), (1, 0));
    }

    #[test]
    fn a_patch_is_asked_of_one_mirror_that_is_in_reach() {
        let (dead, near) = (Named::out_of_reach("dead"), Named::new("near", &[]));
        let far = Named::new("far", &["metadata/patches/ab"]);
        let mirrors = over(&[&dead, &near, &far]);
        let failed = bring(&mirrors, "metadata/patches/ab").unwrap_err();
        assert_eq!(failed.code(), "absent");
        assert_eq!((dead.asked(), near.asked(), far.asked()), (1, 1, 0));
    }

    #[test]
    fn what_was_of_no_use_comes_from_another_mirror_until_none_is_left() {
        let (liar, honest) = (
            Named::new("liar", &["a", "b"]),
            Named::new("honest", &["a"]),
        );
        let mirrors = over(&[&liar, &honest]);
        assert!(!mirrors.pass_over("a"), "nothing came yet");
        assert_eq!(bring(&mirrors, "a").unwrap(), "liar");
        assert!(mirrors.pass_over("a"));
        assert_eq!(bring(&mirrors, "a").unwrap(), "honest");
        assert_eq!(bring(&mirrors, "b").unwrap(), "liar");
        assert!(!mirrors.pass_over("a"));
        assert_eq!(bring(&mirrors, "a").unwrap(), "honest");
    }

    #[test]
    fn a_mirror_whose_metadata_was_of_no_use_is_asked_for_none_of_it() {
        const FILES: &[&str] = &[
            "metadata/timestamp.json",
            "metadata/3.snapshot.json",
            "content/a",
        ];
        let (stale, fresh) = (Named::new("stale", FILES), Named::new("fresh", FILES));
        let mirrors = over(&[&stale, &fresh]);
        for location in FILES {
            assert_eq!(bring(&mirrors, location).unwrap(), "stale");
        }
        assert!(mirrors.pass_over(FILES[0]));
        for (location, expected) in FILES.iter().zip(["fresh", "fresh", "stale"]) {
            assert_eq!(bring(&mirrors, location).unwrap(), expected);
        }
    }
}
