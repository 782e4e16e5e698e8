//! The repository: content first, `timestamp.json` last.

use std::io;
use std::path::{Path, PathBuf};

use diff_core::{CancelToken, Digest, Limits};
use release_format::{
    Catalogue, CatalogueRelease, ChannelName, ContentReference, ContentVersion, FormatError, Label,
    Language, LogSubject, Manifest, PackName, Rollout, Share, UtcTime,
};

use tracing::info_span;

use crate::PublishError;
use crate::key_store::KeyStore;
use crate::progress::{PublishProgress, Stage};
use crate::release::delta_build::DeltaSettings;
use crate::release::delta_policy::DeltaFrom;
use crate::release::draft::{DeltaReport, Draft, Drafting};
use crate::release::folder::ContentFolder;
use crate::release::problem::Problem;
use crate::release::routes::{self, Routes};
use crate::repository::record::Action;
use crate::repository::roles::Roles;
use crate::repository::signing::{Change, TargetChange};
use crate::repository::succession::succeeding;
use crate::storage::folder::FolderStorage;
use crate::storage::{Source, Storage};

pub(crate) mod forgetting;
pub(crate) mod location;
pub(crate) mod patching;
pub(crate) mod record;
pub(crate) mod revision;
pub(crate) mod roles;
pub(crate) mod signing;
pub(crate) mod succession;

/// A repository that releases are published into.
///
/// ```no_run
/// use diff_core::CancelToken;
/// use publisher::{KeyStore, PublishOptions, Quiet, Repository};
/// use release_format::{Label, PackName, UtcTime};
///
/// let keys = KeyStore::folder("repository.keys");
/// let now = UtcTime::parse("2026-11-21T00:00:00Z")?;
/// Repository::init("repository", &keys, now)?;
///
/// let repository = Repository::open("repository")?;
/// let pack = PackName::parse("acme/biology-101")?;
/// let options = PublishOptions::new(pack, Label::parse("1.4.0")?, now);
/// let published =
///     repository.publish("course".as_ref(), &keys, &options, &Quiet, &CancelToken::new())?;
/// println!("{}", published.content_version);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Repository {
    storage: Box<dyn Storage>,
    /// Where the repository lies, when that is a folder of this machine.
    folder: Option<PathBuf>,
}

/// What [`Repository::init`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Initialised {
    /// The location of the root that devices pin.
    pub root_location: String,
    /// The signed root itself.
    pub root: Vec<u8>,
    /// Its BLAKE3 digest, to be compared by other means than the network.
    pub root_digest: Digest,
    /// The roles whose keys were made; the others had one.
    pub generated_keys: Vec<String>,
}

/// What is published, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishOptions {
    /// The pack.
    pub pack: PackName,
    /// What the release is called.
    pub label: Label,
    /// The channel that offers it.
    pub channel: ChannelName,
    /// The share of the channel's devices that it is offered to.
    pub share: Share,
    /// Which earlier releases it brings deltas from.
    pub delta_from: DeltaFrom,
    /// How many bytes a delta has to save over the one from nothing to be published.
    pub pays_bytes: u64,
    /// A file that learners and teachers should read.
    pub notes: Option<PathBuf>,
    /// The same in several languages, the first for readers that know of one alone.
    pub translations: Vec<(Language, PathBuf)>,
    /// For how many days devices may go on with the tenant's packs once the timestamp has expired;
    /// `None` leaves it as it is.
    pub offline_grace_days: Option<u32>,
    /// The time to sign; nothing else reads a clock.
    pub now: UtcTime,
    /// How deltas are made.
    pub deltas: DeltaSettings,
}

impl PublishOptions {
    /// Returns the options for a release that the channel `stable` offers to everyone.
    pub fn new(pack: PackName, label: Label, now: UtcTime) -> PublishOptions {
        PublishOptions {
            pack,
            label,
            channel: ChannelName::default(),
            share: Share::FULL,
            delta_from: DeltaFrom::default(),
            pays_bytes: 0,
            notes: None,
            translations: Vec::new(),
            offline_grace_days: None,
            now,
            deltas: DeltaSettings::default(),
        }
    }
}

