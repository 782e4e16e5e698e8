mod choices;
mod known;
mod literals;
mod model;
mod outcomes;
#[cfg(test)]
mod plain;
mod slots;

use super::steps::Modelled;

pub(crate) use model::Model;

/// Satchel's own method: copies from all of the history and literals, each decision of which is coded by
/// the probability that mixed contexts give it.
pub(crate) const SOLID: Modelled<Model> = Modelled::new();

#[cfg(test)]
mod tests;
