//! What publishing promises, over small courses in temporary folders.

// All of it is tests, the rig too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod audit;
mod ceremony;
mod interrupted;
mod refusals;
mod release;
mod rig;
mod tenant;
