//! Deltas of releases that are published.

use std::fs;
use std::io::{self, Write};

use publisher::{AddDeltasOptions, AddedDelta, DeltaOutcome, Fleet, Simulation, SimulationOptions};
use serde::Serialize;

use crate::arguments::{AddDeltasArguments, DeltasVerb, PlanDeltasArguments};
use crate::command::custody::signing_keys;
use crate::command::place;
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, Table, bytes, counted};

/// Adds deltas, or says which ones would pay.
pub(crate) fn deltas(verb: &DeltasVerb, output: Output) -> Result<Exit, Failure> {
    match verb {
        DeltasVerb::Add(arguments) => add(arguments, output),
        DeltasVerb::Plan(arguments) => plan(arguments, output),
    }
}

#[derive(Serialize)]
struct AddDocument<'a> {
    pack: &'a str,
    added: Vec<AddedDocument<'a>>,
}

#[derive(Serialize)]
struct AddedDocument<'a> {
    from: &'a str,
    to: &'a str,
    bytes: Option<u64>,
    from_nothing_bytes: Option<u64>,
    outcome: &'static str,
}

impl<'a> From<&'a AddedDelta> for AddedDocument<'a> {
    fn from(delta: &'a AddedDelta) -> AddedDocument<'a> {
        AddedDocument {
            from: delta.from.as_str(),
            to: delta.to.as_str(),
            bytes: delta.bytes,
            from_nothing_bytes: delta.from_nothing_bytes,
            outcome: match delta.outcome {
                DeltaOutcome::Added => "added",
                DeltaOutcome::There => "there",
                _ => "useless",
            },
        }
    }
}

fn add(arguments: &AddDeltasArguments, output: Output) -> Result<Exit, Failure> {
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let repository = place::open(&arguments.repo)?;
    let (pack, from) = (arguments.pack.clone(), arguments.from.clone());
    let mut options = AddDeltasOptions::new(pack, from, signing_time()?);
    options.to = arguments.to.clone();
    options.deltas = arguments.deltas.settings();
    let cancel = cancel_on_interrupt();
    let added = {
        let bar = output.bar("building", 0);
        repository.add_deltas(&keys, &options, &bar, &cancel)?
    };
    let document = AddDocument {
        pack: arguments.pack.as_str(),
        added: added.iter().map(AddedDocument::from).collect(),
    };
    output.result(&document, |out| {
        let mut table = Table::new(&["A DEVICE WITH", "GETS", ">FOR", ">INSTEAD OF", ""]);
        for delta in &document.added {
            let told = |count: Option<u64>| count.map_or("-".to_owned(), bytes);
            table.row([
                delta.from.to_owned(),
                delta.to.to_owned(),
                told(delta.bytes),
                told(delta.from_nothing_bytes),
                match delta.outcome {
                    "added" => "added".to_owned(),
                    "there" => "was there already".to_owned(),
                    _ => "not kept: it saves nothing".to_owned(),
                },
            ]);
        }
        table.write(out)
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct PlanDocument<'a> {
    pack: &'a str,
    to: &'a str,
    from_nothing_bytes: Option<u64>,
    worth: u64,
    devices: u64,
    unknown_devices: u64,
    releases: Vec<ReleaseDocument<'a>>,
    policies: Vec<PolicyDocument<'a>>,
    recommended: &'a str,
}

#[derive(Serialize)]
struct ReleaseDocument<'a> {
    release: &'a str,
    devices: u64,
    delta_bytes: Option<u64>,
    published: bool,
}

#[derive(Serialize)]
struct PolicyDocument<'a> {
    policy: &'a str,
    deltas: u64,
    stored_bytes: u64,
    fleet_bytes: u64,
    recommended: bool,
}

