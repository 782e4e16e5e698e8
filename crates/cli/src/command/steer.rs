//! Rollouts: offered, widened, planned, promoted, halted, withdrawn.

use std::io::{self, Write};
use std::path::Path;

use publisher::{
    Offering, PlanPosition, Promotion, PublishError, Repository, Retraction, RolloutPlan, Steered,
    Steering,
};
use release_format::{ChannelName, PackName, Rollout, Share};
use serde::Serialize;

use crate::arguments::{
    ApplyPlanArguments, HaltArguments, PlanArguments, PromoteArguments, RolloutArguments,
    RolloutVerb, WithdrawArguments, selectors,
};
use crate::command::approve;
use crate::command::custody::signing_keys;
use crate::command::inspect::ChannelDocument;
use crate::command::place;
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Serialize)]
struct SteerDocument<'a> {
    pack: &'a PackName,
    /// Whether anything is otherwise than before, and was published.
    changed: bool,
    /// What is otherwise, in plain words.
    changes: Vec<&'a str>,
    channels: Vec<ChannelDocument>,
}

#[derive(Serialize)]
struct PlanDocument<'a> {
    pack: &'a PackName,
    channel: &'a ChannelName,
    release: &'a str,
    position: &'static str,
    /// The step that the channel is at, from 1; null before the first.
    step: Option<usize>,
    steps: Vec<StepDocument>,
    /// What `apply` would change, in plain words.
    changes: &'a [String],
    /// What `apply --next` would change.
    next_changes: &'a [String],
}

#[derive(Serialize)]
struct StepDocument {
    share: String,
    select: String,
    mode: release_format::Mode,
    wait_seconds: u64,
}

/// Offers a release, or does what a plan says.
pub(crate) fn rollout(arguments: &RolloutArguments, output: Output) -> Result<Exit, Failure> {
    match &arguments.verb {
        Some(RolloutVerb::Plan(arguments)) => return plan(arguments, output),
        Some(RolloutVerb::Apply(arguments)) => return apply(arguments, output),
        None => {}
    }
    let (Some(repo), Some(pack)) = (&arguments.repo, &arguments.pack) else {
        let message = "expected REPO and PACK";
        return Err(Failure::new(Exit::Usage, "usage", message));
    };
    let repository = place::open(repo)?;
    let change = change(arguments, &repository, pack)?;
    let (channel, now) = (&arguments.channel, signing_time()?);
    if let Some(path) = &arguments.propose {
        let approval = repository.propose_steering(pack, channel, now, &change)?;
        return approve::propose(path, &approval, output);
    }
    let keys = signing_keys(repo, &arguments.signing)?;
    let steered = repository.steer(pack, channel, &keys, now, &change)?;
    tell(pack, &[steered], output)
}

fn change(
    arguments: &RolloutArguments,
    repository: &Repository,
    pack: &PackName,
) -> Result<Steering, Failure> {
    if arguments.resume {
        return Ok(Steering::Resume);
    }
    let flags = arguments.flag.iter();
    let flags: Vec<_> = flags.map(|flag| (flag.name.clone(), flag.share)).collect();
    let plain = arguments.release.is_none()
        && arguments.select.is_empty()
        && arguments.starts.is_none()
        && arguments.min_client.is_none();
    match arguments.share {
        None if plain && !flags.is_empty() => return Ok(Steering::Flags(flags)),
        None if plain => {
            let message = "expected --share, --flag or --resume";
            return Err(Failure::new(Exit::Usage, "usage", message)
                .with_remedy("`satchel rollout --help` shows what a rollout can say."));
        }
        _ => {}
    }
    let present = rollout_of(repository, pack, &arguments.channel)?;
    let release = match (&arguments.release, &present) {
        (Some(release), _) => release.clone(),
        (None, Some(present)) => present.label.clone(),
        (None, None) => {
            let message = format!("{pack} has no channel {}", arguments.channel);
            return Err(Failure::new(Exit::Other, "no-channel", message)
                .with_remedy("Say which release to offer with --release."));
        }
    };
    // Nobody widens by leaving the share out.
    let kept = present.filter(|present| present.label == release);
    let share = arguments.share.or(kept.map(|kept| kept.share));
    let mut offering = Offering::new(release, share.unwrap_or(Share::FULL));
    offering.select = selectors(&arguments.select)
        .map_err(|message| Failure::new(Exit::Usage, "usage", message))?;
    offering.mode = arguments.mode.into();
    offering.starts = arguments.starts;
    offering.minimum_client = arguments.min_client;
    offering.flags = flags;
    Ok(Steering::Offer(offering))
}

