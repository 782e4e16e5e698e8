//! Making repositories and releases.

use std::path::{Path, PathBuf};

use publisher::{
    DeltaReport, LintReport, Outcome, Problem, PublishOptions, Published, Repository, Severity,
};
use release_format::{Label, UtcTime};
use serde::Serialize;
use updater_client::{Clock, SystemClock};

use crate::arguments::{InitArguments, LintArguments, PublishArguments};
use crate::command::custody::{key_store, signing_keys};
use crate::command::place;
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, Table, bytes, counted, percent};

#[derive(Serialize)]
struct InitDocument<'a> {
    repository: &'a Path,
    keys: &'a Path,
    generated_keys: &'a [String],
    /// The root metadata that devices pin.
    root: PathBuf,
    root_digest: String,
}

/// Makes a new repository, and the keys that it lacks.
pub(crate) fn init(arguments: &InitArguments, output: Output) -> Result<Exit, Failure> {
    let keys = key_store(&arguments.repo, arguments.keys.as_deref(), None)?;
    let made = match place::bucket(&arguments.repo)? {
        Some(storage) => Repository::init_in(&*storage, &keys, signing_time()?)?,
        None => Repository::init(&arguments.repo, &keys, signing_time()?)?,
    };
    let document = InitDocument {
        repository: &arguments.repo,
        keys: keys.path(),
        generated_keys: &made.generated_keys,
        root: joined(&arguments.repo, &made.root_location),
        root_digest: made.root_digest.to_string(),
    };
    output.result(&document, |out| {
        writeln!(out, "repository   {}", arguments.repo.display())?;
        writeln!(out, "keys         {}", keys.path().display())?;
        writeln!(out, "root to pin  {}", document.root.display())?;
        writeln!(out, "its digest   {}", document.root_digest)
    })?;
    output.message("Each role has one key, and one signature is enough: right for a trial.");
    output.message("Keep the keys of root and targets offline before devices depend on them.");
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct PublishDocument<'a> {
    outcome: &'static str,
    content_version: String,
    pack: &'a str,
    release: &'a str,
    sequence: u64,
    manifest: String,
    channel: &'a str,
    share: String,
    files: u64,
    tree_bytes: u64,
    archive_bytes: u64,
    stored_bytes: u64,
    deltas: Vec<DeltaDocument<'a>>,
    downloads: Vec<DownloadDocument<'a>>,
    delegated: bool,
    generated_keys: &'a [String],
    problems: Vec<ProblemDocument<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct DeltaDocument<'a> {
    /// The older release; null for a first install.
    from: Option<&'a str>,
    bytes: u64,
    built_bytes: u64,
    published: bool,
}

#[derive(Serialize)]
struct DownloadDocument<'a> {
    from: &'a str,
    bytes: u64,
}

impl<'a> From<&'a DeltaReport> for DeltaDocument<'a> {
    fn from(delta: &'a DeltaReport) -> DeltaDocument<'a> {
        DeltaDocument {
            from: delta.from.as_ref().map(|label| label.as_str()),
            bytes: delta.bytes,
            built_bytes: delta.built_bytes,
            published: delta.is_published,
        }
    }
}

/// Publishes a folder as the next release of a pack.
pub(crate) fn publish(arguments: &PublishArguments, output: Output) -> Result<Exit, Failure> {
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let repository = place::open(&arguments.repo)?;
    let mut options = PublishOptions::new(
        arguments.pack.clone(),
        arguments.release.clone(),
        signing_time()?,
    );
    options.channel = arguments.channel.clone();
    options.share = arguments.share;
    options.delta_from = arguments.delta_from.from.clone();
    options.pays_bytes = arguments.delta_from.pays_bytes;
    for notes in &arguments.notes {
        match &notes.language {
            Some(language) => {
                let translation = (language.clone(), notes.file.clone());
                options.translations.push(translation);
            }
            None if options.notes.is_none() => options.notes = Some(notes.file.clone()),
            None => {
                let message = "--notes was given twice without a language: say en=FILE and fr=FILE";
                return Err(Failure::new(Exit::Usage, "notes-twice", message));
            }
        }
    }
    options.offline_grace_days = arguments.offline_grace;
    options.deltas = arguments.deltas.settings();
    let cancel = cancel_on_interrupt();
    let published = {
        let bar = output.bar("publishing", 0);
        repository.publish(&arguments.folder, &keys, &options, &bar, &cancel)?
    };
    for problem in &published.problems {
        output.warning(problem.to_string());
    }
    for warning in &published.warnings {
        output.warning(warning);
    }
    if published.delegated {
        let tenant = arguments.pack.tenant();
        output.message(format!(
            "{tenant} is new here: its packs are delegated to its own keys"
        ));
    }
    if !published.generated_keys.is_empty() {
        output.message(format!(
            "made keys for {}",
            published.generated_keys.join(", ")
        ));
    }
    output.result(
        &publish_document(arguments, &published),
        |out| match published.outcome {
            Outcome::New => {
                writeln!(out, "published {}", published.content_version)?;
                let files = counted(published.files, "file");
                writeln!(
                    out,
                    "{files}, {}, release number {}\n",
                    bytes(published.tree_bytes),
                    published.sequence
                )?;
                delta_table(&published).write(out)?;
                let deltas = published.deltas.iter().filter(|delta| delta.is_published);
                writeln!(
                    out,
                    "\nadded to the repository: {}, of which archives {}, deltas {}",
                    bytes(published.stored_bytes),
                    bytes(published.archive_bytes),
                    bytes(deltas.map(|delta| delta.bytes).sum())
                )
            }
            Outcome::Unchanged => {
                writeln!(
                    out,
                    "nothing to publish: the folder is {}",
                    published.content_version
                )
            }
        },
    )?;
    Ok(Exit::Done)
}

