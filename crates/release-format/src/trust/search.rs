use std::collections::BTreeSet;

use diff_core::Digest;

use super::error::TrustError;
use super::meta_file::MetaFile;
use super::request::MetadataRequest;
use super::signed::{Keys, Signed};
use super::targets::{TargetEntry, Targets};
use super::trusted::{NAMED_SNAPSHOT, Trusted, TrustedSet, exact, out_of_order};
use crate::{UtcTime, Verified};

/// Where the search for a target stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The role that may speak for the target vouches for this.
    Found(TargetFile),
    /// A delegated role has to be trusted before the search can go on.
    Needs(MetadataRequest),
    /// No role that may speak for the target vouches for it.
    Absent,
}

/// A target that a trusted role vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Its path among the targets.
    pub path: String,
    /// The role that vouches for it.
    pub role: String,
    /// Where the repository keeps it.
    pub location: String,
    /// What is known of it.
    pub entry: TargetEntry,
}

impl TargetFile {
    /// Returns how many bytes the target has.
    pub fn length(&self) -> u64 {
        self.entry.length
    }

    /// Returns the BLAKE3 digest, where the publisher gives it.
    pub fn blake3(&self) -> Option<Digest> {
        self.entry
            .custom
            .as_ref()?
            .get("blake3")?
            .as_str()?
            .parse()
            .ok()
    }
}

impl TrustedSet {
    /// Returns the targets role that the snapshot lists, unless it is trusted already and current.
    ///
    /// # Errors
    /// [`TrustError::OutOfOrder`] without the snapshot that the timestamp names.
    pub fn targets_request(&self) -> Result<Option<MetadataRequest>, TrustError> {
        self.role_request("targets", "root")
    }

    fn role_request(
        &self,
        role: &str,
        delegator: &str,
    ) -> Result<Option<MetadataRequest>, TrustError> {
        let listed = self.listed(role)?;
        if self
            .targets(role)
            .is_some_and(|body| self.is_current(role, body))
        {
            return Ok(None);
        }
        let limit = self.limits.targets_bytes;
        Ok(Some(self.request(role, delegator, listed, limit)))
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
        let (role, delegator) = (request.role.as_str(), request.delegator.as_str());
        self.now = Some(now);
        self.check_snapshot(role, now)?;
        let listed = self.listed(role)?;
        // 5.6.2: the digests and length that the snapshot gives.
        listed.compare(role, bytes)?;
        // 5.6.3: signatures, by the keys that the delegator names.
        let keys = self.keys_by(delegator, role)?;
        let (body, signed) = Signed::parse(role, bytes, self.limits.targets_bytes)?;
        let targets: Trusted<Targets> =
            Trusted::verified(role, delegator, body, signed, keys, bytes)?;
        // 5.6.4: the version that the snapshot gives.
        exact(role, listed.version, targets.body.version)?;
        // 5.6.5: freeze.
        self.check_current(role, &targets, now)?;
        self.targets.insert(role.to_owned(), targets);
        Ok(())
    }

    /// Returns the trusted role once the keys that `delegator` names for it have signed it too: it
    /// may have come by another way.
    fn role_by(&self, delegator: &str, role: &str) -> Result<&Targets, TrustError> {
        let trusted = self.targets.get(role);
        let trusted = trusted.ok_or_else(|| out_of_order(role, "the role itself"))?;
        let keys = self.keys_by(delegator, role)?;
        if keys != trusted.keys {
            trusted.signed.verify(role, delegator, &keys)?;
        }
        Ok(&trusted.body)
    }

    /// Returns the keys that `delegator` names for `role`.
    fn keys_by(&self, delegator: &str, role: &str) -> Result<Keys, TrustError> {
        if (delegator, role) == ("root", "targets") {
            return Ok(self.root.body.keys_of(role));
        }
        let needed = || out_of_order(role, "its delegator");
        let body = self.targets(delegator).ok_or_else(needed)?;
        let delegations = body.delegations.as_ref().ok_or_else(needed)?;
        let mut roles = delegations.roles.iter();
        let delegated = roles.find(|delegated| delegated.name == role);
        Ok(delegations.keys_of(delegated.ok_or_else(needed)?))
    }

