//! Channels that several people have to approve changes of.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use publisher::{Approval, ChannelGuard, KeyStore, PublishError, read_public_key};
use serde::Serialize;

use crate::arguments::{
    ApprovalVerb, GuardArguments, MergeApprovalArguments, PublishApprovalArguments,
    SignApprovalArguments,
};
use crate::aside::Aside;
use crate::command::custody::{opened, signing_keys};
use crate::command::place;
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Serialize)]
struct ApprovalDocument<'a> {
    approval: &'a Path,
    role: &'a str,
    /// All that would be published, in plain words.
    changes: Vec<String>,
    /// The ids of the keys that have signed.
    keys: Vec<String>,
    published: bool,
}

#[derive(Serialize)]
struct GuardDocument<'a> {
    repository: &'a Path,
    role: &'a str,
    threshold: u64,
}

/// Does one step of an approval.
pub(crate) fn approval(verb: &ApprovalVerb, output: Output) -> Result<Exit, Failure> {
    match verb {
        ApprovalVerb::Sign(arguments) => sign(arguments, output),
        ApprovalVerb::Merge(arguments) => merge(arguments, output),
        ApprovalVerb::Publish(arguments) => publish(arguments, output),
    }
}

fn sign(arguments: &SignApprovalArguments, output: Output) -> Result<Exit, Failure> {
    let mut approval = read(&arguments.approval)?;
    if !arguments.show {
        let keys = opened(KeyStore::elsewhere(), arguments.passphrase_file.as_deref())?;
        for source in &arguments.signers {
            let signer = keys.open_signer(source)?;
            approval.sign(&*signer)?;
        }
        write(&arguments.approval, &approval)?;
    }
    tell(&arguments.approval, &approval, false, output)
}

fn merge(arguments: &MergeApprovalArguments, output: Output) -> Result<Exit, Failure> {
    let mut approval = read(&arguments.approval)?;
    for other in &arguments.others {
        approval.merge(&read(other)?).map_err(PublishError::from)?;
    }
    write(&arguments.approval, &approval)?;
    tell(&arguments.approval, &approval, false, output)
}

fn publish(arguments: &PublishApprovalArguments, output: Output) -> Result<Exit, Failure> {
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let approval = read(&arguments.approval)?;
    let repository = place::open(&arguments.repo)?;
    repository.publish_approval(&approval, &keys, signing_time()?)?;
    tell(&arguments.approval, &approval, true, output)
}

/// Gives a channel into the hands of several people.
pub(crate) fn guard(arguments: &GuardArguments, output: Output) -> Result<Exit, Failure> {
    let approvers = arguments.approvers.iter();
    let approvers: Result<Vec<_>, _> = approvers.map(|path| read_public_key(path)).collect();
    let guard = ChannelGuard {
        tenant: arguments.tenant.clone(),
        channel: arguments.channel.clone(),
        keys: approvers?,
        threshold: arguments.threshold,
    };
    let repository = place::open(&arguments.repo)?;
    if let Some(path) = &arguments.propose {
        let approval = repository.propose_guard(&guard, signing_time()?)?;
        return propose(path, &approval, output);
    }
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let role = repository.guard_channel(&guard, &keys, signing_time()?)?;
    let document = GuardDocument {
        repository: &arguments.repo,
        role: &role,
        threshold: guard.threshold,
    };
    output.result(&document, |out| {
        writeln!(
            out,
            "{} of {} changes by {} of {} keys from now on, in every pack of {}",
            guard.channel,
            guard.tenant,
            guard.threshold,
            guard.keys.len(),
            guard.tenant
        )
    })?;
    Ok(Exit::Done)
}

/// Tells what is still to be signed, and writes it.
pub(super) fn propose(path: &Path, approval: &Approval, output: Output) -> Result<Exit, Failure> {
    write(path, approval)?;
    tell(path, approval, false, output)
}

fn tell(
    path: &Path,
    approval: &Approval,
    published: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let keys = approval.signers();
    let document = ApprovalDocument {
        approval: path,
        role: approval.role(),
        changes: approval.describe(),
        keys: keys.iter().map(ToString::to_string).collect(),
        published,
    };
    output.result(&document, |out| {
        for line in &document.changes {
            writeln!(out, "{line}")?;
        }
        for key in &document.keys {
            writeln!(out, "signed by {key}")?;
        }
        match published {
            true => writeln!(out, "published"),
            false => writeln!(out, "to be signed: {}", path.display()),
        }
    })?;
    Ok(Exit::Done)
}

/// Reads an approval.
pub(super) fn read(path: &Path) -> Result<Approval, Failure> {
    let failed = |error| Failure::io("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(Approval::MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let parsed = Approval::parse(&path.display().to_string(), &bytes);
    Ok(parsed.map_err(PublishError::from)?)
}

/// Writes an approval, in the place of an earlier copy.
pub(super) fn write(path: &Path, approval: &Approval) -> Result<(), Failure> {
    let aside = Aside::beside(path)?;
    fs::write(aside.path(), approval.encode())
        .map_err(|error| Failure::io("write", path, &error))?;
    aside.finish()
}
