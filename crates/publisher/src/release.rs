//! A content folder on its way to a release.

pub(crate) mod chunking;
pub(crate) mod delta_build;
pub(crate) mod delta_policy;
pub(crate) mod draft;
pub(crate) mod earlier;
pub(crate) mod folder;
pub(crate) mod problem;
pub(crate) mod provenance;
pub(crate) mod routes;
pub(crate) mod sbom;
