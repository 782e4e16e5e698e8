use std::collections::BTreeMap;

use diff_core::Digest;
use release_format::{
    Catalogue, CatalogueRelease, ChannelName, ClientVersion, FeatureFlag, Label, LogSubject,
    MinimumClient, Mode, PackName, ReleaseStatus, Rollout, Selectors, Share, UtcTime, Withdrawal,
};

use crate::PublishError;
use crate::govern::steering_error::SteeringError;
use crate::govern::steering_words;
use crate::key_store::KeyStore;
use crate::repository::Repository;
use crate::repository::record::Action;
use crate::repository::roles::Roles;
use crate::repository::succession::{flag_salt, for_all, succeeding};

/// A change of what a channel offers; its keys are those of operations, which sign no content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Steering {
    /// Gives the release that is offered another share.
    Widen(Share),
    /// Offers a release, from now on in this way alone.
    Offer(Offering),
    /// Offers the release to nobody who does not have it yet.
    Halt {
        /// Why, in one line for people.
        reason: String,
    },
    /// Ends a halt.
    Resume,
    /// Makes devices leave a release.
    Withdraw(Retraction),
    /// Gives flags their shares; others stay as they are.
    Flags(Vec<(String, Share)>),
}

/// How a release is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offering {
    /// The release.
    pub release: Label,
    /// The share of the devices.
    pub share: Share,
    /// Which devices.
    pub select: Selectors,
    /// What they do with it.
    pub mode: Mode,
    /// From when on.
    pub starts: Option<UtcTime>,
    /// The oldest client that it is for; `None` leaves it as it is.
    pub minimum_client: Option<ClientVersion>,
    /// Shares of flags; those that are not named stay as they are.
    pub flags: Vec<(String, Share)>,
}

impl Offering {
    /// Returns the offer of a release to a share of all devices, from now on.
    pub fn new(release: Label, share: Share) -> Offering {
        Offering {
            release,
            share,
            select: Selectors::default(),
            mode: Mode::Standard,
            starts: None,
            minimum_client: None,
            flags: Vec::new(),
        }
    }
}

/// A release that devices are to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retraction {
    /// The release.
    pub release: Label,
    /// Where they go back to; what was offered before unless given.
    pub fallback: Option<Label>,
    /// Why, in one line for people.
    pub reason: String,
    /// Whether they leave it even where they are pinned to it.
    pub security: bool,
}

/// A release on its way from one channel to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// The release.
    pub release: Label,
    /// The channel that offers it; any that does unless given.
    pub from: Option<ChannelName>,
    /// The channel that is to offer it.
    pub to: ChannelName,
    /// The share of that channel's devices.
    pub share: Share,
}

/// What a change of a rollout did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Steered {
    /// The rollout before; none where the channel is new.
    pub before: Option<Rollout>,
    /// The rollout from now on.
    pub after: Rollout,
    /// What is otherwise than before, a sentence each; none where nothing is, and nothing was written.
    pub changes: Vec<String>,
}

impl Steered {
    /// Whether anything is otherwise than before, so that it has to be published.
    pub fn is_changed(&self) -> bool {
        self.before.as_ref() != Some(&self.after)
    }
}

impl Steering {
    /// Returns what the log tells of the change of these rollouts.
    fn action(&self, rollouts: &[Rollout], steered: &[Steered], grounds: &[String]) -> Action {
        let (name, reason) = match self {
            Steering::Widen(_) => ("widen", None),
            Steering::Offer(_) => ("rollout", None),
            Steering::Halt { reason } => ("halt", Some(reason)),
            Steering::Resume => ("resume", None),
            Steering::Withdraw(retraction) => ("withdraw", Some(&retraction.reason)),
            Steering::Flags(_) => ("flags", None),
        };
        let first = rollouts.first();
        let release = match self {
            Steering::Withdraw(retraction) => Some(retraction.release.clone()),
            _ => first.map(|rollout| rollout.label.clone()),
        };
        let subject = LogSubject {
            pack: first.map(|rollout| rollout.pack.clone()),
            release,
            manifest: None,
            channel: first.map(|rollout| rollout.channel.clone()),
            reason: reason.filter(|reason| !reason.is_empty()).cloned(),
        };
        let own = steered.iter().filter(|one| rollouts.contains(&one.after));
        let told = own.flat_map(|one| one.changes.iter().cloned());
        Action::new(name, subject).told(told.chain(grounds.iter().cloned()))
    }
}