/// What [`Repository::publish`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Whether there is a new release.
    pub outcome: Outcome,
    /// What an LMS stores beside a learner's attempt.
    pub content_version: ContentVersion,
    /// The number of the release.
    pub sequence: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Bytes of its files.
    pub tree_bytes: u64,
    /// How many files it has.
    pub files: u64,
    /// What each older release will download, the one from nothing first.
    pub deltas: Vec<DeltaReport>,
    /// What each older release of the pack will download, the newest first: by a delta, by several, or
    /// from nothing, whichever is the fewest bytes.
    pub downloads: Vec<(Label, u64)>,
    /// Bytes of all content that it adds to the repository.
    pub stored_bytes: u64,
    /// Bytes of the archives among them.
    pub archive_bytes: u64,
    /// Whether the tenant is new, and was delegated to.
    pub delegated: bool,
    /// The roles whose keys were made.
    pub generated_keys: Vec<String>,
    /// Problems of the folder that do not stop a release.
    pub problems: Vec<Problem>,
    /// What else people should hear of.
    pub warnings: Vec<String>,
}

/// Whether there is a new release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is.
    New,
    /// The folder is what the latest release holds already, and nothing was written.
    Unchanged,
}

impl Repository {
    /// Makes a new repository in the folder at `path`, with a root of one key, and the keys that
    /// `keys` lacks.
    ///
    /// # Errors
    /// [`PublishError::RepositoryExists`] when there is one.
    pub fn init(
        path: impl Into<PathBuf>,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<Initialised, PublishError> {
        let path = path.into();
        let storage = FolderStorage::new(&path);
        refuse_inside(&path, keys.path())?;
        Repository::init_in(&storage, keys, now)
    }

    /// Makes a new repository in any storage; see [`Repository::init`].
    ///
    /// # Errors
    /// [`PublishError::RepositoryExists`] when there is one.
    pub fn init_in(
        storage: &dyn Storage,
        keys: &KeyStore,
        now: UtcTime,
    ) -> Result<Initialised, PublishError> {
        let _lock = storage.lock()?;
        if storage.get(roles::TIMESTAMP_LOCATION)?.is_some() {
            return Err(PublishError::RepositoryExists {
                repository: storage.address(),
            });
        }
        let (files, generated_keys) = Roles::first(storage, keys, now)?;
        let root = files
            .file(roles::FIRST_ROOT_LOCATION)
            .expect("the first metadata has a root")
            .to_vec();
        files.store(storage)?;
        Ok(Initialised {
            root_location: roles::FIRST_ROOT_LOCATION.to_owned(),
            root_digest: Digest::of(&root),
            root,
            generated_keys,
        })
    }

    /// Opens the repository in the folder at `path`.
    ///
    /// # Errors
    /// [`PublishError::NotARepository`] when there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Repository, PublishError> {
        let path = path.into();
        let storage = FolderStorage::new(&path);
        let mut repository = Repository::open_in(Box::new(storage))?;
        repository.folder = Some(path);
        Ok(repository)
    }

    /// Opens the repository in any storage.
    ///
    /// # Errors
    /// [`PublishError::NotARepository`] when there is none.
    pub fn open_in(storage: Box<dyn Storage>) -> Result<Repository, PublishError> {
        for location in [roles::FIRST_ROOT_LOCATION, roles::TIMESTAMP_LOCATION] {
            if storage.get(location)?.is_none() {
                return Err(PublishError::NotARepository {
                    repository: storage.address(),
                    missing: location.to_owned(),
                });
            }
        }
        Ok(Repository {
            storage,
            folder: None,
        })
    }

    /// Returns the folder that the repository lies in, when it is one of this machine.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns where the repository lies.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Returns the names of the packs, in their order.
    ///
    /// # Errors
    /// [`PublishError`] when the repository's metadata cannot be read.
    pub fn packs(&self) -> Result<Vec<PackName>, PublishError> {
        Ok(Roles::load(&*self.storage)?.packs())
    }

    /// Returns the releases of a pack.
    ///
    /// # Errors
    /// [`PublishError::UnknownPack`] when it has none.
    pub fn catalogue(&self, pack: &PackName) -> Result<Catalogue, PublishError> {
        Roles::load(&*self.storage)?
            .catalogue(&*self.storage, pack)?
            .ok_or_else(|| PublishError::UnknownPack { pack: pack.clone() })
    }

    /// Returns what the channels of a pack offer, in the order of their names.
    ///
    /// # Errors
    /// [`PublishError`] when the repository cannot be read.
    pub fn rollouts(&self, pack: &PackName) -> Result<Vec<Rollout>, PublishError> {
        Roles::load(&*self.storage)?.rollouts(&*self.storage, pack)
    }

    /// Returns the manifest of a release.
    ///
    /// # Errors
    /// [`PublishError::UnknownLabel`] when there is no such release.
    pub fn manifest(&self, pack: &PackName, label: &Label) -> Result<Manifest, PublishError> {
        let catalogue = self.catalogue(pack)?;
        let release = catalogue
            .labelled(label)
            .ok_or_else(|| PublishError::UnknownLabel {
                pack: pack.clone(),
                label: label.clone(),
            })?;
        self.storage.content(&release.manifest, |bytes| {
            Manifest::decode(bytes, &Limits::standard())
        })
    }

