use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use release_format::{
    ChannelName, ClientVersion, Label, Mode, PackName, Rollout, Selectors, Share, UtcTime,
};
use serde::Deserialize;

use crate::PublishError;
use crate::govern::steering::{Offering, Steering};
use crate::govern::steering_error::SteeringError;
use crate::govern::steering_words::to_whom;

/// How a release is to reach the devices of a channel, step by step: `rollout.toml`, kept beside the
/// content.
///
/// ```
/// use publisher::RolloutPlan;
/// let plan = RolloutPlan::parse(
///     "rollout.toml".as_ref(),
///     r#"
///         pack = "acme/biology-101"
///         release = "1.4.0"
///         [[step]]
///         share = "1%"
///         wait = "1d"
///         [[step]]
///         share = "100%"
///     "#,
/// )?;
/// assert_eq!(plan.steps.len(), 2);
/// assert_eq!(plan.objectives.minimum_sample, 200);
/// # Ok::<(), publisher::PublishError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPlan {
    /// The pack.
    pub pack: PackName,
    /// The channel; `stable` unless the plan names another.
    pub channel: ChannelName,
    /// The release.
    pub release: Label,
    /// Before it, no device is offered the release.
    pub starts: Option<UtcTime>,
    /// The oldest client that the release is for.
    pub minimum_client: Option<ClientVersion>,
    /// What has to be so for the next step to be taken.
    pub objectives: Objectives,
    /// The steps, one at least, in their order.
    pub steps: Vec<PlanStep>,
}

/// What has to be so of a step for the next one to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Objectives {
    /// Trials that ended, at least.
    pub minimum_sample: u64,
    /// What is counted of a step, and how long confirmations may take.
    pub window: Duration,
    /// Reverts among the trials that ended, at most.
    pub reverts: Share,
    /// Failed verifications among all that were made, at most.
    pub failed_verifications: Share,
    /// Trials that were confirmed within the window, at least.
    pub confirmations: Share,
    /// How sure the shares have to be.
    pub confidence: Share,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanStep {
    /// The share of the devices.
    pub share: Share,
    /// Which devices.
    pub select: Selectors,
    /// What they do with the release.
    pub mode: Mode,
    /// How long it lasts at least.
    pub wait: Duration,
}

/// Where a channel stands in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanPosition {
    /// It offers another release, or none.
    NotBegun,
    /// It is at the step of this index, and goes on.
    At(usize),
    /// It is at the step of this index, and is halted.
    Halted(usize),
}

impl Default for Objectives {
    /// Returns 200 trials and 3 days; at most 1 % reverts and 0.5 % failed verifications, at least 90 %
    /// confirmations, each with 95 % confidence.
    fn default() -> Objectives {
        let share = |basis_points| Share::from_basis_points(basis_points).unwrap_or_default();
        Objectives {
            minimum_sample: 200,
            window: Duration::from_secs(3 * SECONDS_A_DAY),
            reverts: share(100),
            failed_verifications: share(50),
            confirmations: share(9000),
            confidence: share(9500),
        }
    }
}

impl RolloutPlan {
    /// The longest plan, in bytes.
    pub const MAX_BYTES: u64 = 64 << 10;
    /// The most steps.
    pub const MAX_STEPS: usize = 100;

    /// Reads the plan in a file.
    ///
    /// # Errors
    /// [`PublishError::Io`]; [`SteeringError::Plan`] names the first key that says what no plan can.
    pub fn read(file: &Path) -> Result<RolloutPlan, PublishError> {
        let io = |error| PublishError::io("read", file, error);
        let mut text = String::new();
        let opened = File::open(file).map_err(io)?;
        let mut opened = opened.take(RolloutPlan::MAX_BYTES + 1);
        opened.read_to_string(&mut text).map_err(io)?;
        RolloutPlan::parse(file, &text)
    }

