use release_format::{ChannelName, PackName, UtcTime};

use crate::PublishError;
use crate::govern::gate::GateDecision;
use crate::govern::steering::{Steered, Steering};
use crate::govern::steering_error::SteeringError;
use crate::key_store::KeyStore;
use crate::repository::Repository;

impl Repository {
    /// Does as [`Repository::steer`] because a gate said so, whose arithmetic the log keeps.
    ///
    /// # Errors
    /// As [`Repository::steer`].
    pub fn steer_judged(
        &self,
        (pack, channel): (&PackName, &ChannelName),
        keys: &KeyStore,
        now: UtcTime,
        change: &Steering,
        decision: &GateDecision,
    ) -> Result<Steered, PublishError> {
        let lines = decision.lines.iter();
        let grounds = lines.map(|line| format!("{GROUND}{}: {}", line.verdict, line.text));
        let grounds: Vec<String> = grounds.collect();
        let channels = std::slice::from_ref(channel);
        let mut steered = self.steer_all((pack, channels), keys, now, change, &grounds)?;
        steered.pop().ok_or_else(|| {
            let (pack, channel) = (pack.clone(), channel.clone());
            SteeringError::NoChannel { pack, channel }.into()
        })
    }
}

/// Returns the grounds among the lines that an entry of the log tells.
pub(crate) fn grounds(told: &[String]) -> Vec<String> {
    let grounds = told.iter().filter_map(|line| line.strip_prefix(GROUND));
    grounds.map(str::to_owned).collect()
}

/// What the lines begin with that a gate went by.
const GROUND: &str = "gate ";
