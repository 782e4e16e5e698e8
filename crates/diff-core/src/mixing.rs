//! What predictions of decisions are made of: counters of contexts, and mixers that learn which of them to
//! trust. Integers alone, so that every machine predicts the same.

mod arithmetic;
mod counter;
mod hash;
mod mixer;
#[cfg(test)]
pub(crate) mod plain;

pub(crate) use arithmetic::{squash, stretch};
pub(crate) use counter::{Fine, Quick};
pub(crate) use hash::hash;
pub(crate) use mixer::Mixer;
