//! A publisher, its repository, and devices that are updated from it, all in one temporary folder.

use std::fs::{self, Permissions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diff_core::{Abilities, CancelToken, Method};
use publisher::{KeyStore, PublishOptions, Published, Quiet, Repository};
use release_format::{Label, PackName, UtcTime};
use tempfile::TempDir;
use updater_client::library::disk::{Disk, RealDisk};
use updater_client::library::layout::LibraryLayout;
use updater_client::transport::{FolderTransport, Transport};
use updater_client::{
    Clock, FetchPolicy, UpdateError, UpdateOptions, Updated, Updater, UpdaterBuilder,
};

use super::course::Course;
use super::forger::Forger;

/// One tenant's repository, with its keys beside it.
pub struct World {
    folder: TempDir,
    clock: Arc<SetClock>,
    pack: PackName,
    root: Vec<u8>,
}

impl World {
    /// Makes a repository without releases.
    pub fn new() -> World {
        World::at(UtcTime::parse(FIRST_DAY).unwrap())
    }

    /// Makes a repository without releases at a time of the test's own: a program knows the system's
    /// clock alone.
    pub fn at(now: UtcTime) -> World {
        let folder = temporary_folder();
        let keys = KeyStore::folder(folder.path().join("keys"));
        let made = Repository::init(folder.path().join("repository"), &keys, now).unwrap();
        World {
            folder,
            clock: Arc::new(SetClock::new(now)),
            pack: PackName::parse(PACK).unwrap(),
            root: made.root,
        }
    }

    /// Returns a repository with two releases of a small course, and a device that has the first one,
    /// confirmed.
    pub fn with_an_update() -> (World, Device) {
        // Published once and copied: hundreds of tests begin here.
        static MADE: OnceLock<(Snapshot, Vec<u8>)> = OnceLock::new();
        let (snapshot, root) = MADE.get_or_init(|| {
            let world = World::updating(|_| {});
            (Snapshot::of(world.folder()), world.root)
        });
        World::restored(snapshot, root)
    }

    /// As [`World::with_an_update`], with a third release out; and a mirror that has two. All can be
    /// rebuilt in a moment, for the many thousands of times that a crash may leave one half done.
    pub fn with_two_updates() -> (World, Device, PathBuf) {
        static MADE: OnceLock<(Snapshot, Vec<u8>)> = OnceLock::new();
        let (snapshot, root) = MADE.get_or_init(|| {
            let quick = |options: &mut PublishOptions| {
                let methods = [Method::Store, Method::Zstd, Method::Bsdiff];
                options.deltas.abilities = Abilities::of(&methods, &[]);
            };
            let world = World::updating(quick);
            copy_tree(&world.repository(), &world.folder().join(MIRROR_OF_TWO));
            world.publish_with("1.2", &third_course(), quick);
            (Snapshot::of(world.folder()), world.root)
        });
        let (world, device) = World::restored(snapshot, root);
        let mirror = world.folder().join(MIRROR_OF_TWO);
        (world, device, mirror)
    }

    /// Makes a repository with two releases, published with options that `change` makes others, and a
    /// device that has the first one, confirmed.
    fn updating(change: impl Fn(&mut PublishOptions)) -> World {
        let world = World::new();
        world.publish_with("1.0", &first_course(), &change);
        let device = world.device_at(world.folder().join(FIRST_DEVICE));
        device.update().unwrap();
        device.confirm();
        world.publish_with("1.1", &second_course(), &change);
        world
    }

    /// Returns the world of a snapshot as it was on the first day, and its first device.
    fn restored(snapshot: &Snapshot, root: &[u8]) -> (World, Device) {
        let world = World {
            folder: temporary_folder(),
            clock: Arc::new(SetClock::new(UtcTime::parse(FIRST_DAY).unwrap())),
            pack: PackName::parse(PACK).unwrap(),
            root: root.to_vec(),
        };
        snapshot.restore(world.folder());
        let device = world.device_of(world.folder().join(FIRST_DEVICE));
        (world, device)
    }

    /// Publishes `course` as the next release.
    pub fn publish(&self, label: &str, course: &Course) -> Published {
        self.publish_granting(label, course, None)
    }

    /// Publishes `course` as the next release, and signs an offline grace of so many days.
    pub fn publish_granting(&self, label: &str, course: &Course, days: Option<u32>) -> Published {
        self.publish_with(label, course, |options| options.offline_grace_days = days)
    }

    /// Publishes `course` as the next release, with options that `change` makes others.
    pub fn publish_with(
        &self,
        label: &str,
        course: &Course,
        change: impl FnOnce(&mut PublishOptions),
    ) -> Published {
        let source = self.folder.path().join("source").join(label);
        course.write(&source).unwrap();
        let label = Label::parse(label).unwrap();
        let mut options = PublishOptions::new(self.pack.clone(), label, self.clock.now());
        change(&mut options);
        let repository = Repository::open(self.repository()).unwrap();
        repository
            .publish(&source, &self.keys(), &options, &Quiet, &CancelToken::new())
            .unwrap()
    }

    /// Returns where the repository lies.
    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// Returns the keys of all roles.
    pub fn keys(&self) -> KeyStore {
        KeyStore::folder(self.folder.path().join("keys"))
    }

    /// Returns a copy of the repository to do harm to.
    pub fn copy_of_repository(&self) -> PathBuf {
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let copy = self.folder.path().join(format!("copy-{number}"));
        copy_tree(&self.repository(), &copy);
        copy
    }

    /// Returns one who has this world's keys, and writes to the repository at `repository`.
    pub fn forger(&self, repository: &Path) -> Forger {
        Forger::new(repository, self.folder.path().join("keys"))
    }

    /// Returns the signed root that devices pin.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// Returns the pack that all releases belong to.
    pub fn pack(&self) -> &PackName {
        &self.pack
    }

    /// Returns the clock of the publisher and of all devices.
    pub fn clock(&self) -> &Arc<SetClock> {
        &self.clock
    }

    /// Returns a folder for whatever a test needs besides.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Enrols a new device.
    pub fn device(&self) -> Device {
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        self.device_at(self.folder.path().join(format!("device-{number}")))
    }

    /// Enrols a new device whose library lies at `library`.
    pub fn device_at(&self, library: PathBuf) -> Device {
        self.device_pinning(&self.root, library)
    }

    /// Enrols a new device whose library lies at `library`, and which pins another root than the
    /// first.
    pub fn device_pinning(&self, root: &[u8], library: PathBuf) -> Device {
        let address = self.repository().to_str().unwrap().to_owned();
        updater_client::enroll(&library, root, vec![address]).unwrap();
        self.device_of(library)
    }

    /// Enrols a new device with several mirrors.
    pub fn device_with_mirrors(&self, mirrors: &[&Path]) -> Device {
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let library = self.folder.path().join(format!("device-{number}"));
        let address = |mirror: &&Path| mirror.to_str().unwrap().to_owned();
        let addresses = mirrors.iter().map(address).collect();
        updater_client::enroll(&library, &self.root, addresses).unwrap();
        self.device_of(library)
    }

    fn device_of(&self, library: PathBuf) -> Device {
        Device {
            library,
            repository: self.repository(),
            pack: self.pack.clone(),
            clock: Arc::clone(&self.clock),
        }
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

/// A device: its library, and how it is updated when nothing else is said.
#[derive(Clone)]
pub struct Device {
    library: PathBuf,
    repository: PathBuf,
    pack: PackName,
    clock: Arc<SetClock>,
}

impl Device {
    /// Returns a builder that updates from the repository's folder, on the world's clock.
    pub fn builder(&self) -> UpdaterBuilder {
        self.alone()
            .repository(Arc::new(FolderTransport::new(&self.repository)))
    }

    /// Returns a builder that updates from the addresses that the library was enrolled with.
    pub fn alone(&self) -> UpdaterBuilder {
        let without_waits = FetchPolicy {
            first_wait: Duration::ZERO,
            longest_wait: Duration::ZERO,
            ..FetchPolicy::default()
        };
        Updater::builder(&self.library)
            .fetching(without_waits)
            .clock(self.clock.clone())
    }

    /// Returns the updater.
    pub fn updater(&self) -> Updater {
        self.builder().build().unwrap()
    }

    /// Updates to what is offered, on trial.
    ///
    /// # Errors
    /// As [`Updater::update`].
    pub fn update(&self) -> Result<Updated, UpdateError> {
        run(self.builder(), &self.pack)
    }

    /// Updates from a mirror in a folder.
    ///
    /// # Errors
    /// As [`Updater::update`].
    pub fn update_from(&self, mirror: &Path) -> Result<Updated, UpdateError> {
        self.update_over(Arc::new(FolderTransport::new(mirror)))
    }

    /// Updates over any transport.
    ///
    /// # Errors
    /// As [`Updater::update`].
    pub fn update_over(&self, transport: Arc<dyn Transport>) -> Result<Updated, UpdateError> {
        run(self.builder().repository(transport), &self.pack)
    }

    /// Updates with a disk of the test's own.
    ///
    /// # Errors
    /// As [`Updater::update`].
    pub fn update_on(&self, disk: Arc<dyn Disk>) -> Result<Updated, UpdateError> {
        run(self.builder().disk(disk), &self.pack)
    }

    /// Confirms the release on trial.
    pub fn confirm(&self) {
        self.updater().confirm(&self.pack).unwrap();
    }

    /// Returns the library's folder.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Returns where everything in the library lies.
    pub fn layout(&self) -> LibraryLayout {
        LibraryLayout::new(&self.library)
    }

    /// Returns the pack that the device is updated to.
    pub fn pack(&self) -> &PackName {
        &self.pack
    }

    /// Returns the same device with its library copied to `library`.
    pub fn copied_to(&self, library: PathBuf) -> Device {
        copy_tree(&self.library, &library);
        Device {
            library,
            ..self.clone()
        }
    }

    /// Returns the same device with its library at `library`, whatever lies there.
    pub fn at(&self, library: PathBuf) -> Device {
        Device {
            library,
            ..self.clone()
        }
    }

    /// Returns the label of the active release.
    pub fn active_label(&self) -> Option<String> {
        let status = self.updater().status(&self.pack).unwrap();
        status
            .record
            .active()
            .map(|release| release.label.to_string())
    }

    /// Fails unless the active release is `course`, byte for byte, and the library says so as well.
    #[track_caller]
    pub fn assert_has(&self, course: &Course) {
        let updater = self.updater();
        let status = updater.status(&self.pack).unwrap();
        assert_eq!(status.damage, None);
        let found = Course::read(&status.tree.expect("nothing is active")).unwrap();
        if let Some(difference) = course.difference(&found) {
            panic!("the active release is another: {difference}");
        }
        let report = updater.verify(&self.pack, &CancelToken::new()).unwrap();
        assert_eq!(report.damage, []);
    }

    /// Fails unless the library holds what it needs and nothing else.
    ///
    /// Content that arrived is of use to the next update: it may stay, a delta and what tells of chunks,
    /// if `partial` says so.
    #[track_caller]
    pub fn assert_tidy(&self, partial: Partial) {
        let layout = self.layout();
        let mut strays = files_below(&layout.staging());
        let downloads = files_below(&layout.downloads());
        if partial == Partial::Gone || downloads.len() > 3 {
            strays.extend(downloads);
        }
        let all = files_below(&self.library);
        strays.extend(all.into_iter().filter(|file| {
            let name = file.file_name().unwrap_or_default();
            updater_client::library::disk::is_aside(name)
        }));
        let record = self.updater().status(&self.pack).unwrap().record;
        let name = |manifest| LibraryLayout::folder_name(manifest, record.copy_of(manifest));
        let kept: Vec<String> = record
            .named()
            .into_iter()
            .map(|release| name(&release.manifest))
            .collect();
        for release in fs::read_dir(layout.releases(&self.pack))
            .into_iter()
            .flatten()
        {
            let release = release.unwrap();
            if !kept.iter().any(|kept| release.file_name() == kept.as_str()) {
                strays.push(release.path());
            }
        }
        assert_eq!(strays, Vec::<PathBuf>::new());
    }
}

/// Whether a download may lie in the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// It is kept, to be resumed.
    Kept,
    /// There is none.
    Gone,
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct SetClock(AtomicI64);

impl SetClock {
    /// Returns a clock at `now`.
    pub fn new(now: UtcTime) -> SetClock {
        SetClock(AtomicI64::new(now.seconds()))
    }

    /// Shows `now`.
    pub fn set(&self, now: UtcTime) {
        self.0.store(now.seconds(), Ordering::Relaxed);
    }

    /// Goes on, or back, by so many days.
    pub fn add_days(&self, days: i64) {
        self.0.fetch_add(days * SECONDS_A_DAY, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> UtcTime {
        UtcTime::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

/// Returns the course that [`World::with_an_update`] publishes first.
pub fn first_course() -> Course {
    Course::small(1)
}

/// Returns the course that [`World::with_an_update`] publishes second.
pub fn second_course() -> Course {
    first_course().revised(2)
}

/// Returns the course that [`World::with_two_updates`] publishes third.
pub fn third_course() -> Course {
    let mut course = second_course();
    course.put("chapters/09/lesson.html", course.get("index.html").to_vec());
    course.put("media/photo.jpg", Course::small(4).get("media/photo.jpg"));
    course.edit("index.html", |text| text.truncate(5_000));
    course.rename("chapters/04/lesson.html", "chapters/04/page.html");
    course
}

/// Returns all files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Removes a file, or a folder with all that is in it, read-only or not.
///
/// The standard library does so on Windows, but not on FAT, and not under Wine.
///
/// # Panics
/// When there is no such thing, or it is still there.
#[track_caller]
pub fn remove(path: impl AsRef<Path>) {
    let (disk, path) = (RealDisk::new(), path.as_ref());
    match fs::symlink_metadata(path).unwrap().is_dir() {
        true => disk.remove_tree(path).unwrap(),
        false => disk.remove_file(path).unwrap(),
    }
}

/// Copies a folder with all that is in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &place);
        } else {
            fs::copy(&path, &place).unwrap();
        }
    }
}

/// A folder with all that is in it, kept in memory.
struct Snapshot(Vec<(PathBuf, Option<File>)>);

type File = (Vec<u8>, Permissions);

impl Snapshot {
    fn of(folder: &Path) -> Snapshot {
        let mut entries = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(inner) = folders.pop() {
            for entry in fs::read_dir(&inner).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(folder).unwrap().to_owned();
                if path.is_dir() {
                    entries.push((name, None));
                    folders.push(path);
                } else {
                    let permissions = fs::metadata(&path).unwrap().permissions();
                    entries.push((name, Some((fs::read(&path).unwrap(), permissions))));
                }
            }
        }
        Snapshot(entries)
    }

    fn restore(&self, folder: &Path) {
        for (name, file) in &self.0 {
            let path = folder.join(name);
            match file {
                None => fs::create_dir_all(path).unwrap(),
                Some((bytes, permissions)) => {
                    fs::write(&path, bytes).unwrap();
                    fs::set_permissions(&path, permissions.clone()).unwrap();
                }
            }
        }
    }
}

/// Returns a folder in memory where the system has one with room, since every test syncs a lot.
fn temporary_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = memory
        .is_dir()
        .then(|| RealDisk::new().available_bytes(memory));
    match room {
        Some(Ok(room)) if room > ROOM_BYTES => TempDir::new_in(memory).unwrap(),
        _ => TempDir::new().unwrap(),
    }
}

fn run(builder: UpdaterBuilder, pack: &PackName) -> Result<Updated, UpdateError> {
    builder
        .build()?
        .update(pack, &UpdateOptions::default(), &CancelToken::new())
}

const PACK: &str = "acme/biology-101";
const FIRST_DEVICE: &str = "device";
const MIRROR_OF_TWO: &str = "mirror-of-two";
const FIRST_DAY: &str = "2026-11-21T00:00:00Z";
/// Several times what all tests that run at once take.
const ROOM_BYTES: u64 = 1 << 30;
const SECONDS_A_DAY: i64 = 86_400;
static COPIES: AtomicI64 = AtomicI64::new(0);
