//! The built program as operators, devices and scripts meet it, one module a kind of claim.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod book;
mod ceremony;
// It is ended as systems end services, by signals.
#[cfg(unix)]
mod collect;
mod freshness;
mod gate;
mod governance;
#[cfg(unix)]
mod interrupted;
mod keeping;
mod mirror;
mod network;
mod place;
mod program;
mod python_tuf;
// They are scripts of a Unix shell.
#[cfg(unix)]
mod runbooks;
mod steering;
mod supply;
// What a program asks of the kernel is told by `strace`, which Linux alone has.
#[cfg(target_os = "linux")]
mod syncing;
// A terminal is made by `script` as util-linux has it.
#[cfg(target_os = "linux")]
mod terminal;
