use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use diff_core::{CancelToken, ContentPath, Delta, Digest, Limits, Listing, Silent, Tree, prove};
use rayon::prelude::*;
use release_format::{
    Archive, Catalogue, CatalogueDelta, CatalogueRelease, ChunkMap, ContentReference, FormatError,
    LogEntry, LogHead, Manifest, PackName, ReleaseStatus, Rollout, UtcTime, Verified,
};

use crate::PublishError;
use crate::govern::audit_log::AuditLog;
use crate::govern::audit_problem::AuditProblem;
use crate::govern::patch_audit::PatchAudit;
use crate::release::delta_build::NoFiles;
use crate::release::earlier::{ChunkSource, EarlierTree};
use crate::repository::roles::{Roles, TargetKind};
use crate::storage::Storage;
use crate::storage::folder::FolderStorage;

/// How thoroughly, and against what, a repository is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditOptions {
    /// The time that metadata must not have expired at.
    pub now: UtcTime,
    /// The root that devices have pinned; the repository's own first one when none is given.
    pub against: Option<Vec<u8>>,
    /// Whether every delta is applied, and not only read: takes as long as building the releases.
    pub apply_deltas: bool,
    /// The head of the log as it was seen before, or in another copy: what lies there has to go on
    /// from it.
    pub seen: Option<LogHead>,
}

impl AuditOptions {
    /// Returns the options of a check at the time `now`, which applies no delta.
    pub fn at(now: UtcTime) -> AuditOptions {
        AuditOptions {
            now,
            against: None,
            apply_deltas: false,
            seen: None,
        }
    }
}

/// What [`audit`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AuditReport {
    /// Files that were compared with what refers to them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Releases that were looked at.
    pub releases: u64,
    /// What a device would refuse, or could not use.
    pub problems: Vec<AuditProblem>,
    /// The log of what was done.
    pub log: AuditLog,
    /// Files that nothing refers to: an interrupted publish leaves them, older metadata too.
    pub unreferenced: Vec<String>,
}

impl AuditReport {
    /// Whether a device would accept all of it.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks the repository in the folder at `path` as a device would, and beyond: every signature,
/// every catalogue and rollout, every manifest, chunk and delta.
///
/// # Errors
/// [`PublishError::Storage`] when the folder cannot be read. What is wrong with the repository is in
/// the report.
pub fn audit(path: &Path, options: &AuditOptions) -> Result<AuditReport, PublishError> {
    audit_in(&FolderStorage::new(path), options)
}

/// Checks a repository in any storage; see [`audit`].
///
/// # Errors
/// [`PublishError::Storage`] when the storage cannot be read.
pub fn audit_in(
    storage: &dyn Storage,
    options: &AuditOptions,
) -> Result<AuditReport, PublishError> {
    let _span = tracing::info_span!("audit", repository = %storage.address()).entered();
    let mut auditor = Auditor {
        storage,
        options,
        limits: Limits::standard(),
        report: AuditReport::default(),
        seen: BTreeSet::new(),
        archives: BTreeMap::new(),
    };
    match Roles::trusted(storage, options.against.as_deref(), options.now) {
        Ok(roles) => {
            auditor.seen.extend(roles.locations());
            auditor.report.files = auditor.seen.len() as u64;
            auditor.targets(&roles)?;
            let patches = PatchAudit::of(storage, &roles)?;
            auditor.report.files += patches.locations.len() as u64;
            auditor.report.bytes += patches.bytes;
            auditor.report.problems.extend(patches.problems);
            auditor.seen.extend(patches.locations);
            let log = AuditLog::read(storage, &roles, options.seen.as_ref())?;
            auditor.report.files += log.records.len() as u64;
            auditor.report.problems.extend(log.problems.iter().cloned());
            let numbers = log.records.iter().map(|record| record.entry.number);
            auditor.seen.extend(numbers.map(LogEntry::location));
            auditor.report.log = log;
            let there = storage.list("")?;
            auditor.report.unreferenced = there
                .into_iter()
                .filter(|location| !auditor.seen.contains(location))
                .collect();
        }
        Err(error) => auditor.refused("metadata", error)?,
    }
    Ok(auditor.report)
}

struct Auditor<'a> {
    storage: &'a dyn Storage,
    options: &'a AuditOptions,
    limits: Limits,
    report: AuditReport,
    seen: BTreeSet<String>,
    /// The chunks of every archive that is sound, and where each begins.
    archives: BTreeMap<ContentReference, Option<HashMap<Digest, u64>>>,
}

