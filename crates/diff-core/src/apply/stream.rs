use std::sync::Arc;

use super::reference::Reference;
use crate::container::{Rows, Wrapper, Wrapping, adler32, adler32_behind};
use crate::error::DeltaError;
use crate::pixels::RowsDecoder;
use crate::recipe::{self, Old};
use crate::script::{CodedRows, StreamStep};
use crate::space::Space;
use crate::{Cancelled, Recompressor};

/// A stream whose plaintext is complete, so that it can be closed, on whatever thread.
pub(super) struct Stream {
    step: StreamStep,
    /// The plaintext, or what it is made of.
    opened: Space,
    /// Where the stream is that the recipe follows, if it follows one.
    reference: Option<Arc<Reference>>,
    /// Whether the plan tells what rebuilds it.
    is_planned: bool,
}

/// What a stream is closed into.
pub(super) struct Closed {
    pub(super) bytes: Space,
    /// How many of them are deflate data.
    pub(super) deflated: u64,
    /// How many bytes fewer are held than were [kept](Stream::kept) for it, once the stream is gone.
    pub(super) freed: u64,
}

impl Stream {
    /// Returns the stream of `plain`; `recompressors` are those of which the plan tells.
    ///
    /// # Errors
    /// Fails when the plaintext has another length than the step says.
    pub(super) fn new(
        step: StreamStep,
        opened: Space,
        reference: &Arc<Reference>,
        recompressors: &[Recompressor],
    ) -> Result<Stream, DeltaError> {
        let (length, has) = (step.gathered(), opened.len());
        if has as u64 != length {
            return Err(refused(&format!("a stream of {length} bytes has {has}")));
        }
        let recompressor = Recompressor::of_recipe(&step.recipe);
        let is_planned = |needed| recompressors.contains(&needed);
        Ok(Stream {
            reference: step.old.map(|_| Arc::clone(reference)),
            is_planned: recompressor.is_some_and(is_planned)
                && (step.coded.is_none() || is_planned(Recompressor::Pixels)),
            step,
            opened,
        })
    }

