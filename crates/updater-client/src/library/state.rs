//! The commit point of a pack: which release is active, which one to fall back to, and what is on
//! trial.

mod encoding;
mod keeping;
mod kept;
mod reporting;
mod store;
mod told;

use diff_core::Digest;
use release_format::{Label, PackName};
use serde::{Deserialize, Serialize};

use kept::Keeping;
pub use kept::{Hold, InstalledRelease, Pin};
pub use store::{Change, StateStore, Stored};
use told::Reporting;
pub(crate) use told::ended;
pub use told::{Began, Ended, Ending};

use crate::error::UpdateError;

/// What a device has of one pack; the next one is made by a transition and becomes true when
/// [`StateStore`] has written it.
///
/// Transitions are pure: they return the record that is to follow and leave this one as it is.
///
/// ```
/// # use diff_core::Digest;
/// # use release_format::{Label, PackName};
/// use updater_client::library::state::{InstalledRelease, StateRecord};
/// # let release = |label: &str, sequence| InstalledRelease {
/// #     label: Label::parse(label).unwrap(),
/// #     sequence,
/// #     manifest: Digest::of(label.as_bytes()),
/// #     tree_bytes: 1_000,
/// # };
/// # let (first, second) = (release("1.0", 1), release("1.1", 2));
/// let record = StateRecord::empty(PackName::parse("acme/biology-101")?);
/// let record = record.activate(first.clone(), StateRecord::OPENINGS)?.confirm()?;
/// let record = record.activate(second, StateRecord::OPENINGS)?;
/// let record = record.fail("the quiz does not open")?;
/// assert_eq!(record.active(), Some(&first));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/state.md")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRecord {
    pack: PackName,
    generation: u64,
    active: Option<InstalledRelease>,
    fallback: Option<InstalledRelease>,
    trial: Option<Trial>,
    refused: Vec<RefusedRelease>,
    highest_sequence: u64,
    keeping: Keeping,
    reporting: Reporting,
}

impl StateRecord {
    /// How often a release on trial may be opened unless the host says otherwise.
    pub const OPENINGS: u32 = 3;
    /// Releases that are remembered as refused; beyond it the oldest are forgotten.
    pub const MAX_REFUSED: usize = 256;
    /// Characters of a reason that are kept.
    pub const MAX_REASON_CHARS: usize = 500;
    /// Bytes of a record: stops a damaged file from filling the memory.
    pub const MAX_BYTES: u64 = 1 << 20;

    /// Returns the record of a pack that is not installed.
    pub fn empty(pack: PackName) -> StateRecord {
        StateRecord {
            pack,
            generation: 0,
            active: None,
            fallback: None,
            trial: None,
            refused: Vec::new(),
            highest_sequence: 0,
            keeping: Keeping::default(),
            reporting: Reporting::default(),
        }
    }

    /// Returns the pack.
    pub fn pack(&self) -> &PackName {
        &self.pack
    }

    /// Returns how many records were written before this one, itself included; 0 was never written.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the release that learners get.
    pub fn active(&self) -> Option<&InstalledRelease> {
        self.active.as_ref()
    }

    /// Returns the release that was confirmed last before the active one.
    pub fn fallback(&self) -> Option<&InstalledRelease> {
        self.fallback.as_ref()
    }

    /// Returns the trial of the active release, while it has one.
    pub fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    /// Returns the releases that are not activated again, the oldest first.
    pub fn refused(&self) -> &[RefusedRelease] {
        &self.refused
    }

    /// Returns why a release is not activated again, if so.
    pub fn refusal_of(&self, manifest: &Digest) -> Option<&RefusedRelease> {
        self.refused
            .iter()
            .find(|refused| refused.manifest == *manifest)
    }

    /// Returns the highest sequence number that was ever active here.
    pub fn highest_sequence(&self) -> u64 {
        self.highest_sequence
    }

    /// Returns the record in which `release` is active, on trial for `openings` openings (one at the
    /// least), and the release that was confirmed last is the fallback.
    ///
    /// A release on trial never becomes a fallback: it was not seen to open well. The fallback of a
    /// running trial can itself be activated; it was confirmed once and needs no trial.
    ///
    /// # Errors
    /// [`UpdateError::AlreadyActive`]; [`UpdateError::ReleaseRefused`] for a release that failed
    /// here.
    pub fn activate(
        &self,
        release: InstalledRelease,
        openings: u32,
    ) -> Result<StateRecord, UpdateError> {
        self.may_become_active(&release)?;
        let confirmed = match self.trial {
            Some(_) => &self.fallback,
            None => &self.active,
        };
        let returns = confirmed
            .as_ref()
            .is_some_and(|known| known.manifest == release.manifest);
        let trial = Trial {
            openings: 0,
            allowed: openings.max(1),
        };
        let mut next = StateRecord {
            highest_sequence: self.highest_sequence.max(release.sequence),
            fallback: confirmed.clone().filter(|_| !returns),
            trial: Some(trial).filter(|_| !returns),
            active: Some(release),
            ..self.clone()
        };
        next.reporting.began = None;
        Ok(next.tidied())
    }

