mod model;
#[cfg(test)]
mod plain;
mod shares;

use super::steps::{self, Draft};
use super::{Codec, EncodeError, EncodedFrame, Level};
use crate::error::DeltaError;
use crate::progress::Advanced;

pub(crate) use model::Model;

/// The steps of [`Solid`](super::solid::Solid), coded by half-bytes and few contexts: a device decodes
/// them many times as fast.
pub(crate) struct Light;

impl Codec for Light {
    fn encode(
        &self,
        reference: &[u8],
        new: &[u8],
        level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        let draft = Draft::of(reference, new, level, advanced)?;
        let steps = draft.steps::<Model>(advanced)?;
        let coded = steps::encode::<Model>(reference, new, &steps, &[], advanced)?;
        Ok(coded.bytes)
    }

    fn decode(
        &self,
        reference: &[u8],
        frame: &EncodedFrame<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError> {
        steps::decode::<Model>(reference, frame, out)
    }

    fn decoding_memory(&self, decoded_length: u64, _max_window_bytes: u64) -> u64 {
        let length = usize::try_from(decoded_length).unwrap_or(usize::MAX);
        decoded_length.saturating_add(Model::memory(length))
    }
}

#[cfg(test)]
mod tests;
