//! Waiting for whoever else has a file open.
//!
//! On Windows a file that one program has open can often not be opened, renamed or removed by
//! another, and virus scanners and search indexers open each new file for a moment. So calls that
//! fail for that reason are repeated for a while. Elsewhere nobody is kept out, and only signals
//! interrupt a call.

use std::io;
#[cfg(any(windows, test))]
use std::time::Duration;

/// Whether another program has the file open in a way that keeps a call from succeeding.
pub(super) fn is_held(failed: &io::Error) -> bool {
    cfg!(windows)
        && failed
            .raw_os_error()
            .is_some_and(|code| HELD.contains(&code))
}

/// Repeats what a signal has interrupted before anything was done.
pub(super) fn uninterrupted<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..MAX_INTERRUPTIONS {
        match work() {
            Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
    work()
}

/// Whoever is interrupted as often is told so rather than kept.
const MAX_INTERRUPTIONS: u32 = 1_000;

/// Repeats what a signal has interrupted, or another program keeps from being done.
#[cfg(not(windows))]
pub(crate) fn patiently<T>(work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    uninterrupted(work)
}

/// Repeats what takes a name away: of a file, or of a folder with files in it.
#[cfg(not(windows))]
pub(super) fn patiently_unnaming<T>(work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    uninterrupted(work)
}

/// Repeats what a signal has interrupted, or another program keeps from being done.
#[cfg(windows)]
pub(crate) fn patiently<T>(work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    with_waits(work, waits_to_open, std::thread::sleep)
}

/// Repeats what takes a name away: of a file, or of a folder with files in it.
#[cfg(windows)]
pub(super) fn patiently_unnaming<T>(work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    with_waits(work, waits_to_unname, std::thread::sleep)
}

/// Does `work` until it succeeds, or fails as often as `most_waits` says of its failure.
#[cfg(any(windows, test))]
fn with_waits<T>(
    mut work: impl FnMut() -> io::Result<T>,
    most_waits: impl Fn(i32) -> usize,
    mut pause: impl FnMut(Duration),
) -> io::Result<T> {
    let mut waited = 0;
    loop {
        match work() {
            Err(failed) if failed.raw_os_error().map_or(0, &most_waits) > waited => {
                let wait = WAITS.get(waited).copied().unwrap_or_default();
                pause(jittered(wait, getrandom::u32().unwrap_or(u32::MAX / 2)));
                waited += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Whoever may not open a file is told at once, or nearly: a name that is being deleted is refused in
/// the same words.
#[cfg(any(windows, test))]
fn waits_to_open(code: i32) -> usize {
    match code {
        ACCESS_DENIED => 3,
        code if HELD.contains(&code) => WAITS.len(),
        _ => 0,
    }
}

/// To rename or remove what somebody has open is refused as if it were forbidden; a folder has a name
/// in it for as long as a removed file is open.
#[cfg(any(windows, test))]
fn waits_to_unname(code: i32) -> usize {
    match code {
        ACCESS_DENIED | DIR_NOT_EMPTY => WAITS.len(),
        code => waits_to_open(code),
    }
}

/// Half of `wait` to one and a half: two programs that wait for each other do not do so in step.
#[cfg(any(windows, test))]
fn jittered(wait: Duration, random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    wait.mul_f64(0.5 + share)
}

/// The system's number for what is refused, for want of a right or because it is open elsewhere.
#[cfg(any(windows, test))]
pub(super) const ACCESS_DENIED: i32 = 5;
/// The system's number for a file that somebody has open and does not share.
#[cfg(any(windows, test))]
pub(super) const SHARING_VIOLATION: i32 = 32;
#[cfg(any(windows, test))]
const DIR_NOT_EMPTY: i32 = 145;
/// Shared with nobody; a part of it locked; to be gone once the last who has it open lets go; mapped
/// into somebody's memory.
const HELD: &[i32] = &[32, 33, 303, 1224];

/// One second and a quarter in all, give or take a half: a scanner is done by then, and whoever waits
/// behind this is not kept for long.
#[cfg(any(windows, test))]
const WAITS: [Duration; 7] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
    Duration::from_millis(320),
    Duration::from_millis(640),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Does what fails so often with this number; tells how it ended, how often it was tried and
    /// what was waited.
    fn tried(
        failures: usize,
        code: i32,
        most: fn(i32) -> usize,
    ) -> (io::Result<()>, usize, Vec<Duration>) {
        let (mut tries, mut pauses) = (0, Vec::new());
        let work = || {
            tries += 1;
            match tries > failures {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(code)),
            }
        };
        let outcome = with_waits(work, most, |pause| pauses.push(pause));
        (outcome, tries, pauses)
    }

    #[test]
    fn what_is_held_for_a_moment_is_waited_for_ever_longer() {
        for code in HELD {
            let (outcome, tries, pauses) = tried(5, *code, waits_to_open);
            outcome.unwrap();
            assert_eq!((tries, pauses.len()), (6, 5));
            for (pause, wait) in pauses.iter().zip(WAITS) {
                assert!(*pause >= wait / 2 && *pause <= wait * 3 / 2, "{pause:?}");
            }
        }
    }

    #[test]
    fn what_is_held_for_good_is_told_within_two_seconds() {
        for code in [ACCESS_DENIED, DIR_NOT_EMPTY, SHARING_VIOLATION] {
            let (outcome, tries, pauses) = tried(usize::MAX, code, waits_to_unname);
            assert_eq!(outcome.unwrap_err().raw_os_error(), Some(code));
            assert_eq!(tries, WAITS.len() + 1);
            assert!(pauses.iter().sum::<Duration>() < Duration::from_secs(2));
        }
    }

    #[test]
    fn who_may_not_open_a_file_is_told_within_a_moment() {
        let (outcome, tries, pauses) = tried(usize::MAX, ACCESS_DENIED, waits_to_open);
        outcome.unwrap_err();
        assert_eq!(tries, 4);
        assert!(pauses.iter().sum::<Duration>() < Duration::from_millis(150));
    }

    #[test]
    fn a_full_disk_and_a_missing_file_are_not_waited_for() {
        for code in [2, 3, 112] {
            let (outcome, tries, _) = tried(usize::MAX, code, waits_to_unname);
            outcome.unwrap_err();
            assert_eq!(tries, 1, "{code}");
        }
    }

    #[test]
    fn two_who_wait_for_each_other_do_not_wait_alike() {
        let wait = Duration::from_millis(100);
        assert_eq!(jittered(wait, 0), wait / 2);
        assert_eq!(jittered(wait, u32::MAX), wait * 3 / 2);
        let pauses: Vec<_> = (0..8).map(|_| tried(7, 32, waits_to_open).2).collect();
        assert!(pauses.iter().any(|other| *other != pauses[0]));
    }

    #[test]
    fn only_windows_keeps_anybody_out_of_a_file() {
        let held = io::Error::from_raw_os_error(SHARING_VIOLATION);
        assert_eq!(is_held(&held), cfg!(windows));
        assert!(!is_held(&io::ErrorKind::PermissionDenied.into()));
    }
}
