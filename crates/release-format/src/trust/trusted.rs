use std::collections::{BTreeMap, BTreeSet};

use super::error::TrustError;
use super::grace::OfflineGrace;
use super::limits::TrustLimits;
use super::meta_file::MetaFile;
use super::request::{MetadataRequest, file_name, quoted};
use super::role::{Root, Snapshot, Timestamp};
use super::sha256::sha256;
use super::signed::{Keys, RoleBody, Signed};
use super::targets::Targets;
use crate::UtcTime;

/// The metadata that a client trusts, and the only way to change it: the client workflow of The
/// Update Framework, section 5 of its specification, over bytes and a given time.
///
/// Each method takes the bytes of one file, wherever they come from, and either trusts them or
/// changes nothing. The order is the workflow's: what was stored is recalled, roots until there is no
/// newer one, the timestamp, the snapshot, the targets, then whatever [`TrustedSet::lookup`] asks
/// for. No version that was trusted ever goes down, except that a root which revokes the keys of the
/// timestamp or the snapshot takes back what they signed. Time decides about expiry alone: `now` is
/// read once per update (5.1), and given to each step.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    pub(crate) limits: TrustLimits,
    rotations: u64,
    /// When the update began, as the last step was told.
    pub(crate) now: Option<UtcTime>,
    pub(crate) root: Trusted<Root>,
    timestamp: Option<Trusted<Timestamp>>,
    snapshot: Option<Trusted<Snapshot>>,
    /// Whether the snapshot is the very file that the timestamp names.
    pub(crate) snapshot_is_named: bool,
    grace: Option<OfflineGrace>,
    /// Each is the very file that the snapshot lists.
    pub(crate) targets: BTreeMap<String, Trusted<Targets>>,
}

/// A file that was trusted, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Trusted<T> {
    pub(crate) body: T,
    pub(crate) signed: Signed,
    /// The keys that it was verified with.
    pub(crate) keys: Keys,
    bytes: Vec<u8>,
}

/// What a timestamp brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// A newer version than the trusted one, which it has replaced.
    Newer,
    /// The version that is trusted already.
    Same,
}

impl TrustedSet {
    /// Returns the set that trusts `root` alone: the file that came with the device, or the newest
    /// one that was trusted and stored since (5.2). It may have expired; newer ones may follow.
    ///
    /// # Errors
    /// [`TrustError`] when it is no root, or has not signed itself.
    pub fn pinned(root: &[u8], limits: TrustLimits) -> Result<TrustedSet, TrustError> {
        let (body, signed): (Root, _) = Signed::parse("root", root, limits.root_bytes)?;
        let keys = body.keys_of("root");
        let root = Trusted::verified("root", "root", body, signed, keys, root)?;
        Ok(TrustedSet {
            limits,
            rotations: 0,
            now: None,
            root,
            timestamp: None,
            snapshot: None,
            snapshot_is_named: false,
            grace: None,
            targets: BTreeMap::new(),
        })
    }

    /// Returns the trusted root.
    pub fn root(&self) -> &Root {
        &self.root.body
    }

