//! A device's library: made, updated, looked at, and brought back.

mod document;
mod healing;
mod keeping;
mod labelling;
mod looking;
mod teller;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use diff_core::Digest;
use release_format::{DeviceLabels, PackName};
use serde::Serialize;
use updater_client::library::disk::RealDisk;
use updater_client::library::first_root;
use updater_client::library::layout::LibraryLayout;
use updater_client::{
    CancelToken, Check, FetchPolicy, Freshness, Https, Offer, Outcome, Route, UpdateError,
    UpdateOptions, Updated, Updater, UpdaterBuilder, Withheld, transport_to,
};

use crate::arguments::{
    CheckArguments, EnrollArguments, FailArguments, PackArguments, RevertArguments,
    SourceArguments, UpdateArguments, set_labels,
};
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::nearby::neighbours;
use crate::output::{Output, bytes, counted, percent};

use super::https::https;
use super::receipts::courier;
use document::{CheckDocument, EndedDocument, UpdateDocument};
pub(crate) use healing::heal;
pub(crate) use keeping::{hold, open, pin, prune, unhold, unpin};
pub(crate) use labelling::label;
pub(crate) use looking::{notes, path, status, verify};
use teller::Teller;

#[derive(Serialize)]
struct EnrollDocument<'a> {
    library: &'a Path,
    repository: &'a str,
    /// Further mirrors of the repository, in the order in which they are taken.
    mirrors: &'a [String],
    root_digest: String,
}

/// Makes a device library that trusts one repository's root.
pub(crate) fn enroll(arguments: &EnrollArguments, output: Output) -> Result<Exit, Failure> {
    let root =
        fs::read(&arguments.root).map_err(|error| Failure::io("read", &arguments.root, &error))?;
    let mut repositories = Vec::new();
    for address in &arguments.repository {
        let address = durable_address(address)?;
        // Refuses an address of no known kind now rather than at the first update.
        transport_to(&address, &Https::new())?;
        repositories.push(address);
    }
    let mut labels = DeviceLabels::default();
    set_labels(&mut labels, &arguments.labels)
        .map_err(|message| Failure::new(Exit::Usage, "usage", message))?;
    Updater::builder(&arguments.library)
        .labels(labels)
        .channel(arguments.channel.clone())
        .enroll(&root, repositories.clone())?;
    let (repository, mirrors) = match repositories.split_first() {
        Some((first, others)) => (first.as_str(), others),
        None => ("", &[][..]),
    };
    let document = EnrollDocument {
        library: &arguments.library,
        repository,
        mirrors,
        root_digest: diff_core::Digest::of(&root).to_string(),
    };
    output.result(&document, |out| {
        writeln!(out, "library      {}", arguments.library.display())?;
        writeln!(out, "repository   {repository}")?;
        for mirror in mirrors {
            writeln!(out, "mirror       {mirror}")?;
        }
        writeln!(out, "trusts root  {}", document.root_digest)
    })?;
    Ok(Exit::Done)
}

/// Says what is offered and what it would cost.
pub(crate) fn check(arguments: &CheckArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, Some(&arguments.source), output)?;
    let cancel = cancel_on_interrupt();
    let packs = chosen(&updater, arguments.pack.as_slice(), output)?;
    each(&packs, output, |pack| {
        let check = updater.check(pack, &cancel)?;
        let document = CheckDocument::new(pack, &check);
        output.result(&document, |out| {
            writeln!(out, "{}", check_told(pack, &check))?;
            if arguments.why {
                for ruling in &check.rulings {
                    writeln!(out, "  {ruling}")?;
                }
            }
            Ok(())
        })?;
        warn(pack, check.freshness, output);
        Ok(())
    })
}

/// Brings packs to the release that is offered.
pub(crate) fn update(arguments: &UpdateArguments, output: Output) -> Result<Exit, Failure> {
    let mut builder = builder(&arguments.library, Some(&arguments.source), output)?;
    if let Some(to) = &arguments.receipts_to {
        match courier(to, arguments.receipts_token_file.as_deref()) {
            Ok(courier) => builder = builder.receipts_to(courier),
            // A stick that is not there keeps no lesson back.
            Err(failed) if failed.exit == Exit::Unreachable => {
                output.warning(format!("receipts wait: {}", failed.message));
            }
            Err(failed) => return Err(failed),
        }
    }
    let updater = builder.build()?;
    let cancel = cancel_on_interrupt();
    let options = UpdateOptions {
        budget_bytes: arguments.budget.map(|budget| budget.0),
        stage_only: arguments.stage_only,
    };
    let packs = chosen(&updater, &arguments.packs, output)?;
    let mut is_held = false;
    let exit = each(&packs, output, |pack| {
        let held = update_one(&updater, pack, &options, &cancel, output)?;
        is_held |= held;
        Ok(())
    })?;
    Ok(match exit {
        Exit::Done if is_held => Exit::Busy,
        exit => exit,
    })
}

