//! The delta engine by itself, on two files or two folders.

mod side;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use diff_core::{
    Applier, BuiltFile, ContentPath, Delta, DeltaStats, DeltaSummary, Differ, Level, Limits,
    MappedFile, Method, Origin, Plan, PlannedFile, Sink, Tree, prove,
};
use serde::Serialize;

use crate::arguments::{ApplyArguments, DiffArguments, Strength};
use crate::aside::Aside;
use crate::failure::{Exit, Failure};
use crate::interrupt::cancel_on_interrupt;
use crate::output::{Output, Table, bytes, counted, percent};

use side::Side;

impl From<Strength> for Level {
    fn from(strength: Strength) -> Level {
        match strength {
            Strength::Fast => Level::Fast,
            Strength::Default => Level::Default,
            Strength::Best => Level::Best,
        }
    }
}

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
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsDocument<'a>>,
}

#[derive(Serialize)]
struct StatsDocument<'a> {
    frame_bytes: u64,
    plan_bytes: u64,
    files: Vec<BuiltFileDocument<'a>>,
}

#[derive(Serialize)]
struct BuiltFileDocument<'a> {
    path: &'a str,
    bytes: u64,
    encoded_bytes: u64,
    methods: Vec<&'static str>,
    /// The old file that it is coded against, where one can be told.
    counterpart: Option<&'a str>,
    group_files: usize,
}

impl<'a> From<&'a DeltaStats> for StatsDocument<'a> {
    fn from(stats: &'a DeltaStats) -> StatsDocument<'a> {
        let file = |file: &'a BuiltFile| BuiltFileDocument {
            path: file.path.as_str(),
            bytes: file.length,
            encoded_bytes: file.encoded_bytes,
            methods: method_names(&file.methods),
            counterpart: file.counterpart.as_ref().map(ContentPath::as_str),
            group_files: file.group_files,
        };
        StatsDocument {
            frame_bytes: stats.frame_bytes,
            plan_bytes: stats.plan_bytes,
            files: stats.files.iter().map(file).collect(),
        }
    }
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
        let differ = Differ::new(old_tree, new_tree)
            .level(arguments.level.into())
            .carry_digest(true)
            .progress(&bar)
            .cancel(&cancel);
        let summary = differ.write_to(&mut out)?;
        out.flush().map_err(failed)?;
        summary
    };
    let stats = {
        let bar = output.bar("proving", summary.built_bytes);
        let limits = Limits::standard();
        let bytes = mapped(&aside.path())?;
        prove(old_tree, new_tree, &bytes, &limits, &bar, &cancel)?;
        let delta = Delta::parse(&bytes, &limits)?;
        let plan = delta.plan(old.listing())?;
        arguments
            .stats
            .then(|| DeltaStats::of(&delta, &plan, old.listing()))
    };
    aside.finish()?;
    tell_diff(arguments, &summary, stats.as_ref(), &old, &new, output)
}

fn tell_diff(
    arguments: &DiffArguments,
    summary: &DeltaSummary,
    stats: Option<&DeltaStats>,
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
        stats: stats.map(StatsDocument::from),
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
            "{} built ({}), {} unchanged, {} moved or copied; methods: {}",
            counted(document.built_files, "file"),
            bytes(document.built_bytes),
            document.unchanged_files,
            document.moved_files,
            document.methods.join(", ")
        )?;
        stats.map_or(Ok(()), |stats| write_stats(out, stats))
    })?;
    Ok(Exit::Done)
}

/// Writes what each built file costs, the dearest first.
fn write_stats(out: &mut dyn Write, stats: &DeltaStats) -> io::Result<()> {
    let mut files: Vec<_> = stats.files.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.encoded_bytes));
    let mut table = Table::new(&[">IN THE DELTA", ">OF", "METHODS", "FILE", "AGAINST"]);
    for file in files {
        table.row([
            file.encoded_bytes.to_string(),
            file.length.to_string(),
            method_names(&file.methods).join(", "),
            file.path.to_string(),
            match &file.counterpart {
                Some(counterpart) if *counterpart == file.path => "itself".to_owned(),
                Some(counterpart) => counterpart.to_string(),
                None => String::new(),
            },
        ]);
    }
    let plan = "(paths and plan)".to_owned();
    table.row([
        stats.plan_bytes.to_string(),
        String::new(),
        String::new(),
        plan,
        String::new(),
    ]);
    writeln!(out)?;
    table.write(out)?;
    if stats.files.iter().any(|file| file.group_files > 1) {
        writeln!(
            out,
            "\nFiles that are coded together have shares of that by their lengths."
        )?;
    }
    Ok(())
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
