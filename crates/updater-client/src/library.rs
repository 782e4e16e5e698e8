//! The device's library: the folder of installed packs, and all that makes it durable.
//!
//! Every change goes through [`disk::Disk`], and every step is arranged so that a power cut between
//! any two calls leaves either what was there before or what was to be there after:
//!
//! - [`layout::LibraryLayout`] knows where everything lies;
//! - [`lock::LibraryLock`] lets one updater in at a time;
//! - [`lease::Lease`] keeps a release that is open where it is;
//! - [`identity::LibraryRecord`] says which device this is and where it gets its packs;
//! - [`trust_store::TrustStore`] keeps the metadata that is trusted where
//!   [`trust_layout::TrustLayout`] puts it;
//! - [`device_key`] is what the device signs its receipts with, and [`outbox::Outbox`] where these wait;
//! - [`state::StateRecord`] is the commit point of a pack: which release is active;
//! - [`history::HistoryEvent`] is what became of it.
//!
//! Room for one more record is kept, so that a device goes back on a full disk, too.

pub(crate) mod content;
pub mod device_key;
pub mod disk;
pub mod first_root;
pub mod history;
pub mod identity;
pub mod layout;
pub mod lease;
pub mod lock;
pub(crate) mod mirror_health;
pub mod notes;
pub mod outbox;
pub mod record;
pub(crate) mod reserve;
pub(crate) mod shelf;
pub mod state;
pub mod trust_layout;
pub mod trust_store;
