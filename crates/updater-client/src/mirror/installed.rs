use std::collections::HashMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diff_core::{Digest, Limits};
use release_format::{
    Catalogue, CatalogueRelease, ChunkMap, ContentReference, PackName, TrustLimits, Verified,
};

use super::missing::Missing;
use super::rebuilt::{Rebuilt, RebuiltReader};
use super::recut::Recut;
use super::stream::Stream;
use super::workshop::Workshop;
use crate::library::disk::Disk;
use crate::library::layout::LibraryLayout;
use crate::library::shelf::Shelf;
use crate::library::trust_store::TrustStore;

/// What can be made again of the releases that lie on the device: the archives that their chunks lie
/// in, as far as these stand in installed files, and what tells of the chunks.
pub(crate) struct Installed {
    layout: LibraryLayout,
    limits: Limits,
    workshop: Arc<Workshop>,
    /// What lay here a moment ago.
    looked: Mutex<Option<(Instant, Arc<Vec<Release>>)>>,
    /// Releases whose chunks are known, by the digests of what tells of them; `None` for those of
    /// which that cannot be made.
    known: Mutex<KnownReleases>,
    /// Archives that somebody asked for.
    rebuilt: Mutex<HashMap<Digest, Arc<Rebuilt>>>,
    /// Held while a release is cut.
    cutting: Mutex<()>,
    now: fn() -> Instant,
}

/// A release that lies here, as its pack's catalogue lists it.
struct Release {
    pack: PackName,
    listed: CatalogueRelease,
    /// The name of its folder.
    folder: String,
    /// The releases before it in the catalogue.
    earlier: Vec<Earlier>,
}

struct Earlier {
    chunk_map: Digest,
    archives: Vec<ContentReference>,
}

type KnownReleases = HashMap<(Digest, PathBuf), Option<Arc<Known>>>;

struct Known {
    stream: Arc<Stream>,
    map: ChunkMap,
}

/// Brings content that is held, if it is.
pub(crate) type Read<'r> = &'r dyn Fn(&ContentReference) -> Option<Vec<u8>>;

/// What a piece of content is to an installed release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It tells where the release's chunks lie.
    ChunkMap,
    /// Chunks of the release lie in it.
    Archive,
    /// It leads to the release from another, or from nothing.
    Delta,
}