fn plan(arguments: &PlanDeltasArguments, output: Output) -> Result<Exit, Failure> {
    let path = &arguments.fleet;
    let text = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
    let fleet = Fleet::parse(&text).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Failure::new(Exit::Usage, "bad-fleet", message)
            .with_remedy("Write a label, a comma and a number of devices on each line.")
    })?;
    let repository = place::open(&arguments.repo)?;
    let mut options = SimulationOptions::new(arguments.pack.clone());
    options.to = arguments.to.clone();
    options.worth = arguments.worth;
    options.deltas = arguments.deltas.settings();
    let cancel = cancel_on_interrupt();
    let simulation = {
        let bar = output.bar("building", 0);
        repository.simulate(&fleet, &options, &bar, &cancel)?
    };
    let policies = simulation.policies.iter().enumerate();
    let recommended = simulation.policies.get(simulation.recommended);
    let document = PlanDocument {
        pack: arguments.pack.as_str(),
        to: simulation.to.as_str(),
        from_nothing_bytes: simulation.from_nothing_bytes,
        worth: simulation.worth,
        devices: fleet.total(),
        unknown_devices: simulation.strangers,
        releases: simulation
            .releases
            .iter()
            .map(|release| ReleaseDocument {
                release: release.label.as_str(),
                devices: release.devices,
                delta_bytes: release.delta_bytes,
                published: release.is_published,
            })
            .collect(),
        policies: policies
            .map(|(index, policy)| PolicyDocument {
                policy: &policy.policy,
                deltas: policy.deltas,
                stored_bytes: policy.stored_bytes,
                fleet_bytes: policy.fleet_bytes,
                recommended: index == simulation.recommended,
            })
            .collect(),
        recommended: recommended.map_or("", |policy| &policy.policy),
    };
    output.result(&document, |out| tell(&simulation, &document, out))?;
    Ok(Exit::Done)
}

fn tell(
    simulation: &Simulation,
    document: &PlanDocument<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let told = |count: Option<u64>| count.map_or("-".to_owned(), bytes);
    let mut table = Table::new(&["A DEVICE WITH", ">DEVICES", ">DELTA", ""]);
    for release in &document.releases {
        let note = if release.published {
            ""
        } else {
            "not published"
        };
        table.row([
            release.release.to_owned(),
            release.devices.to_string(),
            told(release.delta_bytes),
            note.to_owned(),
        ]);
    }
    let unknown = simulation.strangers.to_string();
    let nothing = told(simulation.from_nothing_bytes);
    table.row([
        "another, or none".to_owned(),
        unknown,
        nothing,
        String::new(),
    ]);
    table.write(out)?;
    writeln!(out)?;
    let mut table = Table::new(&[
        "POLICY",
        ">DELTAS",
        ">STORED",
        ">THE FLEET DOWNLOADS",
        ">COST",
        "",
    ]);
    for (policy, line) in simulation.policies.iter().zip(&document.policies) {
        let cost = u64::try_from(policy.cost).unwrap_or(u64::MAX);
        table.row([
            policy.policy.clone(),
            policy.deltas.to_string(),
            bytes(policy.stored_bytes),
            bytes(policy.fleet_bytes),
            bytes(cost),
            if line.recommended { "<" } else { "" }.to_owned(),
        ]);
    }
    table.write(out)?;
    let devices = counted(document.devices, "device");
    writeln!(
        out,
        "\ncost = what {devices} download to get {}, and {} times what is stored",
        simulation.to, simulation.worth
    )?;
    let least = simulation.policies.first();
    let best = simulation.policies.get(simulation.recommended);
    if let (Some(least), Some(best)) = (least, best) {
        let more = best.stored_bytes.saturating_sub(least.stored_bytes);
        let saved = least.fleet_bytes.saturating_sub(best.fleet_bytes);
        writeln!(
            out,
            "recommended: --delta-from {}, which stores {} more than {} and saves {} of downloads",
            best.policy,
            bytes(more),
            least.policy,
            bytes(saved)
        )?;
    }
    Ok(())
}
