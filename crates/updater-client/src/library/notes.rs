//! What learners and teachers should know of a release, kept beside it so that it is there offline.

use std::collections::BTreeMap;

use diff_core::Digest;
use release_format::Language;
use serde::{Deserialize, Serialize};

use crate::library::record::{self, RecordError};

/// The notes of a release in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notes {
    /// The language; none where the publisher did not say.
    pub language: Option<Language>,
    /// What they say.
    pub text: String,
}

/// The notes of a release in all the languages that there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptNotes {
    format: u64,
    /// The release.
    pub(crate) manifest: Digest,
    /// For those who read none of the languages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plain: Option<String>,
    /// By language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) translations: BTreeMap<Language, String>,
}

impl KeptNotes {
    /// Bytes of the file: stops a damaged one from filling the memory.
    pub(crate) const MAX_BYTES: u64 = 32 << 20;

    /// Returns a release's notes before any have come.
    pub(crate) fn of(manifest: Digest) -> KeptNotes {
        KeptNotes {
            format: FORMAT,
            manifest,
            plain: None,
            translations: BTreeMap::new(),
        }
    }

    /// Returns the notes in the language that serves somebody best who reads these, the dearest first.
    pub(crate) fn best(mut self, wanted: &[Language]) -> Option<Notes> {
        let best = Language::best(wanted, self.translations.keys()).cloned();
        if let Some(language) = best {
            let text = self.translations.remove(&language)?;
            return Some(Notes {
                language: Some(language),
                text,
            });
        }
        let text = self.plain?;
        let is_it = |(_, translation): &(&Language, &String)| **translation == text;
        let language = self.translations.iter().find(is_it);
        Some(Notes {
            language: language.map(|(language, _)| language.clone()),
            text,
        })
    }

    /// Returns the bytes of the file: JSON that people can read, and a line with its digest.
    pub(crate) fn encode(&self) -> Vec<u8> {
        record::digested(record::write_json(self))
    }

    /// Returns the notes of a release whose file has these bytes.
    pub(crate) fn decode(bytes: &[u8], manifest: &Digest) -> Result<KeptNotes, RecordError> {
        let notes: KeptNotes = record::read_json(record::undigested(bytes)?, FORMAT)?;
        if notes.manifest != *manifest {
            return Err(RecordError::damaged(manifest, notes.manifest));
        }
        Ok(notes)
    }
}

const FORMAT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    #[test]
    fn readers_get_the_language_nearest_to_theirs_and_else_the_first() {
        let manifest = Digest::of(b"a manifest");
        let mut notes = KeptNotes::of(manifest);
        notes.plain = Some("New: cells".to_owned());
        for (tag, text) in [("en", "New: cells"), ("fr", "Nouveau : les cellules")] {
            notes.translations.insert(language(tag), text.to_owned());
        }
        assert_eq!(
            KeptNotes::decode(&notes.encode(), &manifest),
            Ok(notes.clone())
        );
        let told = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|tag| language(tag)).collect();
            let found = notes.clone().best(&wanted).unwrap();
            (
                found.language.map(|language| language.to_string()),
                found.text,
            )
        };
        let french = (Some("fr".to_owned()), "Nouveau : les cellules".to_owned());
        let english = (Some("en".to_owned()), "New: cells".to_owned());
        assert_eq!(told(&["fr-ca"]), french);
        assert_eq!(told(&["sw", "en-gb"]), english);
        assert_eq!(told(&["sw"]), english);
        assert_eq!(told(&[]), english);
        assert_eq!(KeptNotes::of(manifest).best(&[language("en")]), None);
        let other = Digest::of(b"another");
        assert!(KeptNotes::decode(&notes.encode(), &other).is_err());
    }
}
