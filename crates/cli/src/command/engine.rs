//! The delta engine by itself, on two files or two folders.

mod side;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use diff_core::{
    Applier, BuiltFile, ContentPath, Delta, DeltaStats, DeltaSummary, Differ, FileBytes, Limits,
    MappedFile, Method, Origin, Plan, PlannedFile, Sink, Tree, prove,
};
use serde::Serialize;

use crate::arguments::{ApplyArguments, DiffArguments};
use crate::aside::Aside;
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, Table, bytes, counted, percent};

use side::Side;

#[derive(Serialize)]
struct DiffDocument<'a> {
    delta: &'a Path,
    delta_bytes: u64,
    old_bytes: u64,
    new_bytes: u64,
    new_files: usize,
    built_files: u64,
    built_bytes: u64,
    unchanged_files: u64,
    moved_files: u64,
    methods: Vec<&'static str>,
    /// The methods and recompressors that applying needs.
    needs: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsDocument<'a>>,
}

#[derive(Serialize)]
struct StatsDocument<'a> {
    frame_bytes: u64,
    plan_bytes: u64,
    kinds: Vec<KindDocument<'a>>,
    files: Vec<BuiltFileDocument<'a>>,
}

/// All built files of one kind, which is what their names end in.
#[derive(Serialize)]
struct KindDocument<'a> {
    kind: &'a str,
    files: u64,
    bytes: u64,
    encoded_bytes: u64,
    streams: StreamsDocument,
    recipe_bytes: u64,
}

#[derive(Serialize)]
struct BuiltFileDocument<'a> {
    path: &'a str,
    kind: &'a str,
    bytes: u64,
    encoded_bytes: u64,
    /// Bytes of it that stand in its group's content, compressed streams opened.
    opened_bytes: u64,
    /// Bytes of it that are copied from old files without being decoded.
    copied_bytes: u64,
    streams: StreamsDocument,
    recipe_bytes: u64,
    methods: Vec<&'static str>,
    /// The old files that it is coded against, the closest first.
    counterparts: Vec<&'a str>,
    group_files: usize,
}

/// What became of compressed streams.
#[derive(Serialize, Default, Clone, Copy)]
struct StreamsDocument {
    opened: u64,
    copied: u64,
    closed: u64,
}

impl<'a> From<&'a DeltaStats> for StatsDocument<'a> {
    fn from(stats: &'a DeltaStats) -> StatsDocument<'a> {
        let file = |file: &'a BuiltFile| BuiltFileDocument {
            path: file.path.as_str(),
            kind: file.path.extension(),
            bytes: file.length,
            encoded_bytes: file.encoded_bytes,
            opened_bytes: file.opened_bytes,
            copied_bytes: file.copied_bytes,
            streams: StreamsDocument {
                opened: file.streams.opened,
                copied: file.streams.copied,
                closed: file.streams.closed,
            },
            recipe_bytes: file.recipe_bytes,
            methods: method_names(&file.methods),
            counterparts: file.counterparts.iter().map(ContentPath::as_str).collect(),
            group_files: file.group_files,
        };
        let files: Vec<BuiltFileDocument<'_>> = stats.files.iter().map(file).collect();
        StatsDocument {
            frame_bytes: stats.frame_bytes,
            plan_bytes: stats.plan_bytes,
            kinds: kinds(&files),
            files,
        }
    }
}

/// Adds the files of each kind up, the dearest kind first.
fn kinds<'a>(files: &[BuiltFileDocument<'a>]) -> Vec<KindDocument<'a>> {
    let mut kinds: BTreeMap<&str, KindDocument<'a>> = BTreeMap::new();
    for file in files {
        let kind = kinds.entry(file.kind).or_insert(KindDocument {
            kind: file.kind,
            files: 0,
            bytes: 0,
            encoded_bytes: 0,
            streams: StreamsDocument::default(),
            recipe_bytes: 0,
        });
        kind.files += 1;
        kind.bytes += file.bytes;
        kind.encoded_bytes += file.encoded_bytes;
        kind.streams.opened += file.streams.opened;
        kind.streams.copied += file.streams.copied;
        kind.streams.closed += file.streams.closed;
        kind.recipe_bytes += file.recipe_bytes;
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.encoded_bytes));
    kinds
}

fn method_names(methods: &[Method]) -> Vec<&'static str> {
    methods.iter().map(|method| method.name()).collect()
}

