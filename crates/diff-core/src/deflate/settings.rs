use super::chains::Hash;

/// What makes zlib, or a program with the same ancestor, write one stream and not another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// Whose details apply.
    pub(crate) flavour: Flavour,
    /// 1 to 9.
    pub(crate) level: u8,
    /// zlib's memLevel, 1 to 9.
    pub(crate) memory: u8,
    /// zlib's windowBits, 9 to 15.
    pub(crate) window: u8,
    /// What is searched for.
    pub(crate) strategy: Strategy,
}

/// Whose details apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flavour {
    /// zlib.
    Zlib,
    /// The programs zip and gzip.
    InfoZip,
    /// The zlib of Chromium, and so of Node.
    Chromium,
}

/// What is searched for: zlib's strategies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Strategy {
    /// All matches.
    Default,
    /// No short ones.
    Filtered,
    /// None.
    HuffmanOnly,
    /// Runs of one byte.
    Runs,
    /// All matches, and fixed codes only.
    Fixed,
}

/// How hard a level searches.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// From this length of a match in hand on, the search for a better one is cut to a quarter.
    pub(super) good: usize,
    /// From this length on, no better match is sought at the next byte; without lazy matching: all
    /// places within longer matches stay unknown.
    pub(super) lazy: usize,
    /// A match of this length ends the search.
    pub(super) nice: usize,
    /// The most places that are tried.
    pub(super) chain: usize,
}

impl Settings {
    /// Returns zlib's settings at `level` with its default memory, window and strategy.
    pub(crate) fn zlib(level: u8) -> Settings {
        Settings {
            flavour: Flavour::Zlib,
            level,
            memory: 8,
            window: 15,
            strategy: Strategy::Default,
        }
    }

    /// Returns the settings of zip and gzip at `level`.
    pub(crate) fn info_zip(level: u8) -> Settings {
        Settings {
            flavour: Flavour::InfoZip,
            ..Settings::zlib(level)
        }
    }

    /// Returns the settings of Chromium's zlib at `level`.
    pub(crate) fn chromium(level: u8) -> Settings {
        Settings {
            flavour: Flavour::Chromium,
            ..Settings::zlib(level)
        }
    }

    /// Returns the number of tokens that fill a block.
    pub(crate) fn block_tokens(&self) -> usize {
        match self.flavour {
            Flavour::Zlib | Flavour::Chromium => (1 << (self.memory + 6)) - 1,
            Flavour::InfoZip => 0x7fff,
        }
    }

    /// Whether a match waits for what the next byte brings.
    pub(super) fn is_lazy(&self) -> bool {
        self.level > 3 && !matches!(self.strategy, Strategy::HuffmanOnly | Strategy::Runs)
    }

    /// Returns how the bytes at a place become its hash.
    pub(super) fn hash(&self) -> Hash {
        let bits = self.hash_bits();
        match self.flavour {
            Flavour::Zlib | Flavour::InfoZip => Hash::three(bits),
            Flavour::Chromium => Hash::four(bits),
        }
    }

    /// Returns the bits of the hash of three bytes.
    fn hash_bits(&self) -> u32 {
        match self.flavour {
            Flavour::Zlib | Flavour::Chromium => u32::from(self.memory) + 7,
            Flavour::InfoZip => 15,
        }
    }

    /// Returns how hard the level searches.
    pub(super) fn effort(&self) -> Effort {
        let (good, lazy, nice, chain) = match self.level {
            0 | 1 => (4, 4, 8, 4),
            2 => (4, 5, 16, 8),
            3 => (4, 6, 32, 32),
            4 => (4, 4, 16, 16),
            5 => (8, 16, 32, 32),
            6 => (8, 16, 128, 128),
            7 => (8, 32, 128, 256),
            8 => (32, 128, 258, 1024),
            _ => (32, 258, 258, 4096),
        };
        Effort {
            good,
            lazy,
            nice,
            chain,
        }
    }
}