fn rollout_of(
    repository: &Repository,
    pack: &PackName,
    channel: &ChannelName,
) -> Result<Option<Rollout>, Failure> {
    let rollouts = repository.rollouts(pack)?.into_iter();
    let mut asked = rollouts.filter(|rollout| rollout.channel == *channel);
    Ok(asked.next())
}

/// Says where a channel stands in a plan, and what would change.
fn plan(arguments: &PlanArguments, output: Output) -> Result<Exit, Failure> {
    let repository = place::open(&arguments.repo)?;
    let (plan, position) = planned(&repository, &arguments.plan)?;
    let would = |index: Option<usize>| -> Result<Vec<String>, Failure> {
        let Some(change) = index.and_then(|index| plan.steering(index)) else {
            return Ok(Vec::new());
        };
        let now = signing_time()?;
        match repository.rehearse_steering(&plan.pack, &plan.channel, now, &change) {
            Ok(steered) => Ok(steered.changes),
            Err(PublishError::Steering(refused)) => Ok(vec![refused.to_string()]),
            Err(failed) => Err(failed.into()),
        }
    };
    let (name, present) = place_of(position);
    let changes = would(Some(present.unwrap_or(0)))?;
    let next_changes = would(present.map(|present| present + 1))?;
    let steps = plan.steps.iter().map(|step| StepDocument {
        share: step.share.to_string(),
        select: step.select.to_string(),
        mode: step.mode,
        wait_seconds: step.wait.as_secs(),
    });
    let document = PlanDocument {
        pack: &plan.pack,
        channel: &plan.channel,
        release: plan.release.as_str(),
        position: name,
        step: present.map(|present| present + 1),
        steps: steps.collect(),
        changes: &changes,
        next_changes: &next_changes,
    };
    output.result(&document, |out| {
        let count = plan.steps.len();
        match (name, present) {
            (_, None) => writeln!(out, "{}: step 1 of {count} comes next", plan.release)?,
            (name, Some(present)) => {
                writeln!(
                    out,
                    "{}: step {} of {count}, {name}",
                    plan.release,
                    present + 1
                )?;
            }
        }
        told("apply would change", &changes, out)?;
        if present.is_some() {
            told("apply --next would change", &next_changes, out)?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

/// Brings a channel to a step of a plan.
fn apply(arguments: &ApplyPlanArguments, output: Output) -> Result<Exit, Failure> {
    let repository = place::open(&arguments.repo)?;
    let (plan, position) = planned(&repository, &arguments.plan)?;
    let (_, present) = place_of(position);
    let index = match (present, arguments.next) {
        (None, _) => 0,
        (Some(present), next) => present + usize::from(next),
    };
    let Some(change) = plan.steering(index) else {
        output.message(format!("{}: the plan has no further step", plan.release));
        return Ok(Exit::Done);
    };
    let (channel, now) = (&plan.channel, signing_time()?);
    if let Some(path) = &arguments.propose {
        let approval = repository.propose_steering(&plan.pack, channel, now, &change)?;
        return approve::propose(path, &approval, output);
    }
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let steered = repository.steer(&plan.pack, channel, &keys, now, &change)?;
    tell(&plan.pack, &[steered], output)
}

fn planned(repository: &Repository, file: &Path) -> Result<(RolloutPlan, PlanPosition), Failure> {
    let plan = RolloutPlan::read(file)?;
    let present = rollout_of(repository, &plan.pack, &plan.channel)?;
    let position = plan.position(present.as_ref());
    Ok((plan, position.map_err(PublishError::from)?))
}

fn place_of(position: PlanPosition) -> (&'static str, Option<usize>) {
    match position {
        PlanPosition::At(index) => ("under way", Some(index)),
        PlanPosition::Halted(index) => ("halted", Some(index)),
        _ => ("not begun", None),
    }
}

/// Offers in one channel what another one offers.
pub(crate) fn promote(arguments: &PromoteArguments, output: Output) -> Result<Exit, Failure> {
    let promotion = Promotion {
        release: arguments.release.clone(),
        from: arguments.from.clone(),
        to: arguments.to.clone(),
        share: arguments.share,
    };
    let repository = place::open(&arguments.repo)?;
    let (pack, now) = (&arguments.pack, signing_time()?);
    if let Some(path) = &arguments.propose {
        let change = repository.promotion(pack, now, &promotion)?;
        let approval = repository.propose_steering(pack, &promotion.to, now, &change)?;
        return approve::propose(path, &approval, output);
    }
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let steered = repository.promote(pack, &keys, now, &promotion)?;
    tell(pack, &[steered], output)
}

/// Offers a release to nobody who does not have it.
pub(crate) fn halt(arguments: &HaltArguments, output: Output) -> Result<Exit, Failure> {
    let change = Steering::Halt {
        reason: arguments.reason.clone(),
    };
    let (pack, channel) = (&arguments.pack, &arguments.channel);
    let (repository, now) = (place::open(&arguments.repo)?, signing_time()?);
    if let Some(path) = &arguments.propose {
        let approval = match &arguments.after {
            None => repository.propose_steering(pack, channel, now, &change)?,
            Some(step) => {
                let step = approve::read(step)?;
                repository.propose_steering_after(&step, (pack, channel), now, &change)?
            }
        };
        return approve::propose(path, &approval, output);
    }
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let steered = repository.steer(pack, channel, &keys, now, &change)?;
    tell(pack, &[steered], output)
}

/// Makes devices leave a release.
pub(crate) fn withdraw(arguments: &WithdrawArguments, output: Output) -> Result<Exit, Failure> {
    let retraction = Retraction {
        release: arguments.release.clone(),
        fallback: arguments.fallback.clone(),
        reason: arguments.reason.clone(),
        security: arguments.security,
    };
    let (repository, now) = (place::open(&arguments.repo)?, signing_time()?);
    let (pack, channels) = (&arguments.pack, &arguments.channel);
    if let Some(path) = &arguments.propose {
        let approval = repository.propose_withdrawal(pack, channels, now, &retraction)?;
        return approve::propose(path, &approval, output);
    }
    let keys = signing_keys(&arguments.repo, &arguments.signing)?;
    let steered = match &channels[..] {
        [] => repository.withdraw(pack, &keys, now, &retraction)?,
        channels => repository.withdraw_from(pack, channels, &keys, now, &retraction)?,
    };
    tell(pack, &steered, output)
}

fn tell(pack: &PackName, steered: &[Steered], output: Output) -> Result<Exit, Failure> {
    let changed = steered.iter().any(Steered::is_changed);
    let all = steered.iter().flat_map(|one| &one.changes);
    let document = SteerDocument {
        pack,
        changed,
        changes: all.map(String::as_str).collect(),
        channels: steered
            .iter()
            .map(|one| ChannelDocument::from(&one.after))
            .collect(),
    };
    output.result(&document, |out| {
        for one in steered {
            let channel = &one.after.channel;
            match one.is_changed() {
                false => writeln!(out, "{pack}, {channel}: nothing to change")?,
                true => told(&format!("{pack}, {channel}"), &one.changes, out)?,
            }
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

fn told(heading: &str, changes: &[String], out: &mut dyn Write) -> io::Result<()> {
    match changes {
        [] => writeln!(out, "{heading}: nothing"),
        changes => {
            writeln!(out, "{heading}:")?;
            changes
                .iter()
                .try_for_each(|change| writeln!(out, "  {change}"))
        }
    }
}
