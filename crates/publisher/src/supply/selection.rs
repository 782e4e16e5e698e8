use std::collections::{BTreeMap, BTreeSet};

use release_format::{
    Catalogue, CatalogueDelta, CatalogueRelease, ContentReference, Label, LogEntry, PackName,
    Rollout, TrustLimits, TrustedSet, UtcTime,
};

use crate::PublishError;
use crate::release::routes::{Routes, hops};
use crate::repository::record::numbers;
use crate::repository::roles::{FIRST_ROOT_LOCATION, Roles, absent, refused};
use crate::storage::Storage;

/// Which bytes of the offered releases an export carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExportReach {
    /// The deltas that are published, for first installs and for older releases.
    #[default]
    Deltas,
    /// The deltas from the releases with these labels, several behind one another where one has none of its
    /// own and that is cheaper than the delta from nothing; else this.
    From(Vec<Label>),
    /// The deltas, and the archives from which any damaged or older tree comes back.
    Full,
}

/// What an export has of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportedPack {
    /// The pack.
    pub pack: PackName,
    /// The releases that its channels offer, in the order of their sequence numbers.
    pub releases: Vec<Label>,
    /// The deltas that lead to them.
    pub deltas: Vec<ExportedDelta>,
    /// Releases that were asked for by [`ExportReach::From`] and that no deltas lead on from: devices
    /// that have them take the delta from nothing, or chunks.
    pub without_delta: Vec<Label>,
    /// Bytes of the archives.
    pub archive_bytes: u64,
    /// For how many days devices may go on with the pack once the timestamp has expired.
    pub grace_days: u32,
}

/// A delta that an export has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportedDelta {
    /// The release that it starts from; none when it starts from nothing.
    pub from: Option<Label>,
    /// The release that it leads to.
    pub to: Label,
    /// Its length.
    pub bytes: u64,
}

/// The files of an export, every one of them verified or named by its digest.
pub(crate) struct Selection {
    /// Every root, the first one first.
    pub(crate) roots: Vec<SelectedFile>,
    /// The other metadata but the timestamp.
    pub(crate) metadata: Vec<SelectedFile>,
    /// Catalogues and rollouts, and patches.
    pub(crate) targets: Vec<SelectedFile>,
    /// The entries of the log, where it goes along.
    pub(crate) log: Vec<SelectedFile>,
    /// What lies under `content/`.
    pub(crate) content: BTreeSet<ContentReference>,
    /// The timestamp.
    pub(crate) timestamp: Vec<u8>,
    /// When it expires.
    pub(crate) expires: UtcTime,
    pub(crate) packs: Vec<ExportedPack>,
}

/// A small file, as it was read when it was verified.
pub(crate) struct SelectedFile {
    pub(crate) location: String,
    pub(crate) bytes: Vec<u8>,
}

impl Selection {
    /// Selects what devices need of `packs`, all of them when none is named.
    ///
    /// # Errors
    /// [`PublishError::UnknownPack`], and [`PublishError::UnknownLabel`] for a label that no pack has;
    /// what is wrong with the repository's own files.
    pub(crate) fn of(
        storage: &dyn Storage,
        packs: &[PackName],
        reach: &ExportReach,
    ) -> Result<Selection, PublishError> {
        let roles = Roles::load(storage)?;
        let all = roles.packs();
        if let Some(unknown) = packs.iter().find(|pack| !all.contains(pack)) {
            let pack = unknown.clone();
            return Err(PublishError::UnknownPack { pack });
        }
        let mut packs = if packs.is_empty() {
            all
        } else {
            packs.to_vec()
        };
        packs.sort();
        packs.dedup();
        let timestamp = roles.trusted.timestamp();
        let mut selection = Selection {
            roots: roots(storage, &roles)?,
            metadata: Vec::new(),
            targets: Vec::new(),
            log: Vec::new(),
            content: BTreeSet::new(),
            timestamp: file_of(&roles, "timestamp")?,
            expires: timestamp.map_or(UtcTime::MIN, |body| body.expires),
            packs: Vec::new(),
        };
        let mut catalogues = BTreeMap::new();
        for pack in &packs {
            let catalogue = roles.catalogue(storage, pack)?;
            let catalogue = catalogue.ok_or_else(|| absent(&pack.catalogue_target()))?;
            catalogues.insert(pack.clone(), catalogue);
        }
        refuse_unknown_labels(&catalogues, reach)?;
        selection.add_roles(&roles, &packs)?;
        selection.add_targets(storage, &roles, &packs)?;
        if *reach == ExportReach::Full {
            selection.add_patches(storage, &roles)?;
        }
        for (pack, catalogue) in &catalogues {
            let rollouts = roles.rollouts(storage, pack)?;
            let mut exported = selection.select(catalogue, &rollouts, reach);
            let content = roles.trusted.targets(&pack.content_role());
            exported.grace_days = content
                .and_then(|body| body.offline_grace_days)
                .unwrap_or(0);
            selection.packs.push(exported);
        }
        Ok(selection)
    }

