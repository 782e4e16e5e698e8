use std::collections::BTreeSet;

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
        let mut rulings = Vec::with_capacity(6);
        let decision = self.judge(asker, &mut |rule, holds, told| {
            rulings.push(Ruling::new(rule, holds, told()));
        });
        (decision, rulings)
    }

    /// Decides, and hands over each rule as it is asked, its words to be made by whoever wants them.
    fn judge(&self, asker: &Asker<'_>, hear: &mut Hear<'_>) -> Decision {
        let mut rule = |name, holds: bool, told: &dyn Fn() -> String| {
            hear(name, holds, told);
            holds
        };
        let halt = || match (self.halted, self.halt_reason.as_str()) {
            (false, _) => "the rollout is not halted".to_owned(),
            (true, "") => "the rollout is halted".to_owned(),
            (true, reason) => format!("the rollout is halted: {reason}"),
        };
        if !rule("halt", !self.halted, &halt) {
            return Decision::Halted;
        }
        if let Some(starts) = self.starts {
            let told = || format!("it starts {starts}, and it is {} at least", asker.now);
            if !rule("start", starts <= asker.now, &told) {
                return Decision::NotYet { starts };
            }
        }
        for (key, values) in self.select.iter() {
            let found = asker.labels.get(key);
            let told = || {
                let has = found.map_or_else(
                    || format!("no label {key}"),
                    |found| format!("{key}={found}"),
                );
                format!(
                    "it is for {key}={}, and the device has {has}",
                    listed(values)
                )
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
        let told = || {
            format!(
                "it reaches {} of devices, the buckets below {below}, and this one has bucket {bucket}",
                self.share
            )
        };
        if !rule("share", bucket < below, &told) {
            return Decision::OutsideShare { bucket };
        }
        if let Some(minimum) = self.minimum_client(&self.release) {
            let own = asker.client;
            let told = || format!("it needs client {minimum}, and this one is {own}");
            if !rule("minimum-client", minimum <= own, &told) {
                return Decision::ClientTooOld { minimum };
            }
        }
        if self.mode == Mode::Shadow {
            let told = || "it is a shadow: staged and checked, and never active".to_owned();
            rule("mode", true, &told);
        }
        Decision::Offered
    }
}

/// Hears of a rule, whether it holds, and how to put it into words.
type Hear<'a> = dyn FnMut(&'static str, bool, &dyn Fn() -> String) + 'a;

fn listed(values: &BTreeSet<String>) -> String {
    let shown = values.iter().take(SHOWN_VALUES).map(String::as_str);
    let mut told = shown.collect::<Vec<_>>().join(",");
    if let Some(more) = values
        .len()
        .checked_sub(SHOWN_VALUES)
        .filter(|more| *more > 0)
    {
        told.push_str(&format!(" and {more} more"));
    }
    told
}

/// Values that are told of a key that has many.
const SHOWN_VALUES: usize = 5;

#[cfg(test)]
mod tests;
