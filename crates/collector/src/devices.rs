use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use release_format::{DeviceKeyId, Refusal};

use crate::error::CollectorError;

/// Which devices may send receipts, and how many.
#[derive(Debug)]
pub struct Devices {
    known: HashSet<DeviceKeyId>,
    is_open: bool,
    limits: DeviceLimits,
    /// What is left to devices that sent something lately.
    left: HashMap<DeviceKeyId, Allowance>,
    newcomers: Allowance,
}

/// How many receipts are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLimits {
    /// Receipts that a device may send in an hour, and at once after an hour of silence.
    pub receipts_an_hour: u32,
    /// Devices that may introduce themselves in an hour, where anybody may.
    pub newcomers_an_hour: u32,
}

impl Default for DeviceLimits {
    /// As many as a device keeps, and a fleet of a million within two days.
    fn default() -> DeviceLimits {
        DeviceLimits {
            receipts_an_hour: 1_000,
            newcomers_an_hour: 25_000,
        }
    }
}

/// A bucket that fills up again within an hour.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Devices {
    /// Lets every device send that signs what it sends: a key is known from the first time on.
    pub fn open(limits: DeviceLimits, now: Instant) -> Devices {
        Devices::new(true, limits, now)
    }

    /// Lets only these devices send.
    pub fn listed(
        devices: impl IntoIterator<Item = DeviceKeyId>,
        limits: DeviceLimits,
        now: Instant,
    ) -> Devices {
        let mut all = Devices::new(false, limits, now);
        all.known.extend(devices);
        all
    }

    fn new(is_open: bool, limits: DeviceLimits, now: Instant) -> Devices {
        Devices {
            known: HashSet::new(),
            is_open,
            limits,
            left: HashMap::new(),
            newcomers: Allowance {
                left: f64::from(limits.newcomers_an_hour),
                at: now,
            },
        }
    }

    /// Takes devices as known that introduced themselves in an earlier run; a list stays what it is.
    pub fn remember(&mut self, devices: impl IntoIterator<Item = DeviceKeyId>) {
        if self.is_open {
            self.known.extend(devices);
        }
    }

    /// Returns how many devices are known.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Counts a receipt of `device`, and returns why it is not taken, if so.
    pub fn admit(&mut self, device: &DeviceKeyId, now: Instant) -> Option<Refusal> {
        if !self.known.contains(device) {
            if !self.is_open {
                return Some(Refusal::Device);
            }
            if !self.newcomers.take(self.limits.newcomers_an_hour, now) {
                return Some(Refusal::Rate);
            }
            self.known.insert(*device);
        }
        self.forget(now);
        let most = self.limits.receipts_an_hour;
        let fresh = Allowance {
            left: f64::from(most),
            at: now,
        };
        let left = self.left.entry(*device).or_insert(fresh);
        (!left.take(most, now)).then_some(Refusal::Rate)
    }

    /// Forgets devices whose buckets are full again, once there are many.
    fn forget(&mut self, now: Instant) {
        if self.left.len() >= MANY {
            self.left
                .retain(|_, left| now.saturating_duration_since(left.at) < HOUR);
        }
        if self.left.len() >= MANY {
            // Nobody can fill the memory: all begin anew.
            self.left.clear();
        }
    }
}

impl Allowance {
    fn take(&mut self, an_hour: u32, now: Instant) -> bool {
        let most = f64::from(an_hour);
        let passed = now.saturating_duration_since(self.at).as_secs_f64() / HOUR.as_secs_f64();
        self.left = (self.left + passed * most).min(most);
        self.at = now;
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }
}

/// Returns the devices that a file lists: a public key in 64 hexadecimal digits on each line; what
/// follows it is for people, and so is a line that begins with `#`.
///
/// # Errors
/// [`CollectorError::Io`], [`CollectorError::DeviceList`].
pub fn read_device_list(path: &Path) -> Result<Vec<DeviceKeyId>, CollectorError> {
    let text = std::fs::read_to_string(path).map_err(|source| CollectorError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mut devices = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(key) = line.split_whitespace().next() else {
            continue;
        };
        if key.starts_with('#') {
            continue;
        }
        let device = DeviceKeyId::parse(key).map_err(|error| CollectorError::DeviceList {
            path: path.to_owned(),
            line: number,
            reason: error.to_string(),
        })?;
        devices.push(device);
    }
    Ok(devices)
}

const HOUR: Duration = Duration::from_secs(3_600);
/// Devices whose allowance is kept at once: some 20 MB.
const MANY: usize = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u8) -> DeviceKeyId {
        DeviceKeyId::from_bytes([number; 32])
    }

    fn limits(receipts_an_hour: u32, newcomers_an_hour: u32) -> DeviceLimits {
        DeviceLimits {
            receipts_an_hour,
            newcomers_an_hour,
        }
    }

    #[test]
    fn a_device_that_is_not_listed_is_refused_and_stays_so() {
        let now = Instant::now();
        let mut devices = Devices::listed([device(1)], limits(10, 10), now);
        devices.remember([device(2)]);
        assert_eq!(devices.admit(&device(1), now), None);
        assert_eq!(devices.admit(&device(2), now), Some(Refusal::Device));
    }

    #[test]
    fn a_device_that_sends_too_much_waits_and_the_others_do_not() {
        let now = Instant::now();
        let mut devices = Devices::open(limits(2, 10), now);
        let sent = |devices: &mut Devices, number, at| devices.admit(&device(number), at);
        assert_eq!(sent(&mut devices, 1, now), None);
        assert_eq!(sent(&mut devices, 1, now), None);
        assert_eq!(sent(&mut devices, 1, now), Some(Refusal::Rate));
        assert_eq!(sent(&mut devices, 2, now), None);
        assert_eq!(sent(&mut devices, 1, now + HOUR / 2), None);
        assert_eq!(sent(&mut devices, 1, now + HOUR / 2), Some(Refusal::Rate));
    }

    #[test]
    fn newcomers_are_let_in_by_and_by_and_who_is_known_is_none() {
        let now = Instant::now();
        let mut devices = Devices::open(limits(10, 1), now);
        devices.remember([device(9)]);
        assert_eq!(devices.admit(&device(1), now), None);
        assert_eq!(devices.admit(&device(2), now), Some(Refusal::Rate));
        assert_eq!(devices.admit(&device(9), now), None);
        assert_eq!(devices.admit(&device(2), now + HOUR), None);
        assert_eq!(devices.count(), 3);
    }

    #[test]
    fn a_list_says_which_line_names_no_device() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("devices");
        let key = device(7).to_string();
        std::fs::write(&path, format!("# school 12\n\n{key} the library's\n")).unwrap();
        assert_eq!(read_device_list(&path).unwrap(), [device(7)]);
        std::fs::write(&path, format!("{key}\nlaptop-3\n")).unwrap();
        let refused = read_device_list(&path);
        assert!(matches!(
            refused,
            Err(CollectorError::DeviceList { line: 2, .. })
        ));
    }
}
