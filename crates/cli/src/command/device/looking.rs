use std::io::{self, Write};
use std::path::Path;

use release_format::PackName;
use serde::Serialize;
use updater_client::library::disk::{Disk, RealDisk};
use updater_client::library::state::InstalledRelease;
use updater_client::{HistoryEvent, HistoryKind, Status, VerifyReport};

use super::document::{StatusDocument, VerifyDocument};
use super::{chosen, not_installed, opened};
use crate::arguments::{LibraryArguments, NotesArguments, PackArguments, StatusArguments};
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
pub(crate) fn status(arguments: &StatusArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let packs = chosen(&updater, arguments.pack.as_slice(), output)?;
    let mut stands = Vec::new();
    let mut histories = Vec::new();
    for pack in &packs {
        stands.push((pack, updater.status(pack)?));
        if arguments.history {
            histories.push(updater.history(pack)?);
        }
    }
    let available = RealDisk::new()
        .available_bytes(&arguments.library)
        .map_err(updater_client::UpdateError::from)?;
    let document = LibraryDocument {
        library: &arguments.library,
        available_bytes: available,
        packs: stands
            .iter()
            .enumerate()
            .map(|(at, (pack, status))| {
                StatusDocument::new(pack, status, histories.get(at).map(Vec::as_slice))
            })
            .collect(),
    };
    output.result(&document, |out| {
        for (at, (pack, status)) in stands.iter().enumerate() {
            write_status(out, pack, status)?;
            write_history(out, pack, histories.get(at).map_or(&[], Vec::as_slice))?;
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
struct NotesDocument<'a> {
    pack: &'a PackName,
    /// Null where the publisher did not say.
    language: Option<&'a str>,
    /// Null where the release has none.
    text: Option<&'a str>,
}

/// Prints the notes of a pack's active release.
pub(crate) fn notes(arguments: &NotesArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    let notes = updater.notes(&arguments.pack, &arguments.language)?;
    let language = notes.as_ref().and_then(|notes| notes.language.as_ref());
    let document = NotesDocument {
        pack: &arguments.pack,
        language: language.map(|language| language.as_str()),
        text: notes.as_ref().map(|notes| notes.text.as_str()),
    };
    output.result(&document, |out| match document.text {
        Some(text) => writeln!(out, "{}", text.trim_end()),
        None => writeln!(out, "{} has no notes", arguments.pack),
    })?;
    Ok(Exit::Done)
}

fn write_history(out: &mut dyn Write, pack: &PackName, history: &[HistoryEvent]) -> io::Result<()> {
    for event in history {
        let version = event.content_version(pack);
        let other = event.other.as_ref().map(|other| &other.label);
        let told = match (event.kind, other) {
            (HistoryKind::Reverted, Some(to)) => format!("back to {to}"),
            (HistoryKind::Reverted, None) => "back to nothing".to_owned(),
            (_, Some(from)) => format!("after {from}"),
            (_, None) => String::new(),
        };
        let reason = event.reason.as_deref().unwrap_or_default();
        let kind = event.kind.code();
        let line = format!("  {}  {kind:<9}  {version}  {told}  {reason}", event.time);
        writeln!(out, "{}", line.trim_end())?;
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
