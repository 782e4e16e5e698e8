//! Satchel's claims across crates, one module a kind of claim.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod authority;
mod bit_flips;
mod compatibility;
mod crash;
mod embedding;
mod export;
mod fat;
mod faults;
mod flaky;
mod fleet;
mod full_disk;
mod heal;
mod held;
mod hostile;
mod keeping;
mod layering;
mod lifecycle;
mod mirrors;
mod names;
mod neighbours;
mod nginx;
mod patches;
mod power_loss;
mod rebuilt;
mod receipts;
mod rollout;
mod rotation;
mod routes;
// What a file takes on the disk is told in blocks by Unix alone.
#[cfg(unix)]
mod space;
mod time;
mod transport;
