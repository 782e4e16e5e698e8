//! The rig that Satchel's tests across crates stand on: courses made from a seed, a publisher, devices
//! on a clock that is set by hand, and mirrors and disks that misbehave when told to.

pub mod rig;
