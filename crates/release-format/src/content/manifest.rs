use bincode::{BorrowDecode, Encode};
use diff_core::{Collision, ContentPath, Digest, Entry, Limits, Listing, ListingError};

use crate::content::binary::{self, Header};
use crate::{ContentReference, ContentVersion, Document, FormatError, Label, PackName, Verified};

/// The tree of one release: every content path with its length and digest.
///
/// The digest of a manifest's bytes is the release's identity. A manifest has one encoding alone, so
/// a device that rebuilds the tree rebuilds the very bytes, and compares one digest to know that
/// every file is right.
///
/// ```
/// use diff_core::{ContentPath, Digest, Entry, Limits, Listing};
/// use release_format::{Label, Manifest, PackName, Verified};
///
/// let page = Entry {
///     path: ContentPath::parse("unit 1/index.html")?,
///     length: 6,
///     digest: Digest::of(b"lesson"),
/// };
/// let listing = Listing::new(vec![page], &Limits::standard())?;
/// let manifest = Manifest::new(
///     PackName::parse("acme/biology-101")?,
///     Label::parse("1.4.0")?,
///     7,
///     listing,
/// );
/// let published = Verified::new(manifest.encode(), &manifest.reference())?;
/// assert_eq!(Manifest::decode(&published, &Limits::standard())?, manifest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc = ""]
#[doc = include_str!("../../../../docs/src/formats/manifest.md")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pack: PackName,
    label: Label,
    sequence: u64,
    listing: Listing,
    reference: ContentReference,
}

impl Manifest {
    /// The longest manifest that is read, in bytes.
    pub const MAX_BYTES: u64 = 256 << 20;

    /// Returns the manifest of the release `label` of `pack`, the `sequence`th, with the files of
    /// `listing`.
    pub fn new(pack: PackName, label: Label, sequence: u64, listing: Listing) -> Manifest {
        let reference = ContentReference::of(&encode(&pack, &label, sequence, &listing));
        Manifest {
            pack,
            label,
            sequence,
            listing,
            reference,
        }
    }

    /// Returns the manifest that the bytes hold.
    ///
    /// # Errors
    /// [`FormatError`] names the first rule that the bytes break; a claim above `limits` is refused
    /// before anything is allocated for it.
    pub fn decode<T: AsRef<[u8]>>(
        bytes: &Verified<T>,
        limits: &Limits,
    ) -> Result<Manifest, FormatError> {
        let name = |source| FormatError::Name {
            document: Document::Manifest,
            source,
        };
        let mut reader = HEADER.open(bytes)?;
        let pack = PackName::parse(reader.value("the pack")?).map_err(name)?;
        let label = Label::parse(reader.value("the label")?).map_err(name)?;
        let sequence = reader.value("the sequence")?;
        let count = reader.count("files", limits.max_files, SMALLEST_FILE_BYTES)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for _ in 0..count {
            let file: WireFile<'_> = reader.value("a file")?;
            let entry = file.entry()?;
            if let Some(before) = entries.last() {
                ascending(&before.path, &entry.path)?;
            }
            entries.push(entry);
        }
        reader.finish()?;
        let listing = Listing::new(entries, limits).map_err(not_a_tree)?;
        Ok(Manifest {
            pack,
            label,
            sequence,
            listing,
            reference: ContentReference::of(bytes.get().as_ref()),
        })
    }

    /// Returns the bytes that are published.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.pack, &self.label, self.sequence, &self.listing)
    }

    /// Returns the pack.
    pub fn pack(&self) -> &PackName {
        &self.pack
    }

    /// Returns what the release is called.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Returns the number of the release, which grows with each release of the pack.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the files.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Returns digest and length of the encoded manifest.
    pub fn reference(&self) -> ContentReference {
        self.reference
    }

    /// Returns the digest of the encoded manifest: the identity of the release.
    pub fn digest(&self) -> Digest {
        self.reference.digest
    }

    /// Returns what an LMS stores beside a learner's attempt.
    pub fn content_version(&self) -> ContentVersion {
        ContentVersion {
            pack: self.pack.clone(),
            label: self.label.clone(),
            manifest: self.digest(),
        }
    }
}

/// A file as it is encoded.
#[derive(Debug, Encode, BorrowDecode)]
struct WireFile<'a> {
    path: &'a str,
    length: u64,
    digest: [u8; Digest::LENGTH],
}

