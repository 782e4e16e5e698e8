//! From a content folder to a published release.
//!
//! A publisher lints a folder ([`lint`]) and keeps its bytes behind the [`Storage`] seam, of which
//! [`FolderStorage`] is the plain one; private keys come from a [`KeyStore`].

mod error;
mod key_store;
mod release;
mod storage;

pub use error::PublishError;
pub use key_store::{KeyStore, RoleKey};
pub use release::folder::{ContentFolder, LintReport, lint};
pub use release::problem::{Problem, ProblemRule, Severity};
pub use storage::folder::FolderStorage;
pub use storage::{Source, Storage, StorageLock};
