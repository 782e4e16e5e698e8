use diff_core::Digest;
use release_format::{Label, UtcTime};

use super::StateRecord;
use super::kept::{Copy, Hold, InstalledRelease, Pin};
use crate::error::UpdateError;

impl StateRecord {
    /// Releases that can be pinned at once.
    pub const MAX_PINS: usize = 64;
    /// Holds that can be in force at once.
    pub const MAX_HOLDS: usize = 64;

    /// Returns the release that lies ready to become the active one.
    pub fn staged(&self) -> Option<&InstalledRelease> {
        self.keeping.staged.as_ref()
    }

    /// Returns what is pinned, in the order in which it was.
    pub fn pins(&self) -> &[Pin] {
        &self.keeping.pins
    }

    /// Returns the pin that keeps the device on the active release, if there is one.
    pub fn stays_on(&self) -> Option<&Pin> {
        self.keeping.pins.iter().find(|pin| pin.stays)
    }

    /// Returns all holds, those that are over included.
    pub fn holds(&self) -> &[Hold] {
        &self.keeping.holds
    }

    /// Returns the hold in force at `now` that lasts the longest.
    pub fn held_at(&self, now: UtcTime) -> Option<&Hold> {
        let in_force = self.holds().iter().filter(|hold| hold.is_in_force(now));
        in_force.max_by_key(|hold| hold.until)
    }

    /// Returns which of the trees that were made of a release here is the one to use; 0 is the first.
    pub fn copy_of(&self, manifest: &Digest) -> u32 {
        let of_it = |copy: &&Copy| copy.manifest == *manifest;
        self.keeping
            .copies
            .iter()
            .find(of_it)
            .map_or(0, |copy| copy.copy)
    }

    /// Returns every release whose files are needed, each once: the active one first, then the
    /// fallback, what is staged and what is pinned.
    pub fn named(&self) -> Vec<&InstalledRelease> {
        let pins = self.keeping.pins.iter().map(|pin| &pin.release);
        let all = [&self.active, &self.fallback, &self.keeping.staged];
        let mut named: Vec<&InstalledRelease> = Vec::new();
        for release in all.into_iter().flatten().chain(pins) {
            if !named.iter().any(|known| known.manifest == release.manifest) {
                named.push(release);
            }
        }
        named
    }

    /// Whether the files of a release are needed.
    pub fn needs(&self, manifest: &Digest) -> bool {
        self.named()
            .iter()
            .any(|release| release.manifest == *manifest)
    }

    /// Returns the record in which `release` lies ready, as the tree with the number `copy`.
    ///
    /// # Errors
    /// [`UpdateError::AlreadyActive`]; [`UpdateError::ReleaseRefused`] for a release that failed here.
    pub fn stage(&self, release: InstalledRelease, copy: u32) -> Result<StateRecord, UpdateError> {
        self.may_become_active(&release)?;
        let mut next = self.with_copy(&release.manifest, copy);
        next.keeping.staged = Some(release);
        Ok(next.tidied())
    }

    /// Returns the record in which nothing lies ready.
    #[must_use]
    pub fn unstage(&self) -> StateRecord {
        let mut next = self.clone();
        next.keeping.staged = None;
        next.tidied()
    }

    /// Returns the record in which the tree with the number `copy` is the one of a release that is
    /// needed.
    #[must_use]
    pub fn with_copy(&self, manifest: &Digest, copy: u32) -> StateRecord {
        let mut next = self.clone();
        next.keeping.copies.retain(|of| of.manifest != *manifest);
        if copy > 0 {
            let manifest = *manifest;
            next.keeping.copies.push(Copy { manifest, copy });
        }
        next
    }

    /// Returns the record in which a release is kept: the one called `label`, else the active one.
    ///
    /// With `stays` the device also stays on it, which only the active release can be asked for. A
    /// release that is pinned already is pinned anew.
    ///
    /// # Errors
    /// [`UpdateError::NotInstalled`]; [`UpdateError::ReleaseAbsent`] when no such release is here;
    /// [`UpdateError::NotActive`]; [`UpdateError::TooMany`].
    pub fn pin(&self, label: Option<&Label>, stays: bool) -> Result<StateRecord, UpdateError> {
        let Some(active) = &self.active else {
            let pack = self.pack.clone();
            return Err(UpdateError::NotInstalled { pack });
        };
        let release = match label {
            None => active,
            Some(label) => self.called(label)?,
        };
        if stays && release.manifest != active.manifest {
            return Err(UpdateError::NotActive {
                label: release.label.clone(),
                active: active.label.clone(),
            });
        }
        let pin = Pin {
            release: release.clone(),
            stays,
        };
        let mut next = self.clone();
        next.keeping
            .pins
            .retain(|known| known.release.manifest != pin.release.manifest);
        if next.keeping.pins.len() >= StateRecord::MAX_PINS {
            return Err(UpdateError::TooMany {
                what: "pins",
                limit: StateRecord::MAX_PINS,
            });
        }
        next.keeping.pins.push(pin);
        Ok(next)
    }

