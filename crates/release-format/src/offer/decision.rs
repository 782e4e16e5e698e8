use std::collections::BTreeSet;
use std::fmt::{self, Write};

use crate::UtcTime;
use crate::offer::client_version::ClientVersion;
use crate::offer::device_id::DeviceId;
use crate::offer::rollout::{Mode, Rollout};
use crate::offer::ruling::Ruling;
use crate::offer::selector::DeviceLabels;

/// Who asks: all that a rollout may go by.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The device.
    pub device: DeviceId,
    /// What the device says of itself.
    pub labels: &'a DeviceLabels,
    /// The client that it runs.
    pub client: ClientVersion,
    /// The moment that it is at least, by what the device trusts.
    pub now: UtcTime,
}

/// What a rollout means for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The release is offered.
    Offered,
    /// The rollout is halted: who has the release keeps it, nobody else is offered it.
    Halted,
    /// The rollout begins later.
    NotYet {
        /// When it begins.
        starts: UtcTime,
    },
    /// The rollout is for other devices.
    NotSelected {
        /// The label that the device lacks, or that has another value.
        key: String,
    },
    /// The share does not reach the device's bucket yet.
    OutsideShare {
        /// The bucket, 0 to 9999.
        bucket: u16,
    },
    /// The device's client is older than the release asks for.
    ClientTooOld {
        /// The oldest client that the release is for.
        minimum: ClientVersion,
    },
}

impl Rollout {
    /// Returns whether the release is offered to who asks, and why where it is not.
    ///
    /// Widening the share keeps everyone who is in; a device that has the release keeps it whatever
    /// this says, unless the release is withdrawn.
    pub fn decide(&self, asker: &Asker<'_>) -> Decision {
        self.judge(asker, &mut |_, _, _| {})
    }

    /// Returns what [`Rollout::decide`] does, and the rules that it went through, in their order up to
    /// the first that keeps the release from the device.
    pub fn explain(&self, asker: &Asker<'_>) -> (Decision, Vec<Ruling>) {
        let mut rulings = Vec::with_capacity(USUAL_RULES + self.select.iter().len());
        let decision = self.judge(asker, &mut |rule, holds, tell| {
            let mut told = String::with_capacity(USUAL_BYTES);
            // Writing to memory succeeds.
            let _ = tell(&mut told);
            rulings.push(Ruling::new(rule, holds, told));
        });
        (decision, rulings)
    }

    /// Decides, and hands over each rule as it is asked, its words to be made by whoever wants them.
    fn judge(&self, asker: &Asker<'_>, hear: &mut Hear<'_>) -> Decision {
        let mut rule = |name, holds: bool, tell: &Tell<'_>| {
            hear(name, holds, tell);
            holds
        };
        let halt = |told: &mut String| match (self.halted, self.halt_reason.as_str()) {
            (false, _) => told.write_str("the rollout is not halted"),
            (true, "") => told.write_str("the rollout is halted"),
            (true, reason) => write!(told, "the rollout is halted: {reason}"),
        };
        if !rule("halt", !self.halted, &halt) {
            return Decision::Halted;
        }
        if let Some(starts) = self.starts {
            let now = asker.now;
            let told =
                |told: &mut String| write!(told, "it starts {starts}, and it is {now} at least");
            if !rule("start", starts <= asker.now, &told) {
                return Decision::NotYet { starts };
            }
        }
        for (key, values) in self.select.iter() {
            let found = asker.labels.get(key);
            let told = |told: &mut String| {
                told.write_str("it is for ")?;
                told.write_str(key)?;
                told.write_char('=')?;
                list(values, told)?;
                told.write_str(", and the device has ")?;
                match found {
                    None => write!(told, "no label {key}"),
                    Some(found) => write!(told, "{key}={found}"),
                }
            };
            let is_chosen = found.is_some_and(|found| values.contains(found));
            if !rule("select", is_chosen, &told) {
                return Decision::NotSelected {
                    key: key.to_owned(),
                };
            }
        }
        let bucket = self.bucket(&asker.device);
        let below = self.share.basis_points();
        let told = |told: &mut String| {
            write!(
                told,
                "it reaches {} of devices, the buckets below {below}, and this one has bucket {bucket}",
                self.share
            )
        };
        if !rule("share", bucket < below, &told) {
            return Decision::OutsideShare { bucket };
        }
        if let Some(minimum) = self.minimum_client(&self.release) {
            let own = asker.client;
            let told = |told: &mut String| {
                write!(told, "it needs client {minimum}, and this one is {own}")
            };
            if !rule("minimum-client", minimum <= own, &told) {
                return Decision::ClientTooOld { minimum };
            }
        }
        if self.mode == Mode::Shadow {
            let told = |told: &mut String| {
                told.write_str("it is a shadow: staged and checked, and never active")
            };
            rule("mode", true, &told);
        }
        Decision::Offered
    }
}

/// Hears of a rule, whether it holds, and how to put it into words.
type Hear<'a> = dyn FnMut(&'static str, bool, &Tell<'_>) + 'a;

/// Puts a rule into words, at the end of a text.
type Tell<'a> = dyn Fn(&mut String) -> fmt::Result + 'a;

fn list(values: &BTreeSet<String>, told: &mut String) -> fmt::Result {
    for (number, value) in values.iter().take(SHOWN_VALUES).enumerate() {
        if number > 0 {
            told.write_char(',')?;
        }
        told.write_str(value)?;
    }
    match values.len().saturating_sub(SHOWN_VALUES) {
        0 => Ok(()),
        more => write!(told, " and {more} more"),
    }
}

/// Rules that a rollout without selectors goes by, at most.
const USUAL_RULES: usize = 5;
/// As much as most rules take to be told.
const USUAL_BYTES: usize = 128;

/// Values that are told of a key that has many.
const SHOWN_VALUES: usize = 5;

#[cfg(test)]
mod tests;
