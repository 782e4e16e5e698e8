//! What was, rather than what is: the log of a repository in plain words.

use std::io::{self, Write};

use publisher::{AuditLog, LogRecord, LogState, OfferAt};
use release_format::{KeyId, Label, LogEntry, PackName, UtcTime};
use serde::Serialize;

use crate::arguments::ShowArguments;
use crate::command::place;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Table};

/// The log of an audited repository.
#[derive(Serialize)]
pub(crate) struct LogDocument<'a> {
    /// How many entries there are.
    entries: usize,
    in_force: usize,
    /// What `--seen` takes the next time.
    head: Option<String>,
    notes: &'a [String],
    /// With `--log` alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<EntryDocument<'a>>,
}

#[derive(Serialize)]
struct EntryDocument<'a> {
    number: u64,
    time: UtcTime,
    action: &'a str,
    state: &'static str,
    pack: Option<&'a PackName>,
    release: Option<&'a Label>,
    channel: Option<String>,
    reason: Option<&'a str>,
    /// The keys that signed, by role.
    signed_by: Vec<SignedByDocument<'a>>,
    told: &'a [String],
}

#[derive(Serialize)]
struct SignedByDocument<'a> {
    role: &'a str,
    keys: &'a [KeyId],
}

impl<'a> From<&'a LogRecord> for EntryDocument<'a> {
    fn from(record: &'a LogRecord) -> EntryDocument<'a> {
        let entry = &record.entry;
        let subject = &entry.subject;
        EntryDocument {
            number: entry.number,
            time: entry.time,
            action: &entry.action,
            state: told_state(record.state),
            pack: subject.pack.as_ref(),
            release: subject.release.as_ref(),
            channel: subject.channel.as_ref().map(ToString::to_string),
            reason: subject.reason.as_deref(),
            signed_by: entry
                .by
                .iter()
                .map(|(role, keys)| SignedByDocument { role, keys })
                .collect(),
            told: &entry.told,
        }
    }
}

impl<'a> LogDocument<'a> {
    /// Returns the document of a log, with all that it tells or only how much.
    pub(crate) fn of(log: &'a AuditLog, is_told: bool) -> LogDocument<'a> {
        let records = log.records.iter().filter(|_| is_told);
        LogDocument {
            entries: log.records.len(),
            in_force: log.in_force().count(),
            head: log
                .head
                .as_ref()
                .map(|head| format!("{}:{}", head.number, head.sha256)),
            notes: &log.notes,
            history: records.map(EntryDocument::from).collect(),
        }
    }

    /// Writes what the log tells, an entry a line.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&[">ENTRY", "TIME", "WHAT", "SIGNED BY"]);
        for entry in &self.history {
            table.row([
                entry.number.to_string(),
                entry.time.to_string(),
                entry.told(),
                told_signers(entry.signed_by.iter().map(|by| (by.role, by.keys))),
            ]);
        }
        table.write(out)?;
        writeln!(out)
    }

    /// Writes what is worth knowing of the log, in a line.
    pub(crate) fn write_head(&self, out: &mut dyn Write) -> io::Result<()> {
        for note in self.notes {
            writeln!(out, "{note}")?;
        }
        match &self.head {
            Some(head) => writeln!(
                out,
                "log: {} entries, {} in force, the last is {head}",
                self.entries, self.in_force
            ),
            None => Ok(()),
        }
    }
}

impl EntryDocument<'_> {
    fn told(&self) -> String {
        let mut told = self.action.to_owned();
        if let Some(pack) = self.pack {
            told.push_str(&format!(" {pack}"));
            if let Some(label) = self.release {
                told.push_str(&format!("@{label}"));
            }
        }
        if let Some(reason) = self.reason {
            told.push_str(&format!(" ({reason})"));
        }
        let lines: Vec<_> = self.told.iter().map(|line| line.trim()).collect();
        if !lines.is_empty() {
            told.push_str(": ");
            told.push_str(&lines.join("; "));
        }
        if self.state != "in-force" {
            told.push_str(&format!(" [{}]", self.state));
        }
        told
    }
}

fn told_state(state: LogState) -> &'static str {
    match state {
        LogState::InForce => "in-force",
        LogState::GivenUp => "given-up",
        _ => "unfinished",
    }
}

fn told_signers<'a>(by: impl Iterator<Item = (&'a str, &'a [KeyId])>) -> String {
    let role = |(role, keys): (&str, &[KeyId])| {
        let keys: Vec<_> = keys.iter().map(short).collect();
        format!("{role} {}", keys.join(" "))
    };
    by.filter(|(role, _)| *role != "snapshot")
        .map(role)
        .collect::<Vec<_>>()
        .join(", ")
}

fn short(id: &KeyId) -> String {
    id.as_str().chars().take(12).collect()
}

