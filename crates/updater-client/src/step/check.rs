mod withheld;

use diff_core::Digest;
use release_format::{
    Asker, Catalogue, CatalogueRelease, Decision, Label, Mode, ReleaseStatus, Rollout, Ruling,
};

pub use withheld::{Lacking, Withheld};

use crate::library::state::{InstalledRelease, StateRecord};

/// What the repository offers this device for one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "one of them a check, and hosts match on it: a box would be in their way"
)]
pub enum Offer {
    /// The device has the newest release that it is offered.
    Current,
    /// A newer release, or the first; an older one where the active one is withdrawn.
    Release(CatalogueRelease),
    /// A release to rebuild and to check, that does not become active.
    Shadow(CatalogueRelease),
    /// There is a newer release, and this device is not to have it.
    Withheld(Withheld),
}

/// A release that the device has and is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The release's label.
    pub label: Label,
    /// Why it was withdrawn.
    pub reason: String,
    /// Whether a pin is no reason to stay.
    pub security: bool,
}

/// What is asked: signed documents, who asks, and what there is on the device.
pub(crate) struct Question<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) rollout: &'a Rollout,
    pub(crate) asker: Asker<'a>,
    pub(crate) state: &'a StateRecord,
    /// Names the methods without which this client has no way to a release.
    pub(crate) missing: &'a dyn Fn(&CatalogueRelease) -> Vec<String>,
}

/// What is offered, and the rules that led there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) offer: Offer,
    /// The release to leave, whether or not there is one to go to.
    pub(crate) leaving: Option<Leaving>,
    /// What the client lacks for the release that the rollout would offer it.
    pub(crate) lacking: Option<Lacking>,
    pub(crate) rulings: Vec<Ruling>,
}

/// Decides what the device is offered, from signed documents and the pack's state alone.
pub(crate) fn judge(question: &Question<'_>) -> Judgement {
    let mut judge = Judge {
        question,
        leaving: None,
        lacking: None,
        rulings: Vec::new(),
    };
    let offer = judge.offer();
    Judgement {
        offer,
        leaving: judge.leaving,
        lacking: judge.lacking,
        rulings: judge.rulings,
    }
}

struct Judge<'a> {
    question: &'a Question<'a>,
    leaving: Option<Leaving>,
    lacking: Option<Lacking>,
    rulings: Vec<Ruling>,
}