impl Auditor<'_> {
    fn targets(&mut self, roles: &Roles) -> Result<(), PublishError> {
        let mut catalogues: BTreeMap<PackName, Catalogue> = BTreeMap::new();
        let mut rollouts = Vec::new();
        for target in roles.targets() {
            let Some(location) = target.location else {
                self.problem(&target.path, "a role that may sign it", "another");
                continue;
            };
            self.seen.insert(location.clone());
            self.report.files += 1;
            let read = match &target.kind {
                TargetKind::Catalogue(pack) => {
                    let decode =
                        |bytes: &Verified<&[u8]>| Catalogue::decode(bytes)?.expect_pack(pack);
                    let read = roles.read(self.storage, &target.path, decode);
                    read.map(|found| catalogues.extend(found.map(|found| (pack.clone(), found))))
                }
                TargetKind::Rollout(pack, channel) => {
                    let decode = |bytes: &Verified<&[u8]>| {
                        Rollout::decode(bytes)?.expect_channel(pack, channel)
                    };
                    let read = roles.read(self.storage, &target.path, decode);
                    read.map(|found| rollouts.extend(found.map(|found| (location.clone(), found))))
                }
                TargetKind::Other => {
                    self.problem(&location, "a catalogue or a rollout", &target.path);
                    Ok(())
                }
            };
            if let Err(error) = read {
                self.refused(&location, error)?;
            }
        }
        for catalogue in catalogues.values() {
            self.catalogue(catalogue)?;
        }
        for (location, rollout) in rollouts {
            self.rollout(&location, &rollout, catalogues.get(&rollout.pack));
        }
        Ok(())
    }

    fn rollout(&mut self, location: &str, rollout: &Rollout, catalogue: Option<&Catalogue>) {
        let release = catalogue.and_then(|catalogue| catalogue.release(&rollout.release));
        match release {
            None => self.problem(
                location,
                "a release of the pack's catalogue",
                rollout.release,
            ),
            Some(release) if release.label != rollout.label => {
                self.problem(location, &release.label, &rollout.label);
            }
            Some(release) if release.status != ReleaseStatus::Offered && !rollout.halted => {
                let found = format!("{}, which is withdrawn", release.label);
                self.problem(location, "a release that may be offered", found);
            }
            Some(_) => {}
        }
        let is_listed = |manifest: &Digest| {
            catalogue.is_some_and(|catalogue| catalogue.release(manifest).is_some())
        };
        for manifest in rollout.named().filter(|named| *named != rollout.release) {
            if !is_listed(&manifest) {
                self.problem(location, "releases of the pack's catalogue", manifest);
            }
        }
    }

    fn catalogue(&mut self, catalogue: &Catalogue) -> Result<(), PublishError> {
        // What deltas start from, and lead to.
        let mut sound: BTreeMap<Digest, (Manifest, ChunkMap)> = BTreeMap::new();
        for release in &catalogue.releases {
            self.report.releases += 1;
            if let Some(found) = self.release(&catalogue.pack, release)? {
                sound.insert(release.manifest.digest, found);
            }
        }
        for release in &catalogue.releases {
            for delta in &release.deltas {
                let new = sound.get(&release.manifest.digest);
                let old = delta.from.map(|from| sound.get(&from));
                if let (Some((new, _)), Some(old)) = (new, transpose(old)) {
                    self.delta(delta, old, new)?;
                } else {
                    // Nothing to compare it with; its digest alone.
                    self.content(&delta.content, |_| Ok(()))?;
                }
            }
        }
        Ok(())
    }

    /// Checks all of a release but its deltas, and returns it if a device could install it.
    fn release(
        &mut self,
        pack: &PackName,
        release: &CatalogueRelease,
    ) -> Result<Option<(Manifest, ChunkMap)>, PublishError> {
        let limits = self.limits.clone();
        let manifest = self.content(&release.manifest, |bytes| Manifest::decode(bytes, &limits))?;
        let map = self.content(&release.chunk_map, |bytes| ChunkMap::decode(bytes, &limits))?;
        for archive in &release.archives {
            self.archive(archive)?;
        }
        for document in release.documents() {
            self.content(document, |_| Ok(()))?;
        }
        let (Some(manifest), Some(map)) = (manifest, map) else {
            return Ok(None);
        };
        let problems = self.report.problems.len();
        let location = release.manifest.location();
        let expected = format!(
            "{pack}@{} the {}th, {} bytes in {} files",
            release.label, release.sequence, release.tree_bytes, release.files
        );
        let found = format!(
            "{}@{} the {}th, {} bytes in {} files",
            manifest.pack(),
            manifest.label(),
            manifest.sequence(),
            manifest.listing().total_bytes(),
            manifest.listing().entries().len()
        );
        if expected != found {
            self.problem(&location, expected, found);
        }
        self.chunks(release, &manifest, &map)?;
        // An archive that several releases need is told of once.
        let mut archives = release.archives.iter();
        let is_sound = problems == self.report.problems.len()
            && archives.all(|archive| matches!(self.archives.get(archive), Some(Some(_))));
        Ok(is_sound.then_some((manifest, map)))
    }

    /// Compares the chunk map with the archives' own tables, and the files with their chunks.
    fn chunks(
        &mut self,
        release: &CatalogueRelease,
        manifest: &Manifest,
        map: &ChunkMap,
    ) -> Result<(), PublishError> {
        let location = release.chunk_map.location();
        if let Err(error) = map.check_covers(manifest.listing()) {
            self.format_problem(&location, &error);
            return Ok(());
        }
        if map.archives() != release.archives {
            let found = format!("{} others", map.archives().len());
            self.problem(&location, "the archives of the catalogue", found);
            return Ok(());
        }
        for place in map.chunks() {
            let table = map
                .archive_of(place)
                .and_then(|archive| self.archives.get(archive));
            // A damaged archive is a problem of its own.
            let Some(Some(table)) = table else {
                return Ok(());
            };
            let found = table.get(&place.chunk.digest()).copied();
            if found != Some(place.offset) {
                let expected = format!("{} at byte {}", place.chunk.digest(), place.offset);
                self.problem(&location, expected, format!("{found:?} in its archive"));
                return Ok(());
            }
        }
        for (path, expected, found) in damaged_files(manifest.listing(), map, self.storage)? {
            let expected = format!("chunks of {path} with the digest {expected}");
            self.problem(&location, expected, found);
        }
        Ok(())
    }

    fn archive(&mut self, reference: &ContentReference) -> Result<(), PublishError> {
        if self.archives.contains_key(reference) {
            return Ok(());
        }
        let table = self.content(reference, |bytes| {
            let archive = Archive::decode(Verified::new(*bytes.get(), reference)?)?;
            archive.chunks().par_iter().try_for_each(|stored| {
                match archive.read(&stored.chunk.digest()) {
                    Some(read) => read.map(|_| ()),
                    None => Ok(()),
                }
            })?;
            let places = archive.chunks().iter();
            Ok(places
                .map(|stored| (stored.chunk.digest(), stored.offset))
                .collect())
        })?;
        self.archives.insert(*reference, table);
        Ok(())
    }

    fn delta(
        &mut self,
        delta: &CatalogueDelta,
        old: Option<&(Manifest, ChunkMap)>,
        new: &Manifest,
    ) -> Result<(), PublishError> {
        let location = delta.content.location();
        let nothing = Listing::empty();
        let old_listing = old.map_or(&nothing, |(manifest, _)| manifest.listing());
        let limits = self.limits.clone();
        let checked = self.content(&delta.content, |bytes| {
            let bytes = bytes.get();
            Ok(check_plan(
                bytes,
                delta,
                old_listing,
                new.listing(),
                &limits,
            ))
        })?;
        match checked {
            None => return Ok(()),
            Some(Err((expected, found))) => {
                self.problem(&location, expected, found);
                return Ok(());
            }
            Some(Ok(())) => {}
        }
        if self.options.apply_deltas {
            self.apply(delta, old, new)?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        delta: &CatalogueDelta,
        old: Option<&(Manifest, ChunkMap)>,
        new: &Manifest,
    ) -> Result<(), PublishError> {
        let location = delta.content.location();
        let cancel = CancelToken::new();
        let scratch = tempfile::tempdir()
            .map_err(|error| PublishError::io("create", &std::env::temp_dir(), error))?;
        let nothing = Listing::empty();
        let none = HashMap::new();
        let rebuilt = old
            .map(|(manifest, map)| {
                let folder = scratch.path();
                EarlierTree::rebuild(manifest, map, self.storage, &none, folder, &cancel)
            })
            .transpose()?;
        let old = match &rebuilt {
            Some(tree) => Tree {
                listing: tree.listing(),
                contents: tree,
            },
            None => Tree {
                listing: &nothing,
                contents: &NoFiles,
            },
        };
        // Its files are what is to be shown; they are compared by digest.
        let new = Tree {
            listing: new.listing(),
            contents: &NoFiles,
        };
        let Some(bytes) = self.storage.get(&location)? else {
            return Ok(());
        };
        if let Err(error) = prove(old, new, &bytes, &self.limits, &Silent, &cancel) {
            self.problem(&location, "a delta that makes the release", error);
        }
        Ok(())
    }

    /// Reads a file under `content/`; what is wrong with it goes into the report.
    fn content<T>(
        &mut self,
        reference: &ContentReference,
        decode: impl FnOnce(&Verified<&[u8]>) -> Result<T, FormatError>,
    ) -> Result<Option<T>, PublishError> {
        let location = reference.location();
        if self.seen.insert(location.clone()) {
            self.report.files += 1;
            self.report.bytes += reference.length;
        }
        match self.storage.content(reference, decode) {
            Ok(decoded) => Ok(Some(decoded)),
            Err(error) => self.refused(&location, error).map(|()| None),
        }
    }

    /// Reports an error that the repository is to blame for; returns any other.
    fn refused(&mut self, location: &str, error: PublishError) -> Result<(), PublishError> {
        match error {
            PublishError::Storage { .. } | PublishError::Io { .. } | PublishError::Cancelled => {
                return Err(error);
            }
            PublishError::Absent { location } => self.problem(&location, "a file", "none"),
            PublishError::Damaged { location, source } => self.format_problem(&location, &source),
            PublishError::Refused { location, source } => {
                self.problem(&location, "what a device accepts", source);
            }
            other => self.problem(location, "what a device accepts", other),
        }
        Ok(())
    }

    fn format_problem(&mut self, location: &str, error: &FormatError) {
        match error {
            FormatError::WrongLength { expected, found } => {
                self.problem(
                    location,
                    format!("{expected} bytes"),
                    format!("{found} bytes"),
                );
            }
            FormatError::WrongDigest { expected, found } => {
                self.problem(location, format!("the digest {expected}"), found);
            }
            other => self.problem(location, "what its format asks for", other),
        }
    }

    fn problem(&mut self, location: impl ToString, expected: impl ToString, found: impl ToString) {
        let problem = AuditProblem::new(location, expected, found);
        self.report.problems.push(problem);
    }
}

