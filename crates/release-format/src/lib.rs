//! What is published, and what is believed.

mod content;
mod error;
mod name;
mod offer;
mod reference;
mod utc;
mod verified;
mod version;
#[cfg(test)]
mod worked_example;

pub use content::archive::{Archive, ArchiveError, ArchiveWriter, ArchivedChunk};
pub use content::chunk::{Chunk, ChunkEncoder, EncodedChunk};
pub use content::chunk_map::{ChunkMap, ChunkPlace};
pub use content::manifest::Manifest;
pub use error::{Document, FormatError};
pub use name::{ChannelName, Label, NameError, PackName};
pub use offer::catalogue::{Catalogue, CatalogueDelta, CatalogueRelease, ReleaseStatus};
pub use offer::device_id::{DeviceId, DeviceIdError};
pub use offer::rollout::{Decision, Rollout};
pub use offer::share::{Share, ShareError};
pub use reference::ContentReference;
pub use utc::{UtcTime, UtcTimeError};
pub use verified::Verified;
pub use version::ContentVersion;