/// Brings one pack to the release that is offered; tells whether a hold keeps it from the switch.
/// What this client cannot apply is told, and fails.
fn update_one(
    updater: &Updater,
    pack: &PackName,
    options: &UpdateOptions,
    cancel: &CancelToken,
    output: Output,
) -> Result<bool, Failure> {
    let updated = updater.update(pack, options, cancel)?;
    let status = updater.status(pack)?;
    let document = UpdateDocument::new(pack, &updated, &status);
    output.result(&document, |out| {
        let active = status.record.active().map(|active| active.label.as_str());
        writeln!(out, "{}", update_told(pack, &updated, active))
    })?;
    warn(pack, updated.freshness, output);
    if let Outcome::Withheld(Withheld::Unsupported(lacking)) = &updated.outcome {
        let message = format!("{pack}: {lacking}");
        return Err(Failure::new(Exit::Unsupported, "client-too-old", message)
            .with_remedy("Install a newer Satchel."));
    }
    Ok(updated.held.is_some())
}

/// Says so where the answer may not be the newest.
fn warn(pack: &PackName, freshness: Freshness, output: Output) {
    match freshness {
        Freshness::Stale { age } => output.warning(format!(
            "{pack}: what the repository says expired {} ago; there may be something newer",
            counted(age.as_secs() / SECONDS_A_DAY, "day")
        )),
        Freshness::FreshnessUnknown { clock, at_least } => output.warning(format!(
            "{pack}: the clock shows {clock}, and it is {at_least} at least: set it, or nobody can \
             tell whether there is something newer"
        )),
        _ => {}
    }
}

/// Ends a trial well.
pub(crate) fn confirm(arguments: &PackArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    updater.confirm(&arguments.pack)?;
    tell_ended(&updater, &arguments.pack, "confirmed", output)
}

/// Ends a trial badly.
pub(crate) fn fail(arguments: &FailArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    updater.fail(&arguments.pack, &arguments.reason)?;
    tell_ended(&updater, &arguments.pack, "failed", output)
}

/// Goes back to the release before the active one.
pub(crate) fn revert(arguments: &RevertArguments, output: Output) -> Result<Exit, Failure> {
    let updater = opened(&arguments.library, None, output)?;
    updater.revert(&arguments.pack, &arguments.reason)?;
    tell_ended(&updater, &arguments.pack, "reverted", output)
}

fn tell_ended(
    updater: &Updater,
    pack: &PackName,
    outcome: &'static str,
    output: Output,
) -> Result<Exit, Failure> {
    let status = updater.status(pack)?;
    output.result(&EndedDocument::new(pack, outcome, &status), |out| {
        match (outcome, status.record.active()) {
            ("confirmed", Some(active)) => writeln!(out, "{pack}: {} is confirmed", active.label),
            (_, Some(active)) => writeln!(out, "{pack}: {} is active again", active.label),
            (_, None) => writeln!(
                out,
                "{pack}: nothing is active, as before the first install"
            ),
        }
    })?;
    Ok(Exit::Done)
}

/// Opens a library, to be told of what is done to it.
fn opened(
    library: &Path,
    source: Option<&SourceArguments>,
    output: Output,
) -> Result<Updater, Failure> {
    Ok(builder(library, source, output)?.build()?)
}

