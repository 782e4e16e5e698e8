//! How many bytes of a tree a publisher gets out in a second: to a folder, and to a bucket.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use diff_core::{CancelToken, Level};
use publisher::{
    BucketStorage, FolderStorage, KeyStore, PublishOptions, PublishProgress, Repository, Storage,
};
use release_format::{Label, PackName};
use updater_client::{Clock, SystemClock};

use crate::Outcome;
use crate::measure::cost_of;
use crate::pair::{Pair, Prepared, text};
use crate::table::grouped;

/// The argument that asks for this.
pub(crate) const PUBLISH: &str = "publish";

/// Publishes `PAIR/old` and then `PAIR/new`, each as quickly and as thoroughly as `publish` can be told
/// to, into a folder and, where its address is given, into a bucket; beside what plain programs take
/// over the same trees.
pub(crate) fn measure(pair: &Path, bucket: Option<&str>) -> Outcome<()> {
    let work = tempfile::tempdir()?;
    let pair = Pair {
        name: pair.display().to_string(),
        old: pair.join("old"),
        new: pair.join("new"),
    };
    let pair = pair.prepare(&work.path().join("pair"))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{}: releases of {} and {} bytes, on {cores} cores.",
        pair.name,
        grouped(pair.old.listing.total_bytes()),
        grouped(pair.new.listing.total_bytes()),
    );
    println!();
    println!("| what | release | seconds | MB/s | bytes stored | where the time went |");
    println!("|---|---|---:|---:|---:|---|");
    for (name, level) in LEVELS {
        let folder = work.path().join(name);
        let repository = Place::Folder(folder.join("repository"));
        releases(
            &format!("folder, {name}"),
            &repository,
            level,
            &folder,
            &pair,
        )?;
        if let Some(address) = bucket {
            // Names in a bucket are given once: each run has its own.
            let run = SystemClock.now().seconds();
            let address = format!("{}/{run}-{name}", address.trim_end_matches('/'));
            let folder = work.path().join(format!("{name}-bucket"));
            let repository = Place::Bucket(address);
            releases(
                &format!("bucket, {name}"),
                &repository,
                level,
                &folder,
                &pair,
            )?;
        }
    }
    yardsticks(&pair, work.path())
}

/// Where a repository is made.
enum Place {
    Folder(PathBuf),
    Bucket(String),
}

impl Place {
    fn storage(&self) -> Outcome<Box<dyn Storage>> {
        Ok(match self {
            Place::Folder(folder) => Box::new(FolderStorage::new(folder)),
            Place::Bucket(address) => Box::new(BucketStorage::from_env(address)?),
        })
    }
}

fn releases(what: &str, place: &Place, level: Level, work: &Path, pair: &Prepared) -> Outcome<()> {
    fs::create_dir_all(work)?;
    let keys = KeyStore::folder(work.join("keys"));
    Repository::init_in(&*place.storage()?, &keys, SystemClock.now())?;
    let pack = PackName::parse("acme/throughput")?;
    for (label, side) in [("first", &pair.old), ("second", &pair.new)] {
        let repository = Repository::open_in(place.storage()?)?;
        let mut options =
            PublishOptions::new(pack.clone(), Label::parse(label)?, SystemClock.now());
        options.deltas.level = level;
        let stages = Stages::default();
        let began = Instant::now();
        let cancel = CancelToken::new();
        let published = repository.publish(&side.folder, &keys, &options, &stages, &cancel)?;
        let ended = Instant::now();
        row(
            (what, label),
            ended - began,
            published.tree_bytes,
            published.stored_bytes,
            &stages.told(began, ended),
        );
    }
    Ok(())
}

/// Prints what copying and compressing the same trees costs.
fn yardsticks(pair: &Prepared, work: &Path) -> Outcome<()> {
    let (old, new) = (text(&pair.old.tar)?, text(&pair.new.tar)?);
    let against = format!("--patch-from={old}");
    let (copy, made) = (work.join("copy"), work.join("made"));
    let sides = [("first", &pair.old, None), ("second", &pair.new, Some(new))];
    for (label, side, is_second) in sides {
        let bytes = side.listing.total_bytes();
        let to = copy.join(label);
        fs::create_dir_all(&copy)?;
        let cost = cost_of("cp", &["-r", text(&side.folder)?, text(&to)?])?;
        row(("cp -r", label), cost.time, bytes, bytes, "");
        let made = text(&made)?;
        let whole = ["-19", "--long=27", "-qf", text(&side.tar)?, "-o", made];
        let cost = cost_of("zstd", &whole)?;
        let stored = fs::metadata(made)?.len();
        row(("tar, zstd -19", label), cost.time, bytes, stored, "");
        if let Some(new) = is_second {
            let patch = ["-19", "--long=30", "-qf", &against, new, "-o", made];
            let cost = cost_of("zstd", &patch)?;
            let stored = fs::metadata(made)?.len();
            let name = "tar, zstd -19 --patch-from";
            row((name, label), cost.time, bytes, stored, "");
        }
    }
    Ok(())
}

fn row((what, release): (&str, &str), time: Duration, bytes: u64, stored: u64, stages: &str) {
    let seconds = time.as_secs_f64();
    println!(
        "| {what} | {release} | {seconds:.2} | {:.2} | {} | {stages} |",
        bytes as f64 / 1e6 / seconds,
        grouped(stored),
    );
}

/// Remembers when each stage began, and when it was last heard of.
#[derive(Default)]
struct Stages(Mutex<Vec<(String, Instant, Instant)>>);

impl PublishProgress for Stages {
    fn progressed(&self, stage: &str, _: u64, _: u64) {
        let Ok(mut begun) = self.0.lock() else { return };
        let now = Instant::now();
        match begun.iter_mut().find(|(name, ..)| name == stage) {
            Some((_, _, last)) => *last = now,
            None => begun.push((stage.to_owned(), now, now)),
        }
    }
}

impl Stages {
    /// Tells how long each stage took: until the next began, or longer where they ran side by side.
    fn told(&self, began: Instant, ended: Instant) -> String {
        let Ok(begun) = self.0.lock() else {
            return String::new();
        };
        let first = begun.first().map_or(ended, |(_, from, _)| *from);
        let mut all = vec![told("before", began, first)];
        let next = begun.iter().skip(1).map(|(_, from, _)| *from);
        for ((name, from, last), next) in begun.iter().zip(next.chain([ended])) {
            all.push(told(name, *from, next.max(*last)));
        }
        all.join(", ")
    }
}

fn told(what: &str, from: Instant, to: Instant) -> String {
    format!("{what} {:.2} s", (to - from).as_secs_f64())
}

const LEVELS: [(&str, Level); 2] = [("fast", Level::Fast), ("default", Level::Default)];