impl Repository {
    /// Changes what a channel offers.
    ///
    /// # Errors
    /// [`PublishError::Steering`] for a change that makes no sense; nothing is published then.
    pub fn steer(
        &self,
        pack: &PackName,
        channel: &ChannelName,
        keys: &KeyStore,
        now: UtcTime,
        change: &Steering,
    ) -> Result<Steered, PublishError> {
        let channels = std::slice::from_ref(channel);
        let mut steered = self.steer_all((pack, channels), keys, now, change, &[])?;
        steered.pop().ok_or_else(|| {
            let (pack, channel) = (pack.clone(), channel.clone());
            SteeringError::NoChannel { pack, channel }.into()
        })
    }

    /// Returns what [`Repository::steer`] would do, and does nothing.
    ///
    /// # Errors
    /// As [`Repository::steer`].
    pub fn rehearse_steering(
        &self,
        pack: &PackName,
        channel: &ChannelName,
        now: UtcTime,
        change: &Steering,
    ) -> Result<Steered, PublishError> {
        let roles = Roles::load(self.storage())?;
        self.steered(&roles, pack, channel, now, change)
    }

    /// Makes the devices of every channel of a pack leave a release.
    ///
    /// # Errors
    /// As [`Repository::steer`]. Channels that other keys sign for are published one after the other.
    pub fn withdraw(
        &self,
        pack: &PackName,
        keys: &KeyStore,
        now: UtcTime,
        retraction: &Retraction,
    ) -> Result<Vec<Steered>, PublishError> {
        let channels = Roles::load(self.storage())?.channels(pack);
        self.withdraw_from(pack, &channels, keys, now, retraction)
    }

    /// Makes the devices of these channels of a pack leave a release.
    ///
    /// # Errors
    /// As [`Repository::withdraw`].
    pub fn withdraw_from(
        &self,
        pack: &PackName,
        channels: &[ChannelName],
        keys: &KeyStore,
        now: UtcTime,
        retraction: &Retraction,
    ) -> Result<Vec<Steered>, PublishError> {
        let change = Steering::Withdraw(retraction.clone());
        self.steer_all((pack, channels), keys, now, &change, &[])
    }

    /// Offers in one channel the very release, by its manifest, that another one offers.
    ///
    /// # Errors
    /// [`SteeringError::NotOffered`] where none offers it to all of its devices.
    pub fn promote(
        &self,
        pack: &PackName,
        keys: &KeyStore,
        now: UtcTime,
        promotion: &Promotion,
    ) -> Result<Steered, PublishError> {
        let change = self.promotion(pack, now, promotion)?;
        self.steer(pack, &promotion.to, keys, now, &change)
    }

