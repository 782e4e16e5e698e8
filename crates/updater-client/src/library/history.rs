//! What became of a pack on this device: activations, confirmations and ways back.

use diff_core::Digest;
use release_format::{ContentVersion, PackName, UtcTime};
use serde::{Deserialize, Serialize};

use crate::library::record::{self, RecordError};
use crate::library::state::{InstalledRelease, StateRecord};

/// One thing that became of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEvent {
    /// The generation of the state record that made it true; 0 where all records were lost since.
    pub generation: u64,
    /// The digest of that record: an event whose record never came to be is none.
    record: Digest,
    /// What the device's clock showed.
    pub time: UtcTime,
    /// What it was.
    pub kind: HistoryKind,
    /// The release that was activated, confirmed or left.
    pub release: InstalledRelease,
    /// The release that was active before, or is since, when that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<InstalledRelease>,
    /// Why a release was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an event of the history was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HistoryKind {
    /// A release became the active one.
    Activated,
    /// The active release is trusted to stay.
    Confirmed,
    /// A release was left for the one before it.
    Reverted,
}

impl HistoryKind {
    /// Returns the name, which stays the same.
    pub fn code(self) -> &'static str {
        match self {
            HistoryKind::Activated => "activated",
            HistoryKind::Confirmed => "confirmed",
            HistoryKind::Reverted => "reverted",
        }
    }
}

impl HistoryEvent {
    /// Returns what an LMS stores beside a learner's attempt on the release.
    pub fn content_version(&self, pack: &PackName) -> ContentVersion {
        ContentVersion {
            pack: pack.clone(),
            label: self.release.label.clone(),
            manifest: self.release.manifest,
        }
    }

    /// Returns what the change from `before` to `after` means, if it means anything to people.
    pub(crate) fn of(
        before: &StateRecord,
        after: &StateRecord,
        time: UtcTime,
    ) -> Option<HistoryEvent> {
        let event = |kind, release: &InstalledRelease, other: Option<&InstalledRelease>, reason| {
            HistoryEvent {
                generation: after.generation(),
                record: Digest::of(&after.encode()),
                time,
                kind,
                release: release.clone(),
                other: other.cloned(),
                reason,
            }
        };
        let (was, is) = (before.active(), after.active());
        let manifest = |release: Option<&InstalledRelease>| release.map(|r| r.manifest);
        if manifest(was) == manifest(is) {
            let is_confirmed = before.trial().is_some() && after.trial().is_none();
            let release = is.filter(|_| is_confirmed)?;
            return Some(event(HistoryKind::Confirmed, release, None, None));
        }
        if let Some(left) = was
            && before.refusal_of(&left.manifest).is_none()
            && let Some(refused) = after.refusal_of(&left.manifest)
        {
            let reason = Some(refused.reason.clone());
            return Some(event(HistoryKind::Reverted, left, is, reason));
        }
        Some(event(HistoryKind::Activated, is?, was, None))
    }
}

/// The events of a pack, the oldest first.
///
/// The state record alone says what is true. An event is written before its record and tells of it by
/// number and digest, so that one whose record a crash took is known as such, and no crash leaves a
/// record without its event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct History {
    events: Vec<HistoryEvent>,
}

impl History {
    /// Events that are kept; the oldest give way.
    pub(crate) const MAX_EVENTS: usize = 1000;
    /// Bytes of the file: stops a damaged one from filling the memory.
    pub(crate) const MAX_BYTES: u64 = 8 << 20;

    /// Returns the events.
    pub(crate) fn events(self) -> Vec<HistoryEvent> {
        self.events
    }

    /// Returns the history without what never came to be, now that `record` is true.
    pub(crate) fn settled(mut self, record: &StateRecord) -> History {
        let generation = record.generation();
        let mut digest = None;
        self.events.retain(|event| {
            event.generation < generation
                || event.generation == generation
                    && *digest.get_or_insert_with(|| Digest::of(&record.encode())) == event.record
        });
        self
    }

    /// Returns the history with one more event.
    pub(crate) fn with(mut self, event: HistoryEvent) -> History {
        self.events.push(event);
        let surplus = self.events.len().saturating_sub(History::MAX_EVENTS);
        self.events.drain(..surplus);
        self
    }

