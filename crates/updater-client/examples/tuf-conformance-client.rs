//! A client of any repository of The Update Framework, as its conformance suite starts one:
//!
//! ```text
//! tuf-conformance-client --metadata-dir D init ROOT
//! tuf-conformance-client --metadata-url U --metadata-dir D refresh
//! tuf-conformance-client --metadata-url U --metadata-dir D --target-name P --target-dir T \
//!                        --target-base-url V download
//! ```
//!
//! `D` holds exactly what is trusted, one file a role. Addresses are URLs or folders. What is believed
//! is the crate's own doing: this program reads its arguments and puts targets into their folder.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use release_format::{TargetFile, TrustLimits};
use updater_client::library::disk::{Disk, RealDisk};
use updater_client::library::trust_layout::TrustLayout;
use updater_client::library::trust_store::TrustStore;
use updater_client::{
    Body, CancelToken, Clock, Documents, FolderTransport, HttpTransport, SystemClock, TimeFloor,
    Transport, TransportError, TrustedRepository, UpdateError,
};

fn main() -> ExitCode {
    let done = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let disk = RealDisk::new();
    let folder = std::path::absolute(arguments.one("--metadata-dir")?)?;
    let mut store = TrustStore::new(&disk, TrustLayout::flat(folder), limits());
    store.settle()?;
    match arguments.words().as_slice() {
        ["init", root] => {
            store.pin(&fs::read(root)?)?;
            Ok(())
        }
        ["refresh"] => {
            let mirror = Mirror::new(arguments.one("--metadata-url")?, None)?;
            follow(store, &mirror, |_| Ok(()))
        }
        ["download"] => {
            let targets = arguments.one("--target-base-url")?;
            let mirror = Mirror::new(arguments.one("--metadata-url")?, Some(targets))?;
            let folder = std::path::absolute(arguments.one("--target-dir")?)?;
            follow(store, &mirror, |repository| {
                for name in arguments.all("--target-name")? {
                    download(repository, name, &disk, &folder)?;
                }
                Ok(())
            })
        }
        words => Err(format!("expected init ROOT, refresh or download, found {words:?}").into()),
    }
}

/// Brings the metadata up to date, then does `work`.
fn follow(
    store: TrustStore<'_>,
    mirror: &Mirror,
    work: impl FnOnce(&mut TrustedRepository<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let cancel = CancelToken::new();
    let documents = Documents::new(mirror, &cancel);
    // No floor but what the metadata proves: the suite sets clocks back on purpose.
    let clock = SystemClock.now();
    let mut repository = TrustedRepository::load(store, &documents, clock, TimeFloor::none())?;
    repository.refresh()?;
    work(&mut repository)
}

/// Brings one target into `folder`, unless it is there already.
fn download(
    repository: &mut TrustedRepository<'_>,
    name: &str,
    disk: &dyn Disk,
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    let target = repository.find(name)?;
    let target = target.ok_or_else(|| format!("nobody vouches for the target {name}"))?;
    let path = folder.join(escaped(name));
    if is_there(repository, &target, disk, &path)? {
        return Ok(());
    }
    let bytes = repository.fetch(&target)?;
    Ok(disk.write_durably(&path, bytes.get())?)
}

fn is_there(
    repository: &TrustedRepository<'_>,
    target: &TargetFile,
    disk: &dyn Disk,
    path: &Path,
) -> Result<bool, UpdateError> {
    let stored = disk.read(path, target.length().saturating_add(1))?;
    let is_target = |stored| repository.trusted().verify_target(target, stored).is_ok();
    Ok(stored.is_some_and(is_target))
}

/// Returns the name of a target's file: one file for each path, none outside the folder.
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn limits() -> TrustLimits {
    let mut limits = TrustLimits::standard();
    // Elsewhere, targets are whatever people download.
    limits.target_bytes = 1 << 30;
    limits
}

/// Metadata at one address, targets at another.
struct Mirror {
    metadata: Place,
    targets: Option<Place>,
}

impl Mirror {
    fn new(metadata: &str, targets: Option<&str>) -> Result<Mirror, TransportError> {
        Ok(Mirror {
            metadata: Place::new(metadata)?,
            targets: targets.map(Place::new).transpose()?,
        })
    }
}

impl Transport for Mirror {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        let place = match (location.split_once('/'), &self.targets) {
            (Some(("targets", _)), Some(targets)) => targets,
            _ => &self.metadata,
        };
        place.open(location, from)
    }

    fn address(&self) -> String {
        match &self.metadata {
            Place::Address(http) => http.address(),
            Place::Folder(folder) => folder.address(),
        }
    }
}

/// Where the files of one kind lie.
enum Place {
    /// Below the address.
    Address(HttpTransport),
    /// In a repository's folder of that kind, which is the one that was given.
    Folder(FolderTransport),
}

impl Place {
    fn new(address: &str) -> Result<Place, TransportError> {
        if address.contains("://") {
            let http = HttpTransport::builder(address).keep_escapes();
            return Ok(Place::Address(http.build()?));
        }
        let repository = Path::new(address).parent().unwrap_or(Path::new("."));
        Ok(Place::Folder(FolderTransport::new(repository)))
    }

    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        match (self, location.split_once('/')) {
            (Place::Address(http), Some((_kind, name))) => http.open(name, from),
            (Place::Address(http), None) => http.open(location, from),
            (Place::Folder(folder), _) => folder.open(location, from),
        }
    }
}

/// Flags with their values, each of which may come again, and the words that are none.
struct Arguments {
    flags: BTreeMap<String, Vec<String>>,
    words: Vec<String>,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
        let mut parsed = Arguments {
            flags: BTreeMap::new(),
            words: Vec::new(),
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            if !argument.starts_with("--") {
                parsed.words.push(argument);
                continue;
            }
            let value = arguments.next();
            let value = value.ok_or_else(|| format!("{argument} needs a value"))?;
            parsed.flags.entry(argument).or_default().push(value);
        }
        Ok(parsed)
    }

    fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    fn all(&self, flag: &str) -> Result<&[String], Box<dyn Error>> {
        let values = self.flags.get(flag);
        Ok(values.ok_or_else(|| format!("{flag} is missing"))?)
    }

    fn one(&self, flag: &str) -> Result<&str, Box<dyn Error>> {
        match self.all(flag)? {
            [value] => Ok(value),
            _ => Err(format!("{flag} is given more than once").into()),
        }
    }
}
