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
