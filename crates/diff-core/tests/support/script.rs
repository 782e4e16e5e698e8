//! Scripts that no composer writes.

use super::forge::varint;

/// A script as it is forged: each step as the format writes it.
#[derive(Clone, Default)]
pub(crate) struct Script(Vec<u8>);

impl Script {
    pub(crate) fn step(mut self, kind: u64, argument: u64) -> Script {
        varint(&mut self.0, argument << 2 | kind);
        self
    }

    pub(crate) fn copy(self, length: u64) -> Script {
        self.step(0, length)
    }

    /// The first number is folded by zigzag.
    pub(crate) fn old(self, index: u8, offset: u64, length: u64) -> Script {
        let mut script = self.step(1, length).raw(&[index]);
        varint(&mut script.0, offset);
        script
    }

    /// A bare deflate stream, with bits that say more about it.
    pub(crate) fn stream(self, length: u64, bits: u8, recipe: &[u8]) -> Script {
        let script = self.step(2, length).raw(&[bits]);
        script.recipe(recipe)
    }

    pub(crate) fn image(self, length: u64, stride: u64, pixel: u64) -> Script {
        let mut script = self.step(2, length).raw(&[IMAGE]);
        varint(&mut script.0, stride);
        varint(&mut script.0, pixel);
        script.recipe(ZLIB_6)
    }

    /// Adds an image whose rows are coded, by symbols, in so many bytes.
    pub(crate) fn coded_image(self, length: u64, stride: u64, coded: u64) -> Script {
        let mut script = self.step(2, length).raw(&[IMAGE | NESTED]);
        varint(&mut script.0, stride);
        varint(&mut script.0, 1);
        varint(&mut script.0, coded << 1);
        script.recipe(ZLIB_6)
    }

    pub(crate) fn recipe(mut self, recipe: &[u8]) -> Script {
        varint(&mut self.0, recipe.len() as u64);
        self.raw(recipe)
    }

    pub(crate) fn end(self) -> Script {
        self.step(3, 0)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Script {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    pub(crate) fn with(&self, opened: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        varint(&mut content, self.0.len() as u64);
        content.extend_from_slice(&self.0);
        content.extend_from_slice(opened);
        content
    }
}

pub(crate) const NESTED: u8 = 1 << 7;
pub(crate) const HAS_OLD: u8 = 1 << 6;
pub(crate) const IMAGE: u8 = 1 << 5;
pub(crate) const ZLIB_6: &[u8] = &[6];
