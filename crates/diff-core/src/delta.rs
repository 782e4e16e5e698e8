mod frames;
mod plan;
mod planned;
mod records;
mod sources;

use std::fmt;
use std::io::{self, Write};

use crate::error::DeltaError;
use crate::method::{EncodeError, EncodedFrame, Level, Method, codec};
use crate::wire::Reader;
use crate::{Digest, Limits, Listing};

pub use plan::Plan;
pub(crate) use planned::{Frame, Group, ImageStep, Opened, OpeningStep, Source};
pub use planned::{Origin, PlannedFile};
pub(crate) use sources::MAX_DEPTH;

/// A delta whose header, plan and trailer were read and found within limits.
///
/// Nothing is believed of the plan before [`Delta::plan`] has compared it with the old tree, and
/// nothing of the frames before [`Applier`](crate::Applier) has decoded them.
#[doc = ""]
#[doc = include_str!("../../../docs/src/formats/delta.md")]
pub struct Delta<'a> {
    bytes: &'a [u8],
    version: u8,
    payload_end: usize,
    plan: Vec<u8>,
    new_tree: Option<Digest>,
    limits: Limits,
}

impl<'a> Delta<'a> {
    /// Reads the delta in `bytes`, frames aside.
    ///
    /// # Errors
    /// [`DeltaError`] tells which rule of the format is broken or which limit is passed; no more
    /// memory is taken than `limits` allow.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Delta<'a>, DeltaError> {
        let (version, flags) = read_header(bytes)?;
        let carries_digest = flags & CARRIES_DIGEST != 0;
        let trailer_bytes = LENGTHS_BYTES + if carries_digest { Digest::LENGTH } else { 0 };
        let trailer_at = bytes.len().checked_sub(trailer_bytes);
        let trailer_at = trailer_at.filter(|at| *at >= HEADER_BYTES).ok_or_else(|| {
            let told = format!("{} bytes are too few for a delta", bytes.len());
            DeltaError::malformed("trailer", bytes.len(), told)
        })?;
        let refused = |problem: &str| DeltaError::malformed("trailer", trailer_at, problem);

        let mut trailer = Reader::new("trailer", bytes.get(trailer_at..).unwrap_or_default());
        let new_tree = match carries_digest {
            true => Some(Digest::from_bytes(trailer.array()?)),
            false => None,
        };
        let decoded = u32::from_le_bytes(trailer.array()?);
        let encoded = u32::from_le_bytes(trailer.array()?);
        trailer.finish()?;

        DeltaError::check_limit("plan bytes", decoded.into(), limits.max_plan_bytes)?;
        let encoded_bytes = usize::try_from(encoded).ok();
        let payload_end = encoded_bytes.and_then(|encoded| trailer_at.checked_sub(encoded));
        let payload_end = payload_end
            .filter(|end| *end >= HEADER_BYTES)
            .ok_or_else(|| refused("the plan is longer than the delta"))?;
        let coded = bytes.get(payload_end..trailer_at).unwrap_or_default();
        let plan = if decoded == encoded {
            coded.to_vec()
        } else {
            decode_plan(coded, payload_end, decoded.into(), limits)?
        };
        Ok(Delta {
            bytes,
            version,
            payload_end,
            plan,
            new_tree,
            limits: limits.clone(),
        })
    }

    /// Returns the digest of the new tree's listing, where the delta carries it.
    pub fn new_tree_digest(&self) -> Option<Digest> {
        self.new_tree
    }

    /// Returns what the delta makes of the tree `old`.
    ///
    /// # Errors
    /// [`DeltaError::WrongOld`] when the delta starts from another tree; otherwise the rule or limit
    /// that the plan breaks.
    pub fn plan(&self, old: &Listing) -> Result<Plan, DeltaError> {
        Plan::decode(
            &self.plan,
            old,
            HEADER_BYTES..self.payload_end,
            self.version,
            &self.limits,
        )
    }

    /// Returns how many bytes the delta has in all.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Returns the delta's own bytes.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl fmt::Debug for Delta<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delta")
            .field("length", &self.bytes.len())
            .field("plan_bytes", &self.plan.len())
            .field("new_tree", &self.new_tree)
            .finish_non_exhaustive()
    }
}