    /// Returns the plan that `text` describes; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`RolloutPlan::read`].
    pub fn parse(file: &Path, text: &str) -> Result<RolloutPlan, PublishError> {
        let told = Teller { file };
        if text.len() as u64 > RolloutPlan::MAX_BYTES {
            let expected = format!("at most {} bytes", RolloutPlan::MAX_BYTES);
            return Err(told.wrong("the file", expected, format!("{}", text.len())));
        }
        let wire: WirePlan = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                let before = text.get(..span.start).unwrap_or_default();
                before.matches('\n').count() + 1
            });
            let found = error.message().replace('\n', " ");
            told.wrong(&format!("line {line}"), "the keys of a plan", found)
        })?;
        let objectives = told.objectives(wire.objectives.unwrap_or_default())?;
        let count = wire.step.len();
        if !(1..=RolloutPlan::MAX_STEPS).contains(&count) {
            let expected = format!("1 to {} steps", RolloutPlan::MAX_STEPS);
            return Err(told.wrong("step", expected, count.to_string()));
        }
        let mut steps: Vec<PlanStep> = Vec::new();
        for (index, step) in wire.step.into_iter().enumerate() {
            let place = format!("step {}", index + 1);
            let step = told.step(&place, step)?;
            let narrower = steps.iter().find(|before| {
                before.select == step.select
                    && before.mode == step.mode
                    && before.share >= step.share
            });
            if let Some(before) = narrower {
                let expected = format!("more than the {} of a step before", before.share);
                return Err(told.wrong(&place, expected, step.share.to_string()));
            }
            steps.push(step);
        }
        Ok(RolloutPlan {
            pack: wire.pack,
            channel: wire.channel.unwrap_or_default(),
            release: wire.release,
            starts: wire.starts,
            minimum_client: wire.minimum_client,
            objectives,
            steps,
        })
    }

    /// Returns the change that takes the step of this index; none behind the last one.
    pub fn steering(&self, index: usize) -> Option<Steering> {
        let step = self.steps.get(index)?;
        let mut offering = Offering::new(self.release.clone(), step.share);
        offering.select = step.select.clone();
        offering.mode = step.mode;
        offering.starts = self.starts;
        offering.minimum_client = self.minimum_client;
        Some(Steering::Offer(offering))
    }

    /// Returns where a channel stands that has this rollout.
    ///
    /// # Errors
    /// [`SteeringError::NotInPlan`] for one that offers the release, and not as a step does.
    pub fn position(&self, rollout: Option<&Rollout>) -> Result<PlanPosition, SteeringError> {
        let Some(rollout) = rollout.filter(|rollout| rollout.label == self.release) else {
            return Ok(PlanPosition::NotBegun);
        };
        let is_at = |step: &PlanStep| {
            step.share == rollout.share
                && step.select == rollout.select
                && step.mode == rollout.mode
        };
        match self.steps.iter().rposition(is_at) {
            Some(index) if rollout.halted => Ok(PlanPosition::Halted(index)),
            Some(index) => Ok(PlanPosition::At(index)),
            None => Err(SteeringError::NotInPlan {
                channel: rollout.channel.clone(),
                label: rollout.label.clone(),
                found: to_whom(rollout),
            }),
        }
    }
}

/// Tells what is wrong with a plan, and where.
struct Teller<'a> {
    file: &'a Path,
}

