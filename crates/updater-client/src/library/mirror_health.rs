//! What the run before learned of the mirrors.

use std::time::Duration;

use release_format::UtcTime;
use serde::{Deserialize, Serialize};

use super::disk::{Disk, DiskError};
use super::identity::LibraryRecord;
use super::layout::LibraryLayout;
use super::record;
use crate::transport::{Health, Rest};

/// Returns which mirrors are to rest, and for how long from `now` on.
///
/// What cannot be read, is damaged, or says what no run wrote counts as nothing: it is a hint. So does a
/// rest that would last longer than any does, which a clock has written that went ahead, or that has
/// gone back since.
pub(crate) fn load(disk: &dyn Disk, layout: &LibraryLayout, now: UtcTime) -> Vec<Rest> {
    let read = disk.read(&layout.mirror_health(), MAX_BYTES + 1);
    let Ok(Some(bytes)) = read else {
        return Vec::new();
    };
    decode(&bytes, now).unwrap_or_default()
}

/// Keeps which mirrors are to rest after `now`; nothing is written while none is to and none was.
///
/// # Errors
/// [`DiskError`]: what was kept before may still be there.
pub(crate) fn store(
    disk: &dyn Disk,
    layout: &LibraryLayout,
    rests: &[Rest],
    now: UtcTime,
) -> Result<(), DiskError> {
    let path = layout.mirror_health();
    if !rests.is_empty() {
        return disk.write_durably(&path, &encode(rests, now));
    }
    match disk.length(&path)? {
        // That it comes back after a power cut does no harm.
        Some(_) => disk.remove_file(&path),
        None => Ok(()),
    }
}

fn encode(rests: &[Rest], now: UtcTime) -> Vec<u8> {
    let fits = |rest: &&Rest| rest.address.len() <= LibraryRecord::MAX_ADDRESS_BYTES;
    let kept = rests.iter().filter(fits);
    let mirrors = kept.take(LibraryRecord::MAX_REPOSITORIES).map(|rest| {
        let left = i64::try_from(rest.left.as_secs()).unwrap_or(0);
        Mirror {
            address: rest.address.clone(),
            failures: rest.failures,
            rests_until: UtcTime::from_seconds(now.seconds().saturating_add(left)),
        }
    });
    let document = Document {
        format: FORMAT,
        mirrors: mirrors.collect(),
    };
    record::digested(record::write_json(&document))
}

fn decode(bytes: &[u8], now: UtcTime) -> Option<Vec<Rest>> {
    if bytes.len() as u64 > MAX_BYTES {
        return None;
    }
    let document: Document = record::read_json(record::undigested(bytes).ok()?, FORMAT).ok()?;
    let mirrors = document.mirrors.into_iter();
    let rests = mirrors
        .take(LibraryRecord::MAX_REPOSITORIES)
        .filter_map(|of| {
            let left = of.rests_until.seconds().saturating_sub(now.seconds());
            let is_past = left < -FORGOTTEN_SECONDS;
            let left = u64::try_from(left.max(0)).ok()?;
            let left = Duration::from_secs(left);
            (!is_past && left <= Health::LONGEST_REST).then_some(Rest {
                address: of.address,
                failures: of.failures,
                left,
            })
        });
    Some(rests.collect())
}

const FORMAT: u64 = 1;
/// As many addresses as a library has, each as long as it may be, and what is said of them.
const MAX_BYTES: u64 = 128 << 10;
/// For so long a mirror that failed is given up sooner when it fails again.
const FORGOTTEN_SECONDS: i64 = 3_600;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u64,
    mirrors: Vec<Mirror>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    address: String,
    failures: u32,
    rests_until: UtcTime,
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    const NOW: UtcTime = UtcTime::from_seconds(1_800_000_000);
    const DEAD_CLOCK: UtcTime = UtcTime::from_seconds(0);

    fn later(seconds: i64) -> UtcTime {
        UtcTime::from_seconds(NOW.seconds() + seconds)
    }

    fn rest(left: u64) -> Rest {
        Rest {
            address: "https://cdn.example/packs".to_owned(),
            failures: 4,
            left: Duration::from_secs(left),
        }
    }

    #[test]
    fn a_rest_goes_on_in_the_next_run_and_no_clock_makes_it_longer() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, layout) = (RealDisk::new(), LibraryLayout::new(temporary.path()));
        for (written, read, expected) in [
            (NOW, NOW, Some(200)),
            (NOW, later(150), Some(50)),
            // Over, and not yet forgotten.
            (NOW, later(3_000), Some(0)),
            (NOW, later(10_000), None),
            // The clock was dead when it was written, or is so now, or went ahead.
            (DEAD_CLOCK, NOW, None),
            (NOW, DEAD_CLOCK, None),
            (later(86_400 * 365 * 10), NOW, None),
            (DEAD_CLOCK, DEAD_CLOCK, Some(200)),
        ] {
            store(&disk, &layout, &[rest(200)], written).unwrap();
            let expected: Vec<Rest> = expected.map(rest).into_iter().collect();
            let found = load(&disk, &layout, read);
            assert_eq!(found, expected, "written at {written}, read at {read}");
        }
        store(&disk, &layout, &[], NOW).unwrap();
        assert!(!layout.mirror_health().exists());
        store(&disk, &layout, &[], NOW).unwrap();
        assert_eq!(load(&disk, &layout, NOW), []);
    }

    #[test]
    fn what_no_run_wrote_counts_as_nothing() {
        let whole = encode(&[rest(200)], NOW);
        assert_eq!(decode(&whole, NOW), Some(vec![rest(200)]));
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut], NOW), None, "{cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, NOW), None, "{bit}");
        }
        for text in ["", "{}", "[]", "{\"format\":2,\"mirrors\":[]}"] {
            assert_eq!(decode(&record::digested(text.to_owned()), NOW), None);
        }
        assert_eq!(decode(&vec![b' '; 1 << 20], NOW), None);
    }

    #[test]
    fn it_has_bounds_whoever_wrote_it() {
        let many = vec![rest(10); 1_000];
        let bytes = encode(&many, NOW);
        assert!(bytes.len() as u64 <= MAX_BYTES);
        let most = LibraryRecord::MAX_REPOSITORIES;
        assert_eq!(decode(&bytes, NOW).map(|rests| rests.len()), Some(most));
        let long = Rest {
            address: "x".repeat(1 << 20),
            ..rest(10)
        };
        assert!(encode(&[long], NOW).len() < 1_000);
    }
}