/// Returns the files that the chunks of a release do not make, each with the digest expected and what
/// its chunks give.
fn damaged_files(
    listing: &Listing,
    map: &ChunkMap,
    storage: &dyn Storage,
) -> Result<Vec<(ContentPath, Digest, String)>, PublishError> {
    let mut start = 0_u64;
    let mut files = Vec::with_capacity(listing.entries().len());
    for entry in listing.entries() {
        files.push((start, entry));
        start = start.saturating_add(entry.length);
    }
    let archives = ChunkSource::open(map, &files, storage)?;
    let damaged = files.par_iter().filter_map(|(start, entry)| {
        match archives.copy(*start, entry, &mut std::io::sink()) {
            Ok(found) if found == entry.digest => None,
            Ok(found) => Some((entry.path.clone(), entry.digest, found.to_string())),
            Err(error) => Some((entry.path.clone(), entry.digest, error.to_string())),
        }
    });
    Ok(damaged.collect())
}

/// Nothing to look up is found; what was looked up may not be.
fn transpose<T>(looked_up: Option<Option<T>>) -> Option<Option<T>> {
    match looked_up {
        None => Some(None),
        Some(found) => found.map(Some),
    }
}

/// Compares what a delta says of itself with its line in the catalogue and the tree that it is for.
fn check_plan(
    bytes: &[u8],
    listed: &CatalogueDelta,
    old: &Listing,
    new: &Listing,
    limits: &Limits,
) -> Result<(), (String, String)> {
    let unreadable = |error: diff_core::DeltaError| {
        (
            "a delta from its older release".to_owned(),
            error.to_string(),
        )
    };
    let delta = Delta::parse(bytes, limits).map_err(unreadable)?;
    let plan = delta.plan(old).map_err(unreadable)?;
    let made = plan.files().iter().map(|file| (&file.path, file.length));
    let wanted = new
        .entries()
        .iter()
        .map(|entry| (&entry.path, entry.length));
    if !made.eq(wanted) {
        let expected = "the paths and lengths of the manifest".to_owned();
        return Err((expected, "others".to_owned()));
    }
    if plan.built_bytes() != listed.built_bytes {
        let expected = format!("{} bytes built, as in the catalogue", listed.built_bytes);
        return Err((expected, plan.built_bytes().to_string()));
    }
    let unlisted = plan
        .needs()
        .into_iter()
        .find(|needed| !listed.methods.iter().any(|name| name == needed));
    match unlisted {
        None => Ok(()),
        Some(needed) => {
            let expected = format!("the methods {}", listed.methods.join(", "));
            Err((expected, needed.to_owned()))
        }
    }
}
