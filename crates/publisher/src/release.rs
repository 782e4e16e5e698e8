//! A content folder on its way to a release.

pub(crate) mod folder;
pub(crate) mod problem;
