//! Looking at repositories.

use std::io::{self, Write};
use std::path::Path;

use diff_core::Digest;
use publisher::{AuditOptions, AuditProblem};
use release_format::{
    Catalogue, CatalogueRelease, ClientVersion, FeatureFlag, Language, Mode, PackName,
    ReleaseStatus, Rollout, UtcTime, Withdrawal,
};
use serde::Serialize;

use crate::arguments::{AuditArguments, RepositoryArguments, ShowArguments};
use crate::command::history::{self, LogDocument};
use crate::command::place;
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Table, bytes, counted, percent};

#[derive(Serialize)]
struct ListDocument<'a> {
    repository: &'a Path,
    packs: Vec<PackDocument>,
}

#[derive(Serialize)]
struct PackDocument {
    pack: PackName,
    releases: usize,
    /// The newest release that was published, whether or not a channel offers it.
    latest: Option<String>,
    tree_bytes: u64,
    channels: Vec<ChannelDocument>,
}

#[derive(Serialize)]
pub(super) struct ChannelDocument {
    channel: String,
    release: String,
    manifest: Digest,
    share: String,
    halted: bool,
    /// Why it is halted; empty where nobody said.
    halt_reason: String,
    mode: Mode,
    select: String,
    starts: Option<UtcTime>,
    since: Option<UtcTime>,
    minimum_client: Option<ClientVersion>,
    flags: Vec<FeatureFlag>,
    withdrawn: Vec<Withdrawal>,
}

impl From<&Rollout> for ChannelDocument {
    fn from(rollout: &Rollout) -> ChannelDocument {
        ChannelDocument {
            channel: rollout.channel.to_string(),
            release: rollout.label.to_string(),
            manifest: rollout.release,
            share: rollout.share.to_string(),
            halted: rollout.halted,
            halt_reason: rollout.halt_reason.clone(),
            mode: rollout.mode,
            select: rollout.select.to_string(),
            starts: rollout.starts,
            since: rollout.since,
            minimum_client: rollout.minimum_client(&rollout.release),
            flags: rollout.flags.clone(),
            withdrawn: rollout.withdrawn.clone(),
        }
    }
}

impl ChannelDocument {
    fn told(&self) -> String {
        let halted = if self.halted { ", halted" } else { "" };
        format!("{} {} ({}{halted})", self.channel, self.release, self.share)
    }
}

