use std::collections::BTreeSet;
use std::fmt;

use crate::Method;

/// A way to compress plaintexts again to the very bytes that they were inflated from.
///
/// Each is exact for ever: one that works otherwise gets a number and a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Recompressor {
    /// What zlib, its kin and the zip and gzip programs make.
    Zlib,
    /// What any encoder made, by what is not as expected.
    Tokens,
    /// The filtered rows of an image out of coded pixels.
    Pixels,
}

impl Recompressor {
    /// Every recompressor of this build, in the order of their numbers.
    pub const ALL: [Recompressor; 3] = [
        Recompressor::Zlib,
        Recompressor::Tokens,
        Recompressor::Pixels,
    ];

    /// Returns the recompressor's number in the delta format.
    pub const fn id(self) -> u8 {
        match self {
            Recompressor::Zlib => 0,
            Recompressor::Tokens => 1,
            Recompressor::Pixels => 2,
        }
    }

    /// Returns the recompressor's name, its version included, in catalogues and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Recompressor::Zlib => "zlib-1",
            Recompressor::Tokens => "tokens-1",
            Recompressor::Pixels => "pixels-1",
        }
    }

    /// Whether what follows a recipe takes the plaintext in parts.
    pub(crate) fn takes_parts(recipe: &[u8]) -> bool {
        Recompressor::of_recipe(recipe) == Some(Recompressor::Zlib)
    }

    /// Returns the recompressor that follows a recipe, where its first byte tells one.
    pub(crate) fn of_recipe(recipe: &[u8]) -> Option<Recompressor> {
        match recipe.first()? >> 4 {
            0..=4 => Some(Recompressor::Zlib),
            5 => Some(Recompressor::Tokens),
            _ => None,
        }
    }
}

impl fmt::Display for Recompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the names of every method and recompressor of this build: what a device can tell a publisher
/// that it has.
pub fn abilities() -> Vec<&'static str> {
    let methods = Method::ALL.iter().map(|method| method.name());
    let recompressors = Recompressor::ALL.iter().map(|one| one.name());
    methods.chain(recompressors).collect()
}

/// The methods and recompressors that a delta may need: what every device has that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    methods: BTreeSet<Method>,
    recompressors: BTreeSet<Recompressor>,
}

impl Abilities {
    /// Returns all that this build has.
    pub fn all() -> Abilities {
        Abilities::of(&Method::ALL, &Recompressor::ALL)
    }

    /// Returns these and [`Method::Store`], which every device has.
    pub fn of(methods: &[Method], recompressors: &[Recompressor]) -> Abilities {
        let stored = [Method::Store];
        Abilities {
            methods: methods.iter().chain(&stored).copied().collect(),
            recompressors: recompressors.iter().copied().collect(),
        }
    }

    pub(crate) fn has(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }

    /// Whether a stream can be rebuilt by a recipe.
    pub(crate) fn can_follow(&self, recipe: &[u8]) -> bool {
        let recompressor = Recompressor::of_recipe(recipe);
        recompressor.is_some_and(|one| self.recompressors.contains(&one))
    }

    /// Whether the rows of images may be coded.
    pub(crate) fn can_paint(&self) -> bool {
        self.recompressors.contains(&Recompressor::Pixels)
    }

    /// Whether streams can be rebuilt at all.
    pub(crate) fn can_recompress(&self) -> bool {
        !self.recompressors.is_empty()
    }
}

impl Default for Abilities {
    /// Returns [`Abilities::all`].
    fn default() -> Abilities {
        Abilities::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_distinct() {
        for (index, recompressor) in Recompressor::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(recompressor.id()), index);
            assert_eq!(recompressor.to_string(), recompressor.name());
        }
        assert_eq!(
            abilities(),
            [
                "store", "zstd", "bsdiff", "solid", "light", "zlib-1", "tokens-1", "pixels-1"
            ]
        );
    }
}
