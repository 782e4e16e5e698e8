//! The rig that Satchel's tests across crates stand on: courses made from a seed, a publisher, devices
//! on a clock that is set by hand, and mirrors and disks that misbehave when told to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what the rig cannot do has failed the test"
)]

pub mod rig;
