use std::io::{self, Write};
use std::path::Path;

use release_format::PackName;
use serde::Serialize;
use updater_client::library::disk::{Disk, RealDisk};
use updater_client::library::state::InstalledRelease;
use updater_client::{Status, VerifyReport};

use super::document::{StatusDocument, VerifyDocument};
use super::{chosen, not_installed, opened};
use crate::arguments::{LibraryArguments, PackArguments};
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, Table, bytes, counted};

#[derive(Serialize)]
struct LibraryDocument<'a> {
    library: &'a Path,
    available_bytes: u64,
    packs: Vec<StatusDocument<'a>>,
}

/// Says how packs stand, without opening them.
pub(crate) fn status(arguments: &LibraryArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let packs = chosen(&updater, arguments.pack.as_slice(), output)?;
    let mut stands = Vec::new();
    for pack in &packs {
        stands.push((pack, updater.status(pack)?));
    }
    let available = RealDisk::new()
        .available_bytes(&arguments.library)
        .map_err(updater_client::UpdateError::from)?;
    let document = LibraryDocument {
        library: &arguments.library,
        available_bytes: available,
        packs: stands
            .iter()
            .map(|(pack, status)| StatusDocument::new(pack, status))
            .collect(),
    };
    output.result(&document, |out| {
        for (pack, status) in &stands {
            write_status(out, pack, status)?;
        }
        writeln!(out, "{} free", bytes(available))
    })?;
    let is_damaged = stands.iter().any(|(_, status)| status.damage.is_some());
    Ok(if is_damaged { Exit::Damage } else { Exit::Done })
}

fn write_status(out: &mut dyn Write, pack: &PackName, status: &Status) -> io::Result<()> {
    let record = &status.record;
    let told =
        |release: &InstalledRelease| format!("{} ({})", release.label, bytes(release.tree_bytes));
    writeln!(out, "{pack}")?;
    let trial = record.trial().map(|trial| {
        format!(
            ", on trial: opened {} of {} times",
            trial.openings, trial.allowed
        )
    });
    match record.active() {
        Some(active) => writeln!(
            out,
            "  active    {}{}",
            told(active),
            trial.unwrap_or_default()
        )?,
        None => writeln!(out, "  active    nothing")?,
    }
    if let Some(fallback) = record.fallback() {
        writeln!(out, "  fallback  {}", told(fallback))?;
    }
    if let Some(staged) = record.staged() {
        writeln!(out, "  staged    {}", told(staged))?;
    }
    for pin in record.pins() {
        let stays = if pin.stays {
            ", the device stays on it"
        } else {
            ""
        };
        writeln!(out, "  pinned    {}{stays}", told(&pin.release))?;
    }
    if let Some(hold) = &status.held {
        writeln!(out, "  held      until {}: {}", hold.until, hold.reason)?;
    }
    for folder in &status.leased {
        writeln!(out, "  open      {folder}")?;
    }
    for refused in record.refused() {
        writeln!(out, "  refused   {}: {}", refused.label, refused.reason)?;
    }
    if let Some(damage) = &status.damage {
        writeln!(out, "  damaged   {damage}")?;
    }
    Ok(())
}

#[derive(Serialize)]
struct PathDocument<'a> {
    pack: &'a PackName,
    path: &'a Path,
}

/// Prints the folder of a pack's active release.
pub(crate) fn path(arguments: &PackArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let status = updater.status(&arguments.pack)?;
    let tree = status.tree.ok_or_else(|| not_installed(&arguments.pack))?;
    let document = PathDocument {
        pack: &arguments.pack,
        path: &tree,
    };
    output.result(&document, |out| writeln!(out, "{}", tree.display()))?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct VerifiedDocument<'a> {
    library: &'a Path,
    sound: bool,
    packs: Vec<VerifyDocument<'a>>,
}

/// Compares every byte of the releases that are needed with their manifests.
pub(crate) fn verify(arguments: &LibraryArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let cancel = cancel_on_interrupt();
    let mut reports = Vec::new();
    for pack in chosen(&updater, arguments.pack.as_slice(), output)? {
        // Of all packs, those that were left altogether have nothing to compare.
        let is_wanted =
            arguments.pack.is_some() || updater.status(&pack)?.record.active().is_some();
        if is_wanted {
            let report = updater.verify_all(&pack, &cancel)?;
            reports.push((pack, report));
        }
    }
    let sound = reports
        .iter()
        .all(|(_, of)| of.iter().all(|(_, report)| report.is_sound()));
    let document = VerifiedDocument {
        library: &arguments.library,
        sound,
        packs: reports
            .iter()
            .map(|(pack, of)| VerifyDocument::new(pack, of))
            .collect(),
    };
    output.result(&document, |out| {
        reports.iter().try_for_each(|(pack, of)| {
            of.iter()
                .try_for_each(|(release, report)| write_report(out, (pack, release), report))
        })
    })?;
    Ok(if sound { Exit::Done } else { Exit::Damage })
}

fn write_report(
    out: &mut dyn Write,
    (pack, release): (&PackName, &InstalledRelease),
    report: &VerifyReport,
) -> io::Result<()> {
    let label = &release.label;
    let files = counted(report.files, "file");
    if report.is_sound() {
        return writeln!(
            out,
            "{pack} {label}: {files}, {}, all as published",
            bytes(report.bytes)
        );
    }
    writeln!(
        out,
        "{pack} {label}: {files}, {} damaged",
        report.damage.len()
    )?;
    let mut table = Table::new(&["FILE", "FAULT"]);
    for damage in &report.damage {
        table.row([damage.path.clone(), damage.fault.to_string()]);
    }
    table.write(out)
}
