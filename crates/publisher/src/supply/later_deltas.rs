use std::collections::HashMap;
use std::path::{Path, PathBuf};

use diff_core::{CancelToken, Digest, Tree};
use release_format::{
    Catalogue, CatalogueDelta, CatalogueRelease, Label, LogSubject, PackName, UtcTime,
};

use crate::PublishError;
use crate::key_store::KeyStore;
use crate::progress::PublishProgress;
use crate::release::delta_build::{BuiltDelta, DeltaBuilder, DeltaSettings, OldTree};
use crate::release::delta_policy::pays;
use crate::release::earlier::EarlierTree;
use crate::repository::Repository;
use crate::repository::record::Action;
use crate::repository::roles::Roles;
use crate::storage::{Source, Storage};

/// Which deltas [`Repository::add_deltas`] adds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddDeltasOptions {
    /// The pack.
    pub pack: PackName,
    /// The releases that they start from.
    pub from: Vec<Label>,
    /// The release that they lead to; the newest that is not withdrawn unless given.
    pub to: Option<Label>,
    /// How they are made.
    pub deltas: DeltaSettings,
    /// The time to sign.
    pub now: UtcTime,
}

impl AddDeltasOptions {
    /// Returns the options that add deltas from these releases to the newest one.
    pub fn new(pack: PackName, from: Vec<Label>, now: UtcTime) -> AddDeltasOptions {
        AddDeltasOptions {
            pack,
            from,
            to: None,
            deltas: DeltaSettings::default(),
            now,
        }
    }
}

/// A delta that was asked for by [`Repository::add_deltas`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddedDelta {
    /// The release that it starts from.
    pub from: Label,
    /// The release that it leads to.
    pub to: Label,
    /// Its length; none when it would be over 1 GiB.
    pub bytes: Option<u64>,
    /// What a device fetched instead of it.
    pub from_nothing_bytes: Option<u64>,
    /// What became of it.
    pub outcome: DeltaOutcome,
}

/// What became of a delta that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaOutcome {
    /// It is published.
    Added,
    /// It was published before.
    There,
    /// It is not shorter than the delta from nothing, or too long to publish.
    Useless,
}

impl Repository {
    /// Adds deltas to a release that is published: they are built from the repository's own archives,
    /// applied once, and listed in a new version of the catalogue.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is published then.
    pub fn add_deltas(
        &self,
        keys: &KeyStore,
        options: &AddDeltasOptions,
        progress: &dyn PublishProgress,
        cancel: &CancelToken,
    ) -> Result<Vec<AddedDelta>, PublishError> {
        let storage = self.storage();
        let pack = &options.pack;
        let _span = tracing::info_span!("deltas.add", %pack).entered();
        let _lock = storage.lock()?;
        let roles = Roles::load(storage)?;
        let catalogue = roles.catalogue(storage, pack)?;
        let mut catalogue =
            catalogue.ok_or_else(|| PublishError::UnknownPack { pack: pack.clone() })?;
        let to = destination(&catalogue, options.to.as_ref())?.clone();
        let from: Vec<CatalogueRelease> = options
            .from
            .iter()
            .map(|label| labelled(&catalogue, label).cloned())
            .collect::<Result<_, _>>()?;
        // Before the long work: a missing key should not cost it.
        let signing = roles.signing_content(pack, keys)?;

        let scratch = storage.scratch()?;
        let none = HashMap::new();
        let bench = Bench::open(storage, &to, &scratch, &none, cancel)?;
        let from_nothing_bytes = from_nothing_bytes(&to);
        let mut added = Vec::new();
        let mut built = Vec::new();
        for old in from.iter().filter(|old| old.sequence != to.sequence) {
            let listed = listed(&to, &old.manifest.digest);
            let (bytes, outcome) = match listed {
                Some(listed) => (Some(listed.content.length), DeltaOutcome::There),
                None => match bench.build(old, &options.deltas, progress, cancel)? {
                    Some(delta) if pays(delta.content.length, from_nothing_bytes, 0) => {
                        let bytes = delta.content.length;
                        built.push((old.manifest.digest, delta));
                        (Some(bytes), DeltaOutcome::Added)
                    }
                    Some(delta) => (Some(delta.content.length), DeltaOutcome::Useless),
                    None => (None, DeltaOutcome::Useless),
                },
            };
            added.push(AddedDelta {
                from: old.label.clone(),
                to: to.label.clone(),
                bytes,
                from_nothing_bytes,
                outcome,
            });
        }
        if built.is_empty() {
            return Ok(added);
        }
        let mut releases = catalogue.releases.iter_mut();
        if let Some(release) = releases.find(|release| release.sequence == to.sequence) {
            let deltas = built.iter().map(|(from, delta)| CatalogueDelta {
                from: Some(*from),
                content: delta.content,
                built_bytes: delta.built_bytes,
                methods: delta.methods.clone(),
            });
            release.deltas.extend(deltas);
        }
        for (_, delta) in &built {
            let source = Source::Scratch(&delta.file);
            storage.put_if_absent(&delta.content.location(), source)?;
        }
        storage.sync()?;
        let subject = LogSubject {
            pack: Some(pack.clone()),
            release: Some(to.label.clone()),
            manifest: Some(to.manifest.digest),
            ..LogSubject::default()
        };
        let new = added
            .iter()
            .filter(|delta| delta.outcome == DeltaOutcome::Added);
        let told = new.map(|delta| format!("a delta from {}", delta.from));
        let action = Action::new("deltas-add", subject).told(told);
        roles.store_catalogue(storage, &signing, &catalogue, action, options.now)?;
        Ok(added)
    }
}