    /// Returns the change that a promotion is.
    ///
    /// # Errors
    /// As [`Repository::promote`].
    pub fn promotion(
        &self,
        pack: &PackName,
        now: UtcTime,
        promotion: &Promotion,
    ) -> Result<Steering, PublishError> {
        let rollouts = self.rollouts(pack)?;
        let asked = |rollout: &&Rollout| match &promotion.from {
            Some(from) => rollout.channel == *from,
            None => rollout.channel != promotion.to,
        };
        let catalogue = self.catalogue(pack)?;
        let release = labelled(&catalogue, &promotion.release)?.manifest.digest;
        let mut asked = rollouts.iter().filter(asked);
        let from = asked.find(|rollout| for_all(rollout, now) == Some(release));
        let Some(from) = from else {
            let told = rollouts.iter().map(|rollout| {
                let to_whom = steering_words::to_whom(rollout);
                format!("{} offers {} to {to_whom}", rollout.channel, rollout.label)
            });
            return Err(SteeringError::NotOffered {
                label: promotion.release.clone(),
                found: told.collect::<Vec<_>>().join(", "),
            }
            .into());
        };
        Ok(Steering::Offer(Offering {
            minimum_client: from.minimum_client(&release),
            ..Offering::new(promotion.release.clone(), promotion.share)
        }))
    }

    /// Changes channels, and has the log tell on what grounds.
    pub(crate) fn steer_all(
        &self,
        (pack, channels): (&PackName, &[ChannelName]),
        keys: &KeyStore,
        now: UtcTime,
        change: &Steering,
        grounds: &[String],
    ) -> Result<Vec<Steered>, PublishError> {
        let _lock = self.storage().lock()?;
        let roles = Roles::load(self.storage())?;
        let mut by_role: BTreeMap<String, Vec<Rollout>> = BTreeMap::new();
        let mut all = Vec::new();
        for channel in channels {
            let steered = self.steered(&roles, pack, channel, now, change)?;
            if steered.is_changed() {
                let role = roles.rollout_role(pack, channel);
                by_role.entry(role).or_default().push(steered.after.clone());
            }
            all.push(steered);
        }
        // All keys are looked for before anything is published.
        for role in by_role.keys() {
            roles.signing_rollouts(role, keys)?;
        }
        for (role, rollouts) in &by_role {
            let roles = Roles::load(self.storage())?;
            let signing = roles.signing_rollouts(role, keys)?;
            let action = change.action(rollouts, &all, grounds);
            roles.store_rollouts(self.storage(), &signing, (role, rollouts), action, now)?;
        }
        Ok(all)
    }

    fn steered(
        &self,
        roles: &Roles,
        pack: &PackName,
        channel: &ChannelName,
        now: UtcTime,
        change: &Steering,
    ) -> Result<Steered, PublishError> {
        let before = roles.rollout(self.storage(), pack, channel)?;
        self.steered_from(roles, (pack, channel), before, now, change)
    }

    /// Returns what a change makes of the rollout `before`, which may not be published yet.
    pub(crate) fn steered_from(
        &self,
        roles: &Roles,
        (pack, channel): (&PackName, &ChannelName),
        before: Option<Rollout>,
        now: UtcTime,
        change: &Steering,
    ) -> Result<Steered, PublishError> {
        let unknown = || PublishError::UnknownPack { pack: pack.clone() };
        let catalogue = roles.catalogue(self.storage(), pack)?.ok_or_else(unknown)?;
        let place = Place {
            pack,
            channel,
            catalogue: &catalogue,
            now,
        };
        let after = place.steer(before.as_ref(), change)?;
        after.encode().map_err(|refused| SteeringError::Unfit {
            expected: "a rollout that devices read".to_owned(),
            found: refused.to_string(),
        })?;
        let changes = steering_words::changes(before.as_ref(), &after, &catalogue);
        Ok(Steered {
            before,
            after,
            changes,
        })
    }
}

/// Where a change takes place: pure, so that what it would do can be told beforehand.
struct Place<'a> {
    pack: &'a PackName,
    channel: &'a ChannelName,
    catalogue: &'a Catalogue,
    now: UtcTime,
}

