//! What is offered: the releases of a pack, and which of them a channel's devices should have.

pub(crate) mod catalogue;
pub(crate) mod device_id;
mod json;
pub(crate) mod rollout;
pub(crate) mod share;
