//! What the tests are built from.

/// Courses made from a seed, and what tells two apart.
pub mod course;
