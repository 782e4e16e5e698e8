//! What is published, and what is believed.

mod content;
mod error;
mod name;
mod reference;
mod utc;
mod verified;
mod version;

pub use content::archive::{Archive, ArchiveError, ArchiveWriter, ArchivedChunk};
pub use content::chunk::{Chunk, ChunkEncoder, EncodedChunk};
pub use content::chunk_map::{ChunkMap, ChunkPlace};
pub use content::manifest::Manifest;
pub use error::{Document, FormatError};
pub use name::{ChannelName, Label, NameError, PackName};
pub use reference::ContentReference;
pub use utc::{UtcTime, UtcTimeError};
pub use verified::Verified;
pub use version::ContentVersion;
