//! The verbs, each a call into a library and a way to tell what it did.

pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod engine;
pub(crate) mod inspect;
pub(crate) mod manual;
pub(crate) mod publish;
pub(crate) mod serve;