    /// Returns every location that the export has.
    pub(crate) fn locations(&self) -> impl Iterator<Item = String> + '_ {
        let files = self.roots.iter().chain(&self.metadata).chain(&self.targets);
        let files = files.chain(&self.log);
        let files = files.map(|file| file.location.clone());
        files.chain(self.content.iter().map(ContentReference::location))
    }

    /// Takes the log, as it lies there: its own chain says whether it is whole.
    pub(crate) fn add_log(&mut self, storage: &dyn Storage) -> Result<(), PublishError> {
        for number in numbers(storage)? {
            let location = LogEntry::location(number);
            let bytes = storage.get(&location)?.ok_or_else(|| absent(&location))?;
            self.log.push(SelectedFile {
                location,
                bytes: bytes.to_vec(),
            });
        }
        Ok(())
    }

    /// Takes the roles that a device asks on its way to the packs.
    fn add_roles(&mut self, roles: &Roles, packs: &[PackName]) -> Result<(), PublishError> {
        let mut names = vec!["snapshot".to_owned(), "targets".to_owned()];
        let mut paths: Vec<String> = packs.iter().map(PackName::catalogue_target).collect();
        for pack in packs {
            let channels = roles.channels(pack);
            paths.extend(channels.iter().map(|channel| pack.rollout_target(channel)));
        }
        names.extend(roles.delegated_and_listed().into_iter().filter(|role| {
            let delegation = roles.delegation(role);
            delegation.is_some_and(|role| paths.iter().any(|path| role.may_sign(path)))
        }));
        let snapshot = roles.trusted.snapshot();
        let named = roles.trusted.timestamp().and_then(|body| body.snapshot());
        for role in names {
            let version = match role.as_str() {
                "snapshot" => named.map(|file| file.version),
                role => snapshot
                    .and_then(|all| all.role(role))
                    .map(|file| file.version),
            };
            let version = version.ok_or_else(|| absent(&format!("metadata/{role}.json")))?;
            self.metadata.push(SelectedFile {
                location: format!("metadata/{version}.{role}.json"),
                bytes: file_of(roles, &role)?,
            });
        }
        Ok(())
    }

    fn add_targets(
        &mut self,
        storage: &dyn Storage,
        roles: &Roles,
        packs: &[PackName],
    ) -> Result<(), PublishError> {
        for pack in packs {
            let channels = roles.channels(pack);
            let rollouts = channels.iter().map(|channel| pack.rollout_target(channel));
            for path in [pack.catalogue_target()].into_iter().chain(rollouts) {
                let file = roles.file_of_target(&path)?.ok_or_else(|| absent(&path))?;
                let bytes = storage.get(&file.location)?;
                let bytes = bytes.ok_or_else(|| absent(&file.location))?.to_vec();
                let verified = roles.trusted.verify_target(&file, &*bytes);
                verified.map_err(refused(&file.location))?;
                self.targets.push(SelectedFile {
                    location: file.location,
                    bytes,
                });
            }
        }
        Ok(())
    }

    /// Takes the patches that lead to what was taken, for a line before the export. On a stick each
    /// would take a cluster, to spare bytes that cost nothing there.
    fn add_patches(&mut self, storage: &dyn Storage, roles: &Roles) -> Result<(), PublishError> {
        let files = self.metadata.iter().chain(&self.targets);
        let taken: BTreeSet<String> = files.map(|file| file.location.clone()).collect();
        for file in roles.patched_files() {
            for location in file.locations().filter(|_| taken.contains(&file.location)) {
                // One that is not there is no loss.
                if let Some(bytes) = storage.get(&location)? {
                    let bytes = bytes.to_vec();
                    self.targets.push(SelectedFile { location, bytes });
                }
            }
        }
        Ok(())
    }

    /// Takes the content of the releases that are offered.
    fn select(
        &mut self,
        catalogue: &Catalogue,
        rollouts: &[Rollout],
        reach: &ExportReach,
    ) -> ExportedPack {
        let mut exported = ExportedPack {
            pack: catalogue.pack.clone(),
            releases: Vec::new(),
            deltas: Vec::new(),
            without_delta: Vec::new(),
            archive_bytes: 0,
            grace_days: 0,
        };
        for release in offered(catalogue, rollouts) {
            exported.releases.push(release.label.clone());
            self.content.extend([release.manifest, release.chunk_map]);
            self.content.extend(release.texts().copied());
            if *reach == ExportReach::Full {
                self.content.extend(release.documents().copied());
            }
            let chosen = chosen_origins(catalogue, release, reach, &mut exported);
            let mut is_from_nothing_there = false;
            for delta in &release.deltas {
                is_from_nothing_there |= delta.from.is_none();
                let from = match delta.from {
                    None if chosen.from_nothing => None,
                    Some(from) => match catalogue.release(&from) {
                        Some(from) if chosen.includes(&from.label) => Some(from.label.clone()),
                        _ => continue,
                    },
                    None => continue,
                };
                self.content.insert(delta.content);
                exported.add(from, &release.label, delta);
            }
            for (from, to) in &chosen.steps {
                for delta in
                    catalogue.deltas_between(Some(from.manifest.digest), &to.manifest.digest)
                {
                    self.content.insert(delta.content);
                    exported.add(Some(from.label.clone()), &to.label, delta);
                }
            }
            // Too long for one file: then a first install takes the archives.
            let needs_archives = chosen.from_nothing && !is_from_nothing_there;
            if *reach == ExportReach::Full || needs_archives {
                for archive in &release.archives {
                    let is_new = self.content.insert(*archive);
                    exported.archive_bytes += if is_new { archive.length } else { 0 };
                }
            }
        }
        exported
    }
}

