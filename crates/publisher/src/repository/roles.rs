use std::collections::BTreeMap;

use diff_core::FileBytes;
use release_format::{
    Catalogue, ChannelName, DelegatedRole, Delegations, FormatError, Lookup, MetadataRequest,
    PackName, Patches, Rollout, TargetFile, TrustError, TrustLimits, TrustedSet, UtcTime, Verified,
};

use crate::PublishError;
use crate::storage::Storage;

/// Where the root lies that devices pin.
pub(crate) const FIRST_ROOT_LOCATION: &str = "metadata/1.root.json";
/// Returns where a root lies.
pub(crate) fn root_location(version: u64) -> String {
    format!("metadata/{version}.root.json")
}

/// The one file that changes: the commit point of publishing.
pub(crate) const TIMESTAMP_LOCATION: &str = "metadata/timestamp.json";

/// The signed roles of a repository, trusted as a device trusts them.
pub(crate) struct Roles {
    pub(crate) trusted: TrustedSet,
    locations: Vec<String>,
}

/// A target that some role lists.
pub(crate) struct ListedTarget {
    /// Its path among the targets.
    pub(crate) path: String,
    /// Where the repository keeps it; none when no role that may speak for it lists it.
    pub(crate) location: Option<String>,
    /// What its path makes it.
    pub(crate) kind: TargetKind,
}

/// A file that patches lead to.
pub(crate) struct PatchedFile {
    /// Where it lies.
    pub(crate) location: String,
    /// Its SHA-256 digest.
    pub(crate) sha256: String,
    /// What leads to it.
    pub(crate) patches: Patches,
}

impl PatchedFile {
    /// Returns where the patches lie.
    pub(crate) fn locations(&self) -> impl Iterator<Item = String> + '_ {
        self.patches.locations(&self.sha256)
    }
}

/// What a target's path makes it.
pub(crate) enum TargetKind {
    /// The catalogue of a pack.
    Catalogue(PackName),
    /// The rollout of a channel of a pack.
    Rollout(PackName, ChannelName),
    /// Nothing that we know.
    Other,
}

impl Roles {
    /// Reads the roles of a repository for a publisher, whom expiry does not bind: it renews.
    pub(crate) fn load(storage: &dyn Storage) -> Result<Roles, PublishError> {
        Roles::followed(storage, None, UtcTime::MIN, u64::MAX)
    }

    /// Reads the roles as they were under the root of the version `newest`, though there may be newer
    /// ones.
    pub(crate) fn load_under(storage: &dyn Storage, newest: u64) -> Result<Roles, PublishError> {
        Roles::followed(storage, None, UtcTime::MIN, newest)
    }

    /// Reads the roles of a repository as a device would at the time `now`, from the root `pinned`, or
    /// from the repository's first one.
    pub(crate) fn trusted(
        storage: &dyn Storage,
        pinned: Option<&[u8]>,
        now: UtcTime,
    ) -> Result<Roles, PublishError> {
        Roles::followed(storage, pinned, now, u64::MAX)
    }

    fn followed(
        storage: &dyn Storage,
        pinned: Option<&[u8]>,
        now: UtcTime,
        newest: u64,
    ) -> Result<Roles, PublishError> {
        let root = storage.get(FIRST_ROOT_LOCATION)?;
        let root = match (pinned, &root) {
            (Some(pinned), _) => pinned,
            (None, Some(root)) => &**root,
            (None, None) => return Err(absent(FIRST_ROOT_LOCATION)),
        };
        let trusted = TrustedSet::pinned(root, TrustLimits::default())
            .map_err(refused(FIRST_ROOT_LOCATION))?;
        let mut roles = Roles {
            trusted,
            locations: Vec::new(),
        };
        roles.follow_roots(storage, newest)?;
        let timestamp = roles.get(storage, TIMESTAMP_LOCATION)?;
        roles
            .trusted
            .update_timestamp(&timestamp, now)
            .map_err(refused(TIMESTAMP_LOCATION))?;
        let in_snapshot = refused("metadata/snapshot.json");
        if let Some(request) = roles.trusted.snapshot_request().map_err(in_snapshot)? {
            let snapshot = roles.get(storage, &request.location)?;
            let updated = roles.trusted.update_snapshot(&snapshot, now);
            updated.map_err(refused(&request.location))?;
        }
        let in_targets = refused("metadata/targets.json");
        if let Some(request) = roles.trusted.targets_request().map_err(in_targets)? {
            roles.update_targets(storage, &request, now)?;
        }
        for role in roles.delegated_and_listed() {
            let request = roles.delegated_request(&role)?;
            roles.update_targets(storage, &request, now)?;
        }
        Ok(roles)
    }

    /// Returns the roles of a set that came from elsewhere.
    pub(crate) fn of_set(trusted: TrustedSet) -> Roles {
        Roles {
            trusted,
            locations: Vec::new(),
        }
    }

