use std::fmt;

use diff_core::Digest;

use crate::{Label, PackName};

/// What an LMS stores beside a learner's attempt: `acme/biology-101@1.4.0#<16 hex digits>`.
///
/// The digits begin the digest of the release's manifest, so the text names one exact content and
/// not only a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentVersion {
    /// The pack.
    pub pack: PackName,
    /// The release's label.
    pub label: Label,
    /// The digest of the release's manifest.
    pub manifest: Digest,
}

impl fmt::Display for ContentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.pack, self.label, self.manifest.short())
    }
}
