//! The verbs, each a call into a library and a way to tell what it did.

pub(crate) mod approve;
pub(crate) mod collect;
mod counted;
mod custody;
pub(crate) mod deltas;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod engine;
pub(crate) mod export;
pub(crate) mod gate;
mod history;
mod https;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod manual;
pub(crate) mod mirror;
mod place;
mod proposed;
pub(crate) mod publish;
pub(crate) mod receipts;
pub(crate) mod report;
pub(crate) mod root;
pub(crate) mod serve;
pub(crate) mod steer;
pub(crate) mod thinning;
