use std::io::Read;
use std::time::Duration;

use publisher::{
    GateDecision, GateEvidence, GateStep, Objectives, PlanPosition, PrometheusGate,
    PrometheusQuery, PublishError, RolloutPlan, Steering, Verdict, counted_from, decide,
};
use release_format::{ChannelName, Label, PackName, Rollout, UtcTime};
use serde::Serialize;
use updater_client::{Clock, HttpTransport, SystemClock, TransportError};

use super::counted::tally;
use crate::arguments::GateArguments;
use crate::command::approve;
use crate::command::custody::signing_keys;
use crate::command::place;
use crate::command::publish::signing_time;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Serialize)]
struct GateDocument<'a> {
    pack: &'a str,
    channel: &'a str,
    release: &'a str,
    step: usize,
    steps: usize,
    counted_from: Option<String>,
    verdict: String,
    lines: Vec<LineDocument<'a>>,
    applied: &'a [String],
}

#[derive(Serialize)]
struct LineDocument<'a> {
    verdict: String,
    text: &'a str,
}

/// What is judged.
struct Subject {
    pack: PackName,
    channel: ChannelName,
    label: Label,
    objectives: Objectives,
    from: UtcTime,
    now: UtcTime,
}

/// Judges the step that a rollout is at, and signs what follows from it where it is asked to.
pub(crate) fn gate(arguments: &GateArguments, output: Output) -> Result<Exit, Failure> {
    let now = SystemClock.now();
    let plan = RolloutPlan::read(&arguments.plan)?;
    if plan.pack != arguments.pack {
        let message = format!("the plan is of {}, not of {}", plan.pack, arguments.pack);
        return Err(Failure::new(Exit::Usage, "another-pack", message));
    }
    let channel = arguments.channel.clone().unwrap_or(plan.channel.clone());
    let repository = place::open(&arguments.repo)?;
    let rollouts = repository.rollouts(&plan.pack)?;
    let rollout = rollouts.iter().find(|rollout| rollout.channel == channel);
    let (index, step) = standing(&plan, rollout)?;
    let mut evidence = Vec::new();
    let from = counted_from(&step, &plan.objectives, now);
    if let Some(from) = from {
        let subject = Subject {
            pack: plan.pack.clone(),
            channel: channel.clone(),
            label: plan.release.clone(),
            objectives: plan.objectives,
            from,
            now,
        };
        for source in &arguments.receipts {
            evidence.push(of_receipts(&subject, source));
        }
        if let Some(url) = &arguments.prometheus {
            evidence.push(of_prometheus(&subject, url));
        }
    }
    let decision = decide(&step, &plan.objectives, &evidence, now);
    let change = match decision.verdict {
        Verdict::Advance => plan.steering(index + 1),
        Verdict::Halt if !step.halted => Some(Steering::Halt {
            reason: halting(&decision),
        }),
        _ => None,
    };
    if let (Some(change), Some(path)) = (&change, &arguments.propose) {
        let now = signing_time()?;
        let approval = repository.propose_steering(&plan.pack, &channel, now, change)?;
        approve::write(path, &approval)?;
        output.message(format!("to be signed: {}", path.display()));
    }
    let mut applied = Vec::new();
    if let (Some(change), true) = (&change, arguments.apply) {
        let keys = signing_keys(&arguments.repo, &arguments.signing)?;
        let place = (&plan.pack, &channel);
        let now = signing_time()?;
        let steered = repository.steer_judged(place, &keys, now, change, &decision)?;
        applied = steered.changes;
    }
    tell((&plan, &channel, index), from, &decision, &applied, output)?;
    Ok(match decision.verdict {
        Verdict::Advance => Exit::Done,
        Verdict::Wait => Exit::Wait,
        Verdict::Halt => Exit::Halt,
    })
}

/// Returns which step of the plan a rollout is at, and what the gate has to know of it.
fn standing(plan: &RolloutPlan, rollout: Option<&Rollout>) -> Result<(usize, GateStep), Failure> {
    let index = match plan.position(rollout).map_err(PublishError::from)? {
        PlanPosition::At(index) | PlanPosition::Halted(index) => index,
        _ => {
            let message = format!("{} is not offered yet", plan.release);
            return Err(Failure::new(Exit::Other, "not-begun", message)
                .with_remedy("Take the first step of the plan with `satchel rollout`."));
        }
    };
    let step = GateStep {
        since: rollout.and_then(|rollout| rollout.since.max(rollout.starts)),
        wait: plan
            .steps
            .get(index)
            .map_or(Duration::ZERO, |step| step.wait),
        halted: rollout.is_some_and(|rollout| rollout.halted),
        has_next: index + 1 < plan.steps.len(),
    };
    Ok((index, step))
}

