use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Returns `first`, doubled as many times as told, and no longer than `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

/// Returns three quarters of a wait, and at random up to all of it: forty devices that lost one line
/// do not come back as one.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1_000;
    let random = u32::try_from(random).unwrap_or(0);
    wait.mul_f64(0.75 + 0.25 * f64::from(random) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_ceiling_and_never_all_alike() {
        let (first, longest) = (Duration::from_secs(2), Duration::from_secs(300));
        for (times, seconds) in [(0, 2), (1, 4), (5, 64), (8, 300), (31, 300), (4_000, 300)] {
            let expected = Duration::from_secs(seconds);
            assert_eq!(doubled(first, times, longest), expected, "{times}");
        }
        let waits: Vec<Duration> = (0..50).map(|_| jittered(longest)).collect();
        assert!(
            waits
                .iter()
                .all(|wait| (225..=300).contains(&wait.as_secs()))
        );
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