impl ExportedPack {
    fn add(&mut self, from: Option<Label>, to: &Label, delta: &CatalogueDelta) {
        let exported = ExportedDelta {
            from,
            to: to.clone(),
            bytes: delta.content.length,
        };
        if !self.deltas.contains(&exported) {
            self.deltas.push(exported);
        }
    }
}

/// Where the deltas to one release start that are taken.
struct Origins<'a> {
    from_nothing: bool,
    /// All of them where none.
    labels: Option<Vec<Label>>,
    /// The steps of ways over several deltas.
    steps: Vec<(&'a CatalogueRelease, &'a CatalogueRelease)>,
}

impl Origins<'_> {
    fn includes(&self, label: &Label) -> bool {
        self.labels
            .as_ref()
            .is_none_or(|labels| labels.contains(label))
    }
}

fn chosen_origins<'a>(
    catalogue: &'a Catalogue,
    release: &'a CatalogueRelease,
    reach: &ExportReach,
    exported: &mut ExportedPack,
) -> Origins<'a> {
    let ExportReach::From(labels) = reach else {
        return Origins {
            from_nothing: true,
            labels: None,
            steps: Vec::new(),
        };
    };
    let (mut from_nothing, mut steps) = (false, Vec::new());
    let routes = Routes::to(release.manifest.digest, &hops(&catalogue.releases));
    for label in labels.iter().filter(|label| **label != release.label) {
        let Some(old) = catalogue.labelled(label) else {
            continue;
        };
        let starts_there = |delta: &CatalogueDelta| delta.from == Some(old.manifest.digest);
        if old.sequence < release.sequence && !release.deltas.iter().any(starts_there) {
            // Cheaper than from nothing, where there are any.
            let between = routes.between(old.manifest.digest);
            if !between.is_empty() {
                let between = between.iter();
                let between = between.filter_map(|manifest| catalogue.release(manifest));
                let mut at = old;
                for next in between.chain([release]) {
                    steps.push((at, next));
                    at = next;
                }
                continue;
            }
            from_nothing = true;
            if !exported.without_delta.contains(label) {
                exported.without_delta.push(label.clone());
            }
        }
    }
    Origins {
        from_nothing,
        labels: Some(labels.clone()),
        steps,
    }
}