/// Lists a repository's packs.
pub(crate) fn list(arguments: &RepositoryArguments, output: Output) -> Result<Exit, Failure> {
    let repository = place::open(&arguments.repo)?;
    let mut packs = Vec::new();
    for pack in repository.packs()? {
        let catalogue = repository.catalogue(&pack)?;
        packs.push(PackDocument {
            releases: catalogue.releases.len(),
            latest: catalogue.latest().map(|release| release.label.to_string()),
            tree_bytes: catalogue.latest().map_or(0, |release| release.tree_bytes),
            channels: repository
                .rollouts(&pack)?
                .iter()
                .map(ChannelDocument::from)
                .collect(),
            pack,
        });
    }
    let document = ListDocument {
        repository: &arguments.repo,
        packs,
    };
    output.result(&document, |out| {
        if document.packs.is_empty() {
            return writeln!(out, "no packs yet");
        }
        let mut table = Table::new(&["PACK", ">RELEASES", "LATEST", ">TREE", "CHANNELS"]);
        for pack in &document.packs {
            let channels: Vec<_> = pack.channels.iter().map(ChannelDocument::told).collect();
            table.row([
                pack.pack.to_string(),
                pack.releases.to_string(),
                pack.latest.clone().unwrap_or_default(),
                bytes(pack.tree_bytes),
                channels.join(", "),
            ]);
        }
        table.write(out)
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct ShowDocument<'a> {
    pack: &'a PackName,
    channels: &'a [ChannelDocument],
    /// As the format of catalogues has them.
    releases: Vec<&'a CatalogueRelease>,
}

/// Shows a pack's releases, or one of them with its deltas.
pub(crate) fn show(arguments: &ShowArguments, output: Output) -> Result<Exit, Failure> {
    if let Some(at) = arguments.at {
        return history::show_at(arguments, at, output);
    }
    let repository = place::open(&arguments.repo)?;
    let pack = &arguments.pack.pack;
    let catalogue = repository.catalogue(pack)?;
    let rollouts = repository.rollouts(pack)?;
    let channels: Vec<_> = rollouts.iter().map(ChannelDocument::from).collect();
    let releases = match &arguments.pack.label {
        None => catalogue.releases.iter().collect(),
        Some(label) => vec![catalogue.labelled(label).ok_or_else(|| {
            publisher::PublishError::UnknownLabel {
                pack: pack.clone(),
                label: label.clone(),
            }
        })?],
    };
    if arguments.notes.is_some() || arguments.sbom || arguments.provenance {
        return document(arguments, &repository, &catalogue, output);
    }
    let document = ShowDocument {
        pack,
        channels: &channels,
        releases,
    };
    output.result(&document, |out| {
        match (&arguments.pack.label, document.releases.as_slice()) {
            (Some(_), [release]) => write_release(out, &catalogue, release, &channels),
            _ => write_releases(out, &document),
        }
    })?;
    Ok(Exit::Done)
}

/// Prints a document of a release: of the newest one unless another is named.
fn document(
    arguments: &ShowArguments,
    repository: &publisher::Repository,
    catalogue: &Catalogue,
    output: Output,
) -> Result<Exit, Failure> {
    let label = arguments.pack.label.as_ref();
    let release = match label {
        Some(label) => catalogue.labelled(label),
        None => catalogue.latest(),
    };
    let none = |what: &str| {
        let message = format!("{} has no {what}", arguments.pack.pack);
        Failure::new(Exit::Other, "no-document", message)
    };
    let release = release.ok_or_else(|| none("release that is not withdrawn"))?;
    let (what, reference) = if arguments.sbom {
        ("list of contents", release.sbom)
    } else if arguments.provenance {
        ("statement of its origin", release.provenance)
    } else {
        let best = Language::best(arguments.notes.as_slice(), release.translations.keys());
        let found = best.and_then(|language| release.translations.get(language));
        ("notes", found.copied().or(release.notes))
    };
    let reference = reference.ok_or_else(|| none(what))?;
    let text = String::from_utf8_lossy(&repository.document(&reference)?).into_owned();
    let document = TextDocument {
        pack: &arguments.pack.pack,
        release: release.label.as_str(),
        digest: reference.digest,
        text: &text,
    };
    output.result(&document, |out| writeln!(out, "{}", text.trim_end()))?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct TextDocument<'a> {
    pack: &'a PackName,
    release: &'a str,
    digest: Digest,
    text: &'a str,
}

fn write_releases(out: &mut dyn Write, document: &ShowDocument<'_>) -> io::Result<()> {
    let mut table = Table::new(&[
        "RELEASE",
        ">NUMBER",
        "PUBLISHED",
        ">FILES",
        ">TREE",
        ">FIRST INSTALL",
        ">FROM THE LAST",
        "STATUS",
    ]);
    let mut before: Option<Digest> = None;
    for release in &document.releases {
        let length = |from: Option<Digest>| {
            let delta = release.deltas.iter().find(|delta| delta.from == from);
            delta.map_or_else(|| "-".to_owned(), |delta| bytes(delta.content.length))
        };
        let from_last = before.map_or_else(|| "-".to_owned(), |manifest| length(Some(manifest)));
        before = Some(release.manifest.digest);
        table.row([
            release.label.to_string(),
            release.sequence.to_string(),
            release.published.to_string(),
            release.files.to_string(),
            bytes(release.tree_bytes),
            length(None),
            from_last,
            status(release, document.channels),
        ]);
    }
    table.write(out)
}

fn write_release(
    out: &mut dyn Write,
    catalogue: &Catalogue,
    release: &CatalogueRelease,
    channels: &[ChannelDocument],
) -> io::Result<()> {
    writeln!(out, "release    {}@{}", catalogue.pack, release.label)?;
    writeln!(out, "manifest   {}", release.manifest.digest)?;
    writeln!(out, "number     {}", release.sequence)?;
    writeln!(out, "published  {}", release.published)?;
    writeln!(
        out,
        "tree       {}, {}",
        counted(release.files, "file"),
        bytes(release.tree_bytes)
    )?;
    let archives: u64 = release.archives.iter().map(|archive| archive.length).sum();
    writeln!(
        out,
        "archives   {}, {}",
        release.archives.len(),
        bytes(archives)
    )?;
    writeln!(out, "status     {}\n", status(release, channels))?;
    let mut table = Table::new(&[
        "A DEVICE WITH",
        ">DOWNLOADS",
        ">OF THE TREE",
        ">WRITES ANEW",
        "METHODS",
    ]);
    for delta in &release.deltas {
        let from = delta.from.and_then(|manifest| catalogue.release(&manifest));
        table.row([
            from.map_or_else(|| "nothing".to_owned(), |from| from.label.to_string()),
            bytes(delta.content.length),
            percent(delta.content.length, release.tree_bytes),
            bytes(delta.built_bytes),
            delta.methods.join(", "),
        ]);
    }
    table.write(out)
}

fn status(release: &CatalogueRelease, channels: &[ChannelDocument]) -> String {
    match &release.status {
        ReleaseStatus::Withdrawn { reason } => format!("withdrawn: {reason}"),
        ReleaseStatus::Offered => {
            let offering = channels
                .iter()
                .filter(|channel| channel.manifest == release.manifest.digest);
            let told: Vec<_> = offering
                .map(|channel| {
                    let halted = if channel.halted { ", halted" } else { "" };
                    format!("{} ({}{halted})", channel.channel, channel.share)
                })
                .collect();
            if told.is_empty() {
                "not offered by a channel".to_owned()
            } else {
                told.join(", ")
            }
        }
    }
}

#[derive(Serialize)]
struct AuditDocument<'a> {
    repository: &'a Path,
    sound: bool,
    files: u64,
    bytes: u64,
    releases: u64,
    problems: Vec<AuditProblemDocument<'a>>,
    log: LogDocument<'a>,
    unreferenced: &'a [String],
}

#[derive(Serialize)]
struct AuditProblemDocument<'a> {
    location: &'a str,
    expected: &'a str,
    found: &'a str,
}

