//! What a device keeps, and what keeps it from switching.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;

use release_format::PackName;
use serde::Serialize;
use updater_client::{
    Clock, OpenRelease, PinFor, PruneOptions, Pruned, PrunedRelease, SystemClock, Updater,
};

use super::document::{HoldDocument, PinDocument};
use super::opened;
use crate::arguments::{
    HoldArguments, OpenArguments, PackOrVersion, PinArguments, PruneArguments, UnholdArguments,
    UnpinArguments,
};
use crate::failure::{Exit, Failure};
use crate::output::{Output, bytes, counted};

#[derive(Serialize)]
struct OpenDocument<'a> {
    pack: &'a PackName,
    content_version: String,
    path: &'a Path,
    on_trial: bool,
    /// False on a disk that cannot be written to.
    leased: bool,
}

/// Opens a release, and keeps it open while a command runs, or until stdin is at its end.
pub(crate) fn open(arguments: &OpenArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let course = match &arguments.what {
        PackOrVersion::Pack(pack) if arguments.uncounted => updater.lease(pack)?,
        PackOrVersion::Pack(pack) => updater.open_pack(pack)?,
        PackOrVersion::Version(version) => updater.open_at(version)?,
    };
    if let [program, rest @ ..] = arguments.command.as_slice() {
        return run(Command::new(program).args(rest), &course);
    }
    let document = OpenDocument {
        pack: &course.content_version.pack,
        content_version: course.content_version.to_string(),
        path: &course.tree,
        on_trial: course.on_trial,
        leased: course.lease.is_held(),
    };
    output.result(&document, |out| {
        writeln!(out, "{}", course.tree.display())?;
        out.flush()
    })?;
    // The end of stdin is the end of whoever opened it, however he ended.
    let mut buffer = [0; 256];
    let mut stdin = io::stdin().lock();
    while let Ok(1..) = stdin.read(&mut buffer) {}
    Ok(Exit::Done)
}

fn run(command: &mut Command, course: &OpenRelease) -> Result<Exit, Failure> {
    let status = command
        .env("SATCHEL_TREE", &course.tree)
        .env(
            "SATCHEL_CONTENT_VERSION",
            course.content_version.to_string(),
        )
        .status()
        .map_err(|error| Failure::io("run", Path::new(command.get_program()), &error))?;
    if status.success() {
        return Ok(Exit::Done);
    }
    let message = format!("the command ended with {status}");
    Err(Failure::new(Exit::Other, "command-failed", message))
}

#[derive(Serialize)]
struct HoldsDocument<'a> {
    pack: &'a PackName,
    /// The hold in force that lasts the longest, or null.
    held: Option<HoldDocument>,
    holds: Vec<HoldDocument>,
}

/// Lets no other release become active for a while.
pub(crate) fn hold(arguments: &HoldArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let until = arguments.until.from(SystemClock.now());
    updater.hold(&arguments.pack, &arguments.reason, until)?;
    tell_holds(&updater, &arguments.pack, output)
}

/// Ends holds.
pub(crate) fn unhold(arguments: &UnholdArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    updater.unhold(&arguments.pack, arguments.reason.as_deref())?;
    tell_holds(&updater, &arguments.pack, output)
}