/// Writes a delta from its start to its end, keeping nothing of what was written.
pub(crate) struct DeltaWriter<'w> {
    out: &'w mut dyn Write,
    length: u64,
    new_tree: Option<Digest>,
}

impl<'w> DeltaWriter<'w> {
    /// Writes the header.
    pub(crate) fn start(
        out: &'w mut dyn Write,
        new_tree: Option<Digest>,
    ) -> io::Result<DeltaWriter<'w>> {
        let mut writer = DeltaWriter {
            out,
            length: 0,
            new_tree,
        };
        writer.write(MAGIC)?;
        let flags = new_tree.map_or(0, |_| CARRIES_DIGEST);
        writer.write(&[VERSION, flags])?;
        Ok(writer)
    }

    /// Appends bytes, which are a frame's between header and plan, and returns where they start.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.length;
        self.out.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(start)
    }

    /// Writes the plan and the trailer and returns the length of the whole delta.
    pub(crate) fn finish(mut self, plan: &[u8]) -> io::Result<u64> {
        let coded = encode_plan(plan)?;
        let lengths = (u32::try_from(plan.len()), u32::try_from(coded.len()));
        let (Ok(decoded), Ok(encoded)) = lengths else {
            return Err(io::Error::other("the plan has more than 4 GiB"));
        };
        self.write(&coded)?;
        if let Some(digest) = self.new_tree {
            self.write(digest.as_bytes())?;
        }
        self.write(&decoded.to_le_bytes())?;
        self.write(&encoded.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.length)
    }
}

/// Returns the version and the flags.
fn read_header(bytes: &[u8]) -> Result<(u8, u8), DeltaError> {
    let not_a_delta = || DeltaError::NotADelta {
        found: bytes.iter().take(MAGIC.len()).copied().collect(),
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(not_a_delta)?;
    let mut reader = Reader::new("header", rest);
    let version = reader.byte()?;
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(DeltaError::UnsupportedVersion {
            found: version,
            known: VERSION,
        });
    }
    let flags = reader.byte()?;
    if flags & !CARRIES_DIGEST != 0 {
        return Err(DeltaError::UnsupportedFlags {
            found: flags,
            known: CARRIES_DIGEST,
        });
    }
    Ok((version, flags))
}

fn decode_plan(
    coded: &[u8],
    offset: usize,
    decoded_length: u64,
    limits: &Limits,
) -> Result<Vec<u8>, DeltaError> {
    let frame = EncodedFrame {
        bytes: coded,
        offset,
        decoded_length,
        max_window_bytes: limits.max_window_bytes,
    };
    // Grows as bytes come out, so that a claim alone costs nothing.
    let mut plan = Vec::new();
    codec(Method::Zstd).decode(&[], &frame, &mut |piece| {
        plan.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(plan)
}

/// Returns the plan as a zstd frame, or as it is when that is not shorter.
fn encode_plan(plan: &[u8]) -> io::Result<Vec<u8>> {
    let encoded = codec(Method::Zstd).encode(&[], plan, Level::Default, &mut |_| Ok(()));
    match encoded {
        Ok(encoded) if encoded.len() < plan.len() => Ok(encoded),
        Ok(_) => Ok(plan.to_vec()),
        Err(EncodeError::Failed(problem)) => Err(io::Error::other(problem)),
        Err(EncodeError::Cancelled) => Err(io::Error::other("cancelled")),
    }
}

const MAGIC: &[u8] = b"SDLT";
/// The version that is written.
const VERSION: u8 = 2;
const OLDEST_VERSION: u8 = 1;
/// The flag of a delta whose trailer has the digest of the new tree.
const CARRIES_DIGEST: u8 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 2;
const LENGTHS_BYTES: usize = 8;