    /// Returns the record in which the active release is trusted to stay.
    ///
    /// Releases that failed here and are older than it are no longer refused: should they be offered
    /// once more, somebody meant it.
    ///
    /// # Errors
    /// [`UpdateError::NoTrial`].
    pub fn confirm(&self) -> Result<StateRecord, UpdateError> {
        let (Some(active), Some(_)) = (&self.active, &self.trial) else {
            return Err(self.no_trial());
        };
        let mut next = self.clone();
        next.trial = None;
        next.reporting.began = None;
        next.refused
            .retain(|refused| refused.sequence > active.sequence);
        Ok(next)
    }

    /// Returns the record in which the trial has failed: the fallback is active again, nothing is
    /// where there is none, and the release is refused until a newer one is confirmed.
    ///
    /// # Errors
    /// [`UpdateError::NoTrial`].
    pub fn fail(&self, reason: &str) -> Result<StateRecord, UpdateError> {
        match (&self.active, &self.trial) {
            (Some(active), Some(_)) => Ok(self.back_from(active, reason)),
            _ => Err(self.no_trial()),
        }
    }

    /// Returns the record in which the fallback is active again, and the release that was is refused
    /// until a newer one is confirmed; also after a confirmation.
    ///
    /// # Errors
    /// [`UpdateError::NoFallback`] when there is nothing to go back to and no trial to end.
    pub fn revert(&self, reason: &str) -> Result<StateRecord, UpdateError> {
        match &self.active {
            Some(active) if self.fallback.is_some() || self.trial.is_some() => {
                Ok(self.back_from(active, reason))
            }
            _ => Err(UpdateError::NoFallback {
                pack: self.pack.clone(),
            }),
        }
    }

    /// Returns the record in which the active release is left for `release`, on trial, and refused from
    /// now on: it was withdrawn, so that it must not be what a failed trial goes back to.
    ///
    /// # Errors
    /// As [`StateRecord::activate`].
    pub fn leave(
        &self,
        release: InstalledRelease,
        openings: u32,
        reason: &str,
    ) -> Result<StateRecord, UpdateError> {
        self.may_become_active(&release)?;
        let Some(active) = &self.active else {
            return self.activate(release, openings);
        };
        let left = self.back_from(active, reason);
        match &left.active {
            Some(fallback) if fallback.manifest == release.manifest => Ok(left),
            _ => left.activate(release, openings),
        }
    }

    /// Returns the record that counts an opening of the active release.
    ///
    /// Without a trial it is this one. The opening after the last one allowed reverts: whatever keeps
    /// the host from confirming would keep it for ever.
    #[must_use]
    pub fn count_opening(&self) -> StateRecord {
        let (Some(active), Some(trial)) = (&self.active, &self.trial) else {
            return self.clone();
        };
        if trial.openings >= trial.allowed {
            let reason = format!("opened {} times without a confirmation", trial.openings);
            return self.back_from(active, &reason);
        }
        let counted = Trial {
            openings: trial.openings + 1,
            ..*trial
        };
        StateRecord {
            trial: Some(counted),
            ..self.clone()
        }
    }

    fn back_from(&self, failed: &InstalledRelease, reason: &str) -> StateRecord {
        let mut refused = self.refused.clone();
        refused.push(RefusedRelease {
            manifest: failed.manifest,
            label: failed.label.clone(),
            sequence: failed.sequence,
            reason: reason.chars().take(StateRecord::MAX_REASON_CHARS).collect(),
        });
        let surplus = refused.len().saturating_sub(StateRecord::MAX_REFUSED);
        refused.drain(..surplus);
        let mut next = StateRecord {
            active: self.fallback.clone(),
            fallback: None,
            trial: None,
            refused,
            ..self.clone()
        };
        next.reporting.began = None;
        next.tidied()
    }

    fn may_become_active(&self, release: &InstalledRelease) -> Result<(), UpdateError> {
        let active = self.active.as_ref().map(|active| active.manifest);
        if active == Some(release.manifest) {
            return Err(UpdateError::AlreadyActive {
                label: release.label.clone(),
            });
        }
        match self.refusal_of(&release.manifest) {
            Some(refused) => Err(UpdateError::ReleaseRefused {
                label: refused.label.clone(),
                reason: refused.reason.clone(),
            }),
            None => Ok(()),
        }
    }

