use std::collections::BTreeSet;

use diff_core::Digest;

use super::error::TrustError;
use super::request::MetadataRequest;
use super::targets::TargetEntry;
use super::trusted::{TrustedSet, out_of_order};
use crate::Verified;

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
    /// Searches for a target: depth first, in the order in which each role lists its delegations
    /// (5.6.7).
    ///
    /// Roles are fetched only when the search comes to them: it returns what it needs, and is called
    /// again once that is trusted.
    ///
    /// # Errors
    /// [`TrustError::TooManyDelegations`]; [`TrustError::Signatures`] when a role that was trusted
    /// through one delegation is reached through another that names other keys.
    pub fn lookup(&self, target: &str) -> Result<Lookup, TrustError> {
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
            let Some(trusted) = self.targets.get(&role) else {
                return Err(out_of_order(&role, "the role itself"));
            };
            trusted
                .signed
                .verify(&role, &delegator, &self.keys_by(&delegator, &role)?)?;
            if let Some(entry) = trusted.body.targets.get(target) {
                return Ok(Lookup::Found(self.target_file(target, &role, entry)));
            }
            let delegations = trusted.body.delegations.iter().flat_map(|all| &all.roles);
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
