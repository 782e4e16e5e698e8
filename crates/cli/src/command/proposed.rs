use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use publisher::{Proposal, Shortfall};
use serde::Serialize;

use crate::aside::Aside;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Serialize)]
struct ProposalDocument<'a> {
    proposal: &'a Path,
    /// The digest of the root that is replaced.
    root_digest: String,
    files: Vec<ProposedFileDocument>,
    /// What changes, in plain words.
    changes: Vec<String>,
    /// The roles that were signed for just now.
    signed: &'a [String],
    complete: bool,
    shortfalls: Vec<ShortfallDocument>,
}

#[derive(Serialize)]
struct ProposedFileDocument {
    role: String,
    version: u64,
}

#[derive(Serialize)]
struct ShortfallDocument {
    file: String,
    judge: String,
    expected: u64,
    found: u64,
    missing: Vec<String>,
}

impl From<Shortfall> for ShortfallDocument {
    fn from(shortfall: Shortfall) -> ShortfallDocument {
        ShortfallDocument {
            file: shortfall.file,
            judge: shortfall.judge,
            expected: shortfall.expected,
            found: shortfall.found,
            missing: shortfall.missing.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Reads the proposal in a file.
pub(super) fn read_proposal(path: &Path) -> Result<Proposal, Failure> {
    let failed = |error| Failure::io("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(Proposal::MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let place = path.display().to_string();
    let parsed = Proposal::parse(&place, &bytes);
    Ok(parsed.map_err(publisher::PublishError::from)?)
}

/// Writes a proposal, in the place of an earlier copy.
pub(super) fn write_proposal(path: &Path, proposal: &Proposal) -> Result<(), Failure> {
    let aside = Aside::beside(path)?;
    fs::write(aside.path(), proposal.encode())
        .map_err(|error| Failure::io("write", path, &error))?;
    aside.finish()
}

/// Tells what a proposal changes, and what it lacks.
pub(super) fn tell(
    path: &Path,
    proposal: &Proposal,
    signed: &[String],
    output: Output,
) -> Result<(), Failure> {
    let shortfalls = proposal.shortfalls();
    let files = proposal.files().into_iter();
    let document = ProposalDocument {
        proposal: path,
        root_digest: root_digest(proposal),
        files: files
            .map(|(role, version)| ProposedFileDocument { role, version })
            .collect(),
        changes: proposal.describe(),
        signed,
        complete: shortfalls.is_empty(),
        shortfalls: shortfalls.iter().cloned().map(Into::into).collect(),
    };
    output.result(&document, |out| {
        // A holder who was asked has read it already.
        if signed.is_empty() {
            for line in &document.changes {
                writeln!(out, "{line}")?;
            }
            writeln!(out)?;
        }
        if !signed.is_empty() {
            writeln!(out, "signed {}", signed.join(", "))?;
        }
        for shortfall in &shortfalls {
            writeln!(out, "{shortfall}")?;
        }
        if document.complete {
            writeln!(
                out,
                "complete: `satchel root publish REPO {}`",
                path.display()
            )?;
        }
        Ok(())
    })
}

/// Returns the digest that `satchel init` printed, of the root that a proposal replaces.
pub(super) fn root_digest(proposal: &Proposal) -> String {
    diff_core::Digest::of(proposal.previous_root()).to_string()
}

/// Returns the failure of a proposal that nobody at hand may sign.
pub(super) fn nobody(path: &Path, proposal: &Proposal) -> Failure {
    let missing: Vec<String> = proposal
        .shortfalls()
        .iter()
        .map(ToString::to_string)
        .collect();
    let message = format!(
        "{}: expected a key that may sign it, found none; {}",
        path.display(),
        missing.join("; ")
    );
    Failure::new(Exit::Refused, "no-key-at-hand", message)
        .with_remedy("Say where your key is with --keys or --signer.")
}