    /// Returns a document that a catalogue names: notes, a list of contents or a statement of origin.
    ///
    /// # Errors
    /// [`PublishError::Absent`] and [`PublishError::Damaged`].
    pub fn document(&self, reference: &ContentReference) -> Result<Vec<u8>, PublishError> {
        self.storage
            .content(reference, |bytes| Ok(bytes.get().to_vec()))
    }

    /// Publishes `folder` as the next release of a pack.
    ///
    /// Content is written first, then targets, then metadata, `timestamp.json` last, each durable before
    /// the next: an interrupted publish leaves the repository as it was, and files that nothing refers
    /// to.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is published then.
    pub fn publish(
        &self,
        folder: &Path,
        keys: &KeyStore,
        options: &PublishOptions,
        progress: &dyn PublishProgress,
        cancel: &CancelToken,
    ) -> Result<Published, PublishError> {
        let _span = info_span!("publish", pack = %options.pack, release = %options.label).entered();
        refuse_inside(folder, keys.path())?;
        if let Some(repository) = &self.folder {
            refuse_inside(folder, repository)?;
        }
        let _lock = self.storage.lock()?;
        let roles = Roles::load(&*self.storage)?;
        let catalogue = roles.catalogue(&*self.storage, &options.pack)?;
        refuse_known_label(catalogue.as_ref(), options)?;

        let scanned = ContentFolder::scan(folder)?;
        let stage = Stage::begin(progress, "digests", scanned.report().bytes);
        let listing = scanned.listing(&Limits::standard(), &stage, cancel)?;
        let problems = scanned.report().problems.clone();
        if let Some(latest) = catalogue.as_ref().and_then(Catalogue::latest) {
            let manifest = self.storage.content(&latest.manifest, |bytes| {
                Manifest::decode(bytes, &Limits::standard())
            })?;
            if *manifest.listing() == listing {
                let warnings = self.unoffered(&roles, options, &manifest)?;
                return Ok(unchanged(&manifest, problems, warnings));
            }
        }
        // Before the long work: a missing key should not cost it.
        let signing = roles.signing(&options.pack, &options.channel, keys)?;

        let drafting = Drafting {
            pack: &options.pack,
            label: &options.label,
            catalogue: catalogue.as_ref(),
            folder,
            listing: &listing,
            delta_from: &options.delta_from,
            pays_bytes: options.pays_bytes,
            deltas: &options.deltas,
            notes: options.notes.as_deref(),
            translations: &options.translations,
            now: options.now,
            storage: &*self.storage,
            listener: progress,
            cancel,
        };
        let draft = info_span!("publish.draft").in_scope(|| drafting.make())?;
        let downloads = downloads(catalogue.as_ref(), &draft.release);
        let rollouts = roles.rollouts(&*self.storage, &options.pack)?;
        let drafted = (&draft, roles.rollout_role(&options.pack, &options.channel));
        let targets =
            targets(catalogue, &rollouts, drafted, options).map_err(PublishError::Format)?;
        let change = Change {
            pack: &options.pack,
            targets: &targets,
            offline_grace_days: options.offline_grace_days,
            action: publishing(options, &draft),
        };
        let files = roles.changed(&*self.storage, &signing, change, options.now)?;
        cancel.check()?;

        let _storing = info_span!("publish.store", bytes = draft.stored_bytes()).entered();
        draft.store(&*self.storage)?;
        self.storage.sync()?;
        for target in &targets {
            let source = Source::Bytes(&target.bytes);
            self.storage.put_if_absent(&target.location(), source)?;
        }
        self.storage.sync()?;
        files.store(&*self.storage)?;

        Ok(Published {
            outcome: Outcome::New,
            content_version: draft.manifest.content_version(),
            sequence: draft.release.sequence,
            manifest: draft.manifest.digest(),
            tree_bytes: draft.release.tree_bytes,
            files: draft.release.files,
            stored_bytes: draft.stored_bytes(),
            archive_bytes: draft.archive_bytes(),
            downloads,
            deltas: draft.deltas,
            delegated: signing.delegates(),
            generated_keys: signing.generated_keys(),
            problems,
            warnings: draft.warnings,
        })
    }

    /// Returns a warning when the channel does not offer what the folder holds: nothing is written, so
    /// nothing will.
    fn unoffered(
        &self,
        roles: &Roles,
        options: &PublishOptions,
        latest: &Manifest,
    ) -> Result<Vec<String>, PublishError> {
        let (pack, channel) = (&options.pack, &options.channel);
        let offered = roles.rollout(&*self.storage, pack, channel)?;
        if offered.is_some_and(|rollout| rollout.release == latest.digest()) {
            return Ok(Vec::new());
        }
        let label = latest.label();
        Ok(vec![format!(
            "{label} holds the same content, and the channel {channel} does not offer it"
        )])
    }
}