fn builder(
    library: &Path,
    source: Option<&SourceArguments>,
    output: Output,
) -> Result<UpdaterBuilder, Failure> {
    let mut builder = Updater::builder(library).observer(Arc::new(Teller::new(output)));
    if let Some(source) = source {
        if let Some(channel) = &source.channel {
            builder = builder.channel(channel.clone());
        }
        let https = https(&source.https)?;
        if let Some(address) = &source.from {
            let mirror = transport_to(address, &https)?;
            builder = match source.only {
                true => builder.repository(mirror),
                false => builder.prefer(mirror),
            };
        }
        if source.nearby {
            // Opening the library tells what is wrong with one that has no root.
            let first_root = first_root(library).ok();
            let found = first_root.map(|first_root| neighbours(&first_root, output));
            builder = builder.nearby(found.unwrap_or_default());
        }
        builder = builder.https(https).fetching(FetchPolicy {
            bytes_per_second: source.throttle.map(|throttle| throttle.0),
            ..FetchPolicy::default()
        });
    }
    Ok(builder)
}

/// Returns the digest by which mirrors of this library's repository are recognised.
fn first_root(library: &Path) -> Result<Digest, UpdateError> {
    let trust = LibraryLayout::new(library).trust();
    first_root::first_root(&RealDisk::new(), &trust)
}

/// Returns the packs that were named, or all that are installed.
fn chosen(updater: &Updater, named: &[PackName], output: Output) -> Result<Vec<PackName>, Failure> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let packs = updater.packs()?;
    if packs.is_empty() {
        output.message("no pack is installed; `satchel update LIBRARY PACK` installs one");
    }
    Ok(packs)
}

/// Does `work` for each pack, goes on after a failure, and returns the exit code of the first one.
fn each(
    packs: &[PackName],
    output: Output,
    mut work: impl FnMut(&PackName) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    if let [pack] = packs {
        return work(pack).map(|()| Exit::Done);
    }
    let mut exit = Exit::Done;
    for pack in packs {
        if let Err(mut failure) = work(pack) {
            failure.message = format!("{pack}: {}", failure.message);
            let failed = output.fail(&failure);
            if exit == Exit::Done {
                exit = failed;
            }
        }
    }
    Ok(exit)
}

/// Returns a repository's address as it holds whatever folder the device is later used from.
fn durable_address(address: &str) -> Result<String, Failure> {
    if address.contains("://") {
        return Ok(address.to_owned());
    }
    let absolute = std::path::absolute(address)
        .map_err(|error| Failure::io("find", Path::new(address), &error))?;
    absolute.into_os_string().into_string().map_err(|path| {
        let message = format!("{} is not UTF-8", path.display());
        Failure::new(Exit::Usage, "not-utf-8", message)
    })
}

fn route_told(route: &Route) -> String {
    if route.chunks.is_some() {
        return "missing chunks".to_owned();
    }
    match (route.is_full(), route.hops.len()) {
        (true, 1) => "a full download".to_owned(),
        (true, count) => format!("a full download in {count} deltas"),
        (false, 1) => "a delta".to_owned(),
        (false, count) => format!("{count} deltas in a row"),
    }
}

fn check_told(pack: &PackName, check: &Check) -> String {
    let installed = check
        .installed
        .as_ref()
        .map_or("nothing", |release| release.label.as_str());
    let leaving = check.leaving.as_ref().map_or(String::new(), |leaving| {
        format!("; {} was withdrawn: {}", leaving.label, leaving.reason)
    });
    let lacking = check
        .lacking
        .as_ref()
        .map_or(String::new(), |lacking| format!("; {lacking}"));
    let told = offer_told(pack, check, installed);
    match check.offer {
        Offer::Withheld(_) => told,
        _ => format!("{told}{leaving}{lacking}{}", too_long_told(check)),
    }
}

fn too_long_told(check: &Check) -> String {
    check.too_long.as_ref().map_or(String::new(), |long| {
        let refusal = UpdateError::from(long.clone());
        format!("\n  refused: {refusal}. {}", refusal.remedy())
    })
}

fn offer_told(pack: &PackName, check: &Check, installed: &str) -> String {
    match (&check.offer, &check.plan) {
        (Offer::Shadow(release), _) => format!(
            "{pack}: stays on {installed}; {} is to be rebuilt and checked, and not switched to",
            release.label
        ),
        (Offer::Current, _) => format!("{pack}: up to date with {installed}"),
        (Offer::Withheld(why), _) => format!("{pack}: stays on {installed}: {why}"),
        (Offer::Release(release), Some(plan)) => {
            let route = &plan.route;
            let mut told = format!(
                "{pack}: {installed} -> {}, {} of {} ({} of the tree) in {}; {} needed on disk, {} free",
                release.label,
                route_told(route),
                bytes(route.fetch_bytes()),
                percent(route.fetch_bytes(), release.tree_bytes),
                counted(route.requests(), "request"),
                bytes(check.needed_bytes),
                bytes(check.available_bytes)
            );
            for other in &plan.alternatives {
                let (way, fetch) = (route_told(other), bytes(other.fetch_bytes()));
                let requests = counted(other.requests(), "request");
                told.push_str(&format!("\n  otherwise {way} of {fetch} in {requests}"));
            }
            told
        }
        (Offer::Release(release), None) if check.leaving.is_some() => {
            format!(
                "{pack}: {installed} -> {}, back to what lies here",
                release.label
            )
        }
        (Offer::Release(release), None) => {
            format!(
                "{pack}: {installed} -> {}, staged already: nothing to fetch",
                release.label
            )
        }
        _ => format!("{pack}: stays on {installed}"),
    }
}

