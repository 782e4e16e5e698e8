//! The steps of an update, each a value or a deed of its own; [`Updater`](crate::Updater) alone
//! knows their order.

pub(crate) mod abilities;
pub(crate) mod activate;
pub(crate) mod assemble;
pub(crate) mod check;
pub(crate) mod chunks;
pub(crate) mod document;
pub(crate) mod fetch;
pub(crate) mod flags;
pub(crate) mod freshness;
pub(crate) mod pace;
pub(crate) mod plan;
pub(crate) mod prune;
pub(crate) mod recover;
pub(crate) mod refresh;
pub(crate) mod repository;
pub(crate) mod runs;
pub(crate) mod stage;
pub(crate) mod verify;
