use std::collections::BTreeMap;

use release_format::{ChannelName, KeyTable, PackName, RoleKeys, TargetEntry, UtcTime};

use crate::PublishError;
use crate::govern::approval::{Approval, decode};
use crate::govern::ceremony_error::{CeremonyError, Shortfall};
use crate::govern::guard::ChannelGuard;
use crate::govern::steering::{Retraction, Steering};
use crate::key_store::KeyStore;
use crate::repository::Repository;
use crate::repository::record::Record;
use crate::repository::revision::{OPERATIONS_DAYS, TARGETS_DAYS, Versions, no_targets};
use crate::repository::roles::{Roles, absent};
use crate::repository::signing::TargetChange;
use crate::storage::Source;

/// What a channel's role vouches for, and by which version of its file.
struct Vouched {
    version: u64,
    rollouts: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    /// Returns what the holders of a guarded channel's keys have to sign for a change.
    ///
    /// # Errors
    /// As [`Repository::steer`]; [`CeremonyError::Nothing`] where nothing would change.
    pub fn propose_steering(
        &self,
        pack: &PackName,
        channel: &ChannelName,
        now: UtcTime,
        change: &Steering,
    ) -> Result<Approval, PublishError> {
        let roles = Roles::load(self.storage())?;
        let role = roles.rollout_role(pack, channel);
        let vouched = self.vouched(&roles, &role)?;
        let version = Versions::taken(self.storage())?.next(&role);
        let what = (pack, std::slice::from_ref(channel));
        self.proposed(&roles, what, (role, vouched, version), now, change)
    }

    /// Returns what the holders have to sign for a change that comes right after another one that is not
    /// published yet: a halt that lies ready, signed, while the step that it would halt goes out.
    ///
    /// It is good only as long as nothing else follows on that step.
    ///
    /// # Errors
    /// As [`Repository::propose_steering`]; [`CeremonyError::Unfit`] where the step is of another role.
    pub fn propose_steering_after(
        &self,
        step: &Approval,
        (pack, channel): (&PackName, &ChannelName),
        now: UtcTime,
        change: &Steering,
    ) -> Result<Approval, PublishError> {
        let roles = Roles::load(self.storage())?;
        let role = roles.rollout_role(pack, channel);
        if role != step.role() {
            return Err(CeremonyError::Unfit {
                role,
                expected: "a step of the same role".to_owned(),
                found: format!("one of {}", step.role()),
            }
            .into());
        }
        let vouched = Vouched {
            version: step.draft().body().version,
            rollouts: step.rollouts().clone(),
        };
        let version = vouched.version.saturating_add(1);
        let what = (pack, std::slice::from_ref(channel));
        self.proposed(&roles, what, (role, vouched, version), now, change)
    }

    /// Returns what the holders have to sign so that the devices of these channels, or of all channels of
    /// the pack, leave a release.
    ///
    /// # Errors
    /// As [`Repository::withdraw`]; [`CeremonyError::Unfit`] where several roles sign for the channels:
    /// each has an approval of its own.
    pub fn propose_withdrawal(
        &self,
        pack: &PackName,
        channels: &[ChannelName],
        now: UtcTime,
        retraction: &Retraction,
    ) -> Result<Approval, PublishError> {
        let roles = Roles::load(self.storage())?;
        let all = roles.channels(pack);
        let channels = if channels.is_empty() { &all } else { channels };
        let mut signing: Vec<String> = channels
            .iter()
            .map(|channel| roles.rollout_role(pack, channel))
            .collect();
        signing.sort();
        signing.dedup();
        let [role] = &signing[..] else {
            return Err(CeremonyError::Unfit {
                role: signing.join(", "),
                expected: "channels of one role in one approval".to_owned(),
                found: format!("{} roles", signing.len()),
            }
            .into());
        };
        let vouched = self.vouched(&roles, role)?;
        let version = Versions::taken(self.storage())?.next(role);
        let change = Steering::Withdraw(retraction.clone());
        let state = (role.clone(), vouched, version);
        self.proposed(&roles, (pack, channels), state, now, &change)
    }

    fn proposed(
        &self,
        roles: &Roles,
        (pack, channels): (&PackName, &[ChannelName]),
        (role, vouched, version): (String, Vouched, u64),
        now: UtcTime,
        change: &Steering,
    ) -> Result<Approval, PublishError> {
        let mut rollouts = vouched.rollouts;
        let mut is_changed = false;
        for channel in channels {
            let path = pack.rollout_target(channel);
            let before = rollouts.get(&path).map(|bytes| decode(bytes));
            let before = before.transpose().map_err(PublishError::Format)?;
            let steered = self.steered_from(roles, (pack, channel), before, now, change)?;
            is_changed |= steered.is_changed();
            let bytes = steered.after.encode().map_err(PublishError::Format)?;
            rollouts.insert(path, bytes);
        }
        if !is_changed {
            return Err(CeremonyError::Nothing.into());
        }
        self.approval_of((role, vouched.version, version), rollouts, now, None)
    }

