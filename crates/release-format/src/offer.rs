//! What is offered: the releases of a pack, and which of them a channel's devices should have.

pub(crate) mod catalogue;
pub(crate) mod client_version;
pub(crate) mod cohort;
pub(crate) mod decision;
pub(crate) mod device_id;
pub(crate) mod flag;
pub(crate) mod json;
pub(crate) mod rollout;
pub(crate) mod ruling;
pub(crate) mod selector;
pub(crate) mod share;
pub(crate) mod withdrawal;
