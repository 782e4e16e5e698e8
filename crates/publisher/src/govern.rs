//! What operators and auditors do with a repository.

pub(crate) mod audit;
pub(crate) mod ceremony;
pub(crate) mod ceremony_error;
pub(crate) mod plain_words;
pub(crate) mod proposal;
pub(crate) mod trust_change;
