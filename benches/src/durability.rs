//! What syncing costs an update of 5,000 files, beside the same update on a disk that never syncs.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use satchel_tests::rig::course::Course;
use satchel_tests::rig::world::{Device, World};
use updater_client::library::disk::{
    Disk, DiskError, DiskFile, FolderEntry, Link, RawFile, RealDisk,
};

use crate::Outcome;

/// The argument that asks for this measurement.
pub(crate) const DURABILITY: &str = "durability";

const FILES: usize = 5_000;
const ROUNDS: usize = 5;
/// How many times as long an update may take that is durable.
const LIMIT: f64 = 1.5;

/// Prints the times of updates in `TMPDIR`, which should lie on the file system that is asked about,
/// taken in turns; fails beyond the limit.
///
/// In one update every file is new, in the other one in ten.
pub(crate) fn measure() -> Outcome<()> {
    println!("| {FILES} files, median of {ROUNDS} | synced | not synced | ratio |");
    println!("|---|---|---|---|");
    let mut worst: f64 = 0.0;
    for (what, one_in) in [("every file is new", 1), ("one file in ten is new", 10)] {
        let world = World::new();
        let first = course("first", 1);
        world.publish("1.0", &first);
        let place = tempfile::tempdir_in(env::temp_dir())?;
        let device = world.device_at(place.path().join("library"));
        device.update()?;
        device.confirm();
        let mut second = first;
        for (path, bytes) in course("second", one_in).files() {
            second.put(path, bytes.clone());
        }
        world.publish("1.1", &second);
        let (mut synced, mut unsynced) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let disk = Arc::new(RealDisk::new());
            synced.push(time(&device, place.path(), round, disk)?);
            let disk = Arc::new(Unsynced(RealDisk::new()));
            unsynced.push(time(&device, place.path(), round, disk)?);
        }
        let (synced, unsynced) = (median(synced), median(unsynced));
        let ratio = synced.as_secs_f64() / unsynced.as_secs_f64();
        worst = worst.max(ratio);
        println!("| {what} | {synced:.2?} | {unsynced:.2?} | {ratio:.2} |");
    }
    if worst > LIMIT {
        return Err(format!("expected a ratio of {LIMIT} or less, found {worst:.2}").into());
    }
    Ok(())
}

/// Returns every `one_in`th file of a course of small pages.
fn course(edition: &str, one_in: usize) -> Course {
    let mut course = Course::default();
    for number in (0..FILES).step_by(one_in) {
        let line = format!("<p>Page {number} of the {edition} edition.</p>\n");
        let path = format!("chapters/{:02}/page-{number:04}.html", number % 50);
        course.put(&path, line.repeat(12).into_bytes());
    }
    course
}

/// Returns how long an update takes on a copy of the device that was durable before.
fn time(device: &Device, place: &Path, round: usize, disk: Arc<dyn Disk>) -> Outcome<Duration> {
    let copy = place.join(format!("copy-{round}"));
    let device = device.copied_to(copy.clone());
    RealDisk::new().sync_tree(place, &[])?;
    let start = Instant::now();
    device.update_on(disk)?;
    let took = start.elapsed();
    // Nothing of this round is left to be written in the next.
    std::fs::remove_dir_all(copy)?;
    RealDisk::new().sync_tree(place, &[])?;
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A disk on which nothing is ever durable.
struct Unsynced(RealDisk);

impl Disk for Unsynced {
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, DiskError> {
        self.0.read(path, most)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, DiskError> {
        self.0.open(path)
    }

    fn length(&self, path: &Path) -> Result<Option<u64>, DiskError> {
        self.0.length(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<FolderEntry>, DiskError> {
        self.0.list(path)
    }

    fn available_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        self.0.available_bytes(path)
    }

    fn file_limit(&self, folder: &Path, bytes: u64) -> Result<Option<u64>, DiskError> {
        self.0.file_limit(folder, bytes)
    }

    fn open_lock(&self, path: &Path) -> Result<File, DiskError> {
        self.0.open_lock(path)
    }

    fn write_lock(&self, path: &Path, file: &mut File, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.write_lock(path, file, bytes)
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.create_dir(path)
    }

    fn create(&self, path: &Path) -> Result<DiskFile, DiskError> {
        Ok(unsynced(path, self.0.create(path)?))
    }

    fn append(&self, path: &Path) -> Result<DiskFile, DiskError> {
        Ok(unsynced(path, self.0.append(path)?))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<Option<Link>, DiskError> {
        self.0.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove_dir(path)
    }

    fn set_read_only(&self, path: &Path) -> Result<(), DiskError> {
        self.0.set_read_only(path)
    }

    fn sync_dir(&self, _path: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_tree(&self, _root: &Path, _written: &[PathBuf]) -> Result<(), DiskError> {
        Ok(())
    }
}

fn unsynced(path: &Path, file: DiskFile) -> DiskFile {
    DiskFile::new(path, Box::new(UnsyncedFile(file)))
}

struct UnsyncedFile(DiskFile);

impl RawFile for UnsyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        Ok(self.0.set_length(length)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
