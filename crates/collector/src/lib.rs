//! The collector: takes the receipts of a fleet, and counts each once.
//!
//! A device signs a receipt when a trial ends, and sends it until somebody has it. The collector
//! verifies the signature, asks its [`Devices`] whether that device may send, writes the receipt and
//! the count together, and answers only when both are durable. Killed at any moment, it has lost
//! nothing that it acknowledged, and what comes twice is counted once.
//!
//! ```text
//! POST /v1/receipts ──> verified ──> allowed ──> Writer ──> Store ──> answer
//!     many at a time       │            │      one thread,   one transaction
//!                          └─ named in the answer            for many requests
//! ```
//!
//! # Limits
//!
//! A request has at most [`Receipted::MAX_REQUEST_BYTES`](release_format::Receipted::MAX_REQUEST_BYTES)
//! and [`Receipted::MAX_RECEIPTS`](release_format::Receipted::MAX_RECEIPTS); what waits to be written is
//! bounded by [`Writer::QUEUE`], and beyond it a sender is told to come back.

mod devices;
mod drain;
mod error;
mod import;
mod metrics;
mod service;
mod store;
mod tally;
mod writer;

pub use devices::{DeviceLimits, Devices, read_device_list};
pub use drain::serve_until;
pub use error::CollectorError;
pub use import::{Imported, import, tally_folder};
pub use service::{Collector, CollectorOptions};
#[cfg(feature = "postgres")]
pub use store::postgres::PostgresStore;
pub use store::sqlite::SqliteStore;
pub use store::{Store, Stored};
pub use tally::{Tallied, Tally, TallyKey, tally_of};
pub use writer::Writer;
