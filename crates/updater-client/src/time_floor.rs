use release_format::{TrustedSet, UtcTime};

/// The moment that it is at least: no clock is believed that shows an earlier one.
///
/// Devices that are mostly offline have dead clocks. The floor keeps one at 1970 from bringing what
/// has expired back to life. It follows from the build and from when the trusted metadata was signed,
/// and never from a clock: one day at 2035 leaves nothing behind.
///
/// It is stored nowhere, since what it follows from is: as no trusted version goes back, neither does
/// the floor, except by newer metadata that says so. That is how a publisher whose own clock was wrong
/// sets it right, and a root that takes the timestamp's key from a thief takes back what the thief
/// said of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeFloor(UtcTime);

impl TimeFloor {
    /// How many days beyond the last signature of an offline key the online key of the timestamp is
    /// believed: whoever stole it must not make all metadata look expired for years.
    pub const MAX_ONLINE_DAYS: u32 = 366;

    /// Returns the floor of this Satchel, of 2026-11-21: whoever runs it lives after it was made.
    pub const fn of_build() -> TimeFloor {
        TimeFloor(UtcTime::from_seconds(1_795_219_200))
    }

    /// Returns no floor: whatever the clock shows counts, unless trusted metadata knows better.
    pub const fn none() -> TimeFloor {
        TimeFloor(UtcTime::MIN)
    }

    /// Returns the moment that it is at least, by this floor alone.
    pub const fn moment(self) -> UtcTime {
        self.0
    }

    /// Returns the moment that it is at least, by this floor and by what is trusted.
    pub fn by(self, trusted: &TrustedSet) -> UtcTime {
        let targets = trusted.targets("targets").and_then(|body| body.issued);
        let offline = trusted.root().issued.max(targets);
        let floor = self.0.max(offline.unwrap_or(UtcTime::MIN));
        let online = trusted.timestamp().and_then(|timestamp| timestamp.issued);
        let latest = floor.plus_days(TimeFloor::MAX_ONLINE_DAYS);
        floor.max(online.map_or(UtcTime::MIN, |online| online.min(latest)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ed25519_dalek::SigningKey;
    use release_format::{
        Ed25519Signer, MetaFile, Root, Signer, Snapshot, Targets, Timestamp, TrustLimits, sign,
    };

    use super::*;

    fn time(text: &str) -> UtcTime {
        UtcTime::parse(text).unwrap()
    }

    fn key(seed: u8) -> Ed25519Signer {
        Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]))
    }

    fn root(version: u64, issued: Option<&str>, timestamp_key: u8) -> Vec<u8> {
        let [ours, online] = [1, timestamp_key].map(|seed| [key(seed).public_key().clone()]);
        let roles = [
            ("root", &ours[..], 1),
            ("targets", &ours[..], 1),
            ("snapshot", &ours[..], 1),
            ("timestamp", &online[..], 1),
        ];
        let root = Root {
            version,
            issued: issued.map(time),
            ..Root::first(UtcTime::MAX, &roles)
        };
        sign(&root, &[&key(1)]).unwrap()
    }

    /// A set whose root, timestamp and targets were signed when told.
    fn trusted(root_issued: Option<&str>, timestamp: &str, targets: Option<&str>) -> TrustedSet {
        let now = time("2027-01-01T00:00:00Z");
        let targets = Targets {
            version: 1,
            expires: UtcTime::MAX,
            targets: BTreeMap::new(),
            delegations: None,
            issued: targets.map(time),
            offline_grace_days: None,
        };
        let targets = sign(&targets, &[&key(1)]).unwrap();
        let snapshot = Snapshot {
            version: 1,
            expires: UtcTime::MAX,
            meta: BTreeMap::from([("targets.json".to_owned(), MetaFile::of(1, &targets))]),
        };
        let snapshot = sign(&snapshot, &[&key(1)]).unwrap();
        let timestamp = Timestamp {
            issued: Some(time(timestamp)),
            ..Timestamp::of(1, UtcTime::MAX, MetaFile::of(1, &snapshot))
        };
        let timestamp = sign(&timestamp, &[&key(2)]).unwrap();
        let limits = TrustLimits::standard();
        let mut set = TrustedSet::pinned(&root(1, root_issued, 2), limits).unwrap();
        set.update_timestamp(&timestamp, now).unwrap();
        set.update_snapshot(&snapshot, now).unwrap();
        let request = set.targets_request().unwrap().unwrap();
        set.update_targets(&request, &targets, now).unwrap();
        set
    }

    #[test]
    fn it_is_at_least_as_late_as_whatever_was_signed() {
        let build = "2026-11-21T00:00:00Z";
        for (root, timestamp, targets, expected) in [
            (None, "2020-01-01T00:00:00Z", None, build),
            (None, "2027-02-01T00:00:00Z", None, "2027-02-01T00:00:00Z"),
            (
                Some("2027-03-01T00:00:00Z"),
                "2027-02-01T00:00:00Z",
                None,
                "2027-03-01T00:00:00Z",
            ),
            (
                None,
                "2027-02-01T00:00:00Z",
                Some("2027-04-01T00:00:00Z"),
                "2027-04-01T00:00:00Z",
            ),
        ] {
            let floor = TimeFloor::of_build().by(&trusted(root, timestamp, targets));
            assert_eq!(floor, time(expected));
        }
    }

    #[test]
    fn a_stolen_online_key_moves_it_a_year_beyond_the_last_offline_signature_and_no_further() {
        for (root, targets, expected) in [
            (None, None, "2027-11-22T00:00:00Z"),
            (Some("2027-06-01T00:00:00Z"), None, "2028-06-01T00:00:00Z"),
            (None, Some("2027-07-01T00:00:00Z"), "2028-07-01T00:00:00Z"),
        ] {
            let set = trusted(root, "2099-01-01T00:00:00Z", targets);
            assert_eq!(TimeFloor::of_build().by(&set), time(expected));
        }
    }

    #[test]
    fn a_root_that_takes_the_key_away_takes_back_what_it_said_of_the_time() {
        let mut set = trusted(None, "2099-01-01T00:00:00Z", None);
        set.update_root(&root(2, Some("2026-12-01T00:00:00Z"), 3))
            .unwrap();
        let floor = TimeFloor::of_build().by(&set);
        assert_eq!(floor, time("2026-12-01T00:00:00Z"));
    }

    #[test]
    fn metadata_without_issue_times_proves_nothing() {
        let set = TrustedSet::pinned(&root(1, None, 2), TrustLimits::standard()).unwrap();
        assert_eq!(TimeFloor::none().by(&set), UtcTime::MIN);
        let build = time("2026-11-21T00:00:00Z");
        assert_eq!(TimeFloor::of_build().by(&set), build);
    }
}
