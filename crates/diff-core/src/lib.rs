//! The delta engine: two trees of files to a delta, and an old tree and a delta back to the new one.
//!
//! This crate holds the middle of Satchel's road. A publisher lists a folder as a [`Listing`] and
//! makes a delta from the release before it; a device applies that delta to the files that it holds.
//! Neither side touches the network, a signature or a clock here, and every byte of a delta is taken
//! as hostile: what it claims is compared with [`Limits`] before anything is allocated.

mod content_path;
mod digest;
mod limits;
mod mapped;
mod progress;
mod tree;

pub use content_path::{ContentPath, PathError, PathRule};
pub use digest::{Digest, DigestParseError, DigestReader, DigestWriter};
pub use limits::Limits;
pub use mapped::{FileBytes, MappedFile};
pub use progress::{CancelToken, Cancelled, Progress, Silent};
pub use tree::{
    Collision, Contents, Entry, FolderContents, Listing, ListingError, find_collisions,
};
