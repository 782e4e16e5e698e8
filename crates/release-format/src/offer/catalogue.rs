use std::collections::{BTreeMap, BTreeSet};

use diff_core::Digest;
use serde::{Deserialize, Serialize};

use crate::content::chunk_map::ChunkMap;
use crate::json::MAX_INTEGER;
use crate::offer::json;
use crate::{
    ContentReference, Document, FormatError, Label, Language, PackName, UtcTime, Verified,
};

/// Every release of one pack: where its bytes are, and what leads to it from the others.
///
/// A catalogue is a signed target; everything that it names is believed by the digest that it gives.
/// Withdrawn releases stay listed, since chains of deltas may run through them.
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/catalogue.md")]
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
    /// The same in other languages, by their tags; the one that stands as `notes` among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub translations: BTreeMap<Language, ContentReference>,
    /// How it came to be: an in-toto statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<ContentReference>,
    /// What it contains: a CycloneDX list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<ContentReference>,
    /// Whether it may be offered.
    pub status: ReleaseStatus,
}

impl CatalogueRelease {
    /// Returns what people and auditors read of it: notes, provenance and list of contents.
    pub fn documents(&self) -> impl Iterator<Item = &ContentReference> {
        self.texts().chain(&self.provenance).chain(&self.sbom)
    }

    /// Returns the notes in every language, some of them perhaps twice.
    pub fn texts(&self) -> impl Iterator<Item = &ContentReference> {
        self.notes.iter().chain(self.translations.values())
    }

