//! Whether a rollout goes on, waits or stops, by what its devices tell: a pure decision, which shows its
//! arithmetic.

use std::fmt;
use std::time::Duration;

use release_format::{ReleaseCounts, Share, UtcTime};

use super::rollout_plan::Objectives;
use super::wilson::{Bounds, enough};

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateStep {
    /// When its present step began; a rollout that does not say cannot be judged.
    pub since: Option<UtcTime>,
    /// How long the step lasts at least.
    pub wait: Duration,
    /// Whether it is halted.
    pub halted: bool,
    /// Whether there is a step behind this one.
    pub has_next: bool,
}

/// What a gate was told by a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateEvidence {
    /// Counts, from when [`counted_from`] says.
    Counted {
        /// Where they are from, as people know it.
        source: String,
        /// What they are.
        counts: ReleaseCounts,
    },
    /// Nothing that can be used: no answer, or one that cannot be.
    Missing {
        /// Where it was asked.
        source: String,
        /// What is wrong.
        reason: String,
    },
}

/// What to do with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every objective is met, for sure: the next step may be taken.
    Advance,
    /// Not enough is known, or what is known contradicts itself.
    Wait,
    /// An objective is missed, for sure.
    Halt,
}

/// What a gate decided, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct GateDecision {
    /// What to do.
    pub verdict: Verdict,
    /// Every line of the arithmetic, in the order in which it was done.
    pub lines: Vec<GateLine>,
}

/// One line of the arithmetic.
#[derive(Debug, Clone, PartialEq)]
pub struct GateLine {
    /// What it alone would do.
    pub verdict: Verdict,
    /// What it says.
    pub text: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Advance => "advance",
            Verdict::Wait => "wait",
            Verdict::Halt => "halt",
        })
    }
}

/// Returns the moment from which a step is counted: its beginning, or the window's where that is later.
pub fn counted_from(step: &GateStep, objectives: &Objectives, now: UtcTime) -> Option<UtcTime> {
    let since = step.since?;
    Some(since.max(earlier(now, objectives.window)))
}

/// Decides from what is told, and from nothing else.
///
/// It advances only where every line does; it halts where one is sure of harm; in every other case,
/// whatever is missing or contradicts something, it waits.
pub fn decide(
    step: &GateStep,
    objectives: &Objectives,
    evidence: &[GateEvidence],
    now: UtcTime,
) -> GateDecision {
    let mut lines = Lines(Vec::new());
    lines.step(step, now);
    let counts = lines.sources(evidence);
    if let Some(counts) = counts {
        lines.objectives(counts, objectives);
    }
    let all = lines.0.iter().map(|line| line.verdict);
    let worst = all.max().unwrap_or(Verdict::Wait);
    let contradicts = lines
        .0
        .iter()
        .any(|line| line.text.starts_with(CONTRADICTION));
    GateDecision {
        // What contradicts itself is no proof of harm either.
        verdict: if contradicts { Verdict::Wait } else { worst },
        lines: lines.0,
    }
}

/// What is counted, and by whom.
type Source<'a> = (&'a str, &'a ReleaseCounts);

struct Lines(Vec<GateLine>);

impl Lines {
    fn say(&mut self, verdict: Verdict, text: impl Into<String>) {
        let text = text.into();
        self.0.push(GateLine { verdict, text });
    }

    fn step(&mut self, step: &GateStep, now: UtcTime) {
        if step.halted {
            self.say(
                Verdict::Wait,
                "the rollout is halted: it is resumed by people, not by a gate",
            );
        }
        if !step.has_next {
            self.say(
                Verdict::Wait,
                "this is the last step: there is none to advance to",
            );
        }
        let Some(since) = step.since else {
            let text = "the rollout does not say when its step began: nothing can be counted of it";
            return self.say(Verdict::Wait, text);
        };
        let Ok(passed) = u64::try_from(now.seconds().saturating_sub(since.seconds())) else {
            let text = format!("{CONTRADICTION}: the step began at {since}, and it is {now}");
            return self.say(Verdict::Wait, text);
        };
        let (passed, wait) = (Duration::from_secs(passed), step.wait);
        let (verdict, sign) = match passed >= wait {
            true => (Verdict::Advance, "≥"),
            false => (Verdict::Wait, "<"),
        };
        let (passed, wait) = (told(passed), told(wait));
        self.say(
            verdict,
            format!("time: the step began {passed} ago {sign} {wait} at least"),
        );
    }

