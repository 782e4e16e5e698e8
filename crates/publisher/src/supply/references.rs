use std::collections::BTreeSet;

use release_format::{
    Catalogue, ContentReference, RoleDraft, Snapshot, Targets, TrustLimits, Verified,
};

use crate::PublishError;
use crate::repository::location::versioned_role;
use crate::repository::roles::{PatchedFile, Roles, TIMESTAMP_LOCATION, TargetKind, absent};
use crate::storage::Storage;

/// The locations that something refers to.
#[derive(Default)]
pub(crate) struct References {
    locations: BTreeSet<String>,
}

impl References {
    /// Returns what the metadata that devices see refers to.
    ///
    /// # Errors
    /// [`PublishError`] when any of it cannot be read: then nobody knows what it needs.
    pub(crate) fn current(
        storage: &dyn Storage,
        roles: &Roles,
    ) -> Result<References, PublishError> {
        let mut references = References::of_roles(roles);
        for target in roles.targets() {
            if let TargetKind::Catalogue(pack) = target.kind {
                let catalogue = roles.catalogue(storage, &pack)?;
                let catalogue = catalogue.ok_or_else(|| absent(&target.path))?;
                references.add_catalogue(&catalogue);
            }
        }
        Ok(references)
    }

    /// Returns metadata and targets, without what the targets refer to.
    pub(crate) fn of_roles(roles: &Roles) -> References {
        let mut references = References::default();
        references.locations.extend(roles.locations());
        references.locations.insert(TIMESTAMP_LOCATION.to_owned());
        let targets = roles.targets().into_iter();
        references
            .locations
            .extend(targets.filter_map(|target| target.location));
        let patched = roles.patched_files();
        let patches = patched.iter().flat_map(PatchedFile::locations);
        references.locations.extend(patches);
        references
    }

    /// Returns what devices may be fetching that saw the metadata before the snapshot `current`.
    ///
    /// A publisher that died may have left a snapshot that no device ever saw, and nothing tells it
    /// from one that they did: of the older snapshots that are whole, the newest two count.
    pub(crate) fn before(storage: &dyn Storage, current: u64) -> Result<References, PublishError> {
        let mut versions = Vec::new();
        for location in storage.list("metadata/")? {
            let name = location.strip_prefix("metadata/").unwrap_or(&location);
            if let Some((version, "snapshot")) = versioned_role(name)
                && version < current
            {
                versions.push(version);
            }
        }
        versions.sort_unstable();
        let mut references = References::default();
        let mut whole = 0;
        for version in versions.into_iter().rev() {
            if let Some(found) = References::of_snapshot(storage, version)? {
                references.add(found);
                whole += 1;
            }
            if whole == SNAPSHOTS {
                break;
            }
        }
        Ok(references)
    }

    /// Returns what a snapshot refers to, or nothing when it is not whole any more. Nothing is decided
    /// on it but what is kept, so it is read without asking who signed it.
    fn of_snapshot(
        storage: &dyn Storage,
        version: u64,
    ) -> Result<Option<References>, PublishError> {
        let limits = TrustLimits::default();
        let mut references = References::default();
        let location = format!("metadata/{version}.snapshot.json");
        let Some(bytes) = storage.get(&location)? else {
            return Ok(None);
        };
        let snapshot = RoleDraft::<Snapshot>::parse("snapshot", &bytes, limits.snapshot_bytes);
        let Ok(snapshot) = snapshot else {
            return Ok(None);
        };
        references.locations.insert(location);
        for (name, file) in &snapshot.body().meta {
            let patches = file.patches.locations(file.sha256().unwrap_or_default());
            references.locations.extend(patches);
            let location = format!("metadata/{}.{name}", file.version);
            let role = name.strip_suffix(".json").unwrap_or(name);
            let Some(bytes) = storage.get(&location)? else {
                return Ok(None);
            };
            let parsed = RoleDraft::<Targets>::parse(role, &bytes, limits.targets_bytes);
            let Ok(targets) = parsed else {
                return Ok(None);
            };
            references.locations.insert(location);
            if !references.add_targets(storage, targets.body())? {
                return Ok(None);
            }
        }
        Ok(Some(references))
    }

    fn add_targets(&mut self, storage: &dyn Storage, role: &Targets) -> Result<bool, PublishError> {
        for (path, entry) in &role.targets {
            let digest = entry.sha256().unwrap_or_default();
            let location = match path.rsplit_once('/') {
                Some((folder, name)) => format!("targets/{folder}/{digest}.{name}"),
                None => format!("targets/{digest}.{path}"),
            };
            let Some(bytes) = storage.get(&location)? else {
                return Ok(false);
            };
            self.locations.insert(location);
            self.locations.extend(entry.patches().locations(digest));
            if path.ends_with("/catalogue") {
                let found = ContentReference::of(&bytes);
                let catalogue = Verified::new(&*bytes, &found).and_then(|b| Catalogue::decode(&b));
                match catalogue {
                    Ok(catalogue) => self.add_catalogue(&catalogue),
                    Err(_) => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Adds all that a catalogue lists.
    pub(crate) fn add_catalogue(&mut self, catalogue: &Catalogue) {
        for release in &catalogue.releases {
            let deltas = release.deltas.iter().map(|delta| &delta.content);
            let content = [&release.manifest, &release.chunk_map];
            let content = content.into_iter().chain(&release.archives);
            let content = content.chain(release.documents()).chain(deltas);
            self.locations
                .extend(content.map(ContentReference::location));
        }
    }

    pub(crate) fn add(&mut self, other: References) {
        self.locations.extend(other.locations);
    }

    pub(crate) fn contains(&self, location: &str) -> bool {
        self.locations.contains(location)
    }
}

/// How many older snapshots count.
const SNAPSHOTS: usize = 2;
