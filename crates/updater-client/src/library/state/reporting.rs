use release_format::{Reason, ReceiptId, ReceiptOutcome};

use super::StateRecord;
use super::told::{Began, Ended, Ending, ended};

impl StateRecord {
    /// Trials whose receipts wait for the outbox; beyond it the oldest are forgotten.
    pub const MAX_ENDED: usize = 32;

    /// Returns the trials that ended and whose receipts are to be put into the outbox, the oldest first.
    pub fn ended(&self) -> &[Ended] {
        &self.reporting.ended
    }

    /// Returns the record that remembers how its trial began; without a trial it is this one.
    #[must_use]
    pub fn begun(mut self, began: Option<Began>) -> StateRecord {
        if self.trial.is_some() {
            self.reporting.began = began;
        }
        self
    }

    /// Returns the record that also tells what ended on the way to it from `before`.
    ///
    /// The same write that ends a trial says so: no crash comes between the two.
    #[must_use]
    pub fn telling(self, before: &StateRecord, ending: &Ending<'_>) -> StateRecord {
        let Some(was) = &before.active else {
            return self;
        };
        let has_left = self.active.as_ref().map(|is| is.manifest) != Some(was.manifest);
        let outcome = match (&before.trial, has_left, &self.trial) {
            (Some(_), true, _) | (Some(_), false, None) => ending.outcome,
            (None, true, _) if !ending.code.is_empty() => ReceiptOutcome::Undone,
            _ => return self,
        };
        let told = self
            .refusal_of(&was.manifest)
            .map(|refused| &refused.reason);
        let told = told.map_or("", String::as_str);
        let reason = outcome
            .needs_reason()
            .then(|| Reason::new(ending.code, told).expect("our codes are codes"));
        let remembered = before.trial.and(before.reporting.began.clone());
        let ended = ended(was, outcome, reason, remembered, ending);
        self.ending_with(ended)
    }

    /// Returns the record that also tells of `ended`.
    pub(crate) fn ending_with(mut self, ended: Ended) -> StateRecord {
        self.reporting.ended.push(ended);
        let surplus = self.reporting.ended.len();
        let surplus = surplus.saturating_sub(StateRecord::MAX_ENDED);
        self.reporting.ended.drain(..surplus);
        self
    }

    /// Returns the record that tells no more of these trials: their receipts lie in the outbox.
    #[must_use]
    pub fn told(&self, trials: &[ReceiptId]) -> StateRecord {
        let mut next = self.clone();
        next.reporting
            .ended
            .retain(|ended| !trials.contains(&ended.began.trial));
        next
    }
}

#[cfg(test)]
mod tests {
    use diff_core::Digest;
    use release_format::{ChannelName, Label, PackName, ReceiptRoute, UtcTime};

    use super::super::kept::InstalledRelease;
    use super::*;

    fn release(sequence: u64) -> InstalledRelease {
        let label = format!("1.{sequence}");
        InstalledRelease {
            manifest: Digest::of(label.as_bytes()),
            label: Label::parse(&label).unwrap(),
            sequence,
            tree_bytes: 1_000,
        }
    }

    fn began(seconds: i64) -> Began {
        Began {
            trial: ReceiptId::from_bytes([7; ReceiptId::LENGTH]),
            at: UtcTime::from_seconds(seconds),
            channel: ChannelName::default(),
            route: ReceiptRoute::Chain,
            fetched_bytes: 5,
            update_seconds: 6,
        }
    }

    /// Returns a record with 1.1 confirmed and 1.2 on trial since second 1,000.
    fn on_trial() -> StateRecord {
        let first = StateRecord::empty(PackName::parse("acme/biology-101").unwrap());
        let first = first.activate(release(1), 3).unwrap().confirm().unwrap();
        let mut record = first
            .activate(release(2), 3)
            .unwrap()
            .begun(Some(began(1_000)));
        record.generation = 3;
        record
    }

