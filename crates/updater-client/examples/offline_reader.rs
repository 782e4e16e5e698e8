//! A reader of offline courses, as small as one can be: it updates a pack when a repository can be
//! reached, opens what it has either way, and confirms what opens well.
//!
//! ```text
//! cargo run -p updater-client --example offline_reader -- LIBRARY TENANT/PACK
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use updater_client::{
    CancelToken, ErrorKind, Event, Outcome, PackName, UpdateError, UpdateOptions, Updater,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, pack] = arguments.as_slice() else {
        eprintln!("usage: offline_reader LIBRARY TENANT/PACK");
        return ExitCode::from(2);
    };
    match PackName::parse(pack) {
        Ok(pack) => read(Path::new(library), &pack),
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::from(2)
        }
    }
}

fn read(library: &Path, pack: &PackName) -> ExitCode {
    match lesson(library, pack) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}\n{}", failed.remedy());
            ExitCode::FAILURE
        }
    }
}

fn lesson(library: &Path, pack: &PackName) -> Result<(), UpdateError> {
    let updater = Updater::builder(library).observer(Arc::new(tell)).build()?;
    match updater.update(pack, &UpdateOptions::default(), &CancelToken::new()) {
        Ok(updated) => match updated.outcome {
            Outcome::Activated(release) => println!("new: release {}", release.label),
            Outcome::Withheld(why) => println!("no update for this device: {why}"),
            _ => println!("up to date"),
        },
        // The usual day of an offline learner: yesterday's course still opens.
        Err(failed) if failed.kind() == ErrorKind::Unreachable => println!("offline: {failed}"),
        Err(failed) => eprintln!("not updated: {failed}\n{}", failed.remedy()),
    }

    let course = updater.open_pack(pack)?;
    println!(
        "open: {} in {}",
        course.content_version,
        course.tree.display()
    );
    let opens_well = course.tree.join("index.html").is_file();
    if let Some(trial) = updater.trial(pack)? {
        if opens_well {
            trial.confirm()?;
        } else {
            trial.fail("it has no index.html")?;
        }
    }
    Ok(())
}

fn tell(event: &Event) {
    if let Event::Reverted { from, reason, .. } = event {
        println!("release {from} was left: {reason}");
    }
}
