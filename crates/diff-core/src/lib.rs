//! The delta engine: two trees of files to a delta, and an old tree and a delta back to the new one.
//!
//! This crate holds the middle of Satchel's road. A publisher lists a folder as a [`Listing`] and
//! makes a delta from the release before it; a device applies that delta to the files that it holds.
//! Neither side touches the network, a signature or a clock here, and every byte of a delta is taken
//! as hostile: what it claims is compared with [`Limits`] before anything is allocated.

mod apply;
mod content_path;
mod delta;
mod diff;
mod digest;
mod error;
mod group;
mod limits;
mod mapped;
mod method;
mod pairing;
mod progress;
mod prove;
mod stats;
mod tree;
mod wire;

pub use apply::{Applier, Sink};
pub use content_path::{ContentPath, PathError, PathRule};
pub use delta::{Delta, Origin, Plan, PlannedFile};
pub use diff::{DeltaSummary, Differ};
pub use digest::{Digest, DigestParseError, DigestReader, DigestWriter};
pub use error::{DeltaError, DiffError};
pub use limits::Limits;
pub use mapped::{FileBytes, MappedFile};
pub use method::{Level, Method};
pub use progress::{CancelToken, Cancelled, Progress, Silent};
pub use prove::prove;
pub use stats::{BuiltFile, DeltaStats};
pub use tree::{
    Collision, Contents, Entry, FolderContents, Listing, ListingError, Tree, find_collisions,
};
