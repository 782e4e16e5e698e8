use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use diff_core::{
    Applier, Delta, Differ, FileBytes, FolderContents, Level, Limits, Listing, MappedFile, Origin,
    PlannedFile, Sink, Tree,
};

use crate::Outcome;
use crate::measure::{Figures, Row, cost_of};
use crate::pair::{Prepared, list, text};

/// The levels that are measured, by the names that the child process is given.
pub(crate) const LEVELS: [&str; 3] = ["fast", "default", "best"];
/// Argument of a process that makes one delta.
pub(crate) const CREATE: &str = "--create";
/// Argument of a process that applies one delta.
pub(crate) const APPLY: &str = "--apply";

/// Measures one level on one pair, in processes of their own.
pub(crate) fn measure(level: &str, pair: &Prepared, scratch: &Path) -> Row {
    let outcome = figures(level, &pair.old.folder, pair, scratch);
    Row {
        tool: format!("satchel {level}"),
        outcome,
    }
}

/// Measures the delta from nothing, which is what a first install fetches.
pub(crate) fn measure_first_install(pair: &Prepared, scratch: &Path) -> Row {
    let nothing = scratch.join("nothing");
    let outcome = fs::create_dir_all(&nothing)
        .map_err(Into::into)
        .and_then(|()| figures("default", &nothing, pair, scratch));
    Row {
        tool: "satchel, from nothing".to_owned(),
        outcome,
    }
}

fn figures(level: &str, old: &Path, pair: &Prepared, scratch: &Path) -> Outcome<Figures> {
    let (delta, made) = (scratch.join("delta"), scratch.join("made"));
    let this = std::env::current_exe()?;
    let (this, old) = (text(&this)?, text(old)?);
    let create = [CREATE, level, old, text(&pair.new.folder)?, text(&delta)?];
    let create = cost_of(this, &create)?;
    let apply = |threads: &str| {
        let cost = cost_of(this, &[APPLY, threads, old, text(&delta)?, text(&made)?])?;
        if list(&made)? != pair.new.listing {
            return Err("what was made is not the new tree".into());
        }
        fs::remove_dir_all(&made)?;
        Outcome::Ok(cost)
    };
    let (alone, apply) = (apply("1")?, apply("0")?);
    let figures = Figures {
        delta_bytes: fs::metadata(&delta)?.len(),
        create,
        apply,
        apply_alone: Some(alone),
    };
    fs::remove_file(&delta)?;
    Ok(figures)
}

/// Makes a delta: the work of the child process that is measured.
pub(crate) fn create(level: &str, old: &Path, new: &Path, delta: &Path) -> Outcome<()> {
    let level = match level {
        "fast" => Level::Fast,
        "best" => Level::Best,
        _ => Level::Default,
    };
    let (old_listing, new_listing) = (list(old)?, list(new)?);
    let old_contents = FolderContents::new(old, &old_listing);
    let new_contents = FolderContents::new(new, &new_listing);
    let old = Tree {
        listing: &old_listing,
        contents: &old_contents,
    };
    let new = Tree {
        listing: &new_listing,
        contents: &new_contents,
    };
    let mut out = BufWriter::new(File::create(delta)?);
    Differ::new(old, new).level(level).write_to(&mut out)?;
    Ok(out.flush()?)
}

/// Applies a delta: the work of the child process that is measured. No threads stand for one a core.
///
/// It lists the old tree first, which reads every file; a device has the manifest instead, so the time
/// of an update is shorter than what is measured here.
pub(crate) fn apply(threads: &str, old: &Path, delta: &Path, new: &Path) -> Outcome<()> {
    let listing = list(old)?;
    let contents = FolderContents::new(old, &listing);
    let limits = Limits::standard();
    let delta = MappedFile::open(delta)?;
    let delta = Delta::parse(&delta, &limits)?;
    let plan = delta.plan(&listing)?;
    let sink = FolderSink {
        root: new.to_owned(),
    };
    fs::create_dir_all(new)?;
    let old_tree = Tree {
        listing: &listing,
        contents: &contents,
    };
    let applier = Applier::new(&delta, &plan, old_tree);
    let applier = match threads.parse()? {
        0 => applier,
        threads => applier.threads(threads),
    };
    applier.apply(&sink)?;
    link_the_rest(plan.files(), &listing, old, new)
}

fn link_the_rest(files: &[PlannedFile], listing: &Listing, old: &Path, new: &Path) -> Outcome<()> {
    for file in files {
        let from = match file.origin {
            Origin::Built => continue,
            Origin::Old(index) => listing
                .entries()
                .get(index)
                .map(|entry| entry.path.under(old)),
            Origin::SameAs(index) => files.get(index).map(|file| file.path.under(new)),
        };
        let from = from.ok_or("the plan names a file that is not there")?;
        let to = file.path.under(new);
        create_parent(&to)?;
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

struct FolderSink {
    root: PathBuf,
}

impl Sink for FolderSink {
    fn create(&self, _index: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        let path = file.path.under(&self.root);
        create_parent(&path)?;
        Ok(Box::new(File::create(path)?))
    }

    fn read(&self, _index: usize, file: &PlannedFile) -> io::Result<FileBytes> {
        MappedFile::open(&file.path.under(&self.root)).map(FileBytes::Mapped)
    }
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
