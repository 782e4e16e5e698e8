mod distances;
mod prices;
mod step;

pub(crate) use distances::{Distances, Kind};
pub(crate) use prices::Prices;
pub(crate) use step::Step;