    /// Returns the trusted timestamp.
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.timestamp.as_ref().map(|trusted| &trusted.body)
    }

    /// Returns the trusted snapshot.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().map(|trusted| &trusted.body)
    }

    /// Returns a trusted targets role, `targets` itself or one that is delegated to.
    pub fn targets(&self, role: &str) -> Option<&Targets> {
        self.targets.get(role).map(|trusted| &trusted.body)
    }

    /// Returns the root that comes next, if the repository has it (5.3.2, 5.3.3).
    pub fn root_request(&self) -> MetadataRequest {
        let version = self.root.body.version.saturating_add(1);
        MetadataRequest {
            role: "root".to_owned(),
            delegator: "root".to_owned(),
            version,
            // Whatever consistent_snapshot says, every root has its version in its name.
            location: format!("metadata/{version}.root.json"),
            limit: self.limits.root_bytes,
        }
    }

    /// Trusts the root that comes next.
    ///
    /// # Errors
    /// [`TrustError`]; the trusted root stays. After [`TrustError::TooManyRoots`] the next update
    /// goes on from it.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        // 5.3.3: as many as Y in one update.
        if self.rotations >= self.limits.root_rotations {
            return Err(TrustError::TooManyRoots {
                limit: self.limits.root_rotations,
            });
        }
        let (body, signed): (Root, _) = Signed::parse("root", bytes, self.limits.root_bytes)?;
        // 5.3.4: a threshold of the keys trusted so far, and one of the keys that it names itself.
        signed.verify("root", "root", &self.root.body.keys_of("root"))?;
        let keys = body.keys_of("root");
        let root = Trusted::verified("root", "root", body, signed, keys, bytes)?;
        // 5.3.5: the very next version, so that none is passed over.
        let trusted = self.root.body.version;
        not_below("root", trusted, root.body.version)?;
        exact("root", trusted.saturating_add(1), root.body.version)?;
        // 5.3.6: that it has expired does not matter yet; there may be newer ones.
        // 5.3.11: whoever stole the old keys may have signed very high versions; with the keys goes
        // what they signed, of both roles since each names versions that the other has to meet.
        if self.is_revoked_by(&root.body) {
            self.timestamp = None;
            self.snapshot = None;
            self.snapshot_is_named = false;
        }
        // The keys of targets may be others too.
        self.targets.clear();
        // 5.3.7.
        self.root = root;
        self.rotations += 1;
        Ok(())
    }

    /// Whether `root` takes a key from the timestamp or the snapshot, or asks for more signatures
    /// than the trusted files have.
    ///
    /// A key that only joins revokes nothing: what was seen still holds, so nobody who has an old key
    /// that stays can use the occasion to go back.
    fn is_revoked_by(&self, root: &Root) -> bool {
        let loses_a_key = |role: &str| {
            let keys = self.root.body.keys_of(role).material();
            !keys.is_subset(&root.keys_of(role).material())
        };
        let lacks_signatures = |role: &str, signed: Option<&Signed>| {
            signed.is_some_and(|signed| signed.verify(role, "root", &root.keys_of(role)).is_err())
        };
        let timestamp = self.timestamp.as_ref().map(|trusted| &trusted.signed);
        let snapshot = self.snapshot.as_ref().map(|trusted| &trusted.signed);
        loses_a_key("timestamp")
            || loses_a_key("snapshot")
            || lacks_signatures("timestamp", timestamp)
            || lacks_signatures("snapshot", snapshot)
    }

    /// Returns the timestamp: the one file whose name never changes (5.4.1).
    pub fn timestamp_request(&self) -> MetadataRequest {
        MetadataRequest {
            role: "timestamp".to_owned(),
            delegator: "root".to_owned(),
            version: self.timestamp().map_or(1, |timestamp| timestamp.version),
            location: "metadata/timestamp.json".to_owned(),
            limit: self.limits.timestamp_bytes,
        }
    }

    /// Trusts a timestamp.
    ///
    /// # Errors
    /// [`TrustError`]; what was trusted stays. The root has to be current (5.3.10).
    pub fn update_timestamp(
        &mut self,
        bytes: &[u8],
        now: UtcTime,
    ) -> Result<Refreshed, TrustError> {
        self.now = Some(now);
        // 5.3.10: freeze, by the root that is trusted in the end.
        self.check_current("root", &self.root, now)?;
        // 5.4.2: signatures.
        let timestamp = self.signed_timestamp(bytes)?;
        if let Some(trusted) = &self.timestamp {
            // 5.4.3.1: it does not go back; the version that is trusted already is no error, and
            // replaces nothing, whatever else it says.
            not_below("timestamp", trusted.body.version, timestamp.body.version)?;
            if trusted.body.version == timestamp.body.version {
                self.check_current("timestamp", trusted, now)?;
                return Ok(Refreshed::Same);
            }
        }
        // 5.4.3.2: nor does the snapshot that it names.
        self.check_named_snapshot(&timestamp.body)?;
        // 5.4.4: freeze.
        self.check_current("timestamp", &timestamp, now)?;
        self.set_timestamp(timestamp);
        Ok(Refreshed::Newer)
    }

    /// Trusts a timestamp that was trusted and stored before, for comparison with what comes: it may
    /// have expired since.
    ///
    /// To be called before newer roots are trusted, so that those which revoke its keys drop it.
    ///
    /// # Errors
    /// [`TrustError`] when it is damaged, signed by keys that are not trusted any more, or older than
    /// what is trusted.
    pub fn recall_timestamp(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let timestamp = self.signed_timestamp(bytes)?;
        if let Some(trusted) = self.timestamp() {
            not_below("timestamp", trusted.version, timestamp.body.version)?;
        }
        self.check_named_snapshot(&timestamp.body)?;
        self.set_timestamp(timestamp);
        Ok(())
    }

    fn signed_timestamp(&self, bytes: &[u8]) -> Result<Trusted<Timestamp>, TrustError> {
        let limit = self.limits.timestamp_bytes;
        let (body, signed) = Signed::parse("timestamp", bytes, limit)?;
        let keys = self.root.body.keys_of("timestamp");
        Trusted::verified("timestamp", "root", body, signed, keys, bytes)
    }

    fn check_named_snapshot(&self, timestamp: &Timestamp) -> Result<(), TrustError> {
        let named = self.timestamp().and_then(Timestamp::snapshot);
        match (named, timestamp.snapshot()) {
            (Some(trusted), Some(found)) => not_below("snapshot", trusted.version, found.version),
            _ => Ok(()),
        }
    }

    fn set_timestamp(&mut self, timestamp: Trusted<Timestamp>) {
        self.timestamp = Some(timestamp);
        let named = self.timestamp().and_then(Timestamp::snapshot);
        self.snapshot_is_named = match (named, &self.snapshot) {
            (Some(named), Some(snapshot)) => snapshot.is_named_by(named, "snapshot"),
            _ => false,
        };
    }

    /// Returns the snapshot that the timestamp names, unless it is trusted already and current.
    ///
    /// # Errors
    /// [`TrustError::OutOfOrder`] without a timestamp.
    pub fn snapshot_request(&self) -> Result<Option<MetadataRequest>, TrustError> {
        let named = self.named_snapshot()?;
        let is_current = |trusted: &Trusted<Snapshot>| self.is_current("snapshot", &trusted.body);
        if self.snapshot_is_named && self.snapshot.as_ref().is_some_and(is_current) {
            return Ok(None);
        }
        let limit = self.limits.snapshot_bytes;
        Ok(Some(self.request("snapshot", "root", named, limit)))
    }

    /// Trusts the snapshot that the timestamp names.
    ///
    /// # Errors
    /// [`TrustError`]; what was trusted stays. The timestamp has to be current.
    pub fn update_snapshot(&mut self, bytes: &[u8], now: UtcTime) -> Result<(), TrustError> {
        self.now = Some(now);
        self.check_timestamp("snapshot", now)?;
        let named = self.named_snapshot()?;
        // 5.5.2: the digests and length that the timestamp gives.
        named.compare("snapshot", bytes)?;
        // 5.5.3: signatures.
        let snapshot = self.signed_snapshot(bytes)?;
        // 5.5.4: the version that the timestamp gives.
        exact("snapshot", named.version, snapshot.body.version)?;
        self.check_rollback(&snapshot.body)?;
        // 5.5.6: freeze.
        self.check_current("snapshot", &snapshot, now)?;
        self.set_snapshot(snapshot, true);
        Ok(())
    }

    /// Trusts a snapshot that was trusted and stored before, for comparison with what comes: it may
    /// have expired since, and the timestamp may name a newer one.
    ///
    /// # Errors
    /// [`TrustError`] when it is damaged, signed by keys that are not trusted any more, not the one
    /// of its version that the timestamp names, or older than what is trusted.
    pub fn recall_snapshot(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let snapshot = self.signed_snapshot(bytes)?;
        let named = self.named_snapshot()?;
        let is_named = named.version == snapshot.body.version;
        if is_named {
            named.compare("snapshot", bytes)?;
        }
        self.check_rollback(&snapshot.body)?;
        self.set_snapshot(snapshot, is_named);
        Ok(())
    }

    fn signed_snapshot(&self, bytes: &[u8]) -> Result<Trusted<Snapshot>, TrustError> {
        let limit = self.limits.snapshot_bytes;
        let (body, signed) = Signed::parse("snapshot", bytes, limit)?;
        let keys = self.root.body.keys_of("snapshot");
        Trusted::verified("snapshot", "root", body, signed, keys, bytes)
    }

    /// 5.5.5: no role goes back, and none disappears. Nor does the snapshot itself go back, whatever
    /// the timestamp names.
    fn check_rollback(&self, snapshot: &Snapshot) -> Result<(), TrustError> {
        let Some(trusted) = self.snapshot() else {
            return Ok(());
        };
        not_below("snapshot", trusted.version, snapshot.version)?;
        for (file, was) in &trusted.meta {
            let role = file.strip_suffix(".json").unwrap_or(file);
            let is = snapshot.meta.get(file);
            let is = is.ok_or_else(|| TrustError::Disappeared {
                role: role.to_owned(),
            })?;
            not_below(role, was.version, is.version)?;
        }
        Ok(())
    }

    /// Keeps only the targets roles that the new snapshot lists as they are.
    fn set_snapshot(&mut self, snapshot: Trusted<Snapshot>, is_named: bool) {
        self.targets.retain(|role, trusted| {
            let listed = snapshot.body.role(role);
            listed.is_some_and(|listed| trusted.is_named_by(listed, role))
        });
        self.snapshot = Some(snapshot);
        self.snapshot_is_named = is_named;
    }

    fn named_snapshot(&self) -> Result<&MetaFile, TrustError> {
        let named = self.timestamp().and_then(Timestamp::snapshot);
        named.ok_or_else(|| out_of_order("snapshot", "a timestamp"))
    }

    /// Returns every trusted file by the name under which a client stores it.
    ///
    /// A stored timestamp or snapshot that is not among them has to be deleted (5.3.11); a stored
    /// targets role has not: it may be the one that the next snapshot lists.
    pub fn files(&self) -> impl Iterator<Item = (String, &[u8])> {
        let timestamp = self
            .timestamp
            .iter()
            .map(|file| ("timestamp", file.bytes.as_slice()));
        let snapshot = self
            .snapshot
            .iter()
            .map(|file| ("snapshot", file.bytes.as_slice()));
        let targets = self
            .targets
            .iter()
            .map(|(role, file)| (role.as_str(), &*file.bytes));
        [("root", self.root.bytes.as_slice())]
            .into_iter()
            .chain(timestamp)
            .chain(snapshot)
            .chain(targets)
            .map(|(role, bytes)| (file_name(role), bytes))
    }

    /// Returns the file of a trusted role as it came: one of the four, or one that is delegated to.
    pub fn file(&self, role: &str) -> Option<&[u8]> {
        match role {
            "root" => Some(&self.root.bytes),
            "timestamp" => self.timestamp.as_ref().map(|file| &*file.bytes),
            "snapshot" => self.snapshot.as_ref().map(|file| &*file.bytes),
            role => self.targets.get(role).map(|file| &*file.bytes),
        }
    }

    pub(crate) fn request(
        &self,
        role: &str,
        delegator: &str,
        file: &MetaFile,
        most_bytes: u64,
    ) -> MetadataRequest {
        let name = quoted(role);
        // 5.3.12.
        let location = if self.root.body.consistent_snapshot {
            format!("metadata/{}.{name}.json", file.version)
        } else {
            format!("metadata/{name}.json")
        };
        MetadataRequest {
            role: role.to_owned(),
            delegator: delegator.to_owned(),
            version: file.version,
            location,
            limit: file
                .length
                .map_or(most_bytes, |length| length.min(most_bytes)),
        }
    }

    /// Whether `body` has not expired when the update began; nothing has before one begins.
    pub(crate) fn is_current(&self, role: &str, body: &impl RoleBody) -> bool {
        self.now
            .is_none_or(|now| now < self.usable_until(role, body.expires()))
    }

    pub(crate) fn check_current<T: RoleBody>(
        &self,
        role: &str,
        trusted: &Trusted<T>,
        now: UtcTime,
    ) -> Result<(), TrustError> {
        let expires = trusted.body.expires();
        if now < self.usable_until(role, expires) {
            return Ok(());
        }
        Err(TrustError::Expired {
            role: role.to_owned(),
            expires,
            now,
        })
    }

    fn usable_until(&self, role: &str, expires: UtcTime) -> UtcTime {
        match &self.grace {
            Some(grace) => grace.extend(role, expires),
            None => expires,
        }
    }

    /// Judges what comes next, and what is asked next, by `now`: later than when the update began, if
    /// what came since proves that it is.
    pub fn judge_at(&mut self, now: UtcTime) {
        self.now = Some(now);
    }

    /// Takes what has expired for as long as `grace` covers it, or no more.
    ///
    /// Versions, digests, thresholds and paths are judged as ever.
    pub fn set_grace(&mut self, grace: Option<OfflineGrace>) {
        self.grace = grace;
    }

    /// Returns the grace that a trusted targets role grants, if it reaches to `now`.
    pub fn grace_of(&self, role: &str, now: UtcTime) -> Option<OfflineGrace> {
        let days = self.targets(role)?.offline_grace_days?;
        let days = days.min(self.limits.offline_grace_days);
        let grace = OfflineGrace::of_tenant(role, days);
        let reaches = |role: &str, expires: UtcTime| now < grace.extend(role, expires);
        let timestamp = self.timestamp()?.expires;
        let snapshot = self.snapshot()?.expires;
        let is_enough = reaches("timestamp", timestamp) && reaches("snapshot", snapshot);
        is_enough.then_some(grace)
    }

    /// Returns when the first of what is used under a grace expired; `None` where nothing has.
    pub fn stale_since(&self, now: UtcTime) -> Option<UtcTime> {
        let grace = self.grace.as_ref()?;
        let timestamp = self.timestamp().map(|timestamp| timestamp.expires);
        let snapshot = self.snapshot().map(|snapshot| snapshot.expires);
        let roles = self.targets.iter();
        let covered = roles.filter(|(role, _)| grace.covers(role));
        covered
            .map(|(_, trusted)| trusted.body.expires)
            .chain(timestamp)
            .chain(snapshot)
            .filter(|expires| *expires <= now)
            .min()
    }

    /// Returns the SHA-256 digests of the keys that may sign the timestamp, whatever they are called.
    pub fn timestamp_keys(&self) -> BTreeSet<String> {
        let keys = self.root.body.keys_of("timestamp").material();
        keys.iter().map(|key| sha256(key)).collect()
    }

    /// Returns the ceilings that this set keeps.
    pub fn limits(&self) -> &TrustLimits {
        &self.limits
    }

    /// A timestamp that was recalled for comparison vouches for nothing once it has expired, nor does
    /// one under an expired root.
    fn check_timestamp(&self, role: &str, now: UtcTime) -> Result<(), TrustError> {
        self.check_current("root", &self.root, now)?;
        let timestamp = self.timestamp.as_ref();
        let timestamp = timestamp.ok_or_else(|| out_of_order(role, "a timestamp"))?;
        self.check_current("timestamp", timestamp, now)
    }

    /// Nor does a snapshot that has expired, or that is not the very one that the timestamp names.
    pub(crate) fn check_snapshot(&self, role: &str, now: UtcTime) -> Result<(), TrustError> {
        self.check_timestamp(role, now)?;
        let snapshot = self.snapshot.as_ref();
        let snapshot = snapshot.ok_or_else(|| out_of_order(role, "a snapshot"))?;
        if !self.snapshot_is_named {
            return Err(out_of_order(role, NAMED_SNAPSHOT));
        }
        self.check_current("snapshot", snapshot, now)
    }
}

