//! The device's side of Satchel: it keeps course packs up to date, and never loses a lesson.
//!
//! A host links this crate and calls a handful of blocking functions. A release arrives as the
//! cheapest delta from what the device has, is rebuilt beside the release that learners use, and
//! becomes the active one by a single small write. Until the host confirms that the course opens well
//! it is on trial; anything that fails leaves, or brings back, what was there before.
//!
//! # Updates in ten lines
//!
//! ```no_run
//! use updater_client::{CancelToken, OpenRelease, PackName, UpdateError, UpdateOptions, Updater};
//!
//! fn start_course(library: &str, pack: &PackName) -> Result<OpenRelease, UpdateError> {
//!     let updater = Updater::open(library)?;
//!     if let Err(failed) = updater.update(pack, &UpdateOptions::default(), &CancelToken::new()) {
//!         eprintln!("{failed}\n{}", failed.remedy()); // Offline: yesterday's course still opens.
//!     }
//!     let course = updater.open_pack(pack)?;
//!     if let (true, Some(trial)) = (opens_well(&course.tree), updater.trial(pack)?) {
//!         trial.confirm()?;
//!     }
//!     Ok(course) // Its tree stays where it is until this is dropped.
//! }
//! # fn opens_well(_: &std::path::Path) -> bool { true }
//! ```
//!
//! # The road
//!
//! ```text
//! check ──> plan ──> fetch ──> stage ──> activate ──> confirm
//!   │                  │         │          │  trial     │
//!   │ trusted metadata │ resumes │ verifies │            └─ or fail, revert: the fallback
//!   └ rollout, refusals└ bounded └ aside    └ one record
//! ```
//!
//! | call | does | asks the network |
//! |---|---|---|
//! | [`enroll`] | makes a library that trusts one root | no |
//! | [`Updater::check`] | says what is offered, and what it costs | metadata |
//! | [`Updater::update`] | brings a pack to the release that it is offered, on trial | yes |
//! | [`Updater::open_pack`] | leases the active tree, and counts the opening of a trial | no |
//! | [`Updater::lease`], [`Updater::open_at`] | lease it for another process; lease an attempt's release | no |
//! | [`Updater::hold`], [`Updater::unhold`] | keep updates from switching for a while | no |
//! | [`Updater::pin`], [`Updater::unpin`] | keep a release, and the device on it | no |
//! | [`Updater::flags`] | tells which features of the content this device shows | no |
//! | [`Updater::change_labels`] | says what rollouts may choose the device by | no |
//! | [`Updater::prune`] | removes releases that nothing needs and nobody has open | no |
//! | [`Updater::confirm`], [`Updater::fail`] | end a trial | no |
//! | [`Updater::receipts`], [`Updater::report`] | say how trials ended, and tell whoever counts | where it tells |
//! | [`Updater::revert`] | goes back to the fallback | no |
//! | [`Updater::verify`], [`Updater::verify_all`] | compare every byte with the manifest | no |
//! | [`MirrorBuilder`], [`Mirror`] | serve the library to its neighbours | what it lacks |
//! | [`Updater::heal`] | restores what is damaged | only for what is nowhere on the device |
//!
//! # Limits
//!
//! What a mirror sends is bounded before it is read: metadata by
//! [`TrustLimits`](release_format::TrustLimits), trees and deltas by [`Limits`](diff_core::Limits),
//! content by the length that signed metadata gives. Applying a delta keeps within 64 MiB of private
//! memory, however large the pack.

mod clock;
mod config;
pub mod courier;
mod error;
mod event;
pub mod library;
mod mirror;
mod step;
mod time_floor;
pub mod transport;
mod updater;

pub use clock::{Clock, SystemClock};
pub use config::{UpdaterBuilder, transport_to};
pub use diff_core::CancelToken;
pub use error::{ErrorKind, UpdateError};
pub use event::{Event, Observer, Unobserved};
pub use library::history::{HistoryEvent, HistoryKind};
pub use library::lease::Lease;
pub use library::notes::Notes;
pub use library::outbox::{Outbox, Waiting};
pub use library::state::{Hold, Pin};
pub use mirror::{Mirror, MirrorBuilder, Missing, Served};
pub use release_format::{
    ChannelName, ClientVersion, ContentVersion, DeviceLabels, Label, Language, PackName, Ruling,
    UtcTime, VersionName,
};
pub use step::abilities::Abilities;
pub use step::check::{Lacking, Leaving, Offer, Withheld};
pub use step::document::{Documents, Traffic};
pub use step::freshness::Freshness;
pub use step::pace::FetchPolicy;
pub use step::plan::{ChunkWay, Hop, Plan, Route};
pub use step::prune::{Pruned, PrunedRelease};
pub use step::repository::TrustedRepository;
pub use step::verify::{Damage, Fault, VerifyReport};
pub use time_floor::TimeFloor;
pub use transport::{Body, FolderTransport, Https, Mirrors, Transport, TransportError};
#[cfg(feature = "http")]
pub use transport::{HttpTransport, HttpTransportBuilder};
pub use updater::{
    Check, HealOptions, Healed, HealedRelease, LongFile, OpenRelease, Outcome, PinFor,
    PruneOptions, Reported, Status, Trial, UpdateOptions, Updated, Updater, enroll,
};