/// Returns the line of the arithmetic that halts, as the reason that devices and people are told.
fn halting(decision: &GateDecision) -> String {
    let mut lines = decision.lines.iter();
    let line = lines.find(|line| line.verdict == Verdict::Halt);
    let text = line.map_or("an objective is missed", |line| &line.text);
    text.chars().take(MAX_REASON_CHARS).collect()
}

fn tell(
    (plan, channel, index): (&RolloutPlan, &ChannelName, usize),
    from: Option<UtcTime>,
    decision: &GateDecision,
    applied: &[String],
    output: Output,
) -> Result<(), Failure> {
    let lines = decision.lines.iter().map(|line| LineDocument {
        verdict: line.verdict.to_string(),
        text: &line.text,
    });
    let document = GateDocument {
        pack: plan.pack.as_str(),
        channel: channel.as_str(),
        release: plan.release.as_str(),
        step: index + 1,
        steps: plan.steps.len(),
        applied,
        counted_from: from.map(|from| from.to_string()),
        verdict: decision.verdict.to_string(),
        lines: lines.collect(),
    };
    output.result(&document, |out| {
        for line in &document.lines {
            writeln!(out, "{:<8} {}", line.verdict, line.text)?;
        }
        for change in applied {
            writeln!(out, "signed   {change}")?;
        }
        writeln!(out, "{}", document.verdict)
    })
}

/// Returns what a database, or a folder, tells.
fn of_receipts(subject: &Subject, source: &str) -> GateEvidence {
    let since = (Some(&subject.pack), Some(subject.from));
    let tally = match tally(source, since.0, since.1, subject.now) {
        Ok(tally) => tally,
        Err(failed) => {
            return GateEvidence::Missing {
                source: source.to_owned(),
                reason: failed.to_string(),
            };
        }
    };
    let hours = subject.objectives.window.as_secs() / 3_600;
    let pack_is_known = tally.iter().any(|(key, _)| key.pack == subject.pack);
    if !pack_is_known {
        return GateEvidence::Missing {
            source: source.to_owned(),
            reason: format!(
                "it knows no receipt of {} since {}",
                subject.pack, subject.from
            ),
        };
    }
    GateEvidence::Counted {
        source: source.to_owned(),
        counts: tally.of_release(&subject.channel, &subject.label, hours),
    }
}

/// Returns what Prometheus tells.
fn of_prometheus(subject: &Subject, url: &str) -> GateEvidence {
    let release = (&subject.pack, &subject.channel, &subject.label);
    let moments = (subject.from, subject.now);
    let gate = PrometheusGate::new(url, release, moments, subject.objectives.window);
    let mut answers = Vec::new();
    for query in gate.queries() {
        match ask(url, &query) {
            Ok(answer) => answers.push(answer),
            Err(failed) => {
                return GateEvidence::Missing {
                    source: url.to_owned(),
                    reason: failed.to_string(),
                };
            }
        }
    }
    gate.read(&answers)
}

fn ask(url: &str, query: &PrometheusQuery) -> Result<Vec<u8>, TransportError> {
    let form = format!(
        "query={}&time={}",
        escaped(&query.query),
        query.time.seconds()
    );
    let transport = HttpTransport::new(url)?;
    let answer = transport.post(QUERY, FORM, None, form.into_bytes())?;
    let mut bytes = Vec::new();
    let read = answer.reader.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes);
    read.map_err(|failed| TransportError::from_body(QUERY, failed))?;
    Ok(bytes)
}

/// Returns a text as a form carries it.
fn escaped(text: &str) -> String {
    let mut form = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                form.push(char::from(byte));
            }
            byte => form.push_str(&format!("%{byte:02X}")),
        }
    }
    form
}

/// Within what a rollout carries, whatever the characters.
const MAX_REASON_CHARS: usize = 120;
const QUERY: &str = "api/v1/query";
const FORM: &str = "application/x-www-form-urlencoded";
const MAX_ANSWER_BYTES: u64 = 4 << 20;
