use release_format::{
    ChannelName, Delegations, LogSubject, PublicKey, RoleKeys, Targets, TenantName, UtcTime,
};

use crate::PublishError;
use crate::govern::ceremony_error::CeremonyError;
use crate::key_store::KeyStore;
use crate::repository::Repository;
use crate::repository::record::{Action, Record};
use crate::repository::revision::{OPERATIONS_DAYS, TARGETS_DAYS, Versions, no_targets};
use crate::repository::roles::{Roles, absent};
use crate::repository::signing::TargetChange;

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

impl Repository {
    /// Delegates the rollouts of a channel to a role of its own, which devices ask before the one of the
    /// tenant's operations, and nobody behind it.
    ///
    /// Its first file vouches for the rollouts that the channel has. It needs the keys of targets,
    /// snapshot and timestamp, and enough of those that are to approve.
    ///
    /// # Errors
    /// [`CeremonyError::Unfit`] for a tenant that is not there, a channel that is guarded already, and
    /// keys that never reach the threshold; [`PublishError::Threshold`] where too few are at hand.
    pub fn guard_channel(
        &self,
        guard: &ChannelGuard,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<String, PublishError> {
        let storage = self.storage();
        let _lock = storage.lock()?;
        let roles = Roles::load(storage)?;
        let (role, paths) = guard.tenant.approval_role(&guard.channel);
        let [_, (operations, _)] = guard.tenant.roles();
        guard.check(&roles, &role, &operations)?;

        let mut body = renewed_targets(&roles);
        let delegations = body.delegations.get_or_insert_default();
        let named = (role.as_str(), &guard.keys[..], guard.threshold);
        delegations.delegate_before(&operations, named, &[paths]);
        let versions = Versions::taken(storage)?;
        body.version = versions.next("targets");
        body.expires = now.plus_days(TARGETS_DAYS);
        body.issued = Some(now);
        let approvers = role_keys(delegations, &role);

        let (first, targets) = self.first_file(&roles, &role, delegations, &operations)?;
        let first = Targets {
            version: versions.next(&role),
            expires: now.plus_days(OPERATIONS_DAYS),
            issued: Some(now),
            ..first
        };
        let subject = LogSubject {
            channel: Some(guard.channel.clone()),
            ..LogSubject::default()
        };
        let told = format!(
            "{role} approves what {} offers, by {} signatures",
            guard.channel, guard.threshold
        );
        let action = Action::new("guard", subject).told([told]);
        let record = Record::begin(storage, Some(&roles), action)?;
        let mut revision = roles.succeeding(now, record);
        revision.sign_targets(&body, &roles.top_level_key("targets", keys)?)?;
        revision.sign_targets(&first, &keys.role_signers(&role, approvers.as_ref())?)?;
        let files = roles.finish_with(revision, &versions, keys)?;
        roles.rehearse(&files, &targets, now)?;
        files.store(storage)?;
        Ok(role)
    }

    /// Returns what the role's first file vouches for: the rollouts of its channel as they are.
    fn first_file(
        &self,
        roles: &Roles,
        role: &str,
        delegations: &Delegations,
        operations: &str,
    ) -> Result<(Targets, Vec<TargetChange>), PublishError> {
        let mut first = no_targets(1, UtcTime::MAX);
        let mut targets = Vec::new();
        let before = roles.trusted.targets(operations);
        let listed = before.into_iter().flat_map(|body| &body.targets);
        let may_sign = |path: &String| {
            let role = delegations.role(role);
            role.is_some_and(|role| role.may_sign(path))
        };
        for (path, entry) in listed.filter(|(path, _)| may_sign(path)) {
            let file = roles.file_of_target(path)?.ok_or_else(|| absent(path))?;
            let bytes = self.storage().get(&file.location)?;
            let bytes = bytes.ok_or_else(|| absent(&file.location))?;
            first.targets.insert(path.clone(), entry.clone());
            targets.push(TargetChange {
                role: role.to_owned(),
                path: path.clone(),
                bytes: bytes.to_vec(),
            });
        }
        Ok((first, targets))
    }
}

impl ChannelGuard {
    fn check(&self, roles: &Roles, role: &str, operations: &str) -> Result<(), CeremonyError> {
        let unfit = |expected: &str, found: String| CeremonyError::Unfit {
            role: role.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        if roles.delegation(operations).is_none() {
            let found = format!("no role {operations}");
            return Err(unfit("a tenant of the repository", found));
        }
        if roles.delegation(role).is_some() {
            let found = "it is there already".to_owned();
            return Err(unfit("a channel that is not guarded yet", found));
        }
        let mut distinct: Vec<_> = self.keys.iter().filter_map(PublicKey::id).collect();
        distinct.sort();
        distinct.dedup();
        let count = distinct.len() as u64;
        if self.threshold == 0 || self.threshold > count {
            let expected = format!("a threshold from 1 to the number of its keys, {count}");
            return Err(unfit(&expected, self.threshold.to_string()));
        }
        Ok(())
    }
}

fn renewed_targets(roles: &Roles) -> Targets {
    let current = roles.trusted.targets("targets").cloned();
    current.unwrap_or_else(|| no_targets(1, UtcTime::MAX))
}

fn role_keys(delegations: &Delegations, role: &str) -> Option<RoleKeys> {
    let role = delegations.role(role)?;
    Some(role.role_keys())
}