    /// Returns the history of a pack whose records were lost, and are counted anew.
    pub(crate) fn of_lost_records(mut self) -> History {
        for event in &mut self.events {
            event.generation = 0;
        }
        self
    }

    /// Returns the bytes of the file: JSON that people can read, and a line with its digest.
    pub(crate) fn encode(&self, pack: &PackName) -> Vec<u8> {
        let document = Document {
            format: FORMAT,
            pack: pack.clone(),
            events: self.events.clone(),
        };
        record::digested(record::write_json(&document))
    }

    /// Returns the history of a pack whose file has these bytes.
    pub(crate) fn decode(bytes: &[u8], pack: &PackName) -> Result<History, RecordError> {
        let document: Document = record::read_json(record::undigested(bytes)?, FORMAT)?;
        if document.pack != *pack {
            return Err(RecordError::damaged(pack, document.pack));
        }
        if document.events.len() > History::MAX_EVENTS {
            let found = document.events.len();
            return Err(RecordError::damaged("at most 1000 events", found));
        }
        Ok(History {
            events: document.events,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    pack: PackName,
    events: Vec<HistoryEvent>,
}

const FORMAT: u64 = 1;

#[cfg(test)]
mod tests {
    use release_format::Label;

    use super::*;

    fn pack() -> PackName {
        PackName::parse("acme/biology-101").unwrap()
    }

    fn release(sequence: u64) -> InstalledRelease {
        let label = format!("1.{sequence}");
        InstalledRelease {
            manifest: Digest::of(label.as_bytes()),
            label: Label::parse(&label).unwrap(),
            sequence,
            tree_bytes: 1,
        }
    }

    fn time(second: i64) -> UtcTime {
        UtcTime::from_seconds(second)
    }

    #[test]
    fn every_change_that_people_ask_about_is_an_event() {
        let empty = StateRecord::empty(pack());
        let first = empty.activate(release(1), 3).unwrap();
        let confirmed = first.confirm().unwrap();
        let second = confirmed.activate(release(2), 3).unwrap();
        let opened = second.count_opening();
        let failed = opened.fail("the quiz does not open").unwrap();
        let told = |before: &StateRecord, after: &StateRecord| {
            let event = HistoryEvent::of(before, after, time(1))?;
            let other = event.other.map(|other| other.sequence);
            Some((event.kind, event.release.sequence, other, event.reason))
        };
        let reason = Some("the quiz does not open".to_owned());
        assert_eq!(
            told(&empty, &first),
            Some((HistoryKind::Activated, 1, None, None))
        );
        assert_eq!(
            told(&first, &confirmed),
            Some((HistoryKind::Confirmed, 1, None, None))
        );
        assert_eq!(
            told(&confirmed, &second),
            Some((HistoryKind::Activated, 2, Some(1), None))
        );
        assert_eq!(told(&second, &opened), None);
        assert_eq!(
            told(&opened, &failed),
            Some((HistoryKind::Reverted, 2, Some(1), reason.clone()))
        );
        let nothing = first.fail("the quiz does not open").unwrap();
        assert_eq!(
            told(&first, &nothing),
            Some((HistoryKind::Reverted, 1, None, reason))
        );
    }

    #[test]
    fn history_is_bounded_and_survives_its_bytes() {
        let empty = StateRecord::empty(pack());
        let mut history = History::default();
        for second in 0..1_500 {
            let after = empty.activate(release(1), 3).unwrap();
            history = history.with(HistoryEvent::of(&empty, &after, time(second)).unwrap());
        }
        assert_eq!(history.events.len(), History::MAX_EVENTS);
        assert_eq!(history.events[0].time, time(500));
        let bytes = history.encode(&pack());
        assert_eq!(History::decode(&bytes, &pack()), Ok(history));
        let other = PackName::parse("acme/chemistry").unwrap();
        assert!(matches!(
            History::decode(&bytes, &other),
            Err(RecordError::Damaged { .. })
        ));
        let mut damaged = bytes;
        damaged[100] ^= 1;
        assert!(matches!(
            History::decode(&damaged, &pack()),
            Err(RecordError::Damaged { .. })
        ));
    }
}