    /// Returns the counts to go by: those of the one source, or of several that agree.
    fn sources<'a>(&mut self, evidence: &'a [GateEvidence]) -> Option<Source<'a>> {
        let mut all = Vec::new();
        for one in evidence {
            match one {
                GateEvidence::Counted { source, counts } => all.push((source.as_str(), counts)),
                GateEvidence::Missing { source, reason } => {
                    self.say(Verdict::Wait, format!("{source} tells nothing: {reason}"));
                }
            }
        }
        for (source, counts) in &all {
            if counts.releases > 1 {
                let text = format!(
                    "{CONTRADICTION}: {source} tells of {} different releases of one label",
                    counts.releases
                );
                self.say(Verdict::Wait, text);
            }
            if counts.confirmed_in_time > counts.confirmed {
                let text = format!(
                    "{CONTRADICTION}: {source} tells of {} confirmations, and of {} in time",
                    counts.confirmed, counts.confirmed_in_time
                );
                self.say(Verdict::Wait, text);
            }
        }
        let Some((first, others)) = all.split_first() else {
            self.say(Verdict::Wait, "no source has counted anything");
            return None;
        };
        for other in others {
            self.compare(*first, *other);
        }
        Some(*first)
    }

    fn compare(&mut self, (one_source, one): Source, (other_source, other): Source) {
        let pairs = [
            ("confirmations", one.confirmed, other.confirmed),
            ("reverts", one.went_back(), other.went_back()),
            (
                "failed verifications",
                one.failed_verifications,
                other.failed_verifications,
            ),
        ];
        for (what, a, b) in pairs {
            // Sources are asked one after the other while receipts arrive.
            let tolerated = (a.max(b) / 50).max(5);
            if a.abs_diff(b) > tolerated {
                let text = format!(
                    "{CONTRADICTION}: {one_source} tells of {a} {what}, {other_source} of {b}"
                );
                self.say(Verdict::Wait, text);
            }
        }
    }

    fn objectives(&mut self, (source, counts): Source, objectives: &Objectives) {
        let ended = counts.ended();
        let minimum = objectives.minimum_sample;
        let arithmetic = format!(
            "{} confirmed + {} failed + {} reverted = {ended} trials ended",
            counts.confirmed, counts.failed, counts.reverted
        );
        let (verdict, sign) = match ended >= minimum {
            true => (Verdict::Advance, "≥"),
            false => (Verdict::Wait, "<"),
        };
        let text = format!("sample: {arithmetic} {sign} {minimum} at least ({source})");
        self.say(verdict, text);
        let went_back = counts.went_back();
        let told = format!(
            "reverts: {} failed + {} reverted + {} undone = {went_back} of {ended} trials",
            counts.failed, counts.reverted, counts.undone
        );
        self.at_most(told, (went_back, ended), objectives.reverts, objectives);
        let failed = counts.failed_verifications;
        let verified = ended.saturating_add(failed);
        let told = format!("failed verifications: {failed} of {ended} + {failed} = {verified}");
        self.at_most(
            told,
            (failed, verified),
            objectives.failed_verifications,
            objectives,
        );
        let kept = counts.confirmed_in_time.saturating_sub(counts.undone);
        let window = told_window(objectives.window);
        let told = format!(
            "confirmations: {} within {window} - {} undone = {kept} of {ended} trials",
            counts.confirmed_in_time, counts.undone
        );
        self.at_least(told, (kept, ended), objectives.confirmations, objectives);
    }

    fn at_most(&mut self, told: String, of: (u64, u64), limit: Share, rules: &Objectives) {
        let bounds = Bounds::of(of.0, of.1, fraction(rules.confidence));
        let most = fraction(limit);
        let sure = rules.confidence;
        let shown = format!("{told} = {}", percent(bounds.share));
        if bounds.upper <= most {
            let upper = percent(bounds.upper);
            let text = format!("{shown}; at most {upper} with {sure} confidence ≤ {limit}");
            return self.say(Verdict::Advance, text);
        }
        // One device that fails first is no share of anything.
        if bounds.lower > most && of.1 >= rules.minimum_sample.min(MINIMUM_OF_HARM) {
            let lower = percent(bounds.lower);
            let text = format!("{shown}; at least {lower} with {sure} confidence > {limit}");
            return self.say(Verdict::Halt, text);
        }
        let (lower, upper) = (percent(bounds.lower), percent(bounds.upper));
        let mut text = format!(
            "{shown}; between {lower} and {upper} with {sure} confidence each, which does not decide {limit}"
        );
        if let (0, Some(enough)) = (of.0, enough(most, fraction(sure))) {
            text.push_str(&format!("; {enough} without one would"));
        }
        self.say(Verdict::Wait, text);
    }

    fn at_least(&mut self, told: String, of: (u64, u64), limit: Share, rules: &Objectives) {
        let bounds = Bounds::of(of.0, of.1, fraction(rules.confidence));
        let least = fraction(limit);
        let sure = rules.confidence;
        let shown = format!("{told} = {}", percent(bounds.share));
        if bounds.lower >= least {
            let lower = percent(bounds.lower);
            let text = format!("{shown}; at least {lower} with {sure} confidence ≥ {limit}");
            self.say(Verdict::Advance, text);
        } else if bounds.upper < least && of.1 >= rules.minimum_sample.min(MINIMUM_OF_HARM) {
            let upper = percent(bounds.upper);
            let text = format!("{shown}; at most {upper} with {sure} confidence < {limit}");
            self.say(Verdict::Halt, text);
        } else {
            let (lower, upper) = (percent(bounds.lower), percent(bounds.upper));
            let text = format!(
                "{shown}; between {lower} and {upper} with {sure} confidence each, which does not decide {limit}"
            );
            self.say(Verdict::Wait, text);
        }
    }
}