impl Teller<'_> {
    fn wrong(
        &self,
        place: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> PublishError {
        SteeringError::Plan {
            file: self.file.to_owned(),
            place: place.to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
        .into()
    }

    fn share(&self, place: &str, text: &str) -> Result<Share, PublishError> {
        let expected = "0% to 100% with at most two decimals";
        Share::parse(text).map_err(|_| self.wrong(place, expected, format!("{text:?}")))
    }

    fn duration(&self, place: &str, text: &str) -> Result<Duration, PublishError> {
        let refused = || {
            let expected = "a whole number of s, m, h or d such as 12h, a year at most";
            self.wrong(place, expected, format!("{text:?}"))
        };
        let unit = text.chars().next_back().ok_or_else(refused)?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => SECONDS_A_DAY,
            _ => return Err(refused()),
        };
        let number = text.strip_suffix(unit).unwrap_or_default();
        let is_plain = number.bytes().all(|b| b.is_ascii_digit());
        let number: u64 = number
            .parse()
            .ok()
            .filter(|_| is_plain)
            .ok_or_else(refused)?;
        let total = number.checked_mul(seconds);
        let total = total.filter(|total| *total <= 366 * SECONDS_A_DAY);
        total.map(Duration::from_secs).ok_or_else(refused)
    }

    fn objectives(&self, wire: WireObjectives) -> Result<Objectives, PublishError> {
        let standard = Objectives::default();
        let share = |key: &str, text: Option<String>, otherwise| match text {
            Some(text) => self.share(&format!("objectives.{key}"), &text),
            None => Ok(otherwise),
        };
        let confidence = share("confidence", wire.confidence, standard.confidence)?;
        // A bound of any lower confidence, or of certainty, means nothing.
        if !(5000..=9999).contains(&confidence.basis_points()) {
            let expected = "50% to 99.99%";
            let found = confidence.to_string();
            return Err(self.wrong("objectives.confidence", expected, found));
        }
        Ok(Objectives {
            minimum_sample: wire
                .minimum_sample
                .unwrap_or(standard.minimum_sample)
                .max(1),
            window: match wire.window {
                Some(text) => self.duration("objectives.window", &text)?,
                None => standard.window,
            },
            reverts: share("reverts", wire.reverts, standard.reverts)?,
            failed_verifications: share(
                "failed-verifications",
                wire.failed_verifications,
                standard.failed_verifications,
            )?,
            confirmations: share("confirmations", wire.confirmations, standard.confirmations)?,
            confidence,
        })
    }

    fn step(&self, place: &str, wire: WireStep) -> Result<PlanStep, PublishError> {
        let mut select = Selectors::default();
        for (key, values) in &wire.select {
            for value in values.all() {
                select.add(key, value).map_err(|error| {
                    self.wrong(&format!("{place}, select"), "labels", error.to_string())
                })?;
            }
        }
        Ok(PlanStep {
            share: self.share(&format!("{place}, share"), &wire.share)?,
            select,
            mode: wire.mode,
            wait: match wire.wait {
                Some(text) => self.duration(&format!("{place}, wait"), &text)?,
                None => Duration::ZERO,
            },
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WirePlan {
    pack: PackName,
    channel: Option<ChannelName>,
    release: Label,
    starts: Option<UtcTime>,
    minimum_client: Option<ClientVersion>,
    objectives: Option<WireObjectives>,
    #[serde(default)]
    step: Vec<WireStep>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireObjectives {
    minimum_sample: Option<u64>,
    window: Option<String>,
    reverts: Option<String>,
    failed_verifications: Option<String>,
    confirmations: Option<String>,
    confidence: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireStep {
    share: String,
    wait: Option<String>,
    #[serde(default)]
    select: BTreeMap<String, Values>,
    #[serde(default)]
    mode: Mode,
}

/// One value, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl Values {
    fn all(&self) -> &[String] {
        match self {
            Values::One(value) => std::slice::from_ref(value),
            Values::Several(values) => values,
        }
    }
}

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use diff_core::Digest;

    use super::*;

    const PLAN: &str = r#"
        pack = "acme/biology-101"
        release = "1.4.0"
        starts = "2026-12-01T06:00:00Z"
        [objectives]
        reverts = "2.5%"
        window = "36h"
        [[step]]
        share = "100%"
        mode = "shadow"
        [[step]]
        share = "100%"
        select = { ring = "pilot", site = ["nairobi", "kisumu"] }
        wait = "1d"
        [[step]]
        share = "10%"
        [[step]]
        share = "100%"
    "#;

    fn parse(text: &str) -> Result<RolloutPlan, PublishError> {
        RolloutPlan::parse("rollout.toml".as_ref(), text)
    }

    #[test]
    fn a_plan_is_read_with_what_it_leaves_out() {
        let plan = parse(PLAN).unwrap();
        assert_eq!(plan.channel.as_str(), "stable");
        assert_eq!(plan.objectives.reverts.to_string(), "2.5%");
        assert_eq!(plan.objectives.window, Duration::from_secs(36 * 3600));
        assert_eq!(plan.objectives.confirmations.to_string(), "90%");
        let [shadow, pilots, some, all] = &plan.steps[..] else {
            panic!("four steps");
        };
        assert_eq!(shadow.mode, Mode::Shadow);
        assert_eq!(pilots.select.to_string(), "ring=pilot site=kisumu,nairobi");
        assert_eq!(pilots.wait, Duration::from_secs(SECONDS_A_DAY));
        assert_eq!(
            (some.share.to_string(), all.share),
            ("10%".to_owned(), Share::FULL)
        );
        assert_eq!(some.wait, Duration::ZERO);
        let Some(Steering::Offer(offering)) = plan.steering(1) else {
            panic!("an offer");
        };
        assert_eq!(offering.select, pilots.select);
        assert_eq!(offering.starts, plan.starts);
        assert_eq!(plan.steering(4), None);
    }

    #[test]
    fn a_channel_is_found_in_its_plan() {
        let plan = parse(PLAN).unwrap();
        let label = Label::parse("1.4.0").unwrap();
        let release = Digest::of(b"1.4.0");
        let rollout = Rollout::new(plan.pack.clone(), plan.channel.clone(), release, label);
        let at = |rollout: &Rollout| plan.position(Some(rollout)).unwrap();
        assert_eq!(plan.position(None).unwrap(), PlanPosition::NotBegun);
        assert_eq!(at(&rollout), PlanPosition::At(3));
        let some = Rollout {
            share: Share::parse("10%").unwrap(),
            ..rollout.clone()
        };
        assert_eq!(at(&some), PlanPosition::At(2));
        let halted = Rollout {
            halted: true,
            ..some.clone()
        };
        assert_eq!(at(&halted), PlanPosition::Halted(2));
        let other = Rollout {
            label: Label::parse("1.3.0").unwrap(),
            ..rollout
        };
        assert_eq!(at(&other), PlanPosition::NotBegun);
        let strange = Rollout {
            share: Share::parse("7%").unwrap(),
            ..some
        };
        let refused = plan.position(Some(&strange)).unwrap_err();
        assert!(matches!(refused, SteeringError::NotInPlan { .. }));
    }

    #[test]
    fn what_no_plan_can_say_is_told_with_its_place() {
        let head = "pack = \"acme/biology-101\"\nrelease = \"1.4.0\"\n";
        for (rest, place) in [
            ("", "step"),
            ("[[step]]\nshare = \"5\"", "step 1, share"),
            (
                "[[step]]\nshare = \"5%\"\nwait = \"1 week\"",
                "step 1, wait",
            ),
            ("[[step]]\nshare = \"5%\"\nwait = \"400d\"", "step 1, wait"),
            (
                "[[step]]\nshare = \"5%\"\nwait = \"99999999999999999999d\"",
                "step 1, wait",
            ),
            (
                "[[step]]\nshare = \"5%\"\nselect = { Ring = \"x\" }",
                "step 1, select",
            ),
            (
                "[[step]]\nshare = \"5%\"\n[[step]]\nshare = \"5%\"",
                "step 2",
            ),
            ("[[step]]\nshare = \"5%\"\nspeed = 1", "line 5"),
            (
                "[objectives]\nconfidence = \"100%\"\n[[step]]\nshare = \"5%\"",
                "objectives.confidence",
            ),
            (
                "[objectives]\nreverts = 1\n[[step]]\nshare = \"5%\"",
                "line 4",
            ),
            ("starts = \"tomorrow\"\n[[step]]\nshare = \"5%\"", "line 3"),
        ] {
            let error = parse(&format!("{head}{rest}")).unwrap_err();
            let PublishError::Steering(SteeringError::Plan { place: found, .. }) = &error else {
                panic!("{error}");
            };
            assert_eq!(found, place, "{error}");
        }
        let long = format!("{head}# {}", "x".repeat(64 << 10));
        assert!(parse(&long).is_err());
    }
}