    /// Rebuilds the stream and hands it piece by piece to `out`; returns how many bytes of deflate data
    /// it has, which are `room` at most.
    ///
    /// # Errors
    /// Fails when the stream cannot be rebuilt, and when `check` or `out` does.
    pub(super) fn close(
        &self,
        room: u64,
        check: &dyn Fn() -> Result<(), Cancelled>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<u64, DeltaError> {
        if !self.is_planned {
            return Err(refused("a recipe of which the plan does not tell"));
        }
        let mut wrapping = Wrapping::new(self.step.wrapper);
        let mut deflated = 0;
        let mut write = |piece: &[u8]| {
            check()?;
            deflated += piece.len() as u64;
            wrapping.write(piece, out)
        };
        let adler = match self.step.passing() {
            Some((rows, coded)) => self.deflate_rows(rows, coded, room, check, &mut write),
            None => self.deflate(room, check, &mut write),
        }?;
        wrapping.finish(adler, out)?;
        Ok(deflated)
    }

    /// Deflates the plaintext and returns its Adler-32.
    fn deflate(
        &self,
        room: u64,
        check: &dyn Fn() -> Result<(), Cancelled>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<u32, DeltaError> {
        let filtered = self.filtered(check)?;
        let plain = filtered.as_deref().unwrap_or(&self.opened);
        let old = match self.step.old {
            None => None,
            Some(number) => {
                let reference = self.reference.as_ref();
                let found = reference.and_then(|reference| reference.stream(number));
                let found =
                    found.ok_or_else(|| refused(&format!("there is no old stream {number}")))?;
                let claimed = found.plain.len() as u64;
                let most = Old::longest(plain.len() as u64);
                DeltaError::check_limit("bytes of a stream that is followed", claimed, most)?;
                Some((found.compressed()?, found.plain))
            }
        };
        let old = old
            .as_ref()
            .map(|(compressed, plain)| Old { compressed, plain });
        recipe::rebuild(&self.step.recipe, plain, old, room, out)?;
        Ok(adler32(plain))
    }

    /// Deflates coded rows while they are read, and returns the Adler-32 of the plaintext that they make.
    fn deflate_rows(
        &self,
        rows: Rows,
        coded: CodedRows,
        room: u64,
        check: &dyn Fn() -> Result<(), Cancelled>,
        out: &mut dyn FnMut(&[u8]) -> Result<(), DeltaError>,
    ) -> Result<u32, DeltaError> {
        let length = self.step.plain_length;
        let mut decoder = RowsDecoder::new(&self.opened, length, rows, coded.samples)?;
        let mut adler = 1;
        let mut more = |plain: &mut Vec<u8>| {
            check()?;
            let Some(row) = decoder.next()? else {
                return Ok(false);
            };
            adler = adler32_behind(adler, row);
            plain.extend_from_slice(row);
            Ok(true)
        };
        recipe::rebuild_in_parts(&self.step.recipe, length, &mut more, room, out)?;
        Ok(adler)
    }

    /// Returns the filtered rows, where the plaintext is an image's.
    fn filtered(
        &self,
        check: &dyn Fn() -> Result<(), Cancelled>,
    ) -> Result<Option<Space>, DeltaError> {
        let Some(rows) = self.step.rows else {
            return Ok(None);
        };
        let Some(coded) = self.step.coded else {
            let filtered = rows.refilter(&self.opened);
            return filtered
                .map(Some)
                .ok_or_else(|| refused("an image has no such rows"));
        };
        let length = self.step.plain_length;
        let mut decoder = RowsDecoder::new(&self.opened, length, rows, coded.samples)?;
        let mut filtered = Space::for_bytes(usize::try_from(length).unwrap_or_default());
        while let Some(row) = decoder.next()? {
            check()?;
            filtered.append(row);
        }
        Ok(Some(filtered))
    }

    /// Closes the stream into memory, or returns nothing where that fails or takes more than is
    /// [kept](Stream::kept) for it.
    pub(super) fn close_aside(&self, check: &dyn Fn() -> Result<(), Cancelled>) -> Option<Closed> {
        let room = self.room_aside();
        let mut bytes = Space::for_bytes(usize::try_from(room).ok()?);
        let deflated = self.close(room, check, &mut |piece| {
            let length = (bytes.len() + piece.len()) as u64;
            DeltaError::check_limit("a stream that is closed aside", length, room)?;
            bytes.append(piece);
            Ok(())
        });
        let deflated = deflated.ok()?;
        bytes.fit();
        let freed = self.kept().saturating_sub(bytes.len() as u64);
        Some(Closed {
            bytes,
            deflated,
            freed,
        })
    }

    /// Returns how many bytes are held from now on until what the stream was closed into, aside, is
    /// written; what any closing takes comes on top.
    pub(super) fn kept(&self) -> u64 {
        let followed = self.step.old.zip(self.reference.as_ref());
        let followed = followed.and_then(|(number, reference)| reference.stream(number));
        let followed = followed.map_or(0, |old| old.compressed_bytes());
        self.step
            .held()
            .saturating_add(self.room_aside())
            .saturating_add(self.step.recipe.len() as u64)
            .saturating_add(followed)
            .saturating_add(size_of::<Stream>() as u64)
    }

    /// Returns how many bytes it may be closed into, aside.
    pub(super) fn room_aside(&self) -> u64 {
        // Deflate data is hardly ever longer than its plaintext, ASCII85 a quarter longer than it.
        let more = match self.step.wrapper {
            Wrapper::Ascii85 { .. } => self.step.plain_length / 3,
            _ => self.step.plain_length / 32,
        };
        self.step.plain_length.saturating_add(more + 1024)
    }
}

fn refused(told: &str) -> DeltaError {
    DeltaError::malformed("script", 0, told)
}