#[derive(Serialize)]
struct HistoryDocument<'a> {
    pack: &'a PackName,
    at: UtcTime,
    /// Whether the log holds, and the repository is what it tells of: an answer is none otherwise.
    sound: bool,
    channels: Vec<OfferDocument>,
    /// Where log and repository contradict themselves or one another.
    contradictions: Vec<String>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct OfferDocument {
    channel: String,
    release: Label,
    manifest: String,
    share: String,
    halted: bool,
    otherwise: Option<String>,
    since: UtcTime,
    until: Option<UtcTime>,
    entry: u64,
    action: String,
    rollout_signed_by: Vec<KeyId>,
    release_published: Option<UtcTime>,
    release_signed_by: Vec<KeyId>,
    /// Of `--device` or `--device-bucket`.
    bucket: Option<u16>,
    /// The manifest that such a device was offered.
    offered: Option<String>,
}

/// Shows what was offered at a time, and who answers for it.
pub(crate) fn show_at(
    arguments: &ShowArguments,
    at: UtcTime,
    output: Output,
) -> Result<Exit, Failure> {
    let repository = place::open(&arguments.repo)?;
    let pack = &arguments.pack.pack;
    let mut log = repository.log()?;
    let offers = log.offers_at(pack, at);
    repository.compare_offers(&mut log, pack, &offers)?;
    let channels = offers
        .iter()
        .map(|offer| document(offer, arguments, at))
        .collect();
    let document = HistoryDocument {
        pack,
        at,
        sound: log.problems.is_empty(),
        channels,
        contradictions: log.problems.iter().map(ToString::to_string).collect(),
        notes: &log.notes,
    };
    output.result(&document, |out| write_offers(out, &document, &log))?;
    Ok(if document.sound {
        Exit::Done
    } else {
        Exit::Damage
    })
}

fn document(offer: &OfferAt, arguments: &ShowArguments, at: UtcTime) -> OfferDocument {
    let rollout = &offer.rollout;
    let device = arguments.device.as_ref();
    let bucket = device.map(|device| rollout.bucket(device));
    let bucket = bucket.or(arguments.device_bucket);
    let labels = &arguments.labels();
    let offered = bucket.and_then(|bucket| offer.offered_to(bucket, labels, at));
    let release = offer.release.as_ref();
    OfferDocument {
        channel: rollout.channel.to_string(),
        release: rollout.label.clone(),
        manifest: rollout.release.to_string(),
        share: rollout.share.to_string(),
        halted: rollout.halted,
        otherwise: rollout.otherwise.map(|manifest| manifest.to_string()),
        since: offer.since,
        until: offer.until.map(|(_, time)| time),
        entry: offer.entry,
        action: offer.action.clone(),
        rollout_signed_by: offer.signed_by.clone(),
        release_published: release.map(|release| release.published),
        release_signed_by: release.map_or_else(Vec::new, |release| release.signed_by.clone()),
        bucket,
        offered: offered.map(|manifest| manifest.to_string()),
    }
}

fn write_offers(
    out: &mut dyn Write,
    document: &HistoryDocument<'_>,
    log: &AuditLog,
) -> io::Result<()> {
    for problem in &log.problems {
        writeln!(out, "contradiction: {problem}")?;
    }
    for note in document.notes {
        writeln!(out, "note       {note}")?;
    }
    if document.channels.is_empty() {
        let began = log.in_force().next().map(|entry: &LogEntry| entry.time);
        return match began {
            Some(began) if began > document.at => writeln!(
                out,
                "{} is before the log began, on {began}: this repository cannot tell",
                document.at
            ),
            _ => writeln!(out, "nothing of {} was offered then", document.pack),
        };
    }
    for offer in &document.channels {
        writeln!(out, "channel    {}", offer.channel)?;
        let halted = if offer.halted { ", halted" } else { "" };
        writeln!(
            out,
            "offered    {}@{} to {}{halted}",
            document.pack, offer.release, offer.share
        )?;
        writeln!(out, "manifest   {}", offer.manifest)?;
        if let Some(otherwise) = &offer.otherwise {
            writeln!(out, "otherwise  {otherwise}")?;
        }
        writeln!(
            out,
            "since      {} (entry {}, {})",
            offer.since, offer.entry, offer.action
        )?;
        match offer.until {
            Some(until) => writeln!(out, "until      {until}")?,
            None => writeln!(out, "until      today")?,
        }
        writeln!(out, "rollout by {}", told_keys(&offer.rollout_signed_by))?;
        match offer.release_published {
            Some(time) => writeln!(
                out,
                "release by {}, on {time}",
                told_keys(&offer.release_signed_by)
            )?,
            None => writeln!(out, "release by a publisher before the log began")?,
        }
        if let Some(bucket) = offer.bucket {
            let offered = offer.offered.as_deref().unwrap_or("nothing");
            writeln!(out, "a device in bucket {bucket} was offered {offered}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn told_keys(keys: &[KeyId]) -> String {
    if keys.is_empty() {
        return "keys that the log does not tell".to_owned();
    }
    let keys: Vec<_> = keys.iter().map(KeyId::as_str).collect();
    keys.join(", ")
}
