use diff_core::Digest;
use release_format::PackName;
use serde::{Deserialize, Serialize};

use super::kept::{Copy, Hold, InstalledRelease, Keeping, Pin};
use super::told::{Began, Ended, Reporting};
use super::{RefusedRelease, StateRecord, Trial};
use crate::library::record::{self, RecordError};

/// The newest version of the format.
const FORMAT: u64 = 3;
/// The version that says nothing of trials; written where there is nothing to tell.
const KEPT_FORMAT: u64 = 2;
/// The version that says nothing of what is kept; written wherever there is nothing to say.
const PLAIN_FORMAT: u64 = 1;

impl StateRecord {
    /// Returns the bytes of the record's file: JSON that people can read, and a line with its digest.
    pub fn encode(&self) -> Vec<u8> {
        let is_silent = self.reporting == Reporting::default();
        let is_plain = self.keeping == Keeping::default() && is_silent;
        let told = ToldDocument {
            began: self.reporting.began.clone(),
            ended: self.reporting.ended.clone(),
        };
        let kept = KeptDocument {
            staged: self.keeping.staged.clone(),
            pins: self.keeping.pins.iter().map(PinDocument::from).collect(),
            holds: self.keeping.holds.clone(),
            copies: self.keeping.copies.clone(),
        };
        let document = Document {
            format: match (is_plain, is_silent) {
                (true, _) => PLAIN_FORMAT,
                (false, true) => KEPT_FORMAT,
                (false, false) => FORMAT,
            },
            generation: self.generation,
            pack: self.pack.clone(),
            active: self.active.clone(),
            fallback: self.fallback.clone(),
            trial: self.trial,
            refused: self.refused.clone(),
            highest_sequence: self.highest_sequence,
            kept: Some(kept).filter(|_| !is_plain),
            told: Some(told).filter(|_| !is_silent),
        };
        record::digested(record::write_json(&document))
    }