impl<'a> From<&'a AuditProblem> for AuditProblemDocument<'a> {
    fn from(problem: &'a AuditProblem) -> AuditProblemDocument<'a> {
        AuditProblemDocument {
            location: &problem.location,
            expected: &problem.expected,
            found: &problem.found,
        }
    }
}

/// Checks a repository as a device would, and more.
pub(crate) fn audit(arguments: &AuditArguments, output: Output) -> Result<Exit, Failure> {
    let mut options = AuditOptions::at(signing_time()?);
    options.apply_deltas = arguments.apply;
    options.seen = arguments.seen.clone().map(|seen| seen.0);
    let report = match place::bucket(&arguments.repo)? {
        Some(storage) => publisher::audit_in(&*storage, &options)?,
        None => publisher::audit(&arguments.repo, &options)?,
    };
    let document = AuditDocument {
        repository: &arguments.repo,
        sound: report.is_sound(),
        files: report.files,
        bytes: report.bytes,
        releases: report.releases,
        problems: report
            .problems
            .iter()
            .map(AuditProblemDocument::from)
            .collect(),
        log: LogDocument::of(&report.log, arguments.log),
        unreferenced: &report.unreferenced,
    };
    for location in &report.unreferenced {
        output.detail(format!("nothing refers to {location}"));
    }
    output.result(&document, |out| {
        if arguments.log {
            document.log.write(out)?;
        }
        if !report.problems.is_empty() {
            let mut table = Table::new(&["FILE", "EXPECTED", "FOUND"]);
            for problem in &report.problems {
                table.row([
                    problem.location.clone(),
                    problem.expected.clone(),
                    problem.found.clone(),
                ]);
            }
            table.write(out)?;
            writeln!(out)?;
        }
        let checked = format!(
            "{} of {}",
            counted(report.files, "file"),
            counted(report.releases, "release")
        );
        let unreferenced = report.unreferenced.len();
        let verdict = match report.problems.len() as u64 {
            0 => "sound".to_owned(),
            count => counted(count, "fault"),
        };
        document.log.write_head(out)?;
        writeln!(
            out,
            "{checked}, {}: {verdict}; {unreferenced} unreferenced",
            bytes(report.bytes)
        )
    })?;
    Ok(if report.is_sound() {
        Exit::Done
    } else {
        Exit::Damage
    })
}
