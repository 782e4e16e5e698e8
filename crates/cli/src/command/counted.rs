//! What receipts add up to, wherever they are kept.

use std::path::Path;

use collector::{CollectorError, SqliteStore, Store, Tally, tally_folder};
use publisher::{ReceiptDay, ReceiptSource};
use release_format::{PackName, ReceiptOutcome, UtcTime};

/// Returns what `source` counts: a collector's database or a folder of receipts; of one pack where one is
/// named, since a moment where one is given.
pub(super) fn tally(
    source: &str,
    pack: Option<&PackName>,
    since: Option<UtcTime>,
    now: UtcTime,
) -> Result<Tally, CollectorError> {
    #[cfg(feature = "postgres")]
    if source.contains("://") {
        return collector::PostgresStore::connect(source)?.tally(pack, since);
    }
    let path = Path::new(source);
    if !path.is_dir() {
        return SqliteStore::open_to_read(path)?.tally(pack, since);
    }
    let mut tally = tally_folder(path, now)?;
    if let Some(pack) = pack {
        tally = tally.of_pack(pack);
    }
    Ok(match since {
        Some(since) => tally.since(since),
        None => tally,
    })
}

/// Receipts by the day on which their trials ended.
pub(super) struct ByDay(pub(super) Tally);

impl ReceiptSource for ByDay {
    fn days(&self, pack: &PackName) -> Result<Vec<ReceiptDay>, String> {
        let mut days: Vec<ReceiptDay> = Vec::new();
        let mut counted: Vec<_> = self.0.iter().filter(|(key, _)| key.pack == *pack).collect();
        counted.sort_by_key(|(key, _)| key.minute);
        for (key, count) in counted {
            let day = UtcTime::from_seconds(key.minute.saturating_mul(60)).to_string();
            let day: String = day.chars().take_while(|c| *c != 'T').collect();
            if days.last().is_none_or(|last| last.day != day) {
                days.push(ReceiptDay {
                    day,
                    ..ReceiptDay::default()
                });
            }
            let Some(day) = days.last_mut() else { continue };
            let field = match key.outcome {
                ReceiptOutcome::Confirmed | ReceiptOutcome::ShadowOk => &mut day.confirmed,
                ReceiptOutcome::VerificationFailed => &mut day.failed,
                ReceiptOutcome::Superseded => continue,
                _ => &mut day.reverted,
            };
            *field = field.saturating_add(count);
        }
        Ok(days)
    }
}

#[cfg(test)]
mod tests {
    use collector::TallyKey;
    use diff_core::Digest;
    use release_format::{ChannelName, Label};

    use super::*;

    #[test]
    fn receipts_are_told_by_their_days_in_order() {
        let pack = PackName::parse("acme/biology").unwrap();
        let mut tally = Tally::default();
        let mut add = |outcome, minute, count| {
            let key = TallyKey {
                pack: pack.clone(),
                channel: ChannelName::default(),
                release: Digest::of(b"a manifest"),
                label: Label::parse("1.0").unwrap(),
                outcome,
                hours: 1,
                minute,
            };
            tally.add_many(key, count);
        };
        add(ReceiptOutcome::Confirmed, 1_440, 5);
        add(ReceiptOutcome::Confirmed, 0, 2);
        add(ReceiptOutcome::Failed, 1, 3);
        add(ReceiptOutcome::Superseded, 2, 9);
        add(ReceiptOutcome::VerificationFailed, 1_441, 4);
        let day = |day: &str, confirmed, reverted, failed| ReceiptDay {
            day: day.to_owned(),
            confirmed,
            reverted,
            failed,
        };
        let expected = [day("1970-01-01", 2, 3, 0), day("1970-01-02", 5, 0, 4)];
        let days = ByDay(tally);
        assert_eq!(days.days(&pack).unwrap(), expected);
        let other = PackName::parse("acme/chemistry").unwrap();
        assert_eq!(days.days(&other).unwrap(), []);
    }
}
