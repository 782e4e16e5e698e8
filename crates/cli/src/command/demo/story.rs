use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Tells the demo while it happens, and remembers what it proved.
pub(super) struct Story {
    output: Output,
    started: Instant,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    title: &'static str,
    /// Figures by name, in bytes where the name says so.
    figures: BTreeMap<&'static str, u64>,
    proved: Vec<String>,
}

#[derive(Serialize)]
struct StoryDocument<'a> {
    seconds: f64,
    folder: Option<&'a str>,
    steps: &'a [Step],
}

impl Story {
    pub(super) fn new(output: Output) -> Story {
        Story {
            output,
            started: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &'static str) -> Result<(), Failure> {
        self.steps.push(Step {
            title,
            figures: BTreeMap::new(),
            proved: Vec::new(),
        });
        let number = self.steps.len();
        self.print(&format!("\n{number}. {title}\n"))
    }

    /// Tells what happens.
    pub(super) fn tell(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.print(&format!("   {}\n", text.as_ref()))
    }

    /// Notes a figure of this step.
    pub(super) fn figure(&mut self, name: &'static str, value: u64) {
        if let Some(step) = self.steps.last_mut() {
            step.figures.insert(name, value);
        }
    }

    /// Notes that `claim` holds, or ends the demo when it does not.
    pub(super) fn prove(&mut self, claim: impl Into<String>, holds: bool) -> Result<(), Failure> {
        let claim = claim.into();
        if !holds {
            let message = format!("the demo could not prove: {claim}");
            return Err(Failure::new(Exit::Other, "unproved", message)
                .with_remedy("Please report this as a fault of Satchel."));
        }
        self.print(&format!("   proved: {claim}\n"))?;
        if let Some(step) = self.steps.last_mut() {
            step.proved.push(claim);
        }
        Ok(())
    }

    /// Tells what was proved, and where to go from here.
    pub(super) fn end(&self, kept: Option<&str>) -> Result<(), Failure> {
        let elapsed = self.started.elapsed();
        let document = StoryDocument {
            seconds: seconds(elapsed),
            folder: kept,
            steps: &self.steps,
        };
        self.output.result(&document, |out| {
            let count: usize = self.steps.iter().map(|step| step.proved.len()).sum();
            writeln!(
                out,
                "\nAll {count} claims were proved in {:.1} seconds.\n",
                elapsed.as_secs_f64()
            )?;
            writeln!(out, "{NEXT}")?;
            kept.map_or(Ok(()), |folder| {
                writeln!(out, "\nEverything of this demo is in {folder}")
            })
        })
    }

    fn print(&self, text: &str) -> Result<(), Failure> {
        if self.output.is_json() {
            Ok(())
        } else {
            self.output.text(text)
        }
    }
}

/// Seconds to three digits: what is behind them is noise.
fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1000.0).round() / 1000.0
}

const NEXT: &str = "\
Where to go next:
  publish a folder of yours   satchel init REPO && satchel publish REPO FOLDER --pack you/course --release 1.0
  put it on a device          satchel enroll LIBRARY --repository REPO --root REPO/metadata/1.root.json
                              satchel update LIBRARY you/course
  update from your own app    crates/updater-client (its front page, and examples/offline_reader.rs)
  read on                     README.md, docs/";
