use std::ops::Range;

use crate::delta::{Frame, Source};
use crate::error::DiffError;
use crate::method::{Coded, EncodeError, EncodedFrame, Level, Method, codec, encode_modelled};
use crate::recompressor::Abilities;
use crate::{CancelToken, Cancelled, Limits};

/// Codes frames: of all methods that fit, the one with the fewest bytes.
pub(super) struct FrameCoder<'a> {
    pub(super) level: Level,
    /// What devices have.
    pub(super) abilities: &'a Abilities,
    pub(super) max_window_bytes: u64,
    pub(super) cancel: &'a CancelToken,
}

/// What goes into one frame.
pub(super) struct FrameContent<'c> {
    pub(super) bytes: &'c [u8],
    /// Places in it whose cost is asked for, in rising order.
    pub(super) places: &'c [usize],
    /// Whether its script follows streams of the reference, which must then stand there in any case.
    pub(super) follows_old: bool,
}

/// A frame with its coded bytes.
pub(super) struct CodedFrame {
    pub(super) method: Method,
    pub(super) references: Vec<Source>,
    pub(super) decoded_length: u64,
    pub(super) bytes: Vec<u8>,
    /// At which bit places of what it decodes to stand, in rising order.
    pub(super) places: Vec<(u64, u64)>,
}

impl CodedFrame {
    /// Returns how many of the frame's bytes a part of what it decodes to takes: as they were written, where
    /// the method tells, otherwise by length. Parts that follow one another add up to the frame.
    pub(super) fn cost_of(&self, part: Range<u64>) -> u64 {
        self.cost_up_to(part.end) - self.cost_up_to(part.start)
    }

    fn cost_up_to(&self, decoded: u64) -> u64 {
        let bytes = self.bytes.len() as u64;
        if decoded == 0 || decoded >= self.decoded_length {
            return if decoded == 0 { 0 } else { bytes };
        }
        let told = self
            .places
            .binary_search_by_key(&decoded, |(place, _)| *place);
        match told.ok().and_then(|place| self.places.get(place)) {
            Some((_, bits)) => bits.div_ceil(8).min(bytes),
            None => {
                let cost = u128::from(bytes) * u128::from(decoded);
                let cost = cost.checked_div(self.decoded_length.into()).unwrap_or(0);
                u64::try_from(cost).unwrap_or(bytes)
            }
        }
    }
}

/// What a frame asks of a device, by whatever method it is coded.
pub(super) struct FrameClaim {
    reference_bytes: u64,
    decoded_bytes: u64,
    memory: u64,
}

impl FrameClaim {
    pub(super) fn of(sources: &[Source], decoded_length: u64, limits: &Limits) -> FrameClaim {
        let memory = Method::ALL.map(|method| {
            let frame = Frame {
                method,
                references: sources.to_vec(),
                decoded_length,
                encoded: 0..0,
            };
            frame.memory(limits)
        });
        FrameClaim {
            reference_bytes: sources.iter().map(Source::length).sum(),
            decoded_bytes: decoded_length,
            memory: memory.into_iter().fold(0, u64::max),
        }
    }

    /// Whether a device decodes the frame while it closes what comes of it, which takes `closing` bytes.
    pub(super) fn is_within(&self, closing: u64, limits: &Limits) -> bool {
        self.reference_bytes <= limits.max_reference_bytes
            && self.decoded_bytes <= limits.max_frame_bytes
            && self.memory.saturating_add(closing) <= limits.max_memory_bytes
    }
}

