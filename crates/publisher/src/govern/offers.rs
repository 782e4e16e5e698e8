use diff_core::Digest;
use release_format::{
    ChannelName, ContentReference, DeviceLabels, KeyId, LogEntry, LogTarget, Manifest, Mode,
    PackName, Rollout, UtcTime, Verified,
};

use crate::PublishError;
use crate::govern::audit_log::AuditLog;
use crate::govern::audit_problem::AuditProblem;
use crate::repository::Repository;
use crate::repository::roles::Roles;

/// What a channel of a pack offered at one time, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OfferAt {
    /// The rollout that was in force.
    pub rollout: Rollout,
    /// Since when.
    pub since: UtcTime,
    /// The entry of the log that tells of it.
    pub entry: u64,
    /// What was done then.
    pub action: String,
    /// The keys that signed it; none where it was there before the log began.
    pub signed_by: Vec<KeyId>,
    /// The next change of the same channel, if there was one: its entry and its time.
    pub until: Option<(u64, UtcTime)>,
    /// How the release itself came to be; none when that was before the log began.
    pub release: Option<ReleaseOrigin>,
}

/// When a release was published, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReleaseOrigin {
    /// The entry of the log that tells of it.
    pub entry: u64,
    /// When.
    pub published: UtcTime,
    /// The keys of the tenant that signed it.
    pub signed_by: Vec<KeyId>,
}

impl OfferAt {
    /// Returns the manifest of the release that devices of a bucket, with these labels, were offered at
    /// a time, if any: what became of it on a device is the device's to tell.
    pub fn offered_to(&self, bucket: u16, labels: &DeviceLabels, at: UtcTime) -> Option<Digest> {
        let rollout = &self.rollout;
        let is_in = !rollout.halted
            && rollout.mode == Mode::Standard
            && rollout.starts.is_none_or(|starts| starts <= at)
            && rollout.select.is_for(labels)
            && bucket < rollout.share.basis_points()
            && rollout.withdrawal(&rollout.release).is_none();
        match is_in {
            true => Some(rollout.release),
            false => rollout.otherwise,
        }
    }
}

impl Repository {
    /// Returns the log, compared with the metadata that is in force.
    ///
    /// # Errors
    /// [`PublishError`] when the repository cannot be read. What is wrong with the log is in
    /// [`AuditLog::problems`].
    pub fn log(&self) -> Result<AuditLog, PublishError> {
        let roles = Roles::load(self.storage())?;
        AuditLog::read(self.storage(), &roles, None)
    }
}

impl Repository {
    /// Compares what the log tells of a pack's channels with the metadata, targets and content that
    /// devices read, and adds to the log's problems where they contradict one another.
    ///
    /// # Errors
    /// [`PublishError`] when the repository cannot be read.
    pub fn compare_offers(
        &self,
        log: &mut AuditLog,
        pack: &PackName,
        offers: &[OfferAt],
    ) -> Result<(), PublishError> {
        let storage = self.storage();
        let roles = Roles::load(storage)?;
        let catalogue = roles.catalogue(storage, pack)?;
        for offer in offers {
            let told = &offer.rollout;
            let entry = LogEntry::location(offer.entry);
            if offer.until.is_none() {
                let there = roles.rollout(storage, pack, &told.channel)?;
                if there.as_ref() != Some(told) {
                    let found = there.map_or_else(
                        || "none".to_owned(),
                        |there| format!("{} to {}", there.label, there.share),
                    );
                    log.problems.push(AuditProblem::new(
                        pack.rollout_target(&told.channel),
                        format!("{} to {}, as {entry} tells", told.label, told.share),
                        found,
                    ));
                }
            }
            let listed = catalogue.iter().flat_map(|catalogue| &catalogue.releases);
            let mut listed = listed.filter(|listed| {
                listed.manifest.digest == told.release || listed.label == told.label
            });
            let Some(release) = listed.next() else {
                log.notes.push(format!(
                    "{} is not in the catalogue any more: only the log tells of it",
                    told.label
                ));
                continue;
            };
            if (release.manifest.digest, &release.label) != (told.release, &told.label) {
                log.problems.push(AuditProblem::new(
                    pack.catalogue_target(),
                    format!(
                        "{} with manifest {}, as {entry} tells",
                        told.label, told.release
                    ),
                    format!(
                        "{} with manifest {}",
                        release.label, release.manifest.digest
                    ),
                ));
                continue;
            }
            let limits = diff_core::Limits::standard();
            let manifest =
                storage.content(&release.manifest, |bytes| Manifest::decode(bytes, &limits));
            if let Err(failed) = manifest {
                log.problems.push(AuditProblem::new(
                    format!("the manifest of {}", release.label),
                    format!("what {entry} tells of"),
                    failed,
                ));
            }
        }
        Ok(())
    }
}

