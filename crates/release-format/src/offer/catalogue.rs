use std::collections::BTreeSet;

use diff_core::Digest;
use serde::{Deserialize, Serialize};

use crate::content::chunk_map::ChunkMap;
use crate::offer::json;
use crate::{ContentReference, Document, FormatError, Label, PackName, UtcTime, Verified};

/// Every release of one pack: where its bytes are, and what leads to it from the others.
///
/// A catalogue is a signed target; everything that it names is believed by the digest that it gives.
/// Withdrawn releases stay listed, since chains of deltas may run through them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// The pack.
    pub pack: PackName,
    /// Its releases in the order of their sequence numbers.
    pub releases: Vec<CatalogueRelease>,
}

impl Catalogue {
    /// The longest catalogue, in bytes.
    pub const MAX_BYTES: u64 = 32 << 20;
    /// The most releases of one pack.
    pub const MAX_RELEASES: usize = 10_000;
    /// The most deltas of one pack, to all of its releases together.
    pub const MAX_DELTAS: usize = 100_000;

    /// Returns the catalogue that the bytes hold.
    ///
    /// # Errors
    /// [`FormatError`] names the first rule that the bytes break.
    pub fn decode<T: AsRef<[u8]>>(bytes: &Verified<T>) -> Result<Catalogue, FormatError> {
        let wire: WireCatalogue = json::read(
            Document::Catalogue,
            bytes.get().as_ref(),
            Catalogue::MAX_BYTES,
        )?;
        let catalogue = Catalogue {
            pack: wire.pack,
            releases: wire.releases,
        };
        catalogue.check()?;
        Ok(catalogue)
    }

    /// Returns the bytes that are signed: canonical JSON.
    ///
    /// # Errors
    /// [`FormatError`] when [`Catalogue::decode`] would refuse them.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        let bytes = json::write(&WireCatalogue {
            schema: json::SCHEMA,
            pack: self.pack.clone(),
            releases: self.releases.clone(),
        });
        at_most("bytes", bytes.len() as u64, Catalogue::MAX_BYTES)?;
        Ok(bytes)
    }

    /// Returns this catalogue if it is the one of `pack`: a target of one pack may not speak for
    /// another.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] with both names.
    pub fn expect_pack(self, pack: &PackName) -> Result<Catalogue, FormatError> {
        if self.pack == *pack {
            Ok(self)
        } else {
            Err(malformed("pack", pack.as_str(), self.pack.as_str()))
        }
    }

    /// Returns the release with this manifest.
    pub fn release(&self, manifest: &Digest) -> Option<&CatalogueRelease> {
        self.releases
            .iter()
            .find(|release| release.manifest.digest == *manifest)
    }

    /// Returns the release with this label.
    pub fn labelled(&self, label: &Label) -> Option<&CatalogueRelease> {
        self.releases.iter().find(|release| release.label == *label)
    }

    /// Returns the newest release that is not withdrawn.
    pub fn latest(&self) -> Option<&CatalogueRelease> {
        self.releases
            .iter()
            .rev()
            .find(|release| release.status == ReleaseStatus::Offered)
    }

    /// Returns the sequence number of the next release, one above the newest, withdrawn or not.
    pub fn next_sequence(&self) -> u64 {
        self.releases
            .last()
            .map_or(1, |release| release.sequence.saturating_add(1))
    }

    /// Returns the deltas that lead to the release with this manifest.
    pub fn deltas_to(&self, manifest: &Digest) -> &[CatalogueDelta] {
        self.release(manifest)
            .map_or(&[], |release| release.deltas.as_slice())
    }

    /// Returns the deltas that lead from one release, or from nothing, to another.
    pub fn deltas_between(
        &self,
        from: Option<Digest>,
        to: &Digest,
    ) -> impl Iterator<Item = &CatalogueDelta> {
        self.deltas_to(to)
            .iter()
            .filter(move |delta| delta.from == from)
    }

    fn check(&self) -> Result<(), FormatError> {
        let deltas = self.releases.iter().map(|release| release.deltas.len());
        at_most(
            "releases",
            self.releases.len() as u64,
            Catalogue::MAX_RELEASES as u64,
        )?;
        at_most(
            "deltas",
            deltas.sum::<usize>() as u64,
            Catalogue::MAX_DELTAS as u64,
        )?;
        let mut sequence = 0;
        let mut labels = BTreeSet::new();
        let mut manifests = BTreeSet::new();
        for release in &self.releases {
            let place = format!("the release {}", release.label);
            if release.sequence <= sequence {
                return Err(malformed(
                    place,
                    format!("a sequence number above {sequence}"),
                    release.sequence.to_string(),
                ));
            }
            sequence = release.sequence;
            if !labels.insert(&release.label) {
                return Err(malformed(place, "each label once", "it twice"));
            }
            if !manifests.insert(release.manifest.digest) {
                return Err(malformed(
                    place,
                    "a manifest of its own",
                    release.manifest.digest.to_string(),
                ));
            }
            release.check()?;
        }
        for release in &self.releases {
            for delta in &release.deltas {
                delta.check(release, &manifests)?;
            }
        }
        Ok(())
    }
}