    /// Returns the record whose file has these bytes.
    ///
    /// # Errors
    /// [`RecordError::NewerFormat`] for what a newer Satchel wrote, [`RecordError::Damaged`] for what
    /// none wrote.
    pub fn decode(bytes: &[u8]) -> Result<StateRecord, RecordError> {
        if bytes.len() as u64 > StateRecord::MAX_BYTES {
            let expected = format!("at most {} bytes", StateRecord::MAX_BYTES);
            return Err(RecordError::damaged(expected, "more"));
        }
        let json = record::undigested(bytes)?;
        let document: Document = record::read_json(json, FORMAT)?;
        document.into_record()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    generation: u64,
    pack: PackName,
    active: Option<InstalledRelease>,
    fallback: Option<InstalledRelease>,
    trial: Option<Trial>,
    refused: Vec<RefusedRelease>,
    highest_sequence: u64,
    /// From format 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<KeptDocument>,
    /// From format 3 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<ToldDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldDocument {
    began: Option<Began>,
    ended: Vec<Ended>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptDocument {
    staged: Option<InstalledRelease>,
    pins: Vec<PinDocument>,
    holds: Vec<Hold>,
    copies: Vec<Copy>,
}

impl KeptDocument {
    fn into_keeping(self) -> Keeping {
        Keeping {
            staged: self.staged,
            pins: self.pins.into_iter().map(Pin::from).collect(),
            holds: self.holds,
            copies: self.copies,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinDocument {
    release: InstalledRelease,
    stays: bool,
}

impl From<&Pin> for PinDocument {
    fn from(pin: &Pin) -> PinDocument {
        PinDocument {
            release: pin.release.clone(),
            stays: pin.stays,
        }
    }
}

impl From<PinDocument> for Pin {
    fn from(pin: PinDocument) -> Pin {
        Pin {
            release: pin.release,
            stays: pin.stays,
        }
    }
}

impl Document {
    /// Refuses what no transition leads to.
    fn into_record(self) -> Result<StateRecord, RecordError> {
        let named: Vec<&InstalledRelease> = [&self.active, &self.fallback]
            .into_iter()
            .flatten()
            .collect();
        let mut manifests: Vec<&Digest> = named.iter().map(|release| &release.manifest).collect();
        manifests.extend(self.refused.iter().map(|refused| &refused.manifest));
        let all = manifests.len();
        manifests.sort();
        manifests.dedup();
        let long = |refused: &RefusedRelease| {
            refused.reason.chars().count() > StateRecord::MAX_REASON_CHARS
        };
        let idle = self.active.is_none();
        let has_kept = self.kept.is_some();
        let has_told = self.told.is_some();
        let reporting = self.told.map(|told| Reporting {
            began: told.began,
            ended: told.ended,
        });
        let reporting = reporting.unwrap_or_default();
        let keeping = self.kept.map(KeptDocument::into_keeping);
        let rules = [
            (
                has_told == (self.format >= FORMAT),
                "what is told of trials from format 3 on, and not before",
            ),
            (
                !(self.trial.is_none() && reporting.began.is_some()),
                "a trial where one began",
            ),
            (
                reporting.ended.len() <= StateRecord::MAX_ENDED,
                "at most 32 trials that ended",
            ),
            (
                has_kept == (self.format >= KEPT_FORMAT),
                "what is kept from format 2 on, and not before",
            ),
            (self.generation > 0, "a generation from 1 on"),
            (
                !(idle && self.fallback.is_some()),
                "an active release beside the fallback",
            ),
            (
                !(idle && self.trial.is_some()),
                "an active release on trial",
            ),
            (
                self.trial
                    .is_none_or(|t| t.allowed > 0 && t.openings <= t.allowed),
                "no more openings than are allowed",
            ),
            (manifests.len() == all, "each release named once"),
            (
                named
                    .iter()
                    .all(|release| release.sequence <= self.highest_sequence),
                "no sequence above the highest",
            ),
            (
                self.refused.len() <= StateRecord::MAX_REFUSED,
                "at most 256 refused releases",
            ),
            (
                !self.refused.iter().any(long),
                "reasons of at most 500 characters",
            ),
        ];
        if let Some((_, expected)) = rules.iter().find(|(kept, _)| !kept) {
            return Err(RecordError::damaged(
                expected,
                "a record that breaks this rule",
            ));
        }
        let record = StateRecord {
            pack: self.pack,
            generation: self.generation,
            active: self.active,
            fallback: self.fallback,
            trial: self.trial,
            refused: self.refused,
            highest_sequence: self.highest_sequence,
            keeping: keeping.unwrap_or_default(),
            reporting,
        };
        match broken_by_what_is_kept(&record) {
            Some(expected) => Err(RecordError::damaged(
                expected,
                "a record that breaks this rule",
            )),
            None => Ok(record),
        }
    }
}

/// Returns the first rule that what the record keeps breaks.
fn broken_by_what_is_kept(record: &StateRecord) -> Option<&'static str> {
    let Keeping {
        staged: _,
        pins,
        holds,
        copies,
    } = &record.keeping;
    let is_once = |mut all: Vec<&Digest>| {
        let count = all.len();
        all.sort();
        all.dedup();
        all.len() == count
    };
    let is_short =
        |hold: &Hold| hold.since < hold.until && hold.until <= hold.since.plus_days(Hold::MAX_DAYS);
    let is_told = |hold: &Hold| {
        let chars = hold.reason.chars().count();
        !hold.reason.trim().is_empty() && chars <= StateRecord::MAX_REASON_CHARS
    };
    let mut reasons: Vec<&str> = holds.iter().map(|hold| hold.reason.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let rules = [
        (
            record.clone().tidied() == *record,
            "a staged release that may become active, a device that stays on the active release \
             alone, and copies of needed releases",
        ),
        (
            pins.len() <= StateRecord::MAX_PINS && holds.len() <= StateRecord::MAX_HOLDS,
            "at most 64 pins and 64 holds",
        ),
        (
            is_once(pins.iter().map(|pin| &pin.release.manifest).collect())
                && is_once(copies.iter().map(|copy| &copy.manifest).collect())
                && reasons.len() == holds.len(),
            "each pin, copy and reason to hold once",
        ),
        (
            copies.iter().all(|copy| copy.copy > 0),
            "copies from number 1 on",
        ),
        (
            pins.iter()
                .all(|pin| pin.release.sequence <= record.highest_sequence),
            "no pinned sequence above the highest",
        ),
        (
            holds.iter().all(is_short) && holds.iter().all(is_told),
            "holds of at most 31 days, with a reason of at most 500 characters",
        ),
    ];
    rules
        .iter()
        .find(|(kept, _)| !kept)
        .map(|(_, expected)| *expected)
}

#[cfg(test)]
mod tests {
    use release_format::Label;

    use super::*;
    use crate::library::record::DIGEST_LINE_BYTES;

    fn record() -> StateRecord {
        let release = |label: &str, sequence| InstalledRelease {
            label: Label::parse(label).unwrap(),
            sequence,
            manifest: Digest::of(label.as_bytes()),
            tree_bytes: 4_096,
        };
        let first = StateRecord::empty(PackName::parse("acme/biology-101").unwrap());
        let confirmed = first
            .activate(release("1.0", 1), 3)
            .unwrap()
            .confirm()
            .unwrap();
        let failed = confirmed
            .activate(release("1.1", 2), 3)
            .unwrap()
            .fail("a \"quiz\"")
            .unwrap();
        let trial = failed
            .activate(release("1.2", 3), 3)
            .unwrap()
            .count_opening();
        StateRecord {
            generation: 6,
            ..trial
        }
    }

    /// Returns the file of the record with one text replaced by another, under a digest that fits.
    fn forged(from: &str, to: &str) -> Vec<u8> {
        let text = String::from_utf8(record().encode()).unwrap();
        let json = text[..text.len() - DIGEST_LINE_BYTES].replace(from, to);
        assert!(!text.starts_with(&json), "{from} is not in the record");
        format!("{json}digest {}\n", Digest::of(json.as_bytes())).into_bytes()
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        assert_eq!(StateRecord::decode(&record().encode()), Ok(record()));
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_found() {
        let bytes = record().encode();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                let read = StateRecord::decode(&damaged);
                assert!(
                    matches!(read, Err(RecordError::Damaged { .. })),
                    "byte {place} bit {bit}"
                );
            }
            let read = StateRecord::decode(&bytes[..place]);
            assert!(
                matches!(read, Err(RecordError::Damaged { .. })),
                "cut at {place}"
            );
        }
    }

    #[test]
    fn what_a_newer_satchel_wrote_is_told_from_damage() {
        let newer = forged("\"format\": 1,", "\"format\": 4, \"moods\": [],");
        let expected = RecordError::NewerFormat {
            found: 4,
            supported: 3,
        };
        assert_eq!(StateRecord::decode(&newer), Err(expected));
    }

    #[test]
    fn records_that_no_transition_leads_to_are_refused() {
        for (from, to) in [
            ("\"format\": 1", "\"format\": 0"),
            ("\"format\": 1", "\"format\": 2"),
            ("\"format\": 1", "\"format\": 3"),
            ("\"generation\": 6", "\"generation\": 0"),
            ("\"generation\": 6", "\"generation\": -6"),
            ("\"generation\": 6", "\"generation\": 6.0"),
            ("\"generation\": 6", "\"generation\": 6, \"generation\": 6"),
            ("\"generation\": 6", "\"generation\": 6, \"mood\": 1"),
            ("\"openings\": 1", "\"openings\": 4"),
            ("\"openings\": 1,", "\"openings\": 0,\"mood\": 1,"),
            ("\"allowed\": 3", "\"allowed\": 0"),
            ("\"highest_sequence\": 3", "\"highest_sequence\": 2"),
            ("\"label\": \"1.2\"", "\"label\": \"../1.2\""),
            ("acme/biology-101", "acme/../biology-101"),
            (
                &Digest::of(b"1.2").to_string(),
                &Digest::of(b"1.0").to_string(),
            ),
            (
                &Digest::of(b"1.2").to_string(),
                &Digest::of(b"1.1").to_string(),
            ),
            ("a \\\"quiz\\\"", &"x".repeat(501)),
            ("}\n", "}\n{}\n"),
        ] {
            let read = StateRecord::decode(&forged(from, to));
            assert!(
                matches!(read, Err(RecordError::Damaged { .. })),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn a_record_beyond_its_ceiling_is_refused_unread() {
        let long = vec![b' '; 2 << 20];
        let read = StateRecord::decode(&long);
        assert!(matches!(read, Err(RecordError::Damaged { found, .. }) if found == "more"));
    }
}