impl AuditLog {
    /// Returns what every channel of a pack offered at a time, in the order of the channels; nothing
    /// before the log began.
    pub fn offers_at(&self, pack: &PackName, time: UtcTime) -> Vec<OfferAt> {
        let mut offers: Vec<OfferAt> = Vec::new();
        for change in self.changes_of(pack) {
            let place = |offer: &&mut OfferAt| offer.rollout.channel == change.rollout.channel;
            let before = offers.iter_mut().find(place);
            let is_later = change.since > time;
            match before {
                Some(offer) if is_later => {
                    offer.until = offer.until.or(Some((change.entry, change.since)));
                }
                Some(offer) => *offer = change,
                None if is_later => {}
                None => offers.push(change),
            }
        }
        offers.sort_by(|a, b| a.rollout.channel.cmp(&b.rollout.channel));
        for offer in &mut offers {
            offer.release = self.origin(pack, &offer.rollout.release);
        }
        offers
    }

    /// Returns every rollout of a pack that came into force, the oldest first.
    pub fn changes_of(&self, pack: &PackName) -> Vec<OfferAt> {
        let mut changes = Vec::new();
        for entry in self.in_force() {
            let baseline = entry.baseline.iter().flat_map(|baseline| &baseline.targets);
            let there = baseline.map(|(path, target)| (path, target, false));
            let new = entry
                .targets
                .iter()
                .map(|(path, target)| (path, target, true));
            for (path, target, is_new) in there.chain(new) {
                if let Some(rollout) = rollout_of(pack, path, target) {
                    changes.push(change(entry, pack, rollout, is_new));
                }
            }
        }
        changes
    }

    /// Returns when a release was published, and by whom.
    pub fn origin(&self, pack: &PackName, manifest: &Digest) -> Option<ReleaseOrigin> {
        let is_it = |entry: &&LogEntry| {
            entry.action == "publish"
                && entry.subject.pack.as_ref() == Some(pack)
                && entry.subject.manifest.as_ref() == Some(manifest)
        };
        let entry = self.in_force().find(is_it)?;
        Some(ReleaseOrigin {
            entry: entry.number,
            published: entry.time,
            signed_by: keys_of(entry, &pack.content_role()),
        })
    }
}

fn rollout_of(pack: &PackName, path: &str, target: &LogTarget) -> Option<Rollout> {
    let prefix = format!("{pack}/rollout/");
    let channel = ChannelName::parse(path.strip_prefix(&prefix)?).ok()?;
    let bytes = target.rollout_bytes()?;
    let verified = Verified::new(&*bytes, &ContentReference::of(&bytes)).ok()?;
    let rollout = Rollout::decode(&verified).ok()?;
    rollout.expect_channel(pack, &channel).ok()
}

fn change(entry: &LogEntry, pack: &PackName, rollout: Rollout, is_new: bool) -> OfferAt {
    OfferAt {
        rollout,
        since: entry.time,
        entry: entry.number,
        action: match is_new {
            true => entry.action.clone(),
            false => "there before the log began".to_owned(),
        },
        signed_by: match is_new {
            true => rollout_keys(entry, pack),
            false => Vec::new(),
        },
        until: None,
        release: None,
    }
}

/// Returns the keys of the role that vouched for a rollout: operations, or those who approve a channel.
fn rollout_keys(entry: &LogEntry, pack: &PackName) -> Vec<KeyId> {
    let content = pack.content_role();
    let others = ["root", "targets", "snapshot", &content];
    let by = entry.by.iter();
    by.filter(|(role, _)| !others.contains(&role.as_str()))
        .flat_map(|(_, keys)| keys.iter().cloned())
        .collect()
}

fn keys_of(entry: &LogEntry, role: &str) -> Vec<KeyId> {
    entry.by.get(role).cloned().unwrap_or_default()
}
