//! What operators and auditors do with a repository.

pub(crate) mod audit;
