//! What publishing promises, over small courses in temporary folders.

// All of it is tests, the rig too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod approvals;
mod audit;
mod audit_log;
mod ceremony;
mod deltas;
mod export;
mod interrupted;
mod patches;
mod prune;
mod refusals;
mod release;
mod rig;
mod steering;
mod tenant;
mod watched;
