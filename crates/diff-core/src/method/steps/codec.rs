use std::marker::PhantomData;

use super::{Draft, StepModel, decode};
use crate::error::DeltaError;
use crate::method::{Codec, EncodeError, EncodedFrame, Level};
use crate::progress::Advanced;

/// The method that codes steps by the model `M`.
pub(crate) struct Modelled<M>(PhantomData<fn() -> M>);

impl<M> Modelled<M> {
    /// Returns the method.
    pub(crate) const fn new() -> Modelled<M> {
        Modelled(PhantomData)
    }
}

impl<M: StepModel> Codec for Modelled<M> {
    fn encode(
        &self,
        reference: &[u8],
        new: &[u8],
        level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Vec<u8>, EncodeError> {
        let draft = Draft::of(reference, new, level, advanced)?;
        Ok(draft
            .code::<M>(M::BESIDE_COPIES, None, &[], advanced)?
            .bytes)
    }

    fn decode(
        &self,
        reference: &[u8],
        frame: &EncodedFrame<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError> {
        decode::<M>(reference, frame, out)
    }

    fn decoding_memory(&self, decoded_length: u64, _max_window_bytes: u64) -> u64 {
        let length = usize::try_from(decoded_length).unwrap_or(usize::MAX);
        decoded_length.saturating_add(M::memory(length))
    }
}
