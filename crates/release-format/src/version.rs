use std::fmt;
use std::str::FromStr;

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

/// A [`ContentVersion`] as it is written down: the text names the manifest by the beginning of its
/// digest alone.
///
/// ```
/// use release_format::VersionName;
///
/// let name: VersionName = "acme/biology-101@1.4.0#0123456789abcdef".parse()?;
/// assert_eq!(name.pack().as_str(), "acme/biology-101");
/// assert_eq!(name.to_string(), "acme/biology-101@1.4.0#0123456789abcdef");
/// # Ok::<(), release_format::VersionNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionName {
    pack: PackName,
    label: Label,
    id: String,
}

impl VersionName {
    /// Returns the pack.
    pub fn pack(&self) -> &PackName {
        &self.pack
    }

    /// Whether the text is that of the release of its pack with this label and manifest.
    pub fn is_of(&self, label: &Label, manifest: &Digest) -> bool {
        self.label == *label && self.id == manifest.short()
    }
}

impl FromStr for VersionName {
    type Err = VersionNameError;

    fn from_str(text: &str) -> Result<VersionName, VersionNameError> {
        let parse = || {
            let (rest, id) = text.rsplit_once('#')?;
            let (pack, label) = rest.split_once('@')?;
            let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
            let is_id = id.len() == ID_DIGITS && id.bytes().all(is_digit);
            Some(VersionName {
                pack: PackName::parse(pack).ok()?,
                label: Label::parse(label).ok()?,
                id: Some(id).filter(|_| is_id)?.to_owned(),
            })
        };
        parse().ok_or_else(|| VersionNameError {
            found: text.chars().take(200).collect(),
        })
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.pack, self.label, self.id)
    }
}

impl From<&ContentVersion> for VersionName {
    fn from(version: &ContentVersion) -> VersionName {
        VersionName {
            pack: version.pack.clone(),
            label: version.label.clone(),
            id: version.manifest.short(),
        }
    }
}

/// A text that is no content version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a content version is written like acme/biology-101@1.4.0#0123456789abcdef, found {found:?}"
)]
pub struct VersionNameError {
    found: String,
}

const ID_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_recognised_by_its_text_and_by_no_other() {
        let version = ContentVersion {
            pack: PackName::parse("acme/biology-101").unwrap(),
            label: Label::parse("1.4.0").unwrap(),
            manifest: Digest::of(b"manifest"),
        };
        let name: VersionName = version.to_string().parse().unwrap();
        assert_eq!(name, VersionName::from(&version));
        assert!(name.is_of(&version.label, &version.manifest));
        assert!(!name.is_of(&version.label, &Digest::of(b"other")));
        for wrong in [
            "",
            "acme/biology-101",
            "acme/biology-101@1.4.0",
            "acme/biology-101@1.4.0#0123456789abcde",
            "acme/biology-101@1.4.0#0123456789abcdeF",
            "acme/biology-101@#0123456789abcdef",
            "acme@1.4.0#0123456789abcdef",
        ] {
            assert!(wrong.parse::<VersionName>().is_err(), "{wrong}");
        }
    }
}
