use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// What one command cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    /// The most memory that was resident at once, in bytes; unknown without GNU time.
    pub(crate) peak_bytes: Option<u64>,
}

/// What one tool made of one pair.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) tool: String,
    pub(crate) outcome: Outcome<Figures>,
}

#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) delta_bytes: u64,
    pub(crate) create: Cost,
    pub(crate) apply: Cost,
    /// The same on one thread, where the tool can use several.
    pub(crate) apply_alone: Option<Cost>,
}

/// Runs a command to its end, and fails unless it succeeds.
pub(crate) fn cost_of(program: &str, arguments: &[&str]) -> Outcome<Cost> {
    let gnu_time = Path::new(GNU_TIME);
    let mut command = if gnu_time.is_file() {
        let mut command = Command::new(gnu_time);
        command.args(["-f", "%M", "--", program]);
        command
    } else {
        Command::new(program)
    };
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let output = command.output()?;
    let time = start.elapsed();
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let last = told
            .lines()
            .rfind(|line| line.parse::<u64>().is_err())
            .unwrap_or("no reason");
        return Err(format!("{program} failed: {last}").into());
    }
    let kib = told
        .lines()
        .last()
        .and_then(|line| line.trim().parse::<u64>().ok());
    Ok(Cost {
        time,
        peak_bytes: kib.filter(|_| gnu_time.is_file()).map(|kib| kib << 10),
    })
}

/// Whether a program can be run at all.
pub(crate) fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

const GNU_TIME: &str = "/usr/bin/time";