/// Returns the releases that some device of some channel is offered.
pub(crate) fn offered<'a>(
    catalogue: &'a Catalogue,
    rollouts: &[Rollout],
) -> Vec<&'a CatalogueRelease> {
    let mut manifests = BTreeSet::new();
    for rollout in rollouts {
        let fallbacks = rollout.withdrawn.iter().filter_map(|of| of.fallback);
        manifests.extend([rollout.release].into_iter().chain(fallbacks));
        // An old client is left with what was offered before.
        let is_for_all =
            rollout.is_for_all(UtcTime::MIN) && rollout.minimum_client(&rollout.release).is_none();
        manifests.extend(rollout.otherwise.filter(|_| !is_for_all));
    }
    let releases = catalogue.releases.iter();
    releases
        .filter(|release| manifests.contains(&release.manifest.digest))
        .collect()
}

fn refuse_unknown_labels(
    catalogues: &BTreeMap<PackName, Catalogue>,
    reach: &ExportReach,
) -> Result<(), PublishError> {
    let ExportReach::From(labels) = reach else {
        return Ok(());
    };
    let is_unknown = |label: &&Label| catalogues.values().all(|all| all.labelled(label).is_none());
    match (labels.iter().find(is_unknown), catalogues.keys().next()) {
        (Some(label), Some(pack)) => Err(PublishError::UnknownLabel {
            pack: pack.clone(),
            label: label.clone(),
        }),
        _ => Ok(()),
    }
}

/// Reads the chain of roots once more, and follows it: what is carried is what was verified.
fn roots(storage: &dyn Storage, roles: &Roles) -> Result<Vec<SelectedFile>, PublishError> {
    let mut files: Vec<SelectedFile> = Vec::new();
    let mut trusted: Option<TrustedSet> = None;
    for location in roles
        .locations()
        .filter(|location| location.ends_with(ROOT))
    {
        let bytes = storage.get(&location)?.ok_or_else(|| absent(&location))?;
        let bytes = bytes.to_vec();
        match &mut trusted {
            None => {
                let first = TrustedSet::pinned(&bytes, TrustLimits::default());
                trusted = Some(first.map_err(refused(FIRST_ROOT_LOCATION))?);
            }
            Some(trusted) => trusted.update_root(&bytes).map_err(refused(&location))?,
        }
        files.push(SelectedFile { location, bytes });
    }
    Ok(files)
}

fn file_of(roles: &Roles, role: &str) -> Result<Vec<u8>, PublishError> {
    let bytes = roles.trusted.file(role).map(<[u8]>::to_vec);
    bytes.ok_or_else(|| absent(&format!("metadata/{role}.json")))
}

const ROOT: &str = ".root.json";