    fn follow_roots(&mut self, storage: &dyn Storage, newest: u64) -> Result<(), PublishError> {
        let pinned = self.trusted.root().version;
        for version in 1..=pinned {
            self.locations.push(root_location(version));
        }
        while self.trusted.root().version < newest {
            let location = self.trusted.root_request().location;
            let Some(root) = storage.get(&location)? else {
                return Ok(());
            };
            let updated = self.trusted.update_root(&root);
            updated.map_err(refused(&location))?;
            self.locations.push(location);
        }
        Ok(())
    }

    fn update_targets(
        &mut self,
        storage: &dyn Storage,
        request: &MetadataRequest,
        now: UtcTime,
    ) -> Result<(), PublishError> {
        let bytes = self.get(storage, &request.location)?;
        self.trusted
            .update_targets(request, &bytes, now)
            .map_err(refused(&request.location))
    }

    fn get(&mut self, storage: &dyn Storage, location: &str) -> Result<FileBytes, PublishError> {
        let bytes = storage.get(location)?.ok_or_else(|| absent(location))?;
        self.locations.push(location.to_owned());
        Ok(bytes)
    }

    /// Returns where the files lie that the roles are in.
    pub(crate) fn locations(&self) -> impl Iterator<Item = String> + '_ {
        self.locations.iter().cloned()
    }

    /// Returns to whom the targets role delegates.
    pub(crate) fn delegations(&self) -> Option<&Delegations> {
        self.trusted.targets("targets")?.delegations.as_ref()
    }

    /// Returns the delegation to a role.
    pub(crate) fn delegation(&self, role: &str) -> Option<&DelegatedRole> {
        self.delegations()?.role(role)
    }

    /// Returns the role that signs the rollout of a channel: the first that may, by the order in which
    /// devices ask.
    pub(crate) fn rollout_role(&self, pack: &PackName, channel: &ChannelName) -> String {
        let target = pack.rollout_target(channel);
        let mut roles = self.delegations().into_iter().flat_map(|all| &all.roles);
        let role = roles.find(|role| role.may_sign(&target));
        role.map_or_else(|| pack.operations_role(), |role| role.name.clone())
    }

    fn delegated(&self) -> Vec<String> {
        let roles = self.delegations().into_iter().flat_map(|all| &all.roles);
        roles.map(|role| role.name.clone()).collect()
    }

    /// Returns the roles that are delegated to and have a file: a tenant may not have published yet.
    pub(crate) fn delegated_and_listed(&self) -> Vec<String> {
        let snapshot = self.trusted.snapshot();
        let is_listed = |role: &String| snapshot.is_some_and(|all| all.role(role).is_some());
        self.delegated().into_iter().filter(is_listed).collect()
    }

    pub(crate) fn delegated_request(&self, role: &str) -> Result<MetadataRequest, PublishError> {
        let listed = self.trusted.snapshot().and_then(|all| all.role(role));
        let version = listed.map(|file| file.version).ok_or_else(|| {
            let role = role.to_owned();
            refused("metadata/snapshot.json")(TrustError::Unlisted { role })
        })?;
        Ok(MetadataRequest {
            role: role.to_owned(),
            delegator: "targets".to_owned(),
            version,
            location: format!("metadata/{version}.{role}.json"),
            limit: TrustLimits::default().targets_bytes,
        })
    }

    /// Returns every target that any role lists, in the order of their paths.
    pub(crate) fn targets(&self) -> Vec<ListedTarget> {
        let mut listed = BTreeMap::new();
        for role in ["targets".to_owned()].into_iter().chain(self.delegated()) {
            let body = self.trusted.targets(&role);
            for path in body.iter().flat_map(|body| body.targets.keys()) {
                let found = match self.trusted.lookup(path) {
                    Ok(Lookup::Found(file)) if file.role == role => Some(file.location),
                    _ => None,
                };
                let location = listed.entry(path.clone()).or_insert(None);
                *location = location.take().or(found);
            }
        }
        let target = |(path, location): (String, Option<String>)| ListedTarget {
            kind: TargetKind::of(&path),
            path,
            location,
        };
        listed.into_iter().map(target).collect()
    }

    /// Returns every file that patches lead to: the snapshot, roles of targets, and targets.
    pub(crate) fn patched_files(&self) -> Vec<PatchedFile> {
        let timestamp = self.trusted.timestamp();
        let snapshot = self.trusted.snapshot();
        let named = timestamp.into_iter().flat_map(|body| &body.meta);
        let listed = snapshot.into_iter().flat_map(|body| &body.meta);
        let mut files: Vec<PatchedFile> = named
            .chain(listed)
            .map(|(name, file)| PatchedFile {
                location: format!("metadata/{}.{name}", file.version),
                sha256: file.sha256().unwrap_or_default().to_owned(),
                patches: file.patches.clone(),
            })
            .collect();
        for target in self.targets() {
            if let (Some(location), Ok(Some(file))) =
                (target.location, self.file_of_target(&target.path))
            {
                files.push(PatchedFile {
                    location,
                    sha256: file.entry.sha256().unwrap_or_default().to_owned(),
                    patches: file.entry.patches(),
                });
            }
        }
        files.retain(|file| !file.patches.is_empty());
        files
    }

    /// Returns the packs that have a catalogue, in the order of their names.
    pub(crate) fn packs(&self) -> Vec<PackName> {
        let pack = |target: ListedTarget| match target.kind {
            TargetKind::Catalogue(pack) => Some(pack),
            _ => None,
        };
        self.targets().into_iter().filter_map(pack).collect()
    }

    /// Returns the channels of a pack that have a rollout, in the order of their names.
    pub(crate) fn channels(&self, pack: &PackName) -> Vec<ChannelName> {
        let channel = |target: ListedTarget| match target.kind {
            TargetKind::Rollout(of, channel) if of == *pack => Some(channel),
            _ => None,
        };
        self.targets().into_iter().filter_map(channel).collect()
    }

    /// Returns the releases of a pack, or nothing where it has none.
    pub(crate) fn catalogue(
        &self,
        storage: &dyn Storage,
        pack: &PackName,
    ) -> Result<Option<Catalogue>, PublishError> {
        self.read(storage, &pack.catalogue_target(), |bytes| {
            Catalogue::decode(bytes)?.expect_pack(pack)
        })
    }

    /// Returns what a channel of a pack offers, or nothing where there is no such channel.
    pub(crate) fn rollout(
        &self,
        storage: &dyn Storage,
        pack: &PackName,
        channel: &ChannelName,
    ) -> Result<Option<Rollout>, PublishError> {
        self.read(storage, &pack.rollout_target(channel), |bytes| {
            Rollout::decode(bytes)?.expect_channel(pack, channel)
        })
    }

    /// Returns what all channels of a pack offer, in the order of their names.
    pub(crate) fn rollouts(
        &self,
        storage: &dyn Storage,
        pack: &PackName,
    ) -> Result<Vec<Rollout>, PublishError> {
        let channels = self.channels(pack);
        let rollouts = channels.iter().map(|channel| {
            self.rollout(storage, pack, channel)?
                .ok_or_else(|| absent(&pack.rollout_target(channel)))
        });
        rollouts.collect()
    }

    /// Returns what is known of a target, or nothing where there is no such target.
    pub(crate) fn file_of_target(&self, path: &str) -> Result<Option<TargetFile>, PublishError> {
        match self.trusted.lookup(path) {
            Ok(Lookup::Found(file)) => Ok(Some(file)),
            // A tenant that has not published yet is not listed.
            Ok(Lookup::Needs(_) | Lookup::Absent) | Err(TrustError::Unlisted { .. }) => Ok(None),
            Err(error) => Err(refused(path)(error)),
        }
    }

    /// Returns what `decode` makes of a target, or nothing where there is no such target.
    pub(crate) fn read<T>(
        &self,
        storage: &dyn Storage,
        path: &str,
        decode: impl FnOnce(&Verified<&[u8]>) -> Result<T, FormatError>,
    ) -> Result<Option<T>, PublishError> {
        let Some(file) = self.file_of_target(path)? else {
            return Ok(None);
        };
        let location = file.location.as_str();
        let bytes = storage.get(location)?.ok_or_else(|| absent(location))?;
        let verified = self
            .trusted
            .verify_target(&file, &*bytes)
            .map_err(refused(location))?;
        let decoded = decode(&verified).map_err(|source| PublishError::Damaged {
            location: location.to_owned(),
            source,
        })?;
        Ok(Some(decoded))
    }
}

impl TargetKind {
    fn of(path: &str) -> TargetKind {
        let parts: Vec<&str> = path.split('/').collect();
        let pack = |tenant: &str, name: &str| PackName::parse(&format!("{tenant}/{name}"));
        match parts[..] {
            [tenant, name, "catalogue"] => {
                pack(tenant, name).map_or(TargetKind::Other, TargetKind::Catalogue)
            }
            [tenant, name, "rollout", channel] => {
                match (pack(tenant, name), ChannelName::parse(channel)) {
                    (Ok(pack), Ok(channel)) => TargetKind::Rollout(pack, channel),
                    _ => TargetKind::Other,
                }
            }
            _ => TargetKind::Other,
        }
    }
}

/// Returns what makes an error of a rule that the file at `location` breaks.
pub(crate) fn refused(location: &str) -> impl FnOnce(TrustError) -> PublishError {
    let location = location.to_owned();
    move |source| PublishError::Refused { location, source }
}

/// Returns the error of a file that is not there.
pub(crate) fn absent(location: &str) -> PublishError {
    PublishError::Absent {
        location: location.to_owned(),
    }
}
