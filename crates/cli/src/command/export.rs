//! Carrying a repository.

use std::io::{self, Write};
use std::path::Path;

use publisher::{ExportOptions, ExportReach, Exported, ExportedPack};
use serde::Serialize;
use updater_client::{Clock, SystemClock};

use crate::arguments::ExportArguments;
use crate::command::place;
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, Table, bytes, counted};

#[derive(Serialize)]
struct ExportDocument<'a> {
    repository: &'a Path,
    to: &'a Path,
    packs: Vec<PackDocument<'a>>,
    files: u64,
    bytes: u64,
    written_files: u64,
    written_bytes: u64,
    removed_files: u64,
    available_bytes: Option<u64>,
    expires: String,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct PackDocument<'a> {
    pack: &'a str,
    releases: Vec<&'a str>,
    deltas: Vec<DeltaDocument<'a>>,
    without_delta: Vec<&'a str>,
    archive_bytes: u64,
    grace_days: u32,
}

#[derive(Serialize)]
struct DeltaDocument<'a> {
    /// The older release; null for a first install.
    from: Option<&'a str>,
    to: &'a str,
    bytes: u64,
}

impl<'a> From<&'a ExportedPack> for PackDocument<'a> {
    fn from(pack: &'a ExportedPack) -> PackDocument<'a> {
        let deltas = pack.deltas.iter().map(|delta| DeltaDocument {
            from: delta.from.as_ref().map(|label| label.as_str()),
            to: delta.to.as_str(),
            bytes: delta.bytes,
        });
        PackDocument {
            pack: pack.pack.as_str(),
            releases: pack.releases.iter().map(|label| label.as_str()).collect(),
            deltas: deltas.collect(),
            without_delta: pack.without_delta.iter().map(|l| l.as_str()).collect(),
            archive_bytes: pack.archive_bytes,
            grace_days: pack.grace_days,
        }
    }
}

/// Writes a mirror for a stick, or brings one up to date.
pub(crate) fn export(arguments: &ExportArguments, output: Output) -> Result<Exit, Failure> {
    if arguments.to.to_str().is_some_and(place::is_bucket) {
        let message = "exports are written to folders, not to buckets";
        return Err(Failure::new(Exit::Usage, "export-to-bucket", message));
    }
    let repository = place::open(&arguments.repo)?;
    let reach = match (arguments.full, arguments.from.as_slice()) {
        (true, _) => ExportReach::Full,
        (false, []) => ExportReach::Deltas,
        (false, labels) => ExportReach::From(labels.to_vec()),
    };
    let mut options = ExportOptions::new(arguments.packs.clone(), reach);
    options.with_log = arguments.log;
    let cancel = cancel_on_interrupt();
    let exported = {
        let bar = output.bar("exporting", 0);
        repository.export(&arguments.to, &options, &bar, &cancel)?
    };
    for warning in &exported.warnings {
        output.warning(warning);
    }
    if exported.expires <= SystemClock.now() {
        output.warning("the repository's timestamp has expired: publish, then export again");
    }
    let document = ExportDocument {
        repository: &arguments.repo,
        to: &arguments.to,
        packs: exported.packs.iter().map(PackDocument::from).collect(),
        files: exported.files,
        bytes: exported.bytes,
        written_files: exported.written_files,
        written_bytes: exported.written_bytes,
        removed_files: exported.removed_files,
        available_bytes: exported.available_bytes,
        expires: exported.expires.to_string(),
        warnings: &exported.warnings,
    };
    output.result(&document, |out| tell(&exported, out))?;
    Ok(Exit::Done)
}

fn tell(exported: &Exported, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["PACK", "A DEVICE WITH", "GETS", ">READS"]);
    for pack in &exported.packs {
        for delta in &pack.deltas {
            let from = delta
                .from
                .as_ref()
                .map_or("nothing", |label| label.as_str());
            table.row([
                pack.pack.to_string(),
                from.to_owned(),
                delta.to.to_string(),
                bytes(delta.bytes),
            ]);
        }
    }
    table.write(out)?;
    for pack in &exported.packs {
        for label in &pack.without_delta {
            let name = &pack.pack;
            writeln!(
                out,
                "{name}: no deltas lead on from {label}; the delta from nothing goes along"
            )?;
        }
    }
    writeln!(
        out,
        "\n{}, {}; written: {}, {}; removed: {}",
        counted(exported.files, "file"),
        bytes(exported.bytes),
        counted(exported.written_files, "file"),
        bytes(exported.written_bytes),
        counted(exported.removed_files, "file"),
    )?;
    if let Some(available) = exported.available_bytes {
        writeln!(out, "there was room for {}", bytes(available))?;
    }
    writeln!(out, "devices accept it until {}", exported.expires)?;
    for pack in exported.packs.iter().filter(|pack| pack.grace_days > 0) {
        let days = counted(u64::from(pack.grace_days), "day");
        writeln!(out, "{}: and for {days} more", pack.pack)?;
    }
    Ok(())
}
