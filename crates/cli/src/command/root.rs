//! Ceremonies: proposed, signed by holders apart, merged, published.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use publisher::{KeyStore, Proposal, TrustChange, read_public_key};

use crate::arguments::{
    MergeArguments, ProposeArguments, PublishRootArguments, RootVerb, SignArguments,
};
use crate::command::custody::{opened, signing_keys, with_signers};
use crate::command::keys::tell_governed;
use crate::command::place;
use crate::command::proposed::{nobody, read_proposal, root_digest, tell, write_proposal};
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Does one step of a ceremony.
pub(crate) fn root(verb: &RootVerb, output: Output) -> Result<Exit, Failure> {
    match verb {
        RootVerb::Propose(arguments) => propose(arguments, output),
        RootVerb::Sign(arguments) => sign(arguments, output),
        RootVerb::Merge(arguments) => merge(arguments, output),
        RootVerb::Publish(arguments) => publish(arguments, output),
    }
}

fn propose(arguments: &ProposeArguments, output: Output) -> Result<Exit, Failure> {
    let now = signing_time()?;
    let mut change = TrustChange {
        root_expires: Some(now.plus_days(arguments.days)),
        ..TrustChange::default()
    };
    for add in &arguments.add {
        let key = read_public_key(&add.value)?;
        change.add.push((add.role.clone(), key));
    }
    for remove in &arguments.remove {
        let removed = (remove.role.clone(), remove.value.clone());
        change.remove.push(removed);
    }
    for threshold in &arguments.threshold {
        change
            .thresholds
            .push((threshold.role.clone(), threshold.value));
    }
    let proposal = place::open(&arguments.repo)?.propose(&change, now)?;
    write_proposal(&arguments.out, &proposal)?;
    tell(&arguments.out, &proposal, &[], output)?;
    Ok(Exit::Done)
}

fn sign(arguments: &SignArguments, output: Output) -> Result<Exit, Failure> {
    let path = &arguments.proposal;
    let mut proposal = read_proposal(path)?;
    if let Some(trusted) = &arguments.against {
        expect_follows(&proposal, path, trusted)?;
    }
    if arguments.show {
        tell(path, &proposal, &[], output)?;
        return Ok(Exit::Done);
    }
    let keys = match (&arguments.keys, arguments.signers.is_empty()) {
        (Some(folder), _) => KeyStore::folder(folder),
        (None, false) => KeyStore::elsewhere(),
        (None, true) => return Err(nobody(path, &proposal)),
    };
    let keys = opened(keys, arguments.passphrase_file.as_deref())?;
    let keys = with_signers(keys, &arguments.signers)?;
    if !arguments.yes {
        ask(path, &proposal)?;
    }
    let before = proposal.clone();
    if proposal.sign_with(&keys)? == 0 {
        return Err(nobody(path, &proposal));
    }
    write_proposal(path, &proposal)?;
    let signed = newly_signed(&before, &proposal);
    tell(path, &proposal, &signed, output)?;
    Ok(Exit::Done)
}

/// Returns the roles whose files have other signatures than before.
fn newly_signed(before: &Proposal, after: &Proposal) -> Vec<String> {
    let (before, after) = (before.signatures(), after.signatures());
    let is_new = |(role, keys): &(String, Vec<_>)| !before.contains(&(role.clone(), keys.clone()));
    let changed = after.into_iter().filter(is_new);
    changed.map(|(role, _)| role).collect()
}

fn expect_follows(proposal: &Proposal, path: &Path, trusted: &Path) -> Result<(), Failure> {
    let bytes = fs::read(trusted).map_err(|error| Failure::io("read", trusted, &error))?;
    if bytes == proposal.previous_root() {
        return Ok(());
    }
    let message = format!(
        "{}: expected to follow the root in {} ({}), found that it follows another ({})",
        path.display(),
        trusted.display(),
        diff_core::Digest::of(&bytes),
        root_digest(proposal)
    );
    Err(Failure::new(Exit::Refused, "stale-proposal", message)
        .with_remedy("Do not sign. Ask by another way which root devices trust."))
}

/// Shows the change and asks whether to sign it.
fn ask(path: &Path, proposal: &Proposal) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = format!("{}: nobody is there to read the change", path.display());
        return Err(Failure::new(Exit::Other, "unread", message)
            .with_remedy("Read it with --show, then sign with --yes."));
    }
    let mut err = io::stderr().lock();
    let failed = |error: io::Error| Failure::io("ask about", path, &error);
    for line in proposal.describe() {
        writeln!(err, "{line}").map_err(failed)?;
    }
    writeln!(
        err,
        "digest of the root that is replaced: {}",
        root_digest(proposal)
    )
    .map_err(failed)?;
    write!(err, "sign this? [yes/no] ")
        .and_then(|()| err.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    Err(Failure::new(Exit::Other, "not-signed", "not signed"))
}

fn merge(arguments: &MergeArguments, output: Output) -> Result<Exit, Failure> {
    let mut merged: Option<Proposal> = None;
    for path in &arguments.proposals {
        let proposal = read_proposal(path)?;
        match &mut merged {
            None => merged = Some(proposal),
            Some(merged) => merged
                .merge(&proposal)
                .map_err(publisher::PublishError::from)?,
        }
    }
    if let Some(merged) = merged {
        write_proposal(&arguments.out, &merged)?;
        tell(&arguments.out, &merged, &[], output)?;
    }
    Ok(Exit::Done)
}

fn publish(arguments: &PublishRootArguments, output: Output) -> Result<Exit, Failure> {
    let proposal = read_proposal(&arguments.proposal)?;
    let repository = place::open(&arguments.repo)?;
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let governed = repository.publish_proposal(&proposal, &keys, signing_time()?)?;
    tell_governed(&arguments.repo, &governed, Vec::new(), output)?;
    Ok(Exit::Done)
}
