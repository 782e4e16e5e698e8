//! What is published, and what is believed: the documents of a repository, as bytes and as types.
//!
//! This crate stands between the publisher and the device. It knows what a pack, a release and an
//! offer are, and nothing of files, networks and clocks: bytes come in, types come out, and the same
//! input gives the same output everywhere.
//!
//! # The road
//!
//! ```text
//! signed metadata ──> Catalogue ──┬─> Manifest   the tree of a release; its digest is the release
//!        │                        ├─> ChunkMap ──> Archive   its bytes, in pieces
//!        │                        └─> deltas     its bytes, from another release or from nothing
//!        └──────────> Rollout        which release a channel offers, and to whom
//! ```
//!
//! Each arrow is a digest: who trusts what stands on the left believes what stands on the right once
//! its bytes were compared. [`Verified`] is that comparison as a type, and no document is decoded from
//! anything less.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | pack | the unit of publishing, `tenant/name`: [`PackName`] |
//! | release | one immutable version of a pack: a [`Label`], a growing sequence number, a [`Manifest`] |
//! | manifest | the tree of one release: paths, lengths, digests; its digest is the release's identity |
//! | content version | what an LMS stores beside a learner's attempt: [`ContentVersion`] |
//! | chunk | a piece of a release's byte stream, compressed and addressed by itself: [`Chunk`] |
//! | archive | an immutable container of chunks: [`Archive`]; a [`ChunkMap`] says which chunk lies where |
//! | delta | bytes that turn one release into another; made and applied by `diff-core` |
//! | patch | bytes that turn an older file of metadata, or an older catalogue, into the one of now: [`Patch`] |
//! | catalogue | the releases of a pack and what leads to each: [`Catalogue`] |
//! | channel | a named line of releases of a pack: [`ChannelName`] |
//! | rollout | the share of a channel's devices that is offered a release: [`Rollout`] |
//! | receipt | how one trial ended on one device: [`Receipt`] |
//! | withdraw, halt | make devices leave a release: [`Withdrawal`], [`ReleaseStatus`]; stop widening: [`Rollout::halted`] |
//!
//! # From a folder's listing to the release that a device asks for
//!
//! ```
//! use diff_core::{ContentPath, Digest, Entry, Limits, Listing};
//! use release_format::{
//!     ArchiveWriter, Asker, Catalogue, CatalogueRelease, ChannelName, ChunkEncoder, ChunkMap,
//!     ChunkPlace, ClientVersion, Decision, DeviceId, DeviceLabels, Label, Manifest, PackName,
//!     ReleaseStatus, Rollout, UtcTime,
//!     Verified,
//! };
//!
//! // The publisher: a tree of one file, its bytes in an archive.
//! let page = b"<h1>Cells</h1>";
//! let entry = Entry {
//!     path: ContentPath::parse("unit 1/index.html")?,
//!     length: page.len() as u64,
//!     digest: Digest::of(page),
//! };
//! let listing = Listing::new(vec![entry], &Limits::standard())?;
//! let pack = PackName::parse("acme/biology-101")?;
//! let label = Label::parse("1.4.0")?;
//! let manifest = Manifest::new(pack.clone(), label.clone(), 1, listing);
//!
//! let encoded = ChunkEncoder::new(19)?.encode(page)?;
//! let mut writer = ArchiveWriter::new(Vec::new())?;
//! let offset = writer.push(&encoded)?;
//! let (archive, archive_reference) = writer.finish()?;
//! let place = ChunkPlace { chunk: *encoded.chunk(), archive: 0, offset };
//! let chunk_map = ChunkMap::new(vec![archive_reference], vec![place])?;
//!
//! let catalogue = Catalogue {
//!     pack: pack.clone(),
//!     releases: vec![CatalogueRelease {
//!         label: label.clone(),
//!         sequence: 1,
//!         manifest: manifest.reference(),
//!         published: UtcTime::parse("2026-11-21T00:00:00Z")?,
//!         tree_bytes: manifest.listing().total_bytes(),
//!         files: 1,
//!         chunk_map: chunk_map.reference(),
//!         archives: vec![archive_reference],
//!         deltas: Vec::new(),
//!         notes: None,
//!         translations: Default::default(),
//!         provenance: None,
//!         sbom: None,
//!         status: ReleaseStatus::Offered,
//!     }],
//! };
//! let rollout = Rollout::new(pack, ChannelName::default(), manifest.digest(), label);
//!
//! // The device: which release, then its manifest, then one chunk by its range.
//! let asker = Asker {
//!     device: DeviceId::parse("00112233445566778899aabbccddeeff")?,
//!     labels: &DeviceLabels::default(),
//!     client: ClientVersion::new(0, 1, 0),
//!     now: UtcTime::parse("2026-11-21T00:00:00Z")?,
//! };
//! assert_eq!(rollout.decide(&asker), Decision::Offered);
//! let offered = catalogue.release(&rollout.release).expect("the catalogue lists it");
//!
//! let fetched = Verified::new(manifest.encode(), &offered.manifest)?;
//! let tree = Manifest::decode(&fetched, &Limits::standard())?;
//! assert_eq!(tree.content_version().to_string(), manifest.content_version().to_string());
//!
//! let fetched = Verified::new(chunk_map.encode(), &offered.chunk_map)?;
//! let map = ChunkMap::decode(&fetched, &Limits::standard())?;
//! let range = map.chunks()[0].range();
//! let bytes = &archive[range.start as usize..range.end as usize];
//! assert_eq!(map.chunks()[0].chunk.decode(bytes)?, page);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! What a document claims is compared with a ceiling, and with the bytes that are there, before
//! anything is allocated for it:
//!
//! | of | at most |
//! |---|---|
//! | a file under `content/` | [`ContentReference::MAX_LENGTH`], 1 GiB |
//! | a manifest | [`Manifest::MAX_BYTES`], and the files and bytes of [`Limits`](diff_core::Limits) |
//! | a chunk map | [`ChunkMap::MAX_BYTES`], [`ChunkMap::MAX_ARCHIVES`], [`ChunkMap::MAX_CHUNKS`] |
//! | a chunk, decoded | [`Chunk::MAX_LENGTH`], 1 MiB |
//! | a catalogue | [`Catalogue::MAX_BYTES`], [`Catalogue::MAX_RELEASES`], [`Catalogue::MAX_DELTAS`] |
//! | a rollout | [`Rollout::MAX_BYTES`] |
//! | a receipt | [`Receipt::MAX_BYTES`] |
//! | patches of one file | [`Patches::MOST`]; what one leads to, the length that is signed |

