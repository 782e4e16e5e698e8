//! From a content folder to a published repository.
//!
//! A publisher lints a folder ([`lint`]), cuts it into chunks, makes deltas from earlier releases and
//! signs what leads to them; a [`Repository`] writes all that in an order that an interruption at any
//! moment cannot spoil, behind the [`Storage`] seam, of which [`FolderStorage`] is the plain one.
//! Private keys come from a [`KeyStore`]; who holds which is changed by a [`Proposal`] that its holders
//! sign. [`audit`] checks a repository as a device would.
//!
//! Nothing here reads a clock: the time to sign is an input, and the same folder, keys and time give
//! the same bytes.

mod error;
mod govern;
mod key_store;
mod progress;
mod release;
mod report;
mod repository;
mod storage;
mod supply;

pub use error::PublishError;
pub use govern::approval::Approval;
pub use govern::audit::{AuditOptions, AuditReport, audit, audit_in};
pub use govern::audit_log::{AuditLog, LogRecord, LogState};
pub use govern::audit_problem::AuditProblem;
pub use govern::ceremony::{Governed, RoleReport};
pub use govern::ceremony_error::{CeremonyError, Shortfall};
pub use govern::gate::{
    GateDecision, GateEvidence, GateLine, GateStep, Verdict, counted_from, decide,
};
pub use govern::guard::ChannelGuard;
pub use govern::offers::{OfferAt, ReleaseOrigin};
pub use govern::prometheus::{PrometheusGate, PrometheusQuery};
pub use govern::proposal::Proposal;
pub use govern::rollout_plan::{Objectives, PlanPosition, PlanStep, RolloutPlan};
pub use govern::steering::{Offering, Promotion, Retraction, Steered, Steering};
pub use govern::steering_error::SteeringError;
pub use govern::trust_change::TrustChange;
pub use govern::wilson::{Bounds, enough};
pub use key_store::hook::HookSigner;
pub use key_store::public_key_file::read_public_key;
pub use key_store::signer_source::SignerSource;
pub use key_store::{AskPassphrase, KeyStore, RoleKey, SharedSigner};
pub use progress::{PublishProgress, Quiet};
pub use release::delta_build::DeltaSettings;
pub use release::delta_policy::DeltaFrom;
pub use release::draft::DeltaReport;
pub use release::folder::{ContentFolder, LintReport, lint};
pub use release::problem::{Problem, ProblemRule, Severity};
pub use report::figures::{ReceiptDay, ReceiptSource};
pub use repository::{Initialised, Outcome, PublishOptions, Published, Repository};
#[cfg(feature = "bucket")]
pub use storage::bucket::BucketStorage;
pub use storage::folder::FolderStorage;
pub use storage::{Source, Storage, StorageLock};
pub use supply::export::{ExportOptions, Exported};
pub use supply::fleet::{Fleet, FleetError};
pub use supply::later_deltas::{AddDeltasOptions, AddedDelta, DeltaOutcome};
pub use supply::prune::{DroppedRelease, PruneOptions, PruneReport, PrunedPack};
pub use supply::selection::{ExportReach, ExportedDelta, ExportedPack};
pub use supply::simulation::{SimulatedPolicy, SimulatedRelease, Simulation, SimulationOptions};