    fn check(&self) -> Result<(), FormatError> {
        at_most("files of a release", self.files, MAX_INTEGER)?;
        at_most("bytes of a tree", self.tree_bytes, MAX_INTEGER)?;
        at_most("the sequence number", self.sequence, MAX_INTEGER)?;
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
            .chain(self.documents())
            .chain(deltas)
        {
            at_most(
                "bytes of a content file",
                reference.length,
                ContentReference::MAX_LENGTH,
            )?;
        }
        at_most(
            "languages of a release's notes",
            self.translations.len() as u64,
            MAX_LANGUAGES,
        )?;
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
        at_most("bytes to build", self.built_bytes, MAX_INTEGER)?;
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
/// More than there are textbooks in.
const MAX_LANGUAGES: u64 = 200;
const MAX_METHODS: usize = 16;
const MAX_METHOD_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worked_example;

    fn decode(bytes: &[u8]) -> Result<Catalogue, FormatError> {
        Catalogue::decode(&Verified::new(bytes, &ContentReference::of(bytes)).unwrap())
    }

    fn documented() -> Catalogue {
        let document = include_str!("../../../../docs/src/formats/catalogue.md");
        decode(worked_example::json(document).as_bytes()).unwrap()
    }

    /// Asserts that neither side takes the documented catalogue once it is changed like this.
    fn assert_refused(change: impl FnOnce(&mut Catalogue), expected: &str) {
        let mut catalogue = documented();
        change(&mut catalogue);
        let written = json::write(&WireCatalogue {
            schema: json::SCHEMA,
            pack: catalogue.pack.clone(),
            releases: catalogue.releases.clone(),
        });
        for refused in [
            catalogue.encode().map(|_| ()).unwrap_err(),
            decode(&written).map(|_| ()).unwrap_err(),
        ] {
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }

    #[test]
    fn documented_example_decodes() {
        let catalogue = documented();
        let [spring, autumn] = &catalogue.releases[..] else {
            panic!("two releases");
        };
        assert_eq!(spring.label.as_str(), "2026-spring");
        assert!(matches!(
            &spring.status,
            ReleaseStatus::Withdrawn { reason } if reason == "unit 1 shows the answers"
        ));
        assert_eq!(autumn.published.to_string(), "2026-09-01T08:00:00Z");
        assert_eq!(autumn.deltas[0].from, None);
        assert_eq!(autumn.deltas[1].from, Some(spring.manifest.digest));
        assert_eq!(autumn.deltas[1].methods, ["bsdiff", "zstd"]);
    }

    #[test]
    fn catalogue_reads_as_it_is_written_and_is_written_canonically() {
        let catalogue = documented();
        let bytes = catalogue.encode().unwrap();
        assert!(!bytes.contains(&b'\n'));
        assert!(bytes.starts_with(b"{\"pack\":"));
        assert_eq!(decode(&bytes).as_ref(), Ok(&catalogue));
        assert_eq!(decode(&bytes).unwrap().encode().unwrap(), bytes);
    }

    #[test]
    fn releases_are_found() {
        let catalogue = documented();
        let [spring, autumn] = &catalogue.releases[..] else {
            panic!("two releases");
        };
        let (old, new) = (spring.manifest.digest, autumn.manifest.digest);
        assert_eq!(catalogue.release(&new), Some(autumn));
        assert_eq!(catalogue.release(&Digest::of(b"none")), None);
        assert_eq!(catalogue.labelled(&spring.label), Some(spring));
        assert_eq!(catalogue.latest(), Some(autumn));
        assert_eq!(catalogue.next_sequence(), 301);
        assert_eq!(catalogue.deltas_to(&new).len(), 2);
        assert_eq!(catalogue.deltas_to(&Digest::of(b"none")), []);
        let direct: Vec<_> = catalogue.deltas_between(Some(old), &new).collect();
        assert_eq!(direct, [&autumn.deltas[1]]);
        let first: Vec<_> = catalogue.deltas_between(None, &new).collect();
        assert_eq!(first, [&autumn.deltas[0]]);
    }

    #[test]
    fn withdrawn_release_is_never_the_latest() {
        let mut catalogue = documented();
        catalogue.releases[1].status = ReleaseStatus::Withdrawn {
            reason: String::new(),
        };
        assert_eq!(catalogue.latest(), None);
        assert_eq!(catalogue.next_sequence(), 301);
        assert!(catalogue.encode().is_ok());
        catalogue.releases.clear();
        assert_eq!(catalogue.next_sequence(), 1);
    }

    #[test]
    fn catalogue_of_another_pack_is_refused() {
        let pack = PackName::parse("acme/biology-101").unwrap();
        assert!(documented().expect_pack(&pack).is_ok());
        let other = PackName::parse("acme/chemistry").unwrap();
        assert!(matches!(
            documented().expect_pack(&other),
            Err(FormatError::Malformed { .. })
        ));
    }

    #[test]
    fn sequences_must_increase() {
        assert_refused(|c| c.releases[1].sequence = 299, "above 299");
        assert_refused(|c| c.releases[1].sequence = 1, "above 299");
        assert_refused(|c| c.releases[0].sequence = 0, "above 0");
        assert_refused(|c| c.releases.reverse(), "above 300");
    }

    #[test]
    fn labels_and_manifests_stand_once() {
        assert_refused(
            |c| c.releases[1].label = c.releases[0].label.clone(),
            "each label once",
        );
        assert_refused(
            |c| c.releases[1].manifest = c.releases[0].manifest,
            "a manifest of its own",
        );
    }

    #[test]
    fn deltas_start_from_another_release_of_the_catalogue() {
        assert_refused(
            |c| c.releases[1].deltas[1].from = Some(Digest::of(b"none")),
            "another release",
        );
        assert_refused(
            |c| c.releases[1].deltas[1].from = Some(c.releases[1].manifest.digest),
            "another release",
        );
    }

    #[test]
    fn deltas_name_their_methods() {
        for methods in [
            vec![],
            vec![String::new()],
            vec!["Zstd".to_owned()],
            vec!["z std".to_owned()],
            vec!["z".repeat(33)],
            vec!["zstd".to_owned(); 17],
        ] {
            assert_refused(|c| c.releases[1].deltas[0].methods = methods, "methods");
        }
    }

    #[test]
    fn content_longer_than_a_repository_holds_is_refused() {
        let too_long = ContentReference::MAX_LENGTH + 1;
        assert_refused(|c| c.releases[0].manifest.length = too_long, "limit");
        assert_refused(|c| c.releases[0].chunk_map.length = too_long, "limit");
        assert_refused(|c| c.releases[0].archives[0].length = too_long, "limit");
        assert_refused(
            |c| c.releases[0].deltas[0].content.length = too_long,
            "limit",
        );
        let notes = ContentReference {
            length: too_long,
            ..ContentReference::of(b"notes")
        };
        assert_refused(|c| c.releases[0].notes = Some(notes), "limit");
    }

    #[test]
    fn numbers_that_json_readers_round_are_refused() {
        for number in [MAX_INTEGER + 1, u64::MAX] {
            let told = MAX_INTEGER.to_string();
            assert_refused(|c| c.releases[0].tree_bytes = number, &told);
            assert_refused(|c| c.releases[0].files = number, &told);
            assert_refused(|c| c.releases[1].sequence = number, &told);
            assert_refused(|c| c.releases[0].deltas[0].built_bytes = number, &told);
        }
    }

    #[test]
    fn reasons_are_one_short_line() {
        for reason in ["two\nlines".to_owned(), "x".repeat(1001)] {
            assert_refused(
                |c| c.releases[0].status = ReleaseStatus::Withdrawn { reason },
                "a reason of one line",
            );
        }
    }

    #[test]
    fn too_many_releases_deltas_and_archives_are_refused() {
        let release = CatalogueRelease {
            deltas: Vec::new(),
            ..documented().releases[0].clone()
        };
        assert_refused(|c| c.releases = vec![release; 10_001], "10001 releases");
        let delta = documented().releases[0].deltas[0].clone();
        assert_refused(
            |c| c.releases[0].deltas = vec![delta; 100_000],
            "100002 deltas",
        );
        assert_refused(
            |c| c.releases[0].archives = vec![ContentReference::of(b"an archive"); 65_537],
            "65537 archives",
        );
    }

    #[test]
    fn unknown_fields_are_passed_over_and_unknown_states_refused() {
        let text = String::from_utf8(documented().encode().unwrap()).unwrap();
        let joined = text.replace("{\"label\":", "{\"flags\":{\"dark\":[1]},\"label\":");
        let joined = joined.replace("{\"built_bytes\"", "{\"adler\":null,\"built_bytes\"");
        assert_ne!(joined, text);
        assert_eq!(decode(joined.as_bytes()), Ok(documented()));
        let state = text.replace("\"offered\"", "\"frozen\"");
        assert!(matches!(
            decode(state.as_bytes()),
            Err(FormatError::Malformed { .. })
        ));
    }
}
