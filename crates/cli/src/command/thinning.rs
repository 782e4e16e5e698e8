//! Thinning a repository out.

use std::io::{self, Write};
use std::path::Path;

use publisher::{PruneOptions, PruneReport, PrunedPack};
use serde::Serialize;

use crate::arguments::PruneRepositoryArguments;
use crate::command::custody::signing_keys;
use crate::command::place;
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Table, bytes, counted};

#[derive(Serialize)]
struct PruneDocument<'a> {
    repository: &'a Path,
    dry_run: bool,
    packs: Vec<PackDocument<'a>>,
    removed: &'a [String],
    freed_bytes: u64,
    waiting: &'a [String],
    waiting_bytes: u64,
}

#[derive(Serialize)]
struct PackDocument<'a> {
    pack: &'a str,
    dropped: Vec<DroppedDocument<'a>>,
    needed: Vec<&'a str>,
}

#[derive(Serialize)]
struct DroppedDocument<'a> {
    release: &'a str,
    /// The release that a device with it is brought to.
    to: Option<&'a str>,
    before_bytes: Option<u64>,
    after_bytes: Option<u64>,
}

impl<'a> From<&'a PrunedPack> for PackDocument<'a> {
    fn from(pack: &'a PrunedPack) -> PackDocument<'a> {
        let dropped = pack.dropped.iter().map(|release| DroppedDocument {
            release: release.label.as_str(),
            to: release.to.as_ref().map(|label| label.as_str()),
            before_bytes: release.before_bytes,
            after_bytes: release.after_bytes,
        });
        PackDocument {
            pack: pack.pack.as_str(),
            dropped: dropped.collect(),
            needed: pack.needed.iter().map(|label| label.as_str()).collect(),
        }
    }
}

/// Removes what nothing refers to, and old releases.
pub(crate) fn prune(arguments: &PruneRepositoryArguments, output: Output) -> Result<Exit, Failure> {
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let repository = place::open(&arguments.repo)?;
    let mut options = PruneOptions::at(signing_time()?);
    options.keep = arguments
        .keep
        .map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
    options.now_too = arguments.now;
    options.is_dry = arguments.dry_run;
    let report = repository.prune(&keys, &options)?;
    let document = PruneDocument {
        repository: &arguments.repo,
        dry_run: arguments.dry_run,
        packs: report.packs.iter().map(PackDocument::from).collect(),
        removed: &report.removed,
        freed_bytes: report.freed_bytes,
        waiting: &report.waiting,
        waiting_bytes: report.waiting_bytes,
    };
    for location in &report.removed {
        output.detail(format!("removed {location}"));
    }
    output.result(&document, |out| tell(&report, arguments.dry_run, out))?;
    Ok(Exit::Done)
}

fn tell(report: &PruneReport, is_dry: bool, out: &mut dyn Write) -> io::Result<()> {
    if !report.packs.is_empty() {
        let mut table = Table::new(&[
            "PACK",
            "DROPPED",
            "A DEVICE ON IT GETS",
            ">FOR",
            ">INSTEAD OF",
        ]);
        for pack in &report.packs {
            for release in &pack.dropped {
                let told = |count: Option<u64>| count.map_or("-".to_owned(), bytes);
                table.row([
                    pack.pack.to_string(),
                    release.label.to_string(),
                    release
                        .to
                        .as_ref()
                        .map_or("-".to_owned(), ToString::to_string),
                    told(release.after_bytes),
                    told(release.before_bytes),
                ]);
            }
        }
        table.write(out)?;
        for pack in report.packs.iter().filter(|pack| !pack.needed.is_empty()) {
            let needed: Vec<_> = pack.needed.iter().map(|label| label.as_str()).collect();
            writeln!(
                out,
                "{}: {} stay, being needed",
                pack.pack,
                needed.join(", ")
            )?;
        }
        writeln!(out)?;
    }
    let told = if is_dry {
        "would be removed"
    } else {
        "removed"
    };
    let removed = counted(report.removed.len() as u64, "file");
    writeln!(out, "{told}: {removed}, {}", bytes(report.freed_bytes))?;
    if !report.waiting.is_empty() {
        let waiting = counted(report.waiting.len() as u64, "file");
        writeln!(
            out,
            "kept for devices that asked before: {waiting}, {}",
            bytes(report.waiting_bytes)
        )?;
    }
    Ok(())
}
