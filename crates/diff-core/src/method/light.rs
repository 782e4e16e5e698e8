mod model;
#[cfg(test)]
mod plain;
mod shares;

use super::steps::Modelled;

pub(crate) use model::Model;

/// The steps of [`SOLID`](super::solid::SOLID), coded by half-bytes and few contexts: a device decodes
/// them many times as fast.
pub(crate) const LIGHT: Modelled<Model> = Modelled::new();

#[cfg(test)]
mod tests;
