use release_format::{
    ChannelName, Delegations, LogSubject, PublicKey, RoleKeys, TenantName, UtcTime,
};
use serde_json::{Value, json};

use crate::govern::ceremony_error::{CeremonyError, short_ids};
use crate::repository::record::Action;
use crate::repository::revision::no_targets;
use crate::repository::roles::Roles;

/// A channel whose rollouts need the approval of several holders of keys from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelGuard {
    /// Whose channel.
    pub tenant: TenantName,
    /// The channel, of all packs of the tenant.
    pub channel: ChannelName,
    /// The keys that may approve.
    pub keys: Vec<PublicKey>,
    /// How many of them have to.
    pub threshold: u64,
}

impl ChannelGuard {
    /// Returns the role whose keys approve.
    pub(crate) fn role(&self) -> String {
        self.tenant.approval_role(&self.channel).0
    }

    /// Returns the targets role with the guard, its version and dates still as they are, and the keys
    /// that approve.
    ///
    /// # Errors
    /// [`CeremonyError::Unfit`] for a tenant that is not there, a channel that is guarded already, and
    /// keys that never reach the threshold.
    pub(crate) fn delegated(&self, roles: &Roles) -> Result<Delegated, CeremonyError> {
        let (role, paths) = self.tenant.approval_role(&self.channel);
        let [_, (operations, _)] = self.tenant.roles();
        if roles.delegation(&operations).is_none() {
            let found = format!("no role {operations}");
            return Err(self.unfit("a tenant of the repository", found));
        }
        if roles.delegation(&role).is_some() {
            let found = "it is there already".to_owned();
            return Err(self.unfit("a channel that is not guarded yet", found));
        }
        self.check_threshold()?;
        let current = roles.trusted.targets("targets").cloned();
        let mut targets = current.unwrap_or_else(|| no_targets(1, UtcTime::MAX));
        let delegations = targets.delegations.get_or_insert_default();
        let named = (role.as_str(), &self.keys[..], self.threshold);
        delegations.delegate_before(&operations, named, &[paths]);
        let keys = delegations.role(&role).map(|role| role.role_keys());
        let (table, keys) = (delegations.clone(), keys.unwrap_or(NOBODY));
        Ok(Delegated {
            targets,
            table,
            keys,
            operations,
        })
    }

    /// Refuses keys that never reach the threshold.
    pub(crate) fn check_threshold(&self) -> Result<(), CeremonyError> {
        let mut distinct: Vec<_> = self.keys.iter().filter_map(PublicKey::id).collect();
        distinct.sort();
        distinct.dedup();
        let count = distinct.len() as u64;
        if self.threshold == 0 || self.threshold > count {
            let expected = format!("a threshold from 1 to the number of its keys, {count}");
            return Err(self.unfit(&expected, self.threshold.to_string()));
        }
        Ok(())
    }

    /// Returns in plain words what becomes otherwise.
    pub(crate) fn told(&self) -> String {
        let ids: Vec<_> = self.keys.iter().filter_map(PublicKey::id).collect();
        format!(
            "{} approves what {} offers, by {} signatures of {}",
            self.role(),
            self.channel,
            self.threshold,
            short_ids(&ids)
        )
    }

    /// Returns what the log tells of it.
    pub(crate) fn action(&self) -> Action {
        let subject = LogSubject {
            channel: Some(self.channel.clone()),
            ..LogSubject::default()
        };
        Action::new("guard", subject).told([self.told()])
    }

    /// Returns the guard that a member of an approval describes.
    pub(crate) fn from_json(guard: &Value) -> Option<ChannelGuard> {
        let text = |name: &str| guard.get(name).and_then(Value::as_str);
        let keys = guard.get("keys")?.as_array()?;
        Some(ChannelGuard {
            tenant: TenantName::parse(text("tenant")?).ok()?,
            channel: ChannelName::parse(text("channel")?).ok()?,
            keys: keys.iter().map(PublicKey::from_json).collect(),
            threshold: guard.get("threshold")?.as_u64()?,
        })
    }

    /// Returns the member of an approval.
    pub(crate) fn to_json(&self) -> Value {
        let keys = self.keys.iter().filter_map(PublicKey::to_json);
        json!({
            "tenant": self.tenant.as_str(),
            "channel": self.channel.as_str(),
            "keys": keys.collect::<Vec<_>>(),
            "threshold": self.threshold,
        })
    }

    fn unfit(&self, expected: &str, found: String) -> CeremonyError {
        CeremonyError::Unfit {
            role: self.role(),
            expected: expected.to_owned(),
            found,
        }
    }
}

/// What a guard makes of the targets role.
pub(crate) struct Delegated {
    /// The targets role as it would be.
    pub(crate) targets: release_format::Targets,
    /// To whom it delegates then.
    pub(crate) table: Delegations,
    /// The keys that approve, and how many of them have to.
    pub(crate) keys: RoleKeys,
    /// The role that signed the channel's rollouts so far.
    pub(crate) operations: String,
}

const NOBODY: RoleKeys = RoleKeys {
    keyids: Vec::new(),
    threshold: 1,
};
