use std::fs;
use std::io::{self, Write};

use release_format::PackName;
use serde::Serialize;
use updater_client::{HealOptions, Healed};

use super::document::{DamageDocument, ReleaseDocument, TrafficDocument};
use super::{chosen, each, opened};
use crate::arguments::HealArguments;
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, bytes, counted};

#[derive(Serialize)]
struct HealDocument<'a> {
    pack: &'a PackName,
    /// What was wrong with the state record, or null.
    record: Option<&'a str>,
    /// The releases that were damaged, and are whole again.
    releases: Vec<HealedDocument<'a>>,
    traffic: TrafficDocument,
}

#[derive(Serialize)]
struct HealedDocument<'a> {
    #[serde(flatten)]
    release: ReleaseDocument,
    damage: Vec<DamageDocument<'a>>,
    found_files: u64,
    fetched_files: u64,
}

impl<'a> HealDocument<'a> {
    fn new(pack: &'a PackName, healed: &'a Healed) -> HealDocument<'a> {
        HealDocument {
            pack,
            record: healed.record.as_deref(),
            releases: healed
                .releases
                .iter()
                .map(|of| HealedDocument {
                    release: ReleaseDocument::new(pack, &of.release),
                    damage: of.damage.iter().map(DamageDocument::from).collect(),
                    found_files: of.found_files,
                    fetched_files: of.fetched_files,
                })
                .collect(),
            traffic: healed.traffic.into(),
        }
    }
}

/// Restores what is damaged, fetching only that.
pub(crate) fn heal(arguments: &HealArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, Some(&arguments.source), output)?;
    let cancel = cancel_on_interrupt();
    let root = match &arguments.root {
        Some(path) => Some(fs::read(path).map_err(|error| Failure::io("read", path, &error))?),
        None => None,
    };
    // What the device holds can be healed without it: told after the packs.
    let trust = updater.heal_trust(root.as_deref());
    if let Ok(true) = trust {
        output.message("the root that was given is trusted from now on");
    }
    let options = HealOptions {
        budget_bytes: arguments.budget.map(|budget| budget.0),
    };
    let packs = chosen(&updater, arguments.pack.as_slice(), output)?;
    let exit = each(&packs, output, |pack| {
        let is_named = arguments.pack.is_some();
        let is_left = || {
            let status = updater.status(pack);
            status.is_ok_and(|of| of.record.generation() > 0 && of.record.active().is_none())
        };
        // Of all packs, those that were left altogether have nothing to heal.
        if !is_named && is_left() {
            return Ok(());
        }
        let healed = updater.heal(pack, &options, &cancel)?;
        output.result(&HealDocument::new(pack, &healed), |out| {
            write_healed(out, pack, &healed)
        })
    })?;
    match trust {
        Err(failed) if exit == Exit::Done => Err(failed.into()),
        _ => Ok(exit),
    }
}

fn write_healed(out: &mut dyn Write, pack: &PackName, healed: &Healed) -> io::Result<()> {
    if let Some(record) = &healed.record {
        writeln!(out, "{pack}: the state record is written anew: {record}")?;
    }
    for of in &healed.releases {
        writeln!(
            out,
            "{pack}: {} is whole again: {} damaged, {} found on the device, {} fetched",
            of.release.label,
            counted(of.damage.len() as u64, "file"),
            of.found_files,
            of.fetched_files,
        )?;
    }
    if healed.releases.is_empty() {
        return writeln!(out, "{pack}: every file is as published");
    }
    writeln!(out, "{pack}: fetched {}", bytes(healed.traffic.bytes))
}
