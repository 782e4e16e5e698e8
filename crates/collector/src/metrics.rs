use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use release_format::{ReceiptOutcome, Refusal};

use crate::store::Stored;
use crate::tally::{Tally, TallyKey};

/// What Prometheus is told, in its text format.
#[derive(Default)]
pub(crate) struct Metrics {
    /// By pack, channel, label, outcome and class of duration.
    receipts: Mutex<BTreeMap<Series, u64>>,
    known: AtomicU64,
    commits: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    answers: Mutex<BTreeMap<u16, u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    pack: String,
    channel: String,
    label: String,
    outcome: ReceiptOutcome,
    class: usize,
}

impl Metrics {
    /// Begins with what is in the database: a counter that goes back tells Prometheus of a restart, and
    /// a gate of nothing.
    pub(crate) fn begin(&self, tally: &Tally) {
        self.add(tally);
    }

    pub(crate) fn count(&self, stored: &Stored) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.known.fetch_add(stored.known, Ordering::Relaxed);
        self.add(&stored.new);
    }

    pub(crate) fn refuse(&self, reason: Refusal) {
        let place = REFUSALS.iter().position(|(known, _)| *known == reason);
        if let Some(counter) = place.and_then(|place| self.refused.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn answer(&self, status: u16) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry(status).or_default() += 1;
    }

    fn add(&self, tally: &Tally) {
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in tally.iter() {
            *receipts.entry(series(key)).or_default() += count;
        }
    }

    /// Returns all of it as Prometheus reads it.
    pub(crate) fn text(&self, devices: usize) -> String {
        let mut text = String::new();
        let receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_outcome: BTreeMap<(String, ReceiptOutcome), u64> = BTreeMap::new();
        let mut confirmed: BTreeMap<String, [u64; CLASSES.len() + 1]> = BTreeMap::new();
        for (series, count) in receipts.iter() {
            let labels = series.labels();
            if matches!(
                series.outcome,
                ReceiptOutcome::Confirmed | ReceiptOutcome::ShadowOk
            ) {
                let classes = confirmed.entry(labels.clone()).or_default();
                for class in classes.iter_mut().skip(series.class) {
                    *class += count;
                }
            }
            *by_outcome.entry((labels, series.outcome)).or_default() += count;
        }
        drop(receipts);
        head(
            &mut text,
            "satchel_receipts_total",
            "counter",
            "Receipts, each counted once.",
        );
        for ((labels, outcome), count) in &by_outcome {
            let outcome = outcome.name();
            line(
                &mut text,
                &format!("satchel_receipts_total{{{labels},outcome=\"{outcome}\"}} {count}"),
            );
        }
        head(
            &mut text,
            "satchel_confirmations_total",
            "counter",
            "Confirmed trials that lasted at most so many hours.",
        );
        for (labels, classes) in &confirmed {
            let names = CLASSES.iter().map(ToString::to_string);
            for (hours, count) in names.chain(["+Inf".to_owned()]).zip(classes) {
                line(
                    &mut text,
                    &format!(
                        "satchel_confirmations_total{{{labels},within_hours=\"{hours}\"}} {count}"
                    ),
                );
            }
        }
        head(
            &mut text,
            "satchel_collector_refused_total",
            "counter",
            "Receipts that were not taken, by why.",
        );
        for ((_, name), count) in REFUSALS.iter().zip(&self.refused) {
            let count = count.load(Ordering::Relaxed);
            line(
                &mut text,
                &format!("satchel_collector_refused_total{{reason=\"{name}\"}} {count}"),
            );
        }
        head(
            &mut text,
            "satchel_collector_answers_total",
            "counter",
            "Answers to requests that brought receipts, by status.",
        );
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (status, count) in answers.iter() {
            line(
                &mut text,
                &format!("satchel_collector_answers_total{{status=\"{status}\"}} {count}"),
            );
        }
        drop(answers);
        let known = self.known.load(Ordering::Relaxed);
        head(
            &mut text,
            "satchel_collector_known_total",
            "counter",
            "Receipts that came again, and were not counted again.",
        );
        line(&mut text, &format!("satchel_collector_known_total {known}"));
        let commits = self.commits.load(Ordering::Relaxed);
        head(
            &mut text,
            "satchel_collector_commits_total",
            "counter",
            "Transactions.",
        );
        line(
            &mut text,
            &format!("satchel_collector_commits_total {commits}"),
        );
        head(
            &mut text,
            "satchel_collector_devices",
            "gauge",
            "Devices that may send.",
        );
        line(&mut text, &format!("satchel_collector_devices {devices}"));
        text
    }
}

impl Series {
    /// Packs, channels and labels are of characters that need no escaping.
    fn labels(&self) -> String {
        format!(
            "pack=\"{}\",channel=\"{}\",release=\"{}\"",
            self.pack, self.channel, self.label
        )
    }
}

fn series(key: &TallyKey) -> Series {
    let class = CLASSES.iter().position(|hours| key.hours <= *hours);
    Series {
        pack: key.pack.to_string(),
        channel: key.channel.to_string(),
        label: key.label.to_string(),
        outcome: key.outcome,
        class: class.unwrap_or(CLASSES.len()),
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, &format!("# HELP {name} {help}"));
    line(text, &format!("# TYPE {name} {kind}"));
}

fn line(text: &mut String, line: &str) {
    // Writing to memory succeeds.
    let _ = writeln!(text, "{line}");
}

/// Windows of a gate that Prometheus can answer for, in hours.
const CLASSES: [u32; 8] = [1, 6, 12, 24, 48, 72, 168, 336];
const REFUSALS: [(Refusal, &str); 5] = [
    (Refusal::Malformed, "malformed"),
    (Refusal::Signature, "signature"),
    (Refusal::Device, "device"),
    (Refusal::Rate, "rate"),
    (Refusal::Room, "room"),
];