    fn no_trial(&self) -> UpdateError {
        UpdateError::NoTrial {
            pack: self.pack.clone(),
        }
    }
}

/// The time in which a release has to show that it opens well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// How often it was opened.
    pub openings: u32,
    /// How often it may be opened before it is confirmed.
    pub allowed: u32,
}

/// A release that failed here, or was left because it was withdrawn; it is not activated again until a
/// newer one is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedRelease {
    /// The digest of its manifest.
    pub manifest: Digest,
    /// What people call it.
    pub label: Label,
    /// Its place among the pack's releases.
    pub sequence: u64,
    /// Why, in the words of whoever found it failing.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(sequence: u64) -> InstalledRelease {
        let label = format!("1.{sequence}");
        InstalledRelease {
            manifest: Digest::of(label.as_bytes()),
            label: Label::parse(&label).unwrap(),
            sequence,
            tree_bytes: 1_000 * sequence,
        }
    }

    fn empty() -> StateRecord {
        StateRecord::empty(PackName::parse("acme/biology-101").unwrap())
    }

    #[test]
    fn a_withdrawn_release_is_left_for_good() {
        let leave = |steps: &[Step], to| {
            let record = steps
                .iter()
                .fold(empty(), |record, step| take(&record, step).unwrap());
            let left = record
                .leave(release(to), StateRecord::OPENINGS, "withdrawn")
                .unwrap();
            assert!(matches!(
                left.activate(record.active().unwrap().clone(), 3),
                Err(UpdateError::ReleaseRefused { .. })
            ));
            shape(&left)
        };
        let confirmed = [Activate(1), Confirm, Activate(2), Confirm];
        assert_eq!(leave(&confirmed, 1), (Some(1), None, None, vec![2]));
        assert_eq!(leave(&confirmed, 3), (Some(3), Some(1), Some(0), vec![2]));
        assert_eq!(
            leave(&[Activate(2), Confirm], 1),
            (Some(1), None, Some(0), vec![2])
        );
        let on_trial = [Activate(1), Confirm, Activate(3)];
        assert_eq!(leave(&on_trial, 2), (Some(2), Some(1), Some(0), vec![3]));
    }

    /// Active, fallback, openings of the trial, refused: by sequence numbers.
    type Shape = (Option<u64>, Option<u64>, Option<u32>, Vec<u64>);

    fn shape(record: &StateRecord) -> Shape {
        (
            record.active().map(|release| release.sequence),
            record.fallback().map(|release| release.sequence),
            record.trial().map(|trial| trial.openings),
            record
                .refused()
                .iter()
                .map(|refused| refused.sequence)
                .collect(),
        )
    }

    enum Step {
        Activate(u64),
        Confirm,
        Fail,
        Revert,
        Open,
    }
    use Step::{Activate, Confirm, Fail, Open, Revert};

    fn take(record: &StateRecord, step: &Step) -> Result<StateRecord, UpdateError> {
        match step {
            Activate(sequence) => record.activate(release(*sequence), StateRecord::OPENINGS),
            Confirm => record.confirm(),
            Fail => record.fail("the quiz does not open"),
            Revert => record.revert("the teacher asked for it"),
            Open => Ok(record.count_opening()),
        }
    }

    #[test]
    fn every_road_leads_where_the_table_says() {
        let table: &[(&str, &[Step], Shape)] = &[
            (
                "first install is on trial",
                &[Activate(1)],
                (Some(1), None, Some(0), vec![]),
            ),
            (
                "and stays",
                &[Activate(1), Confirm],
                (Some(1), None, None, vec![]),
            ),
            (
                "the confirmed release becomes the fallback",
                &[Activate(1), Confirm, Activate(2)],
                (Some(2), Some(1), Some(0), vec![]),
            ),
            (
                "and is kept as such",
                &[Activate(1), Confirm, Activate(2), Confirm],
                (Some(2), Some(1), None, vec![]),
            ),
            (
                "a release on trial never becomes the fallback",
                &[Activate(1), Confirm, Activate(2), Activate(3)],
                (Some(3), Some(1), Some(0), vec![]),
            ),
            (
                "not even at the first install",
                &[Activate(1), Activate(2)],
                (Some(2), None, Some(0), vec![]),
            ),
            (
                "the fallback of a trial is activated without one",
                &[Activate(1), Confirm, Activate(2), Activate(1)],
                (Some(1), None, None, vec![]),
            ),
            (
                "an older release is activated on trial",
                &[Activate(1), Confirm, Activate(2), Confirm, Activate(1)],
                (Some(1), Some(2), Some(0), vec![]),
            ),
            (
                "a failed trial goes back and is refused",
                &[Activate(1), Confirm, Activate(2), Fail],
                (Some(1), None, None, vec![2]),
            ),
            (
                "a failed first install leaves nothing",
                &[Activate(1), Fail],
                (None, None, None, vec![1]),
            ),
            (
                "what failed is left for a newer one",
                &[Activate(1), Confirm, Activate(2), Fail, Activate(3)],
                (Some(3), Some(1), Some(0), vec![2]),
            ),
            (
                "whose confirmation forgives what is older",
                &[
                    Activate(1),
                    Confirm,
                    Activate(2),
                    Fail,
                    Activate(3),
                    Confirm,
                ],
                (Some(3), Some(1), None, vec![]),
            ),
            (
                "the confirmation of an older one forgives nothing",
                &[
                    Activate(1),
                    Confirm,
                    Activate(3),
                    Fail,
                    Activate(2),
                    Confirm,
                ],
                (Some(2), Some(1), None, vec![3]),
            ),
            (
                "revert ends a trial",
                &[Activate(1), Confirm, Activate(2), Revert],
                (Some(1), None, None, vec![2]),
            ),
            (
                "and undoes a confirmed switch",
                &[Activate(1), Confirm, Activate(2), Confirm, Revert],
                (Some(1), None, None, vec![2]),
            ),
            (
                "and a first install on trial",
                &[Activate(1), Revert],
                (None, None, None, vec![1]),
            ),
            (
                "openings count",
                &[Activate(1), Confirm, Activate(2), Open, Open, Open],
                (Some(2), Some(1), Some(3), vec![]),
            ),
            (
                "up to the one too many",
                &[Activate(1), Confirm, Activate(2), Open, Open, Open, Open],
                (Some(1), None, None, vec![2]),
            ),
            (
                "which leaves nothing of a first install",
                &[Activate(1), Open, Open, Open, Open],
                (None, None, None, vec![1]),
            ),
            (
                "openings outside a trial count nothing",
                &[Activate(1), Confirm, Open, Open, Open, Open],
                (Some(1), None, None, vec![]),
            ),
            (
                "a new trial counts from nothing",
                &[Activate(1), Open, Open, Activate(2), Open],
                (Some(2), None, Some(1), vec![]),
            ),
        ];
        for (claim, steps, expected) in table {
            let mut record = empty();
            for step in *steps {
                record = take(&record, step).unwrap();
            }
            assert_eq!(shape(&record), *expected, "{claim}");
        }
    }

    #[test]
    fn roads_that_lead_nowhere_are_refused() {
        let table: &[(&[Step], Step, &str)] = &[
            (&[], Confirm, "no-trial"),
            (&[], Fail, "no-trial"),
            (&[], Revert, "no-fallback"),
            (&[Activate(1), Confirm], Confirm, "no-trial"),
            (&[Activate(1), Confirm], Fail, "no-trial"),
            (&[Activate(1), Confirm], Revert, "no-fallback"),
            (&[Activate(1)], Activate(1), "already-active"),
            (&[Activate(1), Fail], Activate(1), "release-refused"),
        ];
        for (steps, last, expected) in table {
            let mut record = empty();
            for step in *steps {
                record = take(&record, step).unwrap();
            }
            assert_eq!(take(&record, last).unwrap_err().code(), *expected);
        }
    }

    #[test]
    fn the_highest_sequence_never_falls() {
        let mut record = empty();
        for step in [
            Activate(1),
            Confirm,
            Activate(5),
            Fail,
            Activate(3),
            Confirm,
        ] {
            record = take(&record, &step).unwrap();
        }
        assert_eq!(record.highest_sequence(), 5);
    }

    #[test]
    fn refusals_and_reasons_have_a_ceiling_and_the_oldest_give_way() {
        let mut record = take(&empty(), &Activate(1_000)).unwrap().confirm().unwrap();
        let long = "\u{1}".repeat(10_000);
        for sequence in 0..300 {
            record = take(&record, &Activate(sequence))
                .unwrap()
                .fail(&long)
                .unwrap();
        }
        assert_eq!(record.refused().len(), StateRecord::MAX_REFUSED);
        assert_eq!(record.refused().first().unwrap().sequence, 44);
        assert_eq!(record.refused().last().unwrap().reason.len(), 500);
        assert!((record.encode().len() as u64) < StateRecord::MAX_BYTES);
    }
}