fn tell_holds(updater: &Updater, pack: &PackName, output: Output) -> Result<Exit, Failure> {
    let status = updater.status(pack)?;
    let document = HoldsDocument {
        pack,
        held: status.held.as_ref().map(HoldDocument::from),
        holds: status
            .record
            .holds()
            .iter()
            .map(HoldDocument::from)
            .collect(),
    };
    output.result(&document, |out| match &status.held {
        Some(hold) => writeln!(out, "{pack}: held until {}: {}", hold.until, hold.reason),
        None => writeln!(out, "{pack}: nothing is held"),
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct PinsDocument<'a> {
    pack: &'a PackName,
    pins: Vec<PinDocument>,
}

/// Keeps a release, and the device on it.
pub(crate) fn pin(arguments: &PinArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let record = updater.status(&arguments.pack)?.record;
    let is_active = match (&arguments.label, record.active()) {
        (Some(label), Some(active)) => active.label == *label,
        (label, _) => label.is_none(),
    };
    let pin_for = match is_active && !arguments.keep {
        true => PinFor::Device,
        false => PinFor::Attempts,
    };
    updater.pin(&arguments.pack, arguments.label.as_ref(), pin_for)?;
    tell_pins(&updater, &arguments.pack, output)
}

/// Ends pins.
pub(crate) fn unpin(arguments: &UnpinArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    updater.unpin(&arguments.pack, arguments.label.as_ref())?;
    tell_pins(&updater, &arguments.pack, output)
}

fn tell_pins(updater: &Updater, pack: &PackName, output: Output) -> Result<Exit, Failure> {
    let record = updater.status(pack)?.record;
    let pins = record.pins();
    let document = PinsDocument {
        pack,
        pins: pins.iter().map(|pin| PinDocument::new(pack, pin)).collect(),
    };
    output.result(&document, |out| {
        if pins.is_empty() {
            return writeln!(out, "{pack}: nothing is pinned");
        }
        pins.iter().try_for_each(|pin| {
            let label = &pin.release.label;
            match pin.stays {
                true => writeln!(out, "{pack}: stays on {label}"),
                false => writeln!(out, "{pack}: {label} is kept"),
            }
        })
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct PruneDocument<'a> {
    library: &'a Path,
    dry_run: bool,
    releases: Vec<PrunedDocument<'a>>,
    /// What somebody has open: it goes once it is closed.
    in_use: Vec<PrunedDocument<'a>>,
    downloads: Vec<String>,
    freed_bytes: u64,
}

#[derive(Serialize)]
struct PrunedDocument<'a> {
    pack: &'a PackName,
    folder: &'a str,
    /// Null where its manifest cannot be read.
    label: Option<&'a str>,
}

impl<'a> From<&'a PrunedRelease> for PrunedDocument<'a> {
    fn from(release: &'a PrunedRelease) -> PrunedDocument<'a> {
        PrunedDocument {
            pack: &release.pack,
            folder: &release.folder,
            label: release.label.as_ref().map(|label| label.as_str()),
        }
    }
}

/// Removes what nothing needs, or says what it would remove.
pub(crate) fn prune(arguments: &PruneArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let pruned = updater.prune(PruneOptions {
        downloads: arguments.downloads,
        dry_run: arguments.dry_run,
    })?;
    let document = PruneDocument {
        library: &arguments.library,
        dry_run: arguments.dry_run,
        releases: pruned.releases.iter().map(PrunedDocument::from).collect(),
        in_use: pruned.in_use.iter().map(PrunedDocument::from).collect(),
        downloads: pruned
            .downloads
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        freed_bytes: pruned.freed_bytes,
    };
    output.result(&document, |out| {
        write_pruned(out, &pruned, arguments.dry_run)
    })?;
    Ok(Exit::Done)
}

fn write_pruned(out: &mut dyn Write, pruned: &Pruned, dry_run: bool) -> io::Result<()> {
    let told = |release: &PrunedRelease| match &release.label {
        Some(label) => format!("{} {label}", release.pack),
        None => format!("{} {}", release.pack, release.folder),
    };
    let (removed, free) = match dry_run {
        true => ("would be removed", "would be free"),
        false => ("removed", "freed"),
    };
    for release in &pruned.releases {
        writeln!(out, "{}: {removed}", told(release))?;
    }
    for release in &pruned.in_use {
        writeln!(out, "{}: open, kept until it is closed", told(release))?;
    }
    let downloads = pruned.downloads.len() as u64;
    if downloads > 0 {
        writeln!(out, "{}: {removed}", counted(downloads, "download"))?;
    }
    writeln!(out, "{} {free}", bytes(pruned.freed_bytes))
}