impl Installed {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        layout: LibraryLayout,
        now: fn() -> Instant,
    ) -> Installed {
        Installed {
            layout,
            limits: Limits::standard(),
            workshop: Arc::new(Workshop::new(disk)),
            looked: Mutex::default(),
            known: Mutex::default(),
            rebuilt: Mutex::default(),
            cutting: Mutex::default(),
            now,
        }
    }

    /// Returns what `content` is to a release that lies here; `None` for what is nothing to any.
    pub(crate) fn relation(&self, content: &Digest) -> Option<Relation> {
        let releases = self.releases();
        releases
            .iter()
            .find_map(|release| release.relation(content))
    }

    /// Returns what reads an archive from byte `from` on, which is proved to be the one, by what is
    /// known of the chunks that stand here; `read` brings what tells of them, if it is held.
    pub(crate) fn open(
        &self,
        archive: &Digest,
        from: u64,
        read: Read<'_>,
    ) -> Option<Result<RebuiltReader, Missing>> {
        self.rebuilt(archive, read)?.open(from)
    }

    fn rebuilt(&self, archive: &Digest, read: Read<'_>) -> Option<Arc<Rebuilt>> {
        let releases = self.releases();
        let mut concerned = releases
            .iter()
            .filter(|release| release.archive(archive).is_some())
            .peekable();
        let reference = concerned.peek()?.archive(archive)?;
        if let Some(rebuilt) = lock(&self.rebuilt).get(archive) {
            return Some(Arc::clone(rebuilt));
        }
        let known: Vec<_> = concerned
            .filter_map(|release| self.known(release, read))
            .collect();
        let known = known.iter().map(|known| (&known.stream, &known.map));
        let rebuilt = Arc::new(Rebuilt::of(&reference, known, &self.workshop)?);
        let mut all = lock(&self.rebuilt);
        if all.len() >= MOST_REBUILT {
            all.clear();
        }
        all.insert(*archive, Arc::clone(&rebuilt));
        Some(rebuilt)
    }

    /// Returns the chunks of a release, if what tells of them is at hand.
    fn known(&self, release: &Release, read: Read<'_>) -> Option<Arc<Known>> {
        let key = (release.listed.chunk_map.digest, release.tree(&self.layout));
        if let Some(Some(known)) = lock(&self.known).get(&key) {
            return Some(Arc::clone(known));
        }
        let bytes = read(&release.listed.chunk_map)?;
        let verified = Verified::new(bytes, &release.listed.chunk_map).ok()?;
        let map = ChunkMap::decode(&verified, &self.limits).ok()?;
        let stream = Arc::new(self.stream(release)?);
        map.check_covers(stream.listing()).ok()?;
        let known = Arc::new(Known { stream, map });
        self.remember(key, Some(Arc::clone(&known)));
        Some(known)
    }

    /// Whether the chunks of a release that this delta leads to are known: another way there.
    pub(crate) fn spares(&self, delta: &Digest, read: Read<'_>) -> bool {
        let releases = self.releases();
        let mut led_to = releases
            .iter()
            .filter(|release| release.relation(delta) == Some(Relation::Delta));
        led_to.any(|release| self.known(release, read).is_some())
    }

    /// Returns the chunk map with this digest, if it was made here.
    pub(crate) fn chunk_map(&self, content: &Digest) -> Option<Vec<u8>> {
        let all = lock(&self.known);
        let known = all.iter().find(|((map, _), _)| map == content)?;
        Some(known.1.as_ref()?.map.encode())
    }

    /// Makes what tells of the chunks of the installed releases that `content` belongs to anew of their
    /// files, where it is not at hand and its digest proves it, and returns it; each is tried once.
    pub(crate) fn cut_again(&self, content: &Digest, read: Read<'_>) -> Vec<(Digest, Vec<u8>)> {
        let releases = self.releases();
        let mut made = Vec::new();
        let _cutting = lock(&self.cutting);
        // In the order in which they were published: each stores what the ones before it had not.
        for release in releases.iter() {
            let is_concerned = releases.iter().any(|of| {
                of.pack == release.pack
                    && of.relation(content).is_some()
                    && release.listed.sequence <= of.listed.sequence
            });
            if !is_concerned || self.known(release, read).is_some() {
                continue;
            }
            let key = (release.listed.chunk_map.digest, release.tree(&self.layout));
            if lock(&self.known).contains_key(&key) {
                continue;
            }
            let known = self.cut(release, &releases).map(Arc::new);
            if let Some(known) = &known {
                made.push((release.listed.chunk_map.digest, known.map.encode()));
            }
            self.remember(key, known);
        }
        if !made.is_empty() {
            lock(&self.rebuilt).clear();
        }
        made
    }

    /// Cuts a release as it was published, if all is known that its publisher knew.
    fn cut(&self, release: &Release, releases: &[Release]) -> Option<Known> {
        let mut earlier = Vec::new();
        let mut unknown = Vec::new();
        for before in &release.earlier {
            let known = releases.iter().find_map(|of| {
                let is_it = of.listed.chunk_map.digest == before.chunk_map;
                let key = (before.chunk_map, of.tree(&self.layout));
                is_it.then(|| lock(&self.known).get(&key).cloned().flatten())?
            });
            match known {
                Some(known) => earlier.push(known),
                None => unknown.extend(&before.archives),
            }
        }
        let archives = earlier.iter().flat_map(|known| known.map.archives());
        let archives: Vec<&ContentReference> = archives.collect();
        let mut needed = release.listed.archives.iter();
        if needed.any(|archive| unknown.contains(&archive) && !archives.contains(&archive)) {
            // Some of its chunks lie where nothing here tells.
            return None;
        }
        let stream = Arc::new(self.stream(release)?);
        let recut = Recut::behind(earlier.iter().map(|known| &known.map), &self.workshop);
        let map = recut.chunk_map(&stream).ok()?;
        (map.reference() == release.listed.chunk_map).then_some(Known { stream, map })
    }

    fn stream(&self, release: &Release) -> Option<Stream> {
        let shelf = Shelf::new(self.workshop.disk(), &self.layout);
        let manifest = shelf.manifest(&release.pack, &release.folder, &self.limits);
        Some(Stream::new(release.tree(&self.layout), manifest.ok()??))
    }

    fn remember(&self, key: (Digest, PathBuf), known: Option<Arc<Known>>) {
        let mut all = lock(&self.known);
        if all.len() >= MOST_KNOWN {
            all.clear();
        }
        all.insert(key, known);
    }

    /// Returns the releases that lie here and that a catalogue lists, as of a moment ago.
    fn releases(&self) -> Arc<Vec<Release>> {
        let mut looked = lock(&self.looked);
        let now = (self.now)();
        if let Some((at, releases)) = &*looked
            && now.duration_since(*at) < LOOK_AGAIN
        {
            return Arc::clone(releases);
        }
        let releases = Arc::new(self.look());
        *looked = Some((now, Arc::clone(&releases)));
        lock(&self.rebuilt).clear();
        releases
    }

    fn look(&self) -> Vec<Release> {
        let disk = self.workshop.disk();
        let store = TrustStore::new(disk, self.layout.trust(), TrustLimits::standard());
        let shelf = Shelf::new(disk, &self.layout);
        let mut releases = Vec::new();
        for pack in self.layout.packs_present(disk).unwrap_or_default() {
            let Some(catalogue) = store
                .kept_target(&pack.catalogue_target())
                .and_then(|bytes| catalogue(bytes, &pack))
            else {
                continue;
            };
            for (number, listed) in catalogue.releases.iter().enumerate() {
                let copies = shelf.copies(&pack, &listed.manifest.digest);
                let Some(copy) = copies.unwrap_or_default().first().copied() else {
                    continue;
                };
                let earlier = (Bound::Unbounded, Bound::Excluded(number));
                let earlier = catalogue.releases.get(earlier).unwrap_or_default();
                releases.push(Release {
                    pack: pack.clone(),
                    listed: listed.clone(),
                    folder: LibraryLayout::folder_name(&listed.manifest.digest, copy),
                    earlier: earlier.iter().map(Earlier::of).collect(),
                });
            }
        }
        releases
    }
}