/// Makes a delta between two files or two folders, proves it, and puts it in its place.
pub(crate) fn diff(arguments: &DiffArguments, output: Output) -> Result<Exit, Failure> {
    let cancel = cancel_on_interrupt();
    let old = Side::read(&arguments.old, output, &cancel)?;
    let new = Side::read(&arguments.new, output, &cancel)?;
    if old.is_folder() != new.is_folder() {
        let message =
            "a delta is between two files or two folders, not between a file and a folder";
        return Err(Failure::new(Exit::Usage, "file-and-folder", message));
    }
    let (old_contents, new_contents) = (old.contents(), new.contents());
    let old_tree = Tree {
        listing: old.listing(),
        contents: &old_contents,
    };
    let new_tree = Tree {
        listing: new.listing(),
        contents: &new_contents,
    };
    let aside = Aside::beside(&arguments.delta)?;
    let summary = {
        let bar = output.bar("comparing", new.listing().total_bytes());
        let failed = |error: io::Error| Failure::io("write", &arguments.delta, &error);
        let mut out = BufWriter::new(File::create(aside.path()).map_err(failed)?);
        let settings = arguments.making.settings();
        let differ = Differ::new(old_tree, new_tree)
            .level(settings.level)
            .for_devices(&settings.abilities)
            .carry_digest(true)
            .progress(&bar)
            .cancel(&cancel);
        let summary = differ.write_to(&mut out)?;
        out.flush().map_err(failed)?;
        summary
    };
    {
        let bar = output.bar("proving", summary.built_bytes);
        let bytes = mapped(&aside.path())?;
        let limits = Limits::standard();
        prove(old_tree, new_tree, &bytes, &limits, &bar, &cancel)?;
    }
    aside.finish()?;
    tell_diff(arguments, &summary, &old, &new, output)
}

fn tell_diff(
    arguments: &DiffArguments,
    summary: &DeltaSummary,
    old: &Side,
    new: &Side,
    output: Output,
) -> Result<Exit, Failure> {
    let document = DiffDocument {
        delta: &arguments.delta,
        delta_bytes: summary.length,
        old_bytes: old.listing().total_bytes(),
        new_bytes: new.listing().total_bytes(),
        new_files: new.listing().entries().len(),
        built_files: summary.built_files,
        built_bytes: summary.built_bytes,
        unchanged_files: summary.unchanged_files,
        moved_files: summary.moved_files,
        methods: method_names(&summary.methods),
        needs: &summary.needs,
        stats: arguments.stats.then(|| StatsDocument::from(&summary.stats)),
    };
    output.result(&document, |out| {
        let (delta, new) = (document.delta_bytes, document.new_bytes);
        writeln!(
            out,
            "{delta} bytes, {} of the new {}",
            percent(delta, new),
            bytes(new)
        )?;
        writeln!(
            out,
            "{} built ({}), {} unchanged, {} moved or copied; needs {}",
            counted(document.built_files, "file"),
            bytes(document.built_bytes),
            document.unchanged_files,
            document.moved_files,
            document.needs.join(", ")
        )?;
        document
            .stats
            .as_ref()
            .map_or(Ok(()), |stats| write_stats(out, stats))
    })?;
    Ok(Exit::Done)
}

