//! A device that serves what it has to its neighbours: a mirror of the repository that it updates
//! from, for a class behind one thin line.
//!
//! It answers for the places of a repository and for nothing else of its library, from what the
//! library trusts and holds, else from what it kept for neighbours before, else from what it can make
//! again of installed releases, else from the repository: each file once, however many ask for it. It is
//! believed in nothing, like any other mirror, so it needs no key and no permission. It takes no lock
//! that an update needs, and changes nothing in the library but its own folder, `mirror/`, and the folder
//! of receipts that neighbours hand on.

pub(crate) mod builder;
mod flight;
mod handed_on;
mod holdings;
mod installed;
mod kept;
mod location;
mod memory;
mod metadata;
mod missing;
mod rebuilt;
mod recut;
mod served;
mod short_way;
mod stream;
mod upstream;
mod workshop;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diff_core::Digest;
use release_format::{ChunkMap, ContentReference};

pub use builder::MirrorBuilder;
use flight::Flight;
use holdings::{Holdings, is_content};
use installed::{Installed, Relation};
use kept::Kept;
use location::Asked;
use memory::{Answer, Memory};
use metadata::{Metadata, Verdict};
pub use missing::Missing;
pub use served::Served;
use short_way::ShortWay;
use upstream::Upstream;

use crate::library::disk::Disk;
use crate::library::layout::LibraryLayout;
use crate::step::document::Traffic;

/// Serves a library to its neighbours; made by [`MirrorBuilder`].
///
/// Calls come from any thread, many at once, and block.
pub struct Mirror {
    disk: Arc<dyn Disk>,
    layout: LibraryLayout,
    first_root: Digest,
    upstream: Option<Arc<Upstream>>,
    metadata: Metadata,
    memory: Memory,
    holdings: Holdings,
    installed: Installed,
    content: Arc<Kept>,
    /// Shared with the threads that fetch.
    flights: Arc<Mutex<Flights>>,
    now: fn() -> Instant,
    /// Held while receipts of neighbours are counted and kept.
    taking: Mutex<()>,
    /// One mirror at a time has the folder.
    _lock: File,
}

#[derive(Default)]
struct Flights {
    under_way: HashMap<Digest, Arc<Flight>>,
    /// What the repository does not have, and since when.
    absent: HashMap<Digest, Instant>,
}

impl Mirror {
    /// Returns the digest of the oldest root that the library has, by which neighbours that follow the
    /// same repository recognise it.
    pub fn first_root(&self) -> Digest {
        self.first_root
    }

    /// Returns what was asked of the repository, and received from it, so far.
    pub fn traffic(&self) -> Traffic {
        let traffic = self.upstream.as_ref().map(|upstream| upstream.traffic());
        traffic.unwrap_or_default()
    }

    /// Returns the file at `location`, such as `metadata/timestamp.json`.
    ///
    /// Content may still be on its way: reading waits for it.
    ///
    /// # Errors
    /// [`Missing`], [`Missing::Absent`] for every location that no repository has.
    pub fn open(&self, location: &str) -> Result<Served, Missing> {
        self.open_at(location, 0)
    }

    /// Returns the file at `location`, to be read from byte `from` on: of an archive the rest may not be
    /// here.
    ///
    /// # Errors
    /// As [`Mirror::open`].
    pub fn open_at(&self, location: &str, from: u64) -> Result<Served, Missing> {
        let asked = Asked::parse(location).ok_or(Missing::Absent)?;
        match &asked {
            Asked::Content(content) => self.content(content, from),
            Asked::Timestamp => self.timestamp(location, &asked),
            _ => self.document(location, &asked),
        }
        .map_err(|why| self.explained(why))
    }