fn publish_document<'a>(
    arguments: &'a PublishArguments,
    published: &'a Published,
) -> PublishDocument<'a> {
    let version = &published.content_version;
    PublishDocument {
        outcome: match published.outcome {
            Outcome::New => "new",
            Outcome::Unchanged => "unchanged",
        },
        content_version: version.to_string(),
        pack: version.pack.as_str(),
        release: version.label.as_str(),
        sequence: published.sequence,
        manifest: published.manifest.to_string(),
        channel: arguments.channel.as_str(),
        share: arguments.share.to_string(),
        files: published.files,
        tree_bytes: published.tree_bytes,
        archive_bytes: published.archive_bytes,
        stored_bytes: published.stored_bytes,
        deltas: published.deltas.iter().map(DeltaDocument::from).collect(),
        downloads: published
            .downloads
            .iter()
            .map(|(from, bytes)| DownloadDocument {
                from: from.as_str(),
                bytes: *bytes,
            })
            .collect(),
        delegated: published.delegated,
        generated_keys: &published.generated_keys,
        problems: published
            .problems
            .iter()
            .map(ProblemDocument::from)
            .collect(),
        warnings: &published.warnings,
    }
}

fn delta_table(published: &Published) -> Table {
    let mut table = Table::new(&[
        "A DEVICE WITH",
        ">DOWNLOADS",
        ">OF THE TREE",
        ">WRITES ANEW",
    ]);
    for delta in &published.deltas {
        let from = delta
            .from
            .as_ref()
            .map_or("nothing", |label| label.as_str());
        // Where no delta pays, the one from nothing serves.
        let note = if delta.is_published {
            ""
        } else {
            " (not kept)"
        };
        table.row([
            format!("{from}{note}"),
            bytes(delta.bytes),
            percent(delta.bytes, published.tree_bytes),
            bytes(delta.built_bytes),
        ]);
    }
    // Releases that no delta was built from: others lead there, or the one from nothing.
    let has_delta = |label: &Label| {
        let mut deltas = published.deltas.iter();
        deltas.any(|delta| delta.from.as_ref() == Some(label))
    };
    for (label, count) in published
        .downloads
        .iter()
        .filter(|(label, _)| !has_delta(label))
    {
        table.row([
            label.to_string(),
            bytes(*count),
            percent(*count, published.tree_bytes),
            "-".to_owned(),
        ]);
    }
    table
}

#[derive(Serialize)]
struct LintDocument<'a> {
    folder: &'a Path,
    files: u64,
    bytes: u64,
    publishable: bool,
    problems: Vec<ProblemDocument<'a>>,
}

#[derive(Serialize)]
struct ProblemDocument<'a> {
    path: &'a str,
    severity: &'static str,
    rule: &'static str,
    message: String,
}

impl<'a> From<&'a Problem> for ProblemDocument<'a> {
    fn from(problem: &'a Problem) -> ProblemDocument<'a> {
        ProblemDocument {
            path: &problem.path,
            severity: severity_name(problem.severity()),
            rule: problem.rule.code(),
            message: problem.rule.to_string(),
        }
    }
}

/// Says what keeps a folder from being installed everywhere.
pub(crate) fn lint(arguments: &LintArguments, output: Output) -> Result<Exit, Failure> {
    let report = publisher::lint(&arguments.folder)?;
    let document = LintDocument {
        folder: &arguments.folder,
        files: report.files,
        bytes: report.bytes,
        publishable: report.is_publishable(),
        problems: report.problems.iter().map(ProblemDocument::from).collect(),
    };
    output.result(&document, |out| {
        if !report.problems.is_empty() {
            problem_table(&report).write(out)?;
            writeln!(out)?;
        }
        writeln!(out, "{}", lint_summary(&report))
    })?;
    Ok(if report.is_publishable() {
        Exit::Done
    } else {
        Exit::Other
    })
}

fn problem_table(report: &LintReport) -> Table {
    let mut table = Table::new(&["SEVERITY", "PATH", "PROBLEM"]);
    for problem in &report.problems {
        table.row([
            severity_name(problem.severity()).to_owned(),
            format!("{:?}", problem.path),
            problem.rule.to_string(),
        ]);
    }
    table
}

fn lint_summary(report: &LintReport) -> String {
    let tree = format!("{}, {}", counted(report.files, "file"), bytes(report.bytes));
    let (errors, warnings) = (
        report.errors().count() as u64,
        report.warnings().count() as u64,
    );
    let (told_errors, told_warnings) = (counted(errors, "error"), counted(warnings, "warning"));
    match (errors, warnings) {
        (0, 0) => format!("{tree}: ready to publish"),
        (0, _) => format!("{tree}: ready to publish, with {told_warnings}"),
        _ => format!("{tree}: {told_errors}, {told_warnings}; cannot be published"),
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Returns the time to sign: of `SOURCE_DATE_EPOCH` where it is set, so that a build can be repeated.
pub(super) fn signing_time() -> Result<UtcTime, Failure> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(SystemClock.now());
    };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    seconds.map(UtcTime::from_seconds).ok_or_else(|| {
        let message = format!(
            "SOURCE_DATE_EPOCH is no number of seconds: {}",
            text.display()
        );
        Failure::new(Exit::Usage, "source-date-epoch", message)
    })
}

/// Returns where a location of the repository lies, in the platform's own spelling.
fn joined(repo: &Path, location: &str) -> PathBuf {
    let mut path = repo.to_path_buf();
    path.extend(location.split('/'));
    path
}