/// One release as its pack's catalogue lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueRelease {
    /// What the release is called.
    pub label: Label,
    /// Its number, which grows with each release of the pack.
    pub sequence: u64,
    /// Its manifest, whose digest is its identity.
    pub manifest: ContentReference,
    /// When it was published.
    pub published: UtcTime,
    /// Bytes of all its files.
    pub tree_bytes: u64,
    /// How many files it has.
    pub files: u64,
    /// Where its chunks lie.
    pub chunk_map: ContentReference,
    /// The archives that its chunks lie in.
    pub archives: Vec<ContentReference>,
    /// What leads to it.
    pub deltas: Vec<CatalogueDelta>,
    /// What learners and teachers should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<ContentReference>,
    /// Whether it may be offered.
    pub status: ReleaseStatus,
}

impl CatalogueRelease {
    fn check(&self) -> Result<(), FormatError> {
        at_most("files of a release", self.files, json::MAX_INTEGER)?;
        at_most("bytes of a tree", self.tree_bytes, json::MAX_INTEGER)?;
        at_most("the sequence number", self.sequence, json::MAX_INTEGER)?;
        at_most(
            "archives of a release",
            self.archives.len() as u64,
            ChunkMap::MAX_ARCHIVES,
        )?;
        let deltas = self.deltas.iter().map(|delta| &delta.content);
        let content = [&self.manifest, &self.chunk_map];
        for reference in content
            .into_iter()
            .chain(&self.archives)
            .chain(&self.notes)
            .chain(deltas)
        {
            at_most(
                "bytes of a content file",
                reference.length,
                ContentReference::MAX_LENGTH,
            )?;
        }
        match &self.status {
            ReleaseStatus::Withdrawn { reason } if !is_line(reason) => Err(malformed(
                format!("the release {}", self.label),
                format!("a reason of one line, {MAX_REASON_BYTES} bytes at most"),
                format!("{} bytes", reason.len()),
            )),
            _ => Ok(()),
        }
    }
}

/// A delta as the release that it leads to lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueDelta {
    /// The manifest of the release that it starts from; none when it starts from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// The delta.
    pub content: ContentReference,
    /// Bytes that applying it writes anew: what is not linked from the older release.
    pub built_bytes: u64,
    /// The names of the methods that a device needs to apply it.
    pub methods: Vec<String>,
}

impl CatalogueDelta {
    fn check(
        &self,
        to: &CatalogueRelease,
        manifests: &BTreeSet<Digest>,
    ) -> Result<(), FormatError> {
        let place = || format!("the delta {} to {}", self.content.digest, to.label);
        at_most("bytes to build", self.built_bytes, json::MAX_INTEGER)?;
        if let Some(from) = self.from
            && (from == to.manifest.digest || !manifests.contains(&from))
        {
            return Err(malformed(
                place(),
                "another release of the catalogue to start from",
                from.to_string(),
            ));
        }
        let plain = |name: &String| {
            (1..=MAX_METHOD_BYTES).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let count = self.methods.len();
        if !(1..=MAX_METHODS).contains(&count) || !self.methods.iter().all(plain) {
            return Err(malformed(
                place(),
                format!("1 to {MAX_METHODS} names of methods, each of a-z 0-9 -"),
                format!("{count}"),
            ));
        }
        Ok(())
    }
}

/// Whether a release may be offered to devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ReleaseStatus {
    /// It may.
    Offered,
    /// It may not any more, and devices that have it should leave it.
    Withdrawn {
        /// Why, in one line for people; may be empty.
        reason: String,
    },
}

/// The whole as it is written.
#[derive(Serialize, Deserialize)]
struct WireCatalogue {
    schema: u64,
    pack: PackName,
    releases: Vec<CatalogueRelease>,
}

fn is_line(text: &str) -> bool {
    text.len() <= MAX_REASON_BYTES && !text.chars().any(char::is_control)
}

fn at_most(what: &'static str, claimed: u64, limit: u64) -> Result<(), FormatError> {
    if claimed <= limit {
        return Ok(());
    }
    Err(FormatError::Limit {
        document: Document::Catalogue,
        what,
        claimed,
        limit,
    })
}

fn malformed(
    place: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> FormatError {
    FormatError::malformed(Document::Catalogue, place, expected, found)
}

const MAX_REASON_BYTES: usize = 1000;
const MAX_METHODS: usize = 16;
const MAX_METHOD_BYTES: usize = 32;