impl Judge<'_> {
    fn offer(&mut self) -> Offer {
        let (rollout, state) = (self.question.rollout, self.question.state);
        if let Some(active) = state.active() {
            if let Some(leaving) = self.withdrawn(&active.manifest, &active.label) {
                return self.leave(leaving);
            }
            if active.manifest == rollout.release {
                let told = format!("the device has {}, which is offered", active.label);
                self.rule("active", true, told);
                return Offer::Current;
            }
        }
        let (decision, rulings) = rollout.explain(&self.question.asker);
        self.rulings.extend(rulings);
        let withheld = match decision {
            Decision::Offered if rollout.mode == Mode::Standard => {
                let judged = self.candidate(&rollout.release, &rollout.label);
                return match judged {
                    Offer::Withheld(Withheld::Unsupported(lacking)) => self.older(lacking),
                    judged => judged,
                };
            }
            Decision::Offered => None,
            Decision::ClientTooOld { minimum } => {
                return self.older(Lacking {
                    label: rollout.label.clone(),
                    client: Some(minimum),
                    methods: Vec::new(),
                });
            }
            Decision::OutsideShare { bucket } => Some(Withheld::OutsideShare {
                bucket,
                share: rollout.share,
            }),
            Decision::NotYet { starts } => Some(Withheld::NotYet { starts }),
            Decision::NotSelected { key } => Some(Withheld::NotSelected { key }),
            _ => Some(Withheld::Halted),
        };
        // Whoever is not to have the new release may still lack the one before it.
        if let Some(otherwise) = &rollout.otherwise
            && let release @ Offer::Release(_) = self.otherwise(otherwise)
        {
            return release;
        }
        match withheld {
            Some(withheld) => Offer::Withheld(withheld),
            None => match self.candidate(&rollout.release, &rollout.label) {
                Offer::Release(release) => Offer::Shadow(release),
                judged => judged,
            },
        }
    }

    /// Returns what is offered to a device whose active release is withdrawn.
    fn leave(&mut self, leaving: Leaving) -> Offer {
        let (rollout, state) = (self.question.rollout, self.question.state);
        let label = leaving.label.clone();
        if let Some(pin) = state.stays_on() {
            let pinned = format!("the device is pinned to {}", pin.release.label);
            if !leaving.security {
                let told =
                    format!("{pinned}, which outranks a withdrawal that is not for security");
                self.rule("pin", false, told);
                let label = pin.release.label.to_string();
                return Offer::Withheld(Withheld::Pinned { label });
            }
            let told = format!("{pinned}, and a withdrawal for security outranks that");
            self.rule("pin", true, told);
        }
        let reason = leaving.reason.clone();
        self.leaving = Some(leaving);
        let (decision, rulings) = rollout.explain(&self.question.asker);
        self.rulings.extend(rulings);
        let active = state.active().map(|active| active.manifest);
        let named = active.and_then(|active| rollout.withdrawal(&active));
        let offered = decision == Decision::Offered && rollout.mode == Mode::Standard;
        let named = [
            Some(rollout.release).filter(|_| offered),
            rollout.otherwise,
            named.and_then(|withdrawal| withdrawal.fallback),
        ];
        // The newest that is not withdrawn, where none of those can be had.
        let newest = self.question.catalogue.releases.iter().rev();
        let newest = newest.map(|release| release.manifest.digest).take(SEARCHED);
        let mut seen: Vec<Digest> = active.into_iter().collect();
        for manifest in named.into_iter().flatten().chain(newest) {
            if seen.contains(&manifest) {
                continue;
            }
            seen.push(manifest);
            if let release @ Offer::Release(_) = self.candidate(&manifest, &rollout.label) {
                return release;
            }
        }
        Offer::Withheld(Withheld::Withdrawn {
            label: label.to_string(),
            reason,
        })
    }

    /// Returns the newest release that this client can apply, of those that were offered before.
    fn older(&mut self, lacking: Lacking) -> Offer {
        let (rollout, catalogue) = (self.question.rollout, self.question.catalogue);
        self.lacking = Some(lacking.clone());
        let sequence = |manifest: &Digest| catalogue.release(manifest).map(|of| of.sequence);
        let below = [rollout.otherwise.as_ref(), Some(&rollout.release)];
        let below = below.into_iter().flatten().filter_map(sequence).min();
        let older = catalogue.releases.iter().rev();
        let older = older.filter(|release| Some(release.sequence) < below);
        let older = older.map(|release| release.manifest.digest).take(SEARCHED);
        for manifest in rollout.otherwise.into_iter().chain(older) {
            match self.otherwise(&manifest) {
                Offer::Withheld(
                    Withheld::Unsupported(_)
                    | Withheld::Withdrawn { .. }
                    | Withheld::FailedHere { .. }
                    | Withheld::Unlisted { .. },
                ) => {}
                // Nothing that is older still is newer than what the device has.
                Offer::Current => break,
                judged => return judged,
            }
        }
        Offer::Withheld(Withheld::Unsupported(lacking))
    }

    /// Judges a release that is offered to whoever is not offered that of the rollout.
    fn otherwise(&mut self, manifest: &Digest) -> Offer {
        let label = self.question.catalogue.release(manifest);
        let label = label.map_or_else(|| manifest.short(), |release| release.label.to_string());
        self.rule(
            "otherwise",
            true,
            format!("{label} is offered to the others"),
        );
        self.candidate(manifest, &self.question.rollout.label)
    }

    /// Judges one release by what the catalogue says of it and by what there is on the device.
    fn candidate(&mut self, manifest: &Digest, label: &Label) -> Offer {
        let (catalogue, state) = (self.question.catalogue, self.question.state);
        let Some(release) = catalogue.release(manifest) else {
            self.rule("listed", false, "the catalogue does not list it".to_owned());
            return Offer::Withheld(Withheld::Unlisted {
                label: label.to_string(),
            });
        };
        let label = &release.label;
        if let Some(Leaving { label, reason, .. }) = self.withdrawn(manifest, label) {
            return Offer::Withheld(Withheld::Withdrawn {
                label: label.to_string(),
                reason,
            });
        }
        // To go back, a device is told to leave what it has: a lower number alone is nothing new.
        if let Some(active) = state.active().filter(|_| self.leaving.is_none()) {
            let is_newer = release.sequence > active.sequence;
            let than = if is_newer { "newer" } else { "not newer" };
            let told = format!(
                "{label} is {than} than {}, which the device has",
                active.label
            );
            if !self.rule("newer", is_newer, told) {
                return Offer::Current;
            }
        }
        if let Some(refused) = state.refusal_of(manifest) {
            let told = format!("{label} failed its trial here: {}", refused.reason);
            self.rule("trial", false, told);
            return Offer::Withheld(Withheld::FailedHere {
                label: label.to_string(),
                reason: refused.reason.clone(),
            });
        }
        if let Some(pin) = state.stays_on().filter(|_| self.leaving.is_none()) {
            let pinned = pin.release.label.to_string();
            self.rule("pin", false, format!("the device is pinned to {pinned}"));
            return Offer::Withheld(Withheld::Pinned { label: pinned });
        }
        match self.lacks(release) {
            Some(lacking) => Offer::Withheld(Withheld::Unsupported(lacking)),
            None => Offer::Release(release.clone()),
        }
    }

    /// Returns what this client lacks for a release.
    fn lacks(&mut self, release: &CatalogueRelease) -> Option<Lacking> {
        let manifest = &release.manifest.digest;
        let own = self.question.asker.client;
        let minimum = self.question.rollout.minimum_client(manifest);
        let client = minimum.filter(|minimum| own < *minimum);
        if let Some(minimum) = client {
            let told = format!(
                "{} needs client {minimum}, and this one is {own}",
                release.label
            );
            self.rule("minimum-client", false, told);
        }
        let methods = (self.question.missing)(release);
        if !methods.is_empty() {
            let (label, all) = (&release.label, methods.join(", "));
            self.rule("methods", false, format!("{label} needs {all}"));
        }
        let lacks = client.is_some() || !methods.is_empty();
        if !lacks {
            let told = format!("this client can apply {}", release.label);
            self.rule("methods", true, told);
        }
        lacks.then(|| Lacking {
            label: release.label.clone(),
            client,
            methods,
        })
    }

    /// Returns why a release is to be left, by the rollout or by the catalogue.
    fn withdrawn(&mut self, manifest: &Digest, label: &Label) -> Option<Leaving> {
        let by_rollout = self.question.rollout.withdrawal(manifest);
        let listed = self.question.catalogue.release(manifest);
        let leaving = match (by_rollout, listed.map(|release| &release.status)) {
            (Some(withdrawal), _) => Leaving {
                label: label.clone(),
                reason: withdrawal.reason.clone(),
                security: withdrawal.security,
            },
            (None, Some(ReleaseStatus::Withdrawn { reason })) => Leaving {
                label: label.clone(),
                reason: reason.clone(),
                security: false,
            },
            _ => return None,
        };
        let told = format!("{label} is withdrawn: {}", leaving.reason);
        self.rule("withdrawal", false, told);
        Some(leaving)
    }

    fn rule(&mut self, rule: &'static str, holds: bool, told: String) -> bool {
        self.rulings.push(Ruling::new(rule, holds, told));
        holds
    }
}

/// Releases of a catalogue that are looked through for one that can be had.
const SEARCHED: usize = 32;

/// Whether `release` is the one that lies here to go back to.
pub(crate) fn is_fallback(state: &StateRecord, release: &CatalogueRelease) -> bool {
    let is_it = |fallback: &InstalledRelease| fallback.manifest == release.manifest.digest;
    state.fallback().is_some_and(is_it)
}

#[cfg(test)]
mod tests;