/// Writes what each kind and each built file cost, the dearest first.
fn write_stats(out: &mut dyn Write, stats: &StatsDocument<'_>) -> io::Result<()> {
    writeln!(out)?;
    let mut table = Table::new(&[
        ">IN THE DELTA",
        ">OF",
        ">FILES",
        "KIND",
        "STREAMS",
        ">RECIPES",
    ]);
    for kind in &stats.kinds {
        table.row([
            kind.encoded_bytes.to_string(),
            kind.bytes.to_string(),
            kind.files.to_string(),
            named(kind.kind),
            told(&kind.streams),
            kind.recipe_bytes.to_string(),
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    let mut files: Vec<_> = stats.files.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.encoded_bytes));
    let columns = [
        ">IN THE DELTA",
        ">OF",
        ">COPIED",
        "METHODS",
        "STREAMS",
        ">RECIPES",
        "FILE",
        "AGAINST",
    ];
    let mut table = Table::new(&columns);
    for file in files {
        let against = match file.counterparts.as_slice() {
            [] => String::new(),
            [first, rest @ ..] => {
                let first = if *first == file.path { "itself" } else { first };
                match rest.len() {
                    0 => first.to_owned(),
                    more => format!("{first} and {more} more"),
                }
            }
        };
        table.row([
            file.encoded_bytes.to_string(),
            file.bytes.to_string(),
            file.copied_bytes.to_string(),
            file.methods.join(", "),
            told(&file.streams),
            file.recipe_bytes.to_string(),
            file.path.to_owned(),
            against,
        ]);
    }
    let mut last = [const { String::new() }; 8];
    last[0] = stats.plan_bytes.to_string();
    last[6] = "(paths and plan)".to_owned();
    table.row(last);
    table.write(out)?;
    if stats.files.iter().any(|file| file.group_files > 1) {
        writeln!(
            out,
            "\nOf what is coded together by method solid, each file has what was written for it; other methods' bytes are shared by length."
        )?;
    }
    Ok(())
}

fn named(kind: &str) -> String {
    match kind {
        "" => "(none)".to_owned(),
        kind => format!(".{kind}"),
    }
}

/// Tells what became of compressed streams, nothing where there are none.
fn told(streams: &StreamsDocument) -> String {
    let parts = [
        (streams.opened, "opened"),
        (streams.copied, "copied"),
        (streams.closed, "closed"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    parts.join(", ")
}

#[derive(Serialize)]
struct ApplyDocument<'a> {
    new: &'a Path,
    new_bytes: u64,
    new_files: usize,
    built_bytes: u64,
}

/// Makes the new file or folder of the old one and a delta.
pub(crate) fn apply(arguments: &ApplyArguments, output: Output) -> Result<Exit, Failure> {
    let cancel = cancel_on_interrupt();
    let old = Side::read(&arguments.old, output, &cancel)?;
    let bytes_of_delta = mapped(&arguments.delta)?;
    let delta = Delta::parse(&bytes_of_delta, &Limits::standard())?;
    let plan = delta.plan(old.listing())?;
    let aside = Aside::beside_absent(&arguments.new)?;
    let contents = old.contents();
    let tree = Tree {
        listing: old.listing(),
        contents: &contents,
    };
    let place = Place {
        root: aside.path(),
        is_folder: old.is_folder(),
    };
    let listing = {
        let bar = output.bar("applying", plan.built_bytes());
        let applier = Applier::new(&delta, &plan, tree)
            .progress(&bar)
            .cancel(&cancel);
        place.prepare(&plan)?;
        applier.apply(&place)?
    };
    place.complete(&plan, &old)?;
    aside.finish()?;
    let document = ApplyDocument {
        new: &arguments.new,
        new_bytes: listing.total_bytes(),
        new_files: listing.entries().len(),
        built_bytes: plan.built_bytes(),
    };
    output.result(&document, |out| {
        let files = counted(document.new_files as u64, "file");
        writeln!(
            out,
            "{}: {files}, {}",
            arguments.new.display(),
            bytes(document.new_bytes)
        )
    })?;
    Ok(Exit::Done)
}

/// Where the new tree is written: a folder, or the one file that a delta of files makes.
struct Place {
    root: PathBuf,
    is_folder: bool,
}

impl Place {
    fn of(&self, path: &ContentPath) -> PathBuf {
        if self.is_folder {
            path.under(&self.root)
        } else {
            self.root.clone()
        }
    }

    /// Makes every folder of the new tree.
    fn prepare(&self, plan: &Plan) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::io("write", &self.root, &error);
        if !self.is_folder {
            let is_one_file = plan.files().len() == 1;
            return if is_one_file {
                Ok(())
            } else {
                Err(between_folders())
            };
        }
        fs::create_dir(&self.root).map_err(failed)?;
        for file in plan.files() {
            if let Some(parent) = self.of(&file.path).parent() {
                fs::create_dir_all(parent).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Adds what applying leaves to its caller: files that are as they were, or like a built one.
    fn complete(&self, plan: &Plan, old: &Side) -> Result<(), Failure> {
        for file in plan.files() {
            let from = match file.origin {
                Origin::Built => continue,
                Origin::SameAs(index) => plan.files().get(index).map(|same| self.of(&same.path)),
                Origin::Old(index) => old.path_of(index),
            };
            let from = from.ok_or_else(|| {
                Failure::new(
                    Exit::Refused,
                    "malformed-delta",
                    "the delta copies a file that is not there",
                )
            })?;
            fs::copy(&from, self.of(&file.path))
                .map_err(|error| Failure::io("copy", &from, &error))?;
        }
        Ok(())
    }
}

impl Sink for Place {
    fn create(&self, _index: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        let file = File::create_new(self.of(&file.path))?;
        Ok(Box::new(BufWriter::new(file)))
    }

    fn read(&self, _index: usize, file: &PlannedFile) -> io::Result<FileBytes> {
        MappedFile::open(&self.of(&file.path)).map(FileBytes::Mapped)
    }
}

fn between_folders() -> Failure {
    Failure::new(
        Exit::Usage,
        "file-and-folder",
        "the delta is between folders, and OLD is a file",
    )
}

fn mapped(path: &Path) -> Result<MappedFile, Failure> {
    MappedFile::open(path).map_err(|error| Failure::io("read", path, &error))
}

#[cfg(test)]
mod tests;
