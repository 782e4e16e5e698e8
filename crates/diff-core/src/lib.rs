//! The delta engine: two trees of files to a delta, and an old tree and a delta back to the new one.
//!
//! This crate holds the middle of Satchel's road. A publisher lists a folder as a [`Listing`] and
//! makes a delta from the release before it; a device applies that delta to the files that it holds.
//! Neither side touches the network, a signature or a clock here, and every byte of a delta is taken
//! as hostile: what it claims is compared with [`Limits`] before anything is allocated.
//!
//! A [`Differ`] pairs the files of two trees, groups those that are to be built and codes each group
//! by the [`Method`] that makes it smallest; [`prove`] applies what came of it. On the device,
//! [`Delta::parse`] reads the delta, [`Delta::plan`] compares it with the old tree, and an
//! [`Applier`] streams the new files into a [`Sink`].
//!
//! ```
//! use std::io::{self, Write};
//! use diff_core::{
//!     Applier, ContentPath, Delta, Differ, Digest, Entry, FileBytes, FolderContents, Limits, Listing,
//!     MappedFile, PlannedFile, Sink, Tree,
//! };
//!
//! /// Makes the built files in a folder.
//! struct Folder(std::path::PathBuf);
//!
//! impl Sink for Folder {
//!     fn create(&self, _: usize, file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
//!         Ok(Box::new(std::fs::File::create(file.path.under(&self.0))?))
//!     }
//!
//!     fn read(&self, _: usize, file: &PlannedFile) -> io::Result<FileBytes> {
//!         Ok(FileBytes::Mapped(MappedFile::open(&file.path.under(&self.0))?))
//!     }
//! }
//!
//! fn listing(content: &[u8]) -> Result<Listing, Box<dyn std::error::Error>> {
//!     let path = ContentPath::parse("lesson.html")?;
//!     let entry = Entry { path, length: content.len() as u64, digest: Digest::of(content) };
//!     Ok(Listing::new(vec![entry], &Limits::standard())?)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let [old_folder, new_folder, made] =
//! #     [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
//! std::fs::write(old_folder.path().join("lesson.html"), "Cells divide.")?;
//! std::fs::write(new_folder.path().join("lesson.html"), "Cells divide, always.")?;
//! let (old, new) = (listing(b"Cells divide.")?, listing(b"Cells divide, always.")?);
//! let old_contents = FolderContents::new(old_folder.path(), &old);
//! let new_contents = FolderContents::new(new_folder.path(), &new);
//! let old = Tree { listing: &old, contents: &old_contents };
//! let new = Tree { listing: &new, contents: &new_contents };
//!
//! let mut bytes = Vec::new();
//! Differ::new(old, new).write_to(&mut bytes)?;
//!
//! let delta = Delta::parse(&bytes, &Limits::standard())?;
//! let plan = delta.plan(old.listing)?;
//! let sink = Folder(made.path().to_owned());
//! let listing = Applier::new(&delta, &plan, old).expecting(new.listing).apply(&sink)?;
//! assert_eq!(&listing, new.listing);
//! assert_eq!(std::fs::read(made.path().join("lesson.html"))?, b"Cells divide, always.");
//! # Ok(())
//! # }
//! ```

mod apply;
mod container;
mod content_path;
mod covers;
mod deflate;
mod delta;
mod diff;
mod digest;
mod entropy;
mod error;
mod group;
mod limits;
mod mapped;
mod method;
mod mixing;
mod pairing;
mod pixels;
mod progress;
mod prove;
mod recipe;
mod recompressor;
mod script;
mod similarity;
mod space;
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
pub use recompressor::{Abilities, Recompressor, abilities};
pub use stats::{BuiltFile, DeltaStats, StreamCounts};
pub use tree::{
    Collision, Contents, Entry, FolderContents, Listing, ListingError, Tree, find_collisions,
};