    fn ending(outcome: ReceiptOutcome, now: i64) -> Ending<'static> {
        static STABLE: std::sync::OnceLock<ChannelName> = std::sync::OnceLock::new();
        Ending {
            outcome,
            code: "host",
            now: UtcTime::from_seconds(now),
            floor: UtcTime::from_seconds(500),
            channel: STABLE.get_or_init(ChannelName::default),
            fresh: ReceiptId::from_bytes([9; ReceiptId::LENGTH]),
        }
    }

    type Next = fn(&StateRecord) -> StateRecord;

    #[test]
    fn every_end_of_a_trial_is_told_and_nothing_else() {
        let table: &[(&str, Next, ReceiptOutcome, &[ReceiptOutcome])] = &[
            (
                "confirmed",
                |record| record.confirm().unwrap(),
                ReceiptOutcome::Confirmed,
                &[ReceiptOutcome::Confirmed],
            ),
            (
                "failed",
                |record| record.fail("the quiz").unwrap(),
                ReceiptOutcome::Failed,
                &[ReceiptOutcome::Failed],
            ),
            (
                "replaced by another",
                |record| record.activate(release(3), 3).unwrap(),
                ReceiptOutcome::Superseded,
                &[ReceiptOutcome::Superseded],
            ),
            (
                "left for what was there before",
                |record| record.activate(release(1), 3).unwrap(),
                ReceiptOutcome::Superseded,
                &[ReceiptOutcome::Superseded],
            ),
            (
                "opened, and still on trial",
                StateRecord::count_opening,
                ReceiptOutcome::Reverted,
                &[],
            ),
        ];
        for (claim, next, outcome, expected) in table {
            let before = on_trial();
            let after = next(&before).telling(&before, &ending(*outcome, 4_600));
            let told: Vec<_> = after.ended().iter().map(|ended| ended.outcome).collect();
            assert_eq!(told, *expected, "{claim}");
            for ended in after.ended() {
                assert_eq!(ended.began, began(1_000), "{claim}");
                assert_eq!((ended.trial_seconds(), ended.clock_believed), (3_600, true));
                assert_eq!(ended.reason.is_some(), outcome.needs_reason(), "{claim}");
                assert_eq!(ended.label, release(2).label);
            }
            let read = StateRecord::decode(&after.encode());
            assert_eq!(read, Ok(after), "{claim}");
        }
    }

    #[test]
    fn going_back_after_a_confirmation_is_told_by_itself() {
        let before = on_trial().confirm().unwrap();
        let after = before.revert("the teacher").unwrap();
        let after = after.telling(&before, &ending(ReceiptOutcome::Failed, 4_600));
        let [ended] = after.ended() else {
            panic!("{:?}", after.ended());
        };
        assert_eq!(ended.outcome, ReceiptOutcome::Undone);
        assert_eq!(
            ended.began.trial,
            ReceiptId::from_bytes([9; ReceiptId::LENGTH])
        );
        // An update to the next one undoes nothing, unless it leaves what was withdrawn.
        let next = before.activate(release(3), 3).unwrap();
        let mut ending = ending(ReceiptOutcome::Superseded, 4_600);
        let left = next.clone().telling(&before, &ending);
        assert_eq!(left.ended()[0].outcome, ReceiptOutcome::Undone);
        ending.code = "";
        assert_eq!(next.telling(&before, &ending).ended(), []);
    }

    #[test]
    fn a_clock_before_the_trial_is_not_believed() {
        let before = on_trial();
        let after = before.confirm().unwrap();
        let after = after.telling(&before, &ending(ReceiptOutcome::Confirmed, 0));
        let ended = &after.ended()[0];
        assert_eq!(
            (ended.at, ended.clock_believed),
            (UtcTime::from_seconds(1_000), false)
        );
        assert_eq!(ended.trial_seconds(), 0);
    }

    #[test]
    fn what_is_told_is_forgotten_and_the_oldest_give_way() {
        let mut record = on_trial();
        for number in 0..40 {
            let before = record.clone();
            let mut ending = ending(ReceiptOutcome::Failed, 2_000);
            ending.fresh = ReceiptId::from_bytes([number; ReceiptId::LENGTH]);
            record = before.fail("no").unwrap().telling(&before, &ending);
            record = record
                .activate(release(100 + u64::from(number)), 3)
                .unwrap();
        }
        assert_eq!(record.ended().len(), StateRecord::MAX_ENDED);
        assert_eq!(
            StateRecord::decode(
                &StateRecord {
                    generation: 9,
                    ..record.clone()
                }
                .encode()
            )
            .unwrap()
            .ended()
            .len(),
            32
        );
        let all: Vec<ReceiptId> = record
            .ended()
            .iter()
            .map(|ended| ended.began.trial)
            .collect();
        let kept = record.told(&all[1..]);
        assert_eq!(kept.ended().len(), 1);
        let none = kept.told(&all).confirm().unwrap();
        assert!(
            String::from_utf8(none.encode())
                .unwrap()
                .contains("\"format\": 1,")
        );
    }
}
