//! What it costs a weak device to check, update, verify and open one large pack.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diff_core::{CancelToken, Level};
use publisher::{KeyStore, PublishOptions, Quiet, Repository};
use release_format::{Label, PackName};
use updater_client::{Clock, FolderTransport, SystemClock, UpdateOptions, Updater};

use crate::Outcome;

/// The argument that asks for this measurement, with a number of files and of bytes behind it where
/// the pack is to be another than the usual.
pub(crate) const DEVICE: &str = "device";
/// The argument by which the program runs one step as a process of its own.
pub(crate) const STEP: &str = "device-step";

const FILES: u64 = 20_000;
const BYTES: u64 = 1 << 30;
/// What each step may take of private memory.
const LIMIT_KIB: u64 = 64 << 10;
/// What opening may take.
const OPEN_LIMIT: Duration = Duration::from_millis(5);

/// Makes a pack in two releases, and prints what each step of a device that takes them costs.
pub(crate) fn measure(files: Option<&str>, bytes: Option<&str>) -> Outcome<()> {
    let files = files.map_or(Ok(FILES), str::parse)?;
    let bytes = bytes.map_or(Ok(BYTES), str::parse)?;
    let work = tempfile::tempdir()?;
    let place = |name: &str| work.path().join(name);
    let keys = KeyStore::folder(place("keys"));
    let root = Repository::init(place("repository"), &keys, SystemClock.now())?.root;
    let pack = PackName::parse(PACK)?;
    println!("A pack of {files} files and {bytes} bytes, on one folder of a disk.\n");
    println!("| step | time in ms | private memory in KiB |\n|---|---:|---:|");
    updater_client::enroll(place("library"), &root, Vec::new())?;
    for label in ["1.0", "1.1"] {
        write_course(&place("source"), (files, bytes), label == "1.1")?;
        let mut options =
            PublishOptions::new(pack.clone(), Label::parse(label)?, SystemClock.now());
        options.deltas.level = Level::Fast;
        let repository = Repository::open(place("repository"))?;
        let source = place("source");
        repository.publish(&source, &keys, &options, &Quiet, &CancelToken::new())?;
        for step in ["check", "update", "verify", "open"] {
            let figures = run_step(step, &place("library"), &place("repository"))?;
            println!("| {step} {label} | {:.2} | {} |", figures.0, figures.1);
        }
    }
    Ok(())
}

/// Runs one step in this process, and prints its milliseconds and the most KiB that were private.
pub(crate) fn step(name: &str, library: &Path, repository: &Path) -> Outcome<()> {
    let transport = Arc::new(FolderTransport::new(repository));
    let pack = PackName::parse(PACK)?;
    let watch = Watch::begin();
    let begun = Instant::now();
    let updater = Updater::builder(library).repository(transport).build()?;
    let cancel = CancelToken::new();
    match name {
        "check" => drop(updater.check(&pack, &cancel)?),
        "update" => {
            updater.update(&pack, &UpdateOptions::default(), &cancel)?;
            updater.confirm(&pack)?;
        }
        "verify" => {
            if !updater.verify(&pack, &cancel)?.is_sound() {
                return Err("the pack is damaged".into());
            }
        }
        _ => drop(updater.open_pack(&pack)?),
    }
    let took = begun.elapsed();
    let kib = watch.end();
    println!("{} {kib}", took.as_secs_f64() * 1_000.0);
    if kib > LIMIT_KIB {
        return Err(format!("{name} took {kib} KiB, the limit is {LIMIT_KIB}").into());
    }
    if name == "open" && took > OPEN_LIMIT {
        return Err(format!("opening took {took:?}, the limit is {OPEN_LIMIT:?}").into());
    }
    Ok(())
}

fn run_step(name: &str, library: &Path, repository: &Path) -> Outcome<(f64, u64)> {
    let output = Command::new(env::current_exe()?)
        .args([STEP, name])
        .args([library, repository])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    let mut figures = told.split_whitespace();
    let mut next = || figures.next().ok_or("a step printed too little");
    Ok((next()?.parse()?, next()?.parse()?))
}

/// Writes a course whose files are noise, as pictures and sound are, and every tenth one is text; a
/// hundredth of all differs from the release before where it is `revised`.
fn write_course(folder: &Path, (files, bytes): (u64, u64), revised: bool) -> Outcome<()> {
    let length = bytes / files.max(1);
    for number in 0..files {
        let is_changed = revised && number.is_multiple_of(100);
        let seed = if is_changed { number ^ 0xed17 } else { number };
        let place: PathBuf = folder.join(format!("unit-{:03}", number % 200));
        fs::create_dir_all(&place)?;
        let is_text = number.is_multiple_of(10);
        let name = if is_text { "html" } else { "bin" };
        let path = place.join(format!("{number}.{name}"));
        fs::write(path, content(seed, length, is_text))?;
    }
    Ok(())
}

fn content(seed: u64, length: u64, is_text: bool) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match is_text {
            true => bytes.extend_from_slice(word(state)),
            false => bytes.extend_from_slice(&state.to_le_bytes()),
        }
    }
    bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    bytes
}

fn word(number: u64) -> &'static [u8] {
    let place = usize::try_from(number % WORDS.len() as u64).unwrap_or(0);
    WORDS.get(place).copied().unwrap_or_default()
}

const WORDS: [&[u8]; 8] = [
    b"the cell ",
    b"divides ",
    b"and ",
    b"grows, ",
    b"as we saw ",
    b"in unit ",
    b"<p>",
    b"light ",
];

/// Looks again and again how much memory of this process nobody else has.
struct Watch {
    is_over: Arc<AtomicBool>,
    looking: thread::JoinHandle<u64>,
}

impl Watch {
    fn begin() -> Watch {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let looking = thread::spawn(move || {
            let mut most = 0;
            while !flag.load(Ordering::Relaxed) {
                most = most.max(private_kib());
                thread::park_timeout(Duration::from_millis(2));
            }
            most.max(private_kib())
        });
        Watch { is_over, looking }
    }

    fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.looking.join().unwrap_or(u64::MAX)
    }
}

/// Returns the resident memory that is no file's; 0 where the system does not tell.
fn private_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let figure = line.and_then(|line| line.split_whitespace().next());
    figure.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

const PACK: &str = "acme/large";