fn refuse_known_label(
    catalogue: Option<&Catalogue>,
    options: &PublishOptions,
) -> Result<(), PublishError> {
    match catalogue.and_then(|catalogue| catalogue.labelled(&options.label)) {
        None => Ok(()),
        Some(release) => Err(PublishError::LabelExists {
            pack: options.pack.clone(),
            label: options.label.clone(),
            sequence: release.sequence,
        }),
    }
}

/// Refuses a folder that is published and holds what must not be.
pub(crate) fn refuse_inside(folder: &Path, inside: &Path) -> Result<(), PublishError> {
    let resolve = |path| resolved(path).map_err(|error| PublishError::io("find", path, error));
    if resolve(inside)?.starts_with(resolve(folder)?) {
        return Err(PublishError::FolderHolds {
            folder: folder.to_owned(),
            inside: inside.to_owned(),
        });
    }
    Ok(())
}

/// Returns where a path leads. What is not there yet has no other name than the one given; what it is to
/// lie in has, and on Windows is spelled in another way.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut folders = path.ancestors();
    let found = folders.find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
    Ok(match found {
        Some((folder, real)) => real.join(path.strip_prefix(folder).unwrap_or(&path)),
        None => path,
    })
}

fn unchanged(manifest: &Manifest, problems: Vec<Problem>, warnings: Vec<String>) -> Published {
    Published {
        outcome: Outcome::Unchanged,
        content_version: manifest.content_version(),
        sequence: manifest.sequence(),
        manifest: manifest.digest(),
        tree_bytes: manifest.listing().total_bytes(),
        files: manifest.listing().entries().len() as u64,
        deltas: Vec::new(),
        downloads: Vec::new(),
        stored_bytes: 0,
        archive_bytes: 0,
        delegated: false,
        generated_keys: Vec::new(),
        problems,
        warnings,
    }
}

/// Returns what each older release costs to bring to the new one, the newest first.
fn downloads(catalogue: Option<&Catalogue>, new: &CatalogueRelease) -> Vec<(Label, u64)> {
    let Some(catalogue) = catalogue else {
        return Vec::new();
    };
    let mut hops = routes::hops(&catalogue.releases);
    hops.extend(routes::hops(std::slice::from_ref(new)));
    let routes = Routes::to(new.manifest.digest, &hops);
    let older = catalogue.releases.iter().rev();
    older
        .filter_map(|release| {
            let bytes = routes.bytes(Some(release.manifest.digest))?;
            Some((release.label.clone(), bytes))
        })
        .collect()
}

/// Returns the catalogue with the new release, and the rollout that offers it.
fn targets(
    catalogue: Option<Catalogue>,
    rollouts: &[Rollout],
    (draft, rollout_role): (&Draft, String),
    options: &PublishOptions,
) -> Result<[TargetChange; 2], FormatError> {
    let (pack, channel) = (&options.pack, &options.channel);
    let mut catalogue = catalogue.unwrap_or_else(|| Catalogue {
        pack: pack.clone(),
        releases: Vec::new(),
    });
    catalogue.releases.push(draft.release.clone());
    let is_of_channel = |rollout: &&Rollout| rollout.channel == options.channel;
    let before = rollouts.iter().find(is_of_channel);
    let release = (draft.manifest.digest(), &options.label);
    let rollout = Rollout {
        share: options.share,
        ..succeeding((pack, channel), release, before, &catalogue, options.now)
    };
    let others = rollouts.iter().filter(|other| !is_of_channel(other));
    forgetting::forget(&mut catalogue, others.chain([&rollout]));
    Ok([
        TargetChange {
            role: pack.content_role(),
            path: pack.catalogue_target(),
            bytes: catalogue.encode()?,
        },
        TargetChange {
            role: rollout_role,
            path: pack.rollout_target(channel),
            bytes: rollout.encode()?,
        },
    ])
}

/// Returns what the log tells of a release.
fn publishing(options: &PublishOptions, draft: &Draft) -> Action {
    let subject = LogSubject {
        pack: Some(options.pack.clone()),
        release: Some(options.label.clone()),
        manifest: Some(draft.manifest.digest()),
        channel: Some(options.channel.clone()),
        reason: None,
    };
    let offered = format!(
        "{} offers {} to {}",
        options.channel, options.label, options.share
    );
    Action::new("publish", subject).told([offered])
}