mod content;
mod error;
mod json;
mod language;
mod name;
mod offer;
mod receipt;
mod reference;
mod trust;
mod utc;
mod verified;
mod version;
#[cfg(test)]
mod worked_example;

pub use content::archive::{Archive, ArchiveError, ArchiveWriter, ArchivedChunk};
pub use content::chunk::{Chunk, ChunkEncoder, EncodedChunk};
pub use content::chunk_map::{ChunkMap, ChunkPlace};
pub use content::cutting::{Segment, cut_points, segments};
pub use content::manifest::Manifest;
pub use error::{Document, FormatError};
pub use language::Language;
pub use name::{ChannelName, Label, NameError, PackName, TenantName};
pub use offer::catalogue::{Catalogue, CatalogueDelta, CatalogueRelease, ReleaseStatus};
pub use offer::client_version::{ClientVersion, ClientVersionError};
pub use offer::decision::{Asker, Decision};
pub use offer::device_id::{DeviceId, DeviceIdError};
pub use offer::flag::FeatureFlag;
pub use offer::rollout::{MinimumClient, Mode, Rollout};
pub use offer::ruling::Ruling;
pub use offer::selector::{DeviceLabels, LabelError, Selectors};
pub use offer::share::{Share, ShareError};
pub use offer::withdrawal::Withdrawal;
pub use receipt::Receipt;
pub use receipt::counts::ReleaseCounts;
pub use receipt::delivery::{Receipted, Refusal, RefusedReceipt, receipts_of};
pub use receipt::identity::{DeviceKey, DeviceKeyId, IdentityError, ReceiptId};
pub use receipt::otlp::otlp_logs;
pub use receipt::outcome::{Reason, ReceiptOutcome, ReceiptRoute};
pub use receipt::signed::{ReceiptError, SignedReceipt};
pub use reference::ContentReference;
pub use trust::draft::RoleDraft;
pub use trust::error::TrustError;
pub use trust::grace::OfflineGrace;
pub use trust::key::{Ed25519Signer, KeyId, PublicKey, Signer, SignerError};
pub use trust::limits::TrustLimits;
pub use trust::log_entry::{LogBaseline, LogEntry, LogSubject, LogTarget};
pub use trust::log_head::LogHead;
pub use trust::meta_file::MetaFile;
pub use trust::patch::{ListedPatch, Patch, Patches};
#[cfg(feature = "ecdsa-rsa")]
pub use trust::pem_key::PemKey;
pub use trust::request::MetadataRequest;
pub use trust::role::{KeyTable, RoleKeys, Root, Snapshot, Timestamp};
pub use trust::search::{Lookup, TargetFile};
pub use trust::signed::{RoleBody, SPEC_VERSION, sign};
pub use trust::targets::{DelegatedRole, Delegations, TargetEntry, Targets};
pub use trust::trusted::{Refreshed, TrustedSet};
pub use utc::{UtcTime, UtcTimeError};
pub use verified::Verified;
pub use version::{ContentVersion, VersionName, VersionNameError};
