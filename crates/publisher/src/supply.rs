//! What is done with a repository that is published: carried away, thinned out, added to.

pub(crate) mod export;
pub(crate) mod fleet;
pub(crate) mod later_deltas;
pub(crate) mod prune;
pub(crate) mod references;
pub(crate) mod selection;
pub(crate) mod simulation;
