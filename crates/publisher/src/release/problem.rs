use std::fmt;

use diff_core::PathRule;

/// Something in a content folder that cannot be installed everywhere, or not as it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it lies below the folder, `/`-separated; what is not UTF-8 is shown as `\u{fffd}`.
    pub path: String,
    /// What is wrong with it.
    pub rule: ProblemRule,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, rule: ProblemRule) -> Problem {
        Problem {
            path: path.into(),
            rule,
        }
    }

    /// Returns whether publishing is refused because of it.
    pub fn severity(&self) -> Severity {
        match self.rule {
            ProblemRule::LongPath { .. } | ProblemRule::EmptyFolder => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.path, self.rule)
    }
}

/// Whether a problem stops a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The release is published; somebody should look.
    Warning,
    /// Nothing is published.
    Error,
}

/// What is wrong with something in a content folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemRule {
    /// A path that breaks a rule of some platform.
    Path(PathRule),
    /// A name that is not UTF-8.
    NotUtf8,
    /// A symbolic link, which sticks and Windows cannot hold.
    Symlink,
    /// A device, socket or pipe.
    SpecialFile,
    /// A path that some platform cannot tell from another one.
    Collision {
        /// The other path.
        with: String,
    },
    /// A path that may be too long on Windows below an ordinary folder.
    LongPath {
        /// Its characters.
        characters: usize,
    },
    /// A folder without files, which a release does not keep.
    EmptyFolder,
}

impl ProblemRule {
    /// Returns the short, stable name of the rule, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ProblemRule::Path(PathRule::Empty) => "empty-component",
            ProblemRule::Path(PathRule::Climbing) => "climbing",
            ProblemRule::Path(PathRule::ForbiddenCharacter) => "forbidden-character",
            ProblemRule::Path(PathRule::TrailingDotOrSpace) => "trailing-dot-or-space",
            ProblemRule::Path(PathRule::ReservedName) => "reserved-name",
            ProblemRule::Path(PathRule::LongComponent) => "long-component",
            ProblemRule::Path(_) => "path",
            ProblemRule::NotUtf8 => "not-utf-8",
            ProblemRule::Symlink => "symlink",
            ProblemRule::SpecialFile => "special-file",
            ProblemRule::Collision { .. } => "collision",
            ProblemRule::LongPath { .. } => "long-path",
            ProblemRule::EmptyFolder => "empty-folder",
        }
    }
}

impl fmt::Display for ProblemRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProblemRule::Path(rule) => rule.fmt(f),
            ProblemRule::NotUtf8 => f.write_str("has a name that is not UTF-8"),
            ProblemRule::Symlink => f.write_str("is a symbolic link"),
            ProblemRule::SpecialFile => f.write_str("is neither a file nor a folder"),
            ProblemRule::Collision { with } => write!(
                f,
                "differs only by case or Unicode normalisation from {with:?}"
            ),
            ProblemRule::LongPath { characters } => write!(
                f,
                "has {characters} characters, which may be too long on Windows"
            ),
            ProblemRule::EmptyFolder => f.write_str("is an empty folder, which is not kept"),
        }
    }
}
