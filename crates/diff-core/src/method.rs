mod bsdiff;
mod light;
mod modelled;
mod registry;
mod solid;
mod steps;
mod store;
mod zstd;

use std::fmt;

use crate::Cancelled;
use crate::error::DeltaError;
use crate::progress::Advanced;

pub(crate) use modelled::encode_modelled;
pub(crate) use registry::codec;

/// A way to code one frame: new bytes, given old ones as reference.
///
/// The numbers are part of the delta format and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The bytes as they are.
    Store,
    /// A zstd frame with the reference as its prefix.
    Zstd,
    /// A bsdiff patch on the reference: the smallest for sparse edits of binaries and databases.
    Bsdiff,
    /// Copies from all of old and new, and literals, coded by mixed probabilities: the smallest for most content.
    Solid,
    /// The same copies and literals, coded by few contexts: fast for content that is new.
    Light,
}

impl Method {
    /// Every method of this build, in the order of their numbers.
    pub const ALL: [Method; 5] = [
        Method::Store,
        Method::Zstd,
        Method::Bsdiff,
        Method::Solid,
        Method::Light,
    ];

    /// Returns the method's number in the delta format.
    pub const fn id(self) -> u8 {
        match self {
            Method::Store => 0,
            Method::Zstd => 1,
            Method::Bsdiff => 2,
            Method::Solid => 3,
            Method::Light => 4,
        }
    }

    /// Returns the method's name in catalogues and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Store => "store",
            Method::Zstd => "zstd",
            Method::Bsdiff => "bsdiff",
            Method::Solid => "solid",
            Method::Light => "light",
        }
    }

    /// Returns the method with this number, where this build has it.
    pub fn from_id(id: u8) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.id() == id)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much time an encoder may take for how few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Seconds for a large pack.
    Fast,
    /// What publishing uses.
    #[default]
    Default,
    /// Everything that the methods can do.
    Best,
}

/// An encoder and decoder of one method.
pub(crate) trait Codec: Sync {
    /// Returns `new` coded against `reference`; `advanced` hears of bytes of `new` that are done and
    /// may stop the work.
    fn encode(
        &self,
        reference: &[u8],
        new: &[u8],
        level: Level,
        advanced: &mut Advanced<'_>,
    ) -> Result<Vec<u8>, EncodeError>;

    /// Hands what `frame` decodes to, in pieces, to `out`, and never more than the frame's decoded
    /// length.
    fn decode(
        &self,
        reference: &[u8],
        frame: &EncodedFrame<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<(), DeltaError>;

    /// Returns how many bytes of private memory decoding takes, reference and output aside.
    fn decoding_memory(&self, decoded_length: u64, max_window_bytes: u64) -> u64;
}

/// What steps come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Coded {
    pub(crate) bytes: Vec<u8>,
    /// The bits at which the places stand that were asked for.
    pub(crate) bits: Vec<u64>,
    /// What the literals took of them all.
    pub(crate) literal_bits: u64,
}

/// One frame as it stands in a delta, with what its decoder must keep to.
pub(crate) struct EncodedFrame<'a> {
    /// The coded bytes.
    pub(crate) bytes: &'a [u8],
    /// Where they start within the delta, for errors.
    pub(crate) offset: usize,
    /// How many bytes must come out.
    pub(crate) decoded_length: u64,
    /// How many bytes of its own output the decoder may keep.
    pub(crate) max_window_bytes: u64,
}

impl EncodedFrame<'_> {
    /// Returns the error of a frame that does not decode.
    pub(crate) fn malformed(&self, problem: impl Into<String>) -> DeltaError {
        DeltaError::malformed("frame", self.offset, problem)
    }
}

/// Why an encoder gave nothing.
#[derive(Debug)]
pub(crate) enum EncodeError {
    /// It was asked to stop.
    Cancelled,
    /// It failed.
    Failed(String),
}

impl From<Cancelled> for EncodeError {
    fn from(_: Cancelled) -> EncodeError {
        EncodeError::Cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_distinct_and_come_back() {
        for (index, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(Method::from_id(method.id()), Some(method));
            assert_eq!(usize::from(method.id()), index);
            assert_eq!(method.to_string(), method.name());
        }
        assert_eq!(Method::from_id(5), None);
        assert_eq!(Method::from_id(255), None);
    }
}