fn earlier(now: UtcTime, by: Duration) -> UtcTime {
    let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    UtcTime::from_seconds(now.seconds().saturating_sub(seconds))
}

fn fraction(share: Share) -> f64 {
    f64::from(share.basis_points()) / 10_000.0
}

fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

fn told_window(duration: Duration) -> String {
    told(duration)
}

/// Returns a duration in the greatest unit that tells it to two digits.
fn told(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

const CONTRADICTION: &str = "contradiction";
/// Trials on which harm can be called sure, where a plan asks for more before it goes on.
const MINIMUM_OF_HARM: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives() -> Objectives {
        Objectives::default()
    }

    fn step() -> GateStep {
        GateStep {
            since: Some(UtcTime::from_seconds(1_000_000)),
            wait: Duration::from_secs(86_400),
            halted: false,
            has_next: true,
        }
    }

    fn counts(confirmed: u64, went_back: u64, failed_verifications: u64) -> ReleaseCounts {
        ReleaseCounts {
            confirmed,
            confirmed_in_time: confirmed,
            failed: went_back / 2,
            reverted: went_back - went_back / 2,
            undone: 0,
            failed_verifications,
            releases: 1,
        }
    }

    fn counted(source: &str, counts: ReleaseCounts) -> GateEvidence {
        GateEvidence::Counted {
            source: source.to_owned(),
            counts,
        }
    }

    fn after(days: i64) -> UtcTime {
        UtcTime::from_seconds(1_000_000 + days * 86_400)
    }

    fn verdict(counts: ReleaseCounts) -> Verdict {
        let evidence = [counted("receipts.db", counts)];
        decide(&step(), &objectives(), &evidence, after(2)).verdict
    }

    #[test]
    fn what_is_sure_decides_and_the_rest_waits() {
        for (confirmed, went_back, failed, expected) in [
            (2_000, 0, 0, Verdict::Advance),
            (10_000, 50, 10, Verdict::Advance),
            // A share that would do, on too few to be sure.
            (250, 0, 0, Verdict::Wait),
            (1_000, 10, 0, Verdict::Wait),
            (100, 1, 0, Verdict::Wait),
            // One that would not do, on too few.
            (10, 1, 0, Verdict::Wait),
            (980, 20, 0, Verdict::Halt),
            (40, 10, 0, Verdict::Halt),
            (2_000, 0, 30, Verdict::Halt),
            (0, 0, 0, Verdict::Wait),
        ] {
            let found = verdict(counts(confirmed, went_back, failed));
            assert_eq!(found, expected, "{confirmed} {went_back} {failed}");
        }
    }

    #[test]
    fn confirmations_count_in_time_and_until_they_are_undone() {
        let late = ReleaseCounts {
            confirmed_in_time: 1_000,
            ..counts(2_000, 0, 0)
        };
        assert_eq!(verdict(late), Verdict::Halt);
        let undone = ReleaseCounts {
            undone: 60,
            ..counts(2_000, 0, 0)
        };
        assert_eq!(verdict(undone), Verdict::Halt);
    }

    #[test]
    fn nothing_advances_on_what_is_missing_or_contradicts_itself() {
        let good = || counted("receipts.db", counts(2_000, 0, 0));
        let missing = GateEvidence::Missing {
            source: "prometheus".to_owned(),
            reason: "no answer".to_owned(),
        };
        let other = counted("prometheus", counts(1_000, 0, 0));
        let mixed = ReleaseCounts {
            releases: 2,
            ..counts(2_000, 0, 0)
        };
        let impossible = ReleaseCounts {
            confirmed_in_time: 2_001,
            ..counts(2_000, 0, 0)
        };
        let harmful = counted("prometheus", counts(1_000, 900, 0));
        for (evidence, claim) in [
            (vec![], "nothing was asked"),
            (vec![missing.clone()], "no answer"),
            (vec![good(), missing], "one of two does not answer"),
            (vec![good(), other], "they disagree"),
            (vec![good(), harmful], "on harm, too"),
            (
                vec![counted("receipts.db", mixed)],
                "two releases of one label",
            ),
            (
                vec![counted("receipts.db", impossible)],
                "more than there are",
            ),
        ] {
            let decision = decide(&step(), &objectives(), &evidence, after(2));
            assert_eq!(decision.verdict, Verdict::Wait, "{claim}");
        }
        let agree = [good(), good()];
        let decision = decide(&step(), &objectives(), &agree, after(2));
        assert_eq!(decision.verdict, Verdict::Advance);
    }

    #[test]
    fn a_step_lasts_and_a_halt_is_for_people_to_end() {
        let evidence = [counted("receipts.db", counts(2_000, 0, 0))];
        let at = |step: GateStep, now| decide(&step, &objectives(), &evidence, now).verdict;
        assert_eq!(at(step(), after(2)), Verdict::Advance);
        assert_eq!(at(step(), after(0)), Verdict::Wait);
        assert_eq!(at(step(), after(-1)), Verdict::Wait);
        for other in [
            GateStep {
                halted: true,
                ..step()
            },
            GateStep {
                has_next: false,
                ..step()
            },
            GateStep {
                since: None,
                ..step()
            },
        ] {
            assert_eq!(at(other, after(2)), Verdict::Wait, "{other:?}");
        }
        // Harm is harm on the last step, too.
        let evidence = [counted("receipts.db", counts(980, 20, 0))];
        let last = GateStep {
            has_next: false,
            ..step()
        };
        let decision = decide(&last, &objectives(), &evidence, after(2));
        assert_eq!(decision.verdict, Verdict::Halt);
    }

    #[test]
    fn the_window_ends_what_a_long_step_counts() {
        let from = |now| counted_from(&step(), &objectives(), now);
        assert_eq!(from(after(1)), step().since);
        assert_eq!(from(after(10)), Some(after(7)));
        assert_eq!(
            counted_from(
                &GateStep {
                    since: None,
                    ..step()
                },
                &objectives(),
                after(1)
            ),
            None
        );
    }

    #[test]
    fn the_arithmetic_is_shown_line_by_line() {
        let evidence = [counted("receipts.db", counts(980, 20, 0))];
        let decision = decide(&step(), &objectives(), &evidence, after(2));
        let lines: Vec<&str> = decision
            .lines
            .iter()
            .map(|line| line.text.as_str())
            .collect();
        assert_eq!(
            lines,
            [
                "time: the step began 2 d ago ≥ 24 h at least",
                "sample: 980 confirmed + 10 failed + 10 reverted = 1000 trials ended ≥ 200 at least (receipts.db)",
                "reverts: 10 failed + 10 reverted + 0 undone = 20 of 1000 trials = 2.00 %; at least 1.39 % with 95% confidence > 1%",
                "failed verifications: 0 of 1000 + 0 = 1000 = 0.00 %; at most 0.27 % with 95% confidence ≤ 0.5%",
                "confirmations: 980 within 3 d - 0 undone = 980 of 1000 trials = 98.00 %; at least 97.13 % with 95% confidence ≥ 90%",
            ]
        );
    }
}