impl<T: RoleBody> Trusted<T> {
    pub(crate) fn verified(
        role: &str,
        delegator: &str,
        body: T,
        signed: Signed,
        keys: Keys,
        bytes: &[u8],
    ) -> Result<Trusted<T>, TrustError> {
        signed.verify(role, delegator, &keys)?;
        Ok(Trusted {
            body,
            signed,
            keys,
            bytes: bytes.to_vec(),
        })
    }

    /// Whether this is the very file of which `named` speaks.
    fn is_named_by(&self, named: &MetaFile, role: &str) -> bool {
        named.version == self.body.version() && named.compare(role, &self.bytes).is_ok()
    }
}

pub(crate) fn out_of_order(role: &str, needed: &'static str) -> TrustError {
    TrustError::OutOfOrder {
        role: role.to_owned(),
        needed,
    }
}

pub(crate) fn exact(role: &str, expected: u64, found: u64) -> Result<(), TrustError> {
    if expected == found {
        return Ok(());
    }
    Err(TrustError::WrongVersion {
        role: role.to_owned(),
        expected,
        found,
    })
}

fn not_below(role: &str, trusted: u64, found: u64) -> Result<(), TrustError> {
    if found >= trusted {
        return Ok(());
    }
    Err(TrustError::Rollback {
        role: role.to_owned(),
        trusted,
        found,
    })
}

pub(crate) const NAMED_SNAPSHOT: &str = "the snapshot that the timestamp names";