impl Place<'_> {
    fn steer(&self, before: Option<&Rollout>, change: &Steering) -> Result<Rollout, PublishError> {
        let there = || {
            before.cloned().ok_or_else(|| SteeringError::NoChannel {
                pack: self.pack.clone(),
                channel: self.channel.clone(),
            })
        };
        Ok(match change {
            Steering::Offer(offering) => self.offer(before, offering)?,
            Steering::Widen(share) => {
                let before = there()?;
                refuse_halted(&before)?;
                Rollout {
                    share: *share,
                    since: self.since(&before, before.share != *share),
                    ..before
                }
            }
            Steering::Halt { reason } => Rollout {
                halted: true,
                halt_reason: reason.clone(),
                ..there()?
            },
            Steering::Resume => {
                let before = there()?;
                let withdrawal = before.withdrawal(&before.release);
                if let Some(withdrawal) = withdrawal {
                    return Err(withdrawn(&before.label, &withdrawal.reason).into());
                }
                Rollout {
                    halted: false,
                    halt_reason: String::new(),
                    // What was counted of the step before the halt led to it.
                    since: self.since(&before, before.halted),
                    ..before
                }
            }
            Steering::Withdraw(retraction) => self.withdraw(there()?, retraction)?,
            Steering::Flags(flags) => {
                let mut rollout = there()?;
                self.set_flags(&mut rollout, flags);
                rollout
            }
        })
    }

    fn offer(
        &self,
        before: Option<&Rollout>,
        offering: &Offering,
    ) -> Result<Rollout, PublishError> {
        let release = labelled(self.catalogue, &offering.release)?;
        let manifest = release.manifest.digest;
        if let ReleaseStatus::Withdrawn { reason } = &release.status {
            return Err(withdrawn(&offering.release, reason).into());
        }
        if let Some(withdrawal) = before.and_then(|before| before.withdrawal(&manifest)) {
            return Err(withdrawn(&offering.release, &withdrawal.reason).into());
        }
        let mut rollout = match before {
            Some(same) if same.release == manifest => {
                refuse_halted(same)?;
                same.clone()
            }
            _ => {
                let place = (self.pack, self.channel);
                let release = (manifest, &offering.release);
                succeeding(place, release, before, self.catalogue, self.now)
            }
        };
        let is_other = rollout.share != offering.share
            || rollout.select != offering.select
            || rollout.mode != offering.mode;
        rollout.since = self.since(&rollout, is_other);
        rollout.share = offering.share;
        rollout.select = offering.select.clone();
        rollout.mode = offering.mode;
        rollout.starts = offering.starts;
        if let Some(client) = offering.minimum_client {
            let minimums = &mut rollout.minimum_clients;
            minimums.retain(|minimum| minimum.release != manifest);
            minimums.push(MinimumClient {
                release: manifest,
                client,
            });
            minimums.sort_by_key(|minimum| minimum.release);
        }
        self.set_flags(&mut rollout, &offering.flags);
        Ok(rollout)
    }

    fn withdraw(&self, before: Rollout, retraction: &Retraction) -> Result<Rollout, PublishError> {
        let label = &retraction.release;
        let release = labelled(self.catalogue, label)?.manifest.digest;
        let fallback = match &retraction.fallback {
            Some(fallback) if fallback == label => {
                let label = label.clone();
                return Err(SteeringError::OwnFallback { label }.into());
            }
            Some(fallback) => {
                let manifest = labelled(self.catalogue, fallback)?.manifest.digest;
                if let Some(withdrawal) = before.withdrawal(&manifest) {
                    return Err(withdrawn(fallback, &withdrawal.reason).into());
                }
                Some(manifest)
            }
            None => self.fallback_of(&before, &release),
        };
        let mut withdrawn = before.withdrawn.clone();
        withdrawn.retain(|known| known.release != release);
        for known in &mut withdrawn {
            if known.fallback == Some(release) {
                known.fallback = fallback;
            }
        }
        withdrawn.push(Withdrawal {
            release,
            label: label.clone(),
            fallback,
            reason: retraction.reason.clone(),
            security: retraction.security,
        });
        let sequence = |manifest: &Digest| self.catalogue.release(manifest).map(|of| of.sequence);
        while withdrawn.len() > Rollout::MAX_LISTED {
            // Devices that have the oldest were offered much since.
            let oldest = withdrawn.iter().map(|of| sequence(&of.release)).min();
            withdrawn.retain(|of| Some(sequence(&of.release)) != oldest);
        }
        withdrawn.sort_by_key(|of| of.release);
        // Who is not reached by a newer one is offered what devices go back to.
        let otherwise = match before.otherwise {
            Some(otherwise) if otherwise == release => fallback,
            otherwise => otherwise,
        };
        let mut rollout = before;
        rollout.otherwise = otherwise.filter(|otherwise| *otherwise != rollout.release);
        if rollout.release == release {
            let going_back = fallback.and_then(|manifest| self.catalogue.release(&manifest));
            match going_back {
                Some(fallback) => {
                    let manifest = fallback.manifest.digest;
                    let place = (self.pack, self.channel);
                    let going_back = (manifest, &fallback.label);
                    let next =
                        succeeding(place, going_back, Some(&rollout), self.catalogue, self.now);
                    rollout = Rollout {
                        otherwise: otherwise.filter(|otherwise| *otherwise != manifest),
                        ..next
                    };
                }
                // Nothing stands in its place.
                None => {
                    rollout.halted = true;
                    rollout.halt_reason.clone_from(&retraction.reason);
                }
            }
        }
        rollout.withdrawn = withdrawn;
        Ok(rollout)
    }

    /// Returns where devices go back to when nobody says: what the channel offered to all before, else
    /// the newest release that is older.
    fn fallback_of(&self, before: &Rollout, release: &Digest) -> Option<Digest> {
        let may_be = |manifest: &Digest| {
            let known = self.catalogue.release(manifest);
            manifest != release
                && before.withdrawal(manifest).is_none()
                && known.is_some_and(|known| known.status == ReleaseStatus::Offered)
        };
        let offered = [for_all(before, self.now), before.otherwise];
        let offered = offered
            .into_iter()
            .flatten()
            .find(|manifest| may_be(manifest));
        let below = self.catalogue.release(release).map(|of| of.sequence);
        let older = self.catalogue.releases.iter().rev();
        let mut older = older.filter(|other| Some(other.sequence) < below);
        offered.or_else(|| {
            let found = older.find(|other| may_be(&other.manifest.digest));
            found.map(|other| other.manifest.digest)
        })
    }

    fn set_flags(&self, rollout: &mut Rollout, flags: &[(String, Share)]) {
        for (name, share) in flags {
            match rollout.flags.iter_mut().find(|flag| flag.name == *name) {
                Some(flag) => flag.share = *share,
                None => rollout.flags.push(FeatureFlag {
                    name: name.clone(),
                    salt: flag_salt(self.pack, self.channel, name),
                    share: *share,
                }),
            }
        }
        rollout.flags.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Returns when the step began: now, if it is another one.
    fn since(&self, rollout: &Rollout, is_other: bool) -> Option<UtcTime> {
        match is_other {
            true => Some(self.now),
            false => rollout.since,
        }
    }
}

fn labelled<'a>(
    catalogue: &'a Catalogue,
    label: &Label,
) -> Result<&'a CatalogueRelease, PublishError> {
    let unknown = || PublishError::UnknownLabel {
        pack: catalogue.pack.clone(),
        label: label.clone(),
    };
    catalogue.labelled(label).ok_or_else(unknown)
}

fn refuse_halted(rollout: &Rollout) -> Result<(), SteeringError> {
    if !rollout.halted {
        return Ok(());
    }
    Err(SteeringError::Halted {
        channel: rollout.channel.clone(),
        label: rollout.label.clone(),
        reason: rollout.halt_reason.clone(),
    })
}

fn withdrawn(label: &Label, reason: &str) -> SteeringError {
    SteeringError::Withdrawn {
        label: label.clone(),
        reason: reason.to_owned(),
    }
}