fn update_told(pack: &PackName, updated: &Updated, active: Option<&str>) -> String {
    let active = active.unwrap_or("nothing");
    let (requests, received) = (updated.traffic.requests, updated.traffic.bytes);
    let traffic = format!(
        "fetched {} in {}",
        bytes(received),
        counted(requests, "request")
    );
    match &updated.outcome {
        Outcome::Current => format!("{pack}: up to date with {active}"),
        Outcome::Withheld(why) => format!("{pack}: stays on {active}: {why}"),
        Outcome::Staged(release) => {
            let held = updated.held.as_ref().map_or(String::new(), |hold| {
                format!(", held until {}: {}", hold.until, hold.reason)
            });
            format!(
                "{pack}: {} is staged, {active} stays active{held}; {traffic}",
                release.label
            )
        }
        Outcome::Shadowed {
            release,
            damaged: 0,
        } => format!(
            "{pack}: stays on {active}; {} was rebuilt and is sound; {traffic}",
            release.label
        ),
        Outcome::Shadowed { release, damaged } => format!(
            "{pack}: stays on {active}; {} was rebuilt, and {} not as they should be",
            release.label,
            counted(*damaged, "file")
        ),
        Outcome::Returned(release) => format!(
            "{pack}: {} is active again, what came after it was withdrawn; nothing was fetched of it",
            release.label
        ),
        Outcome::Activated(release) => {
            format!(
                "{pack}: {} is active, on trial until it is confirmed; {traffic}",
                release.label
            )
        }
        _ => format!("{pack}: {active} is active; {traffic}"),
    }
}

/// Returns the failure of a pack that has no active release.
fn not_installed(pack: &PackName) -> Failure {
    UpdateError::NotInstalled { pack: pack.clone() }.into()
}

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use satchel_tests::rig::course::Course;
    use satchel_tests::rig::sim::{Script, SimDisk};
    use satchel_tests::rig::world::World;

    use super::*;

    #[test]
    fn a_check_tells_of_a_file_that_the_disk_cannot_hold() {
        let world = World::new();
        let mut course = Course::tiny();
        course.put("media/lecture.mp4", vec![7; 40_000]);
        world.publish("1.0", &course);
        let device = world.device();
        let checked = |file_limit| {
            let script = Script {
                file_limit,
                ..Script::default()
            };
            let disk = Arc::new(SimDisk::new(script));
            let updater = device.builder().disk(disk).build().unwrap();
            updater.check(world.pack(), &CancelToken::new()).unwrap()
        };
        let check = checked(Some(30_000));
        let told = check_told(world.pack(), &check);
        let (plan, refusal) = told.split_once('\n').unwrap();
        assert!(plan.contains("nothing -> 1.0"), "{told}");
        let expected = format!(
            "  refused: media/lecture.mp4 has 40000 bytes, a file at {} can have 30000. ",
            device.layout().root().display()
        );
        assert!(refusal.starts_with(&expected), "{told}");
        assert!(refusal.contains("FAT32"), "{told}");
        let document = CheckDocument::new(world.pack(), &check);
        let document = serde_json::to_value(document).unwrap();
        let long = serde_json::json!({
            "path": "media/lecture.mp4", "bytes": 40_000, "limit_bytes": 30_000
        });
        assert_eq!(document["too_long"], long);

        let check = checked(None);
        let told = check_told(world.pack(), &check);
        assert!(!told.contains("refused"), "{told}");
        let document = serde_json::to_value(CheckDocument::new(world.pack(), &check)).unwrap();
        assert!(document["too_long"].is_null());
    }
}
