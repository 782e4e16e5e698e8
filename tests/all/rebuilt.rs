//! A device makes content again of what it has installed, for neighbours that nobody else serves: the
//! very bytes that were published, or none.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use diff_core::CancelToken;
use release_format::{Catalogue, ChunkMap, ContentReference, Verified};
use satchel_tests::rig::course::Course;
use satchel_tests::rig::near::Near;
use satchel_tests::rig::world::{Device, World, files_below, remove};
use updater_client::{
    Mirror, MirrorBuilder, Missing, PruneOptions, Served, UpdateError, UpdateOptions, Updated,
};

/// A repository that can be switched off, and a laptop that has its newest release.
struct Room {
    world: World,
    laptop: Device,
}

impl Room {
    /// Returns a laptop that has had each of these releases, the last two of which lie there still.
    fn with(courses: &[Course]) -> Room {
        let world = World::new();
        let laptop = world.device();
        for (number, course) in courses.iter().enumerate() {
            world.publish(&format!("1.{number}"), course);
            laptop.update().unwrap();
            laptop.confirm();
        }
        let room = Room { world, laptop };
        room.prune();
        room
    }

    /// Removes all that was downloaded.
    fn prune(&self) {
        let options = PruneOptions {
            downloads: true,
            ..PruneOptions::default()
        };
        self.laptop.updater().prune(options).unwrap();
        assert_eq!(files_below(&self.laptop.layout().downloads()), NONE);
    }

    fn mirror(&self) -> Arc<Mirror> {
        let builder = MirrorBuilder::new(self.laptop.library()).spare_bytes(0);
        Arc::new(builder.without_upstream().build().unwrap())
    }

    /// Returns the catalogue as it is published.
    fn catalogue(&self) -> Catalogue {
        let targets = files_below(&self.world.repository().join("targets"));
        let catalogues = targets.iter().filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with(".catalogue")
        });
        let decoded = catalogues.map(|path| {
            let bytes = fs::read(path).unwrap();
            let reference = ContentReference::of(&bytes);
            Catalogue::decode(&Verified::new(bytes, &reference).unwrap()).unwrap()
        });
        decoded.max_by_key(|of| of.releases.len()).unwrap()
    }

    fn published(&self, content: &ContentReference) -> Vec<u8> {
        fs::read(self.world.repository().join(content.location())).unwrap()
    }

    fn chunk_map(&self, number: usize) -> ChunkMap {
        let reference = self.catalogue().releases[number].chunk_map;
        let verified = Verified::new(self.published(&reference), &reference).unwrap();
        ChunkMap::decode(&verified, &diff_core::Limits::standard()).unwrap()
    }

    fn installed(&self, path: &str) -> PathBuf {
        let status = self.laptop.updater().status(self.laptop.pack()).unwrap();
        status.tree.unwrap().join(path)
    }
}

const NONE: [PathBuf; 0] = [];

fn update_over(device: &Device, mirror: &Arc<Mirror>) -> Result<Updated, UpdateError> {
    let near = Arc::new(Near::of(mirror));
    let updater = device.alone().repository(near).build()?;
    updater.update(
        device.pack(),
        &UpdateOptions::default(),
        &CancelToken::new(),
    )
}

