//! The verbs, each a call into a library and a way to tell what it did.

pub(crate) mod approve;
mod custody;
pub(crate) mod deltas;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod engine;
pub(crate) mod export;
mod history;
mod https;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod manual;
pub(crate) mod mirror;
mod place;
mod proposed;
pub(crate) mod publish;
pub(crate) mod report;
pub(crate) mod root;
pub(crate) mod serve;
pub(crate) mod steer;
pub(crate) mod thinning;
