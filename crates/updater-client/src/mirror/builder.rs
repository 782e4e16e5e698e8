use std::fs::TryLockError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::holdings::Holdings;
use super::installed::Installed;
use super::kept::Kept;
use super::memory::Memory;
use super::metadata::Metadata;
use super::upstream::Upstream;
use super::{Flights, Mirror};
use crate::UpdateError;
use crate::config::transport_to;
use crate::library::disk::{Disk, DiskError, Operation, RealDisk};
use crate::library::first_root::first_root;
use crate::library::identity::LibraryRecord;
use crate::library::layout::LibraryLayout;
use crate::step::pace::FetchPolicy;
use crate::transport::{Https, Mirrors, Transport};

/// Builds a [`Mirror`] of a library.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Read;
/// let mirror = updater_client::MirrorBuilder::new("library").build()?;
/// let mut timestamp = Vec::new();
/// let served = mirror.open("metadata/timestamp.json")?;
/// served.reader(0)?.read_to_end(&mut timestamp)?;
/// # Ok(()) }
/// ```
pub struct MirrorBuilder {
    library: PathBuf,
    upstream: Supply,
    keep_bytes: u64,
    spare_bytes: u64,
    disk: Arc<dyn Disk>,
    fetching: FetchPolicy,
    https: Https,
    now: fn() -> Instant,
}

enum Supply {
    Library,
    Nowhere,
    Given(Arc<dyn Transport>),
}

impl MirrorBuilder {
    /// Bytes that are kept for neighbours unless the host says otherwise.
    pub const KEEP_BYTES: u64 = 4_000_000_000;
    /// Bytes of the disk that are left free for other things.
    pub const SPARE_BYTES: u64 = 256 << 20;

    /// Returns a builder for a mirror of the library at `library`, which fetches what it lacks from
    /// the addresses that the library was enrolled with.
    pub fn new(library: impl Into<PathBuf>) -> MirrorBuilder {
        MirrorBuilder {
            library: library.into(),
            upstream: Supply::Library,
            keep_bytes: MirrorBuilder::KEEP_BYTES,
            spare_bytes: MirrorBuilder::SPARE_BYTES,
            disk: Arc::new(RealDisk::new()),
            fetching: FetchPolicy::default(),
            https: Https::new(),
            now: Instant::now,
        }
    }

    /// Fetches nothing: neighbours get what is held.
    pub fn without_upstream(mut self) -> MirrorBuilder {
        self.upstream = Supply::Nowhere;
        self
    }

    /// Fetches from `transport` rather than from the addresses that the library was enrolled with.
    pub fn upstream(mut self, transport: Arc<dyn Transport>) -> MirrorBuilder {
        self.upstream = Supply::Given(transport);
        self
    }

    /// Keeps at most so many bytes of content for neighbours, but for the last file asked for.
    pub fn keep_bytes(mut self, bytes: u64) -> MirrorBuilder {
        self.keep_bytes = bytes;
        self
    }

    /// Leaves so many bytes of the disk free rather than [`MirrorBuilder::SPARE_BYTES`].
    pub fn spare_bytes(mut self, bytes: u64) -> MirrorBuilder {
        self.spare_bytes = bytes;
        self
    }

    /// Fetches as `policy` says rather than by the standard one.
    pub fn fetching(mut self, policy: FetchPolicy) -> MirrorBuilder {
        self.fetching = policy;
        self
    }

    /// Speaks HTTPS as `https` says with the addresses that the library was enrolled with.
    pub fn https(mut self, https: Https) -> MirrorBuilder {
        self.https = https;
        self
    }

    /// Changes the mirror's folder through `disk`: for tests that cut the power.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> MirrorBuilder {
        self.disk = disk;
        self
    }

    /// Measures how old an answer is by `now`: for tests that do not wait.
    pub fn monotonic(mut self, now: fn() -> Instant) -> MirrorBuilder {
        self.now = now;
        self
    }

    /// Returns the mirror; nothing is fetched yet.
    ///
    /// # Errors
    /// [`UpdateError`] when the folder is no library or cannot be changed; [`UpdateError::Busy`] while
    /// another process is its mirror.
    pub fn build(self) -> Result<Mirror, UpdateError> {
        let layout = LibraryLayout::new(&self.library);
        let record = LibraryRecord::load(&*self.disk, &layout)?;
        let folder = layout.mirror();
        self.disk.create_dirs(layout.root(), &folder)?;
        let lock_path = folder.join("lock");
        let lock = self.disk.open_lock(&lock_path)?;
        lock.try_lock().map_err(|failed| match failed {
            TryLockError::WouldBlock => UpdateError::Busy {
                holder: None,
                lock: lock_path.clone(),
            },
            TryLockError::Error(failed) => {
                DiskError::new(Operation::Lock, &lock_path, failed).into()
            }
        })?;
        let upstream = self.transport(&record)?;
        let kept = |folder: PathBuf, most| {
            let room = (most, self.spare_bytes);
            Kept::open(Arc::clone(&self.disk), layout.root(), folder, room)
        };
        let content = Arc::new(kept(layout.mirror_content(), self.keep_bytes)?);
        let files = kept(folder.join("metadata"), DOCUMENT_BYTES)?;
        let targets = kept(layout.mirror_targets(), DOCUMENT_BYTES)?;
        drop_partials(&*self.disk, &layout, self.keep_bytes)?;
        let metadata = Metadata::open(Arc::clone(&self.disk), layout.trust(), files, targets)?;
        let first_root = first_root(&*self.disk, &layout.trust())?;
        let (policy, now) = (self.fetching, self.now);
        Ok(Mirror {
            first_root,
            taking: Mutex::new(()),
            upstream: upstream.map(|transport| Arc::new(Upstream::new(transport, policy, now))),
            metadata,
            memory: Memory::new(self.now),
            holdings: Holdings::new(Arc::clone(&self.disk), layout.clone()),
            installed: Installed::new(Arc::clone(&self.disk), layout.clone(), self.now),
            content,
            flights: Arc::new(Mutex::new(Flights::default())),
            now: self.now,
            _lock: lock,
            disk: self.disk,
            layout,
        })
    }

    fn transport(&self, record: &LibraryRecord) -> Result<Option<Arc<dyn Transport>>, UpdateError> {
        match &self.upstream {
            Supply::Nowhere => Ok(None),
            Supply::Given(transport) => Ok(Some(Arc::clone(transport))),
            Supply::Library => {
                let addresses = record.repositories().iter();
                let mirrors: Result<Vec<_>, _> = addresses
                    .map(|address| transport_to(address, &self.https))
                    .collect();
                Ok(Some(Arc::new(Mirrors::new(mirrors?))))
            }
        }
    }
}

/// Removes what earlier mirrors left half fetched, if that alone is more than may be kept.
fn drop_partials(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    keep_bytes: u64,
) -> Result<(), UpdateError> {
    let folder = layout.mirror_arriving();
    disk.create_dirs(layout.root(), &folder)?;
    let mut bytes: u64 = 0;
    for entry in disk.list(&folder)? {
        let path = folder.join(entry.name);
        bytes = bytes.saturating_add(disk.length(&path)?.unwrap_or(0));
        if bytes > keep_bytes {
            disk.remove_file(&path)?;
        }
    }
    Ok(())
}

/// Metadata, and as much of catalogues and rollouts.
const DOCUMENT_BYTES: u64 = 64 << 20;