impl FrameCoder<'_> {
    /// Returns the smallest coding of `new`, or nothing when there is nothing to code.
    pub(super) fn smallest(
        &self,
        sources: &[Source],
        reference: &[u8],
        content: &FrameContent<'_>,
        advanced: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<CodedFrame>, DiffError> {
        let (new, places) = (content.bytes, content.places);
        if new.is_empty() {
            return Ok(None);
        }
        let frame = |method, sources: &[Source], bytes| CodedFrame {
            method,
            references: sources.to_vec(),
            decoded_length: new.len() as u64,
            bytes,
            places: Vec::new(),
        };
        let unused = if content.follows_old { sources } else { &[] };
        let (first, coded) = self.first(sources, reference, content, advanced)?;
        let against = match first {
            Method::Store => unused,
            _ => sources,
        };
        let coded_bytes = coded.bytes.len();
        let places = places.iter().map(|place| *place as u64);
        let mut frames = vec![CodedFrame {
            places: places.zip(coded.bits).collect(),
            ..frame(first, against, coded.bytes)
        }];
        if self.may_be_sparse(sources, reference, new, coded_bytes) {
            let bytes = self.encode(Method::Bsdiff, reference, new, &|_| {})?;
            // Its decoder is not its encoder's sibling.
            if bytes.len() < coded_bytes
                && self.comes_back(Method::Bsdiff, reference, new, &bytes)?
            {
                frames.push(frame(Method::Bsdiff, sources, bytes));
            }
        }
        if coded_bytes + coded_bytes / STORED_GAIN >= new.len() {
            frames.push(frame(Method::Store, unused, new.to_vec()));
        }
        let cost = |frame: &CodedFrame| match frame.method {
            // A device that only copies is worth a few bytes.
            Method::Store => frame.bytes.len() - frame.bytes.len() / (STORED_GAIN + 1),
            _ => frame.bytes.len() + REFERENCE_COST * frame.references.len(),
        };
        Ok(frames
            .into_iter()
            .min_by_key(|frame| (cost(frame), frame.method)))
    }

    /// Codes by the method that makes least of most content, of those that the device has.
    fn first(
        &self,
        sources: &[Source],
        reference: &[u8],
        content: &FrameContent<'_>,
        advanced: &(dyn Fn(u64) + Sync),
    ) -> Result<(Method, Coded), DiffError> {
        let [zstd, solid, light] =
            [Method::Zstd, Method::Solid, Method::Light].map(|one| self.abilities.has(one));
        let new = content.bytes;
        let is_quick = self.level == Level::Fast || sources.is_empty() && self.is_noise(new)?;
        let method = match zstd {
            true if is_quick || !(solid || light) => Method::Zstd,
            false if !(solid || light) => Method::Store,
            _ => return self.modelled(reference, content, advanced),
        };
        let bytes = self.encode(method, reference, new, advanced)?;
        let coded = Coded {
            bytes,
            bits: Vec::new(),
            literal_bits: 0,
        };
        Ok((method, coded))
    }

    /// Whether hardly anything can be saved: what a quick level finds tells. A device that would have to
    /// decode it bit by bit is spared.
    fn is_noise(&self, new: &[u8]) -> Result<bool, DiffError> {
        let mut advanced = |_| self.cancel.check();
        let quick = codec(Method::Zstd).encode(&[], new, Level::Fast, &mut advanced);
        let quick = quick.map_err(|error| failed(Method::Zstd, error))?;
        Ok(quick.len() >= new.len() - new.len() / NOISE_GAIN)
    }

    /// Whether bsdiff may make less of it: one binary against another, long enough to matter, not too
    /// long for its suffix array.
    fn may_be_sparse(&self, sources: &[Source], old: &[u8], new: &[u8], coded: usize) -> bool {
        let limit = match self.level {
            Level::Fast => 0,
            Level::Default => 4 << 20,
            Level::Best => BSDIFF_BYTES,
        };
        self.abilities.has(Method::Bsdiff)
            && sources.len() == 1
            && old.len() <= limit
            && new.len() <= limit
            && coded >= LEAST_BSDIFF
    }

    fn modelled(
        &self,
        reference: &[u8],
        content: &FrameContent<'_>,
        advanced: &(dyn Fn(u64) + Sync),
    ) -> Result<(Method, Coded), DiffError> {
        self.cancel.check()?;
        let mut advanced = |bytes| {
            advanced(bytes);
            self.cancel.check()
        };
        let has = |method| self.abilities.has(method);
        let (new, places) = (content.bytes, content.places);
        let coded = encode_modelled(reference, new, self.level, &has, places, &mut advanced);
        coded.map_err(|error| failed(Method::Solid, error))
    }

    fn encode(
        &self,
        method: Method,
        reference: &[u8],
        new: &[u8],
        advanced: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<u8>, DiffError> {
        self.cancel.check()?;
        let mut advanced = |bytes| {
            advanced(bytes);
            self.cancel.check()
        };
        let encoded = codec(method).encode(reference, new, self.level, &mut advanced);
        encoded.map_err(|error| failed(method, error))
    }

    fn comes_back(
        &self,
        method: Method,
        reference: &[u8],
        new: &[u8],
        bytes: &[u8],
    ) -> Result<bool, Cancelled> {
        let frame = EncodedFrame {
            bytes,
            offset: 0,
            decoded_length: new.len() as u64,
            max_window_bytes: self.max_window_bytes,
        };
        let mut rest = new;
        let decoded = codec(method).decode(reference, &frame, &mut |piece| {
            self.cancel.check()?;
            match rest.strip_prefix(piece) {
                Some(behind) => rest = behind,
                None => return Err(frame.malformed("it decodes to other bytes")),
            }
            Ok(())
        });
        self.cancel.check()?;
        Ok(decoded.is_ok() && rest.is_empty())
    }
}

fn failed(method: Method, error: EncodeError) -> DiffError {
    match error {
        EncodeError::Cancelled => DiffError::Cancelled(Cancelled),
        EncodeError::Failed(problem) => DiffError::Encoder {
            method: method.name(),
            problem,
        },
    }
}

/// What a bsdiff encoder may have as reference at best: its suffix array takes five times as much.
const BSDIFF_BYTES: usize = 32 << 20;
/// Less is not worth its time.
const LEAST_BSDIFF: usize = 256;
const REFERENCE_COST: usize = 1;
/// What saves less than one byte of so many at a quick level is noise.
const NOISE_GAIN: usize = 24;
/// A frame is stored unless coding saves one byte of so many.
const STORED_GAIN: usize = 64;