    fn listed(&self, role: &str) -> Result<&MetaFile, TrustError> {
        // One that was recalled for comparison, or that a newer timestamp has outdated, says nothing
        // of what is current.
        let snapshot = self.snapshot().filter(|_| self.snapshot_is_named);
        let snapshot = snapshot.ok_or_else(|| out_of_order(role, NAMED_SNAPSHOT))?;
        snapshot.role(role).ok_or_else(|| TrustError::Unlisted {
            role: role.to_owned(),
        })
    }

    /// Searches for a target: depth first, in the order in which each role lists its delegations
    /// (5.6.7).
    ///
    /// Roles are fetched only when the search comes to them: it returns what it needs, and is called
    /// again once that is trusted.
    ///
    /// # Errors
    /// [`TrustError::TooManyDelegations`]; [`TrustError::Unlisted`] for a role that the snapshot does
    /// not list; [`TrustError::Signatures`] when a role that was trusted through one delegation is
    /// reached through another that names other keys; [`TrustError::Expired`] when something above the
    /// roles has expired since they were trusted.
    pub fn lookup(&self, target: &str) -> Result<Lookup, TrustError> {
        self.listed("targets")?;
        self.check_chain()?;
        let mut to_visit = vec![("targets".to_owned(), "root".to_owned())];
        let mut visited = BTreeSet::new();
        while let Some((role, delegator)) = to_visit.pop() {
            // 5.6.7.1: each role once, so that a circle ends.
            if visited.contains(&role) {
                continue;
            }
            if visited.len() > self.limits.delegations {
                let limit = self.limits.delegations;
                return Err(TrustError::TooManyDelegations {
                    target: target.to_owned(),
                    limit,
                });
            }
            if let Some(request) = self.role_request(&role, &delegator)? {
                return Ok(Lookup::Needs(request));
            }
            let body = self.role_by(&delegator, &role)?;
            if let Some(entry) = body.targets.get(target) {
                return Ok(Lookup::Found(self.target_file(target, &role, entry)));
            }
            // 5.6.7.2: only those who may sign the path are asked, so that it matches at every hop.
            let delegations = body.delegations.iter().flat_map(|all| &all.roles);
            let mut children = Vec::new();
            for child in delegations.filter(|child| child.may_sign(target)) {
                children.push((child.name.clone(), role.clone()));
                // 5.6.7.2.1: nobody behind a terminating role is asked, whoever delegates to them.
                if child.terminating {
                    to_visit.clear();
                    break;
                }
            }
            visited.insert(role);
            to_visit.extend(children.into_iter().rev());
        }
        Ok(Lookup::Absent)
    }

    /// Refuses to answer from roles above which something has expired since.
    fn check_chain(&self) -> Result<(), TrustError> {
        match self.now {
            Some(now) => self.check_snapshot("targets", now),
            None => Ok(()),
        }
    }

    fn target_file(&self, target: &str, role: &str, entry: &TargetEntry) -> TargetFile {
        let digest = ["sha256", "sha512"]
            .iter()
            .find_map(|name| entry.hashes.get(*name));
        let location = match (self.root.body.consistent_snapshot, digest) {
            (true, Some(digest)) => match target.rsplit_once('/') {
                Some((folder, name)) => format!("targets/{folder}/{digest}.{name}"),
                None => format!("targets/{digest}.{target}"),
            },
            _ => format!("targets/{target}"),
        };
        TargetFile {
            path: target.to_owned(),
            role: role.to_owned(),
            location,
            entry: entry.clone(),
        }
    }

    /// Returns the bytes of a target once their length and digests are the trusted ones (5.7.2).
    ///
    /// # Errors
    /// [`TrustError::WrongLength`] and [`TrustError::WrongDigest`].
    pub fn verify_target<T: AsRef<[u8]>>(
        &self,
        target: &TargetFile,
        bytes: T,
    ) -> Result<Verified<T>, TrustError> {
        target.entry.compare(&target.path, bytes.as_ref())?;
        Ok(Verified::trusted(bytes))
    }
}
