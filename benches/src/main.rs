//! Sizes and times of Satchel's deltas beside its peers', as a Markdown table.
//!
//! ```sh
//! SATCHEL_CORPORA=~/corpora cargo run --release -p satchel-benches [PAIR...]
//! ```
//!
//! `SATCHEL_CORPORA` names a folder of pairs, each `NAME/old` and `NAME/new`; all of them are run, or
//! those that are named, after a small pair that the program makes itself. Every tool turns the same
//! old tree into the same new one: Satchel tree by tree, the others on tars of the trees, those that
//! are installed. What each makes is compared with the new tree before its figures count. Every
//! measured command runs as a process of its own.
//!
//! `durability` measures instead what syncing costs an update of 5,000 files; it runs in `TMPDIR`.
//!
//! `refresh` measures instead what it costs a device to verify the metadata of a large repository, and
//! `device [FILES BYTES]` what it costs to check, update, verify and open a pack of 20,000 files and
//! 1 GiB: at most 64 MiB of private memory, and 5 ms to open.
//!
//! `sequence FOLDER` measures instead a sequence of releases, each a folder in FOLDER: what they cost a
//! repository, and a device that follows them, comes back at the end or begins there; beside OSTree,
//! casync and borg where they are installed.
//!
//! `line PAIR` measures instead what a line that drops every 64 KiB costs a first install and an update of
//! the pair in that folder, beside one that holds.
//!
//! `publish PAIR [s3://BUCKET/PREFIX]` measures instead how long publishing the pair in that folder takes,
//! into a folder and into a bucket, whose service and keys are taken from the usual `AWS_` variables.
//!
//! `rollouts` measures instead what it costs a device to find out what a rollout means for it.
//!
//! `class [DEVICES]` measures instead what forty devices cost a repository: each for itself, and behind
//! a `satchel mirror`, which is the program beside this one or the one that `SATCHEL` names.
//!
//! `collect [RECEIPTS]` measures instead how many receipts a second a collector takes over SQLite, and how
//! long a gate over them takes.

mod class;
mod collect;
mod device;
mod durability;
mod line;
mod measure;
mod ours;
mod pair;
mod peer;
mod publish;
mod recorded;
mod refresh;
mod rollouts;
mod sequence;
mod summary;
mod table;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use pair::Pair;
use summary::{Line, Summary};

/// Nobody handles an error here but the one who reads it.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [ours::CREATE, level, old, new, delta] => {
            ours::create(level, old.as_ref(), new.as_ref(), delta.as_ref())
        }
        [ours::APPLY, threads, old, delta, new] => {
            ours::apply(threads, old.as_ref(), delta.as_ref(), new.as_ref())
        }
        [durability::DURABILITY] => durability::measure(),
        [refresh::REFRESH] => refresh::measure(),
        [publish::PUBLISH, pair] => publish::measure(pair.as_ref(), None),
        [publish::PUBLISH, pair, bucket] => publish::measure(pair.as_ref(), Some(bucket)),
        [line::LINE, pair] => line::measure(pair.as_ref()),
        [sequence::SEQUENCE, folder] => sequence::measure(folder.as_ref()),
        [rollouts::ROLLOUTS] => rollouts::measure(),
        [class::CLASS, devices @ ..] => class::measure(devices.first().copied()),
        [collect::COLLECT, receipts @ ..] => collect::measure(receipts.first().copied()),
        [device::DEVICE, pack @ ..] => device::measure(pack.first().copied(), pack.get(1).copied()),
        [device::STEP, name, library, repository] => {
            device::step(name, library.as_ref(), repository.as_ref())
        }
        named => run(named),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("satchel-benches: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(named: &[&str]) -> Outcome<()> {
    let work = tempfile::tempdir()?;
    let mut pairs = vec![Pair::made(&work.path().join("made"))?];
    if let Some(corpora) = env::var_os("SATCHEL_CORPORA") {
        pairs.extend(Pair::all_in(&PathBuf::from(corpora))?);
    }
    pairs.retain(|pair| named.is_empty() || named.contains(&pair.name.as_str()));
    let tools = peer::installed();
    let recorded = recorded::read()?;
    let mut summary = Summary::default();
    table::head(&tools);
    for pair in &pairs {
        let scratch = work.path().join(&pair.name);
        let pair = pair.prepare(&scratch)?;
        table::title(&pair);
        let mut line = Line::new(&pair.name);
        for level in ours::LEVELS {
            let row = ours::measure(level, &pair, &scratch);
            table::row(&row);
            if level == "default" {
                line.ours(&row);
            }
        }
        for peer in &tools {
            let row = peer.measure(&pair, &scratch);
            table::row(&row);
            line.peer(&row);
        }
        if let Some((peer, bytes)) = recorded.get(&pair.name) {
            table::recorded(peer, *bytes);
            line.recorded(peer, *bytes);
        }
        let row = ours::measure_first_install(&pair, &scratch);
        table::row(&row);
        line.whole(&row);
        for peer in &tools {
            if let Some(row) = peer.measure_whole(&pair, &scratch) {
                table::row(&row);
                line.peer_whole(&row);
            }
        }
        summary.add(line);
        std::fs::remove_dir_all(&scratch)?;
    }
    summary.print();
    Ok(())
}
