use std::collections::BTreeMap;

use super::error::TrustError;
use super::limits::TrustLimits;
use super::meta_file::MetaFile;
use super::request::{MetadataRequest, file_name, quoted};
use super::role::{Root, Snapshot, Timestamp};
use super::signed::{Keys, RoleBody, Signed};
use super::targets::Targets;
use crate::UtcTime;

/// The metadata that a client trusts, and the only way to change it: the client workflow of The
/// Update Framework, section 5 of its specification, over bytes and a given time.
///
/// Each method takes the bytes of one file, wherever they come from, and either trusts them or
/// changes nothing. The order is the workflow's: roots until there is no newer one, the timestamp,
/// the snapshot, the targets, then whatever [`TrustedSet::lookup`] asks for. No version that was
/// trusted ever goes down, and time decides about expiry alone.
///
/// A set serves one update, whose time is fixed when it starts.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    pub(crate) limits: TrustLimits,
    rotations: u64,
    pub(crate) root: Trusted<Root>,
    timestamp: Option<Trusted<Timestamp>>,
    snapshot: Option<Trusted<Snapshot>>,
    pub(crate) targets: BTreeMap<String, Trusted<Targets>>,
}

/// A file that was trusted, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Trusted<T> {
    pub(crate) body: T,
    pub(crate) signed: Signed,
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
    /// one that was trusted and stored since.
    ///
    /// # Errors
    /// [`TrustError`] when it is no root, or has not signed itself.
    pub fn pinned(root: &[u8], limits: TrustLimits) -> Result<TrustedSet, TrustError> {
        let (body, signed): (Root, _) = Signed::parse("root", root, limits.root_bytes)?;
        signed.verify("root", "root", &body.keys_of("root"))?;
        Ok(TrustedSet {
            limits,
            rotations: 0,
            root: Trusted {
                body,
                signed,
                bytes: root.to_vec(),
            },
            timestamp: None,
            snapshot: None,
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
    /// [`TrustError`]; the trusted root stays.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        if self.rotations >= self.limits.root_rotations {
            return Err(TrustError::TooManyRoots {
                limit: self.limits.root_rotations,
            });
        }
        let (body, signed): (Root, _) = Signed::parse("root", bytes, self.limits.root_bytes)?;
        // 5.3.4: a threshold of the keys trusted so far, and one of the keys that it names itself.
        signed.verify("root", "root", &self.root.body.keys_of("root"))?;
        signed.verify("root", "root", &body.keys_of("root"))?;
        // 5.3.5: the very next version, so that none is passed over.
        let trusted = self.root.body.version;
        if body.version < trusted {
            let found = body.version;
            return Err(TrustError::Rollback {
                role: "root".to_owned(),
                trusted,
                found,
            });
        }
        exact("root", trusted.saturating_add(1), body.version)?;
        // 5.3.11: whoever stole the old keys may have signed very high versions; with the keys goes
        // what they signed.
        let rotated = |role| self.root.body.keys_of(role) != body.keys_of(role);
        if rotated("timestamp") || rotated("snapshot") {
            self.timestamp = None;
            self.snapshot = None;
        }
        self.targets.clear();
        self.root = Trusted {
            body,
            signed,
            bytes: bytes.to_vec(),
        };
        self.rotations += 1;
        Ok(())
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
        self.check_root(now)?;
        let timestamp = self.judge_timestamp(bytes)?;
        // 5.4.3: the one that is trusted already is no error, and replaces nothing.
        if let Some(trusted) = &self.timestamp
            && trusted.body.version == timestamp.body.version
        {
            current("timestamp", &trusted.body, now)?;
            return Ok(Refreshed::Same);
        }
        // 5.4.4: freeze.
        current("timestamp", &timestamp.body, now)?;
        self.timestamp = Some(timestamp);
        Ok(Refreshed::Newer)
    }

    /// Trusts a timestamp that was trusted and stored before, for comparison with what comes: it may
    /// have expired since.
    ///
    /// # Errors
    /// [`TrustError`] when it is damaged, or signed by keys that are not trusted any more.
    pub fn recall_timestamp(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        self.timestamp = Some(self.judge_timestamp(bytes)?);
        Ok(())
    }

    fn judge_timestamp(&self, bytes: &[u8]) -> Result<Trusted<Timestamp>, TrustError> {
        let (body, signed): (Timestamp, _) =
            Signed::parse("timestamp", bytes, self.limits.timestamp_bytes)?;
        // 5.4.2: signatures.
        signed.verify("timestamp", "root", &self.root.body.keys_of("timestamp"))?;
        // 5.4.3: neither it nor the snapshot that it names goes back.
        if let Some(trusted) = self.timestamp() {
            not_below("timestamp", trusted.version, body.version)?;
            if let (Some(trusted), Some(found)) = (trusted.snapshot(), body.snapshot()) {
                not_below("snapshot", trusted.version, found.version)?;
            }
        }
        Ok(Trusted {
            body,
            signed,
            bytes: bytes.to_vec(),
        })
    }

    /// Returns the snapshot that the timestamp names, unless it is trusted already.
    ///
    /// # Errors
    /// [`TrustError::OutOfOrder`] without a timestamp.
    pub fn snapshot_request(&self) -> Result<Option<MetadataRequest>, TrustError> {
        let named = self.named_snapshot()?;
        if self
            .snapshot()
            .is_some_and(|trusted| trusted.version == named.version)
        {
            return Ok(None);
        }
        Ok(Some(self.request(
            "snapshot",
            "root",
            named,
            self.limits.snapshot_bytes,
        )))
    }

    /// Trusts the snapshot that the timestamp names.
    ///
    /// # Errors
    /// [`TrustError`]; what was trusted stays.
    pub fn update_snapshot(&mut self, bytes: &[u8], now: UtcTime) -> Result<(), TrustError> {
        self.check_timestamp("snapshot", now)?;
        let named = self.named_snapshot()?;
        // 5.5.2: the digests and length that the timestamp gives.
        named.compare("snapshot", bytes)?;
        let version = named.version;
        let snapshot = self.judge_snapshot(bytes)?;
        // 5.5.4: the version that the timestamp gives.
        exact("snapshot", version, snapshot.body.version)?;
        self.check_rollback(&snapshot.body)?;
        // 5.5.6: freeze.
        current("snapshot", &snapshot.body, now)?;
        self.trust_snapshot(snapshot);
        Ok(())
    }

    /// Trusts a snapshot that was trusted and stored before, for comparison with what comes: it may
    /// have expired since, and the timestamp may name a newer one.
    ///
    /// # Errors
    /// [`TrustError`] when it is damaged, signed by keys that are not trusted any more, older than the
    /// trusted one, or not the one of its version that the timestamp names.
    pub fn recall_snapshot(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let snapshot = self.judge_snapshot(bytes)?;
        let named = self.named_snapshot()?;
        if named.version == snapshot.body.version {
            named.compare("snapshot", bytes)?;
        }
        self.check_rollback(&snapshot.body)?;
        self.trust_snapshot(snapshot);
        Ok(())
    }

    fn judge_snapshot(&self, bytes: &[u8]) -> Result<Trusted<Snapshot>, TrustError> {
        let (body, signed): (Snapshot, _) =
            Signed::parse("snapshot", bytes, self.limits.snapshot_bytes)?;
        // 5.5.3: signatures.
        signed.verify("snapshot", "root", &self.root.body.keys_of("snapshot"))?;
        Ok(Trusted {
            body,
            signed,
            bytes: bytes.to_vec(),
        })
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
    fn trust_snapshot(&mut self, snapshot: Trusted<Snapshot>) {
        self.targets.retain(|role, trusted| {
            snapshot.body.role(role).is_some_and(|listed| {
                listed.version == trusted.body.version
                    && listed.compare(role, &trusted.bytes).is_ok()
            })
        });
        self.snapshot = Some(snapshot);
    }

    fn named_snapshot(&self) -> Result<&MetaFile, TrustError> {
        let named = self.timestamp().and_then(Timestamp::snapshot);
        named.ok_or_else(|| out_of_order("snapshot", "a timestamp"))
    }

    /// Returns the targets role that the snapshot lists, unless it is trusted already.
    ///
    /// # Errors
    /// [`TrustError::OutOfOrder`] without the snapshot that the timestamp names.
    pub fn targets_request(&self) -> Result<Option<MetadataRequest>, TrustError> {
        self.role_request("targets", "root")
    }

    pub(crate) fn role_request(
        &self,
        role: &str,
        delegator: &str,
    ) -> Result<Option<MetadataRequest>, TrustError> {
        let listed = self.listed(role)?;
        if self
            .targets(role)
            .is_some_and(|trusted| trusted.version == listed.version)
        {
            return Ok(None);
        }
        Ok(Some(self.request(
            role,
            delegator,
            listed,
            self.limits.targets_bytes,
        )))
    }

    /// Trusts the targets role that a request asked for, whoever delegates to it.
    ///
    /// # Errors
    /// [`TrustError`]; what was trusted stays. The timestamp and the snapshot have to be current.
    pub fn update_targets(
        &mut self,
        request: &MetadataRequest,
        bytes: &[u8],
        now: UtcTime,
    ) -> Result<(), TrustError> {
        let role = request.role.as_str();
        self.check_snapshot(role, now)?;
        let listed = self.listed(role)?;
        // 5.6.2: the digests and length that the snapshot gives.
        listed.compare(role, bytes)?;
        let version = listed.version;
        let (body, signed): (Targets, _) = Signed::parse(role, bytes, self.limits.targets_bytes)?;
        // 5.6.3: signatures, by the keys that the delegator names.
        signed.verify(
            role,
            &request.delegator,
            &self.keys_by(&request.delegator, role)?,
        )?;
        // 5.6.4: the version that the snapshot gives.
        exact(role, version, body.version)?;
        // 5.6.5: freeze.
        current(role, &body, now)?;
        self.targets.insert(
            role.to_owned(),
            Trusted {
                body,
                signed,
                bytes: bytes.to_vec(),
            },
        );
        Ok(())
    }

    /// Returns the keys that `delegator` names for `role`.
    pub(crate) fn keys_by(&self, delegator: &str, role: &str) -> Result<Keys, TrustError> {
        if delegator == "root" {
            return Ok(self.root.body.keys_of(role));
        }
        let needed = || out_of_order(role, "its delegator");
        let delegations = self
            .targets(delegator)
            .and_then(|body| body.delegations.as_ref());
        let delegations = delegations.ok_or_else(needed)?;
        let delegated = delegations
            .roles
            .iter()
            .find(|delegated| delegated.name == role);
        Ok(delegations.keys_of(delegated.ok_or_else(needed)?))
    }

    fn listed(&self, role: &str) -> Result<&MetaFile, TrustError> {
        // One that was recalled for comparison, or that a newer timestamp has outdated, says nothing
        // of what is current.
        let named = self.named_snapshot().map(|named| named.version);
        let snapshot = self
            .snapshot()
            .filter(|snapshot| named == Ok(snapshot.version))
            .ok_or_else(|| out_of_order(role, "the snapshot that the timestamp names"))?;
        snapshot.role(role).ok_or_else(|| TrustError::Unlisted {
            role: role.to_owned(),
        })
    }

    /// Returns every trusted file by the name under which a client stores it.
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

    fn request(
        &self,
        role: &str,
        delegator: &str,
        file: &MetaFile,
        most_bytes: u64,
    ) -> MetadataRequest {
        let name = quoted(role);
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

    /// 5.3.10: the root that is trusted in the end has to be current.
    fn check_root(&self, now: UtcTime) -> Result<(), TrustError> {
        current("root", &self.root.body, now)
    }

    /// A timestamp that was recalled for comparison vouches for nothing once it has expired, nor does
    /// one under an expired root.
    fn check_timestamp(&self, role: &str, now: UtcTime) -> Result<(), TrustError> {
        self.check_root(now)?;
        let timestamp = self.timestamp();
        current(
            "timestamp",
            timestamp.ok_or_else(|| out_of_order(role, "a timestamp"))?,
            now,
        )
    }

    fn check_snapshot(&self, role: &str, now: UtcTime) -> Result<(), TrustError> {
        self.check_timestamp(role, now)?;
        match self.snapshot() {
            Some(snapshot) => current("snapshot", snapshot, now),
            None => Err(out_of_order(role, "a snapshot")),
        }
    }
}

pub(crate) fn out_of_order(role: &str, needed: &'static str) -> TrustError {
    TrustError::OutOfOrder {
        role: role.to_owned(),
        needed,
    }
}

fn exact(role: &str, expected: u64, found: u64) -> Result<(), TrustError> {
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

fn current(role: &str, body: &impl RoleBody, now: UtcTime) -> Result<(), TrustError> {
    let expires = body.expires();
    if now < expires {
        return Ok(());
    }
    Err(TrustError::Expired {
        role: role.to_owned(),
        expires,
        now,
    })
}
