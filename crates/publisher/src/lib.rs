//! From a content folder to a published repository.
//!
//! A publisher lints a folder ([`lint`]), cuts it into chunks, makes deltas from earlier releases and
//! signs what leads to them; a [`Repository`] writes all that in an order that an interruption at any
//! moment cannot spoil, behind the [`Storage`] seam, of which [`FolderStorage`] is the plain one.
//! Private keys come from a [`KeyStore`]. [`audit`] checks a repository as a device would.
//!
//! Nothing here reads a clock: the time to sign is an input, and the same folder, keys and time give
//! the same bytes.

mod error;
mod govern;
mod key_store;
mod progress;
mod release;
mod repository;
mod storage;

pub use error::PublishError;
pub use govern::audit::{AuditOptions, AuditProblem, AuditReport, audit, audit_in};
pub use key_store::{KeyStore, RoleKey};
pub use progress::{PublishProgress, Quiet};
pub use release::delta_policy::DeltaFrom;
pub use release::draft::DeltaReport;
pub use release::folder::{ContentFolder, LintReport, lint};
pub use release::problem::{Problem, ProblemRule, Severity};
pub use repository::{Initialised, Outcome, PublishOptions, Published, Repository};
pub use storage::folder::FolderStorage;
pub use storage::{Source, Storage, StorageLock};
