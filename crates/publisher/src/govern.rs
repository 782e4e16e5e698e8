//! What operators and auditors do with a repository.

pub(crate) mod approval;
pub(crate) mod approving;
pub(crate) mod audit;
pub(crate) mod audit_log;
pub(crate) mod audit_problem;
pub(crate) mod ceremony;
pub(crate) mod ceremony_error;
pub(crate) mod gate;
pub(crate) mod guard;
pub(crate) mod judged;
pub(crate) mod offers;
pub(crate) mod patch_audit;
pub(crate) mod plain_words;
pub(crate) mod prometheus;
pub(crate) mod proposal;
pub(crate) mod rollout_plan;
pub(crate) mod steering;
pub(crate) mod steering_error;
pub(crate) mod steering_words;
pub(crate) mod trust_change;
pub(crate) mod wilson;
