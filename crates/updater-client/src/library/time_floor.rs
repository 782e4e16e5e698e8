//! The moment that it is at least, whatever the clock shows.

use release_format::UtcTime;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::layout::LibraryLayout;
use super::record::{self, RecordError};
use crate::clock::Clock;
use crate::error::UpdateError;

/// The moment that it is at least: no clock is believed that shows an earlier one.
///
/// Devices that are mostly offline have dead clocks. The floor keeps one at 1970 from bringing what
/// has expired back to life. It moves only by [`TimeEvidence`], never by a clock: one day at 2035
/// must not make all metadata expired for good.
///
/// Its form is described beside the [state record](crate::library::state::StateRecord).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeFloor(UtcTime);

impl TimeFloor {
    /// Bytes of the file: stops a damaged one from filling the memory.
    pub const MAX_BYTES: u64 = 4096;

    /// Returns the floor that needs no library: that of the build.
    pub fn of_build() -> TimeFloor {
        TimeFloor(TimeEvidence::BUILD.0)
    }

    /// Returns the floor of a library: the stored one or that of the build, whichever is later.
    ///
    /// One that is damaged is no floor: evidence raises it again.
    ///
    /// # Errors
    /// [`UpdateError::NewerFormat`]; [`UpdateError::Disk`].
    pub fn load(disk: &dyn Disk, layout: &LibraryLayout) -> Result<TimeFloor, UpdateError> {
        let path = layout.time_floor();
        let built = TimeFloor::of_build();
        match disk.read(&path, TimeFloor::MAX_BYTES + 1)? {
            None => Ok(built),
            Some(bytes) => match TimeFloor::decode(&bytes) {
                Ok(stored) => Ok(TimeFloor(stored.0.max(built.0))),
                Err(RecordError::Damaged { .. }) => Ok(built),
                Err(newer) => Err(newer.at(&path)),
            },
        }
    }

    /// Raises the floor to what is evident, durably, unless it is as high already.
    ///
    /// # Errors
    /// [`UpdateError::DiskFull`], [`UpdateError::Disk`]; the floor stays.
    pub fn raise(
        &mut self,
        disk: &dyn Disk,
        layout: &LibraryLayout,
        evidence: TimeEvidence,
    ) -> Result<(), UpdateError> {
        let path = layout.time_floor();
        let raised = TimeFloor(self.0.max(evidence.0));
        let stored = disk.read(&path, TimeFloor::MAX_BYTES + 1)?;
        if stored.is_none_or(|stored| stored != raised.encode()) {
            disk.write_durably(&path, &raised.encode())?;
        }
        *self = raised;
        Ok(())
    }

    /// Returns the time that counts: the clock's, unless it is before the floor.
    pub fn effective(&self, clock: &dyn Clock) -> UtcTime {
        clock.now().max(self.0)
    }

    /// Returns the moment itself.
    pub fn time(&self) -> UtcTime {
        self.0
    }

    /// Returns the bytes of the floor's file.
    pub fn encode(&self) -> Vec<u8> {
        let document = Document {
            format: FORMAT,
            floor: self.0,
        };
        record::digested(record::write_json(&document))
    }

    /// Returns the floor whose file has these bytes.
    ///
    /// # Errors
    /// [`RecordError::NewerFormat`] for what a newer Satchel wrote, [`RecordError::Damaged`] for what
    /// none wrote.
    pub fn decode(bytes: &[u8]) -> Result<TimeFloor, RecordError> {
        if bytes.len() as u64 > TimeFloor::MAX_BYTES {
            let expected = format!("at most {} bytes", TimeFloor::MAX_BYTES);
            return Err(RecordError::damaged(expected, "more"));
        }
        let document: Document = record::read_json(record::undigested(bytes)?, FORMAT)?;
        Ok(TimeFloor(document.floor))
    }
}

/// Proof that a moment has passed: whoever vouches for it has signed something after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEvidence(UtcTime);

impl TimeEvidence {
    /// The date of this Satchel: 2026-11-21. Whoever runs it lives after it was made.
    pub const BUILD: TimeEvidence = TimeEvidence(UtcTime::from_seconds(1_795_219_200));
}

/// The version of the format that is written and read.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    floor: UtcTime,
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    struct Stopped(UtcTime);

    impl Clock for Stopped {
        fn now(&self) -> UtcTime {
            self.0
        }
    }

    fn time(text: &str) -> UtcTime {
        UtcTime::parse(text).unwrap()
    }

    fn library() -> (tempfile::TempDir, RealDisk, LibraryLayout) {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        layout.create(&disk).unwrap();
        (temporary, disk, layout)
    }

    #[test]
    fn a_clock_counts_unless_it_is_before_the_floor() {
        let floor = TimeFloor::of_build();
        for (clock, expected) in [
            ("1970-01-01T00:00:00Z", "2026-11-21T00:00:00Z"),
            ("2026-11-21T00:00:01Z", "2026-11-21T00:00:01Z"),
            ("2035-01-01T00:00:00Z", "2035-01-01T00:00:00Z"),
        ] {
            assert_eq!(floor.effective(&Stopped(time(clock))), time(expected));
        }
    }

    #[test]
    fn the_floor_rises_by_evidence_and_never_falls() {
        let (_temporary, disk, layout) = library();
        let later = TimeEvidence(time("2027-03-01T00:00:00Z"));
        let mut floor = TimeFloor::load(&disk, &layout).unwrap();
        assert_eq!(floor, TimeFloor::of_build());
        floor.raise(&disk, &layout, later).unwrap();
        floor.raise(&disk, &layout, TimeEvidence::BUILD).unwrap();
        assert_eq!(floor.time(), later.0);
        assert_eq!(TimeFloor::load(&disk, &layout).unwrap(), floor);
    }

    #[test]
    fn a_damaged_floor_is_none_and_evidence_writes_it_anew() {
        let (_temporary, disk, layout) = library();
        let forged = TimeFloor(time("2999-01-01T00:00:00Z")).encode();
        let forged = String::from_utf8(forged).unwrap().replace("2999", "2998");
        std::fs::write(layout.time_floor(), forged).unwrap();
        let mut floor = TimeFloor::load(&disk, &layout).unwrap();
        assert_eq!(floor, TimeFloor::of_build());
        floor.raise(&disk, &layout, TimeEvidence::BUILD).unwrap();
        let stored = std::fs::read(layout.time_floor()).unwrap();
        assert_eq!(TimeFloor::decode(&stored), Ok(floor));
    }

    #[test]
    fn a_floor_that_a_newer_satchel_wrote_is_not_lowered() {
        let (_temporary, disk, layout) = library();
        let newer = record::digested("{\"format\": 2}\n".to_owned());
        std::fs::write(layout.time_floor(), newer).unwrap();
        let failed = TimeFloor::load(&disk, &layout);
        assert!(matches!(
            failed,
            Err(UpdateError::NewerFormat { found: 2, .. })
        ));
    }
}