    /// Returns what the holders of the keys of a guard have to sign before a channel is theirs: the
    /// first file of their role, which vouches for the rollouts that the channel has. Their public keys
    /// are all that it needs.
    ///
    /// # Errors
    /// [`CeremonyError::Unfit`] for a tenant that is not there, a channel that is guarded already, and
    /// keys that never reach the threshold.
    pub fn propose_guard(
        &self,
        guard: &ChannelGuard,
        now: UtcTime,
    ) -> Result<Approval, PublishError> {
        let roles = Roles::load(self.storage())?;
        let rollouts = self.guarded_rollouts(&roles, guard)?;
        let role = guard.role();
        let version = Versions::taken(self.storage())?.next(&role);
        self.approval_of((role, 0, version), rollouts, now, Some(guard.clone()))
    }

    /// Delegates the rollouts of a channel to a role of its own, which devices ask before the one of the
    /// tenant's operations, and nobody behind it: proposes it, signs it with the keys at hand, and
    /// publishes it.
    ///
    /// Its first file vouches for the rollouts that the channel has. It needs the keys of targets,
    /// snapshot and timestamp, and enough of those that are to approve.
    ///
    /// # Errors
    /// As [`Repository::propose_guard`] and [`Repository::publish_approval`];
    /// [`PublishError::Threshold`] where too few keys are at hand.
    pub fn guard_channel(
        &self,
        guard: &ChannelGuard,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<String, PublishError> {
        let mut approval = self.propose_guard(guard, now)?;
        let roles = Roles::load(self.storage())?;
        let role = guard.role();
        let approvers = guard.delegated(&roles)?.keys;
        for signer in keys.role_signers(&role, Some(&approvers))?.signers() {
            approval.sign(&*signer)?;
        }
        self.publish_approval(&approval, keys, now)?;
        Ok(role)
    }

    /// Publishes a change that enough holders have signed, with a snapshot and a timestamp by keys at
    /// hand; the beginning of a guard needs those of targets, too.
    ///
    /// # Errors
    /// [`CeremonyError::TooFewSignatures`]; [`CeremonyError::Stale`] when the channel has changed since;
    /// [`PublishError::Refused`] when devices would refuse the outcome. Nothing is published then.
    pub fn publish_approval(
        &self,
        approval: &Approval,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<(), PublishError> {
        let storage = self.storage();
        let _lock = storage.lock()?;
        let roles = Roles::load(storage)?;
        expect_approved(&roles, approval)?;
        self.expect_current(&roles, approval)?;
        let role = approval.role();
        let rollouts = approval.rollouts().iter();
        let targets: Vec<TargetChange> = rollouts
            .map(|(path, bytes)| TargetChange {
                role: role.to_owned(),
                path: path.clone(),
                bytes: bytes.clone(),
            })
            .collect();
        let versions = Versions::taken(storage)?;
        let mut record = Record::begin(storage, Some(&roles), approval.action())?;
        for target in &targets {
            let current = roles.file_of_target(&target.path)?;
            if current.is_none_or(|file| file.location != target.location()) {
                record.add_target(&target.path, &target.bytes);
            }
        }
        let mut revision = roles.succeeding(now, record);
        if let Some(guard) = approval.guard() {
            let mut body = guard.delegated(&roles)?.targets;
            body.version = versions.next("targets");
            body.expires = now.plus_days(TARGETS_DAYS);
            body.issued = Some(now);
            revision.sign_targets(&body, &roles.top_level_key("targets", keys)?)?;
        }
        let draft = approval.draft();
        revision.add_targets(role, draft.body().version, draft.encode())?;
        let files = roles.finish_with(revision, &versions, keys)?;
        roles.rehearse(&files, &targets, now)?;
        for target in &targets {
            storage.put_if_absent(&target.location(), Source::Bytes(&target.bytes))?;
        }
        storage.sync()?;
        files.store(storage)
    }

    /// Returns what a change lacks until devices would follow: nothing when it can be published.
    ///
    /// # Errors
    /// [`PublishError`] when the repository's metadata cannot be read.
    pub fn approval_shortfall(
        &self,
        approval: &Approval,
    ) -> Result<Option<Shortfall>, PublishError> {
        let roles = Roles::load(self.storage())?;
        Ok(match expect_approved(&roles, approval) {
            Err(CeremonyError::TooFewSignatures { mut shortfalls, .. }) => shortfalls.pop(),
            outcome => outcome.map(|()| None)?,
        })
    }

    /// Refuses an approval that is not of the repository as it is.
    fn expect_current(&self, roles: &Roles, approval: &Approval) -> Result<(), PublishError> {
        let role = approval.role();
        let stale = |expected: String, found: String| CeremonyError::Stale {
            place: approval.place().to_owned(),
            expected,
            found,
        };
        let version = approval.draft().body().version;
        let current = roles.trusted.targets(role).map_or(0, |body| body.version);
        if current != approval.replaces() || version <= current {
            let found = format!("{role} {}", approval.replaces());
            return Err(stale(format!("{role} {current}"), found).into());
        }
        // Until the guard is there others change the channel, without a trace in the role's version.
        if let Some(guard) = approval.guard()
            && self.guarded_rollouts(roles, guard)? != *approval.rollouts()
        {
            let expected = format!("what {} offers now", guard.channel);
            return Err(stale(expected, "what it offered before".to_owned()).into());
        }
        Ok(())
    }

    /// Returns what a role vouches for.
    fn vouched(&self, roles: &Roles, role: &str) -> Result<Vouched, PublishError> {
        let current = roles.trusted.targets(role);
        let mut rollouts = BTreeMap::new();
        for path in current.iter().flat_map(|body| body.targets.keys()) {
            let file = roles.file_of_target(path)?;
            // What another role vouches for by now is none of its business.
            if let Some(file) = file.filter(|file| file.role == role)
                && let Some(bytes) = self.storage().get(&file.location)?
            {
                rollouts.insert(path.clone(), bytes.to_vec());
            }
        }
        Ok(Vouched {
            version: current.map_or(0, |body| body.version),
            rollouts,
        })
    }

    /// Returns the rollouts that a channel has, before it is guarded.
    fn guarded_rollouts(
        &self,
        roles: &Roles,
        guard: &ChannelGuard,
    ) -> Result<BTreeMap<String, Vec<u8>>, PublishError> {
        let delegated = guard.delegated(roles)?;
        let role = guard.role();
        let may_sign = |path: &String| {
            let role = delegated.table.role(&role);
            role.is_some_and(|role| role.may_sign(path))
        };
        let before = roles.trusted.targets(&delegated.operations);
        let listed = before.into_iter().flat_map(|body| body.targets.keys());
        let mut rollouts = BTreeMap::new();
        for path in listed.filter(|path| may_sign(path)) {
            let file = roles.file_of_target(path)?.ok_or_else(|| absent(path))?;
            let bytes = self.storage().get(&file.location)?;
            let bytes = bytes.ok_or_else(|| absent(&file.location))?;
            rollouts.insert(path.clone(), bytes.to_vec());
        }
        Ok(rollouts)
    }

    fn approval_of(
        &self,
        (role, replaces, version): (String, u64, u64),
        rollouts: BTreeMap<String, Vec<u8>>,
        now: UtcTime,
        guard: Option<ChannelGuard>,
    ) -> Result<Approval, PublishError> {
        let mut body = no_targets(version, now.plus_days(OPERATIONS_DAYS));
        body.issued = Some(now);
        let entries = rollouts.iter();
        body.targets = entries
            .map(|(path, bytes)| (path.clone(), TargetEntry::of(bytes)))
            .collect();
        let place = self.storage().address();
        Ok(Approval::new(
            place,
            (role, replaces),
            body,
            rollouts,
            guard,
        )?)
    }
}

fn expect_approved(roles: &Roles, approval: &Approval) -> Result<(), CeremonyError> {
    let role = approval.role();
    let (keys, table): (RoleKeys, KeyTable) = match approval.guard() {
        Some(guard) => {
            let delegated = guard.delegated(roles)?;
            (delegated.keys, delegated.table.keys)
        }
        None => {
            let Some((delegation, delegations)) = roles.delegation(role).zip(roles.delegations())
            else {
                return Err(CeremonyError::Unfit {
                    role: role.to_owned(),
                    expected: "a role that signs rollouts".to_owned(),
                    found: "no such role".to_owned(),
                });
            };
            (delegation.role_keys(), delegations.keys.clone())
        }
    };
    let draft = approval.draft();
    let signed = draft.valid_signers(&keys, &table);
    if signed.len() as u64 >= keys.threshold.max(1) {
        return Ok(());
    }
    let missing = keys.keyids.iter().filter(|id| !signed.contains(id));
    let shortfall = Shortfall {
        file: format!("{role} {}", draft.body().version),
        judge: "the targets role".to_owned(),
        expected: keys.threshold,
        found: signed.len() as u64,
        missing: missing.cloned().collect(),
    };
    Err(CeremonyError::TooFewSignatures {
        place: approval.place().to_owned(),
        shortfalls: vec![shortfall],
    })
}