    /// Returns the record in which the release called `label` is pinned no more; none is, without a
    /// label.
    ///
    /// # Errors
    /// [`UpdateError::ReleaseAbsent`] when there is no such pin.
    pub fn unpin(&self, label: Option<&Label>) -> Result<StateRecord, UpdateError> {
        let mut next = self.clone();
        match label {
            None => next.keeping.pins.clear(),
            Some(label) => {
                next.keeping.pins.retain(|pin| pin.release.label != *label);
                if next.keeping.pins.len() == self.keeping.pins.len() {
                    return Err(self.absent(label));
                }
            }
        }
        Ok(next.tidied())
    }

    /// Returns the record in which no other release becomes active until `until`; a hold for the same
    /// reason is replaced, and those that are over at `now` are forgotten.
    ///
    /// # Errors
    /// [`UpdateError::WrongHold`] for one that is over or longer than [`Hold::MAX_DAYS`], or has no
    /// reason; [`UpdateError::TooMany`].
    pub fn hold(
        &self,
        reason: &str,
        now: UtcTime,
        until: UtcTime,
    ) -> Result<StateRecord, UpdateError> {
        let latest = now.plus_days(Hold::MAX_DAYS);
        let wrong = |expected: String, found: String| UpdateError::WrongHold { expected, found };
        if until <= now || until > latest {
            let expected = format!("an end after {now} and not after {latest}");
            return Err(wrong(expected, until.to_string()));
        }
        if reason.trim().is_empty() {
            return Err(wrong("a reason".to_owned(), "none".to_owned()));
        }
        let reason: String = reason.chars().take(StateRecord::MAX_REASON_CHARS).collect();
        let mut next = self.clone();
        next.keeping
            .holds
            .retain(|hold| hold.is_in_force(now) && hold.reason != reason);
        if next.keeping.holds.len() >= StateRecord::MAX_HOLDS {
            return Err(UpdateError::TooMany {
                what: "holds",
                limit: StateRecord::MAX_HOLDS,
            });
        }
        let since = now;
        next.keeping.holds.push(Hold {
            reason,
            since,
            until,
        });
        Ok(next)
    }

    /// Returns the record without the hold that has this reason; without any, when none is given.
    #[must_use]
    pub fn unhold(&self, reason: Option<&str>) -> StateRecord {
        let mut next = self.clone();
        next.keeping
            .holds
            .retain(|hold| reason.is_some_and(|reason| hold.reason != reason));
        next
    }

    fn called(&self, label: &Label) -> Result<&InstalledRelease, UpdateError> {
        let here = [&self.active, &self.fallback].into_iter().flatten();
        let pinned = self.keeping.pins.iter().map(|pin| &pin.release);
        here.chain(pinned)
            .find(|release| release.label == *label)
            .ok_or_else(|| self.absent(label))
    }

    fn absent(&self, label: &Label) -> UpdateError {
        let here: Vec<&str> = self
            .named()
            .iter()
            .map(|release| release.label.as_str())
            .collect();
        UpdateError::ReleaseAbsent {
            pack: self.pack.clone(),
            expected: label.to_string(),
            found: here.join(", "),
        }
    }

    /// Forgets what is said of releases that are not needed any more, and which pin the device stays
    /// on when it has left it.
    pub(super) fn tidied(mut self) -> StateRecord {
        let active = self.active.as_ref().map(|active| active.manifest);
        for pin in &mut self.keeping.pins {
            pin.stays &= Some(pin.release.manifest) == active;
        }
        let staged = self.keeping.staged.take();
        self.keeping.staged = staged.filter(|staged| {
            Some(staged.manifest) != active && self.refusal_of(&staged.manifest).is_none()
        });
        let named: Vec<Digest> = self.named().iter().map(|named| named.manifest).collect();
        self.keeping
            .copies
            .retain(|copy| named.contains(&copy.manifest));
        self
    }
}