    fn taking(&self) -> MutexGuard<'_, ()> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explained(&self, why: Missing) -> Missing {
        match why {
            Missing::OutOfReach { .. } if self.upstream.is_none() => Missing::OutOfReach {
                reason: "this mirror does not ask it".to_owned(),
            },
            why => why,
        }
    }

    /// Returns the newest timestamp: the repository's, asked at most once a minute, else the one held.
    fn timestamp(&self, location: &str, asked: &Asked) -> Result<Served, Missing> {
        let answer = self.memory.answer(location, || {
            let (why, lasts) = match self.renewed(location, asked) {
                Ok(bytes) => return (Ok(bytes), FRESH),
                Err(why) => (why, OUT_OF_REACH),
            };
            let held = self.metadata.held(asked).map(Arc::from);
            (held.ok_or(why), lasts)
        });
        Ok(Served::bytes(answer?))
    }

    fn renewed(&self, location: &str, asked: &Asked) -> Answer {
        // What the library's own update found may be newer than what the repository says next.
        let looked = self.metadata.look_again();
        looked.map_err(|damage| Missing::Refused {
            reason: damage.to_string(),
        })?;
        let upstream = self.upstream()?;
        let timestamp = upstream.fetch(location, self.metadata.limit(asked))?;
        let refused = |reason| Missing::Refused { reason };
        let limit = self.metadata.limit(&Asked::Role {
            version: 1,
            role: "snapshot".to_owned(),
        });
        let fetch =
            |location: &str, way: Option<ShortWay>| upstream.bring(location, way.as_ref(), limit);
        if let Err(failed) = self.metadata.renew(&timestamp, fetch, refused) {
            // Its keys may be those of a newer root, which no device has asked for yet.
            if !matches!(failed, Missing::Refused { .. }) || !self.follow_roots(upstream) {
                return Err(failed);
            }
            self.metadata.renew(&timestamp, fetch, refused)?;
        }
        Ok(timestamp.into())
    }

    /// Follows the chain of roots; tells whether it went on.
    fn follow_roots(&self, upstream: &Upstream) -> bool {
        let before = self.metadata.root_version();
        for version in (before + 1..).take(MAX_ROOTS) {
            let asked = Asked::Root(version);
            let location = format!("metadata/{version}.root.json");
            let fetched = upstream.fetch(&location, self.metadata.limit(&asked));
            let is_next =
                fetched.is_ok_and(|bytes| self.metadata.judge(&asked, &bytes) == Verdict::Proved);
            if !is_next {
                break;
            }
        }
        self.metadata.root_version() > before
    }

    /// Returns metadata that never changes, or a catalogue or rollout: as it is held, else the
    /// repository's.
    fn document(&self, location: &str, asked: &Asked) -> Result<Served, Missing> {
        if let Some(held) = self.metadata.held(asked) {
            return Ok(Served::bytes(held.into()));
        }
        let answer = self.memory.answer(location, || {
            // Whoever asked at the same time may have had it kept meanwhile.
            if let Some(held) = self.metadata.held(asked) {
                return (Ok(held.into()), Duration::ZERO);
            }
            match self.fetched(location, asked) {
                // Devices ask for the root after the last, and go on without one.
                Err(Missing::OutOfReach { .. }) if matches!(asked, Asked::Root(_)) => {
                    (Err(Missing::Absent), OUT_OF_REACH)
                }
                Err(why @ Missing::OutOfReach { .. }) => (Err(why), OUT_OF_REACH),
                answer => (answer, FRESH),
            }
        });
        Ok(Served::bytes(answer?))
    }

    fn fetched(&self, location: &str, asked: &Asked) -> Answer {
        let upstream = self.upstream()?;
        let way = self.metadata.short_way(asked, location);
        let bytes = upstream.bring(location, way.as_ref(), self.metadata.limit(asked))?;
        match self.metadata.judge(asked, &bytes) {
            Verdict::Refused(reason) => Err(Missing::Refused { reason }),
            Verdict::Proved | Verdict::Unknown => Ok(bytes.into()),
        }
    }

    /// Returns content: as it is kept or held, else as it is made again of installed releases, else the
    /// repository's as it arrives.
    fn content(&self, content: &Digest, from: u64) -> Result<Served, Missing> {
        if let Some(flight) = self.flights().under_way.get(content).cloned() {
            return Ok(Served::arriving(&self.disk, flight));
        }
        if let Some(served) = self.held_content(content) {
            return Ok(served);
        }
        let Some(relation) = self.installed.relation(content) else {
            return self.flown(content);
        };
        if let Some(rebuilt) = self.rebuilt(content, from, relation) {
            return rebuilt;
        }
        let flown = self.flown(content);
        let why = match flown.and_then(|flown| flown.length().map(|_| flown)) {
            Ok(flown) => return Ok(flown),
            Err(why) => why,
        };
        self.made_again(content, from, relation).unwrap_or(Err(why))
    }

    fn rebuilt(
        &self,
        content: &Digest,
        from: u64,
        relation: Relation,
    ) -> Option<Result<Served, Missing>> {
        if relation != Relation::Archive {
            return None;
        }
        let reader = self
            .installed
            .open(content, from, &|of| self.held_bytes(of));
        Some(reader?.map(|reader| Served::rebuilt(reader, from)))
    }

    /// Returns content that nobody has, as it takes some time to make of installed files; that there is
    /// none, where that sends neighbours along a way that is open to them here.
    fn made_again(
        &self,
        content: &Digest,
        from: u64,
        relation: Relation,
    ) -> Option<Result<Served, Missing>> {
        let read = |of: &ContentReference| self.held_bytes(of);
        for (map, bytes) in self.installed.cut_again(content, &read) {
            // That it is not kept keeps nobody from having it now.
            let _ = self.content.put(&map.to_string(), &bytes);
        }
        match relation {
            Relation::Archive => self.rebuilt(content, from, relation),
            Relation::ChunkMap => {
                let map = self.installed.chunk_map(content)?;
                Some(Ok(Served::bytes(map.into())))
            }
            Relation::Delta => {
                let is_spared = self.installed.spares(content, &read);
                is_spared.then_some(Err(Missing::Absent))
            }
        }
    }

    /// Returns content that is held, of which a chunk map is the longest that is asked for.
    fn held_bytes(&self, content: &ContentReference) -> Option<Vec<u8>> {
        if content.length > ChunkMap::MAX_BYTES {
            return None;
        }
        let reader = self.held_content(&content.digest)?.reader(0).ok()?;
        let mut bytes = Vec::new();
        let mut reader = reader.take(content.length.saturating_add(1));
        reader.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn held_content(&self, content: &Digest) -> Option<Served> {
        let name = content.to_string();
        if let Some(kept) = self.content.find(&name) {
            if kept.is_proved || is_content(&*self.disk, &kept.path, content) {
                self.content.prove(&name);
                return Some(Served::file(&self.disk, kept.path, kept.length));
            }
            // It has rotted: whoever asks has it fetched again.
            let _ = self.content.remove(&name);
        }
        let (path, length) = self.holdings.find(content)?;
        Some(Served::file(&self.disk, path, length))
    }

    /// Returns `content` as it arrives, which begins if nobody has asked for it yet.
    fn flown(&self, content: &Digest) -> Result<Served, Missing> {
        let partial = self.layout.mirror_partial(content);
        let is_left = self.disk.length(&partial).ok().flatten().is_some();
        let upstream = match &self.upstream {
            Some(upstream) => Arc::clone(upstream),
            // What an update left there whole needs no repository.
            None if is_left => Arc::new(Upstream::nowhere()),
            None => return Err(Missing::Absent),
        };
        let mut flights = self.flights();
        if let Some(flight) = flights.under_way.get(content) {
            return Ok(Served::arriving(&self.disk, Arc::clone(flight)));
        }
        // Between the look at what is kept and this lock it may have arrived.
        if let Some(kept) = self.content.find(&content.to_string())
            && kept.is_proved
        {
            return Ok(Served::file(&self.disk, kept.path, kept.length));
        }
        let now = (self.now)();
        flights
            .absent
            .retain(|_, since| now.duration_since(*since) < FRESH);
        if flights.absent.contains_key(content) {
            return Err(Missing::Absent);
        }
        if flights.under_way.len() >= MAX_FLIGHTS {
            return Err(Missing::Busy);
        }
        let flight = Arc::new(Flight::new(*content, partial, &self.content));
        flights.under_way.insert(*content, Arc::clone(&flight));
        drop(flights);
        self.take_off(&flight, *content, upstream);
        Ok(Served::arriving(&self.disk, flight))
    }

    fn take_off(&self, flight: &Arc<Flight>, content: Digest, upstream: Arc<Upstream>) {
        let (disk, kept) = (Arc::clone(&self.disk), Arc::clone(&self.content));
        let mut landing = Landing {
            flight: Arc::clone(flight),
            content,
            flights: Arc::clone(&self.flights),
            now: self.now,
            end: Err(Missing::Busy),
        };
        // Where no thread starts, the landing is dropped, and told.
        let _ = thread::Builder::new()
            .name("satchel-mirror".to_owned())
            .spawn(move || {
                landing.end = landing.flight.run(&*disk, &upstream, &kept);
                drop(landing);
            });
    }

    fn upstream(&self) -> Result<&Upstream, Missing> {
        self.upstream.as_deref().ok_or_else(|| Missing::OutOfReach {
            reason: "this mirror does not ask it".to_owned(),
        })
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mirror {
    /// Ends what is under way; what has arrived of it is gone on with by the next mirror.
    fn drop(&mut self) {
        if let Some(upstream) = &self.upstream {
            upstream.stop();
        }
    }
}

/// Tells everybody who waits how a flight ended, however its thread did.
struct Landing {
    flight: Arc<Flight>,
    content: Digest,
    flights: Arc<Mutex<Flights>>,
    now: fn() -> Instant,
    end: Result<u64, Missing>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.under_way.remove(&self.content);
        if self.end == Err(Missing::Absent) && flights.absent.len() < MAX_ABSENT {
            flights.absent.insert(self.content, (self.now)());
        }
        drop(flights);
        // Whoever hears that it failed may ask again at once, and is not to get this one.
        self.flight.land(self.end.clone());
    }
}

/// For how long an answer of the repository counts as its newest, as for any other cache before it.
const FRESH: Duration = Duration::from_secs(60);
/// For how long nobody asks a repository again that was out of reach a moment ago.
const OUT_OF_REACH: Duration = Duration::from_secs(15);
/// Contents on their way or waiting for it.
const MAX_FLIGHTS: usize = 64;
const MAX_ABSENT: usize = 1_024;
/// More than any repository has ahead of a device that has not yet expired.
const MAX_ROOTS: usize = 256;