fn all_of(served: Served, from: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    served.reader(from)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    // Its bytes may be those of another release too.
    remove(path);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_device_whose_downloads_are_gone_serves_a_whole_release_from_its_tree() {
    let course = Course::bulky(1);
    let room = Room::with(std::slice::from_ref(&course));
    let mirror = room.mirror();
    let device = room.world.device();
    let updated = update_over(&device, &mirror).unwrap();
    device.assert_has(&course);
    assert!(updated.route.unwrap().chunks.is_some());
    // Neither was asked of a repository, nor is any of it kept but what tells of chunks.
    assert_eq!(mirror.traffic().requests, 0);
    let kept = files_below(&room.laptop.layout().mirror_content());
    let map = room.catalogue().releases[0].chunk_map.digest.to_string();
    let kept: Vec<&str> = kept
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .filter(|name| *name != "used")
        .collect();
    assert_eq!(kept, [map.as_str()]);
}

#[test]
fn a_device_behind_gets_the_chunks_that_it_lacks_and_no_others() {
    let (first, second) = (Course::bulky(1), Course::bulky(1).revised(2));
    let room = Room::with(std::slice::from_ref(&first));
    let behind = room.world.device();
    behind.update().unwrap();
    behind.confirm();
    room.world.publish("1.1", &second);
    room.laptop.update().unwrap();
    room.laptop.confirm();
    room.prune();
    let updated = update_over(&behind, &room.mirror()).unwrap();
    behind.assert_has(&second);
    let route = updated.route.unwrap();
    assert!(route.chunks.is_some());
    let bytes = updated.traffic.bytes;
    assert!(bytes < 200_000, "{bytes} bytes came");
}

#[test]
fn forty_that_ask_at_once_all_get_it() {
    let course = Course::small(1);
    let room = Room::with(std::slice::from_ref(&course));
    let mirror = room.mirror();
    let devices: Vec<Device> = (0..40).map(|_| room.world.device()).collect();
    thread::scope(|scope| {
        for devices in devices.chunks(5) {
            let (mirror, course) = (&mirror, &course);
            scope.spawn(move || {
                for device in devices {
                    update_over(device, mirror).unwrap();
                    device.assert_has(course);
                }
            });
        }
    });
}

#[test]
fn an_archive_that_is_made_again_is_the_published_one_from_every_byte_on() {
    let room = Room::with(&[Course::bulky(1)]);
    let mirror = room.mirror();
    let release = room.catalogue().releases[0].clone();
    let map = room.published(&release.chunk_map);
    let served = mirror.open(&release.chunk_map.location()).unwrap();
    assert_eq!(all_of(served, 0).unwrap(), map);
    let [archive] = release.archives.as_slice() else {
        panic!("expected one archive");
    };
    let published = room.published(archive);
    let end = published.len() as u64;
    for from in [
        0,
        1,
        5,
        6,
        1_000,
        300_000,
        end / 2,
        end - 70_000,
        end - 5,
        end - 1,
    ] {
        let served = mirror.open_at(&archive.location(), from).unwrap();
        assert_eq!(served.length(), Ok(Some(end)));
        let ends_at = usize::try_from(served.ends_at().unwrap_or(end)).unwrap();
        let from_byte = usize::try_from(from).unwrap();
        assert!(ends_at > from_byte);
        let found = all_of(served, from).unwrap();
        assert!(found == published[from_byte..ends_at], "from {from}");
    }
    // The whole keeps a table in memory, so that few can have it at once.
    let whole = || mirror.open(&archive.location());
    let taken: Vec<_> = std::iter::from_fn(|| whole().ok()).take(100).collect();
    assert!(taken.len() < 10, "{}", taken.len());
    assert_eq!(whole().map(|_| ()), Err(Missing::Busy));
    drop(taken);
    assert!(whole().is_ok());
    let behind = mirror.open_at(&archive.location(), end);
    assert_eq!(behind.map(|_| ()), Err(Missing::Absent));
}

#[test]
fn of_an_archive_that_stands_here_in_part_that_part_is_served_and_no_more() {
    let courses = [Course::bulky(1), Course::bulky(1).revised(2)];
    let room = Room::with(&courses[..1]);
    let archive = room.catalogue().releases[0].archives[0];
    let published = room.published(&archive);
    room.world.publish("1.1", &courses[1]);
    // A laptop that never had the first release, nor what tells of its chunks.
    let laptop = room.world.device();
    laptop.update().unwrap();
    laptop.confirm();
    let room = Room { laptop, ..room };
    room.prune();
    let device = room.world.device();
    assert!(update_over(&device, &room.mirror()).is_err());
    // A neighbour asked for that while there was a line.
    let map = room.chunk_map(1);
    let reference = room.catalogue().releases[1].chunk_map;
    let arriving = room.laptop.layout().mirror_partial(&reference.digest);
    fs::write(arriving, room.published(&reference)).unwrap();
    let mirror = room.mirror();
    mirror
        .open(&reference.location())
        .unwrap()
        .length()
        .unwrap();
    let mut standing = 0;
    for from in (0..archive.length).step_by(3_000) {
        let in_map = map
            .chunks()
            .iter()
            .any(|place| map.archive_of(place) == Some(&archive) && place.range().contains(&from));
        let served = mirror.open_at(&archive.location(), from);
        assert_eq!(served.is_ok(), in_map, "{from}");
        if let Ok(served) = served {
            let ends_at = usize::try_from(served.ends_at().unwrap()).unwrap();
            let from_byte = usize::try_from(from).unwrap();
            let found = all_of(served, from).unwrap();
            assert!(found == published[from_byte..ends_at], "from {from}");
            standing += 1;
        }
    }
    assert!(standing > 100, "{standing}");
    update_over(&device, &mirror).unwrap();
    device.assert_has(&courses[1]);
}

#[test]
fn a_damaged_file_is_never_served() {
    let course = Course::bulky(1);
    let room = Room::with(std::slice::from_ref(&course));
    let archive = room.catalogue().releases[0].archives[0];
    let published = room.published(&archive);
    // What tells of chunks was made while all was well.
    let map = room.catalogue().releases[0].chunk_map;
    room.mirror().open(&map.location()).unwrap();
    for damage in [
        |bytes: &mut Vec<u8>| bytes[600_000] ^= 1,
        |bytes: &mut Vec<u8>| bytes.truncate(700_000),
        |bytes: &mut Vec<u8>| bytes.clear(),
    ] {
        change(&room.installed("media/lecture.mp4"), damage);
        let mirror = room.mirror();
        let (mut refused, mut whole) = (0, 0);
        for from in (0..archive.length).step_by(3_000) {
            let from_byte = usize::try_from(from).unwrap();
            let Ok(served) = mirror.open_at(&archive.location(), from) else {
                refused += 1;
                continue;
            };
            let mut reader = served.reader(from).unwrap();
            let mut found = Vec::new();
            whole += u32::from(reader.read_to_end(&mut found).is_ok());
            assert!(published[from_byte..].starts_with(&found), "from {from}");
        }
        assert!(refused > 0 && whole > 0, "{refused} refused, {whole} whole");
        let device = room.world.device();
        assert!(update_over(&device, &mirror).is_err());
        assert_eq!(device.active_label(), None);
    }
    // From a tree that is damaged nobody learns where its chunks lie.
    fs::remove_dir_all(room.laptop.library().join("mirror")).unwrap();
    let told = room.mirror().open(&map.location());
    assert_eq!(told.map(|_| ()), Err(Missing::Absent));
}

#[test]
fn what_is_no_content_of_an_installed_release_is_not_looked_for() {
    let room = Room::with(&[Course::tiny()]);
    let mirror = room.mirror();
    let unknown = ContentReference::of(b"unknown").location();
    for from in [0, 1, u64::MAX] {
        let refused = mirror.open_at(&unknown, from).map(|_| ());
        assert_eq!(refused, Err(Missing::Absent));
    }
    // The first release has no delta from nothing here, and there is another way.
    let delta = room.catalogue().releases[0].deltas[0].content;
    let refused = mirror.open(&delta.location()).map(|_| ());
    assert_eq!(refused, Err(Missing::Absent));
    assert_eq!(mirror.traffic().requests, 0);
}