impl WireFile<'_> {
    fn entry(&self) -> Result<Entry, FormatError> {
        let path = ContentPath::parse(self.path).map_err(|source| FormatError::Path {
            document: Document::Manifest,
            source,
        })?;
        Ok(Entry {
            path,
            length: self.length,
            digest: Digest::from_bytes(self.digest),
        })
    }
}

fn encode(pack: &PackName, label: &Label, sequence: u64, listing: &Listing) -> Vec<u8> {
    let mut bytes = HEADER.bytes().to_vec();
    binary::append(&pack.as_str(), &mut bytes);
    binary::append(&label.as_str(), &mut bytes);
    binary::append(&sequence, &mut bytes);
    binary::append(&(listing.entries().len() as u64), &mut bytes);
    for entry in listing.entries() {
        let file = WireFile {
            path: entry.path.as_str(),
            length: entry.length,
            digest: *entry.digest.as_bytes(),
        };
        binary::append(&file, &mut bytes);
    }
    bytes
}

fn ascending(before: &ContentPath, path: &ContentPath) -> Result<(), FormatError> {
    if before < path {
        Ok(())
    } else if before == path {
        Err(not_a_tree(ListingError::Collision(Collision::Repeated {
            path: path.clone(),
        })))
    } else {
        Err(FormatError::malformed(
            Document::Manifest,
            "the order of the files",
            format!("a path behind {before}"),
            path.as_str(),
        ))
    }
}

fn not_a_tree(source: ListingError) -> FormatError {
    FormatError::Listing {
        document: Document::Manifest,
        source,
    }
}

const HEADER: Header = Header {
    document: Document::Manifest,
    magic: *b"SMAN",
    version: 1,
    max_bytes: Manifest::MAX_BYTES,
};
/// A path of one byte behind its length, a length, a digest.
const SMALLEST_FILE_BYTES: usize = 1 + 1 + 1 + Digest::LENGTH;

#[cfg(test)]
mod tests {
    use diff_core::PathRule;

    use super::*;
    use crate::worked_example;

    /// Reads bytes as though they had been published and signed.
    fn decode_within(bytes: &[u8], limits: &Limits) -> Result<Manifest, FormatError> {
        let reference = ContentReference::of(bytes);
        Manifest::decode(&Verified::new(bytes, &reference).unwrap(), limits)
    }

    fn decode(bytes: &[u8]) -> Result<Manifest, FormatError> {
        decode_within(bytes, &Limits::standard())
    }

    /// A manifest that claims `count` files and has those of `files`.
    fn claiming(count: u64, files: &[(&str, u64)]) -> Vec<u8> {
        let mut bytes = HEADER.bytes().to_vec();
        binary::append(&"acme/biology-101", &mut bytes);
        binary::append(&"1.4.0", &mut bytes);
        binary::append(&7_u64, &mut bytes);
        binary::append(&count, &mut bytes);
        for &(path, length) in files {
            let digest = *Digest::of(path.as_bytes()).as_bytes();
            let file = WireFile {
                path,
                length,
                digest,
            };
            binary::append(&file, &mut bytes);
        }
        bytes
    }

    fn with_files(paths: &[&str]) -> Vec<u8> {
        let files: Vec<_> = paths.iter().map(|path| (*path, 1)).collect();
        claiming(files.len() as u64, &files)
    }

    fn listing_refusal(paths: &[&str]) -> ListingError {
        match decode(&with_files(paths)) {
            Err(FormatError::Listing { source, .. }) => source,
            other => panic!("{paths:?}: expected Listing, found {other:?}"),
        }
    }

    #[test]
    fn documented_example_decodes_and_encodes() {
        let document = include_str!("../../../../docs/src/formats/manifest.md");
        let bytes = worked_example::bytes(document);
        let manifest = decode(&bytes).unwrap();
        assert_eq!(manifest.pack().as_str(), "acme/bio");
        assert_eq!(manifest.label().as_str(), "1.4.0");
        assert_eq!(manifest.sequence(), 300);
        let files: Vec<_> = manifest
            .listing()
            .entries()
            .iter()
            .map(|entry| (entry.path.as_str(), entry.length))
            .collect();
        assert_eq!(files, [("unit 1/a.html", 6), ("z.mp4", 70_000)]);
        assert_eq!(
            manifest.listing().entries()[0].digest,
            Digest::of(b"lesson")
        );
        assert_eq!(manifest.encode(), bytes);
        assert_eq!(manifest.reference(), ContentReference::of(&bytes));
        assert!(document.contains(&manifest.digest().to_string()));
        assert!(document.contains(&manifest.content_version().to_string()));
    }

