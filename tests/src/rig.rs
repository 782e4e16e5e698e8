//! What the tests are built from.

/// Courses made from a seed, and what tells two apart.
pub mod course;
/// A disk that fails, or loses its power, at a chosen call.
pub mod disk;
pub mod forged_delta;
pub mod forger;
pub mod held;
pub mod near;
pub mod server;
pub mod sim;
/// A repository's storage that fails at a chosen change.
pub mod storage;
/// HTTPS servers with certificates of an authority of their own.
pub mod tls;
pub mod volume;
pub mod world;