impl Release {
    fn relation(&self, content: &Digest) -> Option<Relation> {
        if self.listed.chunk_map.digest == *content {
            return Some(Relation::ChunkMap);
        }
        if self.archive(content).is_some() {
            return Some(Relation::Archive);
        }
        let mut deltas = self.listed.deltas.iter();
        let leads_here = deltas.any(|delta| delta.content.digest == *content);
        leads_here.then_some(Relation::Delta)
    }

    fn archive(&self, content: &Digest) -> Option<ContentReference> {
        let mut archives = self.listed.archives.iter();
        archives.find(|of| of.digest == *content).copied()
    }

    fn tree(&self, layout: &LibraryLayout) -> PathBuf {
        LibraryLayout::tree_within(&layout.releases(&self.pack).join(&self.folder))
    }
}

impl Earlier {
    fn of(release: &CatalogueRelease) -> Earlier {
        Earlier {
            chunk_map: release.chunk_map.digest,
            archives: release.archives.clone(),
        }
    }
}

/// Returns the catalogue that these bytes are: what it names proves itself by its digest.
fn catalogue(bytes: Vec<u8>, pack: &PackName) -> Option<Catalogue> {
    let reference = ContentReference::of(&bytes);
    let verified = Verified::new(bytes, &reference).ok()?;
    Catalogue::decode(&verified).ok()?.expect_pack(pack).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long what lay in the library counts as what lies there.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Of each, a megabyte for a large course.
const MOST_KNOWN: usize = 32;
const MOST_REBUILT: usize = 64;