    #[test]
    fn manifest_without_files_is_a_manifest() {
        let manifest = decode(&with_files(&[])).unwrap();
        assert_eq!(manifest.listing(), &Listing::empty());
        let again = Manifest::new(
            manifest.pack().clone(),
            manifest.label().clone(),
            7,
            Listing::empty(),
        );
        assert_eq!(again, manifest);
    }

    #[test]
    fn unsorted_paths_are_refused() {
        assert!(matches!(
            decode(&with_files(&["b", "a"])),
            Err(FormatError::Malformed { .. })
        ));
        // The bytes of the paths are compared, not their components.
        assert!(decode(&with_files(&["a", "a-", "b/c"])).is_ok());
        assert!(matches!(
            decode(&with_files(&["a/b", "a-"])),
            Err(FormatError::Malformed { .. })
        ));
    }

    #[test]
    fn repeated_and_colliding_paths_are_refused() {
        assert!(matches!(
            listing_refusal(&["a", "a"]),
            ListingError::Collision(Collision::Repeated { .. })
        ));
        assert!(matches!(
            listing_refusal(&["IMG/a", "img/b"]),
            ListingError::Collision(Collision::Indistinct { .. })
        ));
        assert!(matches!(
            listing_refusal(&["a", "a/b"]),
            ListingError::Collision(Collision::FileAndFolder { .. })
        ));
    }

    #[test]
    fn paths_that_climb_or_cannot_be_installed_are_refused() {
        for (path, rule) in [
            ("../a", PathRule::Climbing),
            ("a/../../b", PathRule::Climbing),
            ("/etc/passwd", PathRule::Empty),
            ("a//b", PathRule::Empty),
            ("C:a", PathRule::ForbiddenCharacter),
            ("a\\..\\b", PathRule::ForbiddenCharacter),
            ("aux.html", PathRule::ReservedName),
            ("a.", PathRule::TrailingDotOrSpace),
            (&"x".repeat(2000), PathRule::LongPath),
        ] {
            match decode(&with_files(&[path])) {
                Err(FormatError::Path { source, .. }) => assert_eq!(source.rule(), rule, "{path}"),
                other => panic!("{path}: expected Path, found {other:?}"),
            }
        }
    }

    #[test]
    fn names_are_parsed_at_the_door() {
        let mut bytes = HEADER.bytes().to_vec();
        binary::append(&"acme", &mut bytes);
        assert!(matches!(decode(&bytes), Err(FormatError::Name { .. })));
        let mut bytes = HEADER.bytes().to_vec();
        binary::append(&"acme/biology-101", &mut bytes);
        binary::append(&"one point four", &mut bytes);
        assert!(matches!(decode(&bytes), Err(FormatError::Name { .. })));
    }

    #[test]
    fn ten_million_claimed_entries_allocate_nothing() {
        assert!(matches!(
            decode(&claiming(10_000_000, &[])),
            Err(FormatError::Limit {
                what: "files",
                claimed: 10_000_000,
                limit: 1_000_000,
                ..
            })
        ));
        let mut generous = Limits::standard();
        generous.max_files = u64::MAX;
        for count in [10_000_000, u64::MAX] {
            assert!(matches!(
                decode_within(&claiming(count, &[("a", 1)]), &generous),
                Err(FormatError::Truncated { place: "files", .. })
            ));
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let refusal = |files: &[(&str, u64)]| match decode(&claiming(files.len() as u64, files)) {
            Err(FormatError::Listing { source, .. }) => source,
            other => panic!("expected Listing, found {other:?}"),
        };
        assert!(matches!(
            refusal(&[("a", u64::MAX)]),
            ListingError::FileTooLong {
                length: u64::MAX,
                ..
            }
        ));
        let paths: Vec<_> = (10..20).map(|number| format!("file {number}")).collect();
        let files: Vec<_> = paths.iter().map(|path| (path.as_str(), 1 << 40)).collect();
        assert!(matches!(refusal(&files), ListingError::TreeTooLong { .. }));
    }

    #[test]
    fn more_or_fewer_files_than_claimed_are_refused() {
        assert!(matches!(
            decode(&claiming(1, &[("a", 1), ("b", 1)])),
            Err(FormatError::TrailingBytes { count: 35, .. })
        ));
        assert!(matches!(
            decode(&claiming(2, &[("a longer path than most", 1)])),
            Err(FormatError::Truncated { .. })
        ));
    }
}