/// A published release, rebuilt to be the new side of deltas.
pub(crate) struct Bench<'a> {
    storage: &'a dyn Storage,
    new: EarlierTree<'a>,
    scratch: PathBuf,
    none: &'a HashMap<Digest, PathBuf>,
}

impl<'a> Bench<'a> {
    pub(crate) fn open(
        storage: &'a dyn Storage,
        to: &CatalogueRelease,
        scratch: &Path,
        none: &'a HashMap<Digest, PathBuf>,
        cancel: &CancelToken,
    ) -> Result<Bench<'a>, PublishError> {
        let rebuilt = scratch.join(REBUILT);
        Ok(Bench {
            new: EarlierTree::of_release(to, storage, none, &rebuilt, cancel)?,
            storage,
            scratch: scratch.to_owned(),
            none,
        })
    }

    /// Builds and proves the delta from an older release; none when it would be too long to publish.
    pub(crate) fn build(
        &self,
        from: &CatalogueRelease,
        settings: &DeltaSettings,
        listener: &dyn PublishProgress,
        cancel: &CancelToken,
    ) -> Result<Option<BuiltDelta>, PublishError> {
        let rebuilt = self.scratch.join(REBUILT);
        let old = EarlierTree::of_release(from, self.storage, self.none, &rebuilt, cancel)?;
        let builder = DeltaBuilder {
            new: Tree {
                listing: self.new.listing(),
                contents: &self.new,
            },
            settings,
            scratch: &self.scratch,
            listener,
            cancel,
        };
        builder.build(OldTree {
            tree: Tree {
                listing: old.listing(),
                contents: &old,
            },
            label: Some(from.label.as_str()),
        })
    }
}

/// Returns the release with a label, or the newest that is not withdrawn.
pub(crate) fn destination<'a>(
    catalogue: &'a Catalogue,
    label: Option<&Label>,
) -> Result<&'a CatalogueRelease, PublishError> {
    match label {
        Some(label) => labelled(catalogue, label),
        None => catalogue.latest().ok_or_else(|| PublishError::UnknownPack {
            pack: catalogue.pack.clone(),
        }),
    }
}

fn labelled<'a>(
    catalogue: &'a Catalogue,
    label: &Label,
) -> Result<&'a CatalogueRelease, PublishError> {
    catalogue
        .labelled(label)
        .ok_or_else(|| PublishError::UnknownLabel {
            pack: catalogue.pack.clone(),
            label: label.clone(),
        })
}

/// Returns the delta to a release from the one with this manifest.
pub(crate) fn listed<'a>(to: &'a CatalogueRelease, from: &Digest) -> Option<&'a CatalogueDelta> {
    to.deltas
        .iter()
        .find(|delta| delta.from.as_ref() == Some(from))
}

pub(crate) fn from_nothing_bytes(to: &CatalogueRelease) -> Option<u64> {
    let mut deltas = to.deltas.iter();
    let found = deltas.find(|delta| delta.from.is_none());
    found.map(|delta| delta.content.length)
}

/// Below the scratch folder.
const REBUILT: &str = "rebuilt";
